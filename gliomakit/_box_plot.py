"""Scores of many cases: boxes, and every case as a point, for eight points are no box."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from ._axial import QUIET
from ._picture import DARK, LIGHT, canvas
from ._reliability import dark_panel
from .errors import GliomakitError
from .regions import REGION_COLOURS

Values = Mapping[str, Sequence[float]]
"""Region ("wt", "tc", "et") -> one value a case."""


def box_plot(
    panels: Mapping[str, Values],
    intervals: Mapping[str, Mapping[str, tuple[float, float]]] | None = None,
    figure: Figure | None = None,
) -> Figure:
    """One panel a measure, one box a region, one point a case.

    panels:    measure's name -> region -> values; a value that is not finite is left out.
    intervals: measure's name -> region -> bounds of the mean; drawn beside the box.

    A box holds the middle half of the cases, its line is the median, the whiskers reach the last
    case within 1.5 boxes. The diamond is the mean.
    """
    if not panels or not all(panels.values()):
        raise GliomakitError("there are no scores to draw")
    figure = canvas(figure, 0.5 + 3.1 * len(panels), 4.1, DARK)
    tall, wide = figure.get_figheight(), figure.get_figwidth()
    axes = figure.subplots(1, len(panels), squeeze=False)[0]
    figure.subplots_adjust(left=0.55 / wide, right=1 - 0.12 / wide, wspace=0.24)
    figure.subplots_adjust(bottom=0.85 / tall, top=1 - 0.4 / tall)
    said = []
    for panel, (title, values) in zip(axes, panels.items()):
        dark_panel(panel)
        panel.set_title(title, color=LIGHT, fontsize=12)
        found = {region: _finite(one) for region, one in values.items()}
        bounds = (intervals or {}).get(title, {})
        for place, (region, scores) in enumerate(found.items()):
            if scores.size:
                _box(panel, place, scores, REGION_COLOURS[region], bounds.get(region))
                said.append(f"{title} {region.upper()} median {np.median(scores):.3g}")
        panel.set_xlim(-0.6, len(found) - 0.4)
        panel.set_xticks(
            range(len(found)), [f"{r.upper()}\nn = {len(s)}" for r, s in found.items()]
        )
        panel.tick_params(axis="x", colors=LIGHT, length=0)
        every = np.concatenate(list(found.values()))
        share = every.size == 0 or (every.min() >= 0 and every.max() <= 1)
        panel.set_ylim(0, 1.02 if share else 1.08 * every.max())
    _legend(figure, bool(intervals))
    figure.alt = f"Boxes with one point a case: {', '.join(said) or 'nothing to show'}"
    return figure


def _box(
    panel: Axes, place: int, scores: np.ndarray, colour: str, bounds: tuple[float, float] | None
) -> None:
    line = {"color": colour, "linewidth": 1.4}
    panel.boxplot(
        scores, positions=[place - 0.08], widths=0.36, showfliers=False, manage_ticks=False,
        boxprops=line, whiskerprops=line, capprops=line, medianprops=line | {"linewidth": 2.4},
    )  # fmt: skip
    # Beside one another by rank, not at random: the same data give the same picture.
    ranks = scores.argsort().argsort()
    x = place - 0.08 + 0.12 * (ranks * 0.618 % 1 - 0.5)
    panel.scatter(x, scores, s=17, color=LIGHT, alpha=0.85, linewidths=0, zorder=3, clip_on=False)
    x = place + 0.25
    if bounds is not None:
        panel.plot([x, x], bounds, color=LIGHT, linewidth=1.6)
    panel.scatter(x, scores.mean(), s=34, marker="D", color=colour, zorder=3, clip_on=False)


def _finite(values: Sequence[float]) -> np.ndarray:
    found = np.asarray(values, float)
    return found[np.isfinite(found)]


def _legend(figure: Figure, intervals: bool) -> None:
    mean = "mean and its interval" if intervals else "mean"
    marks = [
        Line2D([], [], color=LIGHT, marker="o", markersize=4.5, linestyle="", label="one case"),
        Line2D([], [], color=QUIET, linewidth=2.4, label="median, in its box"),
        Line2D(
            [], [], color=QUIET, marker="D", markersize=6, linestyle="-" if intervals else "",
            label=mean,
        ),
    ]  # fmt: skip
    figure.legend(
        handles=marks, loc="lower left", ncols=3, frameon=False, labelcolor=LIGHT, fontsize=10
    )
