"""All ways of cutting patches against each other, on random volumes and plans.

`test_fill.py` runs this as a program under Triton's interpreter, which must be chosen before Triton
is imported; `benchmarks/gpu.py` runs it on a GPU.
"""

import sys

import numpy as np
import torch

from gliomakit._fill import INT16, STORED, Stored, fill
from gliomakit.patches import Plan


def random_volumes(rng, kind, device="cpu"):
    """One to three volumes of odd sizes, contiguous and not, with a label and without."""
    found = []
    for _ in range(rng.integers(1, 4)):
        shape = rng.integers(1, 14, size=3)
        order = rng.permutation(4)
        step = rng.integers(1, 3, size=4)
        big = np.array([4, *shape]) * step
        if kind == "int16":
            image = rng.integers(-INT16, INT16 + 1, size=big[order]).astype(np.int16)
        else:
            image = rng.standard_normal(big[order]).astype(kind)
        # Axes in another order in memory, and every second voxel of a larger array.
        image = torch.from_numpy(image).to(device).permute(*np.argsort(order).tolist())
        image = image[tuple(slice(None, None, int(s)) for s in step)]
        label = rng.integers(0, 4, size=shape[::-1]).astype(np.uint8)
        label = torch.from_numpy(label).to(device).permute(2, 1, 0)
        scale = torch.from_numpy(rng.random(4, np.float32) + 0.1).to(device)
        absent, scaled = rng.random() < 0.2, kind == "int16"
        found.append(Stored(image, None if absent else label, scale if scaled else None))
    return found


def random_plan(rng, volumes, n, size):
    """Anywhere: within a volume, across its border, wholly outside."""
    case = rng.integers(len(volumes), size=n)
    shape = np.array([volumes[i].image.shape[1:] for i in case])
    origin = rng.integers(-np.array(size) - 2, shape + 3, size=(n, 3))
    turns = rng.integers(4, size=n)
    if size[0] != size[1]:
        turns = turns // 2 * 2
    return Plan(case, origin, turns, rng.random((n, 3)) < 0.5, np.zeros(n, bool))


def filled(way, volumes, plan, size, layout, device="cpu"):
    """A batch in memory that held something else before."""
    n = len(plan.case)
    image = torch.full((n, 4, *size), torch.nan, device=device).to(memory_format=layout)
    code = torch.full((n, *size), 77, dtype=torch.uint8, device=device)
    fill(image, code, volumes, plan, way)
    return image, code


def differences(seed, way, device="cpu"):
    """What of a random batch a way cuts otherwise than the plain one: empty if all is equal."""
    rng = np.random.default_rng(seed)
    kind = tuple(STORED)[seed % 3]
    volumes = random_volumes(rng, kind, device)
    size = tuple(int(s) for s in rng.integers(1, 11, size=3))
    size = size if rng.random() < 0.5 else (size[0], size[0], size[2])
    plan = random_plan(rng, volumes, int(rng.integers(1, 5)), size)
    layout = (torch.contiguous_format, torch.channels_last_3d)[seed // 3 % 2]
    image, code = filled("plain", volumes, plan, size, torch.contiguous_format, device)
    assert not image.isnan().any()
    got_image, got_code = filled(way, volumes, plan, size, layout, device)
    found = []
    if not torch.equal(image, got_image):
        found.append(f"image of seed {seed}, {kind}, {size}: {plan}")
    if not torch.equal(code, got_code):
        found.append(f"label of seed {seed}, {kind}, {size}: {plan}")
    return found


if __name__ == "__main__":
    way, count = sys.argv[1], int(sys.argv[2])
    for seed in range(count):
        if wrong := differences(seed, way):
            sys.exit("\n".join(wrong))
    print(f"{way}: {count} batches equal")
