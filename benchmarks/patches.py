"""Sixteen foreground-balanced patches of 64³ with flips and rotation, up to the finished batch."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count

import torch
from monai.transforms import Compose, RandCropByPosNegLabeld, RandFlipd, RandRotate90d

from gliomakit.patches import PatchSampler
from gliomakit.preprocess import prepare

from .compare import Comparison, compare
from .metrics import case


def rows() -> Iterator[Comparison]:
    prepared = prepare(case())
    sampler = PatchSampler(prepared, size=64, foreground=0.5, seed=0)
    steps = count()
    data = {
        "image": torch.from_numpy(prepared.image),
        "label": torch.from_numpy(prepared.regions)[None],
    }
    keys = ["image", "label"]
    flips = [RandFlipd(keys, prob=0.5, spatial_axis=axis) for axis in range(3)]
    crop = RandCropByPosNegLabeld(keys, "label", (64, 64, 64), pos=1, neg=1, num_samples=16)
    monai = Compose([crop, *flips, RandRotate90d(keys, prob=0.75, spatial_axes=(0, 1))])

    def ours():
        return sampler.batch(16, next(steps)).image

    def theirs():
        # MONAI's crops are views: only stacked they are a batch.
        return torch.stack([patch["image"] for patch in monai(data)])

    assert ours().shape == theirs().shape == (16, 4, 64, 64, 64)
    yield compare(
        "16 patches of 64³, balanced, flipped, turned",
        ours,
        "MONAI RandCropByPosNegLabeld and flips, stacked",
        theirs,
    )
