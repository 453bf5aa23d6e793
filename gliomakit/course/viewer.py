"""A viewer of cases: three planes linked by a crosshair, reference and prediction over them.

case_viewer(find_cases(folder))                    # read one by one, when they are shown
case_viewer([case], [segment(case, model)])        # with what a network found
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from .._picture import Picture
from .._planes import STYLES, levels, planes
from ..cases import Case, CaseFiles
from ..errors import GliomakitError
from ..regions import REGIONS, SEQUENCE_NAMES
from .widgets import Browser, choice_of, slider_of, span, there

if TYPE_CHECKING:  # a page that only looks needs no PyTorch
    from ..inference import Segmentation

    Found = np.ndarray | Segmentation | None  # regions, bool (3, x, y, z), or what `segment` gives

AXES = {"x": "left to right, x", "y": "back to front, y", "z": "down to up, z"}


def case_viewer(
    cases: Case | CaseFiles | Sequence[Case | CaseFiles],
    predictions: Sequence[Found] | Mapping[str, Found] | None = None,
) -> object:
    """Look at cases: axial, coronal and sagittal plane through one voxel.

    cases:       cases, or files that are read when their case is shown.
    predictions: one for each case in their order, None where there is none; or by the case's name.

    Returns a `CaseViewer`, which a notebook shows; without ipywidgets the picture of the first
    case. Raises `GliomakitError` if there is no case, or the first cannot be shown.
    """
    cases = list(cases) if isinstance(cases, Sequence) else [cases]
    if not cases:
        raise GliomakitError("there is no case to look at")
    if predictions is None:
        predictions = {}
    if not isinstance(predictions, Mapping):
        if len(predictions) != len(cases):
            raise GliomakitError(
                f"{len(predictions)} predictions for {len(cases)} cases",
                todo="give one a case, None where there is none",
            )
    elif unknown := set(predictions) - {case.name for case in cases}:
        raise GliomakitError(f"there is a prediction of {sorted(unknown)[0]}, but no such case")
    else:
        predictions = [predictions.get(case.name) for case in cases]
    found = [getattr(p, "regions", p) for p in predictions]
    if there():
        return CaseViewer(cases, found)
    return planes(_read(cases[0]), prediction=found[0])


class CaseViewer(Browser):
    """What `case_viewer` shows. Its controls: x, y, z, sequence, level, window, reference,
    prediction, wt, tc, et; `open`, `step` and `jump` are what its buttons do."""

    def __init__(self, cases: Sequence[Case | CaseFiles], predictions: Sequence[np.ndarray | None]):
        import ipywidgets as widgets

        self.cases, self.predictions = cases, predictions
        self.index, self.case = 0, _read(cases[0])
        self.picture = planes(self.case, prediction=predictions[0])
        names = [(f"{i + 1}. {case.name}", i) for i, case in enumerate(cases)]
        self.names = choice_of("case", names)
        self.buttons = [
            widgets.Button(description=text, tooltip=tip)
            for text, tip in (
                ("previous case", "the case before this one"),
                ("next case", "the case after this one"),
                ("largest slice", "go to the slice with the largest tumour area"),
            )
        ]
        controls = {axis: slider_of(text, 0, 0, 1) for axis, text in AXES.items()}
        controls["sequence"] = choice_of("sequence", self._sequences())
        controls |= {name: slider_of(name, 0.5, 0.0, 1.0, 0.01) for name in ("level", "window")}
        controls |= {s: choice_of(s, STYLES, "outline") for s in ("reference", "prediction")}
        controls |= {r: slider_of(f"{r.upper()} opacity", 1.0, 0.0, 1.0, 0.05) for r in REGIONS}
        self.controls = controls
        self._fit()
        rows = (
            (self.names, *self.buttons),
            AXES,
            ("sequence", "level", "window"),
            ("reference", "prediction", *REGIONS),
        )
        super().__init__(self._planes, rows, **controls)
        self.names.observe(lambda change: self.open(change["new"]), "value")
        controls["sequence"].unobserve(self.redraw, "value")  # level and window change with it
        controls["sequence"].observe(self._new_sequence, "value")
        for button, work in zip(
            self.buttons, (lambda: self.step(-1), lambda: self.step(1), self.jump)
        ):
            button.on_click(lambda _, work=work: work())

    def open(self, index: int) -> None:
        """Show another case; one that cannot be shown is named, and the present one stays."""
        if index == self.index:
            return
        try:
            case = _read(self.cases[index])
            picture = planes(case, prediction=self.predictions[index], figure=Picture())
        except GliomakitError as error:
            self.names.value = self.index
            self.complain(error)
            return
        with self.together():
            self.index, self.case, self.picture = index, case, picture
            self.controls["sequence"].options = self._sequences()
            self._fit()
            self.names.value = index

    def step(self, by: int) -> None:
        """Show the next case, or the one before; after the last comes the first."""
        self.open((self.index + by) % len(self.cases))

    def jump(self) -> None:
        """Go to the middle of the tumour in its largest slice: the reference's, or, without one,
        the prediction's; without any tumour to the middle of the head."""
        self.set(**dict(zip(AXES, self.picture.stage.view.start())))

    def _planes(self, sequence, level, window, reference, prediction, **rest) -> Picture:
        return planes(
            self.case,
            [rest[axis] for axis in AXES],
            sequence,
            (level, window),
            self.predictions[self.index],
            {"reference": reference, "prediction": prediction},
            {region: rest[region] for region in REGIONS},
            figure=self.picture,
        )

    def _sequences(self) -> list[tuple[str, str]]:
        return [(SEQUENCE_NAMES[name], name) for name in self.case.present]

    def _fit(self) -> None:
        """The sliders' ends for a new case."""
        view = self.picture.stage.view
        for axis, (low, high), at in zip(AXES, view.spans, view.start()):
            span(self.controls[axis], low, high, at)
        for source, regions in view.regions.items():
            self.controls[source].disabled = regions is None
        self._fit_levels()

    def _fit_levels(self) -> None:
        volume = self.case.sequence(self.controls["sequence"].value)
        low, high = float(volume.min()), float(volume.max())
        level, window = levels(self.case, self.controls["sequence"].value)
        step = max(high - low, window) / 400
        span(self.controls["level"], low, max(high, low + window), level, step)
        span(self.controls["window"], step, max(high - low, window), window, step)

    def _new_sequence(self, _: object) -> None:
        with self.together():
            self._fit_levels()


def _read(case: Case | CaseFiles) -> Case:
    return case if isinstance(case, Case) else case.read()
