"""What lesson 05 goes on with where an exercise has not passed: one class, one patch, no classes of
modules around it. What trains networks is in `gliomakit.losses`."""

from __future__ import annotations

import torch
from torch import Tensor

from ..losses import WeightedDiceLoss


def soft_dice(probability: Tensor, reference: Tensor) -> Tensor:
    """Dice of probabilities and a reference of 0 and 1 of the same shape; 1 where both are empty.

    >>> soft_dice(torch.tensor([0.5, 0.5]), torch.tensor([1.0, 0.0]))
    tensor(0.5000)
    """
    both = probability.sum() + reference.sum()
    if both == 0:
        return torch.ones((), dtype=probability.dtype)
    return 2 * (probability * reference).sum() / both


def dice_gradient(probability: Tensor, reference: Tensor) -> Tensor:
    """The gradient of 1 - `soft_dice` by each probability, in their shape.

    >>> dice_gradient(torch.tensor([0.5, 0.5]), torch.tensor([1.0, 0.0]))
    tensor([-0.7500,  0.2500])
    """
    shared, both = (probability * reference).sum(), probability.sum() + reference.sum()
    return 2 * (shared - reference * both) / both**2


def weighted_dice_loss(probability: Tensor, reference: Tensor) -> Tensor:
    """Eq. 1 and 2 of the first paper for one patch; a class that it lacks has the weight 0.

    probability, reference: (K, …), the reference 0 and 1.

    >>> right = torch.tensor([[1.0, 1.0, 0.0], [0.0, 0.0, 1.0]])
    >>> weighted_dice_loss(right, right)
    tensor(0.)
    """
    return WeightedDiceLoss(from_logits=False)(probability[None], reference[None])
