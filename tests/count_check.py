"""The kernel that counts regions against the processor's counts, on random labels.

`test_tensor_metrics.py` runs this as a program under Triton's interpreter, which must be chosen
before Triton is imported; `benchmarks/gpu.py` runs it on a GPU.
"""

import sys

import numpy as np
import pytest
import torch

from gliomakit import metrics, tensor_metrics
from gliomakit.errors import GliomakitError
from gliomakit.regions import CONVENTIONS


def different(seed: int, device: str = "cpu") -> list[str]:
    """What of a random pair of labels is counted otherwise; unknown values must be refused."""
    rng = np.random.default_rng(seed)
    names = rng.choice(sorted(CONVENTIONS), size=2)
    shape = rng.integers(1, [4, 30, 30, 30])
    kinds = rng.choice([torch.uint8, torch.int16, torch.int64], size=2)
    labels = []
    for name, kind in zip(names, kinds):
        values = sorted(CONVENTIONS[name].values)
        label = np.where(rng.random(shape) < rng.choice([0, 0.1, 1]), rng.choice(values, shape), 0)
        labels.append(torch.from_numpy(label).to(device, kind))
    if seed % 3 == 0:
        labels[0] = labels[0].transpose(1, 3).contiguous().transpose(1, 3)
    a, b = labels
    kept = tensor_metrics._by_kernel
    tensor_metrics._by_kernel = lambda label: True
    try:
        found = tensor_metrics.region_counts(a, names[0], b, names[1])
        for wrong in (250, 9, -1):
            if wrong > 0 or b.dtype != torch.uint8:
                other = b.clone()
                other[-1, -1, -1, -1] = wrong
                with pytest.raises(GliomakitError, match="convention"):
                    tensor_metrics.region_counts(a, names[0], other, names[1])
    finally:
        tensor_metrics._by_kernel = kept
    pairs = zip(a.cpu().numpy(), b.cpu().numpy())
    expected = [metrics.region_counts(p, names[0], r, names[1]) for p, r in pairs]
    return [] if found == expected else [f"seed {seed}: {found}, not {expected}"]


if __name__ == "__main__":
    for seed in range(int(sys.argv[1])):
        if wrong := different(seed):
            sys.exit("\n".join(wrong))
    print(f"{sys.argv[1]} counts equal")
