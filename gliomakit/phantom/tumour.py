"""A glioma that grows: a core from one to three seeds, and edema that spreads from it.

Two fronts, each with an arrival time that solves the eikonal equation |∇T| = 1 / speed (Sethian
1996). The core's front starts at the seeds and pays little heed to tissue: cores are lumps. The
edema's front starts at the core's surface: white matter lets it through quickly, grey matter
slowly, fluid hardly. What it has reached when the tumour has its volume is the whole tumour. The
core's outer shell enhances, or part of it, or nothing.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch

from ._random import Dice, Grid, blur, resize
from .anatomy import Anatomy, Head, low_resolution

KINDS = ("ring", "solid", "patchy", "low_grade")

SMALLEST_ET = 500.0
"""mm³ of enhancing tumour below which there is none."""


@dataclass
class Growth:
    """A tumour on the coarse grid, before it pushes anything: arrival times and what was drawn.

    whole, core: signed depth in mm, positive inside, negative outside.
    centre:      mm from the box's centre, of the core; radius: of a ball of its volume, mm.
    room:        share of the core that is new volume and pushes; the rest took tissue's place.
    free:        how freely tissue moves, in [0, 1]: not at the skull.
    """

    kind: str
    whole: torch.Tensor
    core: torch.Tensor
    centre: torch.Tensor
    radius: float
    room: float
    free: torch.Tensor


@dataclass
class Tumour:
    """A tumour on the phantom's grid.

    code:      uint8, 1 edema, 2 core, 3 enhancing (MSD's numbers).
    edema, core, enhancing, necrosis: shares in [0, 1] of each voxel; edema fades at its border.
    uptake:    contrast agent in the enhancing tumour, of the exam's peak: uneven, 1 or so.
    """

    kind: str
    code: torch.Tensor
    edema: torch.Tensor
    core: torch.Tensor
    enhancing: torch.Tensor
    necrosis: torch.Tensor
    uptake: torch.Tensor


def grow(dice: Dice, head: Head, grid: Grid) -> Growth:
    """Grow a tumour in a head, on a grid of 3 mm."""
    coarse, anatomy = low_resolution(head, grid)
    kind = str(dice.rng.choice(KINDS, p=[0.42, 0.18, 0.17, 0.23]))
    volume = dice.log_uniform(5.0, 250.0) * 1000
    if dice.chance(0.55):
        volume = max(volume, dice.uniform(40.0, 250.0) * 1000)
    share = dice.uniform(0.3, 0.98) if kind == "low_grade" else dice.log_uniform(0.06, 0.98)
    if dice.chance(0.5):
        share = max(share, dice.uniform(0.25, 0.9))
    seeds = _seeds(dice, anatomy, coarse)
    inside, voxels = anatomy.brain > 0.5, volume / coarse.spacing**3

    rough = dice.field(coarse, dice.uniform(12.0, 30.0), octaves=2)
    pace = torch.where(anatomy.csf > 0.6, 0.3, 1.0) * torch.exp(dice.uniform(0.05, 0.35) * rough)
    start = torch.zeros_like(inside)
    start[tuple(seeds.T)] = True
    pace = torch.where(inside, pace, 0.002)
    core, core_limit = _front(pace, start, coarse.spacing, inside, share * voxels)

    slow = dice.uniform(0.08, 0.45)
    speed = anatomy.white + slow * anatomy.grey + 0.06 * anatomy.csf
    rough = dice.field(coarse, dice.uniform(12.0, 30.0), octaves=2)
    speed = torch.where(inside, speed * torch.exp(dice.uniform(0.15, 0.6) * rough), 0.002)
    whole, limit = _front(speed, core <= core_limit, coarse.spacing, inside, voxels)

    # In mm of the front's own way: near enough to a depth, the speeds being about 1.
    core = core_limit - core
    radius = (share * volume * 0.75 / math.pi) ** (1 / 3)
    return Growth(
        kind,
        limit - whole + core.clamp_min(0),
        core,
        _centre(core > 0, coarse),
        radius,
        room=dice.uniform(0.0, 0.85),
        free=((blur(inside.float(), 12.0 / coarse.spacing) - 0.5) * 2.5).clamp(0, 1),
    )


def displacement(growth: Growth, grid: Grid) -> torch.Tensor:
    """Mass effect: where the tissue of each voxel came from, as a shift in mm (x, y, z, 3).

    As if the core were a ball in something that cannot be compressed: a share of the ball's volume
    is new, and what is at the distance r came from (r³ - share R³)^(1/3). Far away, and near the
    skull, it holds against that.
    """
    away = grid.coordinates(growth.centre.device) - growth.centre
    distance = away.norm(dim=-1, keepdim=True).clamp_min(1e-3)
    new = growth.room * distance.clamp(max=growth.radius) ** 3
    pushed = distance - (distance**3 - new) ** (1 / 3)
    pushed = pushed.clamp(max=12.0) * torch.exp(-((distance / 60.0) ** 2))
    return -pushed * resize(growth.free, grid.shape)[..., None] * away / distance


def shape(dice: Dice, growth: Growth, grid: Grid, anatomy: Anatomy) -> Tumour:
    """The tumour on the phantom's grid: tissues as shares, and their label."""
    brain = anatomy.brain
    whole = resize(growth.whole, grid.shape) + dice.uniform(0.3, 1.3) * dice.field(
        grid, 7.0, octaves=2
    )
    core = resize(growth.core, grid.shape) + dice.uniform(0.2, 1.0) * dice.field(grid, 6.0)
    core = core + dice.uniform(0.0, 3.0) * dice.field(grid, 15.0)  # lobes
    # Edema leaves fluid alone; a core may have closed a ventricle.
    outside = ((anatomy.ventricles > 0.5) & (core < 1.5)) | (brain < 0.4)
    whole = whole - 20.0 * outside
    core = torch.minimum(core, whole - 0.5)

    soft = 0.5 * grid.spacing
    core_share = torch.sigmoid(core / soft) * brain
    enhancing = _rim(dice, growth.kind, core, grid) * core_share
    necrosis = torch.zeros_like(core)
    if growth.kind in ("ring", "patchy") or dice.chance(0.3):
        level = dice.uniform(1.0, 5.0)
        ragged = dice.uniform(0.0, 2.0) * dice.field(grid, 9.0)
        necrosis = torch.sigmoid((core - level + ragged) / soft) * core_share * (1 - enhancing)

    # Edema fades: full some mm inside its border, and rough in between.
    fade = dice.log_uniform(1.0, 12.0)
    rough = 1 + dice.uniform(0.03, 0.4) * dice.field(grid, dice.uniform(6.0, 20.0), octaves=2)
    edema = torch.sigmoid(4 * (whole - 0.2 * fade) / fade) * rough.clamp(0.3, 1.4)
    # Cortex swells less than white matter does.
    edema = edema * (1 - dice.uniform(0.0, 0.35) * anatomy.grey) * dice.uniform(0.85, 1.0)
    edema = (edema * (1 - 0.75 * anatomy.csf) * brain).clamp(0, 1.2) * (whole > -2 * fade)

    code = torch.zeros(grid.shape, dtype=torch.uint8, device=brain.device)
    code[whole > 0] = 1
    code[core_share > 0.5] = 2
    uneven = dice.uniform(0.4, 1.0) * dice.field(grid, dice.uniform(5.0, 16.0), octaves=2)
    uptake = enhancing**2 * uneven.exp()
    # Outlined is what is seen to enhance, not what could have.
    bright = (uptake > 0.25) & (core_share > 0.5)
    if bright.sum() * grid.spacing**3 < SMALLEST_ET:
        enhancing, uptake = torch.zeros_like(enhancing), torch.zeros_like(uptake)  # a speck
    else:
        code[bright] = 3
    return Tumour(growth.kind, code, edema, core_share, enhancing, necrosis, uptake)


def _rim(dice: Dice, kind: str, core: torch.Tensor, grid: Grid) -> torch.Tensor:
    """Share of enhancing tissue within the core, by the kind of tumour; `core` is depth in mm."""
    soft = 0.5 * grid.spacing
    if kind == "low_grade":
        return torch.zeros_like(core)
    patches = dice.field(grid, dice.log_uniform(5.0, 20.0), octaves=2)
    if kind == "solid":
        return torch.sigmoid((patches + dice.uniform(0.2, 1.5)) / 0.12)
    if kind == "patchy":
        return torch.sigmoid((patches - dice.uniform(-0.2, 1.0)) / 0.12)
    outer = dice.uniform(0.0, 1.0) if dice.chance(0.85) else dice.uniform(0.0, 5.0)
    thick = dice.log_uniform(2.2, 13.0) * torch.exp(0.4 * dice.field(grid, 16.0, octaves=2))
    shell = torch.sigmoid((core - outer + 0.5) / soft) * torch.sigmoid(
        (outer + thick - core) / soft
    )
    if dice.chance(0.5):
        shell = shell * torch.sigmoid((patches + dice.uniform(0.4, 1.8)) / 0.15)
    if dice.chance(0.4):
        knots = dice.field(grid, 10.0, octaves=2)
        shell = torch.maximum(shell, torch.sigmoid((knots - dice.uniform(1.0, 2.0)) / 0.15))
    return shell


def _seeds(dice: Dice, anatomy: Anatomy, grid: Grid) -> torch.Tensor:
    """One to three voxels of white matter, not far from each other: (n, 3)."""
    white = torch.nonzero((anatomy.white > 0.4) & (anatomy.brain > 0.9))
    first = white[int(dice.rng.integers(len(white)))]
    seeds = [first]
    for _ in range(int(dice.rng.choice([0, 1, 2], p=[0.6, 0.28, 0.12]))):
        near = white[((white - first) * grid.spacing).float().norm(dim=1) < dice.uniform(10, 35)]
        seeds.append(near[int(dice.rng.integers(len(near)))])
    return torch.stack(seeds)


def _front(
    speed: torch.Tensor, start: torch.Tensor, spacing: float, where: torch.Tensor, voxels: float
) -> tuple[torch.Tensor, float]:
    """Arrival time of a front, and when it has reached so many voxels of `where`.

    |∇T| = 1 / speed with T = 0 where `start` is True, by Godunov's upwind scheme, all voxels at
    once: every round carries the front one voxel further. It ends when nothing moves any more up to
    the time that is asked for; later times may then be too late.
    """
    far = 1e6
    time = torch.where(start, 0.0, far)
    step = spacing / speed
    limit = before = far
    for number in range(1, ROUNDS + 1):
        padded = torch.nn.functional.pad(time, (1,) * 6, value=far)
        x = torch.minimum(padded[:-2, 1:-1, 1:-1], padded[2:, 1:-1, 1:-1])
        y = torch.minimum(padded[1:-1, :-2, 1:-1], padded[1:-1, 2:, 1:-1])
        z = torch.minimum(padded[1:-1, 1:-1, :-2], padded[1:-1, 1:-1, 2:])
        low = torch.minimum(torch.minimum(x, y), z)
        high = torch.maximum(torch.maximum(x, y), z)
        middle = x + y + z - low - high
        one = low + step
        two = (low + middle + (2 * step**2 - (low - middle) ** 2).clamp_min(0).sqrt()) / 2
        total, squares = low + middle + high, low**2 + middle**2 + high**2
        three = (total + (total**2 - 3 * (squares - step**2)).clamp_min(0).sqrt()) / 3
        new = torch.where(one <= middle, one, torch.where(two <= high, two, three))
        time = torch.minimum(time, new)
        if number % 6 == 0:
            limit = _time_for(time, where, voxels)
            if limit < far and before - limit < 1e-3 * limit:
                break
            before = limit
    return time, _time_for(time, where, voxels)


ROUNDS = 90
"""Enough for a front to cross a hemisphere in voxels of 3 mm."""


def _time_for(time: torch.Tensor, where: torch.Tensor, voxels: float) -> float:
    """When the front has reached so many voxels of `where`."""
    times = time[where]
    k = int(min(max(voxels, 8), len(times) - 1))
    return float(times.kthvalue(k).values)


def _centre(mask: torch.Tensor, grid: Grid) -> torch.Tensor:
    middle = torch.nonzero(mask).float().mean(0)
    return (middle - (torch.tensor(grid.shape, device=mask.device) - 1) / 2) * grid.spacing
