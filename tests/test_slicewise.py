"""Four Dice of the same masks, fastai's two beside them, and baselines that look at little."""

import math

import numpy as np
import pytest
import torch

from gliomakit.errors import GliomakitError
from gliomakit.metrics import dice
from gliomakit.slices import import_torchvision
from gliomakit.slicewise import (
    above,
    best_threshold,
    nearest_image,
    nearest_slice,
    paired,
    predict_nothing,
    relative,
    slice_scores,
    thumbnails,
)

REF = {
    "a": np.array([[[1, 1, 1, 1]], [[0, 0, 0, 0]], [[0, 0, 0, 0]]]),
    "b": np.array([[[1, 0, 0, 0]], [[1, 1, 0, 0]]]),
}
PRED = {
    "a": np.array([[[1, 1, 0, 0]], [[0, 0, 0, 0]], [[1, 0, 0, 0]]]),
    "b": np.array([[[1, 0, 0, 0]], [[0, 0, 1, 1]]]),
}


def test_by_hand():
    found = slice_scores(PRED, REF)
    # Slices: 4/6, 1 (both empty), 0 (a false alarm), 1, 0.
    assert found.per_slice == pytest.approx((4 / 6 + 1 + 0 + 1 + 0) / 5)
    assert found.positive == pytest.approx((4 / 6 + 1 + 0) / 3)
    # Pixels: a has 2 right of 3 found and 4 true, b 1 of 3 and 3.
    assert found.volumes == pytest.approx({"a": 4 / 7, "b": 2 / 6})
    assert found.per_volume == pytest.approx((4 / 7 + 2 / 6) / 2)
    assert found.pooled == pytest.approx(2 * 3 / (6 + 7))
    assert found.accuracy == pytest.approx(1 - 7 / 20)
    assert found.empty == pytest.approx(2 / 5) and found.slices == 5


def test_nothing_scores_the_share_of_empty_slices():
    found = slice_scores(predict_nothing(REF), REF)
    assert found.per_slice == found.empty == 0.4
    assert found.positive == found.pooled == found.per_volume == 0


def test_where_no_slice_holds_tumour():
    empty = {"a": np.zeros((2, 3, 3))}
    found = slice_scores(empty, empty)
    assert math.isnan(found.positive) and found.per_slice == found.pooled == 1


def test_other_patients_and_shapes_are_refused():
    with pytest.raises(GliomakitError, match="different patients: b"):
        slice_scores({"a": PRED["a"]}, REF)
    with pytest.raises(GliomakitError, match="different patients: none"):
        slice_scores({}, {})
    with pytest.raises(GliomakitError, match=r"b: a prediction of \(1, 1, 4\) for a reference of"):
        slice_scores(PRED | {"b": PRED["b"][:1]}, REF)


def test_beside_fastai():
    """fastai's `Dice` pools the pixels of the whole set: equal to `pooled`, and to no other.
    `DiceMulti` pools too, for each class, and takes the mean with the background: on the same masks
    it is higher, for the background is large and easy. Neither is a mean over slices or patients,
    which papers report under the same name."""
    import_torchvision()
    fastai = pytest.importorskip("fastai.metrics")

    class Learn:
        """What a metric asks of a learner: scores of two classes, and targets."""

        def __init__(self, pred, ref):
            self.pred = torch.nn.functional.one_hot(torch.from_numpy(pred).long(), 2).movedim(-1, 1)
            self.yb, self.y = (torch.from_numpy(ref).long(),), torch.from_numpy(ref).long()

    metrics = {"pooled": fastai.Dice(), "multi": fastai.DiceMulti()}
    for metric in metrics.values():
        metric.reset()
        for name in REF:
            metric.accumulate(Learn(PRED[name], REF[name]))
    ours = slice_scores(PRED, REF)
    assert float(metrics["pooled"].value) == pytest.approx(ours.pooled)
    background = slice_scores(
        {k: 1 - v for k, v in PRED.items()}, {k: 1 - v for k, v in REF.items()}
    )
    assert float(metrics["multi"].value) == pytest.approx((ours.pooled + background.pooled) / 2)
    four = {ours.per_slice, ours.positive, ours.pooled, ours.per_volume}
    assert len({round(value, 6) for value in four}) == 4
    assert background.pooled > ours.pooled


def test_the_threshold_is_the_best_of_all():
    rng = np.random.default_rng(0)
    images = {"a": rng.random((3, 8, 8)).astype(np.float32)}
    ref = {"a": (images["a"] + 0.2 * rng.standard_normal((3, 8, 8))) > 0.8}
    chosen = best_threshold(images, ref)
    scores = {t: dice(images["a"] > t, ref["a"]) for t in np.linspace(0, images["a"].max(), 129)}
    assert dice(above(images, chosen)["a"], ref["a"]) == pytest.approx(max(scores.values()))


def test_relative_brightness_forgets_the_scanner():
    volume = np.random.default_rng(0).random((4, 5, 5))
    assert np.allclose(relative(volume), relative(37 * volume), rtol=1e-5)
    assert not relative(np.zeros((2, 2, 2))).any()


def test_the_nearest_image_is_found():
    rng = np.random.default_rng(0)
    known = rng.random((6, 64, 64, 3)).astype(np.float32)
    masks = np.arange(6)[:, None, None] == np.arange(64)[None, :, None] + np.zeros((1, 1, 64))
    order = [4, 0, 5]
    seen = known[order] + 0.01 * rng.standard_normal((3, 64, 64, 3))
    assert np.array_equal(nearest_image(seen, known, masks), masks[order])
    assert np.allclose(
        thumbnails(known)[0].reshape(32, 32, 3)[0, 0], known[0, :2, :2].mean((0, 1)), atol=1e-6
    )
    with pytest.raises(GliomakitError, match="do not make thumbnails of 32"):
        thumbnails(np.zeros((1, 60, 64, 3)))


def test_the_copier_has_nothing_to_copy_under_a_patient_split():
    masks = np.ones((4, 2, 2))
    assert not nearest_slice(masks, np.zeros(4, bool)).any()
    known = np.array([True, False, True, False])
    volume = np.arange(4)[:, None, None] % 4 < 2
    assert nearest_slice(volume, known).ravel().tolist() == [True, True, False, False]


def test_a_paired_comparison_goes_by_name():
    from scipy import stats

    first = {"a": 0.9, "b": 0.5, "c": 0.7, "d": 0.2, "e": 0.6}
    second = {"e": 0.5, "d": 0.25, "c": 0.6, "b": 0.45, "a": 0.7}
    found = paired(first, second)
    apart = np.array([0.2, 0.05, 0.1, -0.05, 0.1])
    assert found.mean == pytest.approx(apart.mean()) and found.better == 4
    assert found.low < found.mean < found.high
    assert found.p == pytest.approx(stats.wilcoxon(list(first.values()), sorted_by(second)).pvalue)
    other = paired(second, first)
    assert other.mean == pytest.approx(-found.mean) and other.better == 1
    assert other.p == pytest.approx(found.p)
    same = paired(first, first)
    assert (same.mean, same.better, same.p) == (0, 0, 1)


def sorted_by(scores):
    return [scores[name] for name in sorted(scores)]


@pytest.mark.parametrize("other", [{}, {"a": 1.0}, {"a": 1.0, "b": 0.0, "c": 0.0}])
def test_other_patients_are_no_pairs(other):
    with pytest.raises(GliomakitError, match="same patients"):
        paired({"a": 0.5, "b": 0.5}, other)
    with pytest.raises(GliomakitError, match="same patients"):
        paired({}, {})
