"""Preparing a case and the way back."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from gliomakit import _intensities, preprocess
from gliomakit._brain import _whole
from gliomakit.cases import Case, CaseFiles, Grid, loose
from gliomakit.errors import GliomakitError
from gliomakit.preprocess import (
    brain_mask,
    cached,
    prepare,
    prepare_all,
    restore,
    to_regions_array,
)
from gliomakit.regions import SEQUENCES

few = settings(max_examples=25, deadline=None)


def ball(shape: tuple[int, ...], radius: float = 0.8) -> np.ndarray:
    """A centred ellipsoid, `radius` of the volume's half sides."""
    axes = np.meshgrid(*[np.linspace(-1, 1, n) for n in shape], indexing="ij")
    return sum(a**2 for a in axes) <= radius**2


def make_case(
    shape: tuple[int, ...] = (24, 28, 20),
    spacing: tuple[float, ...] = (1.0, 1.0, 1.0),
    seed: int = 0,
    background: float = 0.0,
    present: tuple[str, ...] = SEQUENCES,
) -> Case:
    random = np.random.default_rng(seed)
    brain = ball(shape)
    image = np.full((4, *shape), background, np.float32)
    image[:, brain] = random.uniform(100, 900, (4, int(brain.sum())))
    for i, sequence in enumerate(SEQUENCES):
        if sequence not in present:
            image[i] = 0
    label = np.zeros(shape, np.uint8)
    for value, radius in ((1, 0.5), (2, 0.35), (3, 0.2)):
        label[ball(shape, radius)] = value
    affine = np.diag([*spacing, 1.0])
    return Case("case", image, present, affine, Grid(shape, affine), label, "msd")


def test_every_sequence_is_scaled_inside_the_brain_and_zero_outside():
    case = make_case()
    prepared = prepare(case)
    assert prepared.image.dtype == np.float32
    for channel in prepared.image:
        assert channel[prepared.brain].mean() == pytest.approx(0, abs=1e-5)
        assert channel[prepared.brain].std() == pytest.approx(1, abs=1e-5)
        assert not channel[~prepared.brain].any()
    assert prepared.spacing == (1, 1, 1) and prepared.present == SEQUENCES


def test_clipping_is_at_the_percentiles_inside_the_brain():
    case = make_case()
    inside = case.image[0][ball(case.image.shape[1:])]
    low, high = np.percentile(inside, (5, 90))
    clipped = np.clip(inside, low, high)
    expected = (clipped - clipped.mean()) / clipped.std()
    prepared = prepare(case, clip=(5, 90))
    np.testing.assert_allclose(prepared.image[0][prepared.brain], expected, atol=2e-5)
    # one hot voxel sets no scale
    hot = replace(case, image=case.image.copy())
    hot.image[0, 12, 14, 10] = 1e6
    difference = np.abs(prepare(hot).image[0] - prepare(case).image[0])
    difference[
        tuple(
            12 - s.low if i == 0 else (14, 10)[i - 1] - s.low
            for i, s in enumerate(prepared.frame.box)
        )
    ] = 0
    assert difference.max() < 0.05


@few
@given(
    shape=st.tuples(*[st.integers(3, 12)] * 3),
    seed=st.integers(0, 9),
    dtype=st.sampled_from([np.float32, np.int16, bool, np.uint8]),
)
def test_restore_is_the_exact_way_back_without_resampling(shape, seed, dtype):
    random = np.random.default_rng(seed)
    mask = np.zeros(shape, bool)
    corners = [sorted(random.integers(0, n, 2)) for n in shape]
    mask[tuple(slice(a, b + 1) for a, b in corners)] = True
    image = random.uniform(1, 2, (4, *shape)).astype(np.float32)
    if mask.sum() < 2:
        return
    affine = np.diag([1.0, 2.0, 3.0, 1.0])
    case = Case("c", image, SEQUENCES, affine, Grid(shape, affine), mask=mask)
    prepared = prepare(case)
    assert prepared.image.shape[1:] == tuple(b + 1 - a for a, b in corners)
    field = random.integers(0, 2, (2, *shape)).astype(dtype)
    inside = field[(slice(None), *prepared.frame.slices)]
    back = restore(inside, prepared.frame, fill=1)
    assert back.dtype == dtype
    np.testing.assert_array_equal(back[:, mask], field[:, mask])
    assert (back[:, ~mask] == 1).all()


def test_restored_values_are_those_of_the_case_bit_for_bit():
    case = make_case()
    prepared = prepare(case, clip=None)
    np.testing.assert_array_equal(
        restore(to_regions_array(prepared.regions), prepared.frame), case.regions()
    )
    values = case.image[(slice(None), *prepared.frame.slices)]
    back = restore(values, prepared.frame)
    np.testing.assert_array_equal(back, case.image)


@pytest.mark.parametrize("target", [1.0, 1.7, 2.0, (2.0, 1.0, 3.0), 0.8])
@pytest.mark.parametrize("spacing", [(1.0, 1.0, 1.0), (0.9, 0.9, 5.5), (2.0, 1.5, 1.0)])
def test_a_linear_field_survives_resampling(target, spacing):
    """Both ways are right to the voxel: a shift of a tenth of a voxel would be seen."""
    case = make_case((30, 26, 18), spacing)
    frame = prepare(case, target).frame
    mm = [(np.arange(n) + 0.5) * s for n, s in zip(case.image.shape[1:], spacing, strict=True)]
    field = sum(w * a for w, a in zip((1, -2, 3), np.meshgrid(*mm, indexing="ij"), strict=True))
    there = preprocess.resample(field[frame.slices], frame.size, frame.ratio)
    assert there.shape == frame.size
    # where the affine says that a prepared voxel lies, the field has that value
    middle = [n // 2 for n in frame.size]
    at = frame.affine(case.affine) @ [*middle, 1]
    expected = sum(w * (x + s / 2) for w, x, s in zip((1, -2, 3), at[:3], spacing, strict=True))
    voxel = np.abs(np.array([1, -2, 3]) * spacing).sum()
    assert there[tuple(middle)] == pytest.approx(expected, abs=0.05 * voxel)
    back = restore(there, frame)
    inner = tuple(
        slice(b.low + 8, b.high - 8) if b.high - b.low > 20 else slice(b.low + 5, b.high - 5)
        for b in frame.box
    )
    assert np.abs(back - field)[inner].max() < 0.1 * voxel
    if target in (1.0, 2.0) and spacing == (1.0, 1.0, 1.0):
        np.testing.assert_allclose(back[inner], field[inner], atol=1e-2)


def test_two_millimetres_are_the_mean_of_eight_voxels():
    case = make_case((24, 28, 20))
    frame = prepare(case, 2.0).frame
    values = case.image[0][frame.slices]
    nx, ny, nz = (n // 2 for n in values.shape)
    blocks = values[: 2 * nx, : 2 * ny, : 2 * nz].reshape(nx, 2, ny, 2, nz, 2).mean((1, 3, 5))
    got = preprocess.resample(values, frame.size, frame.ratio)[:nx, :ny, :nz]
    np.testing.assert_allclose(got, blocks, rtol=1e-5)


def test_upsampling_equals_scipy():
    random = np.random.default_rng(0)
    array = random.normal(size=(5, 6, 7)).astype(np.float32)
    size, ratio = (10, 18, 14), (0.5, 1 / 3, 0.5)
    points = [
        np.clip((np.arange(m) + 0.5) * r - 0.5, 0, n - 1)
        for m, r, n in zip(size, ratio, array.shape, strict=True)
    ]
    expected = ndimage.map_coordinates(array, np.meshgrid(*points, indexing="ij"), order=1)
    np.testing.assert_allclose(preprocess.resample(array, size, ratio), expected, atol=1e-5)


def test_the_affine_of_a_turned_grid():
    """A voxel of the prepared grid lies where the case's own affine puts its corner voxels."""
    case = make_case()
    turn = np.linalg.qr(np.random.default_rng(0).normal(size=(3, 3)))[0]
    affine = np.eye(4)
    affine[:3, :3], affine[:3, 3] = turn, (5, -7, 9)
    case = replace(case, affine=affine)
    prepared = prepare(case, 2.0)
    assert prepared.spacing == pytest.approx((2, 2, 2))
    low = np.array([span.low for span in prepared.frame.box])
    eight = np.array([low + d for d in np.ndindex(2, 2, 2)])
    expected = (eight @ affine[:3, :3].T + affine[:3, 3]).mean(0)
    np.testing.assert_allclose(prepared.affine[:3, 3], expected, atol=1e-6)


@few
@given(gain=st.floats(0.01, 100), offset=st.floats(-500, 500), spacing=st.sampled_from([None, 2.0]))
def test_gain_and_offset_of_the_scanner_change_nothing(gain, offset, spacing):
    case = make_case((12, 14, 10))
    other = replace(case, image=(case.image * np.float32(gain) + np.float32(offset)))
    first, second = prepare(case, spacing), prepare(other, spacing)
    np.testing.assert_array_equal(first.brain, second.brain)
    np.testing.assert_allclose(first.image, second.image, atol=5e-3)


def test_a_background_that_is_not_zero():
    case = make_case(background=-3.62)
    np.testing.assert_array_equal(brain_mask(case.image), ball(case.image.shape[1:]))
    prepared = prepare(case)
    assert not prepared.image[:, ~prepared.brain].any()
    # a given mask comes first
    given_mask = ball(case.image.shape[1:], 0.6)
    assert prepare(replace(case, mask=given_mask)).brain.sum() == given_mask.sum()


def test_missing_sequences_stay_zero():
    case = make_case(present=("flair", "t1ce"))
    prepared = prepare(case, 2.0)
    assert prepared.present == ("flair", "t1ce")
    assert [bool(channel.any()) for channel in prepared.image] == [True, False, True, False]


def test_a_field_of_view_that_ends_early_is_cut_out_of_that_sequence_only():
    case = make_case()
    case.image[0, :, :, :7] = 0
    brain = ball(case.image.shape[1:])
    np.testing.assert_array_equal(brain_mask(case.image), brain)
    prepared = prepare(case)
    low = prepared.frame.box[2].low
    cut = np.zeros_like(prepared.brain)
    cut[:, :, : 7 - low] = True
    assert not prepared.image[0][cut].any()
    rest = prepared.image[0][prepared.brain & ~cut]
    assert rest.mean() == pytest.approx(0, abs=1e-5) and rest.std() == pytest.approx(1, abs=1e-5)
    assert prepared.image[1][prepared.brain & cut].all()


def test_single_voxels_of_the_background_value_are_tissue():
    case = make_case()
    case.image[:, 12, 14, 10] = 0
    case.image[1, 8, 9, 10] = 0
    np.testing.assert_array_equal(brain_mask(case.image), ball(case.image.shape[1:]))
    prepared = prepare(case, clip=None)
    x, y, z = (i - span.low for i, span in zip((8, 9, 10), prepared.frame.box, strict=True))
    assert prepared.image[1, x, y, z] < -1.5  # dark, not "unknown"


def test_specks_are_not_brain_and_remnants_do_no_harm():
    case = make_case((24, 24, 24))
    brain = ball((24, 24, 24))
    case.image[:, 0, 0, 0] = 500  # a speck in a corner
    np.testing.assert_array_equal(brain_mask(case.image), brain)
    case.image[:, :, :, 20:23] = 77  # scalp that touches the brain
    prepared = prepare(case, 2.0)
    assert np.isfinite(prepared.image).all()
    assert brain_mask(case.image).sum() > brain.sum()


def test_noise_without_a_constant_background_is_foreground_everywhere():
    image = np.random.default_rng(0).normal(size=(4, 9, 10, 11)).astype(np.float32)
    assert brain_mask(image).all()


@few
@given(shape=st.tuples(*[st.integers(1, 6)] * 3), spacing=st.sampled_from([None, 0.7, 2.0, 9.0]))
def test_tiny_volumes(shape, spacing):
    random = np.random.default_rng(0)
    image = random.uniform(1, 2, (4, *shape)).astype(np.float32)
    mask = np.ones(shape, bool)
    case = Case("c", image, SEQUENCES, np.eye(4), Grid(shape, np.eye(4)), mask=mask)
    if mask.sum() < 2:
        return
    prepared = prepare(case, spacing)
    assert prepared.brain.any() and np.isfinite(prepared.image).all()
    assert restore(prepared.image, prepared.frame).shape == image.shape


@pytest.mark.parametrize("target", [2.0, 1.5])
def test_regions_keep_their_volume_and_stay_nested_when_resampled(target):
    case = make_case((48, 52, 44))
    prepared = prepare(case, target)
    regions = to_regions_array(prepared.regions)
    assert (regions[0] >= regions[1]).all() and (regions[1] >= regions[2]).all()
    before = case.regions().sum((1, 2, 3))
    after = regions.sum((1, 2, 3)) * target**3
    np.testing.assert_allclose(after, before, rtol=0.08)
    back = restore(regions, prepared.frame)
    overlap = 2 * (back & case.regions()).sum((1, 2, 3)) / (before + back.sum((1, 2, 3)))
    assert overlap.min() > 0.85


def test_a_wall_of_one_voxel_does_not_vanish():
    case = make_case((24, 24, 24))
    case.label[:] = 0
    x, y, z = (span.low for span in prepare(case).frame.box)
    case.label[x + 6, y + 4 : y + 12, z + 4 : z + 12] = 3
    prepared = prepare(case, 2.0)
    assert to_regions_array(prepared.regions)[2].sum() == 16


def test_whole_numbers_are_not_interpolated():
    prepared = prepare(make_case(), 2.0)
    with pytest.raises(ValueError, match="restore regions"):
        restore(prepared.regions, prepared.frame)
    with pytest.raises(ValueError, match="prepared grid"):
        restore(np.zeros((3, 3, 3)), prepared.frame)


def test_unusable_images():
    case = make_case()
    with pytest.raises(GliomakitError, match="case: there is no brain in the image"):
        prepare(replace(case, image=np.zeros_like(case.image)))
    with pytest.raises(GliomakitError, match="brain mask is empty"):
        prepare(replace(case, mask=np.zeros(case.image.shape[1:], bool)))
    flat = case.image.copy()
    flat[2] = 5
    with pytest.raises(GliomakitError, match="t1ce holds one value only.*leave this sequence out"):
        prepare(replace(case, image=flat))
    broken = case.image.copy()
    broken[1, 12, 14, 10] = np.nan
    with pytest.raises(GliomakitError, match="t1 has voxels that are no numbers"):
        prepare(replace(case, image=broken))
    for spacing in (0, -1, (1, 2), (1, 1, np.inf)):
        with pytest.raises(GliomakitError, match="a spacing is"):
            prepare(case, spacing)


# ---- the cache --------------------------------------------------------------------------------


def write_case(folder: Path, seed: int = 0) -> CaseFiles:
    case = make_case((14, 16, 12), seed=seed)
    folder.mkdir(exist_ok=True)
    paths = {}
    for sequence, channel in zip(SEQUENCES, case.image, strict=True):
        paths[sequence] = folder / f"{sequence}.nii.gz"
        nib.save(nib.Nifti1Image(channel, case.affine), paths[sequence])
    label = folder / "label.nii.gz"
    nib.save(nib.Nifti1Image(case.label, case.affine), label)
    return loose(**paths, label=label, name=f"case{seed}", convention="msd")


def same(a: preprocess.Prepared, b: preprocess.Prepared) -> bool:
    arrays = all(
        np.array_equal(getattr(a, n), getattr(b, n))
        for n in ("image", "regions", "brain", "affine")
    )
    return arrays and (a.name, a.present, a.spacing, a.frame) == (
        b.name,
        b.present,
        b.spacing,
        b.frame,
    )


@pytest.mark.parametrize("spacing", [None, 2.0])
def test_the_cache_gives_what_prepare_gives(tmp_path, spacing, monkeypatch):
    files = write_case(tmp_path / "case")
    expected = prepare(files.read(), spacing)
    first = cached(files, tmp_path / "cache", spacing)
    assert same(first, expected)
    assert isinstance(first.image, np.memmap) and not first.image.flags.writeable
    monkeypatch.setattr(preprocess, "prepare", None)  # the second time nothing is prepared
    assert same(cached(files, tmp_path / "cache", spacing), expected)


def test_another_content_or_setting_is_another_entry(tmp_path):
    files, folder = write_case(tmp_path / "case"), tmp_path / "cache"
    first = cached(files, folder)
    assert cached(files, folder, 2.0).image.shape != first.image.shape
    assert not np.array_equal(cached(files, folder, clip=None).image, first.image)
    # the same name, size and time of another content
    path = files.images["flair"]
    image = nib.load(path)
    nib.save(nib.Nifti1Image(image.get_fdata()[::-1].astype(np.float32), image.affine), path)
    second = cached(files, folder)
    assert not np.array_equal(second.image[0], first.image[0])
    np.testing.assert_array_equal(second.image[1], first.image[1])
    # a copy elsewhere is the same content, under its own name
    other = replace(write_case(tmp_path / "other", seed=0), name="other")
    entries = len(list(folder.glob("*/manifest.json")))
    write_case(tmp_path / "case")
    assert cached(other, folder).name == "other"
    assert len(list(folder.glob("*/manifest.json"))) == entries


def test_many_at_once_in_their_order(tmp_path):
    cases = [write_case(tmp_path / f"case{seed}", seed) for seed in range(3)]
    one = prepare_all(cases, tmp_path / "one", 2.0, workers=1)
    two = prepare_all(cases, tmp_path / "two", 2.0, workers=2)
    assert [p.name for p in two] == ["case0", "case1", "case2"]
    assert all(same(a, b) for a, b in zip(one, two, strict=True))


def test_a_bad_case_among_many_is_named(tmp_path):
    cases = [write_case(tmp_path / f"case{seed}", seed) for seed in range(3)]
    cases[1].images["t1"].write_text("<html>")
    with pytest.raises(GliomakitError, match=r"t1\.nii\.gz"):
        prepare_all(cases, tmp_path / "cache", workers=2)
    cases[1].images["t1"].unlink()
    with pytest.raises(GliomakitError, match=r"t1\.nii\.gz: cannot be read"):
        prepare_all(cases, tmp_path / "cache", workers=2)
    assert not list((tmp_path / "cache").glob(".writing-*"))


def test_voxels_of_a_decimetre_do_not_fill_the_memory():
    case = make_case(seed=3)
    case.affine = np.diag([100.0, 100.0, 100.0, 1.0])
    with pytest.raises(GliomakitError, match=r"100 × 100 × 100 mm .* mend the file"):
        prepare(case, 2.0)
    assert prepare(case).spacing == (100.0, 100.0, 100.0)


# ---- the short ways give what the plain ones give --------------------------------------------


@few
@given(seed=st.integers(0, 2**31))
def test_holes_are_filled_as_scipy_fills_them(seed):
    rng = np.random.default_rng(seed)
    mask = rng.random((9, 8, 7)) < rng.uniform(0.2, 0.9)
    pieces, n = ndimage.label(mask)
    sizes = np.bincount(pieces.ravel(), minlength=2)[1:]
    expected = ndimage.binary_fill_holes(pieces == sizes.argmax() + 1)
    np.testing.assert_array_equal(_whole(mask), expected)


@few
@given(seed=st.integers(0, 2**31), kind=st.sampled_from(["whole", "real", "two values", "sorted"]))
def test_limits_are_numpys_percentiles(seed, kind):
    rng = np.random.default_rng(seed)
    values = rng.normal(size=rng.integers(2, 200_000)).astype(np.float32)
    values = {
        "whole": np.round(40 * values),
        "real": values,
        "two values": (values > 2).astype(np.float32),
        "sorted": np.repeat(np.sort(values), 101)[: values.size],
    }[kind]
    for clip in ((0.5, 99.5), (0.0, 100.0), (25.0, 50.0)):
        expected = np.percentile(values, clip).astype(np.float32)
        np.testing.assert_array_equal(_intensities.limits(values, clip), expected)


@pytest.mark.parametrize("clip", [(0.5, 99.5), None])
def test_brain_voxels_alone_are_scaled_as_the_whole_box_is(clip):
    case = make_case(seed=3)
    inside = brain_mask(case.image)
    frame = prepare(case).frame
    covered, values = inside[frame.slices], case.image[0][frame.slices]
    clipped = _intensities.clipped(values, values[covered], covered, clip)
    whole = _intensities.scale(clipped, covered.astype(np.float32), covered, frame)
    np.testing.assert_array_equal(_intensities.scale_kept(values[covered], clip), whole[covered])


def test_threads_change_nothing(monkeypatch):
    case = make_case(seed=4)
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    one = prepare(case)
    monkeypatch.setenv("OMP_NUM_THREADS", "4")
    several = prepare(case)
    for name in ("image", "regions", "brain"):
        np.testing.assert_array_equal(getattr(one, name), getattr(several, name))
