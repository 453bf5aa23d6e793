"""Changes of a training batch that keep its label: intensities, and sequences left out.

All work on the device that the batch is on. Everything random is a function of (seed, step), so
that a training run that is taken up again sees what it would have seen.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from ._fill import triton_fault
from ._scanner import DEGREE, bend, blurred, coarsened, uneven
from .device import sent
from .errors import GliomakitError
from .regions import SEQUENCES

_PATCHES, _INTENSITY, _DROPOUT, _SCANNER = range(4)


def generator(seed: int, step: int, stream: int = _PATCHES) -> np.random.Generator:
    """A NumPy generator (Philox) whose numbers depend on seed, step and stream only.

    Philox is counter-based: the step is part of the counter, so no step has to be drawn to reach
    the next, and no two steps overlap.

    >>> float(generator(1, 7).random()) == float(generator(1, 7).random())
    True
    """
    key = np.array([seed % 2**64, stream], np.uint64)
    return np.random.Generator(np.random.Philox(counter=[0, 0, 0, step], key=key))


def augment_intensity(
    image: torch.Tensor,
    *,
    seed: int,
    step: int | range,
    gain: float = 0.15,
    offset: float = 0.15,
    gamma: float = 0.2,
    noise: float = 0.1,
    share: float = 0.3,
    uneven_by: float = 0.0,
    blur: float = 0.0,
    coarse: float = 1.0,
) -> torch.Tensor:
    """Another scanner: random gain, offset, gamma and noise for each sequence of each patch.

    image: (n, c, x, y, z) float, z-scored; changed in place and returned. Exact zeros are
    background or a missing sequence and stay zero. step: of a range of steps the batches lie one
    behind the other (`PatchSampler.batch`). All sequences that something is done to are changed at
    once (`_scanner`); on a GPU in two launches, but for what is left out unless asked
    for (`_intensity_kernels`).

    gain:   standard deviation of the logarithm of a factor.
    offset: standard deviation of a shift, in standard deviations of the brain.
    gamma:  standard deviation of the logarithm of the exponent on the sequence's own range,
            applied to `share` of the sequences.
    noise:  largest standard deviation of Gaussian noise, applied to `share` of the sequences.

    Left out unless asked for, each applied to `share` of the sequences:

    uneven_by: standard deviation of the coefficients of a smooth field's logarithm.
    blur:      largest sigma of a Gaussian, in voxels.
    coarse:    largest factor by which the voxels were larger.

    >>> image = torch.zeros(1, 4, 2, 2, 2); image[:, 0] = 1.0
    >>> changed = augment_intensity(image, seed=0, step=0)
    >>> bool((changed[:, 0] != 1).all()), bool((changed[:, 1:] == 0).all())
    (True, True)
    """
    steps, n = _split(step, len(image))
    other_scanner = uneven_by > 0 or blur > 0 or coarse > 1
    drawn = []
    for one in steps:
        rng, shape = generator(seed, one, _INTENSITY), (n, image.shape[1])
        factor = np.exp(gain * rng.standard_normal(shape))
        shift = offset * rng.standard_normal(shape)
        exponent = np.exp(gamma * rng.standard_normal(shape))
        sigma = noise * rng.random(shape)
        bent, noisy = rng.random((2, *shape)) < share
        # 0 is no gamma, and no noise.
        numbers = np.array([factor, shift, exponent * (bent & (gamma > 0)), sigma * noisy])
        drawn.append((numbers, int(rng.integers(2**63))))
    if not other_scanner and _in_two_launches(image):
        from . import _intensity_kernels

        numbers, seeds = zip(*drawn)
        return _intensity_kernels.change(image, np.concatenate(numbers, 1), seeds)
    for part, one, ((factor, shift, exponent, sigma), of_noise) in zip(
        image.split(n), steps, drawn, strict=True
    ):
        torch_rng = torch.Generator(image.device).manual_seed(of_noise)
        inside = part != 0
        which = exponent > 0
        if which.any():
            here = _places(which, part)
            part[here] = bend(part[here], inside[here], _numbers(exponent[which], part))
        if other_scanner:
            _other_scanner(part, generator(seed, one, _SCANNER), share, uneven_by, blur, coarse)
        part.mul_(_per_sequence(factor, part)).add_(_per_sequence(shift, part))
        which = sigma > 0
        if which.any():
            here = _places(which, part)
            field = _normal(int(which.sum()), part, torch_rng)
            strength = _numbers(sigma[which], part)[:, None, None, None]
            part[here] = part[here].addcmul_(field, strength)
        part.mul_(inside)
    return image


def steps_of(step: int | range) -> range:
    """One step or several, which must follow one another.

    >>> steps_of(7)
    range(7, 8)
    """
    steps = step if isinstance(step, range) else range(step, step + 1)
    if steps.step != 1 or not steps:
        raise GliomakitError(
            f"batches are made for steps one after the other, not for {steps}",
            todo="give a step, or a range of at least one without a stride",
        )
    return steps


def _split(step: int | range, patches: int) -> tuple[range, int]:
    """The steps, and how many patches each of them has."""
    steps = steps_of(step)
    if patches % len(steps):
        raise GliomakitError(f"{patches} patches are not as many for each of {len(steps)} steps")
    return steps, patches // len(steps)


def _in_two_launches(image: torch.Tensor) -> bool:
    """Whether the batch is on a GPU where `_intensity_kernels` can be used."""
    fits = image.dtype == torch.float32 and image.is_contiguous() and image.numel() < 2**31
    return image.is_cuda and fits and triton_fault("cuda") is None


def drop_sequences(
    image: torch.Tensor,
    present: torch.Tensor,
    *,
    seed: int,
    step: int | range,
    share: float = 0.25,
    probability: float = 0.15,
    alone: Sequence[str] = ("flair", "t1ce"),
) -> tuple[torch.Tensor, torch.Tensor]:
    """Leave sequences out, so that the network learns to do without: they become all zeros.

    image: (n, 4, x, y, z) in the order of `regions.SEQUENCES`; present: (n, 4) bool. Both are
    changed in place and returned. step: as in `augment_intensity`. With probability `share` a patch
    keeps only the sequences `alone`; otherwise each sequence is left out with `probability`. A
    patch never loses all the sequences that it had.

    >>> image, present = torch.ones(2, 4, 1, 1, 1), torch.ones(2, 4, dtype=torch.bool)
    >>> image, present = drop_sequences(image, present, seed=0, step=0, share=1.0)
    >>> present[0].tolist(), image[0].flatten().tolist()
    ([True, False, True, False], [1.0, 0.0, 1.0, 0.0])
    """
    steps, n = _split(step, len(present))
    c = present.shape[1]
    only = np.isin(SEQUENCES, list(alone))
    keeps, ranks = [], []
    for one in steps:
        rng = generator(seed, one, _DROPOUT)
        keep = rng.random((n, c)) >= probability
        keep[rng.random(n) < share] = only
        keeps.append(keep)
        # The one that stays when all would go: the present one with the largest of these.
        ranks.append(rng.random((n, c)))
    keep, rank = (sent(np.concatenate(each), present.device) for each in (keeps, ranks))

    had = present & keep
    last = rank.masked_fill(~present, -1).argmax(1)
    saved = torch.nn.functional.one_hot(last, c).bool() & present
    present.copy_(torch.where(had.any(1, keepdim=True), had, saved))
    return image.mul_(present[:, :, None, None, None]), present


def _other_scanner(
    image: torch.Tensor,
    rng: np.random.Generator,
    share: float,
    uneven_by: float,
    blur: float,
    coarse: float,
) -> None:
    """Larger voxels, blur, uneven sensitivity, in place, each for its own sequences."""
    n, c = image.shape[:2]
    chosen = rng.random((3, n, c)) < share
    factor = 1 + (coarse - 1) * rng.random((n, c))
    sigma = blur * rng.random((n, c))
    powers = uneven_by * rng.standard_normal((n, c, *[DEGREE + 1] * 3))
    # The constant is gain's; a product counts by the sum of its degrees.
    degree = np.indices(powers.shape[2:]).sum(0)
    powers[..., (degree == 0) | (degree > DEGREE)] = 0
    chosen &= np.array([coarse > 1, blur > 0, uneven_by > 0])[:, None, None]
    here = [_places(which, image) for which in chosen]
    if chosen[0].any():
        image[here[0]] = coarsened(image[here[0]], factor[chosen[0]].tolist())
    if chosen[1].any():
        image[here[1]] = blurred(image[here[1]], _numbers(sigma[chosen[1]], image))
    if chosen[2].any():
        image[here[2]] = uneven(image[here[2]], _numbers(powers[chosen[2]], image))


def _normal(m: int, image: torch.Tensor, rng: torch.Generator) -> torch.Tensor:
    """Normal numbers for m sequences, (m, x, y, z)."""
    field = torch.empty((m, *image.shape[2:]), dtype=image.dtype, device=image.device)
    # PyTorch's processor draws in blocks of 16: so sequences stay what they were when each was
    # drawn for itself.
    for some in field if image.device.type == "cpu" else [field]:
        some.normal_(generator=rng)
    return field


def _numbers(values: np.ndarray, like: torch.Tensor) -> torch.Tensor:
    return sent(values, like.device, like.dtype)


def _places(which: np.ndarray, image: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Where (patch, sequence) is true, as an index: a mask's length a GPU would have to tell."""
    patch, sequence = np.nonzero(which)
    return sent(patch, image.device), sent(sequence, image.device)


def _per_sequence(values: np.ndarray, like: torch.Tensor) -> torch.Tensor:
    return _numbers(values, like)[:, :, None, None, None]
