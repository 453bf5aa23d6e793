"""Run the benchmarks and write benchmarks/README.md: `make bench`, or `make bench ARGS=--quick`.

One topic a module. `rows(quick)` yields comparisons with peers, `facts(quick)` lines beside limits;
a topic has one or both. Sides of a comparison run in turn, so that a machine whose speed drifts
slows both. What a GPU does is measured by `benchmarks.gpu`.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import time
from collections.abc import Iterable
from pathlib import Path

import torch

from gliomakit.device import fast_precision

from . import gpu, inference, loading, losses, metrics, patches, plots, scaling, tracking, widgets
from .compare import HEAD, heading, markdown

COMPARED = (metrics, patches, losses, inference)
GPU = Path(__file__).with_name("gpu.json")
LIMITS = "| work | measured | limit |\n|---|---|---|"
GROWTH = "| work | against | measured | slope |\n|---|---|---|---|"
FACTS = (
    ("Memory of the loss:", LIMITS, losses.facts),
    ("Training and inference:", LIMITS, inference.facts),
    ("Loading:", LIMITS, loading.facts),
    ("How the cost grows, the slope of its logarithm over that of the size:", GROWTH,
     scaling.facts),
    ("Tracking, against the limits of its issue:", LIMITS, tracking.facts),
    ("Widgets, from a moved control to the packed picture:", LIMITS, widgets.facts),
)  # fmt: skip


def on_a_gpu() -> list[str]:
    """What `python -m benchmarks.gpu` measured last, on whatever GPU there was then."""
    told = json.loads(GPU.read_text(encoding="utf-8"))
    about = told["about"]
    return [
        "## On a GPU",
        "",
        f"{about['device']}, torch {about['torch']}, Python {about['python']}; command: "
        "`python -m benchmarks.gpu`, kept in gpu.json. In brackets the smallest and the largest "
        "value. A negative share of waiting says that runs differed by more than the data takes. "
        "One thing has changed since, not measured on a GPU: a batch of one step takes its plan "
        "without cutting views of a table first, which cost the processor time for each batch "
        "(“drawn, planned and cut”). MONAI's HD95 on a GPU: not measured.",
        "",
        gpu.TABLE,
        *(str(gpu.Row(**row)) for row in told["rows"]),
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--quick", action="store_true", help="smaller networks and volumes")
    parser.add_argument("--only", nargs="+", metavar="TOPIC", help="print these, write nothing")
    asked = parser.parse_args()
    started, lines = time.perf_counter(), []

    def tell(new: Iterable[str]) -> None:
        for line in new:
            lines.append(line)
            print(line, flush=True)

    tell([heading(asked.quick), HEAD])
    for topic in COMPARED:
        name = topic.__name__.rpartition(".")[2]
        if asked.only and name not in asked.only:
            continue
        found = []
        for comparison in topic.rows(asked.quick):
            found.append(comparison)
            tell([markdown(comparison)])
        plots.bar_plot(name, found)
    for title, head, facts in FACTS:
        if not asked.only or facts.__module__.rpartition(".")[2] in asked.only:
            tell(["", title, "", head])
            tell(facts(asked.quick))
    minutes = (time.perf_counter() - started) / 60
    threads = torch.get_num_threads()
    where = f"{os.cpu_count()} cores ({platform.machine()}), {threads} threads, torch "
    where += f"{torch.__version__}, {'native' if fast_precision('cpu') == 'bf16' else 'no'} bf16"
    tell(["", f"{where}, {minutes:.1f} minutes.", ""])
    if not asked.only:
        tell([*on_a_gpu(), ""])
        Path(__file__).with_name("README.md").write_text("\n".join(lines), encoding="utf-8")


if __name__ == "__main__":
    main()
