"""The checkers of lesson 07: which mistake gets which hint, and that right answers pass."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from gliomakit import metrics
from gliomakit.course import build
from gliomakit.course.exercises import check
from gliomakit.course.worked import lesion_dice, mean_dice, tumour_dice

(LESSON,) = [one for one in build.select(build.here(), None) if one.name == "07_evaluate"]
FUNCTIONS = {
    "07.summary": "mean_dice",
    "07.bootstrap": "bootstrap_interval",
    "07.lesion": "lesion_dice",
    "07.background": "tumour_dice",
}
PACKAGE = {
    "07.summary": mean_dice,
    "07.bootstrap": metrics.bootstrap_interval,
    "07.lesion": lesion_dice,
    "07.background": tumour_dice,
}


def of_the_lesson(name: str, variant: str = "solutions"):
    """The learner's function of an exercise's cell."""
    (part,) = [p for p in LESSON.parts if p.exercise and p.name == name]
    space: dict[str, object] = {"check": check, "np": np, "ndimage": ndimage, "metrics": metrics}
    exec(compile(part.exercise.text(variant), f"<{name}>", "exec"), space)
    return space[FUNCTIONS[name]]


@pytest.mark.parametrize("name", FUNCTIONS)
def test_a_stub_is_not_yet_the_solution_passes_and_so_does_the_package(name):
    assert check(name, of_the_lesson(name, "stubs")).status == "not yet"
    assert check(name, of_the_lesson(name)).passed
    assert check(name, PACKAGE[name]).passed


@pytest.mark.parametrize("name", FUNCTIONS)
@pytest.mark.parametrize(
    "odd",
    [
        lambda *given: None,
        lambda *given: "0.9",
        lambda *given: np.nan,
        lambda *given: np.zeros((2, 2)),
        lambda: 0.5,
        lambda *given: given[0].clear() if isinstance(given[0], list) else given[9],
    ],
)
def test_whatever_comes_back_gets_a_hint(name, odd):
    result = check(name, odd)
    assert result.status == "wrong" and result.message, result


# ---- 07.summary ------------------------------------------------------------------------------


def dice(p, r, empty=1.0):
    both = p.sum() + r.sum()
    return 2 * (p & r).sum() / both if both else empty


def kept(pairs, keep, empty=1.0):
    return np.mean([dice(p, r, empty) for p, r in pairs if keep(p, r)])


def pooled(pairs):
    return 2 * sum((p & r).sum() for p, r in pairs) / sum(p.sum() + r.sum() for p, r in pairs)


@pytest.mark.parametrize(
    ("wrong", "hint"),
    [
        (pooled, "all patients first"),
        (lambda pairs: sum(dice(p, r) for p, r in pairs), "divides by the number"),
        (lambda pairs: np.mean([metrics.jaccard(p, r) for p, r in pairs]), "Jaccard"),
        (lambda pairs: mean_dice(pairs) / 2, "a factor 2"),
        (lambda pairs: np.mean([dice(p, r, 0.0) for p, r in pairs]), "that is 1"),
        (lambda pairs: np.nanmean([dice(p, r, np.nan) for p, r in pairs]), "n stays 5"),
        (lambda pairs: np.mean([dice(p, r, np.nan) for p, r in pairs]), "both empty is 1 here"),
        (lambda pairs: kept(pairs, lambda p, r: p.any() and r.any()), "missing more would pay"),
        (lambda pairs: kept(pairs, lambda p, r: p.any() == r.any()), "they count 0"),
        (lambda pairs: kept(pairs, lambda p, r: p.any() or not r.any()), "it counts 0"),
        (lambda pairs: np.median([dice(p, r) for p, r in pairs]), "would be right"),
    ],
)
def test_summary_names_the_mistake(wrong, hint):
    result = check("07.summary", wrong)
    assert result.status == "wrong" and hint in result.message, result


@pytest.mark.parametrize(
    "right",
    [
        lambda pairs: sum(dice(p, r) for p, r in pairs) / len(pairs),
        lambda pairs: np.mean(
            [(2 * (p & r).sum() + 1e-7) / (p.sum() + r.sum() + 1e-7) for p, r in pairs]
        ),
    ],
)
def test_summary_accepts_right_answers(right):
    assert check("07.summary", right).passed


# ---- 07.bootstrap ----------------------------------------------------------------------------


def drawn(values, level, draws, seed, size=None, replace=True, of=np.mean, tails=None, scale=1):
    make = np.random.default_rng(seed)
    size = size or len(values)
    found = [of(make.choice(values, size, replace=replace)) for _ in range(draws)]
    tails = tails or [(1 - level) / 2, (1 + level) / 2]
    return tuple(np.quantile(found, [t * scale for t in tails]))


@pytest.mark.parametrize(
    ("wrong", "hint"),
    [
        (
            lambda v, level, draws, seed: np.percentile(v, [2.5, 97.5]),
            "percentiles of the patients",
        ),
        (lambda v, *rest: drawn(v, *rest, size=1), "range of the patients"),
        (lambda v, *rest: drawn(v, *rest, replace=False), "with replacement"),
        (lambda v, *rest: drawn(v, *rest, of=np.median), "median of each draw"),
        (lambda v, *rest: drawn(v, *rest, tails=[0.05, 0.95]), "2.5 % on each"),
        (lambda v, *rest: drawn(v, *rest, scale=0.01), "would be right"),
        (lambda v, *rest: drawn(v, *rest)[::-1], "lower bound comes first"),
        (lambda v, *rest: drawn(v, *rest, tails=[0.025, 0.975]), "does not use `level`"),
        (lambda v, level, draws, seed: drawn(v, level, draws, None), "make the generator from"),
        (lambda v, *rest: drawn(v, *rest, size=12), "draw as many as there are"),
        (lambda v, *rest: drawn(v, *rest)[0], "two numbers"),
        (
            lambda v, *rest: (v.mean() - 1.96 * v.std(), v.mean() + 1.96 * v.std()),
            "the spread of patients",
        ),
        (
            lambda v, *rest: (v.mean() - v.std() / 12**0.5, v.mean() + v.std() / 12**0.5),
            "one standard error",
        ),
    ],
)
def test_bootstrap_names_the_mistake(wrong, hint):
    result = check("07.bootstrap", wrong)
    assert result.status == "wrong" and hint in result.message, result


def by_hand(values, level=0.95, draws=2000, seed=0):
    import random

    make = random.Random(seed)
    n = len(values)
    means = sorted(sum(make.choices(list(values), k=n)) / n for _ in range(draws))
    cut = int(draws * (1 - level) / 2)
    return means[cut], means[-1 - cut]


@pytest.mark.parametrize("right", [drawn, by_hand])
@pytest.mark.parametrize("shift", [0, 17])
def test_bootstrap_accepts_right_answers(right, shift):
    result = check(
        "07.bootstrap", lambda v, level, draws, seed: right(v, level, draws, seed + shift)
    )
    assert result.passed, result


# ---- 07.lesion -------------------------------------------------------------------------------


def by_lesion(p, r, corners=True, missed=True, spurious=True, inside=False, whole=False, weigh=0):
    structure = np.ones((3, 3, 3)) if corners else None
    lesions, n = ndimage.label(r, structure)
    parts, n_parts = ndimage.label(p, structure)
    scores, weights = [], []
    for k in range(1, n + 1):
        mine = np.unique(parts[(lesions == k) & p])
        given = p if whole else np.isin(parts, mine[mine > 0])
        if mine.size or missed:
            scores.append(dice(given & (lesions == k) if inside else given, lesions == k))
            weights.append((lesions == k).sum() ** weigh)
    alone = n_parts - np.unique(parts[r & p]).size
    if spurious:
        scores += [0] * alone
        weights += [1] * alone
    return float(np.average(scores, weights=weights)) if scores else 1.0


@pytest.mark.parametrize(
    ("turned", "hint"),
    [
        ({"spurious": False}, "touches no lesion is a false alarm"),
        ({"missed": False}, "a missed lesion is left out"),
        ({"missed": False, "spurious": False}, "each counts 0"),
        ({"corners": False}, "over faces only"),
        ({"inside": True}, "inside the lesion only"),
        ({"whole": True}, "the whole prediction"),
        ({"weigh": 1}, "not by their volume"),
    ],
)
def test_lesion_names_the_mistake(turned, hint):
    result = check("07.lesion", lambda p, r: by_lesion(p, r, **turned))
    assert result.status == "wrong" and hint in result.message, result


def test_lesion_names_more_mistakes():
    assert "all voxels together" in check("07.lesion", lambda p, r: dice(p, r)).message
    no_empty = check("07.lesion", lambda p, r: by_lesion(p, r) if (p | r).any() else np.nan)
    assert "nan where both masks are empty" in no_empty.message
    zero = check("07.lesion", lambda p, r: by_lesion(p, r) if (p | r).any() else 0.0)
    assert "both masks are empty" in zero.message


@pytest.mark.parametrize("right", [by_lesion, lesion_dice])
def test_lesion_accepts_right_answers(right):
    assert check("07.lesion", lambda p, r: right(p, r)).passed


@pytest.mark.parametrize("variant", ["lesson", "worked"])
def test_far_and_large_lesions_score_as_in_the_package(variant):
    mine = of_the_lesson("07.lesion") if variant == "lesson" else lesion_dice
    draw = np.random.default_rng(0)
    for _ in range(10):
        reference, predicted = np.zeros((2, 60, 60, 20), bool)
        for x in (5, 25, 45):
            for y in (5, 25, 45):
                kind, (a, b, c) = draw.integers(4), draw.integers(4, 7, 3)
                box = np.s_[x : x + a, y : y + b, 5 : 5 + c]
                if kind != 0:
                    reference[box] = True
                if kind != 1:
                    predicted[x + 1 : x + 1 + b, y : y + a, 5 : 5 + c] = True
        wanted = metrics.lesion_dice(predicted, reference, 1.0)
        assert mine(predicted, reference) == pytest.approx(wanted)


# ---- 07.background ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("wrong", "hint"),
    [
        (lambda m, b: m, "the mean itself"),
        (lambda m, b: (m + b) / 2, "average once more"),
        (lambda m, b: m - b, "the 2 is missing"),
        (lambda m, b: 2 * (m - b), "once"),
        (lambda m, b: m - b / 2, "multiply by 2"),
        (lambda m, b: 2 * b - m, "exchanged"),
        (lambda m, b: 2 * m - 1, "not quite 1"),
        (lambda m, b: 200 * m - 100 * b, "per cent"),
        (lambda m, b: m * b, "nothing is multiplied"),
    ],
)
def test_background_names_the_mistake(wrong, hint):
    result = check("07.background", wrong)
    assert result.status == "wrong" and hint in result.message, result


@pytest.mark.parametrize("right", [lambda m, b: m + (m - b), lambda m, b: (m - b / 2) / 0.5])
def test_background_accepts_right_answers(right):
    assert check("07.background", right).passed


# ---- the lesson's functions are the package's ------------------------------------------------


def test_the_mean_is_the_summarys():
    draw = np.random.default_rng(1)
    pairs = [draw.random((2, 5, 6, 7)) < chance for chance in (0.5, 0.1, 0.01, 0, 0.9)]
    cases = [metrics.evaluate_case(p[None], r[None], 1.0, names=("wt",)) for p, r in pairs]
    wanted = metrics.summarise(cases)["wt"]["dice"]
    assert mean_dice(pairs) == pytest.approx(wanted)
    assert of_the_lesson("07.summary")(pairs) == pytest.approx(wanted)


def test_the_interval_is_the_packages():
    values = np.random.default_rng(2).beta(8, 2, 20)
    mine = of_the_lesson("07.bootstrap")(values)
    wanted = metrics.bootstrap_interval(values)
    assert mine == pytest.approx(wanted, abs=0.1 * (wanted[1] - wanted[0]))
