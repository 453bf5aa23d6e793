"""Segmenting a case: windows over the volume, probabilities, nested regions.

`sliding_window` is the overlap-tile strategy of the U-Net (Ronneberger et al. 2015) with Gaussian
blending; window positions and weights are MONAI's, and so is the result.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from itertools import combinations
from typing import Literal

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from tqdm import tqdm

from ._pieces import postprocess
from .cases import Case
from .device import autocast, compiled, fast_precision, memory_format, pick_device
from .errors import GliomakitError
from .model import Model, Settings
from .patches import gaussian, tiles
from .preprocess import prepare, restore
from .regions import REGIONS, SEQUENCES, nest, to_label

Progress = Callable[[int, int], None] | bool | None
"""Called with (windows done, windows in all); True is a bar on stderr, if that is a terminal."""


MOST = 12
"""Windows at once: more are no faster, and 16 of the first paper's network took 8 GB in fp32."""


@dataclass(frozen=True, eq=False)
class Segmentation:
    """What a network makes of a case, on the case's RAS grid.

    probability:   float32 (3, x, y, z) for WT, TC, ET; 0 for a region that the network lacks.
    regions:       bool (3, x, y, z), nested and post-processed.
    regions_known: the regions that the network finds; the others are empty whatever the image.
    volumes_ml:    mL of each region that it finds.
    """

    name: str
    probability: np.ndarray = field(repr=False)
    regions: np.ndarray = field(repr=False)
    regions_known: tuple[str, ...]
    volumes_ml: dict[str, float]

    def label(self, convention: str) -> np.ndarray:
        """The label (uint8, (x, y, z)) in that convention, for `cases.write_label`."""
        return to_label(self.regions, convention)


def segment(
    case: Case,
    model: Model,
    device: str | torch.device | None = None,
    mirror: bool | str | None = None,
    overlap: float = 0.5,
    skip: bool = True,
    progress: Progress = None,
    precision: str | None = "fp32",
    compile: bool = False,
) -> Segmentation:
    """Segment a case: prepare, slide the window, restore, threshold, nest, post-process.

    device:    "cpu", "cuda", "mps"; None takes the fastest that works.
    mirror:    average over mirror images: the axes, "x" or "xy" (each doubles the time); True is
               all three, False none, None what the network's settings say.
    overlap:   share of a window that the next one covers again.
    skip:      leave out windows without brain; nothing changes inside the brain.
    precision: "fp32" gives the same numbers on every machine, to rounding; None takes the fastest
               (`device.fast_precision`), whose probabilities differ in the second digit.
    compile:   by `torch.compile` first, which pays for many cases (`device.compiled`).

    Raises `GliomakitError` if the case has none of the sequences that the network looks at.
    """
    settings = model.settings
    if not set(case.present) & set(settings.sequences):
        raise GliomakitError(
            f"the case has only {', '.join(case.present) or 'no sequence'}",
            where=case.name,
            todo=f"this network looks at {', '.join(settings.sequences)}",
        )
    device = pick_device(device)
    prepared = prepare(replace(case, label=None), settings.spacing, settings.clip)
    channels = [SEQUENCES.index(sequence) for sequence in settings.sequences]
    predicted = sliding_window(
        model.network,
        torch.from_numpy(prepared.image[channels]),
        settings.window or settings.patch,
        overlap,
        activation=settings.activation,
        mirror=settings.mirror if mirror is None else mirror,
        skip=torch.from_numpy(prepared.brain) if skip else None,
        batch=None,
        device=device,
        precision=precision,
        progress=progress,
        compile=compile,
    )
    probability = restore(_by_region(predicted, settings).numpy(), prepared.frame)
    voxel_ml = abs(float(np.linalg.det(case.affine[:3, :3]))) / 1000
    threshold = np.broadcast_to(np.float32(settings.threshold), len(REGIONS))
    found = probability >= threshold[:, None, None, None]
    limits = (settings.min_wt_ml, settings.min_et_ml, settings.min_wt_share)
    regions = postprocess(nest(found), voxel_ml, *limits)
    volumes = {r: float(v.sum() * voxel_ml) for r, v in zip(REGIONS, regions, strict=True)}
    return Segmentation(
        name=case.name,
        probability=probability,
        regions=regions,
        regions_known=settings.regions,
        volumes_ml={region: volumes[region] for region in settings.regions},
    )


@torch.no_grad()
def sliding_window(
    network: Callable[[Tensor], Tensor],
    image: Tensor,
    size: int | tuple[int, int, int],
    overlap: float = 0.5,
    activation: Literal["sigmoid", "softmax"] | None = "sigmoid",
    mirror: bool | str = False,
    skip: Tensor | None = None,
    batch: int | None = 1,
    device: str | torch.device | None = None,
    precision: str | None = "fp32",
    progress: Progress = None,
    compile: bool = False,
) -> Tensor:
    """Run a network over a volume in overlapping windows and blend what it says.

    network:    (b, c, x, y, z) to logits (b, r, x, y, z). A module is moved to `device` and put in
                evaluation mode meanwhile.
    image:      (c, x, y, z); smaller than the window it is padded with 0 on both sides.
    activation: makes probabilities of the logits, window by window; None blends the logits.
    mirror:     average the probabilities of each window's mirror images: the axes that are
                flipped, "x" or "xy"; True is all three.
    skip:       the brain, bool (x, y, z): windows without any are not computed. A voxel that no
                window has seen is 0.
    batch:      windows at once. None: on a GPU as many as half of its free memory holds, up to
                `MOST`; elsewhere one, which is no slower and takes the least memory.
    device:     where to compute; None is where the network is. On a GPU the volume is moved there
                as a whole, not window by window.
    precision, compile: as in `segment`.

    Returns (r, x, y, z), float32, where the image is. Equal to MONAI's
    ``sliding_window_inference(mode="gaussian")`` in every voxel that no skipped window would reach.

    >>> sliding_window(lambda x: 2 * x, torch.ones(1, 5, 6, 7), 4, activation=None).unique()
    tensor([2.])
    """
    if activation not in ("sigmoid", "softmax", None):
        raise ValueError(f"there is no activation {activation!r}")
    home, module = image.device, network if isinstance(network, nn.Module) else None
    if device is None:
        first = next(module.parameters(), image) if module else image
        device = first.device
    device = torch.device(device)
    size = (size,) * 3 if isinstance(size, int) else tuple(size)
    image, skip, inner = _pad(image, skip, size)
    windows = tiles(image.shape[1:], size, overlap)
    if skip is not None:
        windows = [window for window in windows if skip[window].any()]
        if not windows:
            raise ValueError("there is no brain in any window")

    precision = precision or fast_precision(device)
    layout = memory_format(device, precision)
    weight = gaussian(size).to(device)
    total, weights = None, torch.zeros(image.shape[1:], device=device)
    training = module.training if module else False
    if module:
        module.to(device, memory_format=layout).eval()
    network = compiled(network) if compile else network
    try:
        image = image.to(device)
        with autocast(device, precision), _bar(progress) as tell:
            if batch is None:
                first = image[(slice(None), *windows[0])][None]
                batch = _at_once(lambda: _predict(network, first, layout, activation, ""), device)
            for start in range(0, len(windows), batch):
                chunk = windows[start : start + batch]
                x = torch.stack([image[(slice(None), *window)] for window in chunk])
                p = _predict(network, x, layout, activation, mirror)
                if total is None:
                    total = torch.zeros((p.shape[1], *image.shape[1:]), device=device)
                for one, window in zip(p, chunk, strict=True):
                    total[(slice(None), *window)].addcmul_(one, weight)
                    weights[window] += weight
                tell(start + len(chunk), len(windows))
    finally:
        if module:
            module.train(training)
    total /= weights.clamp_(min=torch.finfo(torch.float32).tiny)
    return total[(slice(None), *inner)].to(home, copy=False).contiguous()


def _at_once(work: Callable[[], Tensor], device: torch.device) -> int:
    """How many windows half of the device's free memory holds, from what one needs."""
    if device.type != "cuda":
        return 1
    torch.cuda.reset_peak_memory_stats(device)
    before = torch.cuda.memory_allocated(device)
    work()
    needed = torch.cuda.max_memory_allocated(device) - before
    return int(min(max(torch.cuda.mem_get_info(device)[0] / 2 // max(needed, 1), 1), MOST))


def _predict(
    network: Callable[[Tensor], Tensor],
    x: Tensor,
    layout: torch.memory_format,
    activation: str | None,
    mirror: bool | str,
) -> Tensor:
    """Probabilities (float32) of a batch of windows, averaged over mirror images if asked."""
    mean: Tensor | None = None
    flipped = [2 + "xyz".index(axis) for axis in ("xyz" if mirror is True else mirror or "")]
    views = [axes for n in range(len(flipped) + 1) for axes in combinations(flipped, n)]
    for axes in views:
        y = network(x.flip(axes).contiguous(memory_format=layout)).float()
        if activation == "sigmoid":
            y = y.sigmoid()
        elif activation == "softmax":
            y = y.softmax(1)
        y = y.flip(axes)
        mean = y if mean is None else mean.add_(y)
    return mean / len(views)


@contextmanager
def _bar(progress: Progress) -> Iterator[Callable[[int, int], None]]:
    """What to call after each batch of windows."""
    if callable(progress):
        yield progress
        return
    hidden = not progress or not sys.stderr.isatty()
    with tqdm(unit="window", leave=False, disable=hidden) as bar:

        def tell(done: int, total: int) -> None:
            bar.total = total
            bar.update(done - bar.n)

        yield tell


def _pad(
    image: Tensor, skip: Tensor | None, size: tuple[int, ...]
) -> tuple[Tensor, Tensor | None, tuple[slice, ...]]:
    """Image and mask, no smaller than a window, and where the image lies in the padded one."""
    missing = [max(s - n, 0) for s, n in zip(size, image.shape[1:], strict=True)]
    before = [m // 2 for m in missing]
    inner = tuple(slice(b, b + n) for b, n in zip(before, image.shape[1:], strict=True))
    if any(missing):
        # The last axis comes first in PyTorch's list.
        sides = [n for b, m in zip(before[::-1], missing[::-1], strict=True) for n in (b, m - b)]
        image = F.pad(image, sides)
        skip = None if skip is None else F.pad(skip, sides)
    return image, skip, inner


def _by_region(predicted: Tensor, settings: Settings) -> Tensor:
    """The network's probabilities (channels, x, y, z) as those of WT, TC and ET (3, x, y, z)."""
    if settings.output == "classes":
        # Class k is "in region k and in none further in": a region is its class and all within.
        predicted = predicted[1:].flip(0).cumsum(0).flip(0)
    out = torch.zeros((len(REGIONS), *predicted.shape[1:]))
    out[[REGIONS.index(region) for region in settings.regions]] = predicted.cpu()
    return out
