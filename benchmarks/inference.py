"""A whole case: windows over the volume, blended; and a training step."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from itertools import count

import numpy as np
import torch
from monai.inferers import sliding_window_inference
from torch import Tensor

from gliomakit._layers import table
from gliomakit._learner import Learner
from gliomakit.device import PRECISIONS, autocast, fast_precision
from gliomakit.inference import sliding_window
from gliomakit.metrics import dice
from gliomakit.patches import tiles
from gliomakit.preprocess import prepare, to_regions_array
from gliomakit.training import Fit
from gliomakit.weights import load

from .compare import Comparison, compare
from .gpu import operations as training_operations
from .metrics import case

OVERLAP = 0.5


class Exam:
    """A phantom on its whole grid, the shipped network, and both ways to bring them together.

    Ours cuts the case to its brain; the peer slides over the file's grid, with the air around.
    """

    def __init__(self, spacing: float, size: int):
        exam = case(spacing)
        self.prepared, self.size = prepare(exam), size
        self.shape = " × ".join(map(str, exam.image.shape[1:]))
        arrays = self.prepared.image, self.prepared.brain
        self.image, self.brain = (torch.from_numpy(np.array(x)) for x in arrays)
        self.box = (slice(None), *self.prepared.frame.slices)
        self.volume = torch.zeros(1, 4, *exam.image.shape[1:])
        self.volume[0][self.box] = self.image
        # Ours lays its network's weights out anew, channels last; the peer has its own.
        self.network, self.plain = load().network, load().network.eval()

    def ours(self, precision: str = "fp32") -> Tensor:
        return sliding_window(
            self.network, self.image, self.size, OVERLAP, skip=self.brain, precision=precision
        )

    @torch.no_grad()
    def theirs(self, precision: str = "fp32", moved: int = 0) -> Tensor:
        """As MONAI's tutorial calls it; in bf16 with channels last.

        moved: voxels by which the case lies elsewhere in its air.
        """
        layout = torch.channels_last_3d if precision == "bf16" else torch.contiguous_format
        volume = self.volume.roll((moved, moved), (2, 3)).to(memory_format=layout)
        network = self.plain.to(memory_format=layout)
        with autocast(torch.device("cpu"), precision):
            found = sliding_window_inference(
                volume, (self.size,) * 3, 1, lambda x: network(x).sigmoid(), OVERLAP
            )
        return found[0].roll((-moved, -moved), (1, 2))[self.box]

    def scores(self, found: Tensor) -> str:
        """Dice of the three regions."""
        masks = (found.numpy() > 0.5) & self.prepared.brain
        pairs = zip(masks, to_regions_array(self.prepared.regions))
        return " ".join(f"{dice(mask, reference):.3f}" for mask, reference in pairs)


def product(operations: float, precision: str) -> tuple[str, Callable[[], object]]:
    """A bound: as many operations in matrix products of that precision."""
    side, kind = 1024, PRECISIONS[precision]
    a, b, out = (torch.ones(side, side, dtype=kind) for _ in range(3))
    rounds = max(round(operations / (2 * side**3)), 1)

    def multiply() -> None:
        for _ in range(rounds):
            torch.mm(a, b, out=out)

    return f"matrix products of the same {operations / 1e9:.0f} billion operations", multiply


def exam(quick: bool) -> Exam:
    return Exam(2.0, 64) if quick else Exam(1.0, 96)


def rows(quick: bool = False) -> Iterator[Comparison]:
    one, half = exam(quick), fast_precision("cpu") == "bf16"
    seen = [one.brain[window] for window in tiles(one.brain.shape, (one.size,) * 3, OVERLAP)]
    windows = sum(bool(brain.any()) for brain in seen)
    operations = 2e9 * windows * table(one.plain, one.size).gmac
    for precision, floor in (("fp32", 4), ("bf16", 1.5))[: 1 + half]:
        work = f"a whole case of {one.shape}, the shipped network, windows {one.size}³, overlap ½"
        work += f", {precision}" + ("" if half else " (no native bf16: its row is not applicable)")
        yield compare(
            work,
            lambda: one.ours(precision),  # noqa: B023 (used before it changes)
            "MONAI sliding_window_inference",
            lambda: one.theirs(precision),  # noqa: B023
            floor=None if quick else floor,
            bound=product(operations, precision),
        )
    yield from step(quick)


def agreement(quick: bool) -> Iterator[str]:
    """How far the results are from one another, and the peer's from its own when the case lies
    elsewhere among the windows: this network is of 2 mm, and sees a little of its window's place.
    """
    one = exam(quick)
    yield f"| Dice of WT, TC, ET of the whole case, ours in fp32 | {one.scores(one.ours())} | |"
    if fast_precision("cpu") == "bf16":
        said = one.scores(one.ours("bf16"))
        yield f"| the same in bf16 | {said} | within .005 |"
    for moved in (0, 8, 16, 24):
        where = f", the case moved by {moved} voxels" if moved else ""
        yield f"| the same, the peer{where} | {one.scores(one.theirs(moved=moved))} | |"


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
    operations = settings.batch * training_operations(settings.base_filters, settings.patch)
    yield compare(
        work,
        ours,
        "the same network, plain fp32",
        theirs,
        floor=2 if half else None,
        bound=product(operations, learner.precision),
    )


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
    yield from agreement(quick)
