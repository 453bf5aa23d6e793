"""The kernels of intensity augmentation against plain torch, on random batches.

`test_patches.py` runs this as a program under Triton's interpreter, which must be chosen before
Triton is imported; `benchmarks/gpu.py` runs it on a GPU.
"""

import sys

import numpy as np
import torch

from gliomakit import _augment
from gliomakit.patches import augment_intensity


def by(kernels: bool, image: torch.Tensor, **settings) -> torch.Tensor:
    """A changed copy of the batch, by the kernels or by plain torch."""
    kept = _augment._in_two_launches
    try:
        _augment._in_two_launches = lambda image: kernels
        return augment_intensity(image.clone(), **settings)
    finally:
        _augment._in_two_launches = kept


def difference(seed: int, device: str = "cpu") -> float:
    """The largest difference of a voxel without noise, in the batch's largest number; raises where
    the noise is not what was asked for."""
    rng = np.random.default_rng(seed)
    shape = (*rng.integers(1, 4, size=2), *rng.integers(1, 16, size=3))
    image = torch.from_numpy(rng.standard_normal(shape).astype(np.float32)).to(device)
    image[torch.from_numpy(rng.random(shape) < 0.3).to(device)] = 0
    if seed % 4 == 0:
        image[0, 0] = 0  # a sequence that is not there
    if seed % 5 == 0:
        image[-1, -1] = image[-1, -1].sign()  # and one that is flat
    step, share = int(rng.integers(10**6)), float(rng.choice([0.0, 0.3, 1.0]))
    asked = {"seed": seed, "step": step, "share": share, "gamma": float(rng.choice([0, 0.2]))}
    expected, got = (by(kernels, image, noise=0, **asked) for kernels in (False, True))
    assert torch.equal(expected == 0, got == 0) and (got[image == 0] == 0).all()
    largest = max(float(expected.abs().max()), 1e-6)
    noisy = by(True, image, noise=0.1, **asked)
    assert torch.equal(noisy, by(True, image, noise=0.1, **asked))
    three = {**asked, "step": range(step, step + 3)}
    together = by(True, torch.cat([image] * 3), noise=0.1, **three).chunk(3)
    for one, part in zip(three["step"], together):
        assert torch.equal(part, by(True, image, noise=0.1, **{**asked, "step": one}))
    moved = (noisy - got).flatten(2).abs().amax(2) > 0
    assert share > 0 or not moved.any()
    assert share < 1 or image.flatten(2).any(2).equal(moved)
    return float((expected - got).abs().max()) / largest


def noise(device: str = "cpu") -> None:
    """Noise of a known size is normal, another in every patch, sequence and step."""
    image = torch.ones(2, 2, 24, 24, 24, device=device)
    plain = {"seed": 3, "gain": 0, "offset": 0, "gamma": 0, "share": 1.0, "noise": 0.1}
    fields = [(by(True, image, step=step, **plain) - 1).flatten(2).flatten(0, 1) for step in (0, 1)]
    every = torch.cat(fields).cpu().double()
    shaped = every / every.std(1, keepdim=True)
    assert (every.std(1) < 0.102).all() and (every.std(1) > 0).all()
    assert (shaped.mean(1).abs() < 0.05).all()
    assert ((shaped**3).mean(1).abs() < 0.15).all() and ((shaped**4).mean(1) - 3).abs().max() < 0.3
    apart = torch.corrcoef(every) - torch.eye(len(every), dtype=torch.float64)
    assert apart.abs().max() < 0.05, apart


if __name__ == "__main__":
    worst = max(difference(seed) for seed in range(int(sys.argv[1])))
    assert worst < 1e-5, worst
    noise()
    print(f"{sys.argv[1]} batches equal")
