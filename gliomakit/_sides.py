"""Sides of a brain that are not there: where a field of view ends inside the head.

A brain begins with a small cap and widens: of four layers of equal thickness the second has a
third of the fourth's area or so. A brain that was cut begins with a large flat face, whose layers
are all alike. The cut may be oblique to the axes.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product

import numpy as np

from ._look import Look

SIDES = {
    "left": (0, -1),
    "right": (0, 1),
    "back": (1, -1),
    "front": (1, 1),
    "bottom": (2, -1),
    "top": (2, 1),
}
"""Axis and direction, RAS."""

FINE, COARSE = 2.0, 4.0  # mm: thickness of a layer
TILTS = np.arange(-4, 5) / 10  # of a cut against an axis: slopes

# Whole brains have faces of at most 18 cm²; at the neck, where masks are cut off straight, 41 cm².
FLAT, FLAT_BOTTOM = 21.0, 50.0

MISSING = 0.015
"""Share of the brain that one sequence may lack without a word."""


@dataclass(frozen=True)
class Cut:
    """A side that is missing in one sequence, or in all of them (sequence None).

    cm2: area of the flat face, weighted by how flat it is; None where one sequence ends earlier.
    share: of the brain that the sequence lacks; None where all are cut.
    """

    side: str
    sequence: str | None = None
    cm2: float | None = None
    share: float | None = None


def cuts(seen: Look) -> list[Cut]:
    """The sides where the brain ends in a flat face, and sequences that end before the others."""
    found = [
        Cut(side, cm2=cm2)
        for side, cm2 in flat_faces(seen).items()
        if cm2 > (FLAT_BOTTOM if side == "bottom" else FLAT)
    ]
    whole = np.count_nonzero(seen.brain)
    for name, covered in zip(seen.names, seen.covered):
        missing = seen.brain & ~covered
        share = np.count_nonzero(missing) / max(whole, 1)
        if share > MISSING:
            found.append(Cut(_toward(missing, covered, seen.spacing), name, share=share))
    return found


def flat_faces(seen: Look) -> dict[str, float]:
    """For each side the largest face in cm² that the brain ends in, weighted by its flatness."""
    found = dict.fromkeys(SIDES, 0.0)
    fine = _points(seen, FINE)
    coarse = _points(seen, COARSE)
    if len(coarse[0]) < 100:
        return found
    for side, (axis, direction) in SIDES.items():
        tilts = product(TILTS, TILTS)
        _, (u, v) = max((_face(*coarse, axis, direction, tilt), tilt) for tilt in tilts)
        near = product((u - 0.05, u, u + 0.05), (v - 0.05, v, v + 0.05))
        found[side] = max(_face(*fine, axis, direction, tilt) for tilt in near)
    return found


def _points(seen: Look, mm: float) -> tuple[np.ndarray, np.ndarray]:
    """Places of brain voxels in mm, every so many mm, and how far they are apart."""
    every = [max(1, round(mm / s)) for s in seen.spacing]
    spacing = np.array([s * k for s, k in zip(seen.spacing, every)], np.float32)
    thin = seen.brain[tuple(slice(None, None, k) for k in every)]
    return np.argwhere(thin).astype(np.float32) * spacing, spacing


def _face(
    points: np.ndarray,
    spacing: np.ndarray,
    axis: int,
    direction: int,
    tilt: tuple[float, float],
) -> float:
    """Area of the face toward one direction, in cm², times how flat it is squared."""
    normal = np.insert(np.float32(tilt), axis, direction)
    height = points @ (normal / np.linalg.norm(normal)).astype(np.float32)
    thick = spacing[axis]
    layer = ((height.max() - height) / thick).astype(int)
    area = np.bincount(layer, minlength=8)[:8] * (np.prod(spacing) / thick / 100)
    start = int(np.argmax(area > 0.5))  # a stray voxel begins nothing
    second, fourth = area[start + 1], area[min(start + 3, 7)]
    if fourth == 0:
        return 0.0
    # Thicker layers make the same cap larger.
    return float(second * min(1.0, second / fourth) ** 2 * min(1.0, FINE / thick))


def _toward(missing: np.ndarray, covered: np.ndarray, spacing: tuple[float, float, float]) -> str:
    """The side on which what is missing lies."""
    here, there = (np.argwhere(mask).mean(0) * spacing for mask in (covered, missing))
    extent = np.ptp(np.argwhere(covered | missing), axis=0) * spacing
    step = (there - here) / np.maximum(extent, 1e-6)
    axis = int(np.abs(step).argmax())
    return next(s for s, (a, way) in SIDES.items() if a == axis and way * step[axis] > 0)
