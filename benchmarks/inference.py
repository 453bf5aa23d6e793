"""A whole case: windows over the volume, blended; and a training step."""

from __future__ import annotations

import time
from collections.abc import Iterator
from itertools import count

import numpy as np
import torch
from monai.inferers import sliding_window_inference

from gliomakit._learner import Learner
from gliomakit.device import fast_precision
from gliomakit.inference import sliding_window
from gliomakit.metrics import dice
from gliomakit.preprocess import prepare, to_regions_array
from gliomakit.training import Fit
from gliomakit.weights import load

from .compare import Comparison, compare
from .metrics import case

OVERLAP = 0.5


def rows(quick: bool = False) -> Iterator[Comparison]:
    exam = case(2.0 if quick else 1.0)
    prepared = prepare(exam)
    # Ours lays its network's weights out anew, channels last; the peer has one of its own.
    size, network, plain = 64 if quick else 96, load().network, load().network.eval()
    image, brain = (torch.from_numpy(np.array(x)) for x in (prepared.image, prepared.brain))
    # The peer slides over the case as it lies in its file: the same grid, with the air around.
    volume = torch.zeros(1, 4, *exam.image.shape[1:])
    volume[0][(slice(None), *prepared.frame.slices)] = image
    last: dict[str, np.ndarray] = {}

    def ours():
        found = sliding_window(network, image, size, OVERLAP, skip=brain)
        last["ours"] = found.numpy() > 0.5

    @torch.no_grad()
    def theirs():
        found = sliding_window_inference(
            volume, (size,) * 3, 1, lambda x: plain(x).sigmoid(), OVERLAP, mode="gaussian"
        )
        last["theirs"] = found[0].numpy()[(slice(None), *prepared.frame.slices)] > 0.5

    voxels = " × ".join(map(str, exam.image.shape[1:]))
    work = f"a whole case of {voxels}, the shipped network, windows {size}³, overlap ½, fp32"
    found = compare(work, ours, "MONAI sliding_window_inference", theirs, floor=4)
    # The same network sees the brain cut out by us, with the air around by the peer: what it says
    # differs, and by how much depends on the network and the case. So both scores are shown.
    scores = []
    for side in ("ours", "theirs"):
        masks = zip(last[side] & prepared.brain, to_regions_array(prepared.regions))
        scores.append(" ".join(f"{dice(mask, reference):.3f}" for mask, reference in masks))
    found.work += f"; Dice of WT, TC, ET {scores[0]}, the peer's {scores[1]}"
    yield found
    yield from step(quick)


def step(quick: bool) -> Iterator[Comparison]:
    """A training step, up to the new weights, beside the same network in plain fp32."""
    prepared = prepare(case())
    settings = Fit(batch=2, base_filters=4 if quick else 16, patch=64, intensity=False, alone=0)
    learner, numbers = Learner([prepared], settings, torch.device("cpu")), count()
    plain = settings.make_network()
    optimiser = torch.optim.AdamW(plain.parameters(), lr=1e-3, fused=True)

    def theirs():
        learner.layout = torch.contiguous_format
        batch, target = learner.batch(next(numbers))
        loss = learner.loss(plain(batch), target)
        loss.backward()
        optimiser.step()
        optimiser.zero_grad(set_to_none=True)

    def ours():
        learner.layout = torch.channels_last_3d
        learner.step(next(numbers))

    half = fast_precision("cpu") == "bf16"
    work = f"training step, {settings.base_filters} filters, 2 × 4 × 64³, {learner.precision}"
    work += "" if half else " (no native bf16: its floor of 2 is not applicable)"
    yield compare(work, ours, "the same network, plain fp32", theirs, floor=2 if half else None)


def waiting() -> float:
    """Share of a training step's time that goes into its batch."""
    prepared = prepare(case())
    learner = Learner([prepared], Fit(batch=2, base_filters=16), torch.device("cpu"))
    spent = {"batch": 0.0}
    make = learner.batch

    def timed(number: int):
        start = time.perf_counter()
        made = make(number)
        spent["batch"] += time.perf_counter() - start
        return made

    learner.batch = timed
    learner.step(0)
    spent["batch"], start = 0.0, time.perf_counter()
    for number in (1, 2, 3):
        learner.step(number)
    return spent["batch"] / (time.perf_counter() - start)


def facts(quick: bool = False) -> Iterator[str]:
    work = "share of a training step, 16 filters, 2 × 4 × 64³, that goes into its batch"
    yield f"| {work} | {waiting():.1%} | 3 % |"
