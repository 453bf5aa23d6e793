"""Random numbers and smooth random fields that a seed decides, whatever the grid."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import torch
import torch.nn.functional as F


@dataclass
class Grid:
    """A box of voxels around the head's centre, axes right, anterior, superior.

    shape:   voxels along x, y, z.
    spacing: mm, the same along all axes.
    """

    shape: tuple[int, int, int]
    spacing: float

    @property
    def extent(self) -> tuple[float, float, float]:
        """Size of the box in mm."""
        return tuple(n * self.spacing for n in self.shape)

    def coordinates(self, device: torch.device | str = "cpu") -> torch.Tensor:
        """mm from the box's centre, of every voxel's centre: float32 (x, y, z, 3)."""
        axes = [
            (torch.arange(n, dtype=torch.float32, device=device) - (n - 1) / 2) * self.spacing
            for n in self.shape
        ]
        return torch.stack(torch.meshgrid(*axes, indexing="ij"), -1)


@dataclass
class Coarse:
    """Values at nodes (channels, X, Y, Z) that lie `scale` mm apart, the middle one at the centre
    of every grid; between them a cubic B-spline, which has no edges that could be seen."""

    nodes: torch.Tensor
    scale: float

    def on(self, grid: Grid) -> torch.Tensor:
        """The field on a grid: (channels, x, y, z); standard deviation 1 for white noise."""
        value = self.nodes
        for axis, n in enumerate(grid.shape, start=1):
            weights = _spline(n, grid.spacing, value.shape[axis], self.scale).to(value.device)
            value = torch.tensordot(weights, value, dims=([1], [axis])).movedim(0, axis)
        return value.contiguous() * SPLINE


SPLINE = 3.0
"""One over the standard deviation of a B-spline through independent values of deviation 1."""


@dataclass
class Dice:
    """A case's random numbers: draws of single values, and smooth fields.

    Fields are drawn on coarse grids in mm, so the same seed gives the same patient at 1 mm and
    at 2 mm; only the scanner's noise is drawn voxel by voxel. Numbers are drawn on the CPU and
    moved, so the same seed gives the same patient on a GPU, to rounding.

    >>> Dice(3).uniform(0, 1) == Dice(3).uniform(0, 1)
    True
    """

    seed: int
    device: torch.device | str = "cpu"
    rng: np.random.Generator = field(init=False, repr=False)
    hiss: np.random.Generator = field(init=False, repr=False)

    def __post_init__(self) -> None:
        self.rng = np.random.default_rng(self.seed)
        # Its own stream: how many voxels there are must not change what is drawn after them.
        self.hiss = np.random.default_rng([self.seed, 1])

    def uniform(self, low: float, high: float) -> float:
        return float(self.rng.uniform(low, high))

    def log_uniform(self, low: float, high: float) -> float:
        return float(np.exp(self.rng.uniform(np.log(low), np.log(high))))

    def chance(self, probability: float) -> bool:
        return bool(self.rng.random() < probability)

    def pick(self, *choices):
        return choices[int(self.rng.integers(len(choices)))]

    def coarse(self, extent: tuple[float, ...], scale: float, channels: int = 1) -> Coarse:
        """White noise on a grid of `scale` mm that reaches beyond a box of `extent` mm."""
        sides = [int(np.ceil(e / scale)) + 3 for e in extent]
        drawn = self.rng.standard_normal((channels, *sides), dtype=np.float32)
        return Coarse(torch.from_numpy(drawn).to(self.device), scale)

    def field(self, grid: Grid, scale: float, octaves: int = 1, channels: int = 1) -> torch.Tensor:
        """A smooth random field on `grid`: mean about 0, standard deviation about 1.

        scale:   mm between independent values; each further octave halves it, at half the height.
        Returns float32 (x, y, z), or (channels, x, y, z) if more than one.
        """
        total, norm = 0.0, 0.0
        for octave in range(octaves):
            # A spline is smoother than what it goes through: closer nodes make up for that.
            coarse = self.coarse(grid.extent, 0.8 * scale / 2**octave, channels)
            total = total + coarse.on(grid) * 0.5**octave
            norm += 0.25**octave
        result = total / norm**0.5
        return result[0] if channels == 1 else result

    def noise(self, shape: tuple[int, ...]) -> torch.Tensor:
        """Independent normal values, one a voxel."""
        drawn = self.hiss.standard_normal(shape, dtype=np.float32)
        return torch.from_numpy(drawn).to(self.device)


def _spline(n: int, spacing: float, nodes: int, scale: float) -> torch.Tensor:
    """Weights (n, nodes) of the cubic B-spline: voxel centres against nodes, both about 0 mm."""
    voxel = (torch.arange(n) - (n - 1) / 2) * spacing
    node = (torch.arange(nodes) - (nodes - 1) / 2) * scale
    t = (voxel[:, None] - node[None]).abs() / scale
    near, far = 2 / 3 - t**2 + t**3 / 2, (2 - t).clamp_min(0) ** 3 / 6
    return torch.where(t < 1, near, far).float()


def resize(volume: torch.Tensor, shape: tuple[int, int, int]) -> torch.Tensor:
    """A volume (x, y, z) on another grid of the same extent (voxel centres inside the box)."""
    return F.interpolate(volume[None, None], size=shape, mode="trilinear", align_corners=False)[
        0, 0
    ]


def blur(volume: torch.Tensor, sigma: float | tuple[float, float, float]) -> torch.Tensor:
    """Gaussian blur of (x, y, z); sigma in voxels, one number or one for each axis."""
    sigmas = (sigma,) * 3 if isinstance(sigma, int | float) else sigma
    for axis, s in enumerate(sigmas):
        if s < 0.2:
            continue
        radius = max(1, int(round(2.5 * s)))
        x = torch.arange(-radius, radius + 1, dtype=torch.float32)
        kernel = torch.exp(-0.5 * (x / s) ** 2)
        kernel = kernel / kernel.sum()
        # Weighted sum of shifted copies: on one core faster than a convolution with one channel.
        padded = F.pad(volume[None, None], _pad(axis, radius), mode="replicate")[0, 0]
        n = volume.shape[axis]
        out = torch.zeros_like(volume)
        for i, weight in enumerate(kernel.tolist()):
            out.add_(padded.narrow(axis, i, n), alpha=weight)
        volume = out
    return volume


def _pad(axis: int, radius: int) -> list[int]:
    pad = [0] * 6
    pad[2 * (2 - axis)] = pad[2 * (2 - axis) + 1] = radius
    return pad
