"""Run the benchmarks and write benchmarks/README.md: `make bench`.

One topic a module; each has `rows()`, which yields rows of `Comparison`. Sides of a comparison run
in turn, so that a machine whose speed drifts slows both.
"""

from __future__ import annotations

import os
import platform
from pathlib import Path

from . import metrics, patches, tracking, widgets
from .compare import heading, markdown

TOPICS = (metrics, patches)


def main() -> None:
    lines = [
        heading(),
        "| work | ours, ms | peer | peer, ms | peer / ours |",
        "|---|---|---|---|---|",
    ]
    for topic in TOPICS:
        for comparison in topic.rows():
            lines.append(markdown(comparison))
            print(lines[-1], flush=True)
    lines += ["", "Tracking, against the limits of its issue:", ""]
    lines += ["| work | measured | limit |", "|---|---|---|"]
    for line in tracking.facts():
        lines.append(line)
        print(line, flush=True)
    lines += ["", "Widgets, from a moved control to the packed picture:", ""]
    lines += ["| work | measured | limit |", "|---|---|---|"]
    for line in widgets.facts():
        lines.append(line)
        print(line, flush=True)
    lines += ["", f"{os.cpu_count()} cores ({platform.machine()}), command: `make bench`.", ""]
    Path(__file__).with_name("README.md").write_text("\n".join(lines))


if __name__ == "__main__":
    main()
