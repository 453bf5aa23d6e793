"""How the cost grows: a log–log plot each, and the slope in words."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import count
from types import SimpleNamespace

import numpy as np

from gliomakit import metrics
from gliomakit.patches import PatchSampler
from gliomakit.regions import SEQUENCES

from .compare import seconds


@dataclass
class Curve:
    """Seconds against a size, and what the slope of their logarithms is taken for."""

    work: str
    against: str
    sizes: list[float]
    seconds: list[float]

    @property
    def slope(self) -> float:
        return float(np.polyfit(np.log(self.sizes), np.log(self.seconds), 1)[0])

    def __str__(self) -> str:
        slope = self.slope
        kinds = ((0.2, "hardly at all"), (0.8, "more slowly than it"), (1.2, "in proportion to it"))
        grows = next((words for most, words in kinds if slope < most), "faster than it")
        first, last = (1000 * s for s in (self.seconds[0], self.seconds[-1]))
        return (
            f"| {self.work} | {self.against}, {self.sizes[0]:.3g} to {self.sizes[-1]:.3g} | "
            f"{first:.3g} to {last:.3g} ms | {slope:.2f}: grows {grows} |"
        )


def measured(work: Callable[[], object]) -> float:
    work()
    return statistics.median(seconds(work) for _ in range(5))


def ball(side: int) -> tuple[np.ndarray, np.ndarray]:
    """A cube of that side with a nested tumour, and the same moved."""
    grid = np.indices((side,) * 3) / side - 0.5
    far = np.sqrt((grid**2).sum(0))
    label = sum((far < radius).astype(np.uint8) for radius in (0.35, 0.25, 0.15))
    return label, np.roll(label, 2, 0)


def case(side: int) -> SimpleNamespace:
    image = np.random.default_rng(0).standard_normal((4, *[side] * 3), np.float32)
    return SimpleNamespace(image=image, regions=ball(side)[0], present=SEQUENCES)


def curves(quick: bool = False) -> Iterator[Curve]:
    sides = (32, 64, 96) if quick else (32, 64, 128, 192)
    counted, far = [], []
    for side in sides:
        a, b = ball(side)
        counted.append(measured(lambda a=a, b=b: metrics.region_counts(a, "msd", b, "msd")))
        far.append(measured(lambda a=a, b=b: metrics.hd95(a > 0, b > 0, 1)))
    voxels = [float(side**3) for side in sides]
    yield Curve("counts of three regions", "voxels", voxels, counted)
    yield Curve("HD95 of a region", "voxels", voxels, far)

    one, steps = case(128), count()
    found, sides = [], (16, 32, 64, 96)
    for side in sides:
        sampler = PatchSampler(one, side, seed=0)
        room = sampler.batch(4)
        found.append(measured(lambda s=sampler, r=room: s.batch(4, next(steps), out=r)))
    yield Curve("4 patches cut", "voxels of a patch", [float(side**3) for side in sides], found)

    small, found, numbers = case(24), [], (1, 8, 64, 512)
    for number in numbers:
        sampler = PatchSampler([small] * number, 16, seed=0)
        room = sampler.batch(16)
        found.append(measured(lambda s=sampler, r=room: s.batch(16, next(steps), out=r)))
    yield Curve("16 patches drawn and cut", "cases", [float(n) for n in numbers], found)

    masks = ball(64)[0] > 0
    found, numbers = [], (1, 2, 4, 8)
    for number in numbers:
        pair = np.stack([masks] * number), np.stack([np.roll(masks, 2, 0)] * number)
        names = [f"region {i}" for i in range(number)]
        found.append(measured(lambda p=pair, n=names: metrics.evaluate_case(*p, 1, n)))
    yield Curve("all measures of a case", "regions", [float(n) for n in numbers], found)


def facts(quick: bool = False) -> Iterator[str]:
    from .plots import curve_plot

    found = list(curves(quick))
    curve_plot(found)
    for curve in found:
        yield str(curve)
