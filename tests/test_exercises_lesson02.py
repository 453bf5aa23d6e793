"""The checkers of lesson 02: which mistake gets which hint, and that right answers pass."""

from __future__ import annotations

import hashlib
import random

import numpy as np
import pytest

from gliomakit import preprocess, slices
from gliomakit.course import build
from gliomakit.course.exercises import check
from gliomakit.course.worked import crop_box

(LESSON,) = [one for one in build.select(build.here(), None) if one.name == "02_preprocess"]


def of_the_lesson(name: str, variant: str = "solutions"):
    """The learner's function of an exercise's cell."""
    (part,) = [p for p in LESSON.parts if p.exercise and p.name == name]
    space: dict[str, object] = {"check": check, "np": np}
    exec(compile(part.exercise.text(variant), f"<{name}>", "exec"), space)
    return space[
        {"02.box": "crop_box", "02.zscore": "z_score", "02.split": "split_by_patient"}[name]
    ]


@pytest.mark.parametrize("name", ["02.box", "02.zscore", "02.split"])
def test_a_stub_is_not_yet_and_the_solution_passes(name):
    assert check(name, of_the_lesson(name, "stubs")).status == "not yet"
    assert check(name, of_the_lesson(name)).passed


# ---- 02.box ----------------------------------------------------------------------------------


def spans(mask):
    return [(int(at.min()), int(at.max()) + 1) for at in np.nonzero(mask)]


def box_by(change, mask, spacing, margin):
    """A box whose ends `change` moves: (low, high, mm, margin, n) -> (low, high)."""
    moved = [
        change(low, high, mm, margin, n)
        for (low, high), mm, n in zip(spans(mask), spacing, mask.shape)
    ]
    return tuple(slice(int(low), int(high)) for low, high in moved)


def with_box(change):
    return lambda mask, spacing, margin=0.0: box_by(change, mask, spacing, margin)


def up(margin, mm):
    return int(np.ceil(margin / mm))


@pytest.mark.parametrize(
    ("change", "hint"),
    [
        (lambda lo, hi, mm, m, n: (lo, hi - 1), "add 1"),
        (lambda lo, hi, mm, m, n: (lo, hi), "margin is not used"),
        (lambda lo, hi, mm, m, n: (max(lo - m, 0), min(hi + m, n)), "margin for voxels"),
        (lambda lo, hi, mm, m, n: (max(lo - m * mm, 0), min(hi + m * mm, n)), "do not multiply"),
        (lambda lo, hi, mm, m, n: (max(lo - up(m, mm), 0), hi), "far end"),
        (lambda lo, hi, mm, m, n: (lo, min(hi + up(m, mm), n)), "near end"),
        (lambda lo, hi, mm, m, n: (lo - m // mm, hi + m // mm), "round up"),
        (lambda lo, hi, mm, m, n: (lo - up(m, mm), hi + up(m, mm)), "starts below 0"),
        (lambda lo, hi, mm, m, n: (0, n), "the box runs from"),
    ],
)
def test_crop_box_names_the_mistake(change, hint):
    result = check("02.box", with_box(change))
    assert result.status == "wrong" and hint in result.message, result


@pytest.mark.parametrize(
    ("wrong", "hint"),
    [
        (lambda mask, spacing, margin: None, "returns None"),
        (lambda mask, spacing, margin: spans(mask), "a tuple of slices"),
        (lambda mask, spacing, margin: tuple(spans(mask)), "wanted is an index"),
        (lambda mask, spacing, margin: [slice(*s) for s in spans(mask)], "a tuple of slices"),
        (
            lambda mask, spacing, margin: tuple(
                slice(max(a - margin / mm, 0.0), b + margin / mm)
                for (a, b), mm in zip(spans(mask), spacing)
            ),
            "whole numbers",
        ),
        (lambda mask, spacing, margin: crop_box(mask, spacing, margin)[::-1], "reverse"),
    ],
)
def test_crop_box_says_what_form_is_wanted(wrong, hint):
    result = check("02.box", wrong)
    assert result.status == "wrong" and hint in result.message, result


@pytest.mark.parametrize(
    "right",
    [
        crop_box,
        with_box(lambda lo, hi, mm, m, n: (max(lo - up(m, mm), 0), min(hi + up(m, mm), n))),
        # An end beyond the volume is no mistake: NumPy stops there.
        with_box(lambda lo, hi, mm, m, n: (max(lo - up(m, mm), 0), hi + up(m, mm))),
    ],
)
def test_crop_box_accepts_right_answers(right):
    assert check("02.box", right).passed


def test_the_lessons_crop_box_is_the_packages():
    learned = of_the_lesson("02.box")
    draw = np.random.default_rng(0)
    for _ in range(30):
        mask = draw.random(draw.integers(2, 12, 3)) < 0.1
        mask[0, 1, 1] = True
        spacing, margin = draw.uniform(0.4, 4, 3), draw.uniform(0, 9)
        assert learned(mask, spacing, margin) == crop_box(mask, spacing, margin)


# ---- 02.zscore -------------------------------------------------------------------------------


def in_place(volume, brain):
    volume[brain] = (volume[brain] - volume[brain].mean()) / volume[brain].std()
    return volume


def into_whole_numbers(volume, brain):
    out = np.zeros_like(volume)
    out[brain] = (volume[brain] - volume[brain].mean()) / volume[brain].std()
    return out


@pytest.mark.parametrize(
    ("wrong", "hint"),
    [
        (lambda v, b: (v - v.mean()) / v.std(), "air too"),
        (lambda v, b: np.where(b, (v - v.mean()) / v.std(), 0), "air too"),
        (lambda v, b: (v - v[b].mean()) / v[b].std(), "outside the brain the result is 0"),
        (lambda v, b: np.where(b, (v - v[v > 0].mean()) / v[v > 0].std(), 0), "use the mask"),
        (lambda v, b: np.where(b, v - v[b].mean(), 0), "divide by the standard deviation"),
        (lambda v, b: np.where(b, v / v[b].std(), 0), "take the mean off"),
        (lambda v, b: np.where(b, (v - v[b].mean()) / v[b].var(), 0), "the variance"),
        (lambda v, b: np.where(b, (v - v[b].min()) / np.ptp(v[b]), 0), "from 0 to 1"),
        (lambda v, b: np.where(b, (v - np.median(v[b])) / v[b].std(), 0), "median"),
        (lambda v, b: np.where(b, (v - v[b].mean()) / v.std(), 0), "take the brain's"),
        (lambda v, b: (v[b] - v[b].mean()) / v[b].std(), "is wanted"),
        (in_place, "changes its input"),
        (into_whole_numbers, "a float is wanted"),
        (lambda v, b: None, "returns None"),
    ],
)
def test_z_score_names_the_mistake(wrong, hint):
    result = check("02.zscore", wrong)
    assert result.status == "wrong" and hint in result.message, result


@pytest.mark.parametrize(
    "right",
    [preprocess.z_score, lambda v, b: (v - v[b].mean()) / v[b].std() * b],
)
def test_z_score_accepts_right_answers(right):
    assert check("02.zscore", right).passed


def test_the_lessons_z_score_is_the_packages_and_that_is_what_prepare_does():
    z_score = of_the_lesson("02.zscore")
    draw = np.random.default_rng(0)
    volume = draw.normal(300, 40, (6, 7, 8)).astype(np.float32)
    brain = draw.random(volume.shape) < 0.6
    assert np.allclose(z_score(volume, brain), preprocess.z_score(volume, brain), atol=1e-5)
    assert preprocess.z_score(volume.astype(np.int16), brain).dtype == np.float32
    assert not preprocess.z_score(np.ones_like(volume), brain).any()


# ---- 02.split --------------------------------------------------------------------------------


def by_slice(slices, share, seed):
    order = list(slices)
    random.Random(seed).shuffle(order)
    n = round(share * len(order))
    return order[n:], order[:n]


def by_set(slices, share, seed, order=list, draw=random.Random, least=1):
    names = order({name for name, _ in slices})
    kept = set(draw(seed).sample(names, max(round(share * len(names)), least)))
    return [s for s in slices if s[0] not in kept], [s for s in slices if s[0] in kept]


def first_come(slices, share, seed):
    names = list(dict.fromkeys(name for name, _ in slices))
    return by_set(slices, share, seed, order=lambda _: names)


def exchanged(slices, share, seed):
    return slices_of(slices, share, seed)[::-1]


def slices_of(slices, share, seed):
    return by_set(slices, share, seed, order=sorted)


@pytest.mark.parametrize(
    ("wrong", "hint"),
    [
        (by_slice, "draw patients, not slices"),
        (by_set, "in a new kernel"),
        (first_come, "another order"),
        (exchanged, "exchanged"),
        (lambda s, share, seed: by_set(s, share, 0, order=sorted), "is the seed used"),
        (
            lambda s, share, seed: by_set(s, share, seed, sorted, lambda _: random.Random()),
            "another split each time",
        ),
        (lambda s, share, seed: by_set(s, share, seed, sorted, least=0), "at least one"),
        (lambda s, share, seed: by_set(s, 0.25, seed, sorted), "is 4 for validation"),
        (lambda s, share, seed: (slices_of(s, share, seed)[0], []), "in neither list"),
        (lambda s, share, seed: (s, slices_of(s, share, seed)[1]), "more than once"),
        (
            lambda s, share, seed: tuple(
                sorted({n for n, _ in part}) for part in slices_of(s, share, seed)
            ),
            "names of patients",
        ),
        (lambda s, share, seed: slices_of(s, share, seed)[1], "two lists are wanted"),
        (lambda s, share, seed: None, "returns None"),
    ],
)
def test_split_names_the_mistake(wrong, hint):
    result = check("02.split", wrong)
    assert result.status == "wrong" and hint in result.message, result


def with_numpy(slices, share, seed):
    names = np.unique([name for name, _ in slices])
    draw = np.random.default_rng(seed).permutation(names)
    kept = set(draw[: max(1, round(share * len(names)))].tolist())
    return [s for s in slices if s[0] not in kept], [s for s in slices if s[0] in kept]


def by_digest(slices, share, seed):
    names = {str(name) for name, _ in slices}
    drawn = sorted(names, key=lambda name: hashlib.sha256(f"{seed} {name}".encode()).digest())
    kept = drawn[: max(1, round(share * len(names)))]
    return [s for s in slices if s[0] not in kept], [s for s in slices if s[0] in kept]


@pytest.mark.parametrize("right", [slices.split_by_patient, with_numpy, slices_of, by_digest])
def test_split_accepts_right_answers(right):
    result = check("02.split", right)
    assert result.passed, result


def test_the_lessons_split_is_the_packages():
    split = of_the_lesson("02.split")
    pairs = [(f"p{i % 7}", i) for i in range(40)]
    for seed in range(10):
        for share in (0.05, 0.3, 0.6):
            assert split(pairs, share, seed) == slices.split_by_patient(pairs, share, seed)
