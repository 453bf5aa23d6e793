"""Patches and windows drawn: where they lie, what is in them, how they are blended."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Rectangle

from ._axial import QUIET, STYLES, axial, largest_slice, mark_sides, outline_lines
from ._curves import look
from ._picture import DARK, LIGHT, canvas, legend
from ._reliability import dark_panel
from .errors import GliomakitError
from .patches import Patch, gaussian, tiles
from .preprocess import Prepared, to_regions_array
from .regions import REGION_COLOURS, REGIONS, SEQUENCES

EMPTY, FULL = "#b9c2cc", "#E69F00"
"""A patch without tumour, one with some."""


def positions(
    prepared: Prepared,
    origins: Mapping[str, np.ndarray],
    size: int = 64,
    slice: int | None = None,
    figure: Figure | None = None,
) -> Figure:
    """Where patches lie: those that cross one axial slice, by whether they hold tumour.

    origins: title -> (n, 3), each patch's first voxel; one panel a title.
    slice:   z; None takes the one with the largest tumour area.

    Empty patches are grey and dotted, the others orange. A patch may hold tumour above or below
    the slice only.
    """
    if prepared.regions is None or not origins:
        raise GliomakitError("positions need a case with a label, and at least one set of patches")
    regions = to_regions_array(prepared.regions)
    z = largest_slice(regions) if slice is None else slice
    (sx, sy, _), (nx, ny, _) = prepared.spacing, prepared.regions.shape
    wide, high = nx * sx, ny * sy
    figure = canvas(figure, 5.2 * len(origins), 5.0 * high / wide + 0.95, DARK)
    tall = figure.get_figheight()
    panels = figure.subplots(1, len(origins), squeeze=False)[0]
    figure.subplots_adjust(
        left=0.01, right=0.99, bottom=0.42 / tall, top=1 - 0.45 / tall, wspace=0.03
    )
    shades, said = _shades([prepared.image[0]]), []
    for panel, (title, corners) in zip(panels, origins.items()):
        _grey(panel, prepared.image[0], z, shades, (wide, high))
        _outlines(panel, regions[:1, ..., z], (wide, high))
        crossing = [c for c in np.asarray(corners) if c[2] <= z < c[2] + size]
        full = [_holds_tumour(prepared.regions, corner, size) for corner in crossing]
        for (x, y, _), tumour in sorted(zip(crossing, full), key=lambda pair: pair[1]):
            corner = ((nx - x - size) * sx, (ny - y - size) * sy)
            line = {"edgecolor": FULL, "linestyle": "-"} if tumour else {"edgecolor": EMPTY}
            line = {"linestyle": ":", "linewidth": 1.2, "alpha": 0.7, "facecolor": "none"} | line
            panel.add_patch(Rectangle(corner, size * sx, size * sy, **line))
        panel.set_title(title, color=LIGHT, fontsize=12, pad=6)
        said.append(f"{title}, {sum(full)} of {len(full)} with tumour")
    mark_sides(panels[0])
    lines = [
        Line2D([], [], color=EMPTY, linestyle=":", label="no tumour in the patch"),
        Line2D([], [], color=FULL, label="some tumour in it"),
        Line2D([], [], color=REGION_COLOURS["wt"], label="whole tumour"),
    ]
    legend(figure, lines, x=0.5, place="center")
    figure.alt = (
        f"Axial slice {z} of {prepared.name} with squares for the patches that cross it: "
        + "; ".join(said)
    )
    return figure


def patches(
    drawn: Sequence[Patch],
    titles: Sequence[str] | None = None,
    sequence: str = "flair",
    columns: int = 8,
    figure: Figure | None = None,
) -> Figure:
    """One axial slice of each patch, all on one grey scale, with the outlines of its label.

    Of each patch the slice with the largest tumour area is shown, or the middle one.
    """
    if not drawn or (titles is not None and len(titles) != len(drawn)):
        raise GliomakitError(
            f"{len(drawn)} patches and {titles and len(titles)} titles: no picture"
        )
    channel = SEQUENCES.index(sequence)
    images = [np.asarray(patch.image[channel]) for patch in drawn]
    labels = [to_regions_array(np.asarray(patch.label)) for patch in drawn]
    columns = min(columns, len(drawn))
    rows = -(-len(drawn) // columns)
    side = 11 / columns
    strip = 0.3 if titles else 0.08
    height = rows * (side + strip) + 0.5
    figure = canvas(figure, 11, height, DARK)
    shades = _shades(images)
    for place, (image, regions) in enumerate(zip(images, labels)):
        row, column = divmod(place, columns)
        bottom = height - (row + 1) * (side + strip)
        box = (column * side / 11, bottom / height, 0.97 * side / 11, 0.97 * side / height)
        panel = figure.add_axes(box)
        z, extent = largest_slice(regions), image.shape[:2]
        _grey(panel, image, z, shades, extent)
        _outlines(panel, regions[..., z], extent)
        if titles:
            panel.set_title(titles[place], color=LIGHT, fontsize=11, pad=4)
    legend(figure, outline_lines(), x=0.008, place="center left")
    with_tumour = sum(bool(regions[0].any()) for regions in labels)
    figure.alt = (
        f"{len(drawn)} patches, one {sequence} slice each, {with_tumour} of them with tumour"
        + (f": {', '.join(titles)}" if titles else "")
    )
    return figure


def blending(
    shape: tuple[int, int], size: int = 64, overlap: float = 0.5, figure: Figure | None = None
) -> Figure:
    """How windows are blended in a plane of that shape: one window's weights, the windows' shares
    along the first axis, which add up to 1, and the sum of all weights before it is divided away.
    """
    weight = gaussian((size, size)).numpy()
    windows, along = tiles(shape, size, overlap), tiles(shape[:1], size, overlap)
    total = np.zeros(shape)
    for place in windows:
        total[place] += weight[tuple(np.s_[: s.stop - s.start] for s in place)]
    figure = canvas(figure, 12, 3.9, DARK)
    one, curves, plane = figure.subplots(1, 3, width_ratios=[1, 1.7, 1.1])
    figure.subplots_adjust(left=0.04, right=0.955, bottom=0.17, top=0.87, wspace=0.24)
    for panel in (one, curves, plane):
        dark_panel(panel)
        panel.set_xlabel("voxel", color=LIGHT)
    for panel, values in ((one, weight), (plane, total)):
        shown = panel.imshow(values.T, cmap="gray", vmin=0, origin="lower")
        bar = figure.colorbar(shown, ax=panel, fraction=0.046, pad=0.03)
        bar.ax.tick_params(colors=QUIET, labelsize=9)
        bar.outline.set_visible(False)
    for x, y in windows:
        sides = (x.stop - x.start, y.stop - y.start)
        corner = (x.start - 0.5, y.start - 0.5)
        plane.add_patch(Rectangle(corner, *sides, fill=False, color=FULL, alpha=0.6, linewidth=1))
    profile = gaussian((size,)).numpy()
    shares = np.zeros((len(along), shape[0]))
    for share, (place,) in zip(shares, along):
        share[place] = profile[: place.stop - place.start]
    shares /= shares.sum(axis=0)
    for number, share in enumerate(shares):
        # One zero on either side shows whether a window fades out or breaks off.
        near = np.convolve(share > 0, [1, 1, 1], "same") > 0
        curves.plot(np.where(near, share, np.nan), linewidth=1.8, **look(number))
    curves.plot(shares.sum(axis=0), color=LIGHT, linestyle="--", linewidth=1.2)
    curves.set(ylim=(0, 1.08), xlim=(0, shape[0] - 1))
    words = (
        (one, f"weights of one window, {size} × {size}"),
        (curves, f"{len(along)} windows along one axis: shares, and their sum"),
        (plane, f"sum of the weights, {len(windows)} windows"),
    )
    for panel, text in words:
        panel.set_title(text, color=LIGHT, fontsize=11)
    figure.alt = (
        f"Blending of windows of {size} voxels with overlap {overlap:g}: a hill of weights; "
        f"{len(along)} windows along one axis, whose shares add up to 1 everywhere; and the sum of "
        f"the weights of {len(windows)} windows in a plane of {shape[0]} × {shape[1]} voxels"
    )
    return figure


def _holds_tumour(code: np.ndarray, corner: Sequence[int], size: int) -> bool:
    inside = tuple(np.s_[max(o, 0) : o + size] for o in corner)
    return bool(code[inside].any())


def _shades(images: Sequence[np.ndarray]) -> tuple[float, float]:
    """Black and white of prepared images; white well above the brightest tissue, so that outlines
    on a tumour stay clear."""
    inside = np.concatenate([image[image != 0][::50] for image in images])
    black, white = np.percentile(inside, (0.5, 99.5)) if inside.size else (0.0, 1.0)
    return float(black), float(black + 1.3 * max(white - black, 1e-6))


def _grey(
    panel: Axes, volume: np.ndarray, z: int, shades: tuple[float, float], size: tuple[float, float]
) -> None:
    panel.set(xticks=[], yticks=[])
    panel.spines[:].set_visible(False)
    look = {"cmap": "gray", "vmin": shades[0], "vmax": shades[1], "interpolation": "bicubic"}
    # In a prepared image 0 is the mean of the brain, and exactly 0 what is not brain.
    shown = np.where(axial(volume, z) == 0, shades[0], axial(volume, z))
    panel.imshow(shown, extent=(0, size[0], size[1], 0), **look)


def _outlines(panel: Axes, regions: np.ndarray, size: tuple[float, float]) -> None:
    """The outlines of one slice's regions, bool (3, x, y), or of the first of them."""
    for mask, name in zip(regions, REGIONS, strict=False):
        shown = mask[::-1, ::-1].T.astype(np.float32)
        if shown.any() and not shown.all():
            x, y = ((np.arange(n) + 0.5) * s / n for n, s in zip(mask.shape, size))
            line = {"colors": [REGION_COLOURS[name]], "linestyles": STYLES[name]}
            panel.contour(x, y, shown, levels=[0.5], linewidths=1.2, **line)
