"""Checkers of lesson 06, *Train*."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from ._core import Answer, checker
from ._expect import Hint, close, number, tensor

RATE = 0.05


class _Same:
    """Not copied with the other arguments: the checker watches this very object."""

    def __deepcopy__(self, memo: dict) -> _Same:
        return self


class _Network(_Same, nn.Module):
    """Two logits of three numbers; writes down in which mode it runs, and when it is derived."""

    def __init__(self, log: list[tuple]):
        super().__init__()
        self.log = log
        start = torch.tensor([[0.5, -0.3, 0.2], [-0.4, 0.1, 0.6]], dtype=torch.float64)
        self.weight = nn.Parameter(start)
        self.weight.register_hook(lambda gradient: log.append(("backward",)))

    def forward(self, image: Tensor) -> Tensor:
        self.log.append(("forward", self.training))
        return image @ self.weight.T


class _Loss(_Same, nn.Module):
    def __init__(self, log: list[tuple]):
        super().__init__()
        self.log = log

    def forward(self, logits: Tensor, target: Tensor) -> Tensor:
        self.log.append(("loss",))
        if logits.shape == target.shape and not logits.requires_grad and target.requires_grad:
            raise Hint("the loss takes what the network says first, then the target")
        return _distance(logits, target)


class _Optimiser(_Same, torch.optim.SGD):
    def __init__(self, network: _Network):
        super().__init__(network.parameters(), lr=RATE)
        self.log = network.log

    def step(self, closure: Callable | None = None) -> object:
        self.log.append(("step",))
        return super().step(closure)

    def zero_grad(self, set_to_none: bool = True) -> None:
        self.log.append(("zero",))
        super().zero_grad(set_to_none)


def _distance(logits: Tensor, target: Tensor) -> Tensor:
    return ((logits - target) ** 2).mean()


def _batches() -> list[tuple[Tensor, Tensor]]:
    draw = torch.Generator().manual_seed(6)
    shapes = [((4, 3), (4, 2))] * 3
    return [
        tuple(torch.randn(*shape, generator=draw, dtype=torch.float64) for shape in pair)
        for pair in shapes
    ]


def _trained(clear: bool) -> tuple[Tensor, list[float], list[float]]:
    """Weights after all batches, with or without clearing the gradient; the losses before each step
    and after it."""
    network, before, after = _Network([]), [], []
    optimiser = torch.optim.SGD(network.parameters(), lr=RATE)
    for image, target in _batches():
        if clear:
            optimiser.zero_grad()
        value = _distance(network(image), target)
        value.backward()
        optimiser.step()
        before.append(value.item())
        after.append(_distance(network(image), target).item())
    return network.weight.detach(), before, after


@checker(
    "06.step",
    call="training_step(network, loss, optimiser, image, target)",
    praise="training mode, a clean gradient, forward, backward, one step, and a plain number back",
)
def step(answer: Answer) -> None:
    """`training_step(…)`: learn from one batch, and return its loss as a number."""
    log: list[tuple] = []
    network = _Network(log).eval()  # as a validation leaves it
    loss, optimiser = _Loss(log), _Optimiser(network)
    found = []
    for image, target in _batches():
        del log[:]
        value = answer(network, loss, optimiser, image, target)
        _in_order([entry[0] for entry in log], log)
        found.append(_plain_number(value))
    right, before, after = _trained(clear=True)
    close(
        network.weight.detach(),
        right,
        mistakes=[
            (
                _trained(clear=False)[0],
                "nobody clears the gradient: backward adds to what is there, so each step also "
                "takes all earlier ones; call optimiser.zero_grad() once a step",
            )
        ],
        what="the weight after three steps",
    )
    for value, wanted, later in zip(found, before, after):
        close(
            value,
            wanted,
            mistakes=[(later, "that is the loss after the step: return the one that you derived")],
            what="the loss of a batch",
        )


def _in_order(names: list[str], log: list[tuple]) -> None:
    """What one call did, in which order; a hint for what is missing or misplaced."""
    if "forward" not in names:
        raise Hint("the network never runs: its logits are network(image)")
    if not all(entry[1] for entry in log if entry[0] == "forward"):
        raise Hint(
            "the network runs in evaluation mode, as a validation before has left it; say "
            "network.train() first (dropout and batch norm do something else in each mode)"
        )
    if "loss" not in names:
        raise Hint("the loss is never computed: loss(network(image), target)")
    if "step" not in names:
        raise Hint("the weights never move: optimiser.step() is missing")
    if "backward" not in names:
        raise Hint("there is no gradient: call .backward() on the loss before the optimiser steps")
    if names.index("step") < names.index("backward"):
        raise Hint("the optimiser steps before backward has been called: it has no gradient yet")
    if "zero" in names[names.index("backward") : names.index("step")]:
        raise Hint("you clear the gradient between backward and step: nothing is left to go along")
    if names.count("step") > 1:
        raise Hint("one batch, one step: the optimiser steps twice")


def _plain_number(value: object) -> float:
    if isinstance(value, Tensor) and value.requires_grad:
        raise Hint(
            "you return the loss with its whole history: a list of such losses keeps every layer's "
            "output of every step, until memory is full; return loss.item()"
        )
    return number(value)


# ---- 06.adam ---------------------------------------------------------------------------------

BETA1, BETA2, EPSILON = 0.9, 0.999, 1e-8


def _adam(
    w: Tensor,
    g: Tensor,
    m: Tensor,
    v: Tensor,
    t: int,
    rate: float,
    mean_by: Callable[[int], float] = lambda t: 1 - BETA1**t,
    square_by: Callable[[int], float] = lambda t: 1 - BETA2**t,
    below: Callable[[Tensor], Tensor] = lambda square: square.sqrt() + EPSILON,
    sign: int = -1,
) -> Tensor:
    """The new weight, from new moments m and v; right, or with one thing done otherwise."""
    return w + sign * rate * (m / mean_by(t)) / below(v / square_by(t))


@checker(
    "06.adam",
    call="adam_step(weight, gradient, m, v, t, rate)",
    praise="both moments, both corrections, and moments handed on as they were: PyTorch's own Adam",
)
def adam(answer: Answer) -> None:
    """`adam_step(weight, gradient, m, v, t, rate)`: weight and both moments after one step."""
    draw = torch.Generator().manual_seed(3)
    w = torch.randn(4, generator=draw, dtype=torch.float64)
    m = torch.randn(4, generator=draw, dtype=torch.float64)
    v = m**2 / 500
    for t in (3, 4, 5, 1):  # the first step last: there several mistakes look alike
        if t == 1:
            m, v = torch.zeros_like(w), torch.zeros_like(w)
        m[1] = v[1] = 0
        g = torch.randn(4, generator=draw, dtype=torch.float64)
        g[1] = 3e-7 * t  # here epsilon's place shows
        got = answer(w, g, m, v, t, 0.01)
        if not isinstance(got, (tuple, list)) or len(got) != 3:
            raise Hint("return three things: the new weight, the new m, the new v")
        got = [tensor(value, w.shape) for value in got]
        new_m, new_v = BETA1 * m + (1 - BETA1) * g, BETA2 * v + (1 - BETA2) * g**2
        _moments(got, g, (m, v), (new_m, new_v), t)
        m, v = new_m, new_v
        _weight(got[0], w, g, m, v, t)
        w = _adam(w, g, m, v, t, 0.01)


def _moments(
    got: list[Tensor], g: Tensor, old: tuple[Tensor, ...], new: tuple[Tensor, ...], t: int
) -> None:
    corrected = "return the moments as they are: the corrected ones are for this step only"
    (m, v), (new_m, new_v) = old, new
    close(
        got[1],
        new_m,
        mistakes=[
            (new_m / (1 - BETA1**t), corrected),
            (BETA1 * m + g, "the gradient enters m with the weight 1 − β1"),
            (BETA2 * m + (1 - BETA2) * g, "m takes β1, v takes β2: they are exchanged"),
            ((1 - BETA1) * m + BETA1 * g, "β1 is the share of the old m that stays"),
            (new_v, "return the weight, then m, then v"),
            (g, "m is a running mean of the gradients, not the last one"),
        ],
        what="m",
    )
    close(
        got[2],
        new_v,
        mistakes=[
            (new_v / (1 - BETA2**t), corrected),
            (BETA2 * v + (1 - BETA2) * g, "v is the running mean of the gradient's square"),
            (BETA2 * v + g**2, "the square enters v with the weight 1 − β2"),
            (BETA1 * v + (1 - BETA1) * g**2, "v has a β of its own, β2: it forgets more slowly"),
            ((1 - BETA2) * v + BETA2 * g**2, "β2 is the share of the old v that stays"),
        ],
        atol=1e-20,
        what="v",
    )


def _weight(got: Tensor, w: Tensor, g: Tensor, m: Tensor, v: Tensor, t: int) -> None:
    def one(_: int) -> float:
        return 1.0

    def wrong(**how: object) -> Tensor:
        return _adam(w, g, m, v, t, 0.01, **how)

    missing = "the bias correction is missing: m / (1 − β1^t), v / (1 − β2^t); eq. 3 lacks it too"
    power = "the correction is with β to the power of t: it fades as t grows"
    root = "epsilon stands outside the root: √v + ε; inside, it stops small gradients"
    close(
        got,
        wrong(),
        mistakes=[
            (wrong(mean_by=one, square_by=one), missing),
            (wrong(square_by=one), "v needs a correction of its own: v / (1 − β2^t)"),
            (wrong(mean_by=one), "m needs a correction of its own: m / (1 − β1^t)"),
            (wrong(mean_by=lambda t: 1 - BETA1, square_by=lambda t: 1 - BETA2), power),
            (wrong(square_by=lambda t: 1 - BETA1**t), "v is corrected with β2, not with β1"),
            (wrong(sign=1), "go against the gradient: minus"),
            (wrong(below=lambda square: (square + EPSILON).sqrt()), root),
            (wrong(below=lambda square: square + EPSILON), "divide by the root of v"),
            (wrong(below=torch.sqrt), "epsilon is missing: where v is 0 you divide by 0"),
            (
                wrong(mean_by=one, square_by=one, below=lambda s: (s + EPSILON).sqrt()),
                missing,
            ),
            (
                _adam(w, g, m, v, t + 1, 0.01),
                "t counts from 1: take it as it is given",
            ),
            (w - 0.01 * g, "that is plain gradient descent: the moments are not used"),
            (w, "the weight has not moved"),
        ],
        atol=1e-12,
        what=f"the weight after step {t}",
    )  # fmt: skip


# ---- 06.schedule -----------------------------------------------------------------------------

WRONG: list[tuple[Callable[[int, int], float], str]] = [
    (lambda s, n: 1.0, "the rate never changes"),
    (lambda s, n: 0.95 ** (s // n), "the rate falls every 5 epochs, not every epoch"),
    (lambda s, n: 0.95 ** (s // 5), "the rate falls every 5 epochs, not every 5 steps: divide by "
     "the steps of an epoch first"),
    (lambda s, n: 0.95**s, "the rate falls every 5 epochs, not every step"),
    (lambda s, n: 0.95 ** (s / n / 5), "a staircase, no slope: only whole fives of epochs count"),
    (lambda s, n: 0.95 ** ((s // n + 1) // 5), "step 0 lies in epoch 0: five whole epochs pass "
     "before the first fall"),
    (lambda s, n: 0.95 ** ((s + 1) // n // 5), "steps count from 0 here"),
    (lambda s, n: 0.95 ** (s // n // 5 + 1), "the first five epochs have the full rate"),
    (lambda s, n: 0.95 if s // n >= 5 else 1.0, "it falls again and again: 0.95 to the power of "
     "how often five epochs have passed"),
    (lambda s, n: 0.95 * (s // n // 5), "0.95 to the *power* of how often five epochs have passed"),
    (lambda s, n: 1 - 0.05 * (s // n // 5), "each fall multiplies by 0.95; it does not take away "
     "5 % of the first rate"),
    (lambda s, n: 0.05 ** (s // n // 5), "× 0.95 keeps 95 %; you keep 5 %"),
    (lambda s, n: 0.95 ** round(s / n / 5), "round down: only whole fives of epochs count"),
]  # fmt: skip
"""What a learner may multiply the first rate with, by step and steps of an epoch."""


@checker(
    "06.schedule",
    call="paper_rate(step, epoch, first)",
    praise="a staircase: whole epochs first, then whole fives of them",
)
def schedule(answer: Answer) -> None:
    """`paper_rate(step, epoch, first)`: × 0.95 every 5 epochs of `epoch` steps."""
    for epoch, first in ((7, 1e-3), (3, 0.02), (1, 1.0)):
        steps = (0, 1, 4 * epoch, 5 * epoch - 1, 5 * epoch, 9 * epoch + epoch // 2, 23 * epoch + 1)
        found = {step: number(answer(step, epoch, first)) / first for step in steps}
        right = {step: 0.95 ** (step // epoch // 5) for step in steps}
        if all(abs(found[step] - right[step]) < 1e-6 for step in steps):
            continue
        for wrong, hint in WRONG:
            if all(abs(found[step] - wrong(step, epoch)) < 1e-6 for step in steps):
                raise Hint(hint)
        for step in steps:
            close(
                found[step] * first,
                right[step] * first,
                rtol=1e-6,
                what=f"the rate of step {step}, in epoch {step // epoch} of {epoch} steps each,",
            )


# PyTorch imports much with its first optimiser, which must not count as the learner's time.
_trained(clear=True)
