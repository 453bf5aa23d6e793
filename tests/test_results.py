"""Published figures are those of the network that ships, and the README quotes them."""

import hashlib
import importlib.util
import json
from pathlib import Path

import pytest

from gliomakit.phantom import dataset
from gliomakit.weights import SHIPPED, load

ROOT = Path(__file__).parents[1]
CONTENT = json.loads((ROOT / "results" / "shipped.json").read_text())


def module(path):
    """A script as a module."""
    spec = importlib.util.spec_from_file_location(path.stem, path)
    loaded = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(loaded)
    return loaded


@pytest.fixture(scope="module")
def shipped():
    return module(ROOT / "results" / "shipped.py")


def test_the_figures_are_of_the_network_that_ships():
    digest = hashlib.sha256(SHIPPED.read_bytes()).hexdigest()
    assert CONTENT["about"]["weights_sha256"] == digest, "run `make results`"


def test_readme_and_table_say_what_the_results_say(shipped):
    readme = (ROOT / "README.md").read_text()
    assert shipped.with_figures(readme, CONTENT) == readme
    assert (ROOT / "results" / "shipped.md").read_text() == shipped.markdown(CONTENT)


def test_means_are_means_of_the_cases(shipped):
    for group, means in CONTENT["groups"].items():
        rows = [r for r in CONTENT["cases"] if r["group"] == group]
        assert rows and means == shipped.summary(rows)
    assert CONTENT["groups"][shipped.PHANTOMS]["wt"]["n"] == 8


def test_the_model_card_says_what_the_recipe_says():
    card = (SHIPPED.parent / "CARD.md").read_text()
    model = load()
    recipe = module(ROOT / "tools" / "train_weights.py")
    assert f"{recipe.RECIPE.steps:,} steps" in card
    assert f"{len(recipe.SEEDS)} phantoms" in card and f"version {dataset.VERSION}" in card
    assert f"seeds {recipe.SEEDS[0]} to {recipe.SEEDS[-1]}" in card
    assert model.settings.trained_on == recipe.RECIPE.trained_on
    used = {seed for part in dataset.EMBEDDED.values() for seed in part}
    assert not used & {*recipe.SEEDS, *recipe.VALIDATION}
    count = sum(p.numel() for p in model.network.parameters())
    assert f"{count:,} parameters" in card
    assert f"{model.network.config['base_filters']} base filters" in card
    assert "not a medical device" in card.lower() and "Copyright" in card
    assert SHIPPED.stat().st_size <= 8e6
