"""Lessons with a real patient in GLIOMAKIT_DATA: the same cells, another picture."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from gliomakit.course import run

DATA = Path(os.environ.get("GLIOMAKIT_REAL_DATA") or "missing")
pytestmark = [
    pytest.mark.real,
    pytest.mark.lesson,
    pytest.mark.skipif(
        not (DATA / "brats2021").is_dir(),
        reason="needs real patients: GLIOMAKIT_REAL_DATA names no folder with brats2021/",
    ),
]


def test_lesson_00_segments_the_first_real_patient_that_it_finds(tmp_path, monkeypatch):
    monkeypatch.setenv("GLIOMAKIT_DATA", str(DATA / "brats2021"))
    (outcome,) = run.run(["00"], out=tmp_path)
    assert outcome.error is None, outcome.error.block
    assert outcome.figures["own_dice_wt"] >= 0.6
    pictures = [
        o
        for c in outcome.notebook.cells
        for o in c.get("outputs", [])
        if "image/png" in o.get("data", {})
    ]
    assert len(pictures) == 3


def test_lesson_00_goes_on_where_there_is_no_3d_patient(tmp_path, monkeypatch):
    monkeypatch.setenv("GLIOMAKIT_DATA", str(DATA / "lgg"))
    (outcome,) = run.run(["00"], out=tmp_path)
    assert outcome.error is None, outcome.error.block
    assert "own_dice_wt" not in outcome.figures


@pytest.mark.parametrize(("folder", "name"), [("brats2021", "BraTS"), ("msd_partial", "BRATS")])
def test_lesson_01_reads_the_first_real_patient_that_it_finds(folder, name, tmp_path, monkeypatch):
    monkeypatch.setenv("GLIOMAKIT_DATA", str(DATA / folder))
    (outcome,) = run.run(["01"], out=tmp_path)
    assert outcome.error is None, outcome.error.block
    assert outcome.figure.startswith(name)
    assert outcome.figures["label_found"] and outcome.figures["order_found"]


def test_lesson_01_goes_on_where_there_is_no_3d_patient(tmp_path, monkeypatch):
    monkeypatch.setenv("GLIOMAKIT_DATA", str(DATA / "lgg"))
    (outcome,) = run.run(["01"], out=tmp_path)
    assert outcome.error is None, outcome.error.block
    assert outcome.figure.startswith("phantom")


def test_lesson_02_works_on_real_patients(tmp_path, monkeypatch):
    monkeypatch.setenv("GLIOMAKIT_DATA", str(DATA / "brats2021"))
    (outcome,) = run.run(["02"], out=tmp_path)
    assert outcome.error is None, outcome.error.block
    found = outcome.figures
    assert found["dice_in_box"] >= found["dice_everywhere"] > 0.4
    assert 0 <= found["gap_network"] < 0.02 and found["copy_by_slice"] > found["copy_by_patient"]


@pytest.mark.parametrize(("folder", "n"), [("brats2021", 5), ("msd_partial", 2)])
def test_lesson_07_scores_real_patients(folder, n, tmp_path, monkeypatch):
    monkeypatch.setenv("GLIOMAKIT_DATA", str(DATA / folder))
    (outcome,) = run.run(["07"], out=tmp_path)
    assert outcome.error is None, outcome.error.block
    found = outcome.figures
    assert found["n"] == n and found["dice_tc"] > 0.4
    assert found["low_wt"] <= found["dice_wt"] <= found["high_wt"]
    if n > 2:
        assert found["hd95_two_left_out"] <= found["hd95_none_missed"] < found["hd95_two_counted"]


def test_lesson_07_goes_on_where_there_is_no_3d_patient(tmp_path, monkeypatch):
    monkeypatch.setenv("GLIOMAKIT_DATA", str(DATA / "lgg"))
    (outcome,) = run.run(["07"], out=tmp_path)
    assert outcome.error is None, outcome.error.block
    assert outcome.figures["n"] == 8


@pytest.mark.skipif(not (DATA / "lgg" / "unpack.py").is_file(), reason="needs real slices: lgg/")
def test_lesson_08_trains_on_real_slices(tmp_path, monkeypatch):
    """Two steps an epoch: the real slices go all the way through."""
    monkeypatch.setenv("GLIOMAKIT_DATA", str(handful(tmp_path)))
    (outcome,) = run.run(["08"], out=tmp_path / "out", smoke=True)
    assert outcome.error is None, outcome.error.block
    found = outcome.figures
    assert found["real_nothing"] == 342 / 512 and found["skips"] == 4
    assert 0 <= found["per_volume"] <= 1 and found["nothing_per_volume"] == 0


@pytest.mark.skipif(not (DATA / "lgg" / "unpack.py").is_file(), reason="needs lgg/")
def test_lesson_09_races_on_real_slices(tmp_path, monkeypatch):
    """Two steps a network: the real slices go all the way through."""
    monkeypatch.setenv("GLIOMAKIT_DATA", str(handful(tmp_path)))
    (outcome,) = run.run(["09"], out=tmp_path / "out", smoke=True)
    assert outcome.error is None, outcome.error.block
    assert len(outcome.figures["live"]) == 4 and outcome.figures["live"][-1] == 0


def handful(tmp_path):
    """Four real patients of the LGG set, one of them a named one, in their layout."""
    whole, few = tmp_path / "all", tmp_path / "few"
    lgg = DATA / "lgg"
    subprocess.run([sys.executable, lgg / "unpack.py", lgg, whole], check=True)
    named = set((lgg / "validation.txt").read_text().split())
    folders = sorted((whole / "kaggle_3m").iterdir())
    kept = [f for f in folders if f.name in named][:1] + [f for f in folders if f.name not in named]
    for folder in kept[:4]:
        shutil.copytree(folder, few / "kaggle_3m" / folder.name)
    return few


@pytest.mark.skipif(not (DATA / "lgg" / "unpack.py").is_file(), reason="needs lgg/")
def test_lesson_12_copies_real_slices(tmp_path, monkeypatch):
    folder = tmp_path / "slices"
    subprocess.run([sys.executable, DATA / "lgg" / "unpack.py", DATA / "lgg", folder], check=True)
    monkeypatch.setenv("GLIOMAKIT_DATA", str(folder))
    (outcome,) = run.run(["12"], out=tmp_path / "out")
    assert outcome.error is None, outcome.error.block
    found = outcome.figures
    # All 110 patients give .855 by slice; here are 40. By patient: the share of empty slices.
    assert found["real_by_slice"] == pytest.approx(0.855, abs=0.02)
    assert found["real_by_patient"] == pytest.approx(found["real_empty"])


@pytest.mark.skipif(not (DATA / "msd_partial").is_dir(), reason="needs msd_partial/")
def test_lesson_12_looks_at_real_labels(tmp_path, monkeypatch):
    monkeypatch.setenv("GLIOMAKIT_DATA", str(DATA / "msd_partial"))
    (outcome,) = run.run(["12"], out=tmp_path)
    assert outcome.error is None, outcome.error.block
    assert outcome.figures["patients"] > 4
    assert outcome.figures["label_3"] > outcome.figures["label_2"]
