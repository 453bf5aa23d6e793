"""What logging costs beside a training step, and how long many runs take to open."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from gliomakit import Fit
from gliomakit._learner import Learner
from gliomakit.device import pick_device
from gliomakit.phantom.prepared import prepared_phantoms
from gliomakit.tracking import read_runs, runs_table, start_run
from gliomakit.tracking._plain import PlainRun
from gliomakit.tracking.dashboard import write_page

RUNS, STEPS = 200, 2000


SMALLEST = Fit(network="LightUNet3d", base_filters=8, regions=("wt",), patch=32)
"""The cheapest step of the course, lesson 10's: logging weighs most beside it."""


def step_seconds(folder: Path) -> float:
    """Median seconds of a training step of `SMALLEST`."""
    cases = prepared_phantoms(folder, [0], spacing=4.0)
    learner = Learner(cases, SMALLEST, pick_device(None))
    seconds = []
    for number in range(20):
        begun = time.perf_counter()
        learner.step(number)
        seconds.append(time.perf_counter() - begun)
    return float(np.median(seconds[1:]))


def append_seconds(folder: Path, count: int = 5000) -> float:
    """Seconds of one value logged, flushed once a hundred values."""
    with start_run("cost", folder) as run:
        series = run["metrics/train/loss"]
        begun = time.perf_counter()
        for step in range(count):
            series.append(0.5, step=step)
            if step % 100 == 99:
                run.wait()
        return (time.perf_counter() - begun) / count


def many_runs(folder: Path) -> None:
    """As many runs as a term's course leaves."""
    rng = np.random.default_rng(0)
    for number in range(RUNS):
        run = PlainRun(folder, f"run {number}")
        run["parameters"] = {"rate": float(10 ** rng.uniform(-4, -1)), "filters": number % 4 * 8}
        for step, value in enumerate(rng.random(STEPS)):
            run["metrics/train/loss"].append(value, step=step)
        run.stop()


def facts(quick: bool = False) -> Iterator[str]:
    """Lines of a table: what, measured, limit."""
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        step, append = step_seconds(folder / "cache"), append_seconds(folder / "one")
        yield (
            f"| one value logged, of a training step ({step * 1e3:.0f} ms) | "
            f"{append * 1e6:.0f} µs, {append / step:.4%} | 1 % |"
        )
        many_runs(folder / "many")
        begun = time.perf_counter()
        table = runs_table(folder / "many")
        seconds = time.perf_counter() - begun
        assert len(table) == RUNS
        yield f"| {RUNS} runs × {STEPS} steps as a table | {seconds:.2f} s | 2 s |"
        begun = time.perf_counter()
        page = write_page(read_runs(folder / "many"), folder / "page.html")
        seconds = time.perf_counter() - begun
        size = page.stat().st_size / 1e6
        yield f"| the same as a page | {seconds:.2f} s, {size:.1f} MB | 6 s, 5 MB |"
