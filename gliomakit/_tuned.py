"""Pictures of a search for settings: its course, what mattered, and how much of it was luck."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib import colormaps
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from ._axial import QUIET
from ._curves import COLOURS
from ._picture import DARK, LIGHT, canvas
from ._reliability import dark_panel
from .errors import GliomakitError


def searched(
    values: Sequence[float], stopped: Sequence[bool] | None = None, figure: Figure | None = None
) -> Figure:
    """The course of a search: each trial's score in its order, and the best so far.

    values:  one a trial, in the order of their numbers, from 0; NaN for one that failed.
    stopped: which were stopped early; their last score is shown, as a cross.
    """
    values = np.asarray(values, float)
    stopped = np.zeros(len(values), bool) if stopped is None else np.asarray(stopped, bool)
    if len(stopped) != len(values) or not np.isfinite(values[~stopped]).any():
        raise GliomakitError("there is no trial that came to its end")
    figure = canvas(figure, 8.4, 3.4, DARK)
    panel = figure.add_axes((0.08, 0.25, 0.9, 0.7))
    dark_panel(panel)
    at, whole = np.arange(len(values)), ~stopped & np.isfinite(values)
    best = np.fmax.accumulate(np.where(whole, values, np.nan))
    panel.step(at, best, where="post", color=COLOURS[1], linewidth=2, label="best so far")
    dots = {"linestyle": "", "color": COLOURS[0]}
    panel.plot(at[whole], values[whole], marker="o", label="trained to its end", **dots)
    if stopped.any():
        panel.plot(at[stopped], values[stopped], marker="x", label="stopped early", **dots)
    panel.set_xlabel("trial", color=LIGHT)
    panel.set_ylabel("validation Dice", color=LIGHT)
    figure.legend(loc="lower left", ncols=3, frameon=False, labelcolor=LIGHT, fontsize=10)
    figure.alt = (
        f"Validation Dice of {len(values)} trials in their order, {int(stopped.sum())} of them "
        f"stopped early; the best reaches {np.nanmax(best):.3f} at trial "
        f"{int(np.nanargmax(best))}"
    )
    return figure


def importance(shares: Mapping[str, Mapping[str, float]], figure: Figure | None = None) -> Figure:
    """How much of the differences between trials each setting explains: one bar an evaluator.

    shares: evaluator's name -> setting -> share, as Optuna's evaluators give them.
    """
    settings = list(dict.fromkeys(name for found in shares.values() for name in found))
    if not settings:
        raise GliomakitError("there is no importance to draw")
    largest = {name: max(found.get(name, 0.0) for found in shares.values()) for name in settings}
    settings.sort(key=largest.get)
    figure = canvas(figure, 8.0, 0.42 * len(settings) + 1.3, DARK)
    wide, tall = figure.get_figwidth(), figure.get_figheight()
    panel = figure.add_axes((1.5 / wide, 0.85 / tall, 1 - 1.7 / wide, 1 - 1.0 / tall))
    dark_panel(panel)
    thick, said = 0.8 / len(shares), []
    for number, (who, found) in enumerate(shares.items()):
        places = np.arange(len(settings)) + 0.4 - thick * (number + 0.5)
        values = [found.get(name, 0.0) for name in settings]
        hatch = ("", "///", "...", "xxx")[number % 4]
        panel.barh(
            places,
            values,
            0.9 * thick,
            color=COLOURS[number],
            hatch=hatch,
            edgecolor=DARK,
            label=who,
        )
        ranked = sorted(found, key=found.get, reverse=True)
        said.append(f"{who}: " + ", ".join(f"{name} {found[name]:.2f}" for name in ranked))
    panel.set_yticks(range(len(settings)), settings, color=LIGHT, fontsize=10)
    panel.tick_params(axis="y", length=0)
    panel.set_xlim(0, 1)
    panel.set_xlabel("share", color=LIGHT)
    figure.legend(loc="lower left", ncols=2, frameon=False, labelcolor=LIGHT, fontsize=10)
    figure.alt = "Importance of settings by " + "; by ".join(said)
    return figure


def shaded(scores: Mapping[str, float]) -> dict[str, dict[str, object]]:
    """How `parallel` draws the runs of a search: the better, the brighter and thicker; the best one
    dashed and over all others.

    >>> looks = shaded({"a": 0.1, "b": 0.9, "c": float("nan")})
    >>> [looks[name]["linestyle"] for name in "abc"]
    ['-', '--', ':']
    """
    ranked = sorted((s, name) for name, s in scores.items() if math.isfinite(s))
    looks = {name: {"color": QUIET, "linestyle": ":", "alpha": 0.5} for name in scores}
    for place, (_, name) in enumerate(ranked):
        share = place / max(len(ranked) - 1, 1)
        last = place == len(ranked) - 1
        looks[name] = {
            "color": colormaps["cividis"](0.15 + 0.85 * share),
            "linestyle": "--" if last else "-",
            "linewidth": 0.8 + 2 * share**3,
            "alpha": 0.35 + 0.65 * share,
            "zorder": 2 + share,
        }
    return looks


def luck(groups: Mapping[str, tuple[Sequence[float], Sequence[float]]], figure=None) -> Figure:
    """What is left of a winner's lead: one panel a group of runs that differ by chance alone.

    groups: title -> scores on validation, and of the same runs on test. Both are drawn from their
            mean, for the two sets of patients are not equally hard. The winner on validation is
            thick.
    """
    sizes = {title: {len(validation), len(test)} for title, (validation, test) in groups.items()}
    if not groups or any(len(size) > 1 or min(size) < 2 for size in sizes.values()):
        raise GliomakitError("each group needs at least two runs, each with both scores")
    figure = canvas(figure, 0.9 + 3.6 * len(groups), 3.8, DARK)
    panels = figure.subplots(1, len(groups), squeeze=False, sharey=True)[0]
    left = 0.85 / figure.get_figwidth()
    figure.subplots_adjust(left=left, right=0.98, bottom=0.24, top=0.9, wspace=0.1)
    said = []
    for panel, (title, both) in zip(panels, groups.items()):
        dark_panel(panel)
        apart = np.stack([np.asarray(one, float) - np.mean(one) for one in both])
        winner = int(apart[0].argmax())
        for run in range(apart.shape[1]):
            style = {"color": COLOURS[0], "alpha": 0.55, "linewidth": 1.2}
            if run == winner:
                style = {"color": COLOURS[1], "linewidth": 3.2, "zorder": 4}
            panel.plot((0, 1), apart[:, run], marker="o", markersize=5, **style)
        panel.axhline(0, color=QUIET, linestyle="--", linewidth=1)
        panel.set_title(f"{title}, {apart.shape[1]} seeds", color=LIGHT, fontsize=11)
        panel.set(xlim=(-0.2, 1.2))
        panel.set_xticks((0, 1), ("validation", "test"), color=LIGHT, fontsize=11)
        lead = apart[:, winner]
        said.append(f"{title}: the winner leads by {lead[0]:+.3f}, by {lead[1]:+.3f} on test")
    panels[0].set_ylabel("Dice, from the mean of its group", color=LIGHT)
    lines = [
        Line2D([], [], color=COLOURS[1], linewidth=3.2, marker="o", label="best on validation"),
        Line2D([], [], color=COLOURS[0], marker="o", label="another seed"),
    ]
    figure.legend(
        handles=lines, loc="lower left", ncols=2, frameon=False, labelcolor=LIGHT, fontsize=10
    )
    figure.alt = "Runs that differ by their seed alone, on validation and on test. "
    figure.alt += "; ".join(said)
    return figure
