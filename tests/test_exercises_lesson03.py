"""The checkers of lesson 03 name mistakes, and accept what is right however it is written."""

from __future__ import annotations

import numpy as np
import pytest

from gliomakit import arithmetic, patches
from gliomakit.course import build
from gliomakit.course.exercises import check

(LESSON,) = [one for one in build.select(build.here(), None) if one.number == "03"]
EXERCISES = {part.name: part.exercise for part in LESSON.parts if part.exercise}


def function_of(name: str, variant: str):
    """The function in an exercise's cell."""
    space: dict[str, object] = {"check": check, "np": np}
    exec(EXERCISES[name].text(variant), space)
    return space[{"03.memory": "batch_mib"}.get(name, name[3:])]


@pytest.mark.parametrize("name", sorted(EXERCISES))
def test_the_stub_is_not_yet_and_the_solution_passes(name):
    assert check(name, function_of(name, "stubs")).status == "not yet"
    assert check(name, function_of(name, "solutions")).passed


def test_the_package_s_functions_pass():
    assert check("03.memory", arithmetic.batch_mib).passed
    assert check("03.starts", patches.starts).passed
    assert check("03.blend", patches.blend).passed


# ---- 03.memory -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("wrong", "hint"),
    [
        (lambda n, c, s, b: n * c * np.prod(s) * b, "number of bytes"),
        (lambda n, c, s, b: n * c * np.prod(s) * b / 1e6, "a million bytes"),
        (lambda n, c, s, b: n * c * np.prod(s) * b / 1024, "KiB"),
        (lambda n, c, s, b: n * c * np.prod(s) * b / 2**30, "GiB"),
        (lambda n, c, s, b: n * c * np.prod(s) * b * 8 / 2**20, "bits"),
        (lambda n, c, s, b: n * c * np.prod(s) / 2**20, "bytes_each bytes"),
        (lambda n, c, s, b: n * c * np.prod(s) * 4 / 2**20, "need not take 4"),
        (lambda n, c, s, b: c * np.prod(s) * b / 2**20, "a batch has n"),
        (lambda n, c, s, b: n * np.prod(s) * b / 2**20, "several channels"),
        (lambda n, c, s, b: n * c * sum(s) * b / 2**20, "do not add"),
        (lambda n, c, s, b: n * c * s[0] ** 3 * b / 2**20, "multiply all three"),
        (lambda n, c, s, b: print(n), "return"),
        (lambda n, c: 1.0, "batch_mib(n, channels, sides, bytes_each)"),
    ],
)
def test_memory_names_the_mistake(wrong, hint):
    result = check("03.memory", wrong)
    assert result.status == "wrong" and hint in result.message, result


@pytest.mark.parametrize(
    "right",
    [
        lambda n, c, s, b: float(np.prod([n, c, *s, b], dtype=np.int64)) / 1024 / 1024,
        lambda n, c, s, b: n * (c * (s[0] * s[1] * s[2] * b)) / (1 << 20),
    ],
)
def test_memory_accepts_right_answers(right):
    assert check("03.memory", right).passed


# ---- 03.starts -------------------------------------------------------------------------------


def stride(size, overlap):
    return max(int(size * (1 - overlap)), 1)


def too_far(length, size, overlap):
    return list(range(0, length, stride(size, overlap)))


def not_moved_back(length, size, overlap):
    return list(range(0, max(length - size, 0) + 1, stride(size, overlap)))


def twice(length, size, overlap):
    last = max(length - size, 0)
    return [*range(0, last + 1, stride(size, overlap)), last]


def before_the_axis(length, size, overlap):
    return [*range(0, max(length - size, 0), stride(size, overlap)), length - size]


def overlap_as_step(length, size, overlap):
    last = max(length - size, 0)
    return [*range(0, last, max(int(size * overlap), 1)), last]


def spread_evenly(length, size, overlap):
    last = max(length - size, 0)
    count = -(-last // stride(size, overlap)) + 1
    return [round(x) for x in np.linspace(0, last, count)]


def endless_step(length, size, overlap):
    last = max(length - size, 0)
    return [*range(0, last, int(size * (1 - overlap))), last]


@pytest.mark.parametrize(
    ("wrong", "hint"),
    [
        (too_far, "past the end"),
        (not_moved_back, "the last voxels"),
        (twice, "comes twice"),
        (before_the_axis, "before the axis"),
        (overlap_as_step, "at least 1, which is"),
        (spread_evenly, "only the last window is moved"),
        (endless_step, "range() arg 3"),
        (lambda length, size, overlap: [], "one window at least"),
        (lambda length, size, overlap: [0.0, 2.0], "whole numbers"),
        (lambda length, size, overlap: [6, 4, 2, 0], "ascending"),
        (lambda length, size, overlap: [2, 4, 6], "begin at 0"),
        (lambda length, size, overlap: 3, "list of whole numbers"),
        (lambda length, size, overlap: None, "return"),
    ],
)
def test_starts_names_the_mistake(wrong, hint):
    result = check("03.starts", wrong)
    assert result.status == "wrong" and hint in result.message, result


def by_a_loop(length, size, overlap):
    found, place = [], 0
    while place + size < length:
        found.append(place)
        place += max(int(size * (1 - overlap)), 1)
    return [*found, max(length - size, 0)]


@pytest.mark.parametrize(
    "right",
    [by_a_loop, lambda *given: np.array(by_a_loop(*given)), lambda *g: tuple(by_a_loop(*g))],
)
def test_starts_accepts_right_answers(right):
    assert check("03.starts", right).passed


def test_the_lesson_s_starts_are_the_package_s():
    starts = function_of("03.starts", "solutions")
    for length in range(1, 40):
        for size in (1, 3, 8):
            for overlap in (0.0, 0.25, 0.5, 0.9):
                assert starts(length, size, overlap) == patches.starts(length, size, overlap)


# ---- 03.blend --------------------------------------------------------------------------------


def sums(pieces, windows, shape, weight):
    total, weights = np.zeros(shape), np.zeros(shape)
    for piece, window in zip(pieces, windows):
        total[window] += piece * weight
        weights[window] += weight
    return total, weights


def never_divided(pieces, windows, shape, weight):
    return sums(pieces, windows, shape, weight)[0]


def all_alike(pieces, windows, shape, weight):
    total, weights = sums(pieces, windows, shape, np.ones_like(weight))
    return total / weights


def by_the_count(pieces, windows, shape, weight):
    count = sums(pieces, windows, shape, np.ones_like(weight))[1]
    return sums(pieces, windows, shape, weight)[0] / count


def not_weighed(pieces, windows, shape, weight):
    plain = sums(pieces, windows, shape, np.ones_like(weight))[0]
    return plain / sums(pieces, windows, shape, weight)[1]


def overwritten(pieces, windows, shape, weight):
    total = np.zeros(shape)
    for piece, window in zip(pieces, windows):
        total[window] = piece
    return total


def one_sum(pieces, windows, shape, weight):
    total, weights = sums(pieces, windows, shape, weight)
    return total / weights.sum()


def lines_only(pieces, windows, shape, weight):
    total, weights = np.zeros(shape[0]), np.zeros(shape[0])
    for piece, window in zip(pieces, windows):
        total[window[0]] += piece * weight
        weights[window[0]] += weight
    return total / weights


def spoils_its_input(pieces, windows, shape, weight):
    pieces *= weight
    return never_divided(pieces, windows, shape, weight)


@pytest.mark.parametrize(
    ("wrong", "hint"),
    [
        (never_divided, "never divide"),
        (all_alike, "all pieces count alike"),
        (by_the_count, "not by the number of pieces"),
        (lambda *g: never_divided(*g) / len(g[0]), "not by n"),
        (lambda *g: sums(*g[:3], np.ones_like(g[3]))[0], "you add the pieces"),
        (not_weighed, "did not weigh the pieces"),
        (overwritten, "replaces an earlier"),
        (one_sum, "its own sum"),
        (lines_only, "a plane does not"),
        (spoils_its_input, "changes its input"),
        (lambda *g: list(sums(*g)[0]), "a NumPy array is wanted"),
    ],
)
def test_blend_names_the_mistake(wrong, hint):
    result = check("03.blend", wrong)
    assert result.status == "wrong" and hint in result.message, result


def normalised_first(pieces, windows, shape, weight):
    weights = sums(pieces, windows, shape, weight)[1]
    total = np.zeros(shape)
    for piece, window in zip(pieces, windows):
        total[window] += piece * (weight / weights[window])
    return total


@pytest.mark.parametrize("right", [normalised_first, lambda *g: np.divide(*sums(*g))])
def test_blend_accepts_right_answers(right):
    assert check("03.blend", right).passed


@pytest.mark.parametrize("shape", [(11,), (9, 7), (10, 7, 9)])
def test_the_lesson_s_blend_is_the_package_s(shape):
    blend = function_of("03.blend", "solutions")
    volume = np.random.default_rng(0).normal(size=shape)
    windows = patches.tiles(shape, 4, 0.5)
    pieces = patches.cut(volume, windows)
    weight = patches.gaussian((4,) * len(shape)).numpy()
    noisy = pieces + np.random.default_rng(1).normal(size=pieces.shape)
    given = (windows, shape, weight)
    assert blend(noisy, *given) == pytest.approx(patches.blend(noisy, *given), abs=1e-12)
    assert blend(pieces, *given) == pytest.approx(volume, abs=1e-12)


# ---- what the lesson shows -------------------------------------------------------------------


def test_the_lesson_s_exact_share_is_that_of_counting():
    (code,) = [p.text for p in LESSON.parts if p.kind == "code" and "def share_empty" in p.text]
    space: dict[str, object] = {"np": np}
    exec(code.partition("tumour = ")[0], space)
    mask = np.random.default_rng(0).random((7, 9, 6)) < 0.03
    places = [(x, y, z) for x in range(4) for y in range(6) for z in range(3)]
    empty = [not mask[x : x + 4, y : y + 4, z : z + 4].any() for x, y, z in places]
    assert 0 < sum(empty) < len(empty)
    assert space["share_empty"](mask, 4) == pytest.approx(np.mean(empty))
