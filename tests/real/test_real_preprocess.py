"""Preparing real patients: unknown backgrounds, fields of view that end early, what is lost."""

import os
from pathlib import Path

import numpy as np
import pytest

from gliomakit._brain import background, bounds, cut_off
from gliomakit.cases import CaseFiles, find_cases, loose
from gliomakit.preprocess import brain_mask, cached, prepare, restore, to_regions_array

DATA = Path(os.environ.get("GLIOMAKIT_REAL_DATA") or "missing")
pytestmark = [
    pytest.mark.real,
    pytest.mark.skipif(
        not (DATA / "brats2021").is_dir(),
        reason="needs real patients: GLIOMAKIT_REAL_DATA names no folder with brats2021/",
    ),
]


def two_sequences(folder: Path) -> CaseFiles:
    return loose(
        flair=folder / "Flair_subtrMeanDivStd.nii.gz",
        t1ce=folder / "T1c_subtrMeanDivStd.nii.gz",
        label=folder / "OTMultiClass.nii.gz",
        brain_mask=folder / "brainmask.nii.gz",
        name=folder.name,
        convention="brats2015",
    )


def test_the_mask_is_found_where_the_background_is_not_zero():
    for name in ("brats_2013_pat0001_1", "brats_2013_pat0006_1"):
        folder = DATA / "brats2013" / name
        case = two_sequences(folder).read()
        assert case.image.min() < -2 and (brain_mask(case.image) != case.mask).sum() < 10
        prepared = prepare(case)
        assert prepared.present == ("flair", "t1ce")
        for channel in (0, 2):
            inside = prepared.image[channel][prepared.brain]
            assert abs(inside.mean()) < 1e-3 and abs(inside.std() - 1) < 1e-3
            assert not prepared.image[channel][~prepared.brain].any()


def test_a_field_of_view_that_ends_early():
    """BRATS_009: FLAIR alone is cut off; 119 is whole."""
    found = {}
    for files in find_cases(DATA / "msd_partial"):
        case = files.read()
        brain = brain_mask(case.image)
        box = tuple(slice(*span) for span in bounds(brain))
        found[case.name] = [
            int(cut_off(c[box], brain[box], background(c)).sum()) for c in case.image
        ]
    assert found["BRATS_119"] == [0, 0, 0, 0]
    flair, *others = found["BRATS_009"]
    assert flair > 30_000 and others == [0, 0, 0]


def test_what_two_millimetres_cost():
    """Regions at 2 mm and back: nested, nearly the same volume, and Dice says what is lost."""
    for name in ("BraTS2021_00006", "BraTS2021_01481"):
        case = find_cases(DATA / "brats2021" / name)[0].read()
        prepared = prepare(case, 2.0)
        assert prepared.image[:, prepared.brain].std(1) == pytest.approx(1, abs=1e-3)
        back = restore(to_regions_array(prepared.regions), prepared.frame)
        for reference, got in zip(case.regions(), back, strict=True):
            if reference.any():
                dice = 2 * (reference & got).sum() / (reference.sum() + got.sum())
                assert dice > 0.85
                assert got.sum() / reference.sum() == pytest.approx(1, abs=0.15)
        frame, brain = prepare(case).frame, brain_mask(case.image)
        values = restore(case.image[(slice(None), *frame.slices)], frame)
        np.testing.assert_array_equal(values[:, brain], case.image[:, brain])


def test_thick_slices_with_skull_do_not_crash():
    folder = DATA / "native" / "TCGA-FG-6692"
    files = loose(**{s: folder / f"{s}.nii.gz" for s in ("flair", "t1", "t1ce", "t2")})
    case = files.read(resample_to="flair")
    assert max(case.spacing) > 5
    for spacing in (None, 2.0):
        prepared = prepare(case, spacing)
        assert np.isfinite(prepared.image).all()
        assert restore(prepared.image, prepared.frame).shape == case.image.shape


def test_the_cache_of_a_real_case(tmp_path):
    files = find_cases(DATA / "brats2021")[0]
    first = cached(files, tmp_path, 2.0)
    second = cached(files, tmp_path, 2.0)
    direct = prepare(files.read(), 2.0)
    for got in (first, second):
        np.testing.assert_array_equal(got.image, direct.image)
        np.testing.assert_array_equal(got.regions, direct.regions)
