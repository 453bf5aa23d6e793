"""The checkers of lesson 05: which mistake gets which hint, and that right answers pass."""

from __future__ import annotations

import json

import pytest
import torch

from gliomakit.course import build
from gliomakit.course.exercises import check
from gliomakit.course.saved import saved
from gliomakit.course.worked_loss import dice_gradient, soft_dice, weighted_dice_loss
from gliomakit.errors import GliomakitError
from gliomakit.losses import LOSSES, SoftDiceLoss, WeightedDiceLoss

(LESSON,) = [one for one in build.select(build.here(), None) if one.name == "05_weighted_dice"]
FUNCTIONS = {
    "05.soft": "soft_dice",
    "05.gradient": "dice_gradient",
    "05.weighted": "weighted_dice_loss",
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


# ---- 05.soft ---------------------------------------------------------------------------------


def either(wrong):
    """An answer that is right where both are empty and `wrong` elsewhere."""
    return lambda y, t: torch.ones(()) if y.sum() + t.sum() == 0 else wrong(y, t)


def hard(y, t):
    return soft_dice((y > 0.5).to(y.dtype), t)


def smoothed(constant):
    return lambda y, t: (2 * (y * t).sum() + constant) / (y.sum() + t.sum() + constant)


@pytest.mark.parametrize(
    ("wrong", "hint"),
    [
        (hard, "no slope"),
        (lambda y, t: soft_dice(y, t).item(), "has no gradient"),
        (lambda y, t: soft_dice(y.detach(), t), "has no gradient"),
        (either(lambda y, t: (y * t).sum() / (y.sum() + t.sum())), "times 2"),
        (lambda y, t: 1 - soft_dice(y, t), "that is the loss"),
        (either(lambda y, t: (y * t).sum() / (y + t - y * t).sum()), "Jaccard"),
        (either(lambda y, t: 2 * (y * t).sum() / y.numel()), "number of all voxels"),
        (either(lambda y, t: 2 * (y * t).sum() / (y**2 + t).sum()), "eq. 1"),
        (either(lambda y, t: (2 * y * t / (y + t)).mean()), "voxel by voxel"),
        (lambda y, t: 2 * (y * t).sum() / (y.sum() + t.sum()), "0 / 0"),
        (lambda y, t: 2 * (y * t).sum() / (y.sum() + t.sum() + 1e-8), "nothing is wrong: 1"),
        (smoothed(1.0), "would be right"),
        (smoothed(1e-3), "smoothing large beside it"),
        (lambda y, t: 2 * (y * t) / (y.sum() + t.sum()), "one number is wanted"),
        (lambda y, t: None, "returns None"),
    ],
)
def test_soft_dice_names_the_mistake(wrong, hint):
    result = check("05.soft", wrong)
    assert result.status == "wrong" and hint in result.message, result


@pytest.mark.parametrize(
    "right",
    [
        soft_dice,
        smoothed(1e-6),
        either(lambda y, t: 2 * (y * t).mean() / (y.mean() + t.mean())),
        either(lambda y, t: 2 * torch.dot(y.flatten(), t.flatten()) / (y + t).sum()),
    ],
)
def test_soft_dice_accepts_right_answers(right):
    assert check("05.soft", right).passed


# ---- 05.gradient -----------------------------------------------------------------------------


def sums(y, t):
    return (y * t).sum(), y.sum() + t.sum()


def by_autograd(y, t):
    y = y.detach().clone().requires_grad_()
    (1 - 2 * (y * t).sum() / (y.sum() + t.sum())).backward()
    return y.grad


def gradient_by(rule):
    return lambda y, t: rule(y, t, *sums(y, t))


@pytest.mark.parametrize(
    ("wrong", "hint"),
    [
        (lambda y, t: -dice_gradient(y, t), "sign is turned"),
        (gradient_by(lambda y, t, n, d: -2 * t / d), "for a constant"),
        (gradient_by(lambda y, t, n, d: -2 * (t * d - n) / d), "square of what is below"),
        (gradient_by(lambda y, t, n, d: -(t * d - n) / d**2), "factor 2"),
        (gradient_by(lambda y, t, n, d: -2 * (t * d + n) / d**2), "has a minus"),
        (gradient_by(lambda y, t, n, d: 2 * n / d**2 + 0 * y), "sum below alone"),
        (lambda y, t: dice_gradient(y, t) * y * (1 - y), "by the logit"),
        (gradient_by(lambda y, t, n, d: -2 * (t * d - 2 * n) / d**2), "count the 2 once"),
        (lambda y, t: dice_gradient(y, t).sum(), "has the shape ()"),
        (lambda y, t: dice_gradient(y, t).numpy(), "a torch tensor is wanted"),
        (lambda y, t: torch.zeros_like(y), "differs from the right one"),
    ],
)
def test_dice_gradient_names_the_mistake(wrong, hint):
    result = check("05.gradient", wrong)
    assert result.status == "wrong" and hint in result.message, result


@pytest.mark.parametrize("right", [dice_gradient, by_autograd])
def test_dice_gradient_accepts_right_answers(right):
    assert check("05.gradient", right).passed


# ---- 05.weighted -----------------------------------------------------------------------------


def parts(y, t):
    y, t = y.flatten(1), t.flatten(1)
    return y, t, t.sum(1)


def with_weight(weight, power=2):
    """Eq. 1 with the weight that `weight` makes of the areas, 0 for an absent class."""

    def loss(probability, reference):
        y, t, area = parts(probability, reference)
        w = torch.where(area > 0, weight(area.clamp(min=1)), 0)
        return 1 - 2 * (w * (y * t).sum(1)).sum() / (w * (y**power + t**power).sum(1)).sum()

    return loss


def with_absent(area_to_weight):
    def loss(probability, reference):
        y, t, area = parts(probability, reference)
        w = area_to_weight(area)
        return 1 - 2 * (w * (y * t).sum(1)).sum() / (w * (y**2 + t**2).sum(1)).sum()

    return loss


def mean_of_classes(probability, reference):
    y, t, _ = parts(probability, reference)
    return 1 - (2 * (y * t).sum(1) / (y**2 + t**2).sum(1)).mean()


def squared_sums(probability, reference):
    y, t, area = parts(probability, reference)
    w = 1 / area**2
    return 1 - 2 * (w * (y * t).sum(1)).sum() / (w * (y.sum(1) ** 2 + area**2)).sum()


def from_the_prediction(probability, reference):
    y, t, _ = parts(probability, reference)
    w = 1 / y.sum(1) ** 2
    return 1 - 2 * (w * (y * t).sum(1)).sum() / (w * (y**2 + t**2).sum(1)).sum()


def largest(area):
    w = torch.where(area > 0, 1 / area**2, 0)
    return torch.where(area > 0, w, w.max())


@pytest.mark.parametrize(
    ("wrong", "hint"),
    [
        (lambda y, t: 1 - weighted_dice_loss(y, t), "1 minus it"),
        (lambda y, t: (1 + weighted_dice_loss(y, t)) / 2, "2 stands above"),
        (with_weight(lambda area: 1 / area), "squares the area"),
        (with_weight(torch.ones_like), "weights are missing"),
        (with_weight(lambda area: area**2), "should count less"),
        (with_weight(lambda area: 1 / area**2, power=1), "squares Y and T"),
        (squared_sums, "then sum"),
        (mean_of_classes, "weights cancel"),
        (from_the_prediction, "areas of the reference"),
        (with_absent(lambda area: 1 / area**2), "divides by an area of 0"),
        (with_absent(lambda area: 1 / (area**2 + 1e-8)), "decides alone"),
        (with_absent(lambda area: 1 / (area + 1e-8) ** 2), "decides alone"),
        (with_absent(lambda area: 1 / (area**2).clamp(min=1e-8)), "decides alone"),
        (with_absent(largest), "as in MONAI"),
        (with_absent(lambda area: 1 / area.clamp(min=1) ** 2), "taken for 1"),
        (lambda y, t: weighted_dice_loss(y.detach(), t), "has no gradient"),
        (lambda y, t: weighted_dice_loss(y, t).item(), "has no gradient"),
    ],
)
def test_weighted_dice_loss_names_the_mistake(wrong, hint):
    result = check("05.weighted", wrong)
    assert result.status == "wrong" and hint in result.message, result


def by_loops(probability, reference):
    above = below = 0
    for y, t in zip(probability, reference):
        if t.sum() > 0:
            above = above + (y * t).sum() / t.sum() ** 2
            below = below + (y.square() + t.square()).sum() / t.sum() ** 2
    return 1 - 2 * above / below


@pytest.mark.parametrize(
    "right", [weighted_dice_loss, by_loops, with_weight(lambda area: 1 / area**2)]
)
def test_weighted_dice_loss_accepts_right_answers(right):
    assert check("05.weighted", right).passed


# ---- the lesson's functions are the package's ------------------------------------------------


def random_patches(n=20):
    draw = torch.Generator().manual_seed(0)
    for _ in range(n):
        shape = torch.randint(1, 7, (3,), generator=draw).tolist()
        logits = torch.randn(3, *shape, generator=draw).double()
        yield logits, torch.randint(3, tuple(shape), generator=draw)


@pytest.mark.parametrize("variant", ["lesson", "worked"])
def test_they_give_what_the_losses_give(variant):
    if variant == "lesson":
        soft, gradient, weighted = map(of_the_lesson, FUNCTIONS)
    else:
        soft, gradient, weighted = soft_dice, dice_gradient, weighted_dice_loss
    for logits, target in random_patches():
        y = logits.softmax(0)
        t = torch.stack([target == k for k in range(3)]).double()
        assert weighted(y, t).item() == pytest.approx(
            WeightedDiceLoss()(logits[None], target[None]).item(), abs=1e-9
        )
        two = torch.stack([logits[0], logits[1]])
        inside = (target == 1).long()
        p = two.softmax(0)[1]
        assert 1 - soft(p, inside.double()).item() == pytest.approx(
            SoftDiceLoss(smooth=0)(two[None], inside[None]).item(), abs=1e-9
        )
        torch.testing.assert_close(
            gradient(p, inside.double()), by_autograd(p, inside.double()), atol=1e-12, rtol=1e-9
        )


def test_saved_runs_hold_every_loss_of_classes_with_two_seeds():
    kept = saved("05_losses")
    wanted = {(n, s) for n in LOSSES for s in (0, 1) if LOSSES[n]().output == "classes"}
    assert {(run["loss"], run["seed"]) for run in kept["runs"]} == wanted
    for run in kept["runs"]:
        lengths = {len(run[k]) for k in ("step", "dice", "found", "training_loss")}
        assert lengths == {3} and run["step"] == [20, 40, 60]
    assert {"python", "torch", "gliomakit", "phantom"} <= set(kept["about"]["versions"])
    assert len(json.dumps(kept)) < 8000
    with pytest.raises(GliomakitError, match="nothing_here.json: is not among"):
        saved("nothing_here")
