"""The checkers of lesson 12: which mistake gets which hint, and that right answers pass."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from gliomakit.course import build
from gliomakit.course.exercises import check
from gliomakit.course.worked_papers import as_printed, positive_range, tumour_dice, undo_average
from gliomakit.slicewise import slice_scores

(LESSON,) = [one for one in build.select(build.here(), None) if one.name == "12_read_the_papers"]
FUNCTIONS = {
    "12.foreground": "tumour_dice",
    "12.claims": "as_printed",
    "12.undo": "undo_average",
    "12.positive": "positive_range",
}
PACKAGE = dict(zip(FUNCTIONS, (tumour_dice, as_printed, undo_average, positive_range)))


def of_the_lesson(name: str, variant: str = "solutions"):
    """The learner's function of an exercise's cell."""
    (part,) = [p for p in LESSON.parts if p.exercise and p.name == name]
    space: dict[str, object] = {"check": check, "np": np}
    exec(compile(part.exercise.text(variant), f"<{name}>", "exec"), space)
    return space[FUNCTIONS[name]]


@pytest.mark.parametrize("name", FUNCTIONS)
def test_a_stub_is_not_yet_and_both_right_answers_pass(name):
    assert check(name, of_the_lesson(name, "stubs")).status == "not yet"
    assert check(name, of_the_lesson(name)).passed
    assert check(name, PACKAGE[name]).passed


class Strange:
    """A value that fails wherever it is looked at."""

    def __eq__(self, other):
        raise RuntimeError("no")

    def __len__(self):
        raise RuntimeError("no")


@pytest.mark.parametrize("name", FUNCTIONS)
@pytest.mark.parametrize(
    "value",
    [None, "0.8", [], (), {}, {1, 2}, float("nan"), [float("inf")] * 4, True, np.zeros((2, 2)),
     torch.zeros(3), [[1, 2], [3, 4]], [None] * 2, Strange(), lambda: 1, iter([1, 2])],
)  # fmt: skip
def test_any_value_gets_a_hint(name, value):
    result = check(name, lambda *arguments: value)
    assert result.status == "wrong" and len(result.message) > 10


@pytest.mark.parametrize("name", FUNCTIONS)
def test_any_function_gets_a_hint(name):
    def fails(*arguments):
        raise SystemExit

    for wrong in (fails, lambda: 1, 5, lambda one, *others: one / 0):
        assert check(name, wrong).status == "wrong"


# ---- 12.foreground ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("wrong", "hint"),
    [
        (lambda m, b, c: m, "still in it"),
        (lambda m, b, c: (m + b) / 2, "average once more"),
        (lambda m, b, c: m - b, "multiply by the classes"),
        (lambda m, b, c: m / b, "not multiplied"),
        (lambda m, b, c: (c * m - b) / c, "classes − 1"),
        (lambda m, b, c: c * b - m, "exchanged"),
        (lambda m, b, c: c * m - 1, "for perfect"),
        (lambda m, b, c: 2 * m - b, "right for two classes"),
        (lambda m, b, c: c * m - b, "their mean is wanted"),
        (lambda m, b: 2 * m - b, "does not take these arguments"),
    ],
)
def test_foreground_names_the_mistake(wrong, hint):
    result = check("12.foreground", wrong)
    assert result.status == "wrong" and hint in result.message, result


@pytest.mark.parametrize(
    "right",
    [
        lambda mean, background, classes: mean + (mean - background) / (classes - 1),
        lambda mean, background, classes=2: np.float64(classes * mean - background) / (classes - 1),
    ],
)
def test_foreground_accepts_right_answers(right):
    assert check("12.foreground", right).passed


# ---- 12.claims -------------------------------------------------------------------------------


def parts(pred, ref):
    p, r = np.asarray(pred) > 0, np.asarray(ref) > 0
    return (p & r).sum(), p.sum(), r.sum(), p.size


@pytest.mark.parametrize(
    ("wrong", "hint"),
    [
        (lambda p, r: 2 * parts(p, r)[0] / sum(parts(p, r)[1:3]), "that is Dice"),
        (lambda p, r: parts(p, r)[0] / r.size, "factor 2"),
        (lambda p, r: np.logical_and(p, r).sum() / np.logical_or(p, r).sum(), "Jaccard"),
        (lambda p, r: 2 * parts(p, r)[0] / parts(p, r)[2], "not the tumour's"),
        (lambda p, r: 2 * parts(p, r)[0] / (p.size + r.size), "counted twice"),
        (lambda p, r: 2 * parts(p, r)[0] / len(r), "len counts rows"),
        (lambda p, r: ((p > 0) == (r > 0)).mean(), "accuracy"),
        (lambda p, r: 2 * parts(p, r)[0], "above the line"),
        (lambda p, r: 2 * (p * r).sum() / r.size, "0 and 255"),
        (lambda p, r: min(1, as_printed(p, r)), "do not mend it"),
    ],
)
def test_claims_names_the_mistake(wrong, hint):
    result = check("12.claims", wrong)
    assert result.status == "wrong" and hint in result.message, result


@pytest.mark.parametrize(
    "right",
    [
        lambda p, r: 2 * np.logical_and(p, r).mean(),
        lambda p, r: 2 * sum(bool(a) and bool(b) for a, b in zip(p.flat, r.flat)) / p.size,
    ],
)
def test_claims_accepts_right_answers(right):
    assert check("12.claims", right).passed


# ---- 12.undo ---------------------------------------------------------------------------------


def general(start=0.0, correct=True, each=False, divide=True, left=True):
    """An answer with one thing done otherwise."""

    def undo(printed, batches, weight):
        fade, before, own = weight**batches, start, []
        for k, value in enumerate(printed, start=1):
            a = value * (1 - fade ** (1 if each else k)) if correct else value
            one = a - (fade if left else 1) * before
            own.append(one / (1 - fade) if divide else one)
            before = a
        return own

    return undo


def of_the_printed(printed, batches, weight):
    fade = weight**batches
    shown = [0.0, *printed]
    return [
        (v * (1 - fade**k) - fade * shown[k - 1]) / (1 - fade) for k, v in enumerate(printed, 1)
    ]


@pytest.mark.parametrize(
    ("wrong", "hint"),
    [
        (lambda p, b, w: p, "what was printed"),
        (general(correct=False), "bias correction is left out"),
        (general(each=True), "goes on over all epochs"),
        (general(divide=False), "weights sum to"),
        (general(left=False), "weight^batches is left"),
        (of_the_printed, "uncorrected"),
        (lambda p, b, w: undo_average(p, 1, w), "not weight"),
        (lambda p, b, w: undo_average(p, b), "always 0.98"),
        (lambda p, b, w: undo_average(p, 106, w), "always 106"),
        (lambda p, b, w: undo_average(p, b, w)[1:], "one an epoch"),
        (lambda p, b, w: undo_average(p, b, w)[-1], "one float"),
        (lambda p, b, w: p.reverse() or p, "changes its input"),
    ],
)
def test_undo_names_the_mistake(wrong, hint):
    result = check("12.undo", wrong)
    assert result.status == "wrong" and hint in result.message, result


def with_arrays(printed, batches, weight):
    k = np.arange(1, len(printed) + 1)
    a = np.array(printed) * (1 - weight ** (batches * k))
    return (a - weight**batches * np.r_[0, a[:-1]]) / (1 - weight**batches)


@pytest.mark.parametrize(
    "right", [general(), with_arrays, lambda p, b, w: torch.tensor(undo_average(p, b, w)).double()]
)
def test_undo_accepts_right_answers(right):
    assert check("12.undo", right).passed


@pytest.mark.parametrize("batches, weight", [(106, 0.98), (7, 0.9), (1, 0.5)])
def test_undo_is_right_about_an_average_made_batch_by_batch(batches, weight):
    rng = np.random.default_rng(0)
    losses = rng.exponential(size=(5, batches))
    average, seen, printed = 0.0, 0, []
    for epoch in losses:
        for loss in epoch:
            average, seen = weight * average + (1 - weight) * loss, seen + 1
        printed.append(average / (1 - weight**seen))
    within = weight ** np.arange(batches)[::-1]
    assert undo_average(printed, batches, weight) == pytest.approx(
        (losses * within).sum(1) / within.sum()
    )


# ---- 12.positive -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("wrong", "hint"),
    [
        (lambda m, e: positive_range(m, e)[::-1], "lowest first"),
        (lambda m, e: (m - e, m), "1 − empty"),
        (lambda m, e: ((m - e) / (1 - e), m), "empty slices score 0"),
        (lambda m, e: ((m - e) / (1 - e), 1.0), "not always 1"),
        (lambda m, e: (0.0, min(1, m / (1 - e))), "not always 0"),
        (lambda m, e: ((m - e) / e, m / e), "share of *empty*"),
        (lambda m, e: positive_range(m, 1 - e), "for the share with tumour"),
        (lambda m, e: ((m - e) / (1 - e), min(1, m / (1 - e))), "below 0"),
        (lambda m, e: (max(0, (m - e) / (1 - e)), m / (1 - e)), "above 1"),
        (lambda m, e: (m - e) / (1 - e), "one float"),
        (lambda m, e: [m], "1 values"),
    ],
)
def test_positive_names_the_mistake(wrong, hint):
    result = check("12.positive", wrong)
    assert result.status == "wrong" and hint in result.message, result


@pytest.mark.parametrize(
    "right",
    [
        lambda m, e: np.clip([(m - e) / (1 - e), m / (1 - e)], 0, 1),
        lambda m, e: [1 - min(1, (1 - m) / (1 - e)), min(1, m / (1 - e))],
    ],
)
def test_positive_accepts_right_answers(right):
    assert check("12.positive", right).passed


@pytest.mark.parametrize("seed", range(5))
def test_the_range_holds_what_slices_with_tumour_score(seed):
    rng = np.random.default_rng(seed)
    ref = {"a": rng.random((30, 4, 4)) < 0.5 * (rng.random(30) < 0.4)[:, None, None]}
    pred = {"a": rng.random((30, 4, 4)) < 0.6 * (rng.random(30) < 0.6)[:, None, None]}
    found = slice_scores(pred, ref)
    low, high = positive_range(found.per_slice, found.empty)
    assert low - 1e-12 <= found.positive <= high + 1e-12
