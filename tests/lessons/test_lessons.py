"""Every lesson: its parts, its words, and both of its notebooks executed."""

from __future__ import annotations

import json
import re
from types import SimpleNamespace

import nibabel as nib
import numpy as np
import pytest

from gliomakit import metrics
from gliomakit.cases import find_cases
from gliomakit.course import build, run
from gliomakit.errors import GliomakitError
from gliomakit.paths import data_folder

PLACES = build.here()
LESSONS = build.select(PLACES, None)
EACH = pytest.mark.parametrize("lesson", LESSONS, ids=[one.name for one in LESSONS])

SHORT = {"00_start_here"}
"""Lessons that may be shorter than the others, with a single exercise."""

HOLDS = {
    "00_start_here": {
        "dice_wt": lambda x: 0.8 <= x <= 1,
        "dice_tc": lambda x: 0 <= x <= 1,
        "dice_et": lambda x: 0 <= x <= 1,
        "seconds": lambda x: 0 < x < 60,
    },
    "01_explore_the_data": {
        "wt_ml": lambda x: 60 < x < 64,
        "tc_ml": lambda x: 38 < x < 42,
        "et_ml": lambda x: 15 < x < 18,
        "tc_swapped_ml": lambda x: 35 < x < 40,
        "accuracy_of_nothing": lambda x: 0.94 < x < 0.95,
        "dice_of_nothing": lambda x: x == 0,
        "edema_on_flair": lambda x: x > 3,
        "conventions": lambda x: x == ["msd", "brats2015", "brats2023", "brats2024"],
        "label_found": lambda x: x is True,
        "order_found": lambda x: x is True,
        "patients": lambda x: x == 24,
        "without_et": lambda x: x == 5,
        "all_cases": lambda x: x == 750,
        "labelled": lambda x: x == 484,
        "split": lambda x: x == [400, 29, 55],
    },
    "02_preprocess": {
        "left": lambda x: 0.3 < x < 0.6,
        "dice_everywhere": lambda x: 0.45 < x < 0.7,
        "dice_in_box": lambda x: 0.75 < x < 0.95,
        "dice_honest": lambda x: 0.65 < x < 0.8,
        "threshold_everywhere": lambda x: 0.75 < x < 1.5,
        "threshold_in_box": lambda x: 0.25 < x < 1,
        "gap_network": lambda x: 0 <= x < 0.02,
        "bias_before": lambda x: 0.1 < x < 0.2,
        "bias_after": lambda x: 0 < x < 0.05,
        "wt_at_2mm": lambda x: 0.9 < x < 1,
        "et_at_2mm": lambda x: 0.7 < x < 0.9,
        "et_at_4mm": lambda x: 0.3 < x < 0.6,
        "copy_by_slice": lambda x: 0.6 < x < 0.9,
        "copy_by_patient": lambda x: 0.2 < x < 0.6,
    },
    "03_patches": {
        "scan_gib": lambda x: 12 < x < 30,
        "batch_gib": lambda x: 3 < x < 12,
        "empty_exact": lambda x: 0.3 < x < 0.6,
        "empty_within": lambda x: x is True,
        "empty_balanced": lambda x: 0.1 < x < 0.35,
        "orientations": lambda x: x == 16,
        "same_batch": lambda x: x is True,
        "speed_ratio": lambda x: x > 0,
        "error_own": lambda x: x < 1e-5,
        "error_package": lambda x: x < 1e-5,
        "seam_gain": lambda x: 0.7 < x < 1,
    },
    "04_unet3d_by_hand": {
        "parameters": lambda x: x == 19_072_098,
        "gmac": lambda x: abs(x - 244.91) < 0.01,
        "agree": lambda x: x == 21,
        "same": lambda x: x is True,
        "cicek": lambda x: x == 19_069_955,
        "field": lambda x: x == 92,
        "seen": lambda x: 88 <= x <= 92,
        "patch_mb": lambda x: abs(x - 651.2) < 0.1,
        "measured_over_estimated": lambda x: abs(x - 1) < 0.01,
    },
    "05_weighted_dice": {
        "best_cross_entropy": lambda x: x == 0.02,
        "best_weighted": lambda x: 0.1 < x < 0.2,
        "share_empty": lambda x: 0.25 < x < 0.45,
        "pull_paper": lambda x: 0 <= x < 1e-9,
        "pull_skip": lambda x: x > 1e-3,
        "sliver_square": lambda x: 0.2 < x < 0.4,
        "sliver_uniform": lambda x: x < 0.01,
        "smoothed_128": lambda x: 0.2 < x < 0.35,
        "found_cross_entropy": lambda x: x < 0.1,
        "found_dice": lambda x: x > 5,
        "saved_paper": lambda x: 0.1 < x < 0.4,
        "saved_skip": lambda x: 0.2 < x < 0.6,
        "live_dice": lambda x: 0.05 < x < 0.5,
    },
    "06_train": {
        "saved_dice": lambda x: x >= 0.80,
        "live_dice": lambda x: x >= 0.5,
        "one_batch": lambda x: x < 0.03,
        "forgetful": lambda x: x > 0.05,
        "paper_floor": lambda x: 0.45 < x < 0.6,
        "first_step": lambda x: abs(x - 1) < 1e-3,
        "first_step_uncorrected": lambda x: 2.5 < x < 4,
        "resumed_equal": lambda x: x is True,
        "resumed_at": lambda x: x == 4,
        "gap_overfit": lambda x: x > 0.2,
        "gap_ten": lambda x: x < 0.3,
        "seen_underfit": lambda x: x < 0.3,
        "eflop": lambda x: abs(x - 0.94) < 0.01,
        "hours_k80": lambda x: 115 < x < 125,
    },
    "07_evaluate": {
        "n": lambda x: x == 8,
        "threshold": lambda x: 0.3 <= x <= 0.7,
        "dice_wt": lambda x: 0.80 < x < 1,
        "dice_tc": lambda x: 0.6 < x < 0.95,
        "dice_et": lambda x: 0.55 < x < 0.95,
        "low_wt": lambda x: 0.4 < x < 1,
        "high_wt": lambda x: 0.8 < x < 1,
        "lesion_tc": lambda x: 0.3 < x < 0.75,
        "one_voxel": lambda x: 0.4 < x < 0.8,
        "hd95_none_missed": lambda x: 2 < x < 25,
        "hd95_two_left_out": lambda x: 1 < x < 15,
        "hd95_two_counted": lambda x: x > 60,
        "et_left_out": lambda x: 0.55 < x < 0.95,
        "et_policy": lambda x: 0.4 < x < 0.9,
        "two_definitions": lambda x: x >= 1,
        "ece_near": lambda x: 0 < x < 0.2,
        "ece_everywhere": lambda x: 0 < x < 0.02,
        "entropy_wrong": lambda x: 0.2 < x < 1,
        "entropy_right": lambda x: 0 < x < 0.5,
        "sure_and_wrong": lambda x: 0 < x < 0.7,
        "with_background": lambda x: 0.88 < x < 1,
        "paper_low": lambda x: abs(x - 0.9127) < 1e-3,
        "paper_high": lambda x: abs(x - 0.9167) < 1e-3,
    },
    "08_fastai_dynamic_unet": {
        "start": lambda x: x in ("imagenet", "phantoms", "random"),
        "parameters": lambda x: 41.0e6 < x < 41.5e6,
        "skips": lambda x: x == 4,
        "fourth_unseen": lambda x: x is True,
        "below_eps": lambda x: 0 < x <= 1,
        "per_slice": lambda x: 0 <= x <= 1,
        "per_volume": lambda x: 0 <= x <= 1,
        "nothing_per_slice": lambda x: 0.4 < x < 0.7,
        "nothing_per_volume": lambda x: x == 0,
        "real_nothing": lambda x: x == 342 / 512,
        "emptied_per_slice": lambda x: 0.4 < x < 0.7,
        "emptied_per_volume": lambda x: x == 0,
        "saved_runs": lambda x: 5 <= x <= 7,
        "reloaded": lambda x: x < 1e-2,
    },
    "09_classical_or_dynamic": {
        "parameters": lambda x: x == 31_031_810,
        "package_parameters": lambda x: x == 31_031_810,
        "balance": lambda x: x == 1,
        "more_parameters": lambda x: x == 9 * 6 * 64,
        "live": lambda x: len(x) == 4 and x[-1] == 0 and max(x) > 0.1,
        "networks": lambda x: x >= 6,
        "real_patients": lambda x: x == 15,
        "compared_on": lambda x: x == ["phantoms", "lgg"],
    },
    "10_neptune_dashboards": {
        "runs": lambda x: x == 5,
        "suspects": lambda x: x == ["copied"],
        "best": lambda x: x in ("steady", "copied", "wide"),
        "best_dice": lambda x: 0.5 < x <= 1,
        "hot_dice": lambda x: 0 <= x < 0.3,
    },
    "11_tune": {
        "live_trials": lambda x: 12 <= x <= 13,
        "by_hand": lambda x: len(x) == 2 and x[1] > x[0] + 0.2,
        "trials": lambda x: x == 40,
        "stopped": lambda x: 5 <= x <= 25,
        "claimed": lambda x: x > 0.1,
        "repeated": lambda x: 0.03 < x < 0.15,
        "gain": lambda x: 0 < x < 0.1,
        "gain_low": lambda x: x > 0,
        "kept_one": lambda x: x < 0,
        "lead_of_40": lambda x: x > 0,
        "left_on_test": lambda x: len(x) == 2 and max(x) < 0,
        "importances_agree": lambda x: x is False,
    },
    "13_open_anywhere": {
        "onnx": lambda x: 0 <= x <= 1e-4,
        "torch_export": lambda x: 0 <= x <= 1e-4,
        "agree": lambda x: x is True,
        "torch_loaded": lambda x: x is False,
        "differ": lambda x: 0 <= x < 100,
        "memory_mb": lambda x: x is None or 100 < x < 4000,
        "cents": lambda x: 0 < x < 10,
        "door": lambda x: x in ("a login page", "no (403)"),
    },
    "12_read_the_papers": {
        "nothing": lambda x: x == 342 / 512,
        "accuracy_of_nothing": lambda x: abs(x - 0.9907) < 5e-5,
        "positive_low": lambda x: abs(x - 0.611) < 5e-4,
        "tumour_low": lambda x: abs(x - 0.913) < 5e-4,
        "tumour_high": lambda x: abs(x - 0.917) < 5e-4,
        "parameters": lambda x: x == 19_072_098,
        "hours": lambda x: 115 < x < 125,
        "own_epoch_3": lambda x: 0.10 < x < 0.12,
        "own_epoch_5": lambda x: 0 < x < 0.02,
        "copier_by_slice": lambda x: 0.75 < x < 0.9,
        "copier_by_patient": lambda x: 0.4 < x < 0.5,
        "real_by_slice": lambda x: x is None,
        "label_2": lambda x: 0.5 < x < 1.3,
        "label_3": lambda x: x > 1.5,
        "never_zeroed": lambda x: x > 0.4,
        "zeroed": lambda x: x < 0.3,
        "hd_all": lambda x: 40 < x < 55,
        "hd_missed": lambda x: 20 < x < 35,
        "claims": lambda x: x >= 30,
    },
}
"""What must hold of the figures that a lesson emits, at laptop size with the solutions."""


# ---- what a lesson consists of ---------------------------------------------------------------


@EACH
def test_all_parts_are_there_in_their_order(lesson):
    parts = [p.part for p in lesson.parts]
    order = ["title", "objectives", "prerequisites", "minutes", "setup", "exercise", "quiz"]
    order += ["remember", "next"]
    places = [parts.index(part) for part in order]
    assert places == sorted(places), f"order of {order}"
    for part in ("title", "objectives", "prerequisites", "minutes", "setup", "remember", "next"):
        assert parts.count(part) == 1, part
    assert (1 if lesson.name in SHORT else 2) <= parts.count("exercise") <= 4
    assert 3 <= parts.count("quiz") <= 5


@EACH
def test_it_begins_with_a_picture_that_has_words(lesson):
    alt, path = re.search(r"!\[([^\]]+)\]\(([^)]+)\)", lesson.parts[0].text).groups()
    assert (PLACES.sources / path).is_file()
    assert len(alt.split()) >= 10


@EACH
def test_minutes_are_given_for_cpu_and_gpu(lesson):
    (text,) = [p.text for p in lesson.parts if p.part == "minutes"]
    assert re.search(r"CPU: (under )?[\d.]+ minutes?", text)
    assert re.search(r"GPU: (under )?[\d.]+ minutes?|GPU: not measured", text)


@EACH
def test_words(lesson):
    words = sum(len(p.text.split()) for p in lesson.parts if p.kind == "markdown")
    words += sum(len(q.text.split()) for q in lesson.questions)
    assert (1000 if lesson.name in SHORT else 1500) <= words <= 3000
    text = "\n".join(p.text for p in lesson.parts)
    assert "Try this" in text
    assert "../glossary.md" in text


@EACH
def test_cells_are_short(lesson):
    cells = [c for c in build.notebook(lesson, "solutions").cells if c.cell_type == "code"]
    cells = [c for c in cells if c.metadata.get("gliomakit", {}).get("part") != "setup"]
    lines = [sum(bool(line.strip()) for line in c.source.splitlines()) for c in cells]
    assert sum(lines) / len(lines) <= 12
    assert max(lines) <= 40


@EACH
def test_links_lead_somewhere(lesson):
    for part in lesson.parts:
        for link in re.findall(
            r"\]\(([^)#\s]+)[^)]*\)", part.text if part.kind == "markdown" else ""
        ):
            if link.startswith("http"):
                continue
            folder = PLACES.notebooks if link.endswith(".ipynb") else PLACES.sources
            assert (folder / link).exists(), link


@EACH
def test_every_picture_has_words_beside_it(lesson):
    cells = build.load(PLACES.built(lesson.name, "stubs")).cells
    shown = 0
    for cell, following in zip(cells, cells[1:]):
        if any("image/png" in o.get("data", {}) for o in cell.get("outputs", [])):
            shown += 1
            assert following.metadata.get("gliomakit", {}).get("part") == "picture", cell.source
            assert len(following.source.split()) >= 10
            for output in cell.outputs:
                if "image/png" in output.get("data", {}):
                    assert output.metadata["image/png"]["alt"]
    assert shown


def test_the_map_names_every_lesson():
    text = LESSONS[0].parts[-1].text
    for lesson in LESSONS:
        assert re.search(rf"^\| .*{lesson.number}\b", text, re.M), lesson.name
    assert "medical device" in LESSONS[0].parts[-2].text


# ---- lesson 00 on a learner's own folder -----------------------------------------------------


def on_own_data(folder, monkeypatch, segment):
    """What lesson 00's cells on a real patient leave behind; nothing is drawn or computed."""
    monkeypatch.setenv("GLIOMAKIT_DATA", str(folder))
    cells = [p.text for p in LESSONS[0].parts if p.kind == "code"]
    start = next(i for i, text in enumerate(cells) if "data_folder()" in text)
    names = {
        "data_folder": data_folder,
        "find_cases": find_cases,
        "GliomakitError": GliomakitError,
        "segment": segment,
        "model": None,
        "plots": SimpleNamespace(sequences=lambda *a, **k: "sequences", compare=lambda *a: "both"),
        "metrics": metrics,
        "emit": lambda **figures: None,
    }
    for text in cells[start : start + 2]:
        exec(text, names)
    return names


def data_set(folder, values):
    """An MSD data set of one case of noise, whose label has these values and no names for them."""
    modality = {"0": "FLAIR", "1": "T1", "2": "T1ce", "3": "T2"}
    listed = [{"image": "./image.nii.gz", "label": "./label.nii.gz"}]
    content = {"modality": modality, "training": listed, "test": []}
    (folder / "dataset.json").write_text(json.dumps(content))
    noise = np.random.default_rng(0).uniform(1, 100, (8, 8, 8, 4)).astype(np.float32)
    label = np.zeros((8, 8, 8), np.uint8)
    label.flat[: len(values)] = values
    nib.save(nib.Nifti1Image(noise, np.eye(4)), folder / "image.nii.gz")
    nib.save(nib.Nifti1Image(label, np.eye(4)), folder / "label.nii.gz")
    return folder


def all_regions(case, model):
    return SimpleNamespace(regions=np.ones((3, *case.image.shape[1:]), bool))


@pytest.mark.parametrize(
    "values, picture", [([1, 2, 4], "both"), ([1, 2, 3], "sequences"), ([7], "sequences")]
)
def test_a_label_that_cannot_be_read_does_not_stop_the_segmentation(
    values, picture, tmp_path, monkeypatch, capsys
):
    left = on_own_data(data_set(tmp_path, values), monkeypatch, all_regions)
    said = capsys.readouterr().out
    assert left["own"] is not None and left["picture"] == picture
    assert "8) voxels" in said and "--" not in said
    assert ("Its reference is left out: label values" in said) == (picture == "sequences")


@pytest.mark.parametrize("what", ["nothing", "images", "segment"])
def test_a_scan_that_cannot_be_segmented_is_said_in_one_line(what, tmp_path, monkeypatch, capsys):
    def refuse(case, model):
        raise GliomakitError("this cannot be", todo="say --something")

    if what != "nothing":
        data_set(tmp_path, [1, 2, 3] if what == "images" else [1, 2, 4])
    if what == "images":
        (tmp_path / "image.nii.gz").write_bytes(b"<html>")
    left = on_own_data(tmp_path, monkeypatch, refuse if what == "segment" else all_regions)
    said = capsys.readouterr().out
    assert left["own"] is None and left["picture"] is None
    assert said.startswith("There is no scan to segment: ") and said.count("\n") == 1
    assert "--" not in said and str(tmp_path) in said


# ---- executed --------------------------------------------------------------------------------


@pytest.mark.lesson
@EACH
def test_with_its_solutions_it_runs_and_its_figures_hold(lesson, tmp_path, monkeypatch):
    monkeypatch.delenv("GLIOMAKIT_DATA", raising=False)
    (outcome,) = run.run([lesson.name], out=tmp_path, places=PLACES)
    assert outcome.error is None, outcome.error.block
    assert set(outcome.exercises) == {p.name for p in lesson.parts if p.exercise}
    assert set(outcome.exercises.values()) == {"passed"}
    assert outcome.figure
    for name, holds in HOLDS[lesson.name].items():
        assert holds(outcome.figures[name]), f"{name} = {outcome.figures[name]}"


@pytest.mark.lesson
@EACH
def test_with_its_stubs_it_runs_and_says_not_yet(lesson, tmp_path, monkeypatch):
    monkeypatch.delenv("GLIOMAKIT_DATA", raising=False)
    (outcome,) = run.run([lesson.name], out=tmp_path, places=PLACES, variant="stubs", smoke=True)
    assert outcome.error is None, outcome.error.block
    assert set(outcome.exercises.values()) == {"not yet"}
    assert "goes on with gliomakit" in "".join(
        o.get("text", "") for c in outcome.notebook.cells for o in c.get("outputs", [])
    )
