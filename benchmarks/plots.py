"""One picture a topic, in build/bench."""

from __future__ import annotations

import statistics
import textwrap
from collections.abc import Sequence
from pathlib import Path

from matplotlib.figure import Figure
from matplotlib.ticker import NullLocator

from .compare import Comparison

FOLDER = Path(__file__).resolve().parent.parent / "build" / "bench"


def bar_plot(topic: str, rows: Sequence[Comparison]) -> Path:
    """Ours, the peers and the bound of each row, ms on a logarithmic axis."""
    names, values, colours = [], [], []
    for row in rows:
        for who, times, colour in (
            (f"{row.work}: ours", row.ours, "#0072B2"),
            (row.peer, row.theirs, "#b9c2cc"),
            (f"bound: {row.bound}", row.least, "#E69F00"),
        ):
            if times:
                names.append(textwrap.fill(who, 50))
                values.append(1000 * statistics.median(times))
                colours.append(colour)
    figure = Figure((10, 0.8 + 0.4 * len(names)), layout="constrained")
    panel = figure.subplots()
    # Not by name: a peer has a bar in each of its rows.
    places = range(len(names))
    panel.barh(places, values, color=colours)
    panel.set_yticks(places, names, fontsize=9)
    panel.invert_yaxis()
    panel.set(xscale="log", xlabel="ms, median", title=topic)
    return _saved(figure, topic)


def curve_plot(curves: Sequence) -> Path:
    """Seconds against sizes, both logarithmic."""
    figure = Figure((3.4 * len(curves), 3.4), layout="constrained")
    for panel, curve in zip(figure.subplots(1, len(curves), squeeze=False)[0], curves):
        panel.loglog(curve.sizes, [1000 * s for s in curve.seconds], "o-", color="#0072B2")
        names = [f"{size:g}" if size < 1e4 else f"{size:.0e}" for size in curve.sizes]
        panel.set_xticks(curve.sizes, names, fontsize=8)
        panel.xaxis.set_minor_locator(NullLocator())
        panel.set(xlabel=curve.against, ylabel="ms", title=f"{curve.work}\nslope {curve.slope:.2f}")
    return _saved(figure, "scaling")


def _saved(figure: Figure, name: str) -> Path:
    FOLDER.mkdir(parents=True, exist_ok=True)
    path = FOLDER / f"{name}.png"
    figure.savefig(path, dpi=110)
    return path
