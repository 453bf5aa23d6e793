"""A quick look at a case: every second millimetre, where the brain is, whether the skull is on."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from scipy import ndimage

from ._brain import background, bounds, brain_mask, cut_off
from .cases import Case
from .regions import SEQUENCES

STEP = 2.0
"""mm between the voxels that are looked at. Tissue contrast and outlines need no finer ones."""

ENOUGH = 150.0
"""mL of brain below which contrast and outline say nothing."""

MOST = 2200.0
"""mL that no brain has: then there is more than brain, or the air is not one constant."""

# Chosen on brains without skull (at most 205 cm² in an axial slice, dips up to 0.15, up to 0.07 in
# large ones) and on heads (mostly more than 225 cm², dips above 0.12).
LARGE, DEEP = 225.0, 0.3
LARGISH, SHALLOW = 190.0, 0.1


@dataclass(frozen=True, eq=False)
class Look:
    """What `checks` looks at.

    image:      float32 (sequence, x, y, z), the present sequences only, NaN made 0.
    names:      their names.
    thin:       which of the case's voxels these are, as an index.
    spacing:    mm of these voxels.
    brain:      bool (x, y, z): the given mask, or what differs from the background.
    covered:    of each sequence, the brain where it has data.
    background: the constants that fill the space around the head in each sequence: mostly one, 0;
                none where the air is noise.
    ml:         volume of the brain.
    head:       axial area in cm² and the dip under the scalp (`_head`); zeros if a mask is given.
    """

    image: np.ndarray = field(repr=False)
    names: tuple[str, ...]
    thin: tuple[slice, ...]
    spacing: tuple[float, float, float]
    brain: np.ndarray = field(repr=False)
    covered: np.ndarray = field(repr=False)
    background: tuple[tuple[float, ...], ...]
    ml: float
    head: tuple[float, float]

    @property
    def skull(self) -> bool:
        """Whether skull and scalp are still there."""
        area, dip = self.head
        if self.patched or not area:
            return False
        large = area > LARGE or self.ml > MOST
        return large or dip > (SHALLOW if area > LARGISH else DEEP)

    @property
    def patched(self) -> tuple[str, ...]:
        """Sequences whose background is several constants: which of them is air cannot be told."""
        return tuple(n for n, values in zip(self.names, self.background) if len(values) > 1)

    @property
    def telling(self) -> bool:
        """Whether there is a stripped brain, large enough to say something about."""
        return self.ml >= ENOUGH and not self.skull and not self.patched


def look(case: Case) -> Look:
    """Look at a case. Costs a fraction of a second at any voxel size."""
    every = [max(1, round(STEP / s)) for s in case.spacing]
    thin = tuple(slice(None, None, k) for k in every)
    places = [SEQUENCES.index(name) for name in case.present]
    image = np.stack([case.image[i][thin] for i in places]).astype(np.float32)
    np.nan_to_num(image, copy=False, posinf=0, neginf=0)
    spacing = tuple(float(s * k) for s, k in zip(case.spacing, every))
    brain = brain_mask(image) if case.mask is None else np.asarray(case.mask, bool)[thin]
    covered = np.stack([brain & ~cut_off(c, brain, background(c)) for c in image])
    return Look(
        image=image,
        names=tuple(case.present),
        thin=thin,
        spacing=spacing,
        brain=brain,
        covered=covered,
        background=tuple(_constants(channel) for channel in image),
        ml=float(brain.sum() * np.prod(spacing) / 1000),
        head=(0.0, 0.0) if case.mask is not None else _head(image, spacing),
    )


def _head(image: np.ndarray, spacing: tuple[float, float, float]) -> tuple[float, float]:
    """Largest axial area (cm²) of what stands out from the air, and the deepest dip of brightness
    under its outline.

    From outside in, a head is scalp (bright), bone (dark), brain; a stripped brain has no such
    dark ring. The dip is what is missing there, relative to the brain's middle.
    """
    slices = slice(None, None, max(1, round(6 / spacing[2])))
    rel, head = [], np.zeros(image[0, ..., slices].shape, bool)
    for channel in image:
        air = np.median(np.concatenate([channel[[0, -1]].ravel(), channel[:, [0, -1]].ravel()]))
        value = channel[..., slices] - air
        rel.append(np.minimum(value, np.percentile(value, 99.8)))
        head |= rel[-1] > 0.4 * _otsu(rel[-1])
    head = ndimage.binary_opening(head, np.ones((3, 3, 1)))
    pieces, n = ndimage.label(head)
    if n == 0:
        return 0.0, 0.0
    head = pieces == np.bincount(pieces.ravel())[1:].argmax() + 1
    depth = np.zeros(head.shape, np.float32)
    for z in range(head.shape[2]):
        head[..., z] = ndimage.binary_fill_holes(head[..., z])
        if head[..., z].any():
            depth[..., z] = ndimage.distance_transform_edt(head[..., z], spacing[:2])
    area = head.sum((0, 1)) * spacing[0] * spacing[1] / 100
    depth[..., area < 0.6 * area.max()] = 0
    ring = np.ceil(depth / 2).astype(int)
    return float(area.max()), max(_dip(value, ring) for value in rel)


def _dip(value: np.ndarray, ring: np.ndarray) -> float:
    """How much darker a ring is than the rings around it, relative to the middle.

    ring: the number of 2-mm rings from the outline inward; 0 outside.
    """
    inside = (ring > 0) & (ring <= 20)
    order = np.argsort(ring[inside], kind="stable")
    counts = np.bincount(ring[inside], minlength=21)[1:]
    parts = np.split(value[inside][order], np.cumsum(counts)[:-1])
    profile = np.array([np.median(part) if part.size > 20 else np.nan for part in parts])
    middle = profile[11:]
    if np.isnan(middle).all() or (level := np.nanmedian(middle)) <= 0:
        return 0.0
    profile = profile[~np.isnan(profile)] / level
    dips = [
        min(profile[:k].max(), profile[k + 1 : k + 8].max()) - profile[k]
        for k in range(2, min(10, len(profile) - 3))
    ]
    return float(max(dips, default=0.0))


def _otsu(values: np.ndarray) -> float:
    """The threshold that parts values into two groups best (Otsu 1979)."""
    counts, edges = np.histogram(values, 128)
    centres = (edges[1:] + edges[:-1]) / 2
    below = np.cumsum(counts)[:-1].astype(float)
    above = values.size - below
    first = np.cumsum(counts * centres)
    apart = first[:-1] / np.maximum(below, 1) - (first[-1] - first[:-1]) / np.maximum(above, 1)
    return float(centres[(below * above * apart**2).argmax()])


def _constants(channel: np.ndarray) -> tuple[float, ...]:
    """Values that each fill a good part of a volume's faces, commonest first.

    Values close to each other are one, and a few among many are none: a scanner's noise, stored in
    whole numbers, has common values too.
    """
    ends = [np.take(channel, (0, -1), axis).ravel() for axis in range(3)]
    values, counts = np.unique(np.concatenate(ends), return_counts=True)
    near = 0.03 * np.ptp(np.percentile(channel, (0, 99.5)))
    found: list[int] = []
    for i in np.argsort(-counts):
        if counts[i] < 0.1 * counts.sum():
            break
        if all(abs(values[i] - values[j]) > near for j in found):
            found.append(int(i))
    if counts[found].sum() < 0.7 * counts.sum():
        found = found[:1]
    return tuple(float(values[i]) for i in found)


def crop(mask: np.ndarray) -> tuple[slice, ...] | None:
    """The box of a mask as an index."""
    box = bounds(mask)
    return None if box is None else tuple(slice(*span) for span in box)
