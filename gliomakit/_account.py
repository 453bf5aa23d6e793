"""A U-Net drawn as it runs, and below each layer what it holds and what it costs."""

from __future__ import annotations

from math import log2

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import FancyArrowPatch, Patch, Rectangle

from ._axial import QUIET
from ._layers import Row, Table
from ._picture import DARK, LIGHT, canvas
from ._reliability import dark_panel
from .errors import GliomakitError

PARTS = {"going down": "#56B4E9", "the bottom": "#E69F00", "going up": "#2FBF8F"}
TALL = 1.15
"""Height of the largest side's boxes, where levels are 1 apart."""


def account(rows: Table, figure: Figure | None = None) -> Figure:
    """The U of a U-Net's layers; below, aligned, parameters and multiplications of each layer.

    rows: from `unet.table` of `UNet3d` or `ClassicalUNet`; layers named `en1_conv1` and so on.
    A box's height is the side of what the layer gives; the number above it counts channels.
    Normalisation layers are left out: they are too small to be seen.
    """
    layers = [row for row in rows if "norm" not in row.kind]
    if not layers or not all(row.layer.startswith(("en", "de")) for row in layers):
        raise GliomakitError("the rows of a U-Net are wanted", todo="give unet.table(UNet3d())")
    figure = canvas(figure, 12, 6.6, DARK)
    panels = figure.subplots(
        3, 1, sharex=True, gridspec_kw={"height_ratios": [2.5, 1, 1], "hspace": 0.16}
    )
    figure.subplots_adjust(left=0.075, right=0.99, bottom=0.15, top=0.985)
    lowest = min(row.side for row in layers)
    colours = [_colour(row, lowest) for row in layers]
    _draw_u(panels[0], layers, colours)
    _bars(panels[1], [row.parameters / 1e6 for row in layers], colours, "parameters,\nmillions")
    _bars(panels[2], [row.gmac or 0 for row in layers], colours, "GMAC")
    panels[2].set_xticks(range(len(layers)), [row.layer for row in layers], rotation=55, ha="right")
    panels[2].tick_params(axis="x", colors=LIGHT, labelsize=9.5)
    handles = [Patch(color=colour, label=part) for part, colour in PARTS.items()]
    panels[0].legend(
        handles=handles, loc="lower right", frameon=False, labelcolor=LIGHT, fontsize=11
    )
    most, dear = max(layers, key=lambda r: r.parameters), max(layers, key=lambda r: r.gmac or 0)
    figure.alt = (
        f"A U-Net of {len(layers)} layers drawn as a U, with bars below: most parameters lie in "
        f"{most.layer} ({most.parameters:,} of {rows.parameters:,}), most work in {dear.layer} "
        f"({dear.gmac:.1f} of {rows.gmac:.1f} GMAC)"
    )
    return figure


def _colour(row: Row, lowest: int) -> str:
    """The bottom's transposed convolution belongs to the bottom, though it doubles the side."""
    down, bottom, up = PARTS.values()
    if row.layer.startswith("en"):
        return down
    return bottom if row.side == lowest or row.side == 2 * lowest and _is_up(row) else up


def _is_up(row: Row) -> bool:
    return row.kind.startswith("transposed")


def _draw_u(panel: Axes, layers: list[Row], colours: list[str]) -> None:
    panel.set_facecolor(DARK)
    panel.spines[:].set_visible(False)
    largest = max(row.side for row in layers)
    levels = max(log2(largest / row.side) for row in layers)
    panel.set(xlim=(-0.9, len(layers) - 0.4), ylim=(-levels - 0.55, 0.95), yticks=[])
    panel.tick_params(axis="x", length=0)
    tops = {}
    for x, (row, colour) in enumerate(zip(layers, colours)):
        middle, high = -log2(largest / row.side), TALL * max(row.side / largest, 0.09)
        style = {"facecolor": colour, "alpha": 0.45 if _is_up(row) else 0.95}
        panel.add_patch(Rectangle((x - 0.3, middle - high / 2), 0.6, high, **style))
        words = {"color": LIGHT, "fontsize": 9.5, "ha": "center", "va": "bottom"}
        panel.text(x, middle + high / 2 + 0.04, str(row.channels), **words)
        tops[row.layer] = (x, middle)
    for side in sorted({row.side for row in layers}):
        words = {"color": QUIET, "fontsize": 10, "ha": "right", "va": "center"}
        panel.text(-0.55, -log2(largest / side), f"side {side}", **words)
    for name, (x, y) in tops.items():
        to = tops.get(name.replace("en", "de").replace("conv2", "conv1"))
        if name.startswith("en") and name.endswith("conv2") and to:
            arrow = {"color": QUIET, "linestyle": "--", "arrowstyle": "-|>", "mutation_scale": 12}
            panel.add_patch(FancyArrowPatch((x + 0.35, y), (to[0] - 0.35, y), **arrow))


def _bars(panel: Axes, values: list[float], colours: list[str], what: str) -> None:
    dark_panel(panel)
    panel.bar(range(len(values)), values, 0.6, color=colours)
    panel.set_ylim(0, 1.22 * max(values))
    panel.set_ylabel(what, color=LIGHT)
    for x, value in enumerate(values):
        if value >= 0.1 * max(values):
            words = {"color": LIGHT, "fontsize": 9, "ha": "center", "va": "bottom"}
            panel.text(x, value, f"{value:.1f}", **words)
