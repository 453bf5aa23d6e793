"""The dashboard in a notebook: ipywidgets around the pictures of `plots`."""

from __future__ import annotations

import html
import threading
from collections.abc import Sequence
from pathlib import Path

import ipywidgets as widgets
import pandas as pd

from ... import plots
from ...errors import GliomakitError
from ..reader import RUNNING, Record, read_runs
from ..tables import FIRST, runs_table

SHOWN_AT_FIRST = 6


class Panel(widgets.VBox):
    """Runs to tick, curves, side by side, parameters against a score, pictures.

    folder:  where the runs lie. refresh: seconds after which runs that are still being written are
             read again; 0 for never.

    What the parts show is in plain attributes too (`records`, `table`, `ticked`), so that a lesson
    can go on with what was chosen by hand.
    """

    def __init__(self, folder: str | Path, refresh: float = 0.0):
        self.folder, self.refresh = Path(folder), refresh
        self.records: list[Record] = []
        self.table = pd.DataFrame()
        self._boxes: dict[str, widgets.Checkbox] = {}
        self._timer: threading.Timer | None = None
        self._figures: dict[str, object] = {}
        self.filter = widgets.Text(placeholder="filter: words, rate=0.01 …", description="Filter")
        self.sort = widgets.Dropdown(description="Sort by", options=list(FIRST), value="created")
        self.descending = widgets.Checkbox(value=True, description="descending", indent=False)
        self.columns = widgets.SelectMultiple(description="Columns", rows=5)
        self.smooth = widgets.FloatSlider(description="Smoothing", min=0, max=0.98, step=0.02)
        self.logarithmic = widgets.Checkbox(description="logarithmic", indent=False)
        self.different = widgets.Checkbox(value=True, description="only what differs", indent=False)
        self.score = widgets.Dropdown(description="Score")
        self.picture = widgets.Dropdown(description="Series")
        self.step = widgets.IntSlider(description="Picture", min=0, max=0)
        self.again = widgets.Button(description="Read again", icon="refresh")
        self._rows = widgets.VBox(layout=widgets.Layout(max_height="280px", overflow="auto"))
        self._tick = widgets.Layout(width="30px", min_width="30px")
        self._places = {
            name: widgets.HTML() if name == "sides" else widgets.Image(format="png")
            for name in ("curves", "sides", "parallel", "picture")
        }
        tabs = widgets.Tab(
            [
                widgets.VBox(
                    [widgets.HBox([self.smooth, self.logarithmic]), self._places["curves"]]
                ),
                widgets.VBox([self.different, self._places["sides"]]),
                widgets.VBox([self.score, self._places["parallel"]]),
                widgets.VBox([widgets.HBox([self.picture, self.step]), self._places["picture"]]),
            ]
        )
        for number, title in enumerate(("Curves", "Side by side", "Parameters", "Pictures")):
            tabs.set_title(number, title)
        head = widgets.HBox([self.filter, self.sort, self.descending, self.again])
        head.layout.flex_flow = "row wrap"
        super().__init__([head, self.columns, self._rows, tabs])
        for control in (self.filter, self.sort, self.descending, self.columns):
            control.observe(lambda _: self._list(), "value")
        for control in (self.smooth, self.logarithmic):
            control.observe(lambda _: self._curves(), "value")
        self.different.observe(lambda _: self._sides(), "value")
        self.score.observe(lambda _: self._parallel(), "value")
        self.picture.observe(lambda _: self._choose_picture(), "value")
        self.step.observe(lambda _: self._picture(), "value")
        self.again.on_click(lambda _: self.update())
        self.update()

    @property
    def ticked(self) -> list[Record]:
        """The runs that are shown, in the order of their beginning."""
        return [r for r in self.records if r.id in self._boxes and self._boxes[r.id].value]

    def update(self) -> None:
        """Read the folder again, and draw."""
        try:
            self.records = read_runs(self.folder)
        except GliomakitError:  # it may vanish, and come back, while the dashboard is open
            self.records = []
        self.table = runs_table(self.records)
        first = not self._boxes
        known = set(self._boxes)
        for number, record in enumerate(self.records):
            if record.id not in known:
                late = number >= len(self.records) - SHOWN_AT_FIRST
                box = widgets.Checkbox(value=late if first else True, indent=False)
                box.layout = self._tick
                box.observe(lambda _: self._below(), "value")
                self._boxes[record.id] = box
        self._options()
        self._list()
        self._below()
        self._again_later()

    def close(self) -> None:
        """Stop reading again."""
        if self._timer is not None:
            self._timer.cancel()
        super().close()

    def _again_later(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        if self.refresh and any(record.state == RUNNING for record in self.records):
            self._timer = threading.Timer(self.refresh, self.update)
            self._timer.daemon = True
            self._timer.start()

    def _options(self) -> None:
        paths = [column for column in self.table.columns if column not in FIRST]
        chosen = self.columns.value or [c for c in paths if self.table[c].nunique() > 1][:6]
        _offer(self.columns, paths, tuple(c for c in chosen if c in paths))
        _offer(self.sort, [*FIRST, *paths], self.sort.value)
        metrics = sorted({m for record in self.records for m in _numbers(record)})
        valid = [m for m in metrics if "valid" in m]
        best = next((m for m in valid if "dice" in m or "mean" in m), None)
        _offer(self.score, metrics, self.score.value or best)
        series = [f"{r.name} · {path}" for r in self.ticked for path in r.images]
        _offer(self.picture, list(dict.fromkeys(series)), self.picture.value)

    def matching(self) -> pd.DataFrame:
        """The table's rows that the filter leaves, sorted."""
        table = self.table
        words = self.filter.value.lower().split()
        if words and len(table):
            texts = [
                " ".join([*map(str, row), *(f"{k}={v}" for k, v in row.items())]).lower()
                for _, row in table.iterrows()
            ]
            table = table[[all(word in text for word in words) for text in texts]]
        if self.sort.value in table.columns and len(table):
            order = {"ascending": not self.descending.value, "kind": "stable"}
            if self.descending.value:  # of equals the newest comes first
                table = table.iloc[::-1]
            try:
                table = table.sort_values(self.sort.value, **order)
            except TypeError:  # words among numbers
                table = table.sort_values(self.sort.value, key=lambda c: c.map(str), **order)
        return table

    def _list(self) -> None:
        columns = ["name", "state", "created", "seconds", *self.columns.value]
        shown = self.matching()
        numbers = {record.id: i for i, record in enumerate(self.records)}
        head = _line([c.removeprefix("parameters/").removeprefix("metrics/") for c in columns])
        self._rows.children = [
            widgets.HBox([widgets.Label(layout=self._tick), widgets.HTML(head)]),
            *(
                widgets.HBox(
                    [
                        self._boxes[index],
                        widgets.HTML(_line([_said(row[c]) for c in columns], numbers[index])),
                    ]
                )
                for index, row in shown.iterrows()
            ),
        ]

    def _below(self) -> None:
        self._options()
        self._curves()
        self._sides()
        self._parallel()
        self._choose_picture()

    def _looks(self) -> dict[str, dict[str, object]]:
        return {_label(r, self.records): plots.look(i) for i, r in enumerate(self.records)}

    def _draw(self, name: str, draw, *arguments: object, **options: object) -> None:
        figure = draw(*arguments, **options, figure=self._figures.get(name))
        self._figures[name] = figure
        self._places[name].value = figure.png(dpi=90)

    def _curves(self) -> None:
        runs = {
            _label(r, self.records): {p: (s.steps, s.values) for p, s in _numbers(r).items()}
            for r in self.ticked
        }
        options = {"smooth": self.smooth.value, "logarithmic": self.logarithmic.value}
        self._draw("curves", plots.curves, runs, looks=self._looks(), **options)

    def _sides(self) -> None:
        self._places["sides"].value = side_by_side(self.ticked, self.different.value)

    def _parallel(self) -> None:
        rows = {}
        for record in self.ticked:
            last = {p: s.values[-1] for p, s in _numbers(record).items()}
            rows[_label(record, self.records)] = record.fields | last
        varied = [
            path
            for path in sorted({p for row in rows.values() for p in row})
            if path.startswith("parameters/")
            and len({str(row.get(path)) for row in rows.values()}) > 1
        ]
        axes = [*varied[:7], *([self.score.value] if self.score.value else [])]
        self._draw("parallel", plots.parallel, rows, axes, looks=self._looks())

    def _choose_picture(self) -> None:
        pictures = self._pictures()
        self.step.max = max(len(pictures) - 1, 0)
        self.step.value = self.step.max
        self._picture()

    def _pictures(self) -> list[bytes]:
        for record in self.ticked:
            for path, pictures in record.images.items():
                if f"{record.name} · {path}" == self.picture.value:
                    return [png for _, _, png in pictures]
        return []

    def _picture(self) -> None:
        pictures = self._pictures()
        place = self._places["picture"]
        place.value = pictures[min(self.step.value, len(pictures) - 1)] if pictures else b""
        place.layout.display = None if pictures else "none"


def side_by_side(records: Sequence[Record], different: bool = True) -> str:
    """Fields of several runs as an HTML table; what differs is marked by colour and by a sign."""
    if not records:
        return "<p>No run is ticked.</p>"
    table = runs_table(list(records)).drop(columns=["created", "seconds", "name"])
    lines = [_row(["", *(record.name for record in records)], head=True)]
    for column in table.columns:
        values = [_said(value) for value in table[column]]
        differs = len(set(values)) > 1
        if any(values) and (differs or not different):
            mark = "≠ " if differs else ""
            lines.append(_row([mark + column, *values], marked=differs))
    return f"<table>{''.join(lines)}</table>"


def _line(cells: Sequence[str], number: int | None = None) -> str:
    """A run's line, or the heads of its columns: cells of one width, so that they align."""
    weight = "600" if number is None else "400"
    each = "display:inline-block;width:110px;margin-right:12px;overflow:hidden;"
    each += f"text-overflow:ellipsis;font-weight:{weight};vertical-align:bottom"
    made = "".join(
        f'<span style="{each}" title="{cell}">{cell}</span>' for cell in map(html.escape, cells)
    )
    sign = "" if number is None else _swatch(number)
    swatch = f'<span style="display:inline-block;width:46px">{sign}</span>'
    return f'<div style="white-space:nowrap">{swatch}{made}</div>'


def _row(cells: Sequence[str], head: bool = False, marked: bool = False) -> str:
    """A row of a table; cells are text that users typed."""
    tag = "th" if head else "td"
    style = "text-align:left;padding:2px 12px 2px 0;min-width:90px;"
    weight = "font-weight:600;" if marked else ""
    made = "".join(
        f'<{tag} style="{style}{weight}">{cell}</{tag}>' for cell in map(html.escape, cells)
    )
    return f"<tr>{made}</tr>"


def _swatch(number: int) -> str:
    look = plots.look(number)
    dash = {"-": "", "--": "6 3", ":": "2 3", "-.": "7 3 2 3"}[look["linestyle"]]
    return (
        '<svg width="34" height="10"><line x1="1" x2="33" y1="5" y2="5" stroke-width="3" '
        f'stroke="{look["color"]}" stroke-dasharray="{dash}"/></svg>'
    )


def _said(value: object) -> str:
    if value is None or (not isinstance(value, str) and pd.isna(value)):
        return ""
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, pd.Timestamp):
        return f"{value:%m-%d %H:%M:%S}"
    return str(value)


def _label(record: Record, records: Sequence[Record]) -> str:
    """A run's name, with the beginning of its id where two have the same."""
    same = sum(other.name == record.name for other in records) > 1
    return f"{record.name} ({record.id[:4]})" if same else record.name


def _numbers(record: Record) -> dict:
    return {
        path: series
        for path, series in record.series.items()
        if series.values and not isinstance(series.values[0], str)
    }


def _offer(control: widgets.Widget, options: Sequence[str], value: object) -> None:
    """New options for a control, its choice kept where it still is one."""
    if tuple(control.options) != tuple(options):
        control.options = tuple(options)
    several = isinstance(control, widgets.SelectMultiple)
    if several:
        control.value = tuple(value)
    elif value in options:
        control.value = value
