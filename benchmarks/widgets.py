"""How long a widget takes from a moved control to the packed picture: control, artists, drawing,
PNG. On a phantom at 1 mm (240 × 240 × 155), one thread."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator

import numpy as np
from scipy import ndimage

from gliomakit.course.explorers import (
    loss_explorer,
    patch_explorer,
    rate_explorer,
    threshold_explorer,
)
from gliomakit.course.viewer import case_viewer
from gliomakit.course.widgets import Browser
from gliomakit.preprocess import prepare

from .metrics import case

LIMIT, RUNS = 100, 15  # ms; redraws


def widgets() -> Iterator[tuple[str, Browser, Callable[[Browser, int], None]]]:
    """Name, widget, and what moves it for the i-th time."""
    exam = case()
    moved = np.roll(exam.regions(), (3, 0, 1), (1, 2, 3))
    viewer = case_viewer(exam, [moved])
    yield "case viewer, outlines", viewer, lambda w, i: w.set(z=70 + i)
    viewer.set(reference="fill", prediction="fill", wt=0.5)
    yield "case viewer, fill", viewer, lambda w, i: w.set(z=70 + i)
    yield "patches of 32³", patch_explorer(prepare(exam)), lambda w, i: w.set(foreground=i / RUNS)
    yield "losses", loss_explorer(), lambda w, i: w.set(across=i)
    soft = np.stack([ndimage.gaussian_filter(m.astype(np.float32), 2) for m in moved])
    chosen = threshold_explorer(exam, np.clip(soft, 0, 1))
    yield "threshold", chosen, lambda w, i: w.set(threshold=0.2 + 0.04 * i)
    chosen.set(min_wt_ml=0.1)
    yield "smallest piece", chosen, lambda w, i: w.set(min_wt_share=0.05 * i)
    yield "schedules", rate_explorer(), lambda w, i: w.set(rise=0.05 + 0.05 * i)
    yield "schedules, another scale", rate_explorer(), lambda w, i: w.set(steps=500 + 100 * i)


def facts(quick: bool = False) -> Iterator[str]:
    """Rows: the median of `RUNS` redraws by the clock, and by the processor's time alone, which
    other programs disturb less."""
    for name, widget, move in widgets():
        clock, work = [], []
        for i in range(1, RUNS + 1):
            begun, spent = time.perf_counter(), time.process_time()
            move(widget, i)
            clock.append(time.perf_counter() - begun)
            work.append(time.process_time() - spent)
        ms, cpu = (1000 * statistics.median(s) for s in (clock, work))
        yield f"| {name}: a redraw | {ms:.0f} ms ({cpu:.0f} ms of processor time) | {LIMIT} ms |"


if __name__ == "__main__":
    for line in facts():
        print(line, flush=True)
