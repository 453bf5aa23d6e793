"""The training playground: choose settings, press Train, watch, stop, compare.

    play = playground(training, validation, "runs/play")
    play                                   # in a notebook: controls, a live curve, a table of runs
    play.set(rate=1e-2, steps=40); play.train(); play.wait()     # the same without a mouse

A training runs in a thread, so that the kernel still hears the Stop button. Each is a run of
`tracking` in the folder. One at a time: PyTorch's random numbers belong to the whole process.
"""

from __future__ import annotations

import html
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from .. import plots
from .._recipe import KINDS, SCHEDULES
from ..errors import GliomakitError
from ..preprocess import Prepared
from ..regions import SEQUENCE_NAMES, SEQUENCES
from ..training import Fit, fit
from ..tuning import Enough, both
from .widgets import SENTENCE, choice_of, slider_of, there

WEIGHTS = {
    "1 / area² (the paper)": "weighted-dice-paper",
    "1 / area², absent left out": "weighted-dice",
    "1 / area², absent as largest": "weighted-dice-largest",
    "1 / area": "weighted-dice-simple",
    "none": "weighted-dice-uniform",
}
"""What the weighted Dice loss weighs a class by, in words, and the loss that does so."""

LOSSES = ("weighted-dice", "dice", "cross-entropy", "dice-ce")

FIXED = {
    "output": "classes",
    "regions": ("wt",),
    "alone": 0.0,
    "drop": 0.0,
    "average": 0.0,
    "overlap": 0.0,
    "optimiser": "adam",
    "weight_decay": 0.0,
}
"""What the playground does not offer: two classes, nothing averaged, plain Adam."""

LIVE = 1.0
"""Seconds between two drawings of the curve."""


@dataclass
class Try:
    """One training of the playground. state: "training", "finished", "stopped" or "failed"."""

    name: str
    settings: Fit
    state: str = "training"
    rows: list[dict[str, float | None]] = field(default_factory=list)
    seconds: float = 0.0
    error: str = ""

    @property
    def dice(self) -> float | None:
        """Of the last validation; None before the first one."""
        return next((r["dice_mean"] for r in reversed(self.rows) if "dice_mean" in r), None)

    @property
    def steps(self) -> int:
        return max((int(row["step"]) for row in self.rows), default=0)


class Playground:
    """The widget. `controls` holds ipywidgets by name, `runs` the `Try`s in their order."""

    def __init__(
        self,
        training: Sequence[Prepared],
        validation: Sequence[Prepared],
        folder: str | Path,
        device: str | None = None,
    ):
        if not training or not validation:
            raise GliomakitError("a playground needs cases to train on and cases to validate on")
        import ipywidgets as widgets

        self.training, self.validation = training, validation
        self.folder, self.device = Path(folder), device
        self.runs: list[Try] = []
        self._thread: threading.Thread | None = None
        self._asked = threading.Event()
        self._drawing = threading.Lock()
        self.picture = plots.running({})
        self.controls = _controls()
        self.controls["loss"].observe(self._weights_belong, "value")
        word = {"layout": widgets.Layout(width="auto")}
        self.button = widgets.Button(description="Train", icon="play", **word)
        self.halt = widgets.Button(description="Stop", icon="stop", disabled=True, **word)
        self.button.on_click(lambda _: self.train())
        self.halt.on_click(lambda _: self.stop())
        self.status, self.table, self.words = (widgets.HTML() for _ in range(3))
        self.image = widgets.Image(format="png", layout=widgets.Layout(max_width="100%"))
        line = widgets.Layout(flex_flow="row wrap")
        rows = [
            widgets.HBox([self.controls[name] for name in names.split()], layout=line)
            for names in ROWS
        ]
        buttons = widgets.HBox([self.button, self.halt, self.status], layout=line)
        self.box = widgets.VBox([*rows, buttons, self.image, self.table, self.words])
        self._show()

    def set(self, **values: object) -> None:
        """Set several controls, by name."""
        for name, value in values.items():
            self.controls[name].value = value

    def settings(self) -> Fit:
        """What the controls say. Raises `GliomakitError` if that makes no sense."""
        values = {name: control.value for name, control in self.controls.items()}
        sequences = tuple(name for name in SEQUENCES if values.pop(name))
        if not sequences:
            raise GliomakitError("no sequence is ticked: the network would see nothing")
        weights = values.pop("weights")
        if values["loss"] == "weighted-dice":
            values["loss"] = weights
        values["validate_every"] = max(1, values["steps"] // 4)
        return Fit(**FIXED, **values, sequences=sequences)

    def train(self) -> None:
        """Begin to train with what the controls say; what is wrong is said beside the buttons."""
        if self.busy:
            self._say("✘ a training is running; stop it first")
            return
        try:
            settings = self.settings()
        except GliomakitError as error:
            self._say(f"✘ {error}")
            return
        self._asked.clear()
        self.runs.append(Try(f"run {len(self.runs) + 1}", settings))
        self.button.disabled, self.halt.disabled = True, False
        self._say(f"{self.runs[-1].name} is training")
        self._thread = threading.Thread(target=self._work, args=(self.runs[-1],), daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """End the training after the step that it is at."""
        if self.busy:
            self._asked.set()
            self._say("stopping after this step")

    @property
    def busy(self) -> bool:
        """Whether a training is running."""
        return self._thread is not None and self._thread.is_alive()

    def wait(self, seconds: float | None = None) -> Try | None:
        """Wait until the training has ended, so long at most; the last run."""
        if self._thread is not None:
            self._thread.join(seconds)
        return self.runs[-1] if self.runs else None

    def curves(self) -> dict[str, list[dict[str, float | None]]]:
        """The histories so far, by run, as `plots.running` takes them."""
        return {run.name: list(run.rows) for run in self.runs}

    def close(self) -> None:
        """Stop what is running and take the widget away."""
        self._asked.set()
        self.wait(30)
        self.box.close()

    def _work(self, run: Try) -> None:
        """The thread: one training, to whatever end."""
        from ..tracking import start_run
        from ..tracking.callbacks import FitLog

        begun, drawn = time.monotonic(), [0.0]

        def watch(event: str, **info: object) -> None:
            run.seconds = time.monotonic() - begun
            if event in ("step", "validation"):
                run.rows.append({k: v for k, v in info.items() if k not in ("cases", "find")})
                if self._asked.is_set():
                    raise Enough
                if time.monotonic() > drawn[0] + LIVE:
                    self._show()
                    drawn[0] = time.monotonic()

        try:
            with start_run(run.name, self.folder, tags=["playground"]) as log:
                keep = FitLog(log, self.training, self.validation, figures=0)
                fit(
                    self.training, self.validation, run.settings,
                    device=self.device, callback=both(keep, watch), progress=False,
                )  # fmt: skip
            run.state = "finished"
        except Enough:
            run.state = "stopped"
        except Exception as error:  # whatever it was, a person waits for a word about it
            run.state = "failed"
            known = isinstance(error, GliomakitError)
            run.error = str(error) if known else f"{type(error).__name__}: {error}"
        run.seconds = time.monotonic() - begun
        self._show()
        dice = "" if run.dice is None else f", Dice {run.dice:.3f}"
        sign = {"finished": "✔", "stopped": "■", "failed": "✘"}[run.state]
        because = f": {run.error.splitlines()[0]}" if run.error else ""
        self._say(f"{sign} {run.name} {run.state} after {run.steps} steps{dice}{because}")
        self.button.disabled, self.halt.disabled = False, True

    def _say(self, text: str) -> None:
        self.status.value = f"&nbsp;<b>{html.escape(text)}</b>"

    def _show(self) -> None:
        """Draw the curves and write the table, from whichever thread."""
        with self._drawing:
            steps = self.runs[-1].settings.steps if self.runs else None
            self.picture = plots.running(self.curves(), steps, figure=self.picture)
            self.image.value = self.picture.quick()
            self.table.value = table(self.runs)
            said = html.escape(self.picture.alt)
            self.words.value = f"<details><summary>the picture in words</summary>{said}</details>"

    def _weights_belong(self, change: object) -> None:
        self.controls["weights"].disabled = self.controls["loss"].value != "weighted-dice"

    def _repr_mimebundle_(self, include=None, exclude=None) -> dict[str, object]:
        view = {"version_major": 2, "version_minor": 0, "model_id": self.box.model_id}
        return {
            "text/plain": SENTENCE,
            "text/html": f"<i>{SENTENCE}</i>",
            "application/vnd.jupyter.widget-view+json": view,
        }


def playground(
    training: Sequence[Prepared],
    validation: Sequence[Prepared],
    folder: str | Path = "runs",
    device: str | None = None,
) -> Playground:
    """A playground over prepared cases; runs are written to `folder`.

    Raises `GliomakitError` without cases, and without ipywidgets.
    """
    if not there():
        raise GliomakitError("the playground needs ipywidgets", todo="pip install ipywidgets")
    return Playground(training, validation, folder, device)


def table(runs: Sequence[Try]) -> str:
    """The runs beside one another as HTML: what differs, how each ended; ★ is the best Dice."""
    if not runs:
        return ""
    kept = [run.settings.as_json() for run in runs]
    skip = ("validate_every", "output", "regions")
    names = [n for n in kept[0] if n not in skip and any(k[n] != kept[0][n] for k in kept)]
    names = names or ["rate", "base_filters", "patch"]
    scores = [run.dice for run in runs if run.dice is not None]
    rows = [["run", "Dice", "steps done", "seconds", "state", *names]]
    for run, settings in zip(runs, kept):
        best = "★ " if run.dice is not None and run.dice == max(scores) else ""
        dice = "" if run.dice is None else f"{best}{run.dice:.3f}"
        shown = [_short(settings[name]) for name in names]
        rows.append([run.name, dice, str(run.steps), f"{run.seconds:.0f}", run.state, *shown])
    lines = []
    for number, row in enumerate(rows):
        tag = "th" if number == 0 else "td"
        cells = "".join(f"<{tag} style='padding:0 .8em 0 0'>{html.escape(c)}</{tag}>" for c in row)
        lines.append(f"<tr style='text-align:left'>{cells}</tr>")
    return f"<table>{''.join(lines)}</table>"


def _short(value: object) -> str:
    if isinstance(value, list):
        return " ".join(str(one) for one in value)
    return f"{value:.3g}" if isinstance(value, float) else str(value)


ROWS = (
    "network base_filters patch batch",
    "loss weights",
    "schedule rate steps seed",
    "foreground flip rotate intensity",
    "flair t1 t1ce t2",
)
"""Controls that stand side by side."""


def _controls() -> dict[str, object]:
    import ipywidgets as widgets

    def box(text: str, value: bool = True) -> object:
        wide = widgets.Layout(width="auto")
        return widgets.Checkbox(value=value, description=text, indent=False, layout=wide)

    rate = widgets.FloatLogSlider(
        value=1e-2,
        min=-5,
        max=0,
        step=0.1,
        description="rate",
        readout_format=".1e",
        style={"description_width": "initial"},
    )
    return {
        "network": choice_of("network", list(KINDS), "LightUNet3d"),
        "base_filters": slider_of("base filters", 8, 2, 16, 2),
        "patch": choice_of("patch, voxels", [16, 32, 48, 64], 32),
        "batch": slider_of("patches a step", 2, 1, 8),
        "loss": choice_of("loss", list(LOSSES), "weighted-dice"),
        "weights": choice_of("weights", list(WEIGHTS.items()), "weighted-dice"),
        "schedule": choice_of("schedule", list(SCHEDULES), "one-cycle"),
        "rate": rate,
        "steps": slider_of("steps", 60, 5, 400, 5),
        "seed": slider_of("seed", 0, 0, 20),
        "foreground": slider_of("foreground", 0.5, 0.0, 1.0, 0.1),
        "flip": box("flip"),
        "rotate": box("turn"),
        "intensity": box("change intensities"),
        **{name: box(SEQUENCE_NAMES[name]) for name in SEQUENCES},
    }
