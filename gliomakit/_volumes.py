"""How large tumours are: the nested regions of many patients as bars."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from matplotlib.figure import Figure
from matplotlib.patches import Patch

from ._axial import QUIET
from ._picture import DARK, LIGHT, canvas, legend
from ._reliability import dark_panel
from .errors import GliomakitError
from .regions import REGION_COLOURS, REGION_NAMES, REGIONS


def volumes(cases: Mapping[str, Sequence[float]], figure: Figure | None = None) -> Figure:
    """One bar a patient, largest first: whole tumour, in it the core, in that what enhances.

    cases: a patient's name -> volumes of WT, TC and ET in mL. A patient without ET is marked.
    """
    if not cases:
        raise GliomakitError("there is no patient to draw")
    ordered = sorted(cases.items(), key=lambda one: -one[1][0])
    figure = canvas(figure, 11, 4.6, DARK)
    tall = figure.get_figheight()
    panel = figure.subplots()
    figure.subplots_adjust(left=0.07, right=0.99, bottom=1.35 / tall, top=1 - 0.2 / tall)
    dark_panel(panel)
    places = range(len(ordered))
    for index, (region, width) in enumerate(zip(REGIONS, (0.84, 0.6, 0.36))):
        heights = [volumes[index] for _, volumes in ordered]
        panel.bar(places, heights, width, color=REGION_COLOURS[region])
    without = [place for place in places if ordered[place][1][2] == 0]
    top = max(volumes[0] for _, volumes in ordered) or 1.0
    for place in without:
        y = ordered[place][1][0] + 0.015 * top
        panel.text(place, y, "no ET", color=QUIET, fontsize=8.5, ha="center", va="bottom")
    panel.set(ylim=(0, 1.08 * top), xlim=(-0.7, len(ordered) - 0.3))
    panel.set_ylabel("volume in mL", color=LIGHT)
    panel.set_xticks(places, [name for name, _ in ordered], rotation=55, ha="right", fontsize=8)
    patches = [Patch(color=REGION_COLOURS[r], label=name) for r, name in REGION_NAMES.items()]
    legend(figure, patches, x=0.07, place="center left")
    figure.alt = (
        f"Bars of {len(ordered)} patients, from {ordered[0][1][0]:.0f} mL of whole tumour down to "
        f"{ordered[-1][1][0]:.0f} mL; {len(without)} have no enhancing tumour"
    )
    return figure
