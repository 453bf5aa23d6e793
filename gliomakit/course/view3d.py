"""A segmentation in three dimensions, that turns under the mouse: ipyniivue where it is installed.

view_3d(case, segment(case, model))      # what a network found, inside the head
view_3d(case)                            # the reference
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from .._nifti import encode
from ..cases import Case, Grid
from ..errors import GliomakitError
from ..plots import angles
from ..regions import TISSUE_COLOURS, convention, to_label

if TYPE_CHECKING:
    from ..inference import Segmentation

CONVENTION = "brats2017"
"""What the label's numbers mean on the way to the browser; its colours are given with it."""

SENTENCE = (
    "A still picture: pip install 'gliomakit[view3d]' brings a view that turns under the mouse."
)

BACK = 0.04, 0.05, 0.06, 1.0
"""The ground: red, green, blue, opacity."""

CUT = 0.02, 0.98
"""Shares of the brain's voxels that are black and white at most."""


def view_3d(
    case: Case,
    prediction: np.ndarray | Segmentation | None = None,
    sequence: str | None = None,
    height: int = 480,
) -> object:
    """Look at a segmentation as a body inside the head, from all sides.

    prediction: bool (3, x, y, z) on the case's grid, or what `segment` gives; None takes the case's
                label. sequence: drawn around it; None takes the first that there is.
    height:     pixels.

    Returns ipyniivue's `NiiVue`, which a notebook shows: drag to turn, click into it and press C to
    cut the head open from one side after the other. The outermost tissue hides what it surrounds
    (`plots.angles` draws regions that one sees through). It needs WebGL 2 in the browser; nothing
    leaves the machine. Without ipyniivue: the still picture of `plots.angles`, and a line that says
    how to get the other.

    Raises `GliomakitError` for a prediction of another shape, no label, an unknown sequence.
    """
    given = case.regions() if prediction is None else getattr(prediction, "regions", prediction)
    regions = np.asarray(given, dtype=bool)
    shape = case.image.shape[1:]
    if regions.shape != (3, *shape):
        raise GliomakitError(f"the prediction is {regions.shape}, the case {(3, *shape)}")
    volume = case.sequence(sequence or case.present[0])
    brain = (case.image != 0).any(axis=0)
    try:
        from ipyniivue import NiiVue, SliceType, Volume
    except ImportError:
        print(SENTENCE)
        title = "reference" if prediction is None else "prediction"
        return angles({title: regions}, case.spacing, brain)
    grid = Grid(shape, case.affine)
    view = NiiVue(height=height, slice_type=SliceType.RENDER, is_orient_cube=True, back_color=BACK)
    head = Volume(
        name="head.nii.gz",  # names are ours: what a case is called is no business of a browser
        data=encode(_greys(volume, brain), grid, packed=True),
        colormap="gray",
        cal_min=0.0,
        cal_max=255.0,
        colorbar_visible=False,
    )
    label = Volume(
        name="label.nii.gz",
        data=encode(to_label(regions, CONVENTION), grid, packed=True),
        colormap_label=_colours(),
        colorbar_visible=False,
    )
    view.load_volumes([head, label])
    return view


def _greys(volume: np.ndarray, brain: np.ndarray) -> np.ndarray:
    """uint8 (x, y, z), 0 outside the brain: a quarter of the bytes, alike to the eye."""
    inside = volume[brain]
    low, high = np.quantile(inside, CUT) if inside.size else (0.0, 1.0)
    if not np.isfinite([low, high]).all():
        raise GliomakitError("the image has voxels that are no numbers")
    greys = np.clip((volume - low) / max(high - low, 1e-6), 0, 1) * 254 + 1
    return np.where(brain, greys, 0).astype(np.uint8)


def _colours() -> object:
    """ipyniivue's table of the label's values: colours with opacity, and what they mean."""
    from ipyniivue import LUT

    known = convention(CONVENTION)
    values = {known.edema: "edema", known.core[0]: "core", known.enhancing: "enhancing"}
    last = max(values)
    table, names = [], []
    for value in range(last + 1):
        tissue = values.get(value)
        rgb = bytes.fromhex(TISSUE_COLOURS[tissue][1:]) if tissue else bytes(3)
        table += [*rgb, 255 if tissue else 0]
        names.append(tissue or "")
    return LUT(lut=table, min=0.0, max=float(last), labels=names)
