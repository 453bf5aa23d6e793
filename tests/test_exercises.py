"""Checkers say what is wrong, accept what is right, and come to no harm."""

from __future__ import annotations

import math
import threading
from dataclasses import dataclass

import numpy as np
import pytest
import torch
from scipy import ndimage
from torch import nn

from gliomakit import metrics
from gliomakit.course import build
from gliomakit.course.exercises import (
    _core,
    array,
    check,
    checker,
    close,
    find,
    number,
    tensor,
    use,
)
from gliomakit.course.exercises._expect import Hint, same
from gliomakit.course.exercises._limit import TimeUp, limited

LESSONS = build.select(build.here(), None)


@pytest.fixture
def exercise(monkeypatch):
    """Exercise 99.mean, `mean(values)`: the mean of an array."""
    monkeypatch.setattr(_core, "_exercises", dict(_core._exercises))
    monkeypatch.setattr(_core, "_checked", {})

    @checker("99.mean", call="mean(values)", praise="well done")
    def mean(answer):
        close(number(answer(np.array([1.0, 2.0, 6.0]))), 3.0, mistakes=[(9.0, "divide the sum")])

    return "99.mean"


# ---- what a learner's function may do --------------------------------------------------------


def endless(values):
    while True:
        pass


def endless_and_deaf(values):
    while True:
        try:
            sum(range(100))
        except:  # noqa: E722 (that is the point)
            pass


def bottomless(values):
    return bottomless(values)


def changes_its_input(values):
    values /= len(values)
    return values.sum()


def leaves(values):
    raise SystemExit


def divides(values):
    return len(values) / 0


class Spiteful:
    """A value that raises whatever is done with it."""

    def __getattr__(self, name):
        raise RuntimeError("no")

    __float__ = __array__ = __eq__ = __repr__ = __str__ = __bool__ = __getattr__


@pytest.mark.parametrize(
    "function, hint",
    [
        (lambda v: None, "returns None"),
        (lambda v: "3", "returns a str"),
        (lambda v: [3.0], "returns a list"),
        (lambda v: True, "returns True"),
        (lambda v: 3 + 0j, "returns a complex"),
        (lambda v: v, "array of shape (3,)"),
        (lambda v: v.mean(keepdims=True), "array of shape (1,)"),
        (lambda v: float("nan"), "is nan"),
        (lambda v: np.float64("inf"), "is inf"),
        (lambda v: 10**400, "too large"),
        (lambda v: np.float16(3), "float16"),
        (lambda v: np.uint8(3), "cannot exceed 255"),
        (lambda v: torch.zeros((), device="meta"), "on the device meta"),
        (lambda v: torch.tensor(3.0, dtype=torch.bfloat16), "too few digits"),
        (lambda v: torch.zeros(2), "shape (2,)"),
        (lambda v: v.sum(), "divide the sum"),
        (lambda v: 4.0, "3 would be right"),
        (lambda: 3.0, "called as mean(values)"),
        (lambda v, w: 3.0, "called as mean(values)"),
        (
            divides,
            "ZeroDivisionError: division by zero, in the line `return len(values) / 0`",
        ),
        (lambda v: v.nonsense, "AttributeError"),
        (leaves, "SystemExit"),
        (bottomless, "calls itself without end"),
        (changes_its_input, "changes its input"),
        (lambda v: Spiteful(), ""),
    ],
)
def test_a_wrong_answer_gives_its_hint_and_no_error(exercise, function, hint):
    result = check(exercise, function)
    assert not result.passed and result.status == "wrong"
    assert hint in result.message
    assert "\n" not in result.message


def test_an_object_that_raises_at_every_touch_gives_a_hint(exercise):
    assert check(exercise, Spiteful()).status == "wrong"


@pytest.mark.parametrize("function", [endless, endless_and_deaf])
def test_an_endless_loop_is_stopped(exercise, function, monkeypatch):
    monkeypatch.setattr(_core, "SECONDS", 0.3)
    result = check(exercise, function)
    assert result.status == "wrong" and "never ends" in result.message


def test_what_cannot_be_stopped_is_left_behind():
    # A call into C hears nothing; here an Event stands for it.
    free = threading.Event()
    with pytest.raises(TimeUp):
        limited(free.wait, 0.05)
    free.set()


def test_a_check_works_from_any_thread(exercise):
    found = []
    worker = threading.Thread(target=lambda: found.append(check(exercise, lambda v: v.mean())))
    worker.start()
    worker.join()
    assert found[0].passed


def test_a_stub_is_not_yet(exercise):
    def mean(values):
        raise NotImplementedError

    assert check(exercise, mean).status == "not yet"


@pytest.mark.parametrize(
    "right", [np.mean, lambda v: sum(v) / 3, lambda v: torch.as_tensor(v).mean(), lambda v: 3]
)
def test_right_answers_pass_in_whatever_form(exercise, right):
    result = check(exercise, right)
    assert result.passed and result.message == "well done"


def test_wrong_use_of_check_is_explained(exercise):
    assert "without calling it" in check(exercise, 3.0).message
    assert 'check("99.mean", mean)' in check(exercise, None).message
    assert "no such exercise" in check("99.nothing", np.mean).message
    assert "no such exercise" in check("no", np.mean).message
    assert "no such exercise" in check(7, np.mean).message


def test_a_result_shows_itself_and_tells_the_tests(exercise):
    shown = check(exercise, lambda v: "<b>")._repr_mimebundle_()
    assert shown["application/vnd.gliomakit+json"] == {"exercise": exercise, "status": "wrong"}
    assert "✘" in shown["text/plain"] and "✘" in shown["text/html"]  # colour is not the only sign
    message = check(exercise, lambda v: (_ for _ in ()).throw(ValueError("<b>")))
    assert "<b>" not in message._repr_mimebundle_()["text/html"].replace("<b>✘", "")


def test_use_takes_the_learners_function_only_if_it_passed(exercise, capsys):
    def wrong(values):
        return 0.0

    def right(values):
        return values.sum() / values.size

    check(exercise, wrong)
    assert use(exercise, wrong, np.mean) is np.mean
    assert "has not passed: the lesson goes on with numpy.mean" in capsys.readouterr().out
    check(exercise, right)
    assert use(exercise, right, np.mean) is right
    assert "your own function" in capsys.readouterr().out
    # Never checked, or changed since: it is checked now.
    assert use(exercise, wrong, np.mean) is np.mean


def test_use_says_not_done_yet_for_a_stub(exercise, capsys):
    def stub(values):
        raise NotImplementedError

    assert use(exercise, stub, np.mean) is np.mean
    assert "is not done yet" in capsys.readouterr().out


# ---- expectations ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "value, hint",
    [
        (None, "returns None"),
        ([1.0], "returns a list"),
        (torch.zeros(2, 3), "NumPy array is wanted"),
        (np.zeros((3, 2)), "are axes exchanged?"),
        (np.zeros(6), "(6,); (2, 3) is wanted"),
        (np.zeros((2, 3), int), "a float is wanted"),
        (np.zeros((2, 3), np.float16), "float16"),
        (np.full((2, 3), np.nan), "6 of 6 values"),
    ],
)
def test_array_hints(value, hint):
    with pytest.raises(Hint, match=r"(?s)" + hint.replace("(", r"\(").replace(")", r"\)")):
        array(value, (2, 3))


@pytest.mark.parametrize(
    "value, hint",
    [
        (np.zeros((2, 3)), "torch tensor is wanted"),
        (torch.zeros(2, 3, device="meta"), "on the device meta"),
        (torch.zeros(3, 2), "axes exchanged"),
        (torch.zeros(2, 3, dtype=torch.float64), "torch.float32 is wanted"),
        (torch.full((2, 3), torch.inf), "NaN or infinite"),
    ],
)
def test_tensor_hints(value, hint):
    with pytest.raises(Hint, match=hint):
        tensor(value, (2, 3), torch.float32)


def test_expectations_let_right_values_through():
    assert array(np.ones((2, 3), bool), (2, 3), "b").all()
    assert tensor(torch.ones(2, 3), (2, 3), torch.float32).sum() == 6
    close(torch.ones(2), np.ones(2))
    with pytest.raises(Hint, match="1 of 2 places"):
        close(np.array([1.0, 2.0]), np.ones(2))


@dataclass
class Box:
    content: object


@pytest.mark.parametrize(
    "one, other, equal",
    [
        (np.array([1.0, np.nan]), np.array([1.0, np.nan]), True),
        (np.ones(2), np.ones(2, np.float32), False),
        (torch.tensor([np.nan, 1]), torch.tensor([np.nan, 1]), True),
        (torch.ones(2), torch.zeros(2), False),
        ({"a": [np.ones(1)]}, {"a": [np.ones(1)]}, True),
        ({"a": [np.ones(1)]}, {"a": [np.zeros(1)]}, False),
        (Box(np.ones(1)), Box(np.zeros(1)), False),
        ((1, "a"), (1, "a"), True),
        ([1], (1,), False),
        (float("nan"), float("nan"), True),
    ],
)
def test_same(one, other, equal):
    assert same(one, other) is equal


# ---- every exercise of every lesson ----------------------------------------------------------

EXERCISES = [
    (part.name, part.exercise) for lesson in LESSONS for part in lesson.parts if part.exercise
]


def function_of(name: str, code: str):
    """The learner's function of an exercise's cell."""
    space: dict[str, object] = {"check": check, "np": np, "torch": torch}
    space |= {"nn": nn, "ndimage": ndimage, "metrics": metrics}
    exec(compile(code, f"<{name}>", "exec"), space)
    return space[find(name).call.partition("(")[0]]


@pytest.mark.parametrize("name, exercise", EXERCISES, ids=[n for n, _ in EXERCISES])
def test_every_exercise_fails_on_its_stub_and_passes_on_its_solution(name, exercise):
    assert find(name) is not None, f"no checker for {name}"
    assert check(name, function_of(name, exercise.text("stubs"))).status == "not yet"
    assert check(name, function_of(name, exercise.text("solutions"))).passed


# ---- 00.volume -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "wrong, hint",
    [
        (lambda label, spacing: np.count_nonzero(label), "number of voxels"),
        (lambda label, spacing: np.count_nonzero(label) / 1000, "number of voxels"),
        (lambda label, spacing: (label > 0).sum() * np.prod(spacing), "mm³; 1 mL is 1000"),
        (lambda label, spacing: (label > 0).sum() * np.prod(spacing) / 100, "not 100"),
        (lambda label, spacing: (label > 0).sum() * np.prod(spacing) / 1e6, "litre"),
        (lambda label, spacing: (label > 0).sum() * np.prod(spacing) * 1e3, "do not multiply"),
        (lambda label, spacing: label.size * np.prod(spacing) / 1000, "background too"),
        (lambda label, spacing: label.size * np.prod(spacing), "background too"),
        (lambda label, spacing: (label == 0).sum() * np.prod(spacing) / 1000, "not 0"),
        (lambda label, spacing: label.sum() * np.prod(spacing) / 1000, "label's values"),
        (lambda label, spacing: (label == 1).sum() * np.prod(spacing) / 1000, "label 1 only"),
        (lambda label, spacing: (label == 3).sum() * np.prod(spacing) / 1000, "highest label"),
        (lambda label, spacing: (label > 0).sum() * sum(spacing) / 1000, "three sides"),
        (lambda label, spacing: (label > 0).sum() * spacing[0] ** 3 / 1000, "a cube"),
        (lambda label, spacing: (label > 0).sum() * spacing[2] ** 3 / 1000, "a cube"),
        (lambda label, spacing: (label > 0) * np.prod(spacing) / 1000, "array of shape (7, 6, 5)"),
        (lambda label: label.sum(), "volume_ml(label, spacing)"),
    ],
)
def test_volume_names_the_mistake(wrong, hint):
    result = check("00.volume", wrong)
    assert result.status == "wrong" and hint in result.message


def counting(label, spacing):
    voxels = 0
    for value in label.ravel():
        if value:
            voxels += 1
    return voxels * spacing[0] * spacing[1] * spacing[2] * 1e-3


@pytest.mark.parametrize(
    "right",
    [
        counting,
        lambda label, spacing: float((label > 0).sum() * np.prod(spacing) / 1000),
        lambda label, spacing: np.prod(np.array(spacing) / 10) * (label != 0).sum(),
        lambda label, spacing: metrics.volume_ml(label > 0, spacing),
    ],
)
def test_volume_accepts_right_answers(right):
    assert check("00.volume", right).passed


def test_the_lessons_volume_is_the_packages(seed=0):
    lesson = next(e for n, e in EXERCISES if n == "00.volume")
    volume_ml = function_of("00.volume", lesson.text("solutions"))
    draw = np.random.default_rng(seed)
    for _ in range(20):
        mask = draw.random(draw.integers(1, 9, 3)) < draw.random()
        spacing = draw.uniform(0.3, 6, 3)
        assert volume_ml(mask, spacing) == pytest.approx(metrics.volume_ml(mask, spacing))


# ---- lesson 10 -------------------------------------------------------------------------------


def by_python_s_max(steps, values):
    return steps[values.index(max(values))]


def the_later_one(steps, values):
    numbers = [(v, s) for s, v in zip(steps, values) if math.isfinite(v)]
    return max(numbers)[1] if numbers else None


def its_place(steps, values):
    return values.index(max(values))


def with_infinity(steps, values):
    numbers = [(v, s) for s, v in zip(steps, values) if not math.isnan(v)]
    return max(numbers, key=lambda one: one[0])[1] if numbers else None


def none_if_any_is_missing(steps, values):
    if not all(map(math.isfinite, values)):
        return None
    return by_python_s_max(steps, values)


def zero_if_there_is_none(steps, values):
    numbers = [(v, -s) for s, v in zip(steps, values) if math.isfinite(v)]
    return -max(numbers)[1] if numbers else 0


@pytest.mark.parametrize(
    ("wrong", "hint"),
    [
        (by_python_s_max, "NaN"),
        (the_later_one, "the earlier step"),
        (its_place, "place in the list"),
        (lambda steps, values: max(values), "highest value"),
        (lambda steps, values: steps[-1], "last step"),
        (with_infinity, "infinity"),
        (none_if_any_is_missing, "leave out only"),
        (zero_if_there_is_none, "return None"),
        (lambda steps, values: the_later_one(steps, [max(v, 0) for v in values]), "earlier step"),
    ],
)
def test_best_step_names_the_mistake(wrong, hint):
    result = check("10.best", wrong)
    assert result.status == "wrong" and hint in result.message, result


@pytest.mark.parametrize(
    ("wrong", "hint"),
    [
        (lambda noted, used: used[0] != noted, "first and last"),
        (lambda noted, used: used[-1] != noted, "first and last"),
        (lambda noted, used: max(used) != noted, "within 5 %"),
        (lambda noted, used: max(used) < 0.95 * noted, "too high as well"),
        (lambda noted, used: max(used) > 1.05 * noted, "a fifth"),
        (lambda noted, used: abs(max(used) - noted) > 0.05, "five times"),
        (lambda noted, used: abs(max(used) - noted) > 0.0005, "5 % of the noted rate"),
        (lambda noted, used: abs(sum(used) / len(used) - noted) > 0.05 * noted, "top of one-cycle"),
        (lambda noted, used: max(used), "True or False"),
    ],
)
def test_rate_differs_names_the_mistake(wrong, hint):
    result = check("10.rate", wrong)
    assert result.status == "wrong" and hint in result.message, result


def test_lesson_10_s_functions_are_the_packages():
    from gliomakit.tracking import tables

    assert check("10.best", tables.best_step).passed
    assert check("10.rate", tables.rate_differs).passed
