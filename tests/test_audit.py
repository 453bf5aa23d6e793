"""The questions of lesson 12 put to a result: each verdict by a case made for it, page, command."""

import json
import re

import nibabel as nib
import numpy as np
import pytest
from PIL import Image

from gliomakit import audit, cli
from gliomakit.audit import FINE, LOOK, NOT_GIVEN, WRONG
from gliomakit.errors import GliomakitError
from gliomakit.metrics import dice

HOSTILE = '<img src=x onerror="alert(1)">'


def volumes(n=12, seed=0):
    """Patients of six slices; tumour is a square in four of them."""
    rng = np.random.default_rng(seed)
    found = {}
    for i in range(n):
        volume = np.zeros((6, 16, 16), np.uint8)
        x, y = rng.integers(2, 8, 2)
        volume[1:5, x : x + 5, y : y + 5] = 1
        found[f"p{i:02d}"] = volume
    return found


def moved(ref, by=1):
    return {name: np.roll(volume, by, axis=1) for name, volume in ref.items()}


def verdicts(report):
    return [finding.verdict for finding in report.findings]


def finding(report, words):
    (one,) = [f for f in report.findings if words in f.question]
    return one


def test_a_sound_result():
    ref = volumes()
    report = audit.audit(moved(ref), ref, training=["q1"], images=ref)
    assert not report.wrong or finding(report, "threshold").verdict == WRONG
    assert finding(report, "trained on").verdict == FINE
    assert report.scores.per_volume == pytest.approx(0.8)  # 4 of 5 rows in common
    low, high = report.interval
    assert low == pytest.approx(0.8) == high, "all patients are alike"
    names = {"nothing", "brightest on FLAIR", audit.NEIGHBOUR}
    assert set(report.baselines) == names
    assert report.baselines["brightest on FLAIR"].per_volume == 1, "the image is the reference"
    assert finding(report, "threshold").verdict == WRONG


def test_a_patient_on_both_sides():
    ref = volumes()
    one = finding(audit.audit(moved(ref), ref, training=["p03", "p05", "x"]), "trained on")
    assert one.verdict == WRONG and one.answer.startswith("2 of 12: p03, p05.")
    assert finding(audit.audit(moved(ref), ref), "trained on").verdict == NOT_GIVEN


def test_predicting_nothing_is_seen_through():
    ref = volumes()
    report = audit.audit({n: np.zeros_like(v) for n, v in ref.items()}, ref)
    assert finding(report, "predicting nothing").verdict == WRONG and report.wrong
    assert "33.3% of the slices hold no tumour" in finding(report, "empty slices").answer
    missed = finding(report, "missed altogether")
    assert missed.verdict == LOOK and missed.answer.startswith("12 of 12: p00, p01, p02 …")


def test_background_and_nested_classes():
    ref = {"a": np.array([[[0, 1, 2, 3]]]), "b": np.array([[[0, 0, 1, 2]]])}
    pred = {"a": np.array([[[0, 1, 1, 3]]]), "b": np.array([[[0, 1, 1, 2]]])}
    report = audit.audit(pred, ref, classes=("wt", "tc", "et"))
    found = {c.name: c for c in report.classes}
    assert found["wt"].per_volume == pytest.approx((1 + 0.8) / 2)
    assert found["tc"].per_volume == pytest.approx((2 / 3 + 1) / 2)
    assert found["et"].patients == 1 and found["et"].per_volume == 1
    assert found["background"].pooled == pytest.approx(
        dice([1, 0, 0, 0, 1, 0, 0, 0], [1, 0, 0, 0, 1, 1, 0, 0])
    )
    inner = np.mean([found[c].per_volume for c in ("wt", "tc", "et")])
    assert f"{inner:.3f} without the background" in finding(report, "background").answer
    assert finding(report, "How sure").verdict == LOOK, "two patients"


def test_images_of_other_patients_and_shapes_are_refused():
    ref = volumes(2)
    with pytest.raises(GliomakitError, match="there is no image of patient p01"):
        audit.audit(ref, ref, images={"p00": ref["p00"]})
    with pytest.raises(GliomakitError, match=r"p00: an image of \(5, 16, 16\) for a reference"):
        audit.audit(ref, ref, images={n: v[:5] for n, v in ref.items()})


def test_the_page_is_one_file_and_shows_names_as_text(tmp_path):
    ref = {HOSTILE: volumes(1)["p00"]} | volumes(3)
    report = audit.audit(moved(ref), ref, training=[HOSTILE])
    text = audit.write_page(report, tmp_path / "a.html").read_text("utf-8")
    assert HOSTILE not in text and "&lt;img src=x" in text
    assert not re.search(r"(src|href)=[\"']|https?://|<script", text.replace("&lt;img src=x", ""))
    for one in report.findings:
        assert one.question.replace("'", "&#x27;") in text
    assert [path.name for path in tmp_path.iterdir()] == ["a.html"]
    with pytest.raises(GliomakitError, match="cannot be written"):
        audit.write_page(report, tmp_path / "missing" / "a.html")


# --- the command ----------------------------------------------------------------------------------


@pytest.fixture
def run(capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    def command(*arguments):
        code = cli.main(["audit", *map(str, arguments)])
        out, err = capsys.readouterr()
        return code, out, err

    return command


def write_slices(folder, volumes, mask="_mask", images=False):
    for name, volume in volumes.items():
        (folder / name).mkdir(parents=True)
        for k, plane in enumerate(volume, start=1):
            path = folder / name / f"{name}_{k}{mask}.tif"
            Image.fromarray(np.uint8(plane > 0) * 255).save(path)
            if images:
                grey = np.repeat(np.uint8(40 + 100 * plane)[..., None], 3, -1)
                Image.fromarray(grey).save(folder / name / f"{name}_{k}.tif")
    return folder


def test_slices_from_files(run, tmp_path):
    ref = volumes()
    data = write_slices(tmp_path / "ref", ref, images=True)
    pred = write_slices(tmp_path / "pred", moved(ref), mask="")
    (tmp_path / "split.json").write_text('{"patients": {"training": ["p99_3.tif", "q"]}}')
    code, out, err = run(pred, data, "--split", "split.json")
    assert code == 0 and "Dice per volume 0.800" in out
    assert "no images" in out and "audit.html holds the same" in err
    assert "Dice per volume 0.800" in (tmp_path / "audit.html").read_text("utf-8")
    (tmp_path / "split.json").write_text('{"training": ["p04_3.tif"]}')
    code, out, _ = run(pred, data, "--split", "split.json", "--images", data, "--json")
    told = json.loads(out)
    assert code == 1 and told["findings"][0]["answer"].startswith("1 of 12: p04.")
    assert told["baselines"]["brightest on FLAIR"]["per_volume"] == 1.0


def test_labels_from_files(run, tmp_path):
    rng = np.random.default_rng(0)
    for folder in ("ref", "pred"):
        (tmp_path / folder).mkdir()
    for name in ("case_a", "case_b", "case_c"):
        label = np.zeros((12, 12, 10), np.uint8)
        label[3:9, 3:9, 2:8], label[4:8, 4:8, 3:7], label[5:7, 5:7, 4:6] = 1, 2, 3
        nib.save(nib.Nifti1Image(label, np.eye(4)), tmp_path / "ref" / f"{name}.nii.gz")
        other = np.roll(label, int(rng.integers(0, 2)), axis=0)
        nib.save(nib.Nifti1Image(other, np.eye(4)), tmp_path / "pred" / f"{name}.nii.gz")
    (tmp_path / "pred" / "case_c.nii.gz").unlink()
    code, out, err = run("pred", "ref", "--convention", "msd", "--html", "page.html")
    assert code == 0, err
    assert "2 patients, 20 slices" in out and "et 1.000" in out or "et 0." in out
    assert "case_c has no prediction and is left out" in err
    assert (tmp_path / "page.html").exists() and not (tmp_path / "audit.html").exists()


@pytest.mark.parametrize(
    ("split", "said"),
    [
        (None, "there is no such file"),
        ("[]", "does not name the patients that were trained on"),
        ('{"training": "p01"}', "training is a list of names"),
        ('{"validation": []}', "does not name the patients"),
        ("{", "does not name the patients"),
    ],
)
def test_bad_split_files(run, tmp_path, split, said):
    data = write_slices(tmp_path / "ref", volumes(2))
    if split is not None:
        (tmp_path / "split.json").write_text(split)
    code, out, err = run(data, data, "--split", "split.json")
    assert code == 2 and said in err and len(err.splitlines()) == 1 and out == ""
    assert not (tmp_path / "audit.html").exists()


def test_other_bad_input(run, tmp_path):
    data = write_slices(tmp_path / "ref", volumes(2))
    other = write_slices(tmp_path / "other", {"q": np.ones((2, 16, 16))})
    code, _, err = run(other, data)
    assert code == 2 and "no prediction is of a patient that has a reference" in err
    short = write_slices(tmp_path / "short", {n: v[:4] for n, v in volumes(2).items()})
    code, _, err = run(short, data)
    assert code == 2 and "p00: a prediction of (4, 16, 16) for a reference of" in err
    code, _, err = run("missing", data)
    assert code == 2 and "missing" in err
    code, _, err = run(data, data, "--images", other)
    assert code == 2 and "there is no image beside this file" in err
    slices = write_slices(tmp_path / "slices", {"p01": volumes(2)["p01"]}, images=True)
    code, _, err = run(data, data, "--images", slices)
    assert code == 2 and "there is no image of patient p00" in err
    code, _, err = run(data, data, "--html", data / "p00" / "p00_1_mask.tif" / "a.html")
    assert code == 2 and "is a file where a folder is meant" in err
