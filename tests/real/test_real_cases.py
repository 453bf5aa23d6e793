"""Real patients, each really read: what the readers say against what is known of them.

Development figures of `shared/data/README.md`. Nothing here is copied from them.
"""

import os
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import SimpleITK as sitk

from gliomakit.cases import find_cases, loose, open_label, read_label, write_label
from gliomakit.errors import GliomakitError
from gliomakit.regions import SEQUENCES, to_regions

DATA = Path(os.environ.get("GLIOMAKIT_REAL_DATA") or "missing")
pytestmark = [
    pytest.mark.real,
    pytest.mark.skipif(
        not (DATA / "brats2021").is_dir(),
        reason="needs real patients: GLIOMAKIT_REAL_DATA names no folder with brats2021/",
    ),
]

VOLUMES = {  # WT, TC, ET in mL
    "BraTS2021_00006": (138, 52, 26),
    "BraTS2021_01477": (195, 78, 0),
    "BraTS2021_01479": (190, 183, 90),
    "BraTS2021_01481": (57, 4.1, 2.6),
    "BraTS2021_01483": (108, 59, 0),
    "brats_2013_pat0001_1": (112, 59, 32),
    "brats_2013_pat0003_1": (174, 26, 21),
    "brats_2013_pat0004_1": (121, 76, 18),
    "brats_2013_pat0006_1": (217, 107, 43),
    "BRATS_009": (197, 75, 42),
    "BRATS_119": (88, 24, 6),
}


def volumes(case):
    return case.regions().sum(axis=(1, 2, 3)) * np.prod(case.spacing) / 1000


def brats2013(name, **more):
    folder = DATA / "brats2013" / name
    return loose(
        flair=folder / "Flair_subtrMeanDivStd.nii.gz",
        t1ce=folder / "T1c_subtrMeanDivStd.nii.gz",
        label=folder / "OTMultiClass.nii.gz",
        brain_mask=folder / "brainmask.nii.gz",
        **more,
    )


def oracle(path):
    """SimpleITK's array of a file, turned to RAS."""
    turned = sitk.DICOMOrient(sitk.ReadImage(path), "RAS")
    return sitk.GetArrayFromImage(turned).transpose(2, 1, 0)


@pytest.mark.parametrize("name", [n for n in VOLUMES if n.startswith("BraTS2021")])
def test_brats_2021(name, tmp_path):
    (files,) = find_cases(DATA / "brats2021" / name)
    case = files.read()
    assert case.present == SEQUENCES and case.convention == "brats2017"
    assert case.image.shape == (4, 240, 240, 155) and np.allclose(case.spacing, 1)
    assert np.allclose(volumes(case), VOLUMES[name], atol=0.6)
    assert np.array_equal(case.sequence("t1ce"), oracle(files.images["t1ce"]))
    write_label(case.label, case, tmp_path / "out.nii.gz")
    written, stored = nib.load(tmp_path / "out.nii.gz"), nib.load(files.label)
    assert np.array_equal(written.dataobj, stored.dataobj)
    assert np.array_equal(written.affine, nib.load(files.images["flair"]).affine)


def test_brats_2021_as_one_folder():
    found = find_cases(DATA / "brats2021", "training")
    assert [f.name for f in found] == [n for n in VOLUMES if n.startswith("BraTS2021")]
    assert find_cases(DATA / "brats2021", "test") == []


@pytest.mark.parametrize("name", [n for n in VOLUMES if n.startswith("brats_2013")])
def test_brats_2013(name):
    files = brats2013(name, convention="brats2015")
    case = files.read()
    assert case.name == name and case.present == ("flair", "t1ce")
    assert np.allclose(volumes(case), VOLUMES[name], atol=0.6)
    assert np.array_equal(case.grid.from_ras(case.mask), nib.load(files.mask).get_fdata() > 0.5)
    # The background is a constant, and not 0.
    outside = case.sequence("flair")[~case.mask]
    assert outside[0] != 0 and (outside == outside[0]).mean() > 0.99
    with pytest.raises(GliomakitError, match="fit brats2015 and brats2024.*--convention"):
        open_label(files.label)


@pytest.mark.parametrize("name", ["BRATS_009", "BRATS_119"])
def test_msd(name):
    (files,) = (f for f in find_cases(DATA / "msd_partial") if f.name == name)
    case = files.read()
    assert files.kind == "msd" and case.present == SEQUENCES and case.convention == "msd"
    assert np.allclose(volumes(case), VOLUMES[name], atol=0.6)
    stack = nib.load(files.images["t1"]).get_fdata(dtype=np.float32)
    assert np.array_equal(case.image, np.moveaxis(stack, -1, 0))  # this set is stored as RAS
    (alone,) = find_cases(files.images["t2"])
    assert alone.label == files.label


@pytest.mark.parametrize(("number", "differing"), [("001", 0), ("003", 1)])
def test_msd_labels_are_brats_2013_turned_round(number, differing):
    """The same patients under two conventions and two orientations (FACTS §3), by region."""
    msd = open_label(DATA / "msd_partial" / "labels_only" / f"BRATS_{number}.nii.gz")
    brats = open_label(brats2013(f"brats_2013_pat0{number}_1").label, "brats2015")
    assert (msd.convention, msd.grid.axes, brats.grid.axes) == ("msd", "RAS", "LPS")
    ours = to_regions(msd.array, msd.convention)
    theirs = to_regions(brats.array, brats.convention)
    assert (ours != theirs).any(axis=0).sum() == differing
    # With 1 and 2 exchanged, as under BraTS 2023, the core would be the edema.
    assert (to_regions(msd.array, "brats2023")[1] != theirs[1]).sum() > 10_000


@pytest.mark.parametrize("number", ["001", "002", "003"])
def test_msd_labels_are_known_by_dataset_json(number):
    path = DATA / "msd_partial" / "labels_only" / f"BRATS_{number}.nii.gz"
    array, convention = read_label(path)
    assert convention == "msd" and array.shape == (240, 240, 155)
    assert np.array_equal(np.unique(array), [0, 1, 2, 3])


def test_native_grids_differ_and_are_resampled(tmp_path):
    (files,) = find_cases(DATA / "native")
    with pytest.raises(GliomakitError, match="t1 is not on the grid of flair.*--resample-to"):
        files.read()
    case = files.read(resample_to="t1ce")
    assert case.present == SEQUENCES and case.image.shape == (4, 256, 224, 26)
    assert case.grid.axes == "LAS" and np.allclose(case.spacing, (0.898, 0.898, 5.5), atol=1e-3)
    frame = sitk.ReadImage(files.images["t1ce"])
    moved = sitk.Resample(sitk.ReadImage(files.images["flair"], sitk.sitkFloat32), frame)
    moved = sitk.GetArrayFromImage(sitk.DICOMOrient(moved, "RAS")).transpose(2, 1, 0)
    assert (np.abs(case.sequence("flair") - moved) < 0.01).mean() > 0.9999
    assert np.array_equal(case.sequence("t1ce"), oracle(files.images["t1ce"]))
    label = (case.sequence("flair") > 500).astype(np.uint8)
    write_label(label, case, tmp_path / "out.nii.gz", {"convention": "brats2017"})
    assert np.array_equal(oracle(tmp_path / "out.nii.gz"), label)
    written = nib.load(tmp_path / "out.nii.gz")
    assert np.array_equal(written.affine, nib.load(files.images["t1ce"]).affine)
