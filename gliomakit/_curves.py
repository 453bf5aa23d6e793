"""Curves of runs, and parameters against a score: what a dashboard in a notebook draws."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ._axial import QUIET
from ._picture import DARK, LIGHT, canvas
from ._reliability import dark_panel

COLOURS = ("#56B4E9", "#E69F00", "#2FBF8F", "#E58AC0", "#F0E442", "#D55E00", "#8FA6FF")
DASHES = ("-", "--", ":", "-.")
"""Of Okabe and Ito (2008), bright enough for black; dashes tell further runs apart."""

Curve = tuple[Sequence[float], Sequence[float]]
"""Steps and values."""


def look(number: int) -> dict[str, object]:
    """How the run of that number is drawn, wherever it is."""
    return {
        "color": COLOURS[number % len(COLOURS)],
        "linestyle": DASHES[number // len(COLOURS) % len(DASHES)],
    }


def smoothed(values: Sequence[float], weight: float) -> np.ndarray:
    """Exponential mean, without the pull of its beginning; a gap (NaN) stays a gap.

    >>> smoothed([1.0, 1.0, float("nan"), 4.0], 0.5).round(2).tolist()
    [1.0, 1.0, nan, 2.71]
    """
    mean = norm = 0.0
    found = np.full(len(values), np.nan)
    for i, value in enumerate(values):
        if math.isfinite(value):
            mean = weight * mean + (1 - weight) * value
            norm = weight * norm + (1 - weight)
            found[i] = mean / norm
    return found


def curves(
    runs: Mapping[str, Mapping[str, Curve]],
    smooth: float = 0.0,
    logarithmic: bool | Collection[str] = False,
    looks: Mapping[str, dict[str, object]] | None = None,
    figure: Figure | None = None,
    across: str = "step",
) -> Figure:
    """One panel a metric, one line a run.

    runs:   run's name -> metric -> (steps, values); values may hold NaN, which is a gap.
    smooth: weight of the past in an exponential mean, in [0, 1); the raw curve stays, faintly.
    logarithmic: the vertical axes of all panels, or of these metrics.
    looks:  how a run is drawn (`look`); by default in the order of the runs.
    across: what the horizontal axes show.
    """
    metrics = sorted({metric for found in runs.values() for metric in found})
    columns = min(3, max(1, len(metrics)))
    rows = max(1, math.ceil(len(metrics) / columns))
    figure = canvas(figure, 4.2 * columns + 0.2, 2.9 * rows + 0.6, DARK)
    panels = figure.subplots(rows, columns, squeeze=False).ravel()
    for panel, metric in zip(panels, metrics):
        dark_panel(panel)
        panel.set_title(metric, color=LIGHT, fontsize=11)
        panel.set_xlabel(across, color=LIGHT, fontsize=9)
        if metric in logarithmic if isinstance(logarithmic, Collection) else logarithmic:
            panel.set_yscale("log")
        for number, (name, found) in enumerate(runs.items()):
            if metric in found:
                style = looks[name] if looks else look(number)
                _line(panel, *found[metric], smooth, name, style)
    for panel in panels[len(metrics) :]:
        panel.set_axis_off()
    handles, names = _legend(panels)
    side_by_side = _fitting(names, figure.get_figwidth())
    lines = max(1, math.ceil(len(names) / side_by_side))
    figure.subplots_adjust(
        left=0.72 / figure.get_figwidth(),
        right=0.985,
        top=1 - 0.35 / figure.get_figheight(),
        bottom=(0.72 + 0.2 * lines) / figure.get_figheight(),
        hspace=0.5,
        wspace=0.28,
    )
    figure.legend(
        handles,
        names,
        loc="lower left",
        ncols=side_by_side,
        frameon=False,
        labelcolor=LIGHT,
        fontsize=10,
    )
    figure.alt = f"Curves of {', '.join(metrics) or 'nothing'} for {', '.join(runs) or 'no run'}"
    return figure


def parallel(
    rows: Mapping[str, Mapping[str, object]],
    axes: Sequence[str],
    looks: Mapping[str, dict[str, object]] | None = None,
    figure: Figure | None = None,
    logarithmic: Collection[str] | None = None,
) -> Figure:
    """One vertical axis a parameter, the score last; one line a run.

    rows: run's name -> value by axis, a number or a word; what is missing breaks the line.
    axes: names, from left to right.
    logarithmic: which axes are; None takes those whose values span much.
    """
    figure = canvas(figure, max(6.0, 1.9 * len(axes)), 3.6, DARK)
    panel = figure.add_axes((0.07, 0.07, 0.86, 0.78))
    panel.set_facecolor(DARK)
    panel.set(xlim=(-0.1, max(len(axes) - 1, 1) + 0.25), ylim=(-0.05, 1.05), yticks=[])
    panel.set_xticks(range(len(axes)), [name.removeprefix("parameters/") for name in axes])
    panel.xaxis.tick_top()
    panel.tick_params(colors=LIGHT, length=0)
    panel.spines[:].set_visible(False)
    places = {}
    for axis in axes:
        forced = None if logarithmic is None else axis in logarithmic
        places[axis] = _places([row.get(axis) for row in rows.values()], forced)
    for x, axis in enumerate(axes):
        panel.axvline(x, color=QUIET, linewidth=1)
        for value, y in _marks(places[axis]):
            ground = {"facecolor": DARK, "edgecolor": "none", "alpha": 0.75, "pad": 1}
            words = {"color": LIGHT, "fontsize": 9, "va": "center", "zorder": 5, "bbox": ground}
            panel.text(x + 0.04, y, value, **words)
    for number, (name, row) in enumerate(rows.items()):
        heights = [places[axis].get(_key(row.get(axis)), np.nan) for axis in axes]
        style = looks[name] if looks else look(number)
        panel.plot(range(len(axes)), heights, marker="o", markersize=4, label=name, **style)
    figure.alt = f"Parallel view of {', '.join(axes)} for {len(rows)} runs"
    return figure


def _line(
    panel: Axes,
    steps: Sequence[float],
    values: Sequence[float],
    smooth: float,
    name: str,
    style: dict[str, object],
) -> None:
    values = np.asarray(values, float)
    if smooth:
        panel.plot(steps, values, linewidth=1, alpha=0.25, **style)
        values = smoothed(values, smooth)
    mark = "o" if len(values) == 1 else None
    panel.plot(steps, values, linewidth=1.8, marker=mark, label=name, **style)


def _legend(panels: Sequence[Axes]) -> tuple[list, list[str]]:
    found = {}
    for panel in panels:
        for handle, name in zip(*panel.get_legend_handles_labels()):
            found.setdefault(name, handle)
    return list(found.values()), list(found)


def _fitting(names: Sequence[str], width: float) -> int:
    """How many entries of the legend, four at most, stand side by side in so many inches.

    >>> _fitting(["one", "two"], 4.4), _fitting(["a rather long name", "two"], 4.4)
    (4, 2)
    """
    each = 0.6 + 0.075 * max(map(len, names), default=0)
    return min(4, max(1, int(width / each)))


def _key(value: object) -> object:
    return value if isinstance(value, int | float) else None if value is None else str(value)


def _places(values: Sequence[object], logarithmic: bool | None = None) -> dict[object, float]:
    """Where each value stands between 0 and 1: numbers by size (their logarithm, if that is asked
    for, or if they span much and nothing is said), words in order."""
    found = {_key(value) for value in values} - {None}
    numbers = [v for v in found if isinstance(v, int | float) and math.isfinite(v)]
    if found and len(numbers) == len(found):
        low, high = min(numbers), max(numbers)
        if logarithmic is None:
            logarithmic = low > 0 and high / low > 30
        scale = math.log if logarithmic and low > 0 else float
        span = scale(high) - scale(low) or 1
        return {v: (scale(v) - scale(low)) / span for v in numbers}
    words = sorted(found, key=str)
    return {word: i / max(len(words) - 1, 1) for i, word in enumerate(words)}


def _marks(places: Mapping[object, float]) -> list[tuple[str, float]]:
    items = sorted(places.items(), key=lambda item: item[1])
    if items and not isinstance(items[0][0], str):
        items = [items[0], items[-1]] if len(items) > 1 else items
    shown = [(f"{v:.4g}" if isinstance(v, float) else str(v)[:18], y) for v, y in items]
    return shown[:12]
