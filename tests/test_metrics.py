"""Metrics against MONAI, SciPy and SimpleITK, by hand, and by their properties."""

import json
import warnings

import numpy as np
import pytest
import SimpleITK as sitk
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from monai.metrics import compute_dice, compute_hausdorff_distance, compute_iou
from monai.metrics.calibration import calibration_binning
from scipy import ndimage

from gliomakit import _surface
from gliomakit.errors import GliomakitError
from gliomakit.metrics import (
    Counts,
    bootstrap_interval,
    calibration,
    counts,
    dice,
    evaluate_case,
    hd95,
    jaccard,
    lesion_dice,
    lesions,
    ppv,
    region_counts,
    sensitivity,
    specificity,
    summarise,
    volume_ml,
)
from gliomakit.regions import CONVENTIONS, REGIONS, to_regions

# MONAI warns of itself: it still passes an argument that it deprecated.
pytestmark = pytest.mark.filterwarnings("ignore:monai.metrics:FutureWarning")

SHAPE = (14, 12, 9)
SPACINGS = [(1.0, 1.0, 1.0), (0.9375, 0.9375, 5.0), (2.0, 1.0, 0.5)]
MEASURES = [dice, jaccard, sensitivity, specificity, ppv]


def blobs(seed, share=0.4, shape=SHAPE):
    """A smooth random mask; near share 0 it is empty, near 1 full, and it touches borders."""
    noise = np.random.default_rng(seed).normal(size=shape)
    smooth = ndimage.gaussian_filter(noise, 1.2, mode="wrap")
    return smooth > np.quantile(smooth, 1 - share) if share > 0 else np.zeros(shape, bool)


def degenerate():
    """Masks that measures stumble on, by name."""
    empty, full = np.zeros(SHAPE, bool), np.ones(SHAPE, bool)
    voxel, corner, plane = empty.copy(), empty.copy(), empty.copy()
    voxel[5, 6, 4] = corner[-1, -1, -1] = True
    plane[0] = True
    return {"empty": empty, "full": full, "voxel": voxel, "corner": corner, "plane": plane}


def pairs():
    """(pred, ref): every pair of degenerate masks, some random ones, some mixed."""
    masks = [*degenerate().values(), blobs(1), blobs(2, 0.05)]
    found = [(a, b) for a in masks for b in masks]
    return found + [(blobs(s, 0.3), blobs(s + 100, 0.2)) for s in range(10)]


def tensor(array):
    return torch.from_numpy(array.astype(np.float32))[None, None]


any_mask = st.builds(blobs, st.integers(0, 10**6), st.sampled_from([0, 0.001, 0.05, 0.3, 0.9]))
quick = settings(max_examples=40, deadline=None)


# --- counts and overlaps ---------------------------------------------------------------------


def test_counts_by_hand():
    pred, ref = np.array([1, 1, 1, 0, 0, 0, 0]), np.array([1, 0, 0, 1, 0, 0, 0])
    c = counts(pred, ref)
    assert c == Counts(tp=1, fp=2, fn=1, tn=3)
    assert [m(c) for m in MEASURES] == [2 / 5, 1 / 4, 1 / 2, 3 / 5, 1 / 3]
    assert [m(pred, ref) for m in MEASURES] == [m(c) for m in MEASURES]


def test_dice_and_jaccard_are_monai_s():
    for pred, ref in pairs():
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            a = compute_dice(tensor(pred), tensor(ref), ignore_empty=False).item()
            b = compute_iou(tensor(pred), tensor(ref), ignore_empty=False).item()
        assert dice(pred, ref) == pytest.approx(a, abs=1e-5)
        assert jaccard(pred, ref) == pytest.approx(b, abs=1e-5)


def test_dice_is_simpleitk_s():
    pred, ref = blobs(3), blobs(4)
    overlap = sitk.LabelOverlapMeasuresImageFilter()
    images = [sitk.GetImageFromArray(m.astype(np.uint8)) for m in (ref, pred)]
    overlap.Execute(*images)
    assert dice(pred, ref) == pytest.approx(overlap.GetDiceCoefficient(1))
    assert jaccard(pred, ref) == pytest.approx(overlap.GetJaccardCoefficient(1))
    assert 1 - sensitivity(pred, ref) == pytest.approx(overlap.GetFalseNegativeError(1))


def test_what_an_empty_side_gives():
    empty, voxel, full = (degenerate()[k] for k in ("empty", "voxel", "full"))
    n = voxel.size
    for m in (dice, jaccard, sensitivity, ppv):
        assert (m(empty, empty), m(voxel, empty), m(empty, voxel)) == (1, 0, 0)
    assert specificity(empty, empty) == specificity(empty, voxel) == 1
    assert specificity(voxel, empty) == (n - 1) / n
    assert specificity(full, empty) == 0
    assert specificity(full, full) == specificity(empty, full) == 1


@quick
@given(any_mask, any_mask)
def test_properties_of_the_overlaps(pred, ref):
    c = counts(pred, ref)
    assert c.tp + c.fp + c.fn + c.tn == pred.size
    values = {m.__name__: m(c) for m in MEASURES}
    assert all(type(v) is float and 0 <= v <= 1 for v in values.values())
    d, j, s, p = (values[k] for k in ("dice", "jaccard", "sensitivity", "ppv"))
    assert d == dice(ref, pred) and j == jaccard(ref, pred)
    assert s == ppv(ref, pred)
    assert j == pytest.approx(d / (2 - d))
    assert d == pytest.approx(2 * s * p / (s + p) if s + p else 0)
    assert dice(pred, pred) == 1
    for axis in range(3):
        assert counts(np.flip(pred, axis), np.flip(ref, axis)) == c


def labels(seed, name):
    """A random label map with all values of a convention."""
    rng = np.random.default_rng(seed)
    values = np.array(sorted(CONVENTIONS[name].values), np.uint8)
    label = rng.choice(values, size=SHAPE)
    return np.where(blobs(seed, 0.3), label, 0).astype(np.uint8)


@quick
@given(st.integers(0, 10**6), *[st.sampled_from(list(CONVENTIONS))] * 2, st.booleans())
def test_region_counts_are_the_counts_of_the_regions(seed, pred_name, ref_name, fortran):
    pred, ref = labels(seed, pred_name), labels(seed + 1, ref_name)
    ref = np.asfortranarray(ref) if fortran else ref
    found = region_counts(pred, pred_name, ref, ref_name)
    expected = zip(to_regions(pred, pred_name), to_regions(ref, ref_name), strict=True)
    assert list(found) == list(REGIONS)
    assert list(found.values()) == [counts(p, r) for p, r in expected]


def test_region_counts_of_other_types_and_of_nothing():
    pred, ref = labels(1, "msd"), labels(2, "msd")
    expected = region_counts(pred, "msd", ref, "msd")
    for dtype in (np.int16, np.int64, np.float32, np.float64):
        assert region_counts(pred.astype(dtype), "msd", ref.astype(dtype), "msd") == expected
    nothing = np.zeros(SHAPE, np.uint8)
    empty = Counts(0, 0, 0, nothing.size)
    assert set(region_counts(nothing, "msd", nothing, "msd").values()) == {empty}


def test_region_counts_refuse_what_is_no_label():
    good = labels(1, "msd")
    for bad, message in [
        (good + (good == 3), "label value 4 is not in the convention msd"),
        (np.where(good == 3, 200, good), "label value 200 is not in the convention msd"),
        (good.astype(np.int16) - 1, "label value -1 is not"),
        (good + 0.5, "whole numbers"),
        (np.where(good == 3, np.nan, good), "whole numbers"),
        (good[1:], "prediction has shape .*, the reference"),
    ]:
        with pytest.raises(GliomakitError, match=message):
            region_counts(bad, "msd", good, "msd")
        with pytest.raises(GliomakitError):
            region_counts(good, "msd", bad, "msd")
    with pytest.raises(GliomakitError, match="no label convention"):
        region_counts(good, "brats", good, "msd")


@pytest.mark.parametrize(
    "measure", [counts, dice, jaccard, sensitivity, specificity, ppv, hd95, lesion_dice]
)
def test_bad_masks(measure):
    more = {"spacing": 1} if measure in (hd95, lesion_dice) else {}
    good = blobs(1)
    with pytest.raises(GliomakitError, match=r"shape \(13, 12, 9\), the reference \(14, 12, 9\)"):
        measure(good[1:], good, **more)
    for bad in (good * 2, good * 0.5, np.where(good, np.nan, 0), good * -1):
        with pytest.raises(GliomakitError, match="other values than 0 and 1"):
            measure(bad, good, **more)
    with pytest.raises(GliomakitError):
        dice(good)


# --- distances -------------------------------------------------------------------------------


@pytest.fixture(params=["edt", "scipy"])
def transform(request, monkeypatch):
    """With the package `edt`, and as if it were not installed."""
    if request.param == "scipy":
        monkeypatch.setattr(_surface, "_edt", lambda: None)
    else:
        _surface._edt.cache_clear()
        assert _surface._edt() is not None, "the tests need edt: it is in the extra `test`"


@pytest.mark.parametrize("spacing", SPACINGS)
def test_hd95_is_monai_s(spacing, transform):
    for pred, ref in pairs():
        if not (pred.any() and ref.any()):
            continue
        expected = compute_hausdorff_distance(
            tensor(pred), tensor(ref), include_background=True, percentile=95, spacing=spacing
        )
        assert hd95(pred, ref, spacing) == pytest.approx(expected.item(), abs=1e-4)


def test_hd95_in_two_dimensions_and_the_maximum(transform):
    pred, ref = blobs(1)[..., 4], blobs(2)[..., 4]
    for percentile in (95, 100):
        expected = compute_hausdorff_distance(
            tensor(pred), tensor(ref), include_background=True, percentile=percentile, spacing=2
        )
        assert hd95(pred, ref, 2, percentile) == pytest.approx(expected.item(), abs=1e-4)


def test_hd95_of_an_empty_side():
    empty, voxel = (degenerate()[k] for k in ("empty", "voxel"))
    assert hd95(empty, empty, 1) == 0
    diagonal = float(np.sqrt((14 * 2.0) ** 2 + (12 * 1.0) ** 2 + (9 * 0.5) ** 2))
    assert hd95(voxel, empty, (2, 1, 0.5)) == hd95(empty, voxel, (2, 1, 0.5))
    assert hd95(voxel, empty, (2, 1, 0.5)) == pytest.approx(diagonal)
    brats = np.zeros((240, 240, 155), bool)
    one = brats.copy()
    one[0, 0, 0] = True
    assert round(hd95(one, brats, (1, 1, 1)), 2) == 373.13


@pytest.mark.parametrize("spacing", SPACINGS)
@pytest.mark.parametrize("patience", [0, 1, 1e6])
def test_columns_hold_what_a_distance_transform_finds(spacing, patience, transform, monkeypatch):
    monkeypatch.setattr(_surface, "PATIENCE", patience)
    sides = np.array(spacing, float)
    for pred, ref in pairs():
        if not (pred.any() and ref.any()):
            continue
        for order in "CF":
            p, r = (np.array(_surface.surface(m), order=order) for m in (pred, ref))
            every = ndimage.distance_transform_edt(~r, sampling=sides)[p]
            assert _surface.nearest(p, r, sides) == pytest.approx(every, abs=1e-5)
            some = _surface.nearest(p, r, sides, share=0.8)
            known = np.isfinite(some)
            assert some[known] == pytest.approx(every[known], abs=1e-5)
            assert known.mean() >= 0.8 and every[~known].min(initial=1e9) >= some[known].max()


def test_both_searches_find_the_same(monkeypatch):
    masks = [(p, r) for p, r in pairs() if p.any() and r.any()]
    monkeypatch.setattr(_surface, "_edt", lambda: None)
    monkeypatch.setattr(_surface, "PATIENCE", 0)
    found = {}
    for share in (0.0, 2.0):  # always the distance transform, always the tree
        monkeypatch.setattr(_surface, "CROWDED", share)
        found[share] = [hd95(p, r, (0.9375, 0.9375, 5)) for p, r in masks]
    assert found[0.0] == pytest.approx(found[2.0], abs=1e-12)


def test_surface_is_what_erosion_takes():
    for mask in degenerate().values():
        assert np.array_equal(_surface.surface(mask), mask & ~ndimage.binary_erosion(mask))
    mask = blobs(5)
    assert np.array_equal(_surface.surface(mask), mask & ~ndimage.binary_erosion(mask))


@quick
@given(any_mask, any_mask, st.sampled_from(SPACINGS))
def test_properties_of_hd95(pred, ref, spacing):
    value = hd95(pred, ref, spacing)
    assert type(value) is float and value >= 0
    assert value == hd95(ref, pred, spacing)
    assert hd95(pred, pred, spacing) == 0
    assert hd95(pred[::-1], ref[::-1], spacing) == pytest.approx(value)
    assert hd95(pred, ref, [2 * s for s in spacing]) == pytest.approx(2 * value)
    assert value <= _surface.diagonal_mm(pred.shape, spacing)


@pytest.mark.parametrize("spacing", [0, -1, (1, 1), (1, 1, np.nan), [[1, 1, 1]]])
def test_bad_spacing(spacing):
    for measure in (
        lambda: hd95(blobs(1), blobs(2), spacing),
        lambda: volume_ml(blobs(1), spacing),
    ):
        with pytest.raises(GliomakitError, match="spacing"):
            measure()


# --- lesions ---------------------------------------------------------------------------------


def cubes(*corners, side=6, shape=(40, 40, 40)):
    mask = np.zeros(shape, bool)
    for x, y, z in corners:
        mask[x : x + side, y : y + side, z : z + side] = True
    return mask


def test_lesions_are_found_missed_and_invented():
    ref = cubes((2, 2, 2), (20, 20, 20))
    shifted = np.roll(cubes((2, 2, 2)), 3, axis=0)
    found = lesions(shifted | cubes((2, 30, 2)), ref, 1)
    assert found.dice == (0.5, 0) and (found.missed, found.spurious) == (1, 1)
    assert found.volumes_ml == (0.216, 0.216)
    assert found.mean == lesion_dice(shifted | cubes((2, 30, 2)), ref, 1) == 0.5 / 3
    # One Dice over all voxels hides that a lesion is missed if the other one is large.
    one = cubes((2, 2, 2), side=20)
    both = one | cubes((30, 30, 30))
    assert dice(one, both) > 0.97 and lesion_dice(one, both, 1) == 0.5


def test_parts_of_one_lesion_count_once():
    # Each part grows by 3 voxels, and grown parts that touch at a corner are one.
    for gap, lesions_found in [(6, 1), (7, 2)]:
        ref = cubes((2, 2, 2), (8 + gap, 2, 2))
        assert len(lesions(ref, ref, 1).dice) == lesions_found
    # A part beside the lesion belongs to it, though it touches it only once grown.
    ref = cubes((10, 10, 10))
    near, far = cubes((18, 10, 10), side=2), cubes((19, 10, 10), side=2)
    assert lesions(ref | near, ref, 1).spurious == 0
    assert lesions(ref | far, ref, 1).spurious == 1
    assert lesions(ref | near, ref, 1).dice == (pytest.approx(2 * 216 / (216 + 216 + 8)),)


def test_growing_is_in_mm():
    ref = cubes((2, 2, 2), (12, 2, 2))  # 4 voxels between them
    assert len(lesions(ref, ref, 1).dice) == 1
    assert len(lesions(ref, ref, 4).dice) == 2


def test_small_lesions_are_left_out():
    ref = cubes((2, 2, 2))
    ref[30, 30, 30:33] = True
    assert lesions(cubes((2, 2, 2)), ref, 1) == lesions(ref, ref, 1)
    assert lesions(ref, ref, 1).dice == (1.0,)
    sizes = np.zeros((40, 40, 40), bool)
    sizes[:5, :5, :2] = True  # 50 voxels, 0.05 mL: still left out
    assert lesion_dice(~sizes & False, sizes, 1) == 1
    sizes[0, 0, 2] = True
    assert lesion_dice(~sizes & False, sizes, 1) == 0


def lesion_dice_slowly(pred, ref):
    """The same measure at 1 mm, one lesion after the other, on whole volumes."""
    every, edges = np.ones((3, 3, 3)), ndimage.generate_binary_structure(3, 2)
    parts = ndimage.label(pred, every)[0]
    grown, n = ndimage.label(ndimage.binary_dilation(ref, edges, iterations=3), every)
    scores, used = [], set()
    for i in range(1, n + 1):
        lesion = ref & (grown == i)
        near = ndimage.binary_dilation(lesion, edges, iterations=3)
        touching = set(np.unique(parts[near])) - {0}
        used |= touching
        if lesion.sum() > 50:
            scores.append(dice(np.isin(parts, list(touching)), lesion))
    spurious = set(np.unique(parts)) - {0} - used
    scores += [0.0] * len(spurious)
    return np.mean(scores) if scores else 1.0


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10**6), *[st.sampled_from([0, 0.01, 0.03, 0.1])] * 2)
def test_lesion_dice_lesion_by_lesion(seed, pred_share, ref_share):
    shape = (48, 40, 36)
    ref = blobs(seed, ref_share, shape)
    pred = np.roll(ref, 2, 1) & blobs(seed + 1, 0.7, shape) | blobs(seed + 2, pred_share, shape)
    value = lesion_dice(pred, ref, 1)
    assert value == pytest.approx(lesion_dice_slowly(pred, ref))
    assert type(value) is float and 0 <= value <= 1
    flipped = lesion_dice(pred[::-1, :, ::-1], ref[::-1, :, ::-1], 1)
    assert flipped == pytest.approx(value)


def test_lesion_dice_of_an_empty_side():
    empty, cube = cubes(), cubes((2, 2, 2))
    values = [lesion_dice(a, b, 1) for a in (empty, cube) for b in (empty, cube)]
    assert values == [1, 0, 0, 1]


# --- a case, many cases ----------------------------------------------------------------------


def test_evaluate_case():
    pred, ref = labels(1, "msd"), labels(2, "msd")
    p, r = to_regions(pred, "msd"), to_regions(ref, "msd")
    p[2] = False  # ET is missed
    spacing = (1, 2, 3)
    scores = evaluate_case(p, r, spacing)
    assert list(scores) == list(REGIONS)
    tc = scores["tc"]
    assert {m.__name__: tc[m.__name__] for m in MEASURES} == {
        m.__name__: m(p[1], r[1]) for m in MEASURES
    }
    assert tc["hd95_mm"] == hd95(p[1], r[1], spacing)
    assert tc["lesion_dice"] == lesion_dice(p[1], r[1], spacing)
    assert tc["volume_ml"] == pytest.approx(p[1].sum() * 6 / 1000)
    assert tc["reference_ml"] == pytest.approx(volume_ml(r[1], spacing))
    assert not tc["missed"] and not tc["spurious"]
    et = scores["et"]
    assert et["missed"] and not et["spurious"] and et["dice"] == et["volume_ml"] == 0
    assert et["hd95_mm"] == _surface.diagonal_mm(SHAPE, spacing)
    assert json.loads(json.dumps(scores)) == scores
    assert evaluate_case(p[:1], r[:1], spacing, names=("wt",)) == {"wt": scores["wt"]}
    with pytest.raises(GliomakitError, match="2 masks"):
        evaluate_case(p[:2], r[:2], spacing)
    with pytest.raises(GliomakitError, match="shape"):
        evaluate_case(p, r[:, 1:], spacing)


def test_summarise():
    empty, voxel = (degenerate()[k] for k in ("empty", "voxel"))
    shifted = np.roll(voxel, 2, 0)
    sides = [(voxel, voxel), (shifted, voxel), (empty, voxel), (empty, voxel), (voxel, empty)]
    cases = [
        evaluate_case(np.stack([p]), np.stack([r]), 1, names=("et",))
        for p, r in [*sides, (empty, empty)]
    ]
    mean = summarise(cases)["et"]
    assert [mean[k] for k in ("n", "missed", "spurious", "absent")] == [6, 2, 1, 1]
    assert mean["dice"] == pytest.approx((1 + 0 + 0 + 0 + 0 + 1) / 6)
    diagonal = _surface.diagonal_mm(SHAPE, 1)
    assert mean["hd95_mm"] == pytest.approx((0 + 2 + 3 * diagonal + 0) / 6)
    assert mean["hd95_found_mm"] == 1
    assert mean["reference_ml"] == pytest.approx(4 * 0.001 / 6)
    assert json.loads(json.dumps(mean)) == mean
    assert summarise(cases[2:])["et"]["hd95_found_mm"] is None
    with pytest.raises(GliomakitError, match="no case"):
        summarise([])


def test_bootstrap_interval():
    values = np.random.default_rng(0).normal(0.8, 0.1, size=50)
    low, high = bootstrap_interval(values)
    assert low < values.mean() < high
    # For many values the interval is the one of the normal distribution.
    half = 1.96 * values.std() / np.sqrt(50)
    assert (high - low) / 2 == pytest.approx(half, rel=0.1)
    assert bootstrap_interval(values) == (low, high) != bootstrap_interval(values, seed=1)
    assert bootstrap_interval([0.5]) == (0.5, 0.5)
    with pytest.raises(GliomakitError):
        bootstrap_interval([])


# --- calibration -----------------------------------------------------------------------------


@pytest.mark.parametrize("bins", [1, 10, 15])
def test_calibration_is_monai_s(bins):
    rng = np.random.default_rng(0)
    probability = rng.random(SHAPE, dtype=np.float32) ** 3
    ref = rng.random(SHAPE) < probability**2
    found = calibration(probability, ref, bins)
    predicted, observed, n = (
        t[0, 0].numpy() for t in calibration_binning(tensor(probability), tensor(ref), bins)
    )
    assert found["n"] == n.tolist() and sum(found["n"]) == ref.size
    filled = n > 0
    for ours, monai in [("probability", predicted), ("observed", observed)]:
        values = [v for v in found[ours] if v is not None]
        assert values == pytest.approx(monai[filled], abs=1e-5)
    gap = np.abs(predicted - observed)[filled] * n[filled]
    assert found["ece"] == pytest.approx(gap.sum() / n.sum(), abs=1e-5)
    assert json.loads(json.dumps(found)) == found


def test_calibration_in_a_mask_and_with_empty_bins():
    probability, ref = np.array([0.0, 1.0, 1.0, 0.5]), np.array([0, 1, 0, 1])
    found = calibration(probability, ref, 4, where=[1, 1, 1, 0])
    assert found["n"] == [1, 0, 0, 2]
    assert found["probability"] == [0, None, None, 1] and found["observed"] == [0, None, None, 0.5]
    assert found["ece"] == pytest.approx(1 / 3)
    assert calibration(ref, ref)["ece"] == 0
    assert calibration(probability, ref, where=np.zeros(4, bool))["ece"] == 0


def test_bad_calibration():
    good = np.array([0.2, 0.7])
    for arguments, message in [
        ((good, [0, 1, 1]), "shape"),
        ((good, [0, 2]), "0 and 1"),
        (([-0.1, 0.5], [0, 1]), "between 0 and 1"),
        (([0.5, 1.1], [0, 1]), "between 0 and 1"),
        (([0.5, np.nan], [0, 1]), "between 0 and 1"),
        ((good, [0, 1], 0), "0 bins"),
        ((good, [0, 1], 5, [True]), "shape"),
    ]:
        with pytest.raises(GliomakitError, match=message):
            calibration(*arguments)
