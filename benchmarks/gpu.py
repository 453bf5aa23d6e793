"""The package on a GPU, each figure beside its bound: `python -m benchmarks.gpu`.

Prints a table and writes gpu.json to --out, or to the folder that the environment's OUT names.
Needs torch, numpy, scipy, tqdm, safetensors and nibabel; peers are measured where MONAI and
TorchIO 2 are installed, and their rows are left out where they are not. Three minutes on
an H100; `--device cpu --quick` tries every section with small sizes in a few seconds.

Bounds are measured first: a device-to-device copy counts bytes read and bytes written, a matrix
product 2 n³ operations. A training step counts 2 operations for each of the layers'
multiplications, three times (forward, the inputs' gradient, the weights'), but no gradient of the
image; nothing else is counted, so the share of the matrix product is a share of useful work.
"""

from __future__ import annotations

import argparse
import copy
import importlib.util
import itertools
import json
import os
import platform
import statistics
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import torch

from gliomakit import metrics, tensor_metrics
from gliomakit._fill import described, fill, pick_way, triton_fault
from gliomakit._layers import table
from gliomakit._learner import Learner
from gliomakit._recipe import Fit
from gliomakit.device import fast_precision
from gliomakit.inference import sliding_window
from gliomakit.losses import WeightedDiceLoss
from gliomakit.patches import PatchSampler, augment_intensity
from gliomakit.regions import SEQUENCES, to_regions
from gliomakit.unet import UNet3d

TABLE = "| topic | work | measured | bound | share | note |\n|---|---|---|---|---|---|"
PAPER_PATCHES = 400 * 16 * 100
"""Patches of the paper's training: cases × patches an epoch × epochs."""


@dataclass
class Row:
    """A figure: its median, smallest and largest; what bounds it; its share of the bound."""

    topic: str
    work: str
    value: float
    unit: str
    low: float | None = None
    high: float | None = None
    bound: str = ""
    share: float | None = None
    note: str = ""

    def __str__(self) -> str:
        spread = "" if self.low is None else f" ({self.low:.4g} to {self.high:.4g})"
        share = "" if self.share is None else f"{100 * self.share:.1f} %"
        value = f"{self.value:.4g}{spread} {self.unit}"
        return f"| {self.topic} | {self.work} | {value} | {self.bound} | {share} | {self.note} |"


@dataclass
class Sizes:
    """How large everything is; the second set is for trying the script."""

    shape: tuple[int, int, int] = (240, 240, 155)
    patch: int = 64
    batches: tuple[int, ...] = (16, 128)
    filters: int = 32
    steps: tuple[int, ...] = (2, 8, 24)
    sides: tuple[int, ...] = (64, 96, 128)
    copied: int = 2**30
    product: int = 8192
    checks: int = 25
    runs: int = 9


QUICK = Sizes((40, 44, 36), 16, (4,), 4, (2,), (16, 24), 2**22, 256, 12, 3)


class Bench:
    """Device, sizes, bounds, and the volumes that all sections share."""

    def __init__(self, device: torch.device, sizes: Sizes):
        self.device, self.sizes = device, sizes
        self.precision = fast_precision(device) if device.type == "cuda" else "fp32"
        self.copy = self.product = 1.0
        rng = np.random.default_rng(0)
        self.cases = [made_up(rng, sizes.shape) for _ in range(2)]

    def seconds(self, work: Callable[[], object], runs: int | None = None) -> list[float]:
        """Seconds of each of several runs after a warm-up, by the device's own clock."""
        for _ in range(3):
            work()
        found = []
        for _ in range(runs or self.sizes.runs):
            if self.device.type == "cuda":
                begun, ended = (torch.cuda.Event(enable_timing=True) for _ in range(2))
                torch.cuda.synchronize()
                begun.record()
                work()
                ended.record()
                torch.cuda.synchronize()
                found.append(begun.elapsed_time(ended) / 1000)
            else:
                start = time.perf_counter()
                work()
                found.append(time.perf_counter() - start)
        return found

    def clock(self, work: Callable[[], object], runs: int = 7) -> list[float]:
        """Seconds by the wall's clock, the device finished before and after."""
        found = []
        for _ in range(runs + 1):
            self.wait()
            start = time.perf_counter()
            work()
            self.wait()
            found.append(time.perf_counter() - start)
        return found[1:]

    def wait(self) -> None:
        if self.device.type == "cuda":
            torch.cuda.synchronize()

    def peak(self, work: Callable[[], object]) -> float | None:
        """Most bytes that PyTorch holds on the device during the work, beside what it held."""
        if self.device.type != "cuda":
            work()
            return None
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()
        work()
        torch.cuda.synchronize()
        return float(torch.cuda.max_memory_allocated())

    def row(
        self, topic: str, work: str, seconds: list[float], per: float, unit: str, **more
    ) -> Row:
        """A rate: `per` things in so many seconds."""
        rates = sorted(per / s for s in seconds)
        return Row(topic, work, statistics.median(rates), unit, rates[0], rates[-1], **more)

    def ms(self, topic: str, work: str, seconds: list[float], **more) -> Row:
        times = sorted(1000 * s for s in seconds)
        return Row(topic, work, statistics.median(times), "ms", times[0], times[-1], **more)


def made_up(rng: np.random.Generator, shape: tuple[int, int, int]) -> SimpleNamespace:
    """What learner and sampler need of a prepared case: noise in a brain, tumour in tumour."""
    along = np.meshgrid(*(np.linspace(-1, 1, n, dtype=np.float32) for n in shape), indexing="ij")
    far = np.sqrt(sum(x**2 for x in along))
    off = np.sqrt(sum((x - 0.25) ** 2 for x in along))
    brain = far < 0.9
    image = rng.standard_normal((4, *shape), np.float32) * brain
    code = np.zeros(shape, np.uint8)
    for value, radius in enumerate((0.3, 0.2, 0.12), start=1):
        code[off < radius] = value
    frame = SimpleNamespace(target=None)
    return SimpleNamespace(
        name="made up", image=image, regions=code, brain=brain, present=SEQUENCES, frame=frame
    )


# --- bounds ---------------------------------------------------------------------------------------


def bounds(b: Bench) -> Iterator[Row]:
    source = torch.empty(b.sizes.copied, dtype=torch.uint8, device=b.device).random_(0, 255)
    target = torch.empty_like(source)
    seconds = b.seconds(lambda: target.copy_(source))
    b.copy = 2 * source.numel() / statistics.median(seconds)
    yield b.row("bound", f"copy of {source.numel() / 1e9:.2g} GB, bytes read and written",
                seconds, 2 * source.numel() / 1e9, "GB/s")  # fmt: skip
    n = b.sizes.product
    for dtype in (torch.float32, torch.bfloat16):
        x, y = (torch.randn(n, n, device=b.device).to(dtype) for _ in range(2))
        seconds = b.seconds(lambda x=x, y=y: x @ y)
        name = str(dtype).removeprefix("torch.")
        yield b.row("bound", f"matrix product {n}³, {name}", seconds, 2 * n**3 / 1e12, "TFLOP/s")
        if name == ("bfloat16" if b.precision == "bf16" else "float32"):
            b.product = 2 * n**3 / statistics.median(seconds)


# --- patches --------------------------------------------------------------------------------------


def kernels(b: Bench) -> Iterator[Row]:
    """Each kernel against what the processor or plain torch makes, at random."""
    from tests import count_check, dice_check, fill_check, intensity_check

    way = pick_way(b.device)
    if b.device.type == "cuda" and way != "triton":
        raise AssertionError(f"Triton cannot be used here: {triton_fault('cuda')}")
    checks = {"patches cut by plans": lambda seed: fill_check.differences(seed, way, b.device)}
    if way == "triton":
        on = b.device.type
        checks |= {
            "patches drawn there": lambda seed: fill_check.drawn_differences(seed, way, b.device),
            "intensities": lambda seed: intensity_check.difference(seed, on) > 1e-5,
            "counts": lambda seed: count_check.different(seed, on),
            "weighted Dice": lambda seed: dice_check.difference(seed) > 1e-4,
        }
        intensity_check.noise(on)
    for name, check in checks.items():
        wrong = [seed for seed in range(b.sizes.checks) if check(seed)]
        if wrong:
            raise AssertionError(f"{name}: {len(wrong)} differ, the first of seed {wrong[0]}")
        yield Row(
            "equality", name, len(wrong), "differ", note=f"of {b.sizes.checks} random batches"
        )


def patches(b: Bench) -> Iterator[Row]:
    side, many = b.sizes.patch, 20
    kinds = ("int16", "float32") if b.device.type == "cuda" else ("float32",)
    for kind in kinds:
        sampler = PatchSampler(b.cases, side, 0.5, seed=0, device=b.device, stored=kind)
        for step in range(len(b.cases)):
            sampler.batch(2, step)  # brings the cases there
        for n in b.sizes.batches:
            whole, steps = sampler.batch(n, 0), iter(range(10_000))
            kept = {i: sampler._volume(i) for i in range(len(b.cases))}
            moved = n * side**3 * (4 * (4 + (2 if kind == "int16" else 4)) + 2)
            bound = n * b.copy / moved

            def draw(whole=whole, n=n, sampler=sampler, steps=steps) -> None:
                for _ in range(many):  # another batch each time: the same one would be cached
                    sampler.batch(n, next(steps), out=whole)

            works = {"drawn, planned and cut": draw}
            if sampler.way == "triton":
                from gliomakit import _kernels

                plans = [sampler.plan(n, step) for step in range(50)]
                told = itertools.cycle([described(kept, plan, b.device) for plan in plans])
                given = itertools.cycle(plans)

                def kernel_alone(whole=whole, told=told) -> None:
                    for _ in range(many):
                        _kernels.fill(whole.image, whole.code, *next(told))

                def cut(whole=whole, kept=kept, given=given) -> None:
                    for _ in range(many):
                        fill(whole.image, whole.code, kept, next(given), "triton")

                works |= {"the kernel alone": kernel_alone, "cut by plans from the processor": cut}
            for name, work in works.items():
                rate = b.row(
                    "patches", f"{n} patches {side}³, {kind}: {name}", b.clock(work), n * many,
                    "patches/s", bound=f"copy: {bound:.4g} patches/s",
                )  # fmt: skip
                yield replace(rate, share=rate.value / bound)
            seconds = b.clock(lambda n=n, s=sampler, t=steps: s.plan(n, next(t)))
            yield b.ms("patches", f"plan of {n} patches, on the processor", seconds)
    plain = PatchSampler(b.cases, side, 0.5, seed=0, device=b.device, way="plain", stored=kinds[0])
    n, steps = b.sizes.batches[0], iter(range(1000))
    whole = plain.batch(n, 0)
    seconds = b.clock(lambda: plain.batch(n, next(steps), out=whole))
    yield b.row("patches", f"{n} patches {side}³, {kinds[0]}, plain torch", seconds, n, "patches/s")
    image = whole.image
    seconds = b.seconds(lambda: augment_intensity(image, seed=0, step=next(steps)))
    moved = 2 * image.numel() * 4
    every = {"uneven_by": 0.1, "blur": 1.0, "coarse": 2.0, "share": 1.0}
    more = b.seconds(lambda: augment_intensity(image, seed=0, step=next(steps), **every))
    yield b.ms("patches", f"intensities of {n} patches changed in all ways, every sequence", more)
    row = b.ms("patches", f"intensities of {n} patches changed, defaults", seconds,
               bound=f"read and written once: {1000 * moved / b.copy:.3g} ms")  # fmt: skip
    yield replace(row, share=moved / b.copy * 1000 / row.value)


def monai_patches(b: Bench) -> Iterator[Row]:
    from monai.transforms import Compose, RandCropByPosNegLabeld, RandFlipd, RandRotate90d

    n, side, keys = b.sizes.batches[0], b.sizes.patch, ["image", "label"]
    case = b.cases[0]
    data = {
        "image": torch.from_numpy(case.image).to(b.device),
        "label": torch.from_numpy(case.regions)[None].to(b.device),
    }
    flips = [RandFlipd(keys, prob=0.5, spatial_axis=axis) for axis in range(3)]
    crop = RandCropByPosNegLabeld(keys, "label", (side,) * 3, pos=1, neg=1, num_samples=n)
    chain = Compose([crop, *flips, RandRotate90d(keys, prob=0.75, spatial_axes=(0, 1))])
    seconds = b.clock(lambda: torch.stack([patch["image"] for patch in chain(data)]), runs=5)
    yield b.row("patches", f"{n} patches {side}³: MONAI on the device", seconds, n, "patches/s")


def torchio_patches(b: Bench) -> Iterator[Row]:
    """TorchIO 2 on the device: each patch's place from a map of all voxels, flips for the batch."""
    import torchio

    if not hasattr(torchio, "SubjectsBatch"):
        raise ModuleNotFoundError("TorchIO 2 is not installed (pip install --pre torchio)")
    n, side, case = b.sizes.batches[0], b.sizes.patch, b.cases[0]
    subject = torchio.Subject(
        image=torchio.ScalarImage(torch.from_numpy(case.image).to(b.device)),
        label=torchio.LabelMap(torch.from_numpy(case.regions)[None].to(b.device)),
    )
    # A voxel's weight: half of the patches are to lie around tumour.
    tumour = float((case.regions > 0).mean())
    weights = {0: tumour / (1 - tumour), 1: 1, 2: 1, 3: 1}
    sampler = torchio.LabelSampler(subject, side, "label", weights, num_patches=n)
    flip = torchio.Flip(axes=(0, 1, 2), flip_probability=0.5)

    def work() -> torch.Tensor:
        return flip(torchio.SubjectsBatch.from_subjects(list(sampler))).images["image"].data

    assert work().shape == (n, 4, side, side, side)
    name = f"{n} patches {side}³: TorchIO {torchio.__version__} on the device, not turned"
    yield b.row("patches", name, b.clock(work, runs=5), n, "patches/s")


# --- training -------------------------------------------------------------------------------------


def operations(filters: int, side: int) -> float:
    """Operations of a training step for one patch."""
    rows = table(UNet3d(base_filters=filters), side)
    first = next(row.gmac for row in rows if row.gmac)
    return 2e9 * (3 * rows.gmac - first)


def learner(b: Bench, side: int, batch: int, precision: str, compile: bool = False) -> Learner:
    settings = Fit.paper(
        base_filters=b.sizes.filters, patch=side, batch=batch, precision=precision, compile=compile
    )
    torch.manual_seed(0)
    return Learner(b.cases, settings, b.device)


def training(b: Bench) -> Iterator[Row]:
    side, per_patch = b.sizes.patch, operations(b.sizes.filters, b.sizes.patch)
    best: dict[str, float] = {}
    for precision in dict.fromkeys(("fp32", b.precision)):
        for batch in b.sizes.steps:
            one, steps = learner(b, side, batch, precision), iter(range(10_000))
            seconds = b.seconds(lambda one=one, steps=steps: one.step(next(steps)))
            rate = batch * per_patch / statistics.median(seconds)
            best[precision] = max(best.get(precision, 0), rate)
            name = f"{batch} × 4 × {side}³, {b.sizes.filters} filters, {precision}"
            note = "fp32 multiplies in TF32" if precision == "fp32" else "channels-last"
            yield b.ms("training step", name, seconds, share=rate / b.product,
                       bound=f"{rate / 1e12:.4g} of {b.product / 1e12:.4g} TFLOP/s",
                       note=note)  # fmt: skip
            if precision == b.precision:
                yield from waiting(b, one, name)
            del one
    yield from compiled_step(b, max(b.sizes.steps), per_patch)
    recipe = Learner(b.cases, Fit(patch=side, precision=b.precision), b.device)
    name, steps = "the default recipe, two patches, intensities changed", iter(range(10_000))
    yield b.ms("training step", name, b.seconds(lambda: recipe.step(next(steps))))
    yield from waiting(b, recipe, name)
    recipe.at_once = 1
    yield from waiting(b, recipe, f"{name}, each step's batch made by itself")
    fastest = max(best.values())
    exact = 3 * 2e9 * table(UNet3d(base_filters=b.sizes.filters), side).gmac * PAPER_PATCHES
    hours = per_patch * PAPER_PATCHES / fastest / 3600
    work = f"the paper's {PAPER_PATCHES:,} patches of {side}³ ({exact / 1e18:.3g} EFLOP), computed"
    note = "by arithmetic from the fastest step that is not compiled; no validation"
    yield Row("training step", work, hours, "hours", note=note)


def compiled_step(b: Bench, batch: int, per_patch: float) -> Iterator[Row]:
    """The largest step by `torch.compile`, which makes one of many passes over each layer."""
    if b.device.type != "cuda":
        return
    one, steps = learner(b, b.sizes.patch, batch, b.precision, True), iter(range(10_000))
    begun = time.perf_counter()
    one.step(next(steps))
    b.wait()
    made = time.perf_counter() - begun
    seconds = b.seconds(lambda: one.step(next(steps)))
    rate = batch * per_patch / statistics.median(seconds)
    name = f"{batch} × 4 × {b.sizes.patch}³, {b.sizes.filters} filters, {b.precision}, compiled"
    yield b.ms("training step", name, seconds, share=rate / b.product,
               bound=f"{rate / 1e12:.4g} of {b.product / 1e12:.4g} TFLOP/s",
               note=f"the first step took {made:.0f} s")  # fmt: skip


def waiting(b: Bench, one: Learner, name: str) -> Iterator[Row]:
    """What share of the time goes when every step gets the same finished batch."""
    numbers, many = itertools.count(), 10

    def run() -> None:
        for _ in range(many):
            one.step(next(numbers))

    ready, shares = one.batch(0), []
    for _ in range(7):  # in turn: a processor is now faster, now slower
        (drawn,) = b.clock(run, runs=1)
        one._batch_of = lambda number: ready
        (given,) = b.clock(run, runs=1)
        del one._batch_of
        shares.append(100 * (1 - given / drawn))
    yield Row("waiting for data", name, statistics.median(shares), "% of the time",
              min(shares), max(shares), bound="at most 3 %")  # fmt: skip


def profile(b: Bench) -> Iterator[Row]:
    """The kernels that a step spends its time in."""
    from torch.profiler import ProfilerActivity
    from torch.profiler import profile as record

    batch = b.sizes.steps[min(1, len(b.sizes.steps) - 1)]
    one = learner(b, b.sizes.patch, batch, b.precision)
    for number in range(3):
        one.step(number)
    b.wait()
    gpu = b.device.type == "cuda"
    activities = [ProfilerActivity.CPU] + [ProfilerActivity.CUDA] * gpu
    with record(activities=activities) as found:
        for number in range(3, 6):
            one.step(number)
        b.wait()
    spent = {}
    for event in found.key_averages():
        # Operators repeat the time of the kernels that they start: on a GPU kernels alone count.
        if not gpu or str(event.device_type).endswith("CUDA"):
            own = event.self_device_time_total if gpu else event.self_cpu_time_total
            spent[event.key] = spent.get(event.key, 0) + own
    total = sum(spent.values()) or 1
    for name, own in sorted(spent.items(), key=lambda pair: -pair[1])[:12]:
        yield Row("profile", f"`{name[:90]}`", own / 3000, "ms a step", share=own / total,
                  bound="of all kernels")  # fmt: skip


def memory(b: Bench) -> Iterator[Row]:
    """Peak memory of a step against the patch's side, and what 16 GB hold."""
    found = []
    for side in b.sizes.sides:
        one = learner(b, side, 1, b.precision)
        resting = torch.cuda.memory_allocated() if b.device.type == "cuda" else 0
        peak = b.peak(lambda one=one: one.step(0))
        del one
        if peak is None:
            continue
        found.append((side, peak))
        yield Row("memory", f"peak of a step, 1 × 4 × {side}³, {b.precision}", peak / 1e9, "GB",
                  note=f"{resting / 1e9:.2g} GB of it volumes, weights, optimiser")  # fmt: skip
    if len(found) < 2:
        return
    sides, peaks = np.array(found).T
    slope = np.polyfit(np.log(sides), np.log(peaks), 1)[0]
    per_voxel, constant = np.polyfit(sides**3, peaks, 1)
    largest = int(np.cbrt((16e9 - constant) / per_voxel)) // 8 * 8
    yield Row("memory", "slope of log peak over log side", slope, "", note="3 is by volume")
    yield Row("memory", "bytes a voxel of the patch", per_voxel, "bytes")
    yield Row("memory", "largest cube in 16 GB, batch of one", largest, "voxels a side",
              note="by the line through the peaks above")  # fmt: skip
    patches = int((16e9 - constant) / (per_voxel * b.sizes.patch**3))
    yield Row("memory", f"most patches of {b.sizes.patch}³ in 16 GB", patches, "patches")


def loss(b: Bench) -> Iterator[Row]:
    """The weighted Dice loss with its gradient: without a one-hot reference, plain, MONAI's."""
    shape = (8, 2, *[b.sizes.patch] * 3)
    logits = torch.randn(shape, device=b.device, requires_grad=True)
    target = (torch.rand(8, *shape[2:], device=b.device) < 0.1).long()
    size = logits.numel() * 4
    kinds = {"fused": WeightedDiceLoss(), "by autograd": WeightedDiceLoss(fused=False)}
    if importlib.util.find_spec("monai"):
        from monai.losses import GeneralizedDiceLoss

        monai = GeneralizedDiceLoss(softmax=True, to_onehot_y=True)
        kinds["MONAI GeneralizedDiceLoss"] = lambda x, t: monai(x, t[:, None])
    for name, function in kinds.items():

        def work(function=function):
            logits.grad = None
            function(logits, target).backward()

        work()
        logits.grad = None
        before = torch.cuda.memory_allocated() if b.device.type == "cuda" else 0
        peak = b.peak(work)
        held = "" if peak is None else f"peak {(peak - before) / size:.2f} × the logits"
        # Read and written at the least: logits and softmax, and softmax and gradient.
        bound = (4 * size + 2 * target.numel() * 8) / b.copy
        seconds = b.seconds(work)
        yield b.ms("loss", f"weighted Dice and gradient, 8 × 2 × {b.sizes.patch}³: {name}", seconds,
                   bound=f"copy: {1000 * bound:.2g} ms", share=bound / statistics.median(seconds),
                   note=held)  # fmt: skip


# --- inference and metrics ------------------------------------------------------------------------


def inference(b: Bench) -> Iterator[Row]:
    case = b.cases[0]
    image, brain = torch.from_numpy(case.image), torch.from_numpy(case.brain)
    torch.manual_seed(0)
    network = UNet3d(base_filters=b.sizes.filters).eval()
    size, results = b.sizes.patch, {}
    name = " × ".join(map(str, b.sizes.shape))
    for precision in dict.fromkeys(("fp32", b.precision)):

        def run(precision=precision):
            results[precision] = sliding_window(
                copy.deepcopy(network), image, size, 0.5, activation="softmax", skip=brain,
                batch=None, device=b.device, precision=precision,
            )  # fmt: skip

        peak = b.peak(run)
        seconds = b.clock(run, runs=3)
        held = "" if peak is None else f"peak {peak / 1e9:.3g} GB on the device"
        yield Row("inference", f"{name}, windows {size}³, overlap ½, {precision}",
                  statistics.median(seconds), "s", min(seconds), max(seconds),
                  bound="8 GB", note=held)  # fmt: skip
    worst = float((results["fp32"] - results[b.precision]).abs().max())
    work = f"largest difference of a probability, {b.precision} and fp32"
    yield Row("inference", work, worst, "")


def monai_inference(b: Bench) -> Iterator[Row]:
    from monai.inferers import sliding_window_inference

    torch.manual_seed(0)
    network = UNet3d(base_filters=b.sizes.filters).eval().to(b.device)
    image = torch.from_numpy(b.cases[0].image)[None]
    size = (b.sizes.patch,) * 3

    @torch.no_grad()
    def run(batch: int, half: bool) -> None:
        kind = torch.bfloat16 if b.precision == "bf16" else torch.float32
        with torch.autocast(b.device.type, kind, enabled=half):
            sliding_window_inference(
                image, size, batch, lambda x: network(x).float().softmax(1), 0.5,
                mode="gaussian", sw_device=b.device, device="cpu",
            )  # fmt: skip

    for half in (False, True):
        seconds = b.clock(lambda half=half: run(4, half), runs=2)
        yield Row("inference", f"MONAI sliding_window_inference, {'autocast' if half else 'fp32'}",
                  statistics.median(seconds), "s", min(seconds), max(seconds))  # fmt: skip


def labels(b: Bench) -> Iterator[Row]:
    """Dice and HD95 of three regions on the device."""
    ref = np.array([0, 2, 1, 3])[b.cases[0].regions]  # MSD: 1 edema, 2 core, 3 enhancing
    ref = np.where(b.cases[0].regions == 1, 1, ref)
    ref[b.cases[0].regions == 2] = 2
    pred = np.roll(ref, (3, 0, 1), (0, 1, 2))
    a, c = (torch.from_numpy(x.astype(np.uint8))[None].to(b.device) for x in (pred, ref))
    expected = metrics.region_counts(pred, "msd", ref, "msd")
    assert tensor_metrics.region_counts(a, "msd", c, "msd") == [expected]
    seconds = b.clock(lambda: tensor_metrics.region_counts(a, "msd", c, "msd"))
    bound = 2 * a.numel() / b.copy
    yield b.ms("metrics", "counts of WT, TC, ET from two label maps", seconds,
               bound=f"reading both: {1000 * bound:.2g} ms",
               share=bound / statistics.median(seconds))  # fmt: skip
    p, r = (to_regions(x, "msd") for x in (pred, ref))
    x, y = (torch.from_numpy(m).to(b.device) for m in (p, r))
    exact = [metrics.hd95(m, n, 1) for m, n in zip(p, r)]
    assert np.allclose(tensor_metrics.hd95(x, y, 1), exact, atol=1e-4)
    seconds = b.clock(lambda: tensor_metrics.hd95(x, y, 1), runs=5)
    yield b.ms("metrics", "HD95 of the three regions, tensors", seconds,
               note=f"equal to the processor's: {', '.join(f'{v:.2f}' for v in exact)} mm"
               )  # fmt: skip
    seconds = b.clock(lambda: [metrics.hd95(m, n, 1) for m, n in zip(p, r)], runs=3)
    yield b.ms("metrics", "HD95 of the three regions, on the processor", seconds)


def monai_labels(b: Bench) -> Iterator[Row]:
    from monai.metrics import compute_dice, compute_hausdorff_distance

    ref = torch.from_numpy(b.cases[0].regions).to(b.device)
    pred = ref.roll((3, 0, 1), (0, 1, 2))

    def run() -> list[float]:
        both = [torch.stack([x >= k for k in (1, 2, 3)])[None].float() for x in (pred, ref)]
        return compute_dice(*both, ignore_empty=False)[0].tolist()

    yield b.ms("metrics", "Dice of three regions, MONAI on the device", b.clock(run))

    def distance() -> list[float]:
        both = [torch.stack([x >= k for k in (1, 2, 3)])[None].float() for x in (pred, ref)]
        found = compute_hausdorff_distance(*both, include_background=True, percentile=95)
        return found[0].tolist()

    yield b.ms("metrics", "HD95 of the three regions, MONAI on the device", b.clock(distance, 3))


SECTIONS = (
    bounds, kernels, patches, loss, labels, training, memory, inference, profile,
    monai_patches, torchio_patches, monai_labels, monai_inference,
)  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--quick", action="store_true", help="small sizes, to try the script")
    parser.add_argument("--only", nargs="+", default=[s.__name__ for s in SECTIONS])
    parser.add_argument("--out", default=os.environ.get("OUT"), help="folder for gpu.json")
    asked = parser.parse_args()
    device = torch.device(asked.device)
    b = Bench(device, QUICK if asked.quick else Sizes())
    gpu = device.type == "cuda"
    about = {
        "device": torch.cuda.get_device_name(device) if gpu else platform.processor(),
        "torch": torch.__version__,
        "python": platform.python_version(),
        "quick": asked.quick,
        "threads": torch.get_num_threads(),
    }
    print(about)
    print(TABLE)
    rows, failed = [], []
    for section in SECTIONS:
        if section.__name__ not in (*asked.only, "bounds"):
            continue
        start = time.perf_counter()
        try:
            for row in section(b):
                rows.append(row)
                print(row, flush=True)
        except ModuleNotFoundError as error:
            print(f"| {section.__name__} | not measured: {error} |", flush=True)
        except Exception:  # one section that fails leaves the others their time on the device
            failed.append(section.__name__)
            traceback.print_exc()
        print(f"{section.__name__}: {time.perf_counter() - start:.1f} s", file=sys.stderr)
        if gpu:
            torch.cuda.empty_cache()
        if asked.out:
            told = {"about": about, "failed": failed, "rows": [asdict(row) for row in rows]}
            Path(asked.out, "gpu.json").write_text(json.dumps(told, indent=1) + "\n")
    if failed:
        sys.exit(f"failed: {', '.join(failed)}")


if __name__ == "__main__":
    main()
