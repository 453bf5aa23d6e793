"""The checkers of lesson 06: which mistake gets which hint, and that right answers pass."""

from __future__ import annotations

import copy
import json

import numpy as np
import pytest
import torch

from gliomakit import Fit, load_model
from gliomakit._learner import Learner
from gliomakit.course import build
from gliomakit.course.exercises import check
from gliomakit.course.saved import saved, saved_file
from gliomakit.course.worked_training import adam_step, paper_rate, training_step
from gliomakit.paths import prepared_folder
from gliomakit.phantom.dataset import embedded_names
from gliomakit.phantom.prepared import prepared_phantoms
from gliomakit.unet import UNet3d

(LESSON,) = [one for one in build.select(build.here(), None) if one.name == "06_train"]
FUNCTIONS = {
    "06.step": "training_step",
    "06.adam": "adam_step",
    "06.schedule": "paper_rate",
}


def of_the_lesson(name: str, variant: str = "solutions"):
    """The learner's function of an exercise's cell."""
    (part,) = [p for p in LESSON.parts if p.exercise and p.name == name]
    space: dict[str, object] = {"check": check, "torch": torch}
    exec(compile(part.exercise.text(variant), f"<{name}>", "exec"), space)
    return space[FUNCTIONS[name]]


@pytest.mark.parametrize("name", FUNCTIONS)
def test_a_stub_is_not_yet_and_the_solution_passes(name):
    assert check(name, of_the_lesson(name, "stubs")).status == "not yet"
    assert check(name, of_the_lesson(name)).passed


@pytest.mark.parametrize("name", FUNCTIONS)
@pytest.mark.parametrize(
    "nonsense",
    [
        lambda: None,
        lambda *a: None,
        lambda *a: "x",
        lambda *a: (1, 2, 3),
        lambda *a: torch.full((4,), float("nan")),
        lambda *a: 1 / 0,
        lambda *a: a[0],
        lambda *a: (torch.zeros(4), torch.zeros(3), torch.zeros(4)),
        lambda *a: np.array([None]),
        "training_step",
    ],
)
def test_nonsense_gets_a_hint(name, nonsense):
    result = check(name, nonsense)
    assert result.status == "wrong" and len(result.message) > 10


# ---- 06.step ---------------------------------------------------------------------------------


def made(*moves):
    """A step that does these things in this order, and returns the loss."""

    def step(network, loss, optimiser, image, target):
        value = None
        for move in moves:
            if move == "train":
                network.train()
            elif move == "eval":
                network.eval()
            elif move == "zero":
                optimiser.zero_grad()
            elif move == "forward":
                value = loss(network(image), target)
            elif move == "backward":
                value.backward()
            else:
                optimiser.step()
        return value.item()

    return step


RIGHT = ("train", "zero", "forward", "backward", "step")


def returns(what):
    def step(network, loss, optimiser, image, target):
        network.train()
        optimiser.zero_grad()
        value = loss(network(image), target)
        value.backward()
        optimiser.step()
        return what(network, loss, image, target, value)

    return step


def swapped(network, loss, optimiser, image, target):
    network.train()
    optimiser.zero_grad()
    value = loss(target, network(image))
    value.backward()
    optimiser.step()
    return value.item()


def without_graph(network, loss, optimiser, image, target):
    network.train()
    with torch.no_grad():
        value = loss(network(image), target)
    value.backward()
    optimiser.step()
    return value.item()


@pytest.mark.parametrize(
    ("wrong", "hint"),
    [
        (made("train", "forward", "backward", "step"), "nobody clears the gradient"),
        (made("train", "zero", "forward", "step"), "call .backward()"),
        (made("train", "zero", "forward", "step", "backward"), "before backward has been called"),
        (made("train", "zero", "forward", "backward"), "optimiser.step() is missing"),
        (made("zero", "forward", "backward", "step"), "evaluation mode"),
        (made("eval", "zero", "forward", "backward", "step"), "evaluation mode"),
        (made("zero", "forward", "train", "backward", "step"), "evaluation mode"),
        (made("train", "forward", "backward", "zero", "step"), "between backward and step"),
        (made(*RIGHT, "step"), "steps twice"),
        (returns(lambda n, f, i, t, value: value), "whole history"),
        (returns(lambda n, f, i, t, value: f(n(i), t).item()), "loss after the step"),
        (returns(lambda n, f, i, t, value: None), "returns None"),
        (returns(lambda n, f, i, t, value: n(i).detach()), "one number is wanted"),
        (swapped, "what the network says first"),
        (without_graph, "does not require grad"),
        (lambda n, f, o, i, t: 0.0, "the network never runs"),
        (lambda n, f, o, i, t: n.train()(i).sum().item(), "loss is never computed"),
        (lambda network: 0.0, "it is called as training_step("),
    ],
)
def test_training_step_names_the_mistake(wrong, hint):
    result = check("06.step", wrong)
    assert result.status == "wrong" and hint in result.message, result


def by_the_network(network, loss, optimiser, image, target):
    network.zero_grad()
    network.train(True)
    value = loss(network(image), target)
    value.backward()
    optimiser.step()
    return float(value.detach())


@pytest.mark.parametrize(
    "right",
    [
        training_step,
        by_the_network,
        made("train", "forward", "zero", "backward", "step"),
        made("train", "forward", "backward", "step", "zero"),
        returns(lambda n, f, i, t, value: value.detach()),
    ],
)
def test_training_step_accepts_right_answers(right):
    assert check("06.step", right).passed


# ---- 06.adam ---------------------------------------------------------------------------------


def adam(
    betas=(0.9, 0.999),
    mean=lambda m, b, t: m / (1 - b**t),
    square=lambda v, b, t: v / (1 - b**t),
    below=lambda s: s.sqrt() + 1e-8,
    sign=-1,
    hand_on=lambda m, v, mean, square: (m, v),
):
    """Adam with one thing done otherwise."""

    def step(weight, gradient, m, v, t, rate):
        m = betas[0] * m + (1 - betas[0]) * gradient
        v = betas[1] * v + (1 - betas[1]) * gradient**2
        one, other = mean(m, betas[0], t), square(v, betas[1], t)
        return weight + sign * rate * one / below(other), *hand_on(m, v, one, other)

    return step


def plain(x, b, t):
    return x


def in_place(weight, gradient, m, v, t, rate):
    m *= 0.9
    return adam_step(weight, gradient, m, v, t, rate)


@pytest.mark.parametrize(
    ("wrong", "hint"),
    [
        (adam(mean=plain, square=plain), "bias correction is missing"),
        (adam(square=plain), "v needs a correction of its own"),
        (adam(mean=plain), "m needs a correction of its own"),
        (adam(mean=lambda m, b, t: m / (1 - b), square=lambda v, b, t: v / (1 - b)), "power of t"),
        (adam(square=lambda v, b, t: v / (1 - 0.9**t)), "corrected with β2"),
        (adam(betas=(0.9, 0.9)), "β of its own"),
        (adam(betas=(0.999, 0.9)), "exchanged"),
        (adam(betas=(0.1, 0.999)), "share of the old m"),
        (adam(below=lambda s: (s + 1e-8).sqrt()), "outside the root"),
        (adam(below=lambda s: s + 1e-8), "divide by the root"),
        (adam(below=lambda s: s.sqrt()), "epsilon is missing"),
        (adam(sign=1), "minus"),
        (adam(hand_on=lambda m, v, one, other: (one, other)), "the corrected ones are for"),
        (adam(hand_on=lambda m, v, one, other: (v, m)), "then m, then v"),
        (lambda w, g, m, v, t, r: (w - r * g, g, g**2), "not the last one"),
        (lambda w, g, m, v, t, r: adam_step(w, g, m, v, t + 1, r), "counts from 1"),
        (lambda w, g, m, v, t, r: adam_step(w, g, m, v, t, r)[0], "return three things"),
        (in_place, "changes its input"),
    ],
)
def test_adam_step_names_the_mistake(wrong, hint):
    result = check("06.adam", wrong)
    assert result.status == "wrong" and hint in result.message, result


def by_pytorch(weight, gradient, m, v, t, rate):
    parameter = torch.nn.Parameter(weight.clone())
    parameter.grad = gradient.clone()
    optimiser = torch.optim.Adam([parameter], lr=rate)
    optimiser.state[parameter] = {
        "step": torch.tensor(float(t - 1)),
        "exp_avg": m.clone(),
        "exp_avg_sq": v.clone(),
    }
    optimiser.step()
    state = optimiser.state[parameter]
    return parameter.detach(), state["exp_avg"], state["exp_avg_sq"]


def by_lerp(weight, gradient, m, v, t, rate):
    m, v = m.lerp(gradient, 0.1), v.lerp(gradient.square(), 0.001)
    size = rate * (1 - 0.999**t) ** 0.5 / (1 - 0.9**t)
    return [weight - size * m / (v.sqrt() + 1e-8 * (1 - 0.999**t) ** 0.5), m, v]


@pytest.mark.parametrize("right", [adam_step, adam(), by_pytorch, by_lerp])
def test_adam_step_accepts_right_answers(right):
    assert check("06.adam", right).passed


# ---- 06.schedule -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("wrong", "hint"),
    [
        (lambda s, n, first: first, "never changes"),
        (lambda s, n, first: first * 0.95 ** (s // n), "not every epoch"),
        (lambda s, n, first: first * 0.95 ** (s // 5), "not every 5 steps"),
        (lambda s, n, first: first * 0.95**s, "not every step"),
        (lambda s, n, first: first * 0.95 ** (s / n / 5), "a staircase"),
        (lambda s, n, first: first * 0.95 ** ((s // n + 1) // 5), "in epoch 0"),
        (lambda s, n, first: first * 0.95 ** ((s + 1) // n // 5), "count from 0"),
        (lambda s, n, first: first * 0.95 ** (s // n // 5 + 1), "full rate"),
        (lambda s, n, first: first * 0.95 if s // n >= 5 else first, "again and again"),
        (lambda s, n, first: first * (1 - 0.05 * (s // n // 5)), "take away"),
        (lambda s, n, first: first * 0.05 ** (s // n // 5), "keep 5 %"),
        (lambda s, n, first: first * 0.95 ** round(s / n / 5), "round down"),
        (lambda s, n, first: 5e-4 * 0.95 ** (s // n // 5), "would be right"),
        (lambda s, n, first: None, "returns None"),
    ],
)
def test_paper_rate_names_the_mistake(wrong, hint):
    result = check("06.schedule", wrong)
    assert result.status == "wrong" and hint in result.message, result


def by_loop(step, epoch, first):
    for _ in range(step // (5 * epoch)):
        first *= 0.95
    return first


@pytest.mark.parametrize(
    "right", [paper_rate, by_loop, lambda s, n, first: torch.tensor(first * 0.95 ** (s // n // 5))]
)
def test_paper_rate_accepts_right_answers(right):
    assert check("06.schedule", right).passed


# ---- the lesson's functions are the package's ------------------------------------------------


@pytest.mark.parametrize("variant", ["lesson", "worked"])
def test_rates_are_those_of_fit(variant):
    rate = of_the_lesson("06.schedule") if variant == "lesson" else paper_rate
    settings = Fit.paper()
    for step in (0, 3999, 4000, 12_345, 79_999):
        assert rate(step, 800, 5e-4) == pytest.approx(settings.rate_at(step), rel=1e-12)


@pytest.mark.parametrize("variant", ["lesson", "worked"])
def test_adam_is_pytorchs(variant):
    mine = of_the_lesson("06.adam") if variant == "lesson" else adam_step
    draw = torch.Generator().manual_seed(1)
    weight = torch.randn(20, generator=draw, dtype=torch.float64)
    parameter = torch.nn.Parameter(weight.clone())
    optimiser = torch.optim.Adam([parameter], lr=3e-3)
    m = v = torch.zeros_like(weight)
    for t in range(1, 30):
        parameter.grad = torch.randn(20, generator=draw, dtype=torch.float64)
        weight, m, v = mine(weight, parameter.grad, m, v, t, 3e-3)
        optimiser.step()
    torch.testing.assert_close(weight, parameter.detach(), rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("variant", ["lesson", "worked"])
def test_a_step_is_that_of_fit(variant):
    mine = of_the_lesson("06.step") if variant == "lesson" else training_step
    cases = prepared_phantoms(prepared_folder(), range(1), spacing=4.0)
    settings = Fit(
        output="classes",
        regions=("wt",),
        base_filters=2,
        patch=16,
        optimiser="adam",
        weight_decay=0.0,
        clip_gradient=0.0,
        average=0.0,
        schedule="constant",
        precision="fp32",
    )
    torch.manual_seed(0)
    learner = Learner(cases, settings, torch.device("cpu"))
    network = copy.deepcopy(learner.network)
    optimiser = torch.optim.Adam(network.parameters(), lr=settings.rate)
    # A bias before a norm has no gradient but rounding, which differs from layout to layout: Adam
    # would make whole steps of it.
    for group in (*optimiser.param_groups, *learner.optimiser.param_groups):
        group["eps"] = 1e-3
    for number in range(3):
        image, target = learner.batch(number)
        value = mine(network, learner.loss, optimiser, image, target)
        loss, _ = learner.step(number)
        assert value == pytest.approx(float(loss), abs=1e-5)
    with torch.no_grad():
        torch.testing.assert_close(network(image), learner.network(image), rtol=1e-4, atol=1e-4)


# ---- what is saved ---------------------------------------------------------------------------


def test_saved_runs_are_whole():
    kept = saved("06_runs")
    assert kept["command"] == "make training-runs"
    for part in ("network", "schedules", "fits"):
        assert {"python", "torch", "gliomakit", "phantom"} <= set(kept[part]["versions"])
        assert kept[part]["seconds"] > 0 and kept[part]["machine"]
        Fit(**kept[part]["settings"])
    runs = kept["schedules"]["runs"]
    wanted = {(s, r, n) for s in ("step", "one-cycle") for r in (5e-4, 5e-3) for n in (0, 1)}
    assert {(run["schedule"], run["rate"], run["seed"]) for run in runs} == wanted
    fits = kept["fits"]["runs"]
    assert list(fits) == ["rate 1e-5", "one phantom", "ten phantoms"]
    for found in fits.values():
        assert len({len(values) for values in found.values()}) == 1
    assert len(json.dumps(kept)) < 12_000


def test_the_saved_network_is_small_and_finds_the_whole_tumour_only():
    kept, path = saved("06_runs")["network"], saved_file("06_wt.safetensors")
    assert path.stat().st_size <= 1.45e6
    model = load_model(path)
    assert type(model.network) is UNet3d and model.network.config["out_channels"] == 2
    assert model.settings.regions == ("wt",) and model.settings.output == "classes"
    assert model.settings.spacing == (2.0, 2.0, 2.0)
    assert list(kept["test"]) == embedded_names("test")
    assert sum(kept["test"].values()) / 8 >= 0.8
