"""`NeptuneLog` for fastai: several fits in one run, and nothing in the way of the learner."""

from __future__ import annotations

import functools
import hashlib
import time
import warnings
from collections.abc import Callable, Iterable
from pathlib import Path

import torch
from fastai.callback.core import Callback, CancelTrainException

from ..training import SMOKE_STEPS, smoke
from ._items import ItemTable
from .callbacks import as_csv, peak_memory


def _harmless(method: Callable) -> Callable:
    """What fails in here is said once; training goes on."""

    @functools.wraps(method)
    def guarded(self: NeptuneLog) -> None:
        if self.tracked is None:
            return
        try:
            method(self)
        except Exception as error:
            if not self.said:
                self.said = True
                warnings.warn(
                    f"NeptuneLog failed in {method.__name__} ({type(error).__name__}: {error}); "
                    "training goes on, and this is not said again",
                    stacklevel=2,
                )

    return guarded


def digest(items: Iterable[object]) -> str:
    """What tells two sets of items apart: names and contents of files, the values of others.

    Of each file its size and its first 64 KiB count: other images under old names are noticed.

    >>> digest([1, 2]) == digest([1, 2]), digest([1, 2]) == digest([2, 1])
    (True, False)
    """
    found = hashlib.sha256()
    if hasattr(items, "itertuples"):  # a table, whose iterator gives the names of its columns
        items = items.itertuples(index=False)
    for item in items:
        if isinstance(item, Path) and item.is_file():
            with item.open("rb") as file:
                found.update(f"{item.name} {item.stat().st_size}".encode() + file.read(2**16))
        elif hasattr(item, "tobytes"):
            found.update(str(getattr(item, "shape", "")).encode() + item.tobytes())
        else:
            found.update(repr(item).encode() + b"\n")
    return found.hexdigest()[:16]


class NeptuneLog(Callback):
    """Log fastai's training to a run of `start_run`.

    run:     is not stopped: several fits, and fine_tune's two phases, go on in it with one count of
             steps; "fit/number" and "fit/phase" say which. In what is pickled (`export`) there is
             no run: a loaded learner logs nothing.
    figures: a figure of predictions every so many epochs, where `show_results` works; 0 for none.
    table:   at a fit's end its last validation case by case, in "tables/validation": mean loss,
             how many items, and Dice where the targets are masks. An item's case is its folder
             (the patient that a slice lies with), or the item itself.

    Logged are loss and rate of every step (the rates that the optimiser had, of the last group),
    the recorder's values of every epoch by their names, hyper-parameters, batch size, how many
    items and a digest of what they hold, seconds, memory, device. `lr_find`, `validate` and
    `get_preds` are no training and leave nothing behind, but for "lr_find/calls". A fit that
    another one follows without having ended has failed, and is marked so.
    """

    order = 60  # after the recorder, whose values it takes
    remove_on_fetch = True

    def __init__(self, run, figures: int = 5, table: bool = True):
        super().__init__()
        self.tracked, self.figures, self.table = run, figures, table
        self.fits = self.steps = self.epochs = 0
        self.open = self.said = False
        self.waiting: list[tuple[int, torch.Tensor, float]] = []
        self.items, self.cases = ItemTable(), {}

    def __getstate__(self) -> dict:
        return self.__dict__ | {
            "tracked": None,
            "learn": None,
            "waiting": [],
            "items": ItemTable(),
            "cases": {},
        }

    def __setstate__(self, state: dict) -> None:
        self.__dict__.update(state)

    @property
    def finding(self) -> bool:
        """`lr_find` is at work."""
        return hasattr(self.learn, "lr_finder")

    @_harmless
    def before_train(self) -> None:
        if self.finding or self.open and self.learn.epoch > 0:
            return
        if self.open:
            if self.waiting:
                self._write_steps()
            self.tracked[f"fit/{self.fits}/state"] = "failed"
            self.tracked[f"fit/{self.fits}/last_step"] = self.steps
        self._begin()

    def _begin(self) -> None:
        learn = self.learn
        self.fits, self.open, self.begun = self.fits + 1, True, time.monotonic()
        here = self.tracked[f"fit/{self.fits}"]
        frozen = sum(not p.requires_grad for p in learn.model.parameters())
        here["state"] = "running"
        here["epochs"] = learn.n_epoch
        here["first_step"] = self.steps
        here["phase"] = "frozen" if frozen else "unfrozen"
        here["device"] = str(next(learn.model.parameters()).device)
        self.tracked["parameters"] = {
            "architecture": getattr(learn, "arch", type(learn.model)).__name__,
            "loss": type(learn.loss_func).__name__,
            "optimiser": type(learn.opt).__name__,
            "weight_decay": learn.opt.hypers[-1].get("wd"),
            "batch_size": learn.dls.bs,
            "parameters": sum(p.numel() for p in learn.model.parameters()),
            "torch": torch.__version__,
        }
        for kind, dl in zip(("training", "validation"), learn.dls, strict=False):
            items = getattr(dl, "items", [])
            self.tracked[f"data/{kind}"] = {"items": len(items), "digest": digest(items)}
        self.tracked.wait()

    def before_batch(self) -> None:
        """Where tests only ask whether a lesson's cells run, an epoch has two steps."""
        if smoke() and self.learn.training and not self.finding and self.learn.iter >= SMOKE_STEPS:
            raise CancelTrainException

    def after_cancel_train(self) -> None:
        if smoke():  # fastai's recorder leaves a cancelled epoch's training loss out of its table
            self.learn.recorder.cancel_train = False

    @_harmless
    def before_validate(self) -> None:
        self.items = ItemTable()

    @_harmless
    def after_batch(self) -> None:
        if self.finding or not self.open:
            return
        if not self.learn.training:
            if self.table:
                self._add_items()
            return
        # Asked for at the epoch's end: asking a GPU now would wait for it.
        loss = self.learn.loss.detach()
        self.waiting.append((self.steps, loss, float(self.learn.opt.hypers[-1]["lr"])))
        self.steps += 1

    def _add_items(self) -> None:
        try:
            self.items.add(self.learn)
        except Exception:  # a loss that cannot be had item by item
            self.table = False
            raise

    @_harmless
    def after_epoch(self) -> None:
        if self.finding or not self.open or not self.waiting:
            return
        self._write_steps()
        # Now, for the figure below validates a few items again.
        self.cases = self.items.rows(getattr(self.learn.dls.valid, "items", []))
        recorder = self.learn.recorder
        for name, value in zip(recorder.metric_names, recorder.log, strict=False):
            if name in ("epoch", "time"):
                continue
            kind, rest = name.split("_", 1) if name.startswith(("train_", "valid_")) else ("", name)
            path = f"metrics/{kind or 'valid'}/{'epoch_' if kind == 'train' else ''}{rest}"
            self.tracked[path].append(value, step=self.steps)
        self.epochs += 1
        self.tracked["fit/epochs"] = self.epochs
        self.tracked.wait()
        if self.figures and self.epochs % self.figures == 0:
            self._figure()
            self.tracked.wait()

    def _write_steps(self) -> None:
        losses = torch.stack([loss for _, loss, _ in self.waiting]).cpu().tolist()
        train = self.tracked["metrics/train"]
        for loss, (step, _, rate) in zip(losses, self.waiting, strict=True):
            train["loss"].append(loss, step=step)
            train["rate"].append(rate, step=step)
        self.waiting = []

    def _figure(self) -> None:
        import matplotlib.pyplot as plt

        self.learn.show_results(max_n=4)
        self.tracked["pictures/predictions"].append(plt.gcf(), step=self.steps)
        plt.close()

    @_harmless
    def after_cancel_fit(self) -> None:
        if self.open:
            self.tracked[f"fit/{self.fits}/cancelled"] = True

    @_harmless
    def after_fit(self) -> None:
        if self.finding:
            known = getattr(self, "found", 0)
            self.found = known + 1
            self.tracked["lr_find/calls"] = self.found
            return
        if not self.open:
            return
        if self.waiting:
            self._write_steps()
        self.open = False
        if self.cases:
            self.tracked["tables/validation"].upload(as_csv(self.cases), extension="csv")
        here = self.tracked[f"fit/{self.fits}"]
        here["state"] = "finished"
        here["seconds"] = round(time.monotonic() - self.begun, 1)
        here["last_step"] = self.steps
        self.tracked["fit/number"] = self.fits
        self.tracked["fit/peak_memory_mib"] = peak_memory()
        self.tracked.wait()
