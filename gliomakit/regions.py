"""What the numbers in a label file mean, and the nested regions that are scored.

A glioma's label names tissues: edema, core (necrosis and solid tumour that does not enhance),
enhancing tumour. Every data set numbers them differently, and {0, 1, 2, 3} alone does not tell
which data set it was. What is trained on and scored are three *nested* regions:

    WT, whole tumour    = edema + core + enhancing
    TC, tumour core     =         core + enhancing
    ET, enhancing tumour =               enhancing

so WT ⊇ TC ⊇ ET. A resection cavity (BraTS 2024) is in none of them.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from .errors import GliomakitError

SEQUENCES = ("flair", "t1", "t1ce", "t2")
"""The four MR sequences, in the order of every image array (MSD's order)."""

SEQUENCE_NAMES = {"flair": "FLAIR", "t1": "T1", "t1ce": "T1ce", "t2": "T2"}

REGIONS = ("wt", "tc", "et")
"""The nested regions, in the order of every region array."""

REGION_NAMES = {"wt": "whole tumour", "tc": "tumour core", "et": "enhancing tumour"}

TISSUE_COLOURS = {"edema": "#56B4E9", "core": "#D55E00", "enhancing": "#F0E442"}
"""Colours of the three tissues: told apart with any kind of colour vision (Okabe and Ito 2008)."""

REGION_COLOURS = {
    "wt": TISSUE_COLOURS["edema"],
    "tc": TISSUE_COLOURS["core"],
    "et": TISSUE_COLOURS["enhancing"],
}


@dataclass(frozen=True)
class Convention:
    """Which label values a data set uses for which tissue. `core` may have several values; the
    first is the one that is written."""

    name: str
    edema: int
    core: tuple[int, ...]
    enhancing: int
    cavity: int | None = None

    @property
    def values(self) -> frozenset[int]:
        """Every value that may stand in a label, 0 (background) included."""
        cavity = () if self.cavity is None else (self.cavity,)
        return frozenset((0, self.edema, *self.core, self.enhancing, *cavity))

    def tissue(self, value: int) -> str:
        """The tissue's name of one label value.

        >>> CONVENTIONS["msd"].tissue(1), CONVENTIONS["brats2023"].tissue(1)
        ('edema', 'core')
        """
        if value in self.core:
            return "core"
        names = {0: "background", self.edema: "edema", self.enhancing: "enhancing"}
        return names.get(value, "cavity" if value == self.cavity else "unknown")


CONVENTIONS: dict[str, Convention] = {
    c.name: c
    for c in (
        Convention("msd", edema=1, core=(2,), enhancing=3),
        Convention("brats2015", edema=2, core=(1, 3), enhancing=4),
        Convention("brats2017", edema=2, core=(1,), enhancing=4),
        Convention("brats2023", edema=2, core=(1,), enhancing=3),
        Convention("brats2024", edema=2, core=(1,), enhancing=3, cavity=4),
    )
}
"""The known conventions; `brats2015` is BraTS 2012 to 2015, `brats2017` is 2017 to 2021."""


def convention(name: str | Convention) -> Convention:
    """The convention of that name.

    >>> convention("msd").edema
    1
    """
    if isinstance(name, Convention):
        return name
    if name not in CONVENTIONS:
        raise GliomakitError(
            f"there is no label convention {name!r}", todo=f"known are {', '.join(CONVENTIONS)}"
        )
    return CONVENTIONS[name]


def fitting(values: Iterable[int]) -> list[str]:
    """Names of the conventions that have all these values: a hint, never a decision.

    >>> fitting([0, 1, 2, 4])
    ['brats2015', 'brats2017', 'brats2024']
    """
    values = frozenset(values)
    return [c.name for c in CONVENTIONS.values() if values <= c.values]


def check_values(
    label: np.ndarray, name: str | Convention, where: str | Path | None = None
) -> None:
    """Raise `GliomakitError` if `label` holds a value that the convention lacks.

    >>> check_values(np.array([0, 1, 4]), "msd")
    Traceback (most recent call last):
    gliomakit.errors.GliomakitError: label value 4 is not in the convention msd (0, 1, 2, 3); \
these values would fit --convention brats2015, brats2017 or brats2024
    """
    known = convention(name)
    found = distinct(label)
    unknown = sorted(found - known.values)
    if not unknown:
        return
    fits = fitting(found)
    todo = (
        f"these values would fit --convention {_or(fits)}" if fits else "no known convention fits"
    )
    verb = "values {} are" if len(unknown) > 1 else "value {} is"
    raise GliomakitError(
        f"label {verb.format(', '.join(map(str, unknown)))} not in the "
        f"convention {known.name} ({', '.join(map(str, sorted(known.values)))})",
        where=where,
        todo=todo,
    )


def distinct(label: np.ndarray) -> frozenset[int]:
    """The values that occur in a label; fast for uint8.

    >>> sorted(distinct(np.array([0, 4, 4, 1], np.uint8)))
    [0, 1, 4]
    """
    if label.dtype == np.uint8:
        seen, there = np.zeros(256, bool), label[label != 0]  # most of a label is background
        seen[there] = True
        seen[0] = there.size < label.size
        return frozenset(np.flatnonzero(seen).tolist())
    return frozenset(int(v) for v in np.unique(label))


def to_regions(label: np.ndarray, name: str | Convention) -> np.ndarray:
    """WT, TC and ET of a label: bool, shape (3, *label.shape).

    Raises `GliomakitError` for a value that the convention lacks.

    >>> to_regions(np.array([0, 1, 2, 3]), "msd").astype(int)
    array([[0, 1, 1, 1],
           [0, 0, 1, 1],
           [0, 0, 0, 1]])
    """
    known = convention(name)
    check_values(label, known)
    et = label == known.enhancing
    tc = et | np.isin(label, known.core)
    return np.stack([tc | (label == known.edema), tc, et])


def nest(regions: np.ndarray) -> np.ndarray:
    """Make predicted regions nested, so that they can be written as one label.

    A voxel of an inner region is taken into the outer ones: TC becomes TC ∪ ET, WT becomes
    WT ∪ TC. Shape (3, …) in and out, bool.

    >>> nest(np.array([[0, 1], [0, 0], [1, 0]], bool)).astype(int)
    array([[1, 1],
           [1, 0],
           [1, 0]])
    """
    wt, tc, et = np.asarray(regions, bool)
    return np.stack([wt | tc | et, tc | et, et])


def to_label(regions: np.ndarray, name: str | Convention) -> np.ndarray:
    """The label (uint8) of three regions (3, …), nested first: ET is enhancing, TC without ET is
    core, WT without TC is edema.

    >>> to_label(np.array([[1, 1, 1, 0], [0, 1, 1, 0], [0, 0, 1, 0]], bool), "brats2017")
    array([2, 1, 4, 0], dtype=uint8)
    """
    known = convention(name)
    wt, tc, et = nest(regions)
    label = np.zeros(wt.shape, np.uint8)
    label[wt], label[tc], label[et] = known.edema, known.core[0], known.enhancing
    return label


def convert(label: np.ndarray, source: str | Convention, target: str | Convention) -> np.ndarray:
    """A label written in another convention (a cavity becomes background).

    >>> convert(np.array([0, 1, 2, 3]), "msd", "brats2017")
    array([0, 2, 1, 4], dtype=uint8)
    """
    return to_label(to_regions(label, source), target)


def shares(label: np.ndarray, brain: np.ndarray) -> dict[int, float]:
    """Of each value that a label has in the brain, its share of the brain's voxels.

    >>> shares(np.array([0, 0, 0, 1, 1, 3]), np.array([0, 0, 1, 1, 1, 1], bool))
    {0: 0.25, 1: 0.5, 3: 0.25}
    """
    values, counts = np.unique(label[brain], return_counts=True)
    return dict(zip(values.tolist(), (counts / counts.sum()).tolist()))


def _or(names: list[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} or {names[-1]}"
