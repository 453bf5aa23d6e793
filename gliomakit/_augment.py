"""Changes of a training batch that keep its label: intensities, and sequences left out.

All work on the device that the batch is on. Everything random is a function of (seed, step), so
that a training run that is taken up again sees what it would have seen.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from .regions import SEQUENCES

_PATCHES, _INTENSITY, _DROPOUT = range(3)


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
    step: int,
    gain: float = 0.15,
    offset: float = 0.15,
    gamma: float = 0.2,
    noise: float = 0.1,
    share: float = 0.3,
) -> torch.Tensor:
    """Another scanner: random gain, offset, gamma and noise for each sequence of each patch.

    image: (n, c, x, y, z) float, z-scored; changed in place and returned. Exact zeros are
    background or a missing sequence and stay zero.

    gain:   standard deviation of the logarithm of a factor.
    offset: standard deviation of a shift, in standard deviations of the brain.
    gamma:  standard deviation of the logarithm of the exponent on the sequence's own range,
            applied to `share` of the sequences.
    noise:  largest standard deviation of Gaussian noise, applied to `share` of the sequences.

    >>> image = torch.zeros(1, 4, 2, 2, 2); image[:, 0] = 1.0
    >>> changed = augment_intensity(image, seed=0, step=0)
    >>> bool((changed[:, 0] != 1).all()), bool((changed[:, 1:] == 0).all())
    (True, True)
    """
    rng = generator(seed, step, _INTENSITY)
    n, c = image.shape[:2]
    factor = np.exp(gain * rng.standard_normal((n, c)))
    shift = offset * rng.standard_normal((n, c))
    exponent = np.exp(gamma * rng.standard_normal((n, c)))
    sigma = noise * rng.random((n, c))
    bent, noisy = rng.random((2, n, c)) < share
    torch_rng = torch.Generator(image.device).manual_seed(int(rng.integers(2**63)))

    inside = image != 0
    for i, j in zip(*np.nonzero(bent & (gamma > 0)), strict=True):
        _bend(image[i, j], inside[i, j], float(exponent[i, j]))
    image.mul_(_per_sequence(factor, image)).add_(_per_sequence(shift, image))
    for i, j in zip(*np.nonzero(noisy & (noise > 0)), strict=True):
        field = torch.empty_like(image[i, j], memory_format=torch.contiguous_format)
        field.normal_(generator=torch_rng)
        image[i, j].add_(field, alpha=float(sigma[i, j]))
    return image.mul_(inside)


def drop_sequences(
    image: torch.Tensor,
    present: torch.Tensor,
    *,
    seed: int,
    step: int,
    share: float = 0.25,
    probability: float = 0.15,
    alone: Sequence[str] = ("flair", "t1ce"),
) -> tuple[torch.Tensor, torch.Tensor]:
    """Leave sequences out, so that the network learns to do without: they become all zeros.

    image: (n, 4, x, y, z) in the order of `regions.SEQUENCES`; present: (n, 4) bool. Both are
    changed in place and returned. With probability `share` a patch keeps only the sequences
    `alone`; otherwise each sequence is left out with `probability`. A patch never loses all the
    sequences that it had.

    >>> image, present = torch.ones(2, 4, 1, 1, 1), torch.ones(2, 4, dtype=torch.bool)
    >>> image, present = drop_sequences(image, present, seed=0, step=0, share=1.0)
    >>> present[0].tolist(), image[0].flatten().tolist()
    ([True, False, True, False], [1.0, 0.0, 1.0, 0.0])
    """
    rng = generator(seed, step, _DROPOUT)
    n, c = present.shape
    only = np.isin(SEQUENCES, list(alone))
    keep = rng.random((n, c)) >= probability
    keep[rng.random(n) < share] = only
    # The one that stays when all would go: the present one with the largest of these.
    rank = torch.as_tensor(rng.random((n, c)), device=present.device)

    had = present & torch.as_tensor(keep, device=present.device)
    last = rank.masked_fill(~present, -1).argmax(1)
    saved = torch.nn.functional.one_hot(last, c).bool() & present
    present.copy_(torch.where(had.any(1, keepdim=True), had, saved))
    return image.mul_(present[:, :, None, None, None]), present


def _bend(field: torch.Tensor, inside: torch.Tensor, exponent: float) -> None:
    """Gamma on the field's own range inside the brain, in place."""
    high = field.amax()
    # Voxels outside are 0 and must not become the range's lower end.
    low = torch.where(inside, field, high).amin()
    span = (high - low).clamp(min=1e-6)
    field.sub_(low).div_(span).clamp_(0, 1).pow_(exponent).mul_(span).add_(low)


def _per_sequence(values: np.ndarray, like: torch.Tensor) -> torch.Tensor:
    return torch.as_tensor(values, dtype=like.dtype, device=like.device)[:, :, None, None, None]
