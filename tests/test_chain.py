"""The main job by the command line alone: phantoms, train, segment, evaluate."""

import json
import os
import subprocess
import sys

import nibabel as nib
import numpy as np
import pytest


def gliomakit(*words, **environment):
    """Run a command in a process of its own; what it said on stdout."""
    done = subprocess.run(
        [sys.executable, "-m", "gliomakit", *map(str, words)],
        capture_output=True,
        text=True,
        timeout=600,
        env=os.environ | environment,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_from_nothing_to_a_score(tmp_path):
    """Two phantoms to learn from, a third to segment."""
    here = {"GLIOMAKIT_CACHE": str(tmp_path / "cache"), "OMP_NUM_THREADS": "1"}
    data, run, split = tmp_path / "data", tmp_path / "run", tmp_path / "split.json"
    gliomakit("phantoms", data, "--cases", 3, "--spacing", 4, "--seed", 1000, **here)
    names = sorted(path.name.removesuffix(".nii.gz") for path in (data / "labelsTr").iterdir())
    split.write_text(json.dumps({"training": names[:2]}))
    small = ("--spacing", 4, "--filters", 4, "--patch", 32, "--precision", "fp32")
    line = ("train", data, "--split", split, "--out", run, *small, "--rate", 0.01)
    gliomakit(*line, "--steps", 40, **here)
    new = data / "imagesTr" / f"{names[2]}.nii.gz"
    weights = run / "model.safetensors"
    line = ("segment", new, "--out", tmp_path / "out", "--weights", weights, "--json")
    cases = json.loads(gliomakit(*line, **here))["cases"]
    assert [case["case"] for case in cases] == names[2:]
    score = json.loads(gliomakit("evaluate", tmp_path / "out", data, "--json", **here))
    assert score["mean"]["wt"]["n"] == 1 and not score["failed"]
    assert score["mean"]["wt"]["dice"] > 0.3, "a network that learned nothing has below 0.15"
    for case, scored in zip(cases, score["cases"], strict=True):
        volume = scored["regions"]["wt"]["volume_ml"]
        assert case["volumes_ml"]["wt"] == pytest.approx(volume, abs=1e-3)
        label = nib.load(tmp_path / "out" / f"{case['case']}.nii.gz")
        voxels = np.count_nonzero(label.dataobj)
        assert voxels * np.prod(label.header.get_zooms()) / 1000 == pytest.approx(volume)


@pytest.fixture(scope="module")
def unseen(tmp_path_factory):
    """What `evaluate` says of the shipped weights on the eight embedded test patients."""
    from gliomakit.phantom import embedded
    from gliomakit.phantom.dataset import embedded_names

    root, out = embedded(progress=False), tmp_path_factory.mktemp("unseen")
    images = [root / "imagesTr" / f"{name}.nii.gz" for name in embedded_names("test")]
    gliomakit("segment", *images, "--out", out)
    return json.loads(gliomakit("evaluate", out, root, "--json"))


def test_shipped_weights_on_phantoms_they_have_not_seen(unseen):
    """Mean Dice of the whole tumour at least 0.90, and no patient far below."""
    assert unseen["mean"]["wt"]["n"] == 8 and not unseen["failed"]
    assert unseen["mean"]["wt"]["dice"] >= 0.90, unseen["mean"]
    assert min(case["regions"]["wt"]["dice"] for case in unseen["cases"]) >= 0.80
