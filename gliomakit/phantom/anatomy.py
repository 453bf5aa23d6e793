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
    """The average brain at 1 mm, (5, x, y, z): white, grey, csf and deep fluid in [0, 1], and how
    deep below the surface a voxel lies (0 at the surface, 1 from about 25 mm on)."""

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

    Keep the head and sample it on any grid: `head.sample(grid)`.
    """

    def __init__(self, dice: Dice, extent: tuple[float, float, float]):
        angles = [dice.uniform(-a, a) for a in (0.10, 0.10, 0.16)]
        self.device = dice.device
        scale = dice.uniform(0.84, 0.99)
        sides = [scale * dice.uniform(0.94, 1.06) for _ in range(3)]
        matrix = _rotation(angles) @ torch.diag(1 / torch.tensor(sides, dtype=torch.float32))
        self.matrix = matrix.to(self.device)
        # Two warps: lobes of other size, and folds of other shape. Mirrored at random.
        self.warps = [
            (dice.coarse(extent, 36.0, 3), dice.uniform(1.2, 3.1)),
            (dice.coarse(extent, 15.0, 3), dice.uniform(0.5, 1.2)),
        ]
        self.mirror = -1.0 if dice.chance(0.5) else 1.0
        # An average brain has soft borders and shallow folds; a person's has neither.
        self.sharpness = dice.uniform(1.0, 2.5)
        self.folds = dice.coarse(extent, dice.uniform(10.5, 14.5))
        self.fold_width = dice.uniform(0.08, 0.21)

    def sample(self, grid: Grid, shift: torch.Tensor | None = None) -> Anatomy:
        """Tissue at the voxels of a grid; shift: mm (x, y, z, 3) from each voxel to where its
        tissue came from."""
        atlas = load_atlas(str(self.device))
        bent = grid.coordinates(self.device)
        if shift is not None:
            bent = bent + shift
        for warp, size in self.warps:
            bent = bent + (warp.on(grid) * size).permute(1, 2, 3, 0)
        mni = bent @ self.matrix.T
        mni[..., 0] *= self.mirror
        mni += torch.tensor(CENTRE, device=self.device)
        sides = torch.tensor(atlas.tissue.shape[1:], dtype=torch.float32, device=self.device)
        voxel = mni - torch.tensor(atlas.origin, device=self.device)
        where = (2 * voxel / (sides - 1) - 1).flip(-1)[None]
        white, grey, csf, deep, depth = F.grid_sample(
            atlas.tissue[None], where, align_corners=True, padding_mode="zeros"
        )[0]
        brain = (white + grey + csf).clamp(0, 1)
        # Folds: sheets where a smooth field is 0, near the surface; fluid lined with grey matter.
        field = self.folds.on(grid)[0]
        near = torch.sigmoid((0.62 - depth) / 0.08)
        valley = near * torch.exp(-((field / self.fold_width) ** 2))
        lining = near * torch.exp(-((field / (4.5 * self.fold_width)) ** 2))
        shares = [white * (1 - lining), grey + white * lining, csf]
        shares = [s * (1 - 0.8 * valley) for s in shares[:2]] + [csf + 0.8 * valley * (1 - csf)]
        shares = [s.clamp(0, 1) ** self.sharpness for s in shares]
        total = sum(shares).clamp_min(1e-6) / brain
        white, grey, csf = (s / total for s in shares)
        return Anatomy(white, grey, csf, torch.minimum(deep, csf), brain)


@lru_cache(maxsize=2)
def load_atlas(device: str = "cpu") -> Atlas:
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
    wide = resize(blur(coarse, 2.5), tuple(brain.shape))
    inside = wide > 0.93
    ventricles = csf * inside * (blur(csf, 1.2) > 0.35)
    origin = tuple(float(v) for v in images["wm"].affine[:3, 3])
    # At a flat surface half of a wide blur is brain.
    depth = ((wide - 0.5) * 2).clamp(0, 1) * brain
    tissue = torch.stack([white, grey, csf, ventricles, depth])[None].to(device)
    # The five values of a voxel side by side: sampling takes less than half the time.
    return Atlas(tissue.contiguous(memory_format=torch.channels_last_3d)[0], origin)


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
    return coarse, head.sample(coarse)
