"""Runs as pandas tables, and as CSV."""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import pandas as pd

from ..errors import GliomakitError
from .reader import Record, Series, find_runs, read_run, read_runs, seconds

FIRST = ("name", "state", "created", "seconds", "tags")
"""Columns that every run has."""

HIDDEN = ("sys/", "run/", "source_code/", "monitoring/", "events")


def runs_table(folder: str | Path | Sequence[Record]) -> pd.DataFrame:
    """One row a run, the oldest first; one column a field, the last value of a series.

    folder: where the runs lie, or what `read_runs` gave.

    The index is the run's id. Columns "name", "state", "created", "seconds" and "tags" come first,
    then parameters, then the rest. Where a run has no such field there is None or NaN.
    """
    records = folder if isinstance(folder, list | tuple) else read_runs(folder)
    rows = []
    for record in records:
        row: dict[str, object] = {
            "name": record.name,
            "state": record.state,
            "created": datetime.fromtimestamp(record.created, UTC).replace(microsecond=0),
            "seconds": round(seconds(record), 1),
            "tags": ", ".join(record.tags),
        }
        for path, value in record.fields.items():
            if not path.startswith(HIDDEN):
                row[path] = ", ".join(value) if isinstance(value, list) else value
        for path, values in record.series.items():
            if values.values and not path.startswith(HIDDEN):
                row[path] = values.values[-1]
        rows.append(row)
    found = sorted({path for row in rows for path in row} - set(FIRST), key=_order)
    index = pd.Index([record.id for record in records], name="id")
    return pd.DataFrame(rows, index=index, columns=[*FIRST, *found])


def _order(path: str) -> tuple[int, str]:
    return (0 if path.startswith("parameters/") else 1, path)


def series(run: Record | str | Path, path: str) -> pd.DataFrame:
    """A series of a run: columns step, value, time (UTC).

    run: a `Record`, or a run's folder (a folder with one run in it does too).

    Raises `GliomakitError` if the run has no such series; it says which there are.
    """
    record = run if isinstance(run, Record) else open_run(run)
    found = record.series.get(path)
    if found is None:
        there = ", ".join(sorted(record.series)) or "none"
        raise GliomakitError(f"{record.name} has no series {path!r}; there are {there}")
    return frame(found)


def frame(values: Series) -> pd.DataFrame:
    """A series as a table."""
    times = pd.to_datetime(values.times, unit="s", utc=True)
    return pd.DataFrame({"step": values.steps, "value": values.values, "time": times})


def open_run(folder: str | Path) -> Record:
    """The only run in a folder, or that is the folder."""
    folder = Path(folder)
    if folder.is_dir() and any(folder.glob("data-*.log")):
        return read_run(folder)
    found = list(find_runs(folder).values())
    if len(found) != 1:
        raise GliomakitError(f"{len(found)} runs lie here, not one", where=folder)
    return read_run(*found[0])


def best_step(steps: Sequence[float], values: Sequence[float]) -> float | None:
    """The step of the highest value, the first of equals; None if no value is a number.

    >>> best_step([1, 2, 3], [0.5, float("nan"), 0.7])
    3
    """
    good = [i for i, value in enumerate(values) if math.isfinite(value)]
    return steps[max(good, key=values.__getitem__)] if good else None


def rate_differs(noted: float, used: Sequence[float], share: float = 0.05) -> bool:
    """Whether the highest rate that was used is off the noted one by more than a share of it.

    >>> rate_differs(1e-2, [1e-4, 2e-3, 1e-5])
    True
    """
    return abs(max(used) - noted) > share * noted


def export_csv(folder: str | Path, out: str | Path) -> list[Path]:
    """Write runs.csv (the table) and series.csv (run, path, step, value, time) into `out`.

    A text that a spreadsheet would take for a formula gets an apostrophe in front. Returns what was
    written.
    """
    out = Path(out)
    out.mkdir(parents=True, exist_ok=True)
    records = read_runs(folder)
    points = [
        {"id": r.id, "run": r.name, "path": path, "step": step, "value": value, "time": at}
        for r in records
        for path, s in r.series.items()
        for step, value, at in zip(s.steps, s.values, s.times, strict=True)
    ]
    columns = ["id", "run", "path", "step", "value", "time"]
    tables = {"runs.csv": runs_table(records), "series.csv": pd.DataFrame(points, columns=columns)}
    written = []
    for name, table in tables.items():
        partial = out / f".{name}.part"
        table.map(_harmless).to_csv(partial, index=name == "runs.csv")
        partial.replace(out / name)
        written.append(out / name)
    return written


def _harmless(value: object) -> object:
    if isinstance(value, str) and value[:1] in ("=", "+", "-", "@", "\t", "\r"):
        try:
            float(value)
        except ValueError:
            return "'" + value
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    return value
