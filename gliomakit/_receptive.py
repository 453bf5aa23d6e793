"""What one output voxel of a network depends on: its gradient, and the box that was computed."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from ._axial import QUIET
from ._picture import DARK, LIGHT, canvas
from ._reliability import dark_panel
from .errors import GliomakitError

BOX, PATCH, VOXEL = "#E69F00", "#56B4E9", "#F0E442"
Range = tuple[int, int]
"""First and last voxel along an axis."""


def receptive(
    gradient: np.ndarray,
    voxel: Sequence[int],
    box: Sequence[Range],
    patch: int | None = 64,
    floor: float = 1e-5,
    figure: Figure | None = None,
) -> Figure:
    """The slice of a gradient through the voxel whose output was differentiated, and a profile.

    gradient: (x, y, z), absolute value of d output / d input.
    voxel:    x, y, z of the output voxel.
    box:      for x and y the first and last voxel that it can depend on, from `seen_range`.
    patch:    side of a training patch around the voxel, drawn for comparison; None draws none.
    floor:    share of the largest gradient below which nothing is drawn.
    """
    gradient = np.asarray(gradient, float)
    if gradient.ndim != 3 or len(voxel) != 3 or not gradient.max() > 0:
        raise GliomakitError("a gradient (x, y, z) that is somewhere above 0 is wanted")
    share = gradient / gradient.max()
    x, y, z = voxel
    figure = canvas(figure, 10.4, 4.7, DARK)
    left, right = figure.subplots(1, 2, gridspec_kw={"width_ratios": [1, 1.15], "wspace": 0.3})
    figure.subplots_adjust(left=0.065, right=0.985, bottom=0.2, top=0.9)
    _slice(left, share[:, :, z], (x, y), box, patch, floor)
    _profile(right, share.max(axis=(1, 2)), x, box[0], patch, floor)
    handles = left.patches + left.lines
    figure.legend(
        handles=handles,
        loc="lower center",
        ncols=3,
        frameon=False,
        labelcolor=LIGHT,
        fontsize=10.5,
    )
    seen = np.flatnonzero(share.max(axis=(1, 2)))
    figure.alt = (
        f"Gradient of the output at voxel {tuple(int(v) for v in voxel)}, bright in the middle and "
        f"fading outward, and its largest value along x: not zero from {seen[0]} to {seen[-1]}; "
        f"computed were {box[0][0]} to {box[0][1]}; shares below {floor:.2g} are left out"
    )
    return figure


def _slice(
    panel: Axes,
    share: np.ndarray,
    voxel: Range,
    box: Sequence[Range],
    patch: int | None,
    floor: float,
) -> None:
    dark_panel(panel)
    panel.set_facecolor("black")
    shown = np.where(share >= floor, share, np.nan).T
    size = (-0.5, share.shape[0] - 0.5, -0.5, share.shape[1] - 0.5)
    norm = LogNorm(floor, 1)
    panel.imshow(shown, cmap="magma", norm=norm, origin="lower", extent=size, interpolation="none")
    (x0, x1), (y0, y1) = box[:2]
    frame = {"fill": False, "linewidth": 1.8}
    panel.add_patch(
        Rectangle((x0 - 0.5, y0 - 0.5), x1 - x0 + 1, y1 - y0 + 1, edgecolor=BOX, **frame)
    ).set_label("computed receptive field")
    if patch:
        corner = [v - patch / 2 - 0.5 for v in voxel]
        panel.add_patch(
            Rectangle(corner, patch, patch, edgecolor=PATCH, linestyle="--", **frame)
        ).set_label(f"a patch of {patch}")
    panel.plot(*voxel, "+", color=VOXEL, markersize=9, label="the output voxel")
    panel.set(xlim=size[:2], ylim=size[2:])
    panel.set_title("gradient, slice through the voxel", color=LIGHT, fontsize=11.5)
    panel.set_xlabel("x, voxels", color=LIGHT)
    panel.set_ylabel("y, voxels", color=LIGHT)


def _profile(
    panel: Axes, share: np.ndarray, x: int, range_: Range, patch: int | None, floor: float
) -> None:
    dark_panel(panel)
    panel.set_yscale("log")
    at = np.arange(len(share))
    shown = np.where(share >= floor, share, np.nan)
    panel.plot(at, shown, color=LIGHT, linewidth=1.5, marker=".", markersize=3)
    for edge in (range_[0] - 0.5, range_[1] + 0.5):
        panel.axvline(edge, color=BOX, linewidth=1.8)
    if patch:
        for edge in (x - patch / 2 - 0.5, x + patch / 2 - 0.5):
            panel.axvline(edge, color=PATCH, linestyle="--", linewidth=1.5)
    lowest = min(floor, 1e-4)  # the axis stays where it is while a slider moves the floor
    if floor > lowest:
        panel.axhline(floor, color=QUIET, linestyle=":", linewidth=1)
    panel.set(xlim=(-0.5, len(share) - 0.5), ylim=(lowest, 2))
    panel.set_title("largest gradient at each x", color=LIGHT, fontsize=11.5)
    panel.set_xlabel("x, voxels", color=LIGHT)
    panel.set_ylabel("share of the largest", color=QUIET)
