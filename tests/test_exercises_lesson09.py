"""The checkers of lesson 09: which mistake gets which hint, and that right answers pass."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from gliomakit.course import build
from gliomakit.course.exercises import check
from gliomakit.course.worked_networks import differences, double, multiply_adds

(LESSON,) = [
    one for one in build.select(build.here(), None) if one.name == "09_classical_or_dynamic"
]
FUNCTIONS = {"09.block": "double", "09.macs": "multiply_adds", "09.paired": "differences"}
PACKAGE = dict(zip(FUNCTIONS, (double, multiply_adds, differences)))

# A first use of torch inside a check can take longer than its time limit on a busy machine.
double(1, 1)(torch.zeros(1, 1, 4, 4))


def of_the_lesson(name: str, variant: str = "solutions"):
    """The learner's function of an exercise's cell."""
    (part,) = [p for p in LESSON.parts if p.exercise and p.name == name]
    space: dict[str, object] = {"check": check, "np": np, "nn": nn}
    exec(compile(part.exercise.text(variant), f"<{name}>", "exec"), space)
    return space[FUNCTIONS[name]]


@pytest.mark.parametrize("name", FUNCTIONS)
def test_a_stub_is_not_yet_and_both_right_answers_pass(name):
    assert check(name, of_the_lesson(name, "stubs")).status == "not yet"
    assert check(name, of_the_lesson(name)).passed
    assert check(name, PACKAGE[name]).passed


@pytest.mark.parametrize("name", FUNCTIONS)
@pytest.mark.parametrize(
    "value",
    [None, "0.8", [], (), {}, float("nan"), [float("inf")] * 4, True, np.zeros((2, 2)), nn.ReLU,
     torch.zeros(3), [[1, 2], [3, 4]], [None] * 4, lambda: 1, iter([1, 2]), nn.ReLU()],
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


def hint(name, function):
    result = check(name, function)
    assert result.status == "wrong", result
    return result.message


# ---- 09.block --------------------------------------------------------------------------------


def conv(a, b, **more):
    return nn.Conv2d(a, b, 3, **({"padding": 1} | more))


def two(*layers):
    return lambda entering, leaving: nn.Sequential(*(make(entering, leaving) for make in layers))


RELU = lambda a, b: nn.ReLU()  # noqa: E731
IN, OUT = (lambda a, b: conv(a, b)), (lambda a, b: conv(b, b))


@pytest.mark.parametrize(
    ("function", "words"),
    [
        (two(IN, RELU), "not two"),
        (two(IN, RELU, OUT, RELU, OUT), "not two"),
        (two(IN, RELU, OUT), "behind the second"),
        (two(IN, OUT, RELU), "between the convolutions"),
        (two(lambda a, b: conv(a, b, padding=0), RELU, OUT, RELU), "padding=1"),
        (two(lambda a, b: conv(a, b, padding=0), RELU, lambda a, b: conv(b, b, padding=0), RELU),
         "padding=1"),
        (two(lambda a, b: conv(a, a), RELU, IN, RELU), "from 5 to 7"),
        (two(lambda a, b: conv(b, b), RELU, IN, RELU), "order"),
        (two(lambda a, b: nn.Conv2d(a, b, 5, padding=2), RELU, OUT, RELU), "3 × 3"),
        (two(lambda a, b: conv(a, b, bias=False), RELU, OUT, RELU), "bias"),
        (two(IN, lambda a, b: nn.Sigmoid(), OUT, RELU), "something else"),
        (two(IN, RELU, OUT, RELU, lambda a, b: nn.Dropout(0.5)), "something else"),
        (two(lambda a, b: nn.Conv3d(a, b, 3), RELU, lambda a, b: nn.Conv3d(b, b, 3), RELU),
         "two-dimensional"),
        (two(lambda a, b: conv(a, b, padding=2, dilation=2), RELU, OUT, RELU), "dilation"),
        (two(IN, lambda a, b: nn.ReLU6(), OUT, lambda a, b: nn.ReLU6()), "something else"),
    ],
)  # fmt: skip
def test_block(function, words):
    assert words in hint("09.block", function)


def test_a_class_of_ones_own_is_a_block_too():
    class Double(nn.Module):
        def __init__(self, a, b):
            super().__init__()
            self.two = nn.Conv2d(b, b, 3, padding="same")  # defined first, runs last
            self.one = conv(a, b)

        def forward(self, x):
            return self.two(self.one(x).relu()).clamp(min=0)

    assert check("09.block", Double).passed


# ---- 09.macs ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("function", "words"),
    [
        (lambda k, a, b, r, c: k**2 * a * b, "at every pixel"),
        (lambda k, a, b, r, c: k**2 * a * b + b, "at every pixel"),
        (lambda k, a, b, r, c: 2 * k**2 * a * b * r * c, "count as one"),
        (lambda k, a, b, r, c: k**3 * a * b * r * c, "flat"),
        (lambda k, a, b, r, c: k * a * b * r * c, "kernel × kernel"),
        (lambda k, a, b, r, c: k**2 * b * r * c, "all that enter"),
        (lambda k, a, b, r, c: k**2 * a * r * c, "of its own"),
        (lambda k, a, b, r, c: a * b * r * c, "missing"),
        (lambda k, a, b, r, c: k**2 * a * b * r**2, "may differ"),
        (lambda k, a, b, r, c: k**2 * (a + b) * r * c, "multiplied"),
        (lambda k, a, b, r, c: (k**2 * a * b + b) * r * c, "bias"),
        (lambda k, a, b, r, c: 9 * a * b * r * c, "1 × 1"),
    ],
)
def test_macs(function, words):
    assert words in hint("09.macs", function)


def test_macs_of_the_package_are_those_that_pytorch_counts():
    from torch.utils.flop_counter import FlopCounterMode

    with FlopCounterMode(display=False) as counter, torch.no_grad():
        nn.Conv2d(5, 7, 3, padding=1)(torch.zeros(1, 5, 16, 24))
    assert counter.get_total_flops() == 2 * multiply_adds(3, 5, 7, 16, 24)


# ---- 09.paired -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("function", "words"),
    [
        (lambda a, b: [x - y for x, y in zip(a.values(), b.values())], "another order"),
        (lambda a, b: [x - y for x, y in zip(sorted(a.values()), sorted(b.values()))], "sorted"),
        (lambda a, b: [b[n] - a[n] for n in a], "the other way"),
        (lambda a, b: [abs(a[n] - b[n]) for n in a], "sign"),
        (lambda a, b: {n: a[n] - b[n] for n in a}, "dict"),
        (lambda a, b: {a[n] - b[n] for n in a}, "a list"),
        (lambda a, b: {n: a[n] - b[n] for n in a}.values(), "a list"),
        (lambda a, b: np.mean([a[n] - b[n] for n in a]), "list"),
        (lambda a, b: [a[n] - b[n] for n in list(a)[1:]], "3 values"),
        (lambda a, b: [a[n] / b[n] for n in a], "not those"),
    ],
)
def test_paired(function, words):
    assert words in hint("09.paired", function)


def test_an_array_and_any_order_of_patients_pass():
    assert check("09.paired", lambda a, b: np.array([a[n] - b[n] for n in a])).passed
    assert check("09.paired", lambda a, b: [a[n] - b[n] for n in sorted(b, reverse=True)]).passed
