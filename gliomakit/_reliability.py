"""The reliability diagram: predicted probability against what was there."""

from __future__ import annotations

from collections.abc import Mapping

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ._axial import QUIET
from ._picture import DARK, LIGHT, canvas
from .errors import GliomakitError
from .metrics import Reliability
from .regions import REGION_COLOURS, REGION_NAMES


def reliability(tables: Mapping[str, Reliability], figure: Figure | None = None) -> Figure:
    """Mean predicted probability against the observed share, and the voxels behind each bin.

    tables: region ("wt", "tc", "et") -> table of `metrics.calibration`. On the dashed line a
    probability means what it says; below it the network promises too much.
    """
    if not tables:
        raise GliomakitError("there is no table to draw")
    figure = canvas(figure, 0.7 + 3.4 * len(tables), 4.9, DARK)
    panels = figure.subplots(2, len(tables), squeeze=False, sharex=True, height_ratios=[3, 1])
    side = 0.7 / figure.get_figwidth()
    figure.subplots_adjust(left=side, right=0.985, bottom=0.115, top=0.92, hspace=0.08, wspace=0.2)
    most = max(max(table["n"]) for table in tables.values())
    for above, below, (region, table) in zip(*panels, tables.items()):
        _curve(above, region, table)
        _counts(below, region, table, most)
    panels[0][0].set_ylabel("observed share", color=LIGHT)
    panels[1][0].set_ylabel("voxels", color=LIGHT)
    said = ", ".join(f"{region.upper()} {table['ece']:.3f}" for region, table in tables.items())
    figure.alt = (
        "Reliability diagram: observed share of each region against mean predicted probability, "
        f"with the number of voxels in each bin below; expected calibration error {said}"
    )
    return figure


def _curve(panel: Axes, region: str, table: Reliability) -> None:
    dark_panel(panel)
    panel.set(xlim=(0, 1), ylim=(0, 1), xticks=(0, 0.5, 1), yticks=(0, 0.5, 1))
    panel.set_title(REGION_NAMES[region], color=LIGHT, fontsize=12)
    panel.plot([0, 1], [0, 1], color=QUIET, linestyle="--", linewidth=1, label="ideal")
    points = [p for p in zip(table["probability"], table["observed"]) if p[0] is not None]
    line = {"color": REGION_COLOURS[region], "marker": "o", "markersize": 4.5, "clip_on": False}
    panel.plot(*(zip(*points) if points else ([], [])), label=f"ECE {table['ece']:.3f}", **line)
    panel.legend(loc="upper left", frameon=False, labelcolor=LIGHT, fontsize=10.5)


def _counts(panel: Axes, region: str, table: Reliability, most: int) -> None:
    dark_panel(panel)
    edges = table["edges"]
    widths = [0.9 * (b - a) for a, b in zip(edges, edges[1:])]
    middles = [(a + b) / 2 for a, b in zip(edges, edges[1:])]
    # Nearly all voxels are easy ones, far from any tumour: only a logarithm shows the other bins.
    panel.set_yscale("log")
    panel.set_ylim(1, 3 * max(most, 1))
    panel.bar(middles, table["n"], widths, color=REGION_COLOURS[region], alpha=0.75)
    panel.set_xlabel("predicted probability", color=LIGHT)


def dark_panel(panel: Axes) -> None:
    """Axes for a dark ground."""
    panel.set_facecolor(DARK)
    panel.tick_params(which="both", colors=QUIET, labelsize=9.5)
    panel.spines[:].set_color(QUIET)
    panel.spines[["top", "right"]].set_visible(False)
