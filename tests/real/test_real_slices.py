"""The real LGG slices of the shared data: what is read, and the figures that lesson 12 rests on."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from gliomakit import slices
from gliomakit.project import shipped
from gliomakit.slicewise import (
    above,
    best_threshold,
    nearest_slice,
    predict_nothing,
    relative,
    slice_scores,
)

DATA = Path(os.environ.get("GLIOMAKIT_REAL_DATA") or "missing") / "lgg"
pytestmark = [
    pytest.mark.real,
    pytest.mark.skipif(
        not (DATA / "unpack.py").is_file(),
        reason="needs real slices: GLIOMAKIT_REAL_DATA names no folder with lgg/",
    ),
]


@pytest.fixture(scope="module")
def patients(tmp_path_factory):
    folder = tmp_path_factory.mktemp("lgg")
    subprocess.run([sys.executable, DATA / "unpack.py", DATA, folder], check=True)
    return slices.find_patients(folder)


@pytest.fixture(scope="module")
def volumes(patients):
    return {patient.name: slices.read_patient(patient) for patient in patients}


def parts(volumes):
    named = json.loads(shipped("splits/lgg.json").read_text(encoding="utf-8"))["validation"]
    masks = {name: mask for name, (_, mask) in volumes.items()}
    validation = {name: masks[name] for name in named}
    return {n: m for n, m in masks.items() if n not in validation}, validation


def test_all_of_them_are_read(patients):
    assert len(patients) == 40 and sum(map(len, patients)) == 1176


def test_the_facts_that_travel_with_the_package_are_true(volumes):
    facts = json.loads(shipped("lgg_slices.json").read_text(encoding="utf-8"))["patients"]
    assert set(facts) == set(volumes)
    for name, (images, masks) in volumes.items():
        assert facts[name]["slices"] == len(images)
        pixels = {str(n + 1): int(p) for n, p in enumerate(masks.sum((1, 2))) if p}
        assert facts[name]["tumour"] == pixels
        same = [
            c
            for c, i in (("pre-contrast", 0), ("post-contrast", 2))
            if np.array_equal(images[..., i], images[..., 1])
        ]
        assert facts[name]["missing"] == same


def test_predicting_nothing_on_the_15_patients(volumes):
    _, validation = parts(volumes)
    found = slice_scores(predict_nothing(validation), validation)
    assert found.slices == 512 and found.per_slice == 342 / 512 == 0.66796875
    assert round(found.accuracy, 4) == 0.9907
    assert found.positive == found.pooled == found.per_volume == 0
    # What .870941 over all slices says of those with tumour, if each empty one were right.
    assert (0.870941 - found.empty) / (1 - found.empty) == pytest.approx(0.611, abs=5e-4)


def test_a_threshold_of_flair(volumes):
    training, validation = parts(volumes)
    flair = {name: relative(images[..., 1]) for name, (images, _) in volumes.items()}
    threshold = best_threshold({n: flair[n] for n in training}, training)
    found = slice_scores(above({n: flair[n] for n in validation}, threshold), validation)
    assert found.pooled == pytest.approx(0.15, abs=0.01)


def test_copying_the_nearest_slice(volumes):
    """All 110 patients give .855 ± .006 under a split by slice; here are 40 of them."""
    masks = {name: mask for name, (_, mask) in volumes.items()}
    scores = []
    for seed in range(5):
        rng = np.random.default_rng(seed)
        pred, ref = {}, {}
        for name, volume in masks.items():
            known = rng.random(len(volume)) < 0.8
            if not known.all():
                pred[name], ref[name] = nearest_slice(volume, known)[~known], volume[~known]
        scores.append(slice_scores(pred, ref))
    assert np.mean([s.per_slice for s in scores]) == pytest.approx(0.855, abs=0.02)
    assert min(s.accuracy for s in scores) > 0.995
    _, validation = parts(volumes)
    blind = {name: nearest_slice(v, np.zeros(len(v), bool)) for name, v in validation.items()}
    assert slice_scores(blind, validation) == slice_scores(predict_nothing(validation), validation)
