"""Train a network: `fit` takes prepared cases and settings and gives a model.

A run can be killed at any moment and taken up again: a checkpoint holds all that the next step
depends on, and everything random is a function of seed and step, so that on a processor, with the
same number of threads, the weights at the end are the same to the last bit.
"""

from __future__ import annotations

import json
import math
import os
import sys
import warnings
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from time import monotonic

import numpy as np
import torch
from tqdm import tqdm

from . import __version__, _checkpoint
from ._learner import Learner, check_cases
from ._processes import first_alone, join, rank, wait, world
from ._recipe import Fit
from ._record import Callback, CtrlC, History, Row, Tell, read_history
from .device import pick_device
from .errors import GliomakitError
from .model import Model, save_model
from .preprocess import Prepared

__all__ = ["Fit", "Fitted", "fit"]

MODEL, HISTORY, SETTINGS = "model.safetensors", "history.jsonl", "settings.json"

PATIENCE = 20
"""Steps in a row without a finite gradient after which a run is given up."""

SMOKE_STEPS = 2
"""Steps of a run when the environment variable GLIOMAKIT_SMOKE is set."""


@dataclass(frozen=True)
class Fitted:
    """What `fit` gives: the model (averaged weights), and what happened on the way.

    history: one row a step (`step`, `loss`, `rate`, `gradient`, its norm before clipping,
             `seconds` since the beginning) and one a validation (`step`, `dice_wt`, …,
             `dice_mean`, `seconds`). Steps count from 1. A step that was left out has loss None.
    skipped: how many steps were left out because their gradient was not finite.
    """

    model: Model
    history: list[Row] = field(repr=False)
    skipped: int = 0

    @property
    def dice(self) -> dict[str, float]:
        """The last validation's mean Dice by region, and over them; empty if there was none."""
        return _last_dice(self.history)


def fit(
    training: Sequence[Prepared],
    validation: Sequence[Prepared] = (),
    settings: Fit | None = None,
    out: str | Path | None = None,
    device: str | torch.device | None = None,
    resume: bool = False,
    progress: bool = True,
    callback: Callback | None = None,
) -> Fitted:
    """Train a network on prepared cases with labels.

    settings: see `Fit`; None is its defaults.
    out:      a folder for ``model.safetensors``, ``history.jsonl``, ``settings.json`` and
              ``checkpoint.safetensors``; None writes nothing.
    device:   "cpu", "cuda", …; None is the fastest that works.
    resume:   go on from the checkpoint in `out`, if there is one; a finished run is only loaded.
              Without it a folder that holds a checkpoint is refused.
    progress: a bar with loss and Dice on stderr, where that is a terminal.
    callback: called as ``callback(event, **info)``: "start" (settings, steps, step, device,
              precision, parameters, network, out), "step" (a row of the history), "validation"
              (likewise; and cases, each one's Dice, and find, from a case to its regions),
              "checkpoint" (step, path), "end" (step, model, history, skipped). If it raises, that
              is said once and training goes on.

    Started by torchrun, several processes train one network, each with `settings.batch` patches a
    step: the weights are those of one process with a batch as many times larger (but for batch norm
    on processors, whose statistics are each process's own). The first one writes and validates.

    A step whose gradient is not finite changes nothing and is counted; `PATIENCE` of them in a row
    end the run with an error, and the last checkpoint stays. Ctrl-C lets the step end, writes a
    checkpoint and raises `KeyboardInterrupt`; a second Ctrl-C stops at once.

    Raises `GliomakitError` before the first step if cases have no label or do not belong together,
    if `out` cannot be written, and if a resumed run had other settings or other cases.
    """
    settings = Fit() if settings is None else settings
    check_cases(training, validation, settings)
    device = join(pick_device(device))
    with first_alone():
        first = rank() == 0 and out is not None
        folder = _checkpoint.folder(Path(out), resume) if first else out and Path(out)
    with torch.random.fork_rng([device] if device.type == "cuda" else []), CtrlC() as ctrl_c:
        torch.manual_seed(settings.seed)
        learner = Learner(training, settings, device)
        run = _Run(learner, training, validation, folder, Tell(callback), ctrl_c)
        if folder is not None and (folder / _checkpoint.NAME).exists():
            run.load()
        if rank() > 0:  # the first process writes, validates and tells, for all
            run.folder, run.validation, run.tell, progress = None, (), Tell(None), False
        wait()
        return run.go(progress)


class _Run:
    """One training run: how far it is, and what it leaves behind."""

    def __init__(
        self,
        learner: Learner,
        training: Sequence[Prepared],
        validation: Sequence[Prepared],
        folder: Path | None,
        tell: Tell,
        ctrl_c: CtrlC,
    ):
        self.learner, self.settings, self.device = learner, learner.settings, learner.device
        self.validation, self.folder, self.tell, self.ctrl_c = validation, folder, tell, ctrl_c
        self.cases = {
            "training": [_checkpoint.fingerprint(case) for case in training],
            "validation": [_checkpoint.fingerprint(case) for case in validation],
        }
        self.end = min(self.settings.steps, SMOKE_STEPS) if smoke() else self.settings.steps
        self.step = self.skipped = self.in_a_row = 0
        self.history: list[Row] = []
        self.begun = monotonic()
        # A GPU is asked for a loss one step late: asking at once would wait for it every time.
        self.late = 0 if self.device.type == "cpu" else 1
        self.waiting: deque[tuple[int, torch.Tensor, torch.Tensor]] = deque()

    def go(self, progress: bool) -> Fitted:
        """Train to the end."""
        self._write_settings()
        self.tell(
            "start",
            settings=self.settings,
            steps=self.end,
            step=self.step,
            device=str(self.device),
            precision=self.learner.precision,
            parameters=sum(p.numel() for p in self.learner.parameters),
            network=self.learner.network,
            out=self.folder,
        )
        hidden = not progress or not sys.stderr.isatty()
        with (
            History(self.folder and self.folder / HISTORY, self.history) as self.record,
            tqdm(
                total=self.end, initial=self.step, desc="train", unit="step", disable=hidden
            ) as self.bar,
        ):
            # Killed between a checkpoint and the validation that follows: that one is still due.
            if self._validation_due() and not self._validated():
                self._validate()
            while self.step < self.end:
                loss, norm = self._learn()
                self.step += 1
                self.waiting.append((self.step, loss, norm))
                if len(self.waiting) > self.late:
                    self._note()
                due = self._validation_due()
                every = self.step % self.settings.checkpoint_every == 0
                if due or every or self.step == self.end or self.ctrl_c.asked:
                    self._save()
                self.ctrl_c.stop_if_asked()
                if due:
                    self._validate()
            fitted = Fitted(self.learner.model(), self.history, self.skipped)
            if self.folder is not None:
                save_model(fitted.model, self.folder / MODEL)
        self.tell(
            "end", step=self.step, model=fitted.model, history=self.history, skipped=self.skipped
        )
        return fitted

    def _learn(self) -> tuple[torch.Tensor, torch.Tensor]:
        try:
            return self.learner.step(self.step)
        except RuntimeError as error:
            # torch's errors of a lost connection have no class of their own.
            lost = any(word in str(error) for word in ("Connection", "NCCL", "gloo", "peer"))
            if world() == 1 or not lost:
                raise
            raise GliomakitError(
                f"another process of this run was lost at step {self.step + 1}",
                where=self.folder,
                todo="the last checkpoint was kept: go on with --resume",
            ) from error

    def _note(self) -> None:
        """Take the oldest step whose result is waiting into the history."""
        step, loss, norm = self.waiting.popleft()
        loss, norm = float(loss), float(norm)
        good = math.isfinite(norm) and math.isfinite(loss)
        self.in_a_row = 0 if good else self.in_a_row + 1
        self.skipped += not good
        row: Row = {
            "step": step,
            "loss": loss if good else None,
            "rate": self.settings.rate_at(step - 1),
            "gradient": norm if good else None,
            "seconds": self._seconds(),
        }
        self.record.add(row)
        self.tell("step", **row)
        self.bar.update()
        self._show()
        if self.in_a_row >= PATIENCE:
            kept = self.folder is not None and (self.folder / _checkpoint.NAME).exists()
            raise GliomakitError(
                f"loss or gradient has not been a number for {PATIENCE} steps, up to step {step}",
                where=self.folder,
                todo=f"a lower rate than {self.settings.rate:g} may help"
                + ("; the last checkpoint was kept" if kept else ""),
            )

    def _show(self) -> None:
        if not self.bar.disable:
            recent = [row["loss"] for row in self.history[-50:] if row.get("loss") is not None]
            shown = {"loss": np.mean(recent)} if recent else {}
            shown |= _last_dice(self.history[-2 * self.settings.validate_every :])
            text = {name: f"{value:.3f}" for name, value in shown.items()}
            self.bar.set_postfix(text, refresh=False)

    def _validation_due(self) -> bool:
        due = self.step % self.settings.validate_every == 0 or self.step == self.end
        return len(self.validation) > 0 and self.step > 0 and due

    def _validated(self) -> bool:
        return any(row["step"] == self.step and "dice_mean" in row for row in self.history)

    def _validate(self) -> None:
        cases = {}
        for case in self.validation[:1] if smoke() else self.validation:
            self.ctrl_c.stop_if_asked()
            cases[case.name] = self.learner.dice(case)
        means = {r: float(np.mean([c[r] for c in cases.values()])) for r in self.settings.regions}
        means["mean"] = float(np.mean(list(means.values())))
        row: Row = {"step": self.step}
        row |= {f"dice_{name}": round(value, 6) for name, value in means.items()}
        row["seconds"] = self._seconds()
        self.record.add(row)
        self.tell("validation", **row, cases=cases, find=self.learner.find)
        self._show()

    def _write_settings(self) -> None:
        if self.folder is None:
            return
        about = {
            "settings": self.settings.as_json(),
            "spacing": self.learner.spacing,
            "cases": {kind: [c["name"] for c in cases] for kind, cases in self.cases.items()},
            "machine": self._machine(),
            "gliomakit": __version__,
        }
        _checkpoint.write_text(self.folder / SETTINGS, json.dumps(about, indent=1) + "\n")

    def _machine(self) -> dict[str, object]:
        """What the last bit of a result depends on besides settings and cases."""
        return {
            "device": self.device.type,
            "precision": self.learner.precision,
            "threads": torch.get_num_threads(),
            "torch": torch.__version__,
            **({"processes": world()} if world() > 1 else {}),
        }

    def _seconds(self) -> float:
        return round(monotonic() - self.begun, 3)

    def _save(self) -> None:
        """Write a checkpoint of this very step."""
        while self.waiting:
            self._note()
        if self.folder is None:
            return
        self.record.flush()
        learner = self.learner
        tensors = _checkpoint.state(learner.network, learner.average, learner.optimiser)
        tensors["rng.cpu"] = torch.get_rng_state()
        if self.device.type == "cuda":
            tensors["rng.cuda"] = torch.cuda.get_rng_state(self.device)
        facts = {
            "step": self.step,
            "settings": self.settings.as_json(),
            "cases": self.cases,
            "machine": self._machine(),
            "scaler": learner.scaler.state_dict(),
            "skipped": self.skipped,
            "in_a_row": self.in_a_row,
            "seconds": self._seconds(),
        }
        _checkpoint.write(self.folder / _checkpoint.NAME, tensors, facts)
        self.tell("checkpoint", step=self.step, path=self.folder / _checkpoint.NAME)

    def load(self) -> None:
        """Take up the run whose checkpoint lies in the folder."""
        path, learner = self.folder / _checkpoint.NAME, self.learner
        tensors, facts = _checkpoint.read(path)
        found = _checkpoint.differences(facts["settings"], self.settings.as_json())
        for kind, now in self.cases.items():
            found += _checkpoint.case_differences(kind, facts["cases"][kind], now)
        if found:
            raise GliomakitError(
                f"the run in this folder was another one: {'; '.join(found)}",
                where=path,
                todo="give the same settings and cases, or another folder",
            )
        machine = _checkpoint.differences(facts["machine"], self._machine())
        if machine:
            warnings.warn(
                "the run goes on, but its weights will differ in the last digits from those of a "
                f"run that was never stopped: {'; '.join(machine)}",
                stacklevel=3,
            )
        _checkpoint.take_up(tensors, learner.network, learner.average, learner.optimiser)
        if facts["scaler"]:  # empty if it was disabled, as on MPS
            learner.scaler.load_state_dict(facts["scaler"])
        torch.set_rng_state(tensors["rng.cpu"])
        if self.device.type == "cuda" and "rng.cuda" in tensors:
            torch.cuda.set_rng_state(tensors["rng.cuda"], self.device)
        self.step, self.begun = facts["step"], monotonic() - facts["seconds"]
        self.skipped, self.in_a_row = facts["skipped"], facts["in_a_row"]
        self.history += read_history(self.folder / HISTORY, self.step)


def _last_dice(history: Sequence[Row]) -> dict[str, float]:
    rows = (row for row in reversed(history) if "dice_mean" in row)
    return {k[5:]: v for k, v in next(rows, {}).items() if k.startswith("dice_")}


def smoke() -> bool:
    """Whether the environment asks for a training of `SMOKE_STEPS` only, as tests do."""
    return os.environ.get("GLIOMAKIT_SMOKE", "") not in ("", "0")
