"""A labelled volume as surfaces, from several angles."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import PolyCollection
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from scipy import ndimage

from ._axial import QUIET, mark_scale
from ._picture import DARK, LIGHT, canvas, legend
from .errors import GliomakitError
from .regions import REGION_COLOURS, REGION_NAMES, REGIONS

VIEWS = {
    "from the front": ((0, 1, 0), (0, 0, 1)),
    "from the right": ((1, 0, 0), (0, 0, 1)),
    "from above": ((0, 0, 1), (0, 1, 0)),
    "from half left": ((-0.7, 0.6, 0.4), (0, 0, 1)),
}
"""Where the eye is, and what is up for it, in axes to the patient's right, front and top."""

FINE, COARSE = 2.0, 5.0
"""mm of a surface's triangles: of tumours, and of the brain around them."""

BODY, RIM = (0.13, 0.35, 1.0), (0.45, 0.5, 0.0)
"""How opaque a region (WT, TC, ET) is where one looks straight at it, and how much is added where
its surface turns away: so one sees into the outer ones and still sees their shape."""

SHADOW, SHADOW_BODY, SHADOW_RIM = "#a9b8c8", 0.03, 0.4

Surface = tuple[np.ndarray, np.ndarray]
"""Triangles (n, 3, 3) in mm, and their unit normals (n, 3), pointing out."""


def angles(
    named: Mapping[str, np.ndarray],
    spacing: Sequence[float],
    brain: np.ndarray | None = None,
    views: Sequence[str] = tuple(VIEWS)[:3],
    figure: Figure | None = None,
) -> Figure:
    """One row a version of the label, one column a direction that it is seen from.

    named:   title -> bool (3, x, y, z), nested regions; spacing: mm; brain: bool (x, y, z), drawn
             as a shadow around them. Axes run to the patient's right, front and top.
    views:   some of `VIEWS`.

    The surfaces are marching cubes' (Lorensen and Cline 1987). Needs scikit-image.
    """
    if not named:
        raise GliomakitError("there is no label to draw")
    grids = {np.shape(regions)[1:] for regions in named.values()}
    if len(grids) > 1 or any(len(regions) != len(REGIONS) for regions in named.values()):
        raise GliomakitError("the labels must be WT, TC and ET on one grid")
    unknown = [view for view in views if view not in VIEWS]
    if unknown or not views:
        raise GliomakitError(f"there is no view {unknown}", todo=f"known are {', '.join(VIEWS)}")
    found = {
        title: [surface(mask, spacing, FINE) for mask in regions]
        for title, regions in named.items()
    }
    shadow = None if brain is None else surface(brain, spacing, COARSE)
    ends = _ends([shadow] if shadow else [one for row in found.values() for one in row])
    figure = canvas(figure, 3.1 * len(views), 3.1 * len(named) + 0.8, DARK)
    tall = figure.get_figheight()
    panels = figure.subplots(len(named), len(views), squeeze=False)
    figure.subplots_adjust(left=0.005, right=0.995, wspace=0.02, hspace=0.02)
    figure.subplots_adjust(bottom=0.45 / tall, top=1 - 0.35 / tall)
    for row, (title, regions) in zip(panels, found.items()):
        for panel, view in zip(row, views):
            _draw(panel, view, shadow, regions, ends)
        row[0].text(
            0.02, 0.98, title, color=LIGHT, fontsize=12, va="top", transform=row[0].transAxes
        )
    for panel, view in zip(panels[0], views):
        panel.set_title(view, color=QUIET, fontsize=11, pad=5)
    mark_scale(panels[-1][-1])
    patches = [Patch(color=REGION_COLOURS[r], label=name) for r, name in REGION_NAMES.items()]
    legend(figure, patches, x=0.008, place="center left")
    figure.alt = f"Surfaces of the regions, {', '.join(views)}: {', '.join(named)}"
    return figure


def surface(mask: np.ndarray, spacing: Sequence[float], mm: float) -> Surface | None:
    """The surface of a mask, of triangles of about so many mm; None if there is nothing.

    Stairs are smoothed by less than a voxel, and no voxel of the mask is lost by it.
    """
    try:
        from skimage.measure import marching_cubes
    except ImportError:
        raise GliomakitError(
            "a surface needs scikit-image, which is not installed", todo="pip install scikit-image"
        ) from None
    where = ndimage.find_objects(np.asarray(mask, np.uint8))
    if not where:
        return None
    every = np.array([max(1, round(mm / side)) for side in spacing])
    room = 4 * every
    inside = np.pad(np.asarray(mask[where[0]], np.float32), [(r, r) for r in room])
    inside = ndimage.maximum_filter(inside, every)[tuple(slice(None, None, k) for k in every)]
    smooth = np.maximum(ndimage.gaussian_filter(inside, 0.7), 0.51 * inside)
    points, faces, _, _ = marching_cubes(smooth, 0.5, spacing=tuple(every * spacing))
    begin = np.array([span.start for span in where[0]]) - room
    # The first block's middle: a voxel's is half a voxel in, a block of two ends with its voxel.
    triangles = (points + (begin + np.where(every % 2, 0.5, 0.0)) * spacing)[faces]
    normals = np.cross(triangles[:, 2] - triangles[:, 0], triangles[:, 1] - triangles[:, 0])
    lengths = np.linalg.norm(normals, axis=1)
    kept = lengths > 0
    return triangles[kept], normals[kept] / lengths[kept, None]


def _draw(
    panel: Axes,
    view: str,
    shadow: Surface | None,
    regions: Sequence[Surface | None],
    ends: np.ndarray,
) -> None:
    eye = np.array(VIEWS[view][0], float)
    eye /= np.linalg.norm(eye)
    across = np.cross(VIEWS[view][1], eye)
    across /= np.linalg.norm(across)
    axes = np.stack([across, np.cross(eye, across), eye])  # on the page: right, up, to the reader
    panel.set_facecolor(DARK)
    panel.set(xticks=[], yticks=[], aspect=1)
    panel.spines[:].set_visible(False)
    if shadow is not None:
        _add(panel, shadow, axes, SHADOW, SHADOW_BODY, SHADOW_RIM)
    for order, (region, shape) in enumerate(zip(REGIONS, regions)):
        if shape is not None:
            _add(panel, shape, axes, REGION_COLOURS[region], BODY[order], RIM[order])
    middle, half = axes[:2] @ ends.mean(0), 0.54 * np.ptp(ends, axis=0).max()
    panel.set(xlim=(middle[0] - half, middle[0] + half), ylim=(middle[1] - half, middle[1] + half))


def _add(
    panel: Axes, shape: Surface, axes: np.ndarray, colour: str, body: float, rim: float
) -> None:
    """What of a surface faces the reader, far parts first, lit from above on the left."""
    triangles, normals = shape[0] @ axes.T, shape[1] @ axes.T
    order = triangles[..., 2].mean(1).argsort()
    order = order[normals[order, 2] > 0]
    triangles, normals = triangles[order], normals[order]
    beam = np.array([-0.45, 0.6, 0.66])
    light = 0.4 + 0.6 * np.clip(normals @ beam, 0, 1)
    paint = np.empty((len(order), 4))
    paint[:, :3] = light[:, None] * to_rgb(colour)
    paint[:, 3] = body + rim * (1 - normals[:, 2]) ** 2
    # Smoothed edges of opaque triangles would let the ground shine through between them.
    panel.add_collection(
        PolyCollection(triangles[..., :2], facecolors=paint, linewidths=0, antialiaseds=False)
    )


def _ends(shapes: Sequence[Surface | None]) -> np.ndarray:
    """Two opposite corners of the box around surfaces, mm; (2, 3)."""
    points = [shape[0].reshape(-1, 3) for shape in shapes if shape is not None]
    if not points:
        return np.array([[0.0] * 3, [100.0] * 3])
    every = np.concatenate(points)
    return np.stack([every.min(0), every.max(0)])
