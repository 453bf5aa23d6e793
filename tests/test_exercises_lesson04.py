"""Lesson 04: its checkers name what is wrong, and its functions are the package's."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from gliomakit import arithmetic
from gliomakit.course import build
from gliomakit.course.exercises import check, find
from gliomakit.course.exercises.lesson04 import CICEK
from gliomakit.errors import GliomakitError
from gliomakit.unet import UNet3d, cicek, table

(LESSON,) = build.select(build.here(), ["04"])
CELLS = {part.name: part.exercise for part in LESSON.parts if part.exercise}
PATH = [*["conv", "conv", "pool"] * 3, *["conv", "conv", "up"] * 3, "conv", "conv"]


def function_of(name, variant="solutions"):
    space: dict[str, object] = {"check": check}
    exec(compile(CELLS[name].text(variant), f"<{name}>", "exec"), space)
    return space[find(name).call.partition("(")[0]]


@pytest.mark.parametrize("name", CELLS)
def test_stub_solution_and_package(name):
    assert check(name, function_of(name, "stubs")).status == "not yet"
    assert check(name, function_of(name)).passed
    package = getattr(arithmetic, find(name).call.partition("(")[0])
    assert check(name, package).passed


def wrong(name, function, hint):
    result = check(name, function)
    assert result.status == "wrong" and hint in result.message, result


# ---- 04.parameters ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("function", "hint"),
    [
        (lambda k, a, b, bias: k**3 * a * b, "bias is missing"),
        (lambda k, a, b, bias: k**3 * a * b + 1, "not one in all"),
        (lambda k, a, b, bias: k**3 * a * b + a, "not those that enter"),
        (lambda k, a, b, bias: (k**3 + 1) * a * b, "however many enter"),
        (lambda k, a, b, bias: k**2 * a * b + b, "flat kernel"),
        (lambda k, a, b, bias: k * a * b + b, "power of three"),
        (lambda k, a, b, bias: k**3 * b + b, "all channels that enter"),
        (lambda k, a, b, bias: k**3 * a + b, "kernel of its own"),
        (lambda k, a, b, bias: k**3 * a * b + b, "bias=False"),
        (lambda k, a, b, bias: None, "returns None"),
        (lambda k, a, b: k**3 * a * b + b, "conv_parameters(kernel, entering, leaving, bias)"),
    ],
)
def test_parameters_names_the_mistake(function, hint):
    wrong("04.parameters", function, hint)


@pytest.mark.parametrize(
    "right",
    [
        lambda k, a, b, bias: (k**3 * a + bias) * b,
        lambda k, a, b, bias=True: sum(
            p.numel() for p in nn.Conv3d(a, b, k, bias=bias).parameters()
        ),
    ],
)
def test_parameters_accepts_right_answers(right):
    assert check("04.parameters", right).passed


# ---- 04.side ---------------------------------------------------------------------------------


def forward(kind, side, k, s, p):
    return (side + 2 * p - k) // s + 1


def with_up(up):
    def function(kind, side, k, s, p):
        return up(side, k, s, p) if kind == "up" else forward(kind, side, k, s, p)

    return function


@pytest.mark.parametrize(
    ("function", "hint"),
    [
        (lambda kind, side, k, s, p: (side - k) // s + 1, "padding is missing"),
        (lambda kind, side, k, s, p: (side + p - k) // s + 1, "both ends"),
        (lambda kind, side, k, s, p: side, "without padding the side shrinks"),
        (lambda kind, side, k, s, p: side + 2 * p - 2, "other than 1"),
        (lambda kind, side, k, s, p: side + 2 * p - k + 1, "stride is missing"),
        (lambda kind, side, k, s, p: (side + 2 * p - k) / s + 1, "//"),
        (lambda kind, side, k, s, p: math.ceil((side + 2 * p - k) / s) + 1, "//"),
        (forward, "enlarges"),
        (with_up(lambda side, k, s, p: side * s), "last cube"),
        (with_up(lambda side, k, s, p: (side - 1) * s + k), "both ends"),
        (with_up(lambda side, k, s, p: (side - 1) * s + k + 2 * p), "cut off"),
        (with_up(lambda side, k, s, p: (side - 1) * s), "last cube"),
    ],
)
def test_side_names_the_mistake(function, hint):
    wrong("04.side", function, hint)


def by_torch(kind, side, k, s, p):
    layer = {
        "conv": lambda: nn.Conv1d(1, 1, k, s, p),
        "pool": lambda: nn.MaxPool1d(k, s, p),
        "up": lambda: nn.ConvTranspose1d(1, 1, k, s, p),
    }[kind]()
    return layer(torch.zeros(1, 1, side)).shape[-1]


def by_counting(kind, side, k, s, p):
    if kind == "up":
        return max(start + k for start in range(0, side * s, s)) - 2 * p
    return sum(1 for start in range(0, side + 2 * p, s) if start + k <= side + 2 * p)


@pytest.mark.parametrize("right", [by_torch, by_counting])
def test_side_accepts_right_answers(right):
    assert check("04.side", right).passed


# ---- 04.seen ---------------------------------------------------------------------------------


def walk(path, voxel, conv=(1, 1), pool=(0, 1), up=lambda v: v // 2):
    first = last = voxel
    for kind in path:
        if kind == "conv":
            first, last = first - conv[0], last + conv[1]
        elif kind == "pool":
            first, last = 2 * first + pool[0], 2 * last + pool[1]
        else:
            first, last = up(first), up(last)
    return first, last


@pytest.mark.parametrize(
    ("function", "hint"),
    [
        (lambda path, v: walk(path, v), "walk back"),
        (lambda path, v: walk(path[::-1], v, conv=(1, 2)), "both ends"),
        (lambda path, v: walk(path[::-1], v, conv=(3, 3)), "at either end"),
        (lambda path, v: walk(path[::-1], v, pool=(0, 0)), "two voxels"),
        (lambda path, v: walk(path[::-1], v, pool=(0, 2)), "2 * i + 1"),
        (lambda path, v: walk(path[::-1], v, up=lambda u: u / 2), "whole numbers"),
        (lambda path, v: walk(path[::-1], v, up=lambda u: int(u / 2)), "-1 // 2"),
        (lambda path, v: walk(path[::-1], v)[1] - walk(path[::-1], v)[0] + 1, "two numbers"),
        (lambda path, v: tuple(max(0, u) for u in walk(path[::-1], v)), "cut the range"),
        (lambda path, v: walk([k for k in path[::-1] if k != "up"], v), "right is (5, 5)"),
        (lambda path, v: None, "returns None"),
    ],
)
def test_seen_names_the_mistake(function, hint):
    wrong("04.seen", function, hint)


def by_sets(path, voxel):
    voxels = {voxel}
    for kind in reversed(path):
        if kind == "conv":
            voxels = {v + d for v in voxels for d in (-1, 0, 1)}
        elif kind == "pool":
            voxels = {2 * v + d for v in voxels for d in (0, 1)}
        else:
            voxels = {v // 2 for v in voxels}
    return min(voxels), max(voxels)


@pytest.mark.parametrize("right", [by_sets, lambda path, v: list(walk(path[::-1], v))])
def test_seen_accepts_right_answers(right):
    assert check("04.seen", right).passed


# ---- 04.cicek --------------------------------------------------------------------------------


def swapped(old, new):
    return lambda: [new if layer == old else layer for layer in CICEK]


@pytest.mark.parametrize(
    ("function", "hint"),
    [
        (lambda: [(*layer[:3], True) for layer in CICEK], "no bias in this network"),
        (lambda: [(*layer[:3], False) for layer in CICEK], "have a bias"),
        (swapped((3, 3, 32, True), (3, 4, 32, True)), "3 channels"),
        (swapped((1, 64, 3, True), (1, 64, 2, True)), "3 classes"),
        (swapped((3, 768, 256, True), (3, 512, 256, True)), "skip is missing"),
        (swapped((2, 512, 512, False), (2, 512, 256, False)), "keep the number"),
        (swapped((2, 512, 512, False), (3, 512, 512, False)), "kernel of 2"),
        (swapped((1, 64, 3, True), (3, 64, 3, True)), "kernel of 1"),
        (lambda: CICEK[:-1], "17 of 18 layers; missing: 1³ from 64 to 3 with bias"),
        (lambda: [*CICEK, (3, 64, 64, True)], "there is no 3³ from 64 to 64"),
        (lambda: [layer[:3] for layer in CICEK], "(kernel, entering, leaving, bias)"),
        (lambda: 19_069_955, "a list of layers"),
        (lambda: None, "a list of layers"),
    ],
)
def test_cicek_names_the_mistake(function, hint):
    wrong("04.cicek", function, hint)


@pytest.mark.parametrize(
    "right", [lambda: [list(layer) for layer in reversed(CICEK)], lambda: tuple(CICEK)]
)
def test_cicek_accepts_right_answers(right):
    assert check("04.cicek", right).passed


# ---- the package's arithmetic ----------------------------------------------------------------


def test_parameters_and_sides_are_those_of_every_layer():
    network = UNet3d()
    for row in table(network):
        layer = network.get_submodule(row.layer)
        if "norm" not in row.kind:
            sizes = (layer.kernel_size[0], layer.in_channels, layer.out_channels)
            assert arithmetic.conv_parameters(*sizes) == row.parameters
    assert arithmetic.cicek_layers() == CICEK


def test_what_is_seen_is_the_gradient_s_extent():
    torch.manual_seed(0)
    network = UNet3d(base_filters=2, norm="none").double()
    image = torch.randn(1, 4, 128, 8, 8, dtype=torch.float64, requires_grad=True)
    logits = network(image)
    for voxel in (52, 63, 64):
        (gradient,) = torch.autograd.grad(logits[0, 1, voxel, 4, 4], image, retain_graph=True)
        seen = gradient.abs().amax((0, 1, 3, 4)).nonzero().flatten()
        first, last = arithmetic.seen_range(PATH, voxel)
        assert first <= seen[0] <= first + 2 and last - 2 <= seen[-1] <= last


def test_a_whole_u_net_sees_92_or_100_voxels():
    ranges = [arithmetic.seen_range(PATH, voxel) for voxel in range(8)]
    assert [last - first + 1 for first, last in ranges] == [92, 92, 100, 100, 100, 100, 92, 92]


def test_saved_bytes_are_the_same_on_meta_and_near_the_count():
    lesson = {}
    cell = next(p.text for p in LESSON.parts if "def estimate_mb" in p.text)
    exec(cell, lesson)
    network = UNet3d(base_filters=2)
    real = arithmetic.saved_bytes(network, torch.zeros(2, 4, 16, 16, 16))
    ghost = arithmetic.saved_bytes(network.to("meta"), torch.zeros(2, 4, 16, 16, 16, device="meta"))
    assert real == ghost
    assert real / 1e6 == pytest.approx(lesson["estimate_mb"](16**3, 2, 2), rel=0.01)


def test_unknown_layers_are_refused():
    with pytest.raises(GliomakitError, match="conv, pool, up"):
        arithmetic.side_after("relu", 8, 3)
    with pytest.raises(GliomakitError, match="conv, pool, up"):
        arithmetic.seen_range(["relu"], 8)


def test_the_lesson_s_class_is_the_package_s_network():
    cell = next(p.text for p in LESSON.parts if "class HandUNet" in p.text)
    space = {"nn": nn, "torch": torch, "F": nn.functional}
    exec(cell, space)
    mine, package = space["HandUNet"](filters=2), UNet3d(base_filters=2)
    mine.load_state_dict(package.state_dict())
    image = torch.randn(2, 4, 16, 8, 24)
    assert torch.allclose(mine(image), package(image), atol=1e-5)
    assert cicek().config["up_bias"] is False
