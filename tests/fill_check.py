"""All ways of cutting patches against each other, on random volumes and plans; and batches that
the kernels draw against those that the processor draws.

`test_fill.py` runs this as a program under Triton's interpreter, which must be chosen before Triton
is imported; `benchmarks/gpu.py` runs it on a GPU.
"""

import sys
from types import SimpleNamespace

import numpy as np
import torch

from gliomakit import _drawing
from gliomakit._fill import INT16, STORED, Stored, fill
from gliomakit.patches import PatchSampler, Plan
from gliomakit.regions import SEQUENCES


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


def random_cases(rng):
    """One to five prepared cases of any sides, some without tumour or label or a sequence."""
    found = []
    for _ in range(rng.integers(1, 6)):
        shape = rng.integers(1, 16, size=3)
        code = rng.integers(0, 4, size=shape).astype(np.uint8)
        code[rng.random(shape) < rng.choice([0.5, 0.95, 1.0])] = 0
        code[code == rng.integers(1, 4)] = 0
        case = SimpleNamespace(
            image=rng.standard_normal((4, *shape)).astype(np.float32),
            regions=None if rng.random() < 0.2 else code,
            present=[name for name in SEQUENCES if rng.random() < 0.8],
        )
        found.append(case)
    return found


def drawn_differences(seed, way, device="cpu"):
    """What of a random sampler's batches is not what the processor draws and cuts."""
    rng = np.random.default_rng(seed)
    cases = random_cases(rng)
    asked = {
        "size": rng.integers(1, 11, size=3).tolist() if rng.random() < 0.5 else 7,
        "foreground": float(rng.choice([0, 1, rng.random(), 2.0**-53])),
        "flip": ["", "x", "yz", "xyz", True][rng.integers(5)],
        "rotate": bool(rng.integers(2)),
        "balance": bool(rng.integers(2)),
        "seed": int(rng.choice([0, 1, 2**31, 2**62, -1, rng.integers(2**40)])),
        "stored": tuple(STORED)[seed % 3],
    }
    here = PatchSampler(cases, **asked, way="plain")
    there = PatchSampler(cases, **asked, way=way, device=device)
    found, drawn = [], 0
    far = int(rng.choice([15, 10**6, 2**40]))
    n = 0
    for step in (*range(len(cases)), far, far + 1, range(far + 2, far + 4), far + 6):
        if step in (*range(len(cases)), far):  # else plans are there from the batch before
            n = int(rng.integers(1, 40))
        expected, got = here.batch(n, step), there.batch(n, step)
        drawn += there._atlas is not None
        for name in ("image", "code", "present"):
            if not torch.equal(getattr(expected, name), getattr(got, name).cpu()):
                found.append(f"{name} of seed {seed}, step {step}, {n} patches, {asked}")
        for name in ("case", "origin", "turns", "flip", "foreground"):
            if not np.array_equal(getattr(expected.plan, name), getattr(got.plan, name)):
                found.append(f"the plan's {name} of seed {seed}, step {step}")
    for sampler in (here, there):  # and what was drawn ahead is not of other settings
        sampler.foreground, sampler.seed = 1 - sampler.foreground, sampler.seed + 1
    if not torch.equal(here.batch(n, far + 7).image, there.batch(n, far + 7).image.cpu()):
        found.append(f"other settings of seed {seed}")
    # Each batch brings one case there at least; the last five are drawn there.
    return found if drawn >= 5 else [*found, f"the kernel drew {drawn} batches of seed {seed}"]


if __name__ == "__main__":
    check = {"fill": differences, "draw": drawn_differences}[sys.argv[1]]
    way, count = sys.argv[2], int(sys.argv[3])
    _drawing.AHEAD = 3  # the interpreter draws them one after the other
    for seed in range(count):
        if wrong := check(seed, way):
            sys.exit("\n".join(wrong))
    print(f"{sys.argv[1]}, {way}: {count} equal")
