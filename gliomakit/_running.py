"""Trainings while they run: loss and Dice of each, moved as steps come in."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.figure import Figure

from ._curves import look, smoothed
from ._moving import staged
from ._picture import DARK, LIGHT, canvas
from ._reliability import dark_panel
from .errors import GliomakitError

SMOOTH = 0.8
"""Weight of the past in the curve of the loss: single batches differ by more than a loss falls."""

MOST = 8
"""So many runs are drawn, the last ones."""

Rows = Sequence[Mapping[str, float | None]]


def running(
    runs: Mapping[str, Rows],
    steps: int | None = None,
    score: str = "dice_mean",
    figure: Figure | None = None,
) -> Figure:
    """Left the loss of each step, smoothed; right the Dice of each validation. One line a run.

    runs:  name -> rows of a history (`training.Fitted.history`); the last `MOST` are drawn, the
           last of them thicker.
    steps: how far the axes reach; by default as far as there are steps.
    score: which value of the validations.

    A `figure` of this kind is moved, not drawn anew.
    """
    stage = staged(figure, _Running) or _Running(figure)
    stage.move(runs, steps, score)
    return stage.figure


class _Running:
    """The artists: a line a run in each of the two panels."""

    def __init__(self, figure: Figure | None):
        self.data: tuple = ()
        self.figure = canvas(figure, 9.6, 3.5, DARK)
        self.panels = list(self.figure.subplots(1, 2))
        self.figure.subplots_adjust(left=0.07, right=0.975, bottom=0.3, top=0.9, wspace=0.2)
        for panel, name in zip(self.panels, ("training loss", "Dice of whole volumes")):
            dark_panel(panel)
            panel.set_title(name, color=LIGHT, fontsize=11)
            panel.set_xlabel("step", color=LIGHT, fontsize=9)
        self.panels[1].set_ylim(0, 1)
        self.lines: dict[tuple[str, int], object] = {}
        self.shown: list[str] = []
        self.reach = (1, 1.0)
        self.figure.stage = self

    def move(self, runs: Mapping[str, Rows], steps: int | None, score: str) -> None:
        if steps is not None and steps < 1:
            raise GliomakitError(f"{steps} steps make no curve")
        shown = list(runs)[-MOST:]
        if shown != self.shown:
            self._cast(list(runs), shown)
        most, high, ends = steps or 1, 0.0, []
        for name in shown:
            learned = [row for row in runs[name] if row.get("loss") is not None]
            scored = [row for row in runs[name] if score in row]
            losses = smoothed([row["loss"] for row in learned], SMOOTH)
            self.lines[name, 0].set_data([row["step"] for row in learned], losses)
            dice = [row[score] for row in scored]
            self.lines[name, 1].set_data([row["step"] for row in scored], dice)
            most = max([most, *(row["step"] for row in runs[name])])
            high = max(high, float(np.max(losses, initial=0.0)))
            said = f"Dice {dice[-1]:.3f}" if dice else "no Dice yet"
            ends.append(f"{name}: {len(learned)} steps, {said}")
        self._axes(most, high)
        self.figure.alt = "Loss and Dice against steps. " + ("; ".join(ends) or "No run yet")

    def _cast(self, names: list[str], shown: list[str]) -> None:
        """Lines for these runs; a run keeps its look for as long as it is there."""
        for line in self.lines.values():
            line.remove()
        self.lines, self.shown = {}, shown
        for name in shown:
            for place, panel in enumerate(self.panels):
                wide = 2.6 if name == shown[-1] else 1.5
                style = look(names.index(name)) | {"linewidth": wide, "animated": True}
                mark = {"marker": "o", "markersize": 4, "clip_on": False} if place else {}
                (self.lines[name, place],) = panel.plot([], [], label=name, **style, **mark)
        for old in self.figure.legends[:]:
            old.remove()
        if shown:
            handles = [self.lines[name, 0] for name in shown]
            words = {"labelcolor": LIGHT, "frameon": False, "fontsize": 10, "loc": "lower left"}
            self.figure.legend(handles, shown, ncols=min(4, len(shown)), **words)

    def _axes(self, most: int, high: float) -> None:
        """Set only if they change: that draws everything anew."""
        top = self.reach[1] if 0.6 * self.reach[1] <= high <= self.reach[1] else 1.15 * high or 1.0
        if (most, top) == self.reach and self.panels[0].get_xlim()[1] == most:
            return
        self.reach = most, top
        for panel in self.panels:
            panel.set_xlim(0, most)
        self.panels[0].set_ylim(0, top)
