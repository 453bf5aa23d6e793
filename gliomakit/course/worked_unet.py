"""What lesson 08 goes on with where an exercise has not passed: a step of AdamW, and rates that
differ by depth, as fastai and PyTorch compute them."""

from __future__ import annotations

from torch import Tensor

TINY = 1e-8
"""Adam's eps in PyTorch. fastai's is 1e-5."""


def rates(low: float, high: float, groups: int) -> list[float]:
    """Learning rates from the first group of layers to the last, each the same factor higher.

    >>> [round(rate, 6) for rate in rates(1e-5, 1e-3, 3)]
    [1e-05, 0.0001, 0.001]
    """
    if groups == 1:
        return [high]
    return [low * (high / low) ** (i / (groups - 1)) for i in range(groups)]


def first_step(
    weight: Tensor, gradient: Tensor, rate: float, decay: float, decoupled: bool
) -> Tensor:
    """The weights after Adam's first step. `decoupled` takes the decay from the weights themselves
    (AdamW), else it is added to the gradient (L2).

    >>> import torch
    >>> first_step(torch.tensor([2.0]), torch.tensor([3.0]), 0.1, 0.5, decoupled=True)
    tensor([1.8000])
    """
    if not decoupled:
        gradient = gradient + decay * weight
    step = rate * gradient / (gradient.abs() + TINY)
    return (weight * (1 - rate * decay) if decoupled else weight) - step
