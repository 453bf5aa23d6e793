"""Intensities of several patients: one panel a way of scaling them."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from matplotlib.figure import Figure

from ._curves import look
from ._picture import DARK, LIGHT, canvas
from ._reliability import dark_panel
from .errors import GliomakitError

BINS = 60


def histograms(
    panels: Mapping[str, Mapping[str, np.ndarray]], figure: Figure | None = None
) -> Figure:
    """Histograms as lines, each with an area of 1.

    panels: the panel's title -> patient -> values. A panel's axis ends at its percentiles 0.2 and
            99.8, so that a few bright voxels do not squeeze the rest.
    """
    if not panels or not all(panels.values()):
        raise GliomakitError("there are no values to draw")
    names = list(dict.fromkeys(name for group in panels.values() for name in group))
    figure = canvas(figure, 4.1 * len(panels) + 0.2, 3.4, DARK)
    axes = figure.subplots(1, len(panels), squeeze=False)[0]
    figure.subplots_adjust(left=0.02, right=0.985, bottom=0.27, top=0.89, wspace=0.08)
    for axis, (title, group) in zip(axes, panels.items()):
        dark_panel(axis)
        axis.set_title(title, color=LIGHT, fontsize=11)
        axis.set_yticks([])
        axis.spines["left"].set_visible(False)
        low, high = np.percentile(np.concatenate([_some(v) for v in group.values()]), (0.2, 99.8))
        edges = np.linspace(low, max(high, low + 1e-6), BINS + 1)
        for name, values in group.items():
            share, _ = np.histogram(values, edges, density=True)
            middles = (edges[:-1] + edges[1:]) / 2
            axis.plot(middles, share, linewidth=1.5, label=name, **look(names.index(name)))
        axis.set_xlim(edges[0], edges[-1])
        axis.set_ylim(bottom=0)
    handles = {n: h for axis in axes for h, n in zip(*axis.get_legend_handles_labels())}
    figure.legend(
        handles.values(), handles, loc="lower center", ncols=min(4, len(handles)), frameon=False,
        labelcolor=LIGHT, fontsize=9.5,
    )  # fmt: skip
    figure.alt = f"Histograms of {len(names)} patients; panels: {', '.join(panels)}"
    return figure


def _some(values: np.ndarray) -> np.ndarray:
    """Every k-th value: enough for a percentile, and no patient outweighs the others."""
    values = np.ravel(values)
    return values[:: max(1, values.size // 20_000)]
