"""Methods beside one another on the same patients: each patient a point, the mean in bounds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from ._axial import QUIET
from ._curves import COLOURS
from ._picture import DARK, LIGHT, canvas
from ._reliability import dark_panel
from .errors import GliomakitError
from .metrics import bootstrap_interval

Scores = Mapping[str, Sequence[float]]
"""Method -> one score a patient, in the same order of patients for all methods."""


def compared(
    groups: Mapping[str, Scores], across: str = "Dice", figure: Figure | None = None
) -> Figure:
    """One panel a group of patients, one row a method; rows stand where they were given.

    A pale point is a patient, the diamond is the mean, the bar its 95 % bootstrap interval over
    the patients. Methods that some group lacks have an empty row there.
    """
    names = list(dict.fromkeys(name for scores in groups.values() for name in scores))
    if not names or any(len(v) == 0 for scores in groups.values() for v in scores.values()):
        raise GliomakitError("there are no scores to compare")
    figure = canvas(figure, 3.0 + 4.1 * len(groups), 0.42 * len(names) + 1.3, DARK)
    panels = figure.subplots(1, len(groups), squeeze=False, sharey=True)[0]
    wide, tall = figure.get_figwidth(), figure.get_figheight()
    figure.subplots_adjust(left=2.6 / wide, right=1 - 0.2 / wide, wspace=0.08)
    figure.subplots_adjust(bottom=0.85 / tall, top=1 - 0.35 / tall)
    spread, said = np.random.default_rng(0), []
    for panel, (title, scores) in zip(panels, groups.items(), strict=True):
        dark_panel(panel)
        some = next(iter(scores.values()))
        panel.set_title(f"{title}, n = {len(some)}", color=LIGHT, fontsize=12)
        for row, name in enumerate(names):
            if name not in scores:
                continue
            values, colour = np.asarray(scores[name], float), COLOURS[row % len(COLOURS)]
            low, high = bootstrap_interval(values)
            beside = row + spread.uniform(-0.22, 0.22, len(values))
            panel.plot(values, beside, "o", color=colour, alpha=0.4, markersize=4, linewidth=0)
            panel.plot([low, high], [row, row], color=colour, linewidth=4, alpha=0.9)
            panel.plot(values.mean(), row, "D", color=LIGHT, markersize=6)
            said.append(f"{title}, {name}: {values.mean():.2f} ({low:.2f} to {high:.2f})")
        panel.set_xlim(-0.02, 1.02)
        panel.grid(axis="x", color=QUIET, alpha=0.25)
        panel.set_xlabel(across, color=LIGHT)
        panel.tick_params(axis="y", length=0)
    panels[0].set_yticks(range(len(names)), names, color=LIGHT, fontsize=10)
    panels[0].set_ylim(len(names) - 0.4, -0.6)
    marks = [
        Line2D([], [], marker="o", color=QUIET, linewidth=0, markersize=4, label="a patient"),
        Line2D([], [], marker="D", color=LIGHT, linewidth=0, markersize=6, label="mean"),
        Line2D([], [], color=QUIET, linewidth=4, label="95 % bootstrap interval of the mean"),
    ]
    figure.legend(
        handles=marks, loc="lower center", ncols=3, frameon=False, labelcolor=LIGHT, fontsize=10
    )
    figure.alt = f"{across} of {len(names)} methods on the same patients, mean and 95 % bootstrap "
    figure.alt += "interval: " + "; ".join(said)
    return figure
