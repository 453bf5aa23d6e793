"""What a validation says of each case, gathered batch by batch while fastai validates."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch

from ..metrics import Counts, dice


class ItemTable:
    """Loss of each item, and, where the targets are masks, what a Dice is made of.

    Nothing is predicted again: `add` looks at what a validation has just computed.
    """

    def __init__(self) -> None:
        self.losses: list[torch.Tensor] = []
        self.counts: list[torch.Tensor] = []

    def add(self, learn) -> None:
        """Take in the batch that the learner has just validated."""
        with learn.loss_not_reduced():
            loss = plain(learn.loss_func(learn.pred, *learn.yb))
        pred, target = plain(learn.pred), plain(learn.yb[0])
        self.losses.append(loss.float().reshape(len(pred), -1).mean(1))
        if is_mask(pred, target):
            found, true = pred.argmax(1).flatten(1) > 0, target.flatten(1) > 0
            four = (found & true, found & ~true, ~found & true, ~found & ~true)
            self.counts.append(torch.stack([m.sum(1) for m in four], 1))

    def rows(self, items: Sequence[object]) -> dict[str, dict[str, float]]:
        """Of each case the mean loss of its items, how many they are, and Dice of all their pixels.

        Empty if `items` is not what was validated.
        """
        losses = torch.cat(self.losses).tolist() if self.losses else []
        if len(losses) != len(items):
            return {}
        counts = torch.cat(self.counts).tolist() if self.counts else []
        members: dict[str, list[int]] = {}
        for i, name in enumerate(case_names(items)):
            members.setdefault(name, []).append(i)
        table = {}
        for name, own in members.items():
            row = {"items": len(own), "loss": sum(losses[i] for i in own) / len(own)}
            if counts:
                row["dice"] = dice(Counts(*(sum(counts[i][k] for i in own) for k in range(4))))
            table[name] = row
        return table


def plain(tensor: torch.Tensor) -> torch.Tensor:
    """Without gradient, and without fastai's types, which do not compare with one another."""
    return tensor.detach().as_subclass(torch.Tensor)


def is_mask(pred: torch.Tensor, target: torch.Tensor) -> bool:
    """Does the target give every pixel its class, and the prediction a score for each class?"""
    return (
        pred.ndim > 2
        and pred.ndim == target.ndim + 1
        and pred.shape[1] > 1
        and pred.shape[2:] == target.shape[1:]
    )


def case_names(items: Sequence[object]) -> list[str]:
    """To which case each item belongs: a file's folder, as slices lie in their patient's; its own
    name where all lie in one folder; its number if it is no file.

    >>> case_names([Path("a/1.tif"), Path("a/2.tif"), Path("b/1.tif")])
    ['a', 'a', 'b']
    >>> case_names([Path("all/1.tif"), Path("all/2.tif")]), case_names([5, 6])
    (['1', '2'], ['item 0', 'item 1'])
    """
    if not all(isinstance(item, Path) for item in items):
        return [f"item {i}" for i in range(len(items))]
    folders = [item.parent.name for item in items]
    return folders if len(set(folders)) > 1 else [item.stem for item in items]
