"""The course's pictures: pure functions of data, `(data, figure=None) -> Figure`.

    plots.sequences(case)                              # the four sequences, tumour outlined
    plots.compare(case, case.regions(), found.regions) # reference beside prediction
    plots.sheet(cases)                                 # many cases at a glance
    plots.readings(case, {"as MSD": regions})          # one label, read in several ways
    plots.volumes({name: (wt, tc, et)})                # mL of the regions of many patients
    plots.curves({"run": {"loss": (steps, values)}})   # metrics of runs; plots.parallel beside it
    plots.account(unet.table(network))                 # where parameters and work lie in a U-Net
    plots.receptive(gradient, voxel, box)              # what one output voxel depends on
    plots.reliability({"wt": metrics.calibration(…)})  # does a probability mean what it says?
    plots.boxes(case, {"brain": box}, reference, predicted)  # what a box holds, and what it hides
    plots.histograms({"as stored": {"patient": values}})     # intensities of several patients
    plots.fields(case, "t1", {"true": field}, brain)         # bias fields as colours
    plots.variants(case, {"1 mm": regions, "4 mm": coarse})  # versions of one label
    plots.positions(prepared, {"uniform": origins})    # where patches lie; plots.patches, blending
    plots.gradients(probability, {"dice": pull}, reference)  # what a loss asks of each voxel
    plots.box_plot({"Dice": {"wt": values}})           # scores of many cases, each a point
    plots.angles({"reference": regions}, spacing)      # the labelled volume as surfaces
    plots.uncertainty(case, entropy, predicted, reference)   # where unsure, where wrong
    plots.compared({"patients": {"method": dice}})     # several methods on the same patients
    plots.planes(case, at=(120, 90, 77))               # three planes through a voxel; plots.levels
    plots.cutting(prepared, size=32, foreground=0.5)   # what a sampler cuts, how much is empty
    plots.choosing(case, probability, threshold=0.4)   # a threshold's region, Dice and HD95
    plots.pulling(probability, reference)              # what three losses ask, what all of them say
    plots.schedules(steps=1000, rate=3e-3)             # learning rates and momenta over a training
    plots.running({"run": history})                    # loss and Dice of trainings as they run
    plots.searched(scores, stopped)                    # a search; plots.importance, shaded, luck
    plots.ranges({"data set": {"who": (low, high)}})   # published results; plots.scores, undone
    plots.adopted("four slices")                       # what another library drew with pyplot

Slices are axial, seen from the feet (R and L mark the patient's sides), with the face up and true
distances. Without a slice being named, the one with the largest tumour area is shown. A given
`figure` is cleared and drawn on; else a new `Picture` is returned, whose `alt` says in words what
there is to see.
"""

from __future__ import annotations

import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from ._account import account
from ._adopted import adopted
from ._angles import angles
from ._axial import (
    QUIET,
    View,
    fitting,
    largest_slice,
    mark_scale,
    mark_sides,
    outline_lines,
    tissues,
)
from ._box_plot import box_plot
from ._boxes import boxes
from ._choosing import choosing
from ._compared import compared
from ._curves import curves, look, parallel
from ._cutting import cutting
from ._fields import fields
from ._gradients import gradients
from ._histograms import histograms
from ._picture import DARK, LIGHT, Picture, canvas, legend
from ._planes import levels, planes
from ._published import ranges, scores, undone
from ._pulling import pulling
from ._readings import readings
from ._receptive import receptive
from ._reliability import reliability
from ._running import running
from ._schedules import schedules
from ._sheet import sheet
from ._tuned import importance, luck, searched, shaded
from ._uncertainty import uncertainty
from ._variants import variants
from ._volumes import volumes
from ._windowing import blending, patches, positions
from .cases import Case
from .metrics import dice
from .regions import REGION_NAMES, REGIONS, SEQUENCE_NAMES, SEQUENCES, TISSUE_COLOURS

__all__ = [
    "Picture",
    "account",
    "adopted",
    "angles",
    "blending",
    "box_plot",
    "boxes",
    "choosing",
    "compare",
    "compared",
    "curves",
    "cutting",
    "fields",
    "gradients",
    "histograms",
    "importance",
    "largest_slice",
    "levels",
    "look",
    "luck",
    "parallel",
    "patches",
    "planes",
    "positions",
    "pulling",
    "ranges",
    "readings",
    "receptive",
    "reliability",
    "running",
    "schedules",
    "scores",
    "searched",
    "sequences",
    "shaded",
    "sheet",
    "tissues",
    "uncertainty",
    "undone",
    "variants",
    "volumes",
]

TISSUE_NAMES = {"edema": "edema", "core": "core", "enhancing": "enhancing tumour"}


def sequences(
    case: Case,
    slice: int | None = None,
    regions: np.ndarray | None = None,
    outline: bool = True,
    figure: Figure | None = None,
) -> Figure:
    """FLAIR, T1, T1ce and T2 of one slice, with the outlines of the regions.

    slice:   z of the axial slice; None takes the one with the largest tumour area.
    regions: bool (3, x, y, z); None takes the case's reference, if it has one.
    outline: False shows the images alone.
    """
    regions = fitting(case, regions)
    view = View.of(case, regions, slice)
    wide, high = view.size
    figure = canvas(figure, 11, 2.75 * high / wide + 1.05, DARK)
    tall = figure.get_figheight()
    panels = figure.subplots(1, 4, gridspec_kw={"wspace": 0.03})
    figure.subplots_adjust(left=0.01, right=0.99, bottom=0.42 / tall, top=1 - 0.68 / tall)
    drawn = outline and regions is not None
    for panel, sequence in zip(panels, SEQUENCES):
        view.grey(panel, sequence)
        panel.set_title(SEQUENCE_NAMES[sequence], color=LIGHT, fontsize=12, pad=5)
        if drawn:
            view.outline(panel, regions, width=1.3)
    mark_sides(panels[0])
    mark_scale(panels[3])
    _heading(figure, view)
    figure.alt = f"Axial slice {view.z} of {case.name}, side by side: FLAIR, T1, T1ce, T2"
    if drawn:
        names = [REGION_NAMES[r] for r in REGIONS]
        legend(figure, outline_lines(), x=0.5, place="center")
        figure.alt += f"; outlined are {names[0]}, {names[1]} and {names[2]}"
    return figure


def compare(
    case: Case,
    reference: np.ndarray,
    prediction: np.ndarray,
    slice: int | None = None,
    figure: Figure | None = None,
) -> Figure:
    """The four sequences small, then reference and prediction large, with Dice per region.

    reference, prediction: bool (3, x, y, z). slice: z, by default the one with the largest tumour
    in the reference. The Dice are of the whole volume, not of the slice.
    """
    reference, prediction = fitting(case, reference), fitting(case, prediction)
    view = View.of(case, reference, slice)
    wide, high = view.size
    figure = canvas(figure, 12.2, 4.0 * high / wide + 1.25, DARK)  # a large panel is 4 inches wide
    tall = figure.get_figheight()
    grid = figure.add_gridspec(2, 4, width_ratios=[1, 1, 2, 2], wspace=0.03, hspace=0.03)
    grid.update(left=0.008, right=0.992, bottom=0.55 / tall, top=1 - 0.7 / tall)
    for index, sequence in enumerate(SEQUENCES):
        panel = figure.add_subplot(grid[divmod(index, 2)])
        view.grey(panel, sequence)
        words = {"color": LIGHT, "fontsize": 10.5, "va": "top", "transform": panel.transAxes}
        panel.text(0.03, 0.97, SEQUENCE_NAMES[sequence], **words)
    shown = "flair" if "flair" in case.present else case.present[0]
    for column, title, regions in ((2, "Reference", reference), (3, "Prediction", prediction)):
        panel = figure.add_subplot(grid[:, column])
        view.grey(panel, shown, dim=1.5)
        view.fill(panel, regions)
        view.outline(panel, regions, width=1.4, plain=True)
        panel.set_title(title, color=LIGHT, fontsize=14, pad=6)
        mark_sides(panel)
        if column == 2:
            mark_scale(panel)
    scores = [f"{r.upper()} {dice(p, q):.2f}" for r, p, q in zip(REGIONS, prediction, reference)]
    words = {"color": LIGHT, "fontsize": 11.5, "ha": "right", "va": "center"}
    figure.text(0.992, 0.24 / tall, "   ".join(["Dice of the volume", *scores]), **words)
    _heading(figure, view)
    patches = [Patch(color=TISSUE_COLOURS[t], label=TISSUE_NAMES[t]) for t in TISSUE_COLOURS]
    legend(figure, patches, x=0.008, place="center left")
    figure.alt = (
        f"Axial slice {view.z} of {case.name}: four sequences, then reference and prediction as "
        f"coloured tissues on {SEQUENCE_NAMES[shown]}; Dice of the volume {', '.join(scores)}"
    )
    return figure


def _heading(figure: Figure, view: View) -> None:
    sides = " × ".join(f"{s:.3g}" for s in view.case.spacing)
    text = f"{view.case.name}, axial slice {view.z}, voxels of {sides} mm"
    top = 1 - 0.14 / figure.get_figheight()
    figure.text(0.008, top, text, color=QUIET, fontsize=10.5, va="top")
