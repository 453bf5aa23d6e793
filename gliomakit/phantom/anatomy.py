"""A brain without tumour: tissue maps of an average brain, bent into another one.

The maps are those of the ICBM 152 average brain (2009a, symmetric), as nilearn's wheel carries
them: how much of each voxel is grey and white matter. A random affine map and a smooth warp make
of it a head that nobody has.
"""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import nibabel as nib
import numpy as np
import torch
import torch.nn.functional as F

from ..errors import GliomakitError
from ._random import Dice, Grid, blur, resize

CENTRE = (0.0, -17.0, 10.0)
"""mm in the atlas that lies at the centre of every phantom's box."""


@dataclass
class Atlas:
    """The average brain at 1 mm: white, grey, csf and deep fluid in [0, 1], as (4, x, y, z)."""

    tissue: torch.Tensor
    origin: tuple[float, float, float]


@dataclass
class Anatomy:
    """Shares of tissue in each voxel, float32 (x, y, z), which add up to `brain`.

    fluid is the part of csf that lies deep: the ventricles.
    """

    white: torch.Tensor
    grey: torch.Tensor
    csf: torch.Tensor
    ventricles: torch.Tensor
    brain: torch.Tensor


class Head:
    """One random head: where in the atlas each point of the phantom's box lies.

    Keep the head and sample it on any grid: `head.sample(grid.coordinates())`.
    """

    def __init__(self, dice: Dice, extent: tuple[float, float, float]):
        angles = [dice.uniform(-a, a) for a in (0.10, 0.10, 0.16)]
        scale = dice.uniform(0.84, 0.99)
        sides = [scale * dice.uniform(0.94, 1.06) for _ in range(3)]
        self.matrix = _rotation(angles) @ torch.diag(1 / torch.tensor(sides, dtype=torch.float32))
        self.extent = torch.tensor(extent, dtype=torch.float32)
        # Two warps: lobes of other size, and folds of other shape. Mirrored at random.
        self.warps = [
            dice.coarse(extent, 45.0, 3) * dice.uniform(2.0, 5.0),
            dice.coarse(extent, 18.0, 3) * dice.uniform(0.8, 2.0),
        ]
        self.mirror = -1.0 if dice.chance(0.5) else 1.0

    def sample(self, points: torch.Tensor) -> Anatomy:
        """Tissue at points (x, y, z, 3), mm from the box's centre."""
        atlas = load_atlas()
        unit = (points / (self.extent / 2)).flip(-1)[None]
        bent = points.clone()
        for warp in self.warps:
            shift = F.grid_sample(warp[None], unit, align_corners=True, padding_mode="border")
            bent += shift[0].permute(1, 2, 3, 0)
        mni = bent @ self.matrix.T
        mni[..., 0] *= self.mirror
        mni += torch.tensor(CENTRE)
        sides = torch.tensor(atlas.tissue.shape[1:], dtype=torch.float32)
        voxel = mni - torch.tensor(atlas.origin)
        unit = (2 * voxel / (sides - 1) - 1).flip(-1)[None]
        white, grey, csf, deep = F.grid_sample(
            atlas.tissue[None], unit, align_corners=True, padding_mode="zeros"
        )[0]
        return Anatomy(white, grey, csf, deep, (white + grey + csf).clamp(0, 1))


@lru_cache(maxsize=1)
def load_atlas() -> Atlas:
    """Read the ICBM 152 maps from nilearn's wheel, once a process; nothing is downloaded."""
    spec = importlib.util.find_spec("nilearn")
    if spec is None or spec.origin is None:
        raise GliomakitError(
            "phantoms need the anatomy that nilearn carries, and nilearn is not installed",
            todo="pip install 'gliomakit[lessons]'",
        )
    folder = Path(spec.origin).parent / "datasets" / "data"
    name = "mni_icbm152_{}_tal_nlin_sym_09a_converted.nii.gz"
    files = {tissue: folder / name.format(tissue) for tissue in ("wm", "gm", "t1")}
    missing = [str(f) for f in files.values() if not f.is_file()]
    if missing:
        raise GliomakitError(
            "this version of nilearn lacks the ICBM 152 maps",
            where=missing[0],
            todo="install the version that constraints.txt names",
        )
    images = {tissue: nib.load(path) for tissue, path in files.items()}
    maps = {t: torch.from_numpy(np.asarray(i.dataobj, np.float32)) for t, i in images.items()}
    white, grey = maps["wm"] / 255, maps["gm"] / 255
    t1 = maps["t1"] / maps["t1"].max()
    # The T1 template is skull-stripped: where it is not 0 lies the brain with its fluid.
    brain = (blur((t1 > 0.02).float(), 0.8) > 0.5).float()
    white, grey = white * brain, grey * brain
    csf = (brain - white - grey).clamp(0, 1)
    # Deep means far from the brain's surface: a wide blur, on a coarse grid because it is wide.
    coarse = F.avg_pool3d(brain[None, None], 4, ceil_mode=True)[0, 0]
    inside = resize(blur(coarse, 2.5), tuple(brain.shape)) > 0.93
    ventricles = csf * inside * (blur(csf, 1.2) > 0.35)
    origin = tuple(float(v) for v in images["wm"].affine[:3, 3])
    return Atlas(torch.stack([white, grey, csf, ventricles]), origin)


def _rotation(angles: list[float]) -> torch.Tensor:
    matrix = torch.eye(3)
    for axis, angle in enumerate(angles):
        i, j = [a for a in range(3) if a != axis]
        step = torch.eye(3)
        step[i, i] = step[j, j] = float(np.cos(angle))
        step[i, j], step[j, i] = -float(np.sin(angle)), float(np.sin(angle))
        matrix = matrix @ step
    return matrix


def low_resolution(head: Head, grid: Grid, spacing: float = 3.0) -> tuple[Grid, Anatomy]:
    """The same head on a coarse grid: enough for where a tumour grows."""
    coarse = Grid(tuple(int(round(e / spacing)) for e in grid.extent), spacing)
    return coarse, head.sample(coarse.coordinates())
