"""Lesson 13's checkers: hints for plausible mistakes, several right answers accepted."""

import numpy as np
import pytest

from gliomakit.course import worked_export
from gliomakit.course.exercises import check


def stub(*arguments):
    raise NotImplementedError


WRONG = {
    "13.agree": [
        (lambda a, b, t: not (np.abs(a - b) > t).any(), "NaN|shapes"),
        (lambda a, b, t: bool(np.abs(a - b).mean() <= t), "largest difference|shapes"),
        (lambda a, b, t: bool((a - b <= t).all()), "too (low|high)"),
        (lambda a, b, t: bool((b - a <= t).all()), "sign"),
        (lambda a, b, t: bool(abs((a - b).sum()) <= t), "0.5|0.05"),
        (lambda a, b, t: bool(np.allclose(a, b, rtol=t, atol=t, equal_nan=True)), "."),
        (lambda a, b, t: bool((np.abs(a - b) <= t).all()), "shapes"),
        (lambda a, b, t: np.abs(a - b) <= t, "True or False"),
    ],
    "13.people": [
        (lambda m, w, p, s: int((m - w) // p), "left to the system"),
        (lambda m, w, p, s: int(m * (1 - s) // p), "one process segments"),
        (lambda m, w, p, s: int(m * (1 - s) // (w + p)), "once"),
        (lambda m, w, p, s: max(int((m * s - w) // p), 0), "stays free"),
        (lambda m, w, p, s: (m * (1 - s) - w) / p, "whole number"),
        (lambda m, w, p, s: int((m * (1 - s) - w) // p), "never below 0"),
        (lambda m, w, p, s: max(round((m * (1 - s) - w) / p + 0.49), 0), "round down"),
    ],
    "13.price": [
        (lambda s, h, b: s * h / b, "3600"),
        (lambda s, h, b: s / 60 * h / b, "not 60"),
        (lambda s, h, b: s / 3600 * h, "nobody comes"),
        (lambda s, h, b: s / 3600 * h * b, "dearer"),
        (lambda s, h, b: s / 3600 * h / (1 - b) if b < 1 else s / 3600 * h, "computes"),
    ],
}


@pytest.mark.parametrize("name", WRONG)
def test_a_stub_is_not_yet(name):
    assert check(name, stub).status == "not yet"


@pytest.mark.parametrize(
    "name, answer, hint", [(n, a, h) for n, rows in WRONG.items() for a, h in rows]
)
def test_mistakes_get_their_hint(name, answer, hint):
    import re

    found = check(name, answer)
    assert found.status == "wrong" and re.search(hint, found.message), found


RIGHT = {
    "13.agree": [
        worked_export.agree,
        lambda a, b, t: (
            a.shape == b.shape and not np.isnan(a - b).any() and np.max(abs(a - b)) <= t
        ),
    ],
    "13.people": [
        worked_export.people_at_once,
        lambda m, w, p, s: max(0, int(np.floor((m - m * s - w) / p + 1e-9))),
    ],
    "13.price": [worked_export.price_per_case, lambda s, h, b: h * s / (3600 * b)],
}


@pytest.mark.parametrize("name, answer", [(n, a) for n, rows in RIGHT.items() for a in rows])
def test_right_answers_pass(name, answer):
    found = check(name, answer)
    assert found.passed, found
