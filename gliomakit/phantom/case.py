"""One phantom from its seed: anatomy, tumour, signal, scanner."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import numpy as np
import torch

from ..cases import Case
from ..cases import Grid as FileGrid
from ..errors import GliomakitError
from ..regions import SEQUENCES
from ._random import Dice, Grid
from .anatomy import Head
from .artefacts import scan
from .signal import render
from .tumour import displacement, grow, shape

HEAD = (176.0, 208.0, 156.0)
"""mm of the box in which a head is made."""

FIELD = (240.0, 240.0, 155.0)
"""mm of the box that an exam is stored on: BraTS's grid."""


@dataclass
class PhantomCase(Case):
    """A `Case`, and what only a phantom knows.

    bias: the field that each sequence was multiplied by, float32 (4, x, y, z); 1 outside the head.
    kind: ring, solid, patchy, low_grade, or none without a tumour.
    """

    bias: np.ndarray = field(default=None, repr=False)
    kind: str = ""


def make_case(
    seed: int,
    spacing: float = 2.0,
    name: str | None = None,
    tumour: bool = True,
    device: torch.device | str = "cpu",
) -> PhantomCase:
    """A synthetic exam with a glioma: four sequences, label in MSD's convention, bias field.

    seed:    decides everything; the same seed at another spacing is the same patient, but for
             the scanner's noise.
    spacing: mm, 1 to 4; at 1 mm the grid is BraTS's 240 x 240 x 155.
    tumour:  False gives a head without one, and an empty label.
    device:  where to compute; the arrays are NumPy's anyway.

    Returns image float32 (4, x, y, z) with whole numbers as a scanner stores them.

    >>> case = make_case(seed=1, spacing=4.0)
    >>> case.image.shape, case.present, bool(case.label.any())
    ((4, 60, 60, 39), ('flair', 't1', 't1ce', 't2'), True)
    """
    if not 1.0 <= spacing <= 4.0:
        raise GliomakitError(f"phantoms have a spacing of 1 to 4 mm, not {spacing:g}")
    with _one_thread():
        return _make(Dice(seed, device), spacing, name or f"phantom_{seed:05d}", tumour)


@torch.no_grad()
def _make(dice: Dice, spacing: float, name: str, tumour: bool) -> PhantomCase:
    grid = Grid(tuple(int(round(mm / spacing)) for mm in HEAD), spacing)
    head = Head(dice, HEAD)
    if tumour:
        growth = grow(dice, head, grid)
        anatomy = head.sample(grid, displacement(growth, grid))
        lesion, kind = shape(dice, growth, grid, anatomy), growth.kind
        code = lesion.code
    else:
        anatomy, lesion, kind = head.sample(grid), None, "none"
        code = torch.zeros(grid.shape, dtype=torch.uint8, device=dice.device)
    clean = render(dice, grid, anatomy, lesion)
    exam = scan(dice, grid, clean, anatomy.brain, code > 0)

    covered = (exam.image > 0).any(0)
    label = torch.where(covered, code, torch.zeros_like(code))
    sides = tuple(int(np.ceil(mm / spacing)) for mm in FIELD)
    affine = np.diag([spacing, spacing, spacing, 1.0])
    affine[:3, 3] = [-(n - 1) / 2 * spacing for n in sides]
    return PhantomCase(
        name=name,
        image=_place(exam.image.round_(), sides),
        present=SEQUENCES,
        affine=affine,
        grid=FileGrid(sides, affine),
        label=_place(label[None], sides)[0],
        convention="msd",
        bias=_place(exam.bias, sides, fill=1.0),
        kind=kind,
    )


@contextmanager
def _one_thread() -> Iterator[None]:
    """A case is many small steps: a second thread gains little, on a busy machine it costs."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _place(volume: torch.Tensor, sides: tuple[int, int, int], fill: float = 0.0) -> np.ndarray:
    """The head's box (c, x, y, z) in the middle of the stored grid, cut where it is larger."""
    array = volume.cpu().numpy()
    out = np.full((array.shape[0], *sides), fill, array.dtype)
    source, target = [], []
    for have, want in zip(array.shape[1:], sides, strict=True):
        n = min(have, want)
        source.append(slice((have - n) // 2, (have - n) // 2 + n))
        target.append(slice((want - n) // 2, (want - n) // 2 + n))
    out[:, *target] = array[:, *source]
    return out
