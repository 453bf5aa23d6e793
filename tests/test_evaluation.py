"""Predictions against references: which files belong together, in what convention, where."""

import json
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from gliomakit.errors import GliomakitError
from gliomakit.evaluation import LabelFile, find_labels, find_mask, match, mean, score
from gliomakit.metrics import evaluate_case
from gliomakit.regions import convert, to_regions

SHAPE = (9, 8, 7)
RAS = np.diag([1.0, 1.0, 2.0, 1.0])


def label(*values, shape=SHAPE):
    """Slabs of the values, the first outermost; no symmetry along any axis."""
    array = np.zeros(shape, np.uint8)
    for n, value in enumerate(values):
        array[1 + n : 8 - n, 1 : 7 - n, 1 : 6 - n] = value
    return array


def save(path, array, affine=RAS):
    path.parent.mkdir(parents=True, exist_ok=True)
    nib.save(nib.Nifti1Image(array, affine), path)
    return LabelFile(path.name.removesuffix(".nii.gz"), path)


def touch(*paths):
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()


def names(path):
    return [file.name for file in find_labels(path)]


def test_labels_of_a_flat_folder(tmp_path):
    touch(*(tmp_path / n for n in ("b.nii.gz", "a_seg.nii", "a.json", "._b.nii.gz", "x.txt")))
    touch(tmp_path / "a_brainmask.nii.gz", tmp_path / "inner" / "c.nii.gz")
    assert names(tmp_path) == ["a_seg", "b"]
    assert names(tmp_path / "b.nii.gz") == ["b"]


def test_labels_of_brats_folders(tmp_path):
    for case, join in (("BraTS2021_1", "_"), ("BraTS-GLI-2-000", "-")):
        for end in ("flair", "t1", "t1ce", "t2", "seg"):
            touch(tmp_path / "part" / case / f"{case}{join}{end}.nii.gz")
    touch(tmp_path / "part" / "bare" / "bare_flair.nii.gz")
    touch(tmp_path / "other" / "X" / "X-seg.nii.gz")
    assert names(tmp_path) == ["X", "BraTS-GLI-2-000", "BraTS2021_1"]
    assert names(tmp_path / "part" / "BraTS2021_1") == ["BraTS2021_1"]


def test_labels_of_an_msd_data_set(tmp_path):
    touch(*(tmp_path / d / "B_1.nii.gz" for d in ("imagesTr", "labelsTr")))
    about = {
        "modality": {"0": "FLAIR"},
        "training": [{"image": "./imagesTr/B_1.nii.gz", "label": "./labelsTr/B_1.nii.gz"}],
        "test": ["./imagesTs/B_2.nii.gz"],
    }
    (tmp_path / "dataset.json").write_text(json.dumps(about))
    assert [(f.name, f.path.parent.name) for f in find_labels(tmp_path)] == [("B_1", "labelsTr")]
    assert names(tmp_path / "labelsTr") == ["B_1"]


def test_no_labels_and_two_of_one_case(tmp_path):
    with pytest.raises(GliomakitError, match="there is no such file or folder"):
        find_labels(tmp_path / "missing")
    with pytest.raises(GliomakitError, match="no label was found"):
        find_labels(tmp_path)
    touch(tmp_path / "A.nii.gz", tmp_path / "a_seg.nii.gz")
    with pytest.raises(GliomakitError, match="same case as .*A.nii.gz"):
        find_labels(tmp_path)


def test_match_by_name():
    def files(*names):
        return [LabelFile(name, Path(f"{name}.nii")) for name in names]

    pairing = match(files("A", "b_pred", "d"), files("a_seg", "B-seg", "c"))
    assert [(p.name, r.name) for p, r in pairing.pairs] == [("A", "a_seg"), ("b_pred", "B-seg")]
    assert [f.name for f in pairing.without_prediction] == ["c"]
    assert [f.name for f in pairing.without_reference] == ["d"]
    assert len(match(files("x"), files("y")).pairs) == 1
    with pytest.raises(GliomakitError, match=r"x, y … against z"):
        match(files("x", "y"), files("z"))
    with pytest.raises(GliomakitError, match="same case"):
        match(files("x", "X_seg"), files("z"))


def test_score_is_that_of_the_metrics_whatever_the_conventions(tmp_path):
    rng = np.random.default_rng(0)
    a, b = (rng.integers(0, 4, SHAPE).astype(np.uint8) for _ in range(2))
    expected = evaluate_case(to_regions(a, "msd"), to_regions(b, "msd"), (1, 1, 2))
    ref = save(tmp_path / "ref.nii.gz", convert(b, "msd", "brats2023"))
    pred = save(tmp_path / "pred.nii.gz", convert(a, "msd", "brats2017"))
    with pytest.raises(GliomakitError, match="pred.nii.gz: label value 4 is not in .* brats2023"):
        score(pred, ref, convention="brats2023")
    found = score(pred, ref, "brats2023", "brats2017")
    assert found.regions == expected
    assert (found.prediction_convention, found.reference_convention) == ("brats2017", "brats2023")
    pred = save(tmp_path / "msd.nii.gz", a)
    assert score(pred, ref, "brats2023", "msd").regions == expected
    assert mean([found, found])["wt"]["dice"] == pytest.approx(expected["wt"]["dice"])


def test_the_json_beside_a_prediction_tells_its_convention(tmp_path):
    array = label(1, 2, 3)
    ref = save(tmp_path / "ref.nii.gz", convert(array, "msd", "brats2017"))
    pred = save(tmp_path / "pred.nii.gz", array)
    with pytest.raises(GliomakitError, match=r"pred.nii.gz: .*say which with --convention"):
        score(pred, ref)
    (tmp_path / "pred.json").write_text(json.dumps({"convention": "msd"}))
    assert score(pred, ref).regions["tc"]["dice"] == 1
    assert score(pred, ref, convention="brats2017").regions["tc"]["dice"] == 1
    assert score(pred, ref, pred_convention="brats2023").regions["tc"]["dice"] < 1


def test_a_given_convention_that_cannot_be_is_refused(tmp_path):
    ref = save(tmp_path / "ref.nii.gz", label(2, 1, 4))
    with pytest.raises(GliomakitError, match=r"ref.nii.gz: label value 4 .* brats2017"):
        score(ref, ref, convention="msd")
    with pytest.raises(GliomakitError, match="no label convention 'brats'"):
        score(ref, ref, convention="brats")


def test_axes_may_be_stored_in_another_order(tmp_path):
    pred, ref = label(2, 1, 4), label(2, 1, 4)
    pred[2, 2, 2] = 0
    flipped = RAS @ np.diag([-1, -1, 1, 1])
    flipped[:2, 3] = (SHAPE[0] - 1, SHAPE[1] - 1)
    one = score(save(tmp_path / "p.nii.gz", pred), save(tmp_path / "r.nii.gz", ref))
    stored = save(tmp_path / "p2.nii.gz", pred[::-1, ::-1], flipped)
    other = score(stored, LabelFile("r", one.reference))
    assert one.regions == other.regions and one.regions["wt"]["dice"] < 1


@pytest.mark.parametrize(
    ("shape", "affine", "words"),
    [
        ((9, 8, 6), RAS, "shapes are 9 x 8 x 6 and 9 x 8 x 7"),
        (SHAPE, RAS + np.eye(4, k=3), "affines differ"),
    ],
)
def test_another_grid_is_refused(tmp_path, shape, affine, words):
    pred = save(tmp_path / "pred.nii.gz", label(2, 1, 4, shape=shape), affine)
    ref = save(tmp_path / "ref.nii.gz", label(2, 1, 4))
    with pytest.raises(GliomakitError, match=rf"pred.nii.gz: .*ref.nii.gz.*{words}"):
        score(pred, ref)


def test_within_a_mask(tmp_path):
    ref, pred = label(2, 1, 4), label(2, 1, 4)
    pred[:5] = 0
    inside = np.zeros(SHAPE, np.uint8)
    inside[5:] = 1
    files = save(tmp_path / "a.nii.gz", pred), save(tmp_path / "a_seg.nii.gz", ref)
    save(tmp_path / "masks" / "A_covered.nii.gz", inside)
    mask = find_mask(tmp_path / "masks", "a")
    found = score(*files, within=mask)
    assert found.regions["wt"]["dice"] == 1 > score(*files).regions["wt"]["dice"]
    assert found.regions["wt"]["reference_ml"] == (ref[5:] > 0).sum() * 2 / 1000
    assert find_mask(mask, "anything") == mask
    with pytest.raises(GliomakitError, match="no mask of case b"):
        find_mask(tmp_path / "masks", "b")
    small = save(tmp_path / "small.nii.gz", inside[:, :, 1:]).path
    with pytest.raises(GliomakitError, match="small.nii.gz"):
        score(*files, within=small)


def test_regions_that_a_network_was_not_made_for(tmp_path):
    pred, ref = save(tmp_path / "p.nii.gz", label(2)), save(tmp_path / "r.nii.gz", label(2, 1, 4))
    (tmp_path / "p.json").write_text(json.dumps({"convention": "brats2017", "regions": ["wt"]}))
    whole = score(pred, ref)
    assert list(whole.regions) == ["wt"]
    (tmp_path / "p.json").write_text(json.dumps({"convention": "brats2017", "regions": "odd"}))
    assert list(score(pred, ref).regions) == ["wt", "tc", "et"]
    both = mean([whole, score(pred, ref)])
    assert both["wt"]["n"] == 2 and both["et"]["n"] == 1 and both["et"]["missed"] == 1
