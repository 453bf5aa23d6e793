"""Log a training run: `FitLog` for `gliomakit.fit`, `NeptuneLog` for fastai.

    with start_run("first try") as run:
        fit(training, validation, callback=FitLog(run, training, validation))
        learn.fit_one_cycle(5, 5e-3, cbs=NeptuneLog(run))

Neither raises into training: what goes wrong is said once, and training goes on.
"""

from __future__ import annotations

import csv
import hashlib
import io
import sys
import time
from collections.abc import Callable, Sequence
from importlib import import_module
from typing import TYPE_CHECKING

import numpy as np
import torch

from ..regions import REGIONS

if TYPE_CHECKING:
    from ..plots import Picture
    from ..preprocess import Prepared

__all__ = ["FitLog", "NeptuneLog"]  # noqa: F822 (loaded by __getattr__)


def __getattr__(name: str) -> object:
    if name == "NeptuneLog":  # fastai takes seconds to import: only for those who use it
        return import_module("._fastai", __package__).NeptuneLog
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


class FitLog:
    """A callback for `gliomakit.fit`: settings, data, loss and rate of each step, Dice.

    run:        of `start_run`; or a function that starts it, called when training begins. It is
                not stopped at the end: other fits may follow.
    training, validation: the cases, for the record of what the figures are of.
    figures:    draw the first validation case and what is found in it at every so many
                validations; 0 never. Costs one more volume and a third of a second each.

    Under "parameters" stand the settings, under "data" number, names and digest of the cases, under
    "metrics/train" loss, rate (the one that was used) and gradient a step, under "metrics/valid"
    Dice, under "fit" device, precision, parameters, seconds, memory; "pictures/validation" are the
    figures, and "tables/validation" is the last validation's Dice of each case (CSV). After a
    validation and at each checkpoint everything is on the disk.
    """

    def __init__(
        self,
        run,
        training: Sequence[Prepared] = (),
        validation: Sequence[Prepared] = (),
        figures: int = 5,
    ):
        self.run, self.cases = run, {"training": training, "validation": validation}
        self.figures, self.validations, self.begun = figures, 0, time.monotonic()
        self.table: dict[str, dict[str, float]] = {}

    def __call__(self, event: str, **info: object) -> None:
        getattr(self, f"_{event}")(**info)

    def _start(self, settings, steps, step, device, precision, parameters, network, out, **_):
        self.begun, self.regions = time.monotonic(), settings.regions
        if callable(self.run):
            self.run = self.run()
        run = self.run
        run["parameters"] = settings.as_json()
        for kind, cases in self.cases.items():
            if cases:
                run[f"data/{kind}"] = described(cases)
        run["fit"] = {
            "device": device,
            "precision": precision,
            "parameters": parameters,
            "network": type(network).__name__,
            "steps": steps,
            "first_step": step,
            "torch": torch.__version__,
        }
        run.wait()

    def _step(self, step, loss, rate, gradient, **_):
        train = self.run["metrics/train"]
        # A step that was left out had a loss that was no number.
        train["loss"].append(float("nan") if loss is None else loss, step=step)
        train["rate"].append(rate, step=step)
        if gradient is not None:
            train["gradient"].append(gradient, step=step)

    def _validation(self, step, cases=None, find=None, **row):
        for name, value in row.items():
            if name.startswith("dice"):
                self.run[f"metrics/valid/{name}"].append(value, step=step)
        self.table = cases or {}
        if self.figures and find and self.cases["validation"]:
            if self.validations % self.figures == 0:
                picture = found_picture(self.cases["validation"][0], find, self.regions)
                self.run["pictures/validation"].append(picture, step=step)
        self.validations += 1
        self.run.wait()

    def _checkpoint(self, **_):
        self.run.wait()

    def _end(self, step, skipped, **_):
        self.run["fit/seconds"] = round(time.monotonic() - self.begun, 1)
        self.run["fit/last_step"] = step
        self.run["fit/skipped"] = skipped
        self.run["fit/peak_memory_mib"] = peak_memory()
        if self.table:
            self.run["tables/validation"].upload(as_csv(self.table), extension="csv")
        self.run.wait()


def found_picture(
    case: Prepared, find: Callable[[Prepared], np.ndarray], regions: Sequence[str] = REGIONS
) -> Picture:
    """A prepared case, its reference and what `find` makes of it, some or all of the regions."""
    from .. import plots
    from ..cases import Case, Grid
    from ..preprocess import to_regions_array

    found = np.zeros((len(REGIONS), *case.image.shape[1:]), bool)
    for name, mask in zip(regions, find(case), strict=True):
        found[REGIONS.index(name)] = mask
    grid = Grid(case.image.shape[1:], case.affine)
    shown = Case(case.name, np.asarray(case.image), case.present, case.affine, grid)
    return plots.compare(shown, to_regions_array(case.regions), found)


def as_csv(table: dict[str, dict[str, float]]) -> str:
    """Dice of each case and region.

    >>> print(as_csv({"a": {"wt": 0.5, "tc": 1.0}}), end="")
    case,wt,tc
    a,0.5,1.0
    """
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["case", *next(iter(table.values()))])
    writer.writerows([name, *scores.values()] for name, scores in table.items())
    return text.getvalue()


def described(cases: Sequence[Prepared]) -> dict[str, object]:
    """What a set of cases is: how many, which, at what spacing, and a digest of images and labels.

    Of each image eight slices go into the digest: enough to notice another case or preparation.
    """
    digest = hashlib.sha256()
    for case in cases:
        digest.update(case.name.encode())
        step = max(1, case.image.shape[-1] // 8)
        digest.update(case.image[..., ::step].tobytes())
        if case.regions is not None:
            digest.update(case.regions[..., ::step].tobytes())
    return {
        "cases": len(cases),
        "names": [case.name for case in cases],
        "spacing_mm": str(cases[0].frame.target),
        "digest": digest.hexdigest()[:16],
    }


def peak_memory() -> int:
    """MiB: of the GPU where one was used, else of this process."""
    if torch.cuda.is_available() and torch.cuda.max_memory_allocated():
        return torch.cuda.max_memory_allocated() // 2**20
    if sys.platform == "win32":
        return 0
    import resource

    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most // (2**20 if sys.platform == "darwin" else 2**10)
