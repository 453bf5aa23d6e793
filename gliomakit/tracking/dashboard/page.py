"""All runs as one HTML file: it opens without a network, mails and prints."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from datetime import UTC, datetime
from importlib.resources import files
from pathlib import Path

from ...errors import GliomakitError
from ..reader import Record, read_runs
from ._data import MOST_POINTS, page_data

LARGEST = 4_500_000
"""Bytes of a page: above, curves get fewer points."""


def write_page(folder: str | Path | Sequence[Record], out: str | Path) -> Path:
    """Write the dashboard of all runs below `folder` to the file `out`; returns it.

    folder: where the runs lie, or what `read_runs` gave.

    Scripts and styles are in the file, and its own policy forbids it to load anything. Raises
    `GliomakitError` if the file cannot be written.
    """
    records = list(folder) if isinstance(folder, list | tuple) else read_runs(folder)
    out = Path(out)
    partial = out.with_name(f".{out.name}.{os.getpid()}.part")
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        partial.write_text(page(records), encoding="utf-8")
        partial.replace(out)
    except OSError as error:
        raise GliomakitError(
            f"the page cannot be written ({error.strerror})",
            where=out,
            todo="give another file with --out",
        ) from error
    return out


def page(records: Sequence[Record]) -> str:
    """The page's text."""
    points = MOST_POINTS
    while True:
        data = json.dumps(page_data(records, points), separators=(",", ":"), allow_nan=False)
        if len(data) < LARGEST or points <= 30:
            break
        points = max(30, int(points * 0.9 * LARGEST / len(data)))
    # Inside a script only "<" could end it.
    data = data.replace("<", "\\u003c").replace("\u2028", "\\u2028").replace("\u2029", "\\u2029")
    text = _part("page.html")
    written = datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC")
    for mark, content in (
        ("/*CSS*/", _part("page.css")),
        ("/*JS*/", _part("page.js")),
        ("<!--WRITTEN-->", written),
        ("/*DATA*/", data),  # last: what users typed is not searched for marks
    ):
        before, after = text.split(mark, 1)
        text = before + content + after
    return text


def _part(name: str) -> str:
    return files(__package__).joinpath(name).read_text(encoding="utf-8")
