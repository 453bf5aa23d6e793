"""What segmenting a case will take, estimated beforehand: windows, seconds, memory.

Seconds are the number of windows times what one window takes here and now, measured, and the array
work before and after, taken from how long a look at the same voxels takes. Memory is counted from
the sizes of the arrays. Estimates: a busy machine is slower.
"""

from __future__ import annotations

import time
from dataclasses import dataclass

import numpy as np
import torch
from torch import nn

from ._frame import Frame, Span
from ._look import crop, look
from .cases import Case
from .device import autocast, fast_precision, memory_format, pick_device
from .errors import GliomakitError
from .model import Model
from .patches import tiles

PASSES = 10
"""Reading, preparing, restoring and writing a case take as long as so many looks at it."""

VOXEL_BYTES, PREPARED_BYTES = 30, 48
"""Held at once for each voxel of the case (image, probability, what resampling needs) and of the
prepared case (image, sums, weights)."""


@dataclass(frozen=True)
class Rate:
    """What one window takes: seconds, and bytes of what its layers give."""

    device: str
    seconds: float
    bytes: int


@dataclass(frozen=True)
class Cost:
    """What a case takes: windows of the network, seconds in all, MB beside the program itself."""

    windows: int
    seconds: float
    memory_mb: float


@torch.no_grad()
def rate(
    model: Model, device: str | torch.device | None = None, precision: str | None = "fp32"
) -> Rate:
    """Run one window of a network, twice: the first time is never typical."""
    device = pick_device(device)
    precision = precision or fast_precision(device)
    layout = memory_format(device, precision)
    settings, network = model.settings, model.network
    training = network.training
    network.to(device, memory_format=layout).eval()
    shape = (1, len(settings.sequences), *(settings.window or settings.patch))
    window = torch.zeros(shape, device=device).contiguous(memory_format=layout)
    given: list[int] = []
    leaves = [m for m in network.modules() if not any(m.children())]
    hooks = [leaf.register_forward_hook(_counter(given)) for leaf in leaves]
    try:
        with autocast(device, precision):
            network(window)
            for hook in hooks:
                hook.remove()
            _finish(device)
            start = time.perf_counter()
            network(window)
            _finish(device)
    finally:
        network.train(training)
    return Rate(device.type, time.perf_counter() - start, sum(given))


def estimate(case: Case, model: Model, one: Rate, overlap: float = 0.5) -> Cost:
    """What `inference.segment` will take for a case.

    Raises `GliomakitError` if there is no brain in it.
    """
    start = time.perf_counter()
    seen = look(case)
    array_seconds = PASSES * (time.perf_counter() - start)
    box = crop(seen.brain)
    if box is None:
        raise GliomakitError("there is no brain in the image", where=case.name)
    settings, shape = model.settings, case.image.shape[1:]
    every = [index.step for index in seen.thin]
    spans = [Span(cut.start * k, min(cut.stop * k, n)) for cut, k, n in zip(box, every, shape)]
    frame = Frame(shape, tuple(spans), case.spacing, settings.spacing)
    places = [
        np.minimum((span.low + (np.arange(n) + 0.5) * r) / k, m - 1).astype(int)
        for span, n, r, k, m in zip(spans, frame.size, frame.ratio, every, seen.brain.shape)
    ]
    brain = seen.brain[np.ix_(*places)]
    windows = tiles(frame.size, settings.window or settings.patch, overlap)
    count = sum(bool(brain[window].any()) for window in windows) * 2 ** len(settings.mirror)
    held = VOXEL_BYTES * np.prod(shape) + PREPARED_BYTES * np.prod(frame.size)
    return Cost(count, count * one.seconds + array_seconds, float(held + one.bytes) / 1e6)


def _counter(given: list[int]):
    def count(_: nn.Module, __: object, out: torch.Tensor) -> None:
        given.append(out.numel() * out.element_size())

    return count


def _finish(device: torch.device) -> None:
    """Wait until the device has done what it was asked."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    elif device.type == "mps":
        torch.mps.synchronize()
