"""Three planes of a case through one voxel: the picture of the case viewer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from ._axial import mark_scale, window
from ._moving import staged
from ._picture import DARK, LIGHT, canvas
from ._plate import DASHES, Plate
from ._upright import PLANES, Upright
from .cases import Case
from .errors import GliomakitError
from .regions import REGION_COLOURS, REGION_NAMES, REGIONS, SEQUENCE_NAMES

STYLES = ("none", "outline", "fill")
WIDE, HEAD, FOOT, SPACE = 11.0, 0.3, 0.78, 0.2
"""Inches: the picture's width, what is above and below the planes, and beside each of them."""

GAP = 4.0  # mm around the voxel that the cross leaves free


def planes(
    case: Case,
    at: Sequence[int] | None = None,
    sequence: str | None = None,
    shades: tuple[float, float] | None = None,
    prediction: np.ndarray | None = None,
    styles: Mapping[str, str] | None = None,
    opacity: Mapping[str, float] | None = None,
    figure: Figure | None = None,
) -> Figure:
    """Axial, coronal and sagittal plane through one voxel, in true distances, cut to the brain.

    at:         the voxel (x, y, z) that the planes cross in; None takes the middle of the tumour
                in its largest slice.
    sequence:   None takes the first that the case has.
    shades:     level and window: the intensity in the middle of the greys, and how far they reach;
                None takes `levels(case, sequence)`.
    prediction: bool (3, x, y, z) or None. The reference is the case's label, if it has one.
    styles:     "reference" and "prediction" to "none", "outline" or "fill"; outlines by default.
    opacity:    of wt, tc and et, 0 to 1; a region of 0 is not shown.

    The patient's right is on the left of the axial and the coronal plane, the face on the left of
    the sagittal one; letters say so. A `figure` that shows the same case and prediction already is
    moved, not drawn anew: clear it first if their voxels have changed.

    Raises `GliomakitError` for voxels that are no numbers, a prediction of another shape, a voxel
    outside, an unknown sequence or style.
    """
    stage = staged(figure, _Planes, case, prediction)
    if stage is None:
        stage = _Planes(case, prediction, figure)
    styles = {source: (styles or {}).get(source, "outline") for source in DASHES}
    for source, style in styles.items():
        if style not in STYLES:
            known = f"known are {', '.join(STYLES)}"
            raise GliomakitError(f"there is no style {style!r} for the {source}", todo=known)
    opacity = {region: float((opacity or {}).get(region, 1.0)) for region in REGIONS}
    if not all(0 <= value <= 1 for value in opacity.values()):
        raise GliomakitError(f"opacities are from 0 to 1, not {list(opacity.values())}")
    stage.move(stage.view.inside(at), sequence or case.present[0], shades, styles, opacity)
    return stage.figure


def levels(case: Case, sequence: str) -> tuple[float, float]:
    """Level and window that show the brain of a case well, as `planes` takes them."""
    black, white = window(case.sequence(sequence))
    return (black + white) / 2, white - black


class _Planes:
    """The artists of three planes, and what they show."""

    def __init__(self, case: Case, prediction: np.ndarray | None, figure: Figure | None):
        self.view, self.data = Upright(case, prediction), (case, prediction)
        self.levels: dict[str, tuple[float, float]] = {}
        sizes = [self.view.size(plane) for plane in PLANES]
        scale = (WIDE - 6 * SPACE) / sum(wide for wide, _ in sizes)  # inches a mm
        tall = HEAD + FOOT + scale * max(high for _, high in sizes)
        moved = getattr(figure, "stage", None) is not None
        self.figure = canvas(figure, WIDE, tall, DARK)
        if moved:
            self.figure.set_size_inches(WIDE, tall)
        left, self.plates = SPACE, []
        for plane, (wide, high) in zip(PLANES, sizes):
            inches = np.array((left, tall - HEAD - scale * high, scale * wide, scale * high))
            panel = self.figure.add_axes(tuple(inches / (WIDE, tall, WIDE, tall)))
            self.plates.append(Plate(panel, plane, (wide, high), 1 / scale))
            left += scale * wide + 2 * SPACE
        self.panels = [plate.panel for plate in self.plates]
        mark_scale(self.panels[2], 50.0 if sizes[2][0] >= 100 else round(sizes[2][0] / 3))
        words = {"color": LIGHT, "fontsize": 10.5, "va": "center", "animated": True}
        self.words = self.figure.text(SPACE / WIDE, 0.39 / tall, "", **words)
        lines = [
            Line2D([], [], color=REGION_COLOURS[r], linewidth=2, label=f"{r.upper()} {name}")
            for r, name in REGION_NAMES.items()
        ]
        for source, dashes in DASHES.items():
            if self.view.regions[source] is not None:
                lines.append(Line2D([], [], color=LIGHT, linestyle=dashes, label=source))
        look = {"frameon": False, "fontsize": 10, "labelcolor": LIGHT, "borderaxespad": 0}
        look |= {
            "loc": "center left",
            "bbox_to_anchor": (SPACE / WIDE, 0.15 / tall),
            "ncols": len(lines),
        }
        if len(lines) > len(REGIONS):
            self.figure.legend(handles=lines, **look)
        self.figure.stage = self

    def move(
        self,
        at: tuple[int, int, int],
        sequence: str,
        shades: tuple[float, float] | None,
        styles: Mapping[str, str],
        opacity: Mapping[str, float],
    ) -> None:
        """Show another voxel, sequence, grey scale or style."""
        view, case = self.view, self.view.case
        volume = case.sequence(sequence)
        if sequence not in self.levels:
            self.levels[sequence] = levels(case, sequence)
        level, width = shades or self.levels[sequence]
        if not (np.isfinite([level, width]).all() and width > 0):
            raise GliomakitError(f"a window of {width} around {level} shows nothing")
        for plate in self.plates:
            plane = plate.plane
            shades = level - width / 2, level + width / 2
            plate.look(view.cut(volume, plane, at), *shades)
            plate.cross.set_segments(_cross(*view.point(plane, at), *plate.size))
            cuts = {
                source: [view.cut(mask, plane, at) for mask in regions]
                for source, regions in view.regions.items()
                if regions is not None and styles[source] != "none"
            }
            plate.show(cuts, styles, opacity, at[view.through(plane)])
        x, y, z = at
        said = [f"cross at x {x}, y {y}, z {z}: {SEQUENCE_NAMES[sequence]} {volume[at]:.4g}"]
        said += [f"{s} {_innermost(r, at)}" for s, r in view.regions.items() if r is not None]
        self.words.set_text(";  ".join(said))
        shown = [f"the {s} as {styles[s]}" for s, r in view.regions.items() if r is not None]
        self.figure.alt = (
            f"{SEQUENCE_NAMES[sequence]} of {case.name}: axial, coronal and sagittal plane, "
            f"{', '.join(shown) or 'without reference'}; " + "; ".join(said)
        )


def _cross(x: float, y: float, wide: float, high: float) -> list[list[tuple[float, float]]]:
    return [
        [(0, y), (x - GAP, y)], [(x + GAP, y), (wide, y)],
        [(x, 0), (x, y - GAP)], [(x, y + GAP), (x, high)],
    ]  # fmt: skip


def _innermost(regions: np.ndarray, at: tuple[int, int, int]) -> str:
    inside = [name for name, mask in zip(REGIONS, regions) if mask[at]]
    return inside[-1].upper() if inside else "nothing"
