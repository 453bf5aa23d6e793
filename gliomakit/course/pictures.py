"""The picture at the top of a lesson, drawn from phantoms: `notebooks/images/NN_name.png`.

Drawn by the build when it is missing, and kept in the tree; delete the file to have it drawn anew.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

from matplotlib.figure import Figure

from ..errors import GliomakitError
from .source import Lesson

_LINK = re.compile(r"!\[[^\]]*\]\(\.\./images/(\w+)\.png\)")


def start_here() -> Figure:
    """A phantom of the test set beside what the shipped network makes of it."""
    from .. import plots, weights
    from ..inference import segment

    case = showcase()
    return plots.compare(case, case.regions(), segment(case, weights.load()).regions)


def showcase():
    """The first phantom of the test set that shows all three tissues in its largest slice."""
    from .. import plots
    from ..cases import find_cases
    from ..phantom import embedded
    from ..phantom.dataset import embedded_names

    names = embedded_names("test")
    for files in find_cases(embedded()):
        if files.name in names:
            case = files.read()
            regions = case.regions()
            z = plots.largest_slice(regions)
            areas = [m[..., z].sum() for m in plots.tissues(regions).values()]
            if min(areas) * case.spacing[0] * case.spacing[1] > 200:  # mm²
                return case
    raise GliomakitError("no test phantom shows edema, core and enhancing tumour in one slice")


DRAWN: dict[str, Callable[[], Figure]] = {"00_start_here": start_here}
"""Name of the picture -> what draws it."""


def draw_missing(lesson: Lesson, notebooks: Path) -> list[Path]:
    """Draw the pictures that the lesson's words show and that are not there yet."""
    drawn = []
    for part in lesson.parts:
        for name in _LINK.findall(part.text):
            path = notebooks / "images" / f"{name}.png"
            if path.is_file():
                continue
            if name not in DRAWN:
                raise GliomakitError(
                    "nothing draws this picture",
                    where=path,
                    todo="add it to gliomakit.course.pictures.DRAWN",
                )
            drawn.append(DRAWN[name]().save(path))
    return drawn
