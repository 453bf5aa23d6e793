"""Sixteen foreground-balanced patches of 64³ with flips and rotation, up to the finished batch.

From a case of 4 × 240 × 240 × 155; and once from the same case cut to its brain, as we prepare it.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count
from types import SimpleNamespace

import numpy as np
import torch
import torchio
from monai.transforms import (
    Compose,
    FgBgToIndicesd,
    RandCropByPosNegLabeld,
    RandFlipd,
    RandRotate90d,
)

from gliomakit.cases import Case
from gliomakit.patches import PatchSampler
from gliomakit.preprocess import prepare

from .compare import Comparison, compare
from .metrics import case

NUMBER, SIDE = 16, 64


WHOLE = "4 × 240 × 240 × 155"


def volumes(exam: Case) -> dict[str, SimpleNamespace]:
    """The case on its whole grid, and as we prepare it: what a sampler needs of it."""
    prepared = prepare(exam)
    image = np.zeros((4, *exam.image.shape[1:]), np.float32)
    regions = np.zeros(image.shape[1:], np.uint8)
    image[(slice(None), *prepared.frame.slices)] = prepared.image
    regions[prepared.frame.slices] = prepared.regions
    whole = SimpleNamespace(image=image, regions=regions, present=exam.present)
    return {WHOLE: whole, "the brain's box": prepared}


def rows(quick: bool = False) -> Iterator[Comparison]:
    for name, volume in volumes(case()).items():
        yield from of(name, volume)
        if name == WHOLE:
            yield from of(f"{name} kept as float16", volume, "float16")


def of(name: str, volume: SimpleNamespace, stored: str | None = None) -> Iterator[Comparison]:
    """Against each peer, with floors; from the brain's box against the first alone, without.

    stored: as what our sampler keeps the case; the peers have it in float32.
    """
    everything = name.startswith(WHOLE)
    sampler = PatchSampler(volume, size=SIDE, foreground=0.5, seed=0, stored=stored)
    steps, room = count(), sampler.batch(NUMBER)
    image, label = torch.from_numpy(volume.image), torch.from_numpy(volume.regions)[None]
    data, keys = {"image": image, "label": label}, ["image", "label"]
    flips = [RandFlipd(keys, prob=0.5, spatial_axis=axis) for axis in range(3)]
    turn = RandRotate90d(keys, prob=0.75, spatial_axes=(0, 1))
    some = {"pos": 1, "neg": 1, "num_samples": NUMBER}
    crop = RandCropByPosNegLabeld(keys, "label", (SIDE,) * 3, **some)
    known = FgBgToIndicesd("label")(data)
    pick = RandCropByPosNegLabeld(
        keys, "label", (SIDE,) * 3, **some,
        fg_indices_key="label_fg_indices", bg_indices_key="label_bg_indices",
    )  # fmt: skip
    subject = torchio.Subject(
        image=torchio.ScalarImage(tensor=image), label=torchio.LabelMap(tensor=label)
    )
    labels = torchio.LabelSampler(SIDE, "label", {0: 1, 1: 1, 2: 1, 3: 1})
    flip = torchio.RandomFlip((0, 1, 2))

    def ours():
        return sampler.batch(NUMBER, next(steps), out=room).image

    def monai(chain, given):
        # MONAI's crops are views: only stacked they are a batch.
        return torch.stack([patch["image"] for patch in chain(given)])

    def of_torchio():
        return torch.stack([flip(one).image.data for one in labels(subject, NUMBER)])

    whole, again = Compose([crop, *flips, turn]), Compose([pick, *flips, turn])
    peers = (
        ("MONAI RandCropByPosNegLabeld and flips, stacked", lambda: monai(whole, data), 7),
        ("the same, indices known beforehand", lambda: monai(again, known), 5),
        ("TorchIO LabelSampler and RandomFlip, stacked", of_torchio, 10),
    )
    target = torch.empty_like(room.image)
    bound = ("copy of the batch", lambda: target.copy_(room.image))
    for peer, theirs, floor in peers if everything else peers[:1]:
        assert ours().shape == theirs().shape == (NUMBER, 4, SIDE, SIDE, SIDE)
        work = f"{NUMBER} patches of {SIDE}³ from {name}, balanced, flipped, turned"
        floor = floor if everything else None
        yield compare(work, ours, peer, theirs, floor=floor, bound=bound)
