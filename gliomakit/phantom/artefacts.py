"""What scanner and preparation add: bias field, blur, noise, gain, and cuts."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch.nn import functional as F

from ..regions import SEQUENCES
from ._random import Dice, Grid, blur


@dataclass
class Scan:
    """image (4, x, y, z), and the bias field that each sequence was multiplied by."""

    image: torch.Tensor
    bias: torch.Tensor


def scan(
    dice: Dice, grid: Grid, clean: torch.Tensor, brain: torch.Tensor, tumour: torch.Tensor
) -> Scan:
    """Four sequences as an exam gives them: stripped of the skull, more or less well.

    brain: share of brain in [0, 1]; tumour: bool, where the lesion is.
    """
    mask = skull_strip(dice, grid, brain)
    view = field_of_view(dice, grid, mask)
    if tumour.any() and (view & mask & tumour).sum() < 0.6 * tumour.sum():
        # An exam is planned on its lesion: one that would miss most of it was not taken like this.
        view = torch.ones_like(view)
    image = torch.empty_like(clean)
    bias = torch.empty_like(clean)
    rubbish = _remnants(dice, grid, brain) if dice.chance(0.15) else None
    keep = mask if rubbish is None else mask | (rubbish > 0.5)
    for i in range(len(SEQUENCES)):
        one = clean[i]
        if rubbish is not None:
            one = one + rubbish * dice.uniform(0.3, 1.6) * (1 - brain)
        one = _moved(dice, _blurred(dice, one, grid.spacing), grid.spacing)
        bias[i] = bias_field(dice, grid)
        one = one * bias[i]
        one = rician(dice, one, dice.log_uniform(0.005, 0.045))
        if dice.chance(0.3):
            one = one.clamp_min(0) ** dice.uniform(0.8, 1.25)
        if dice.chance(0.2):
            # The brightest are all shown as white: vessels, fluid on T2, a rim.
            one = one.clamp(max=brightest(one[keep], dice.uniform(0.992, 0.9998)))
        seen = view & _one_side(dice, grid, keep) if dice.chance(0.04) else view
        # A voxel of the brain is never exactly 0: that value says "nothing was measured here".
        gain = dice.log_uniform(120.0, 1500.0)
        image[i] = torch.where(keep & seen, (one * gain).clamp_min(1.0), 0.0)
    return Scan(image, bias)


def brightest(values: torch.Tensor, share: float) -> float:
    """The value below which that share of the voxels lies."""
    return float(values.kthvalue(max(1, int(share * len(values)))).values)


def bias_field(dice: Dice, grid: Grid) -> torch.Tensor:
    """A smooth positive field about 1: coils hear what is near them better."""
    return torch.exp(dice.uniform(0.02, 0.14) * dice.field(grid, dice.uniform(60.0, 110.0)))


def rician(dice: Dice, image: torch.Tensor, sigma: float) -> torch.Tensor:
    """Magnitude of a complex signal with normal noise in both parts (Gudbjartsson 1995)."""
    real, imaginary = dice.noise((2, *image.shape)) * sigma
    return ((image + real) ** 2 + imaginary**2).sqrt()


def skull_strip(dice: Dice, grid: Grid, brain: torch.Tensor) -> torch.Tensor:
    """The brain's mask with errors both ways: some cortex lost here, some fluid kept there."""
    smooth = blur((brain > 0.5).float(), 3.0 / grid.spacing)
    error = dice.uniform(-0.08, 0.12) + dice.uniform(0.0, 0.13) * dice.field(grid, 40.0)
    return (smooth > 0.5 + error) & (brain > 0.05)


def field_of_view(dice: Dice, grid: Grid, mask: torch.Tensor) -> torch.Tensor:
    """What the exam covers: mostly all; sometimes a slab, sometimes a side is missing."""
    kind = dice.rng.random()
    view = torch.ones(grid.shape, dtype=torch.bool, device=mask.device)
    if kind < 0.10:
        where = torch.nonzero(mask.any(0).any(0)).ravel()
        low, high = int(where[0]), int(where[-1])
        thick = int(dice.uniform(0.3, 0.7) * (high - low))
        start = low + int(dice.rng.integers(0, max(1, high - low - thick)))
        view[:] = False
        view[:, :, start : start + thick] = True
    elif kind < 0.22:
        view = _one_side(dice, grid, mask, least=0.45)
    return view


def _one_side(dice: Dice, grid: Grid, mask: torch.Tensor, least: float = 0.6) -> torch.Tensor:
    """A half space, slightly oblique, that keeps at least that share of the brain's extent."""
    axis = int(dice.rng.integers(3))
    normal = torch.tensor([dice.uniform(-0.2, 0.2) for _ in range(3)])
    normal[axis] = dice.pick(-1.0, 1.0)
    height = grid.coordinates(mask.device) @ (normal / normal.norm()).to(mask.device)
    inside = height[mask]
    low, high = float(inside.min()), float(inside.max())
    return height < low + dice.uniform(least, 0.97) * (high - low)


def _blurred(dice: Dice, image: torch.Tensor, spacing: float) -> torch.Tensor:
    """In-plane softness, and thick slices along one axis in a third of the sequences (mm)."""
    sigma = [dice.uniform(0.0, 1.0) / spacing] * 3
    thick = dice.uniform(2.5, 7.0)
    if dice.chance(0.35):
        axis = int(dice.rng.choice([0, 1, 2], p=[0.2, 0.3, 0.5]))
        if dice.chance(0.5):
            image = _slices(image, axis, max(thick / spacing, 1.0))
        else:
            sigma[axis] = thick / 2.2 / spacing
    return blur(image, tuple(sigma))


def _slices(image: torch.Tensor, axis: int, thickness: float) -> torch.Tensor:
    """Thick slices (in voxels), each the mean of what it holds, drawn out again to thin ones."""
    shape = list(image.shape)
    shape[axis] = max(2, int(round(shape[axis] / thickness)))
    coarse = F.interpolate(image[None, None], size=shape, mode="area")
    return F.interpolate(coarse, size=image.shape, mode="trilinear", align_corners=False)[0, 0]


def _moved(dice: Dice, image: torch.Tensor, spacing: float) -> torch.Tensor:
    """Motion and ringing, in a tenth of the sequences each: along the axis of phase encoding."""
    moves, rings = dice.chance(0.1), dice.chance(0.1)
    axis, shift = int(dice.rng.integers(2)), dice.uniform(4.0, 40.0)
    share, kept = dice.uniform(0.03, 0.15), dice.uniform(0.45, 0.8)
    if moves:
        # Motion that repeats leaves a faint second head, shifted.
        image = (1 - share) * image + share * image.roll(int(round(shift / spacing)), axis)
    if rings:
        # High frequencies that were not measured: edges ring (Gibbs).
        waves = torch.fft.rfft(image, dim=axis)
        end = max(2, int(kept * waves.shape[axis]))
        waves.narrow(axis, end, waves.shape[axis] - end).zero_()
        image = torch.fft.irfft(waves, n=image.shape[axis], dim=axis).clamp_min(0)
    return image


def _remnants(dice: Dice, grid: Grid, brain: torch.Tensor) -> torch.Tensor:
    """Pieces of skull, scalp or neck that were left around the brain, in [0, 1]."""
    around = blur((brain > 0.5).float(), 7.0 / grid.spacing)
    shell = ((around > 0.08) & (brain < 0.5)).float()
    pieces = dice.field(grid, 30.0, octaves=2) + 0.02 * -grid.coordinates(brain.device)[..., 2]
    return shell * torch.sigmoid((pieces - dice.uniform(1.2, 2.6)) / 0.2)
