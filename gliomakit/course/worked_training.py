"""What lesson 06 goes on with where an exercise has not passed: a training step,
said plainly. What trains networks is in `gliomakit.training`."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn


def training_step(
    network: nn.Module,
    loss: Callable[[Tensor, Tensor], Tensor],
    optimiser: torch.optim.Optimizer,
    image: Tensor,
    target: Tensor,
) -> float:
    """Learn once from one batch; its loss before the step.

    >>> network = nn.Conv3d(1, 1, 1)
    >>> optimiser = torch.optim.Adam(network.parameters())
    >>> image = torch.ones(1, 1, 2, 2, 2)
    >>> training_step(network, nn.functional.mse_loss, optimiser, image, image) >= 0
    True
    """
    network.train()
    optimiser.zero_grad()
    value = loss(network(image), target)
    value.backward()
    optimiser.step()
    return value.item()


def adam_step(
    weight: Tensor,
    gradient: Tensor,
    m: Tensor,
    v: Tensor,
    t: int,
    rate: float,
    beta1: float = 0.9,
    beta2: float = 0.999,
    epsilon: float = 1e-8,
) -> tuple[Tensor, Tensor, Tensor]:
    """Adam's step number t, counted from 1: the new weight, and both moments for the next step.

    >>> zero = torch.zeros(2)
    >>> adam_step(zero, torch.tensor([0.001, -5.0]), zero, zero, t=1, rate=0.1)[0]
    tensor([-0.1000,  0.1000])
    """
    m = beta1 * m + (1 - beta1) * gradient
    v = beta2 * v + (1 - beta2) * gradient**2
    mean, square = m / (1 - beta1**t), v / (1 - beta2**t)
    return weight - rate * mean / (square.sqrt() + epsilon), m, v


def paper_rate(step: int, epoch: int, first: float) -> float:
    """The learning rate of a step, counted from 0: times 0.95 every 5 epochs of `epoch` steps.

    >>> [paper_rate(step, 800, 5e-4) for step in (0, 3999, 4000)]
    [0.0005, 0.0005, 0.000475]
    """
    return first * 0.95 ** (step // epoch // 5)
