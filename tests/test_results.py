"""Published figures are those of the network that ships; README and model card quote them."""

import doctest
import hashlib
import importlib.util
import json
from copy import deepcopy
from pathlib import Path

import numpy as np
import pytest

from gliomakit.cases import Case, Grid
from gliomakit.phantom import dataset
from gliomakit.preprocess import Prepared
from gliomakit.regions import REGIONS, SEQUENCES
from gliomakit.weights import SHIPPED, load
from results import _inside, _lgg_tables, _measures, _tables, lgg, phantoms, shipped
from results._picture_files import small

ROOT = Path(__file__).parents[1]
CONTENT = json.loads((ROOT / "results" / "shipped.json").read_text())


def module(path):
    """A script as a module."""
    spec = importlib.util.spec_from_file_location(path.stem, path)
    loaded = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(loaded)
    return loaded


# --- what the tree says ---------------------------------------------------------------------------


def test_the_figures_are_of_the_network_and_the_phantoms_that_ship():
    digest = hashlib.sha256(SHIPPED.read_bytes()).hexdigest()
    assert CONTENT["about"]["weights_sha256"] == digest, "run `make results`"
    assert CONTENT["about"]["note"] == shipped.NOTE, "run `make results`"
    compared = json.loads((ROOT / "results" / "phantoms.json").read_text())
    assert compared["about"]["version"] == dataset.VERSION, "run `make results`"


def test_readme_card_and_table_say_what_the_results_say():
    readme, card = shipped.README.read_text(), shipped.CARD.read_text()
    assert _tables.with_figures(readme, CONTENT) == readme
    assert _tables.with_card(card, CONTENT) == card
    assert (ROOT / "results" / "shipped.md").read_text() == _tables.markdown(CONTENT)
    compared = json.loads((ROOT / "results" / "phantoms.json").read_text())
    assert (ROOT / "results" / "phantoms.md").read_text() == phantoms.markdown(compared)


def test_means_are_means_of_the_cases():
    for group, means in CONTENT["groups"].items():
        rows = [r for r in CONTENT["cases"] if r["group"] == group]
        assert rows and means == _tables.summary(rows)
    assert CONTENT["groups"][_tables.PHANTOMS]["wt"]["n"] == 8
    assert len(CONTENT["subsets"]) == 15 and CONTENT["subsets"][0]["wt"]["n"] == 8


def test_the_pictures_are_there_and_small():
    names = {f"worst_{region}" for region in CONTENT["worst"]} | {"reliability"}
    for name in names:
        assert (ROOT / "results" / "pictures" / f"{name}.png").stat().st_size < shipped.LARGEST
    assert (ROOT / "results" / "pictures" / "phantoms.png").stat().st_size < phantoms.LARGEST


def test_the_model_card_says_what_the_recipe_says():
    card = (SHIPPED.parent / "CARD.md").read_text()
    model = load()
    recipe = module(ROOT / "tools" / "train_weights.py")
    trained = json.loads((ROOT / "results" / "training.json").read_text())
    assert f"{trained['steps']:,} steps of eight patches of 80³" in card
    assert (trained["arguments"]["batch"], trained["arguments"]["patch"]) == ("8", "80")
    assert f"{trained['phantoms']:,} phantoms" in card and f"version {dataset.VERSION}" in card
    assert f"generators {trained['arguments']['generators']}" in card
    assert model.settings.patch == (80, 80, 80) and "no patient" in model.settings.trained_on
    for name, value in zip(("WT", "TC", "ET"), recipe.USE["threshold"], strict=True):
        assert f"{value:.2f} ({name})" in card and value in model.settings.threshold
    used = {seed for part in dataset.EMBEDDED.values() for seed in part}
    assert not used & {*recipe.SEEDS, *recipe.VALIDATION}
    count = sum(p.numel() for p in model.network.parameters())
    assert f"{count:,} parameters" in card
    assert f"{model.network.config['base_filters']} base filters" in card
    assert "not a medical device" in card.lower() and "Copyright" in card
    assert SHIPPED.stat().st_size <= 8e6


# --- how it is computed ---------------------------------------------------------------------------


@pytest.mark.parametrize("script", [_inside, _measures, _tables, phantoms])
def test_examples_in_docstrings_are_true(script):
    assert doctest.testmod(script).failed == 0


def scores(wt=(50, 50), tc=(20, 20), et=(0, 0), dice=0.5):
    """What `gliomakit evaluate` says of one patient: mL found and there."""
    found = {}
    for region, (mine, theirs) in zip(REGIONS, (wt, tc, et)):
        told = {"volume_ml": mine, "reference_ml": theirs}
        told["missed"] = not mine and theirs > 0
        told["spurious"] = mine > 0 and not theirs
        one_empty = told["missed"] or told["spurious"]
        told["dice"] = 0.0 if one_empty else dice if theirs else 1.0
        found[region] = told
    return {"case": "a", "regions": found}


def test_false_et_is_what_was_found_where_there_is_none():
    rows = [
        shipped.row("g", scores(et=(1.25, 0)), 1),
        shipped.row("g", scores(et=(0, 0)), 1),
        shipped.row("g", scores(et=(9, 0.02), dice=0.8), 1),  # 0.0 mL when rounded, yet there
    ]
    assert [r["et"]["false_ml"] for r in rows] == [1.25, 0.0, None]
    means = _tables.summary(rows)["et"]
    assert means["false_ml"] == 0.625 and means["n_without"] == 2 and means["spurious"] == 1
    assert means["dice"] == pytest.approx(0.6) and means["dice_where_there"] == 0.8
    assert means["n_where_there"] == 1
    cells = _tables.line("g", _tables.summary(rows)).split(" | ")
    assert cells[5:8] == ["0.600 (n = 3)", "0.800 (n = 1)", "0.62 (n = 2)"]
    assert cells[-2:] == ["0", "1 ET |"]


def test_real_patients_count_once():
    groups = (_tables.PHANTOMS, "BraTS 2021, four sequences", _tables.TWO)
    rows = [shipped.row(g, scores(), 1) for g in groups]
    assert _tables.real(rows) == rows[1:2]
    assert _tables.unique(rows) == list(groups)


def test_there_are_fifteen_subsets_of_the_sequences():
    assert len(set(_inside.SUBSETS)) == len(_inside.SUBSETS) == 15
    assert _inside.SUBSETS[0] == SEQUENCES and _inside.SUBSETS[-1] == ("t2",)
    assert {len(s) for s in _inside.SUBSETS} == {1, 2, 3, 4}
    rows = [
        {"sequences": list(s), **{r: {"dice": 0.5, "n": 8} for r in REGIONS}}
        for s in _inside.SUBSETS
    ]
    table = _tables.subset_table(rows)
    assert len(table) == 17 and table[0].startswith("| FLAIR | T1 | T1ce | T2 | WT (n = 8)")
    assert table[-1] == "| – | – | – | yes | 0.500 | 0.500 | 0.500 |"
    assert len({line.count("|") for line in table}) == 1


def box():
    """A brain of 8 × 8 × 8 voxels with edema and core."""
    image = np.zeros((4, 10, 10, 10), np.float32)
    image[:, 1:9, 1:9, 1:9] = np.arange(1, 5)[:, None, None, None]
    label = np.zeros((10, 10, 10), np.uint8)
    label[2:6, 2:6, 2:6], label[3:5, 3:5, 3:5] = 1, 2
    affine = np.diag([2.0, 2.0, 2.0, 1.0])
    return Case("box", image, SEQUENCES, affine, Grid(label.shape, affine), label, "msd")


def test_a_case_with_fewer_sequences_leaves_the_case_alone():
    case = box()
    fewer = _inside.with_only(case, ("flair", "t1ce"))
    assert fewer.present == ("flair", "t1ce") and case.present == SEQUENCES
    assert fewer.image.reshape(4, -1).max(1).tolist() == [1, 0, 3, 0]
    assert case.image.reshape(4, -1).max(1).tolist() == [1, 2, 3, 4]
    assert (fewer.label == case.label).all()


def test_dice_is_none_where_there_is_nothing():
    reference = box().regions()
    found = _inside.dices(reference, reference)
    assert found == {"wt": 1.0, "tc": 1.0, "et": None}
    means = _inside.mean_there([found, {"wt": 0.0, "tc": None, "et": None}])
    assert means["wt"] == {"dice": 0.5, "n": 2} and means["tc"]["n"] == 1
    assert means["et"] == {"dice": None, "n": 0}


def test_the_worst_is_taken_where_there_is_some():
    rows = [shipped.row("g", scores(et=(1, 0)) | {"case": "false"}, 1)]
    assert _inside.worst(rows, "et") is None
    for name, value in (("good", 0.9), ("bad", 0.2)):
        rows.append(shipped.row("g", scores(et=(5, 5), dice=value) | {"case": name}, 1))
    assert _inside.worst(rows, "et")["case"] == "bad"


def table(n, probability, observed):
    return {"n": n, "probability": probability, "observed": observed, "ece": 0.01, "edges": [0, 1]}


def test_reliability_is_of_the_voxels_in_the_brain():
    case = box()
    said = np.full((3, *case.label.shape), 0.25, np.float32)
    said[:, 0] = 0.95  # outside the brain
    found = type("Found", (), {"probability": said})()
    tables = _inside.reliability([case], [found])
    assert sum(tables["wt"]["n"]) == tables["wt"]["n"][2] == 8**3
    share = case.regions()[0].sum() / 8**3
    assert tables["wt"]["ece"] == pytest.approx(0.25 - share, abs=1e-4)


def test_a_bin_with_few_voxels_is_not_the_furthest_off():
    assert _tables.furthest_off(table([1, 1], [0.1, 0.9], [0.0, 0.0])) is None
    wt = table([90_000, 10_000], [0.01, 0.8], [0.01, 0.6])
    lines = _tables.reliability_lines({"wt": wt, "et": table([5], [0.1], [0.9])})
    assert "100,000 voxels" in lines[0] and "90%" in lines[0]
    assert lines[-2:] == [
        "| whole tumour | 0.0100 | says 80%, 60% are tumour |", "| enhancing tumour | 0.0100 | – |"
    ]  # fmt: skip


def made_up():
    """Content as a run gives it, of one phantom and one patient."""
    rows = [shipped.row(g, scores(), 1) for g in (_tables.PHANTOMS, "real", _tables.TWO)]
    means = {r: {"dice": 0.5, "n": 1} for r in REGIONS}
    return {
        "about": {
            "note": "A note.", "minutes": 1, "machine": "none", "weights_sha256": "0" * 64,
            "phantom_seconds": {"2mm": 1, "1mm": 2},
        },
        "groups": {r["group"]: _tables.summary([r]) for r in rows},
        "real": _tables.summary(rows[1:2]),
        "subsets": [{"sequences": list(s), **means} for s in _inside.SUBSETS],
        "reliability": {r: table([5000, 2000], [0.1, 0.9], [0.2, 0.8]) for r in REGIONS},
        "worst": {"wt": {"case": "a", **rows[0]["wt"]}},
        "alt": {"reliability": "a diagram", "wt": "a picture"},
        "cases": rows,
    }  # fmt: skip


def test_figures_go_between_the_marks_and_can_be_written_again():
    content = made_up()
    page = f"before\n\n{_tables.BEGIN}\n\nold\n\n{_tables.END}\n\nafter\n"
    for fill in (_tables.with_figures, _tables.with_card):
        filled = fill(page, content)
        assert filled.startswith("before\n") and filled.endswith("\nafter\n")
        assert "old" not in filled and "\n\n\n" not in filled
        assert fill(filled, content) == filled
    assert "](../../results/pictures/worst_wt.png)" in filled and "worst_et" not in filled
    alone = deepcopy(content)
    alone["real"] = None
    alone["groups"] = {_tables.PHANTOMS: content["groups"][_tables.PHANTOMS]}
    assert "real patients" not in _tables.with_figures(page, alone).replace("**", "")
    assert "\n\n\n" not in _tables.markdown(content)


def exam(seed=0, present=SEQUENCES):
    """A prepared exam: noise, and a plate of ET 8 mm thick within core within edema."""
    draw = np.random.default_rng(seed)
    code = np.zeros((20, 20, 20), np.uint8)
    code[2:18, 2:18, 4:16], code[2:18, 2:18, 6:14], code[2:18, 2:18, 8:12] = 1, 2, 3
    image = draw.normal(0, 1, (4, *code.shape)).astype(np.float32)
    image[[s not in present for s in SEQUENCES]] = 0
    image[2, code == 3] += 5
    brain = np.ones(code.shape, bool)
    return Prepared("x", image, code, brain, present, np.eye(4), (2.0, 2.0, 2.0), None)


def test_phantoms_are_measured_by_tissue_and_shape():
    found = _measures.measure(exam())
    assert found["ET", "t1ce", "mean"] == pytest.approx(5, abs=0.2)
    assert found["edema", "t2", "sd"] == pytest.approx(1, abs=0.1)
    assert found["normal brain", "t1", "95 %"] == pytest.approx(1.64, abs=0.1)
    assert found["shape", "", "WT, mL"] == pytest.approx(16 * 16 * 12 * 0.008)
    assert found["shape", "", "ET / TC"] == 0.5
    # Its narrow sides count too, so a plate of 32 × 32 mm seems a little thinner.
    assert found["shape", "", "thickness of ET, mm"] == pytest.approx(7.5, abs=0.6)
    part = _measures.measure(exam(present=("flair",)), whole=False)
    assert {key[1] for key in part} == {"flair"}


def test_phantoms_are_compared_with_patients():
    measured = [_measures.measure(exam(seed)) for seed in range(5)]
    rows = _measures.compared(measured, measured[:2] + [{("ET", "t1ce", "mean"): 99.0}])
    row = next(r for r in rows if (r["tissue"], r["sequence"], r["what"]) == ("ET", "t1ce", "mean"))
    assert row["phantoms"]["n"] == 5 and row["real"]["n"] == 3 and row["real"]["high"] == 99
    assert row["real"]["inside"] <= 2
    assert [r["what"] for r in rows[:5]] == ["5 %", "25 %", "50 %", "75 %", "95 %"]
    assert [r["tissue"] for r in rows[-4:]] == ["shape"] * 4
    alone = _measures.compared(measured, [])
    assert all(r["real"] is None for r in alone)
    heads = [phantoms.table(some, "ET")[0] for some in (rows[-8:-4], alone[-8:-4])]
    assert "real patients" in heads[0] and "real" not in heads[1]


def test_histograms_overlap_with_themselves():
    one = _measures.histogram(np.random.default_rng(0).normal(0, 3, 1000))
    assert one.sum() == pytest.approx(1) and _measures.overlap([one], [one]) == pytest.approx(1)
    found = _measures.overlaps([one, one], [one, one])
    assert found == {
        "phantom_phantoms": 1, "pools": 1, "real_phantoms": 1, "real_real": 1, "n_real": 2
    }  # fmt: skip
    assert set(_measures.overlaps([one, one], [])) == {"phantom_phantoms"}


def test_a_prepared_exam_can_be_drawn():
    seen = phantoms.as_seen(exam(present=("flair", "t1ce")))
    assert seen.present == ("flair", "t1ce") and not seen.image[1].any()
    assert seen.regions().reshape(3, -1).sum(1).tolist() == [3072, 2048, 1024]


def test_a_picture_gets_as_small_as_is_asked(tmp_path):
    from gliomakit import plots

    figure = plots.sheet([box()])
    free = small(figure, tmp_path / "free.png", 10**9).stat().st_size
    assert small(figure, tmp_path / "a" / "tight.png", free // 2).stat().st_size <= free // 2


# --- networks at the same cost --------------------------------------------------------------------

NETWORKS = json.loads(lgg.SAVED.read_text())


def test_the_page_of_networks_says_what_was_kept():
    page = (ROOT / "results" / "lgg.md").read_text()
    assert page == _lgg_tables.markdown(NETWORKS, _lgg_tables.drawn(NETWORKS).alt)
    assert NETWORKS["about"]["versions"]["phantom"] == dataset.VERSION, "run `make results`"


def test_networks_are_trained_and_scored_on_other_patients():
    named = json.loads((ROOT / "data" / "splits" / "lgg.json").read_text())["validation"]
    test = {f"phantom_{seed:05d}" for seed in lgg.PARTS["test"]}
    parts = [set(seeds) for seeds in lgg.PARTS.values()]
    assert len(set.union(*parts)) == sum(map(len, parts)) and max(set.union(*parts)) < 300
    for row in NETWORKS["rows"].values():
        if row["data"] == "lgg":
            assert set(row["volumes"]) == set(named)
        elif row["data"] == "phantoms":
            assert set(row["volumes"]) == test
            assert row["rate"] == NETWORKS["best_rates"][row["network"]]
        if "gmac" in row:  # the purse, to a step
            purse = NETWORKS["about"]["gmac"][row["data"]]
            assert abs(row["gmac"] - purse) <= row["gmac"] / row["steps"] + 1


def test_the_rate_is_the_best_on_validation_phantoms():
    assert lgg.best_rates(NETWORKS["rows"], NETWORKS["about"]["networks"]) == NETWORKS["best_rates"]
    rows = {
        str(i): {"data": data, "network": "a", "rate": rate, "per_volume": dice}
        for i, (data, rate, dice) in enumerate(
            [("rates", 1, 0.2), ("rates", 2, 0.4), ("lgg", 3, 1)]
        )
    }
    assert lgg.best_rates(rows, ["a"]) == {"a": 2}


def test_rows_of_other_settings_are_not_kept(tmp_path):
    about = {"side": 64, "rates": (1, 2)}
    content = lgg.kept(tmp_path / "none.json", about)
    row = {"data": "lgg", "seed": 0, "network": "Dynamic, random", "rate": 0.1}
    content["rows"]["x"] = row
    lgg.save(content, tmp_path / "a" / "kept.json")
    assert lgg.kept(tmp_path / "a" / "kept.json", about)["rows"] == {"x": row}
    assert lgg.kept(tmp_path / "a" / "kept.json", about | {"side": 32})["rows"] == {}
    (tmp_path / "a" / "kept.json").write_text("{")
    assert lgg.kept(tmp_path / "a" / "kept.json", about)["rows"] == {}


def test_a_patient_counts_once_however_many_seeds():
    rows = [{"volumes": {"a": 0.2, "b": 0.6}}, {"volumes": {"a": 0.4, "b": 0.8}}]
    found = _lgg_tables.by_patient(rows)
    assert found == pytest.approx({"a": 0.3, "b": 0.7})


def test_lesson_09_says_of_the_long_race_what_it_shows():
    best, flair, small = {}, {}, {"Classical, 16 channels", "3-D, 8 channels"}
    for data in ("phantoms", "lgg"):
        found = _lgg_tables.members(NETWORKS, data)
        assert all(len(rows) == 3 for rows in found.values()), "three seeds each"
        means = {n: np.mean([r["per_volume"] for r in rows]) for n, rows in found.items()}
        wide = [means[n] for n in NETWORKS["about"]["networks"] if n not in small]
        assert min(means[n] for n in small) > max(wide)
        best[data] = max(small, key=means.get)
        start = means["Dynamic, from phantoms"] - means["Dynamic, random"]
        assert abs(start) < 0.1, "the start from phantoms is no clear help"
        scores = NETWORKS["baselines"][data]
        assert scores["nearest slice (split by slice)"]["per_volume"] > max(means.values())
        flair[data] = scores["FLAIR threshold"]["per_volume"] - np.array(wide)
    assert set(best.values()) == {"Classical, 16 channels"}
    seeds = {n: [r["per_volume"] for r in rows] for n, rows in found.items()}  # of real slices
    empty, *others = sorted(seeds.pop("3-D, 8 channels"))
    assert empty == 0 and min(others) > max(max(dice) for dice in seeds.values())
    assert np.abs(flair["phantoms"]).max() < 0.1 and flair["lgg"].max() < 0
