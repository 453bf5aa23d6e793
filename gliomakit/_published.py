"""Published figures drawn so that one sees what they can mean: no ranking, no smooth fall."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from ._axial import QUIET
from ._curves import COLOURS
from ._picture import DARK, LIGHT, canvas
from ._reliability import dark_panel
from .errors import GliomakitError

Range = tuple[float, float]
"""Lowest and highest of what is reported; both the same for a single number."""


def ranges(
    groups: Mapping[str, Mapping[str, Range]],
    computed: Sequence[str] = (),
    across: str = "Dice",
    figure: Figure | None = None,
) -> Figure:
    """Results that were measured on different things, kept apart: a field for each data set.

    groups:   data set -> who, and of what -> lowest and highest. The order is kept: nothing is
              sorted by its value.
    computed: names that no paper gives: hollow marks.
    """
    rows = [(name, *pair) for members in groups.values() for name, pair in members.items()]
    if not rows:
        raise GliomakitError("there is no result to draw")
    figure = canvas(figure, 10.5, 0.36 * (len(rows) + len(groups)) + 1.0, DARK)
    panel, tall = figure.subplots(), figure.get_figheight()
    figure.subplots_adjust(left=0.33, right=0.975, bottom=0.62 / tall, top=1 - 0.15 / tall)
    dark_panel(panel)
    panel.spines["left"].set_visible(False)
    y, places, names = 0.0, [], []
    for number, (title, members) in enumerate(groups.items()):
        colour = COLOURS[number % len(COLOURS)]
        panel.axhspan(y - 0.5, y + len(members) + 0.5, color=colour, alpha=0.09, linewidth=0)
        words = {"color": colour, "fontsize": 10, "va": "center", "ha": "right"}
        panel.text(-0.012, y, title, transform=panel.get_yaxis_transform(), **words)
        for name, (low, high) in members.items():
            y += 1
            inside = DARK if name in computed else colour
            panel.plot([low, high], [y, y], color=colour, linewidth=3, alpha=0.7)
            panel.plot([low, high], [y, y], "o", color=colour, markerfacecolor=inside, markersize=8)
            places.append(y)
            names.append(name)
        y += 1.25
    panel.set(ylim=(y - 0.6, -0.7))
    panel.set_yticks(places, names, color=LIGHT, fontsize=10)
    panel.tick_params(axis="y", length=0)
    panel.grid(axis="x", color=QUIET, alpha=0.25)
    panel.set_xlabel(across, color=LIGHT)
    said = [f"{name} {low:.3g} to {high:.3g}" for name, low, high in rows]
    figure.alt = f"{across} of {len(rows)} results in {len(groups)} fields, one for each data set: "
    figure.alt += "; ".join(said)
    return figure


def undone(
    printed: Mapping[str, Sequence[float]],
    own: Mapping[str, Sequence[float]],
    rounding: Mapping[str, float],
    figure: Figure | None = None,
) -> Figure:
    """A moving average as it was printed, and each epoch's own mean, on a logarithmic axis.

    printed, own: source -> one value an epoch, above 0. rounding: source -> how far rounding of
    what was printed lets the own mean be off; drawn as a bar.
    """
    if not printed or set(printed) != set(own):
        raise GliomakitError("what was printed and what it means must be of the same sources")
    figure = canvas(figure, 5.2 * len(printed) + 0.3, 4.0, DARK)
    panels = figure.subplots(1, len(printed), squeeze=False, sharey=True)[0]
    wide = figure.get_figwidth()
    figure.subplots_adjust(left=0.75 / wide, right=0.985, bottom=0.25, top=0.9, wspace=0.06)
    least = min(v for values in (*printed.values(), *own.values()) for v in values if v > 0) / 3
    for panel, (title, values) in zip(panels, printed.items()):
        dark_panel(panel)
        panel.set_yscale("log")
        epochs, off = range(1, len(values) + 1), rounding[title]
        panel.plot(epochs, values, "o-", color=COLOURS[0], linewidth=2, label="as printed")
        means = [max(v, least) for v in own[title]]
        bars = [[m - max(m - off, least) for m in means], [off] * len(means)]
        panel.errorbar(
            epochs, means, bars, fmt="s--", color=COLOURS[1], capsize=4, label="the epoch's own"
        )
        panel.set_title(title, color=LIGHT, fontsize=12)
        panel.set_xticks(list(epochs))
        panel.set_xlabel("epoch", color=LIGHT)
    panels[0].set_ylabel("training loss", color=LIGHT)
    handles, names = panels[0].get_legend_handles_labels()
    look = {"ncols": 2, "frameon": False, "labelcolor": LIGHT, "fontsize": 10.5}
    figure.legend(handles, names, loc="lower left", **look)
    said = [
        f"{title}: printed {_list(values)}, own {_list(own[title])}"
        for title, values in printed.items()
    ]
    figure.alt = f"Training loss by epoch, logarithmic; {'; '.join(said)}"
    return figure


def scores(
    groups: Mapping[str, Mapping[str, float | Range]],
    across: str = "mean Dice of slices",
    figure: Figure | None = None,
) -> Figure:
    """Bars of results, in one colour a group: what was said, what was shown, what was computed.

    A pair is a range: the bar ends at its lower end, and a line goes on to the higher one.
    """
    rows = [(g, n, value) for g, (_, m) in enumerate(groups.items()) for n, value in m.items()]
    if not rows:
        raise GliomakitError("there is no result to draw")
    figure = canvas(figure, 10.5, 0.38 * len(rows) + 1.6, DARK)
    panel, tall = figure.subplots(), figure.get_figheight()
    left = 0.03 + 0.0075 * max(len(name) for _, name, _ in rows)
    figure.subplots_adjust(left=left, right=0.965, bottom=1.2 / tall, top=1 - 0.12 / tall)
    dark_panel(panel)
    said = []
    for y, (group, name, value) in enumerate(rows):
        low, high = value if isinstance(value, tuple) else (value, value)
        colour = COLOURS[group % len(COLOURS)]
        panel.barh(y, low, 0.68, color=colour)
        if high > low:
            panel.plot([low, high], [y, y], color=colour, linewidth=2, marker="|", markersize=11)
        text = f"{low:.3f}" if high == low else f"{low:.3f} to {high:.3f}"
        panel.text(high + 0.012, y, text, color=LIGHT, fontsize=9.5, va="center")
        said.append(f"{name} {text}")
    panel.set(ylim=(len(rows) - 0.4, -0.6), xlim=(0, 1.13))
    panel.set_yticks(range(len(rows)), [name for _, name, _ in rows], color=LIGHT, fontsize=10)
    panel.tick_params(axis="y", length=0)
    panel.set_xlabel(across, color=LIGHT)
    marks = [Patch(color=COLOURS[g % len(COLOURS)], label=title) for g, title in enumerate(groups)]
    if any(isinstance(value, tuple) for _, _, value in rows):
        marks.append(Line2D([], [], color=LIGHT, marker="|", label="may be as high as"))
    look = {"ncols": 3, "frameon": False, "labelcolor": LIGHT, "fontsize": 10.5}
    figure.legend(handles=marks, loc="lower left", **look)
    figure.alt = f"Bars, {across}: {'; '.join(said)}"
    return figure


def _list(values: Sequence[float]) -> str:
    return ", ".join(f"{value:.3g}" for value in values)
