"""`gliomakit dashboard`: the runs of a folder as a page."""

from __future__ import annotations

import sys
import webbrowser
from pathlib import Path
from typing import Annotated

import typer

from ..errors import GliomakitError
from ._common import remark, say

PAGE = "dashboard.html"


def dashboard(
    runs: Annotated[Path, typer.Argument(metavar="RUNS", help="A folder with runs.")] = Path(
        "runs"
    ),
    out: Annotated[
        Path | None, typer.Option(metavar="FILE", help="The page (default: RUNS/dashboard.html).")
    ] = None,
    show: Annotated[
        bool | None,
        typer.Option(
            "--open/--no-open", help="Open it in a browser (default: if this is a terminal)."
        ),
    ] = None,
) -> None:
    """Show the runs of a folder: a page that needs no network, mails and prints.

    The page holds a table of all runs, curves, runs side by side, parameters against a score, and
    pictures. It is written from Neptune's own files, also while runs are being written.
    """
    from ..tracking import read_runs
    from ..tracking.dashboard import write_page

    records = read_runs(runs)
    if not records:
        raise GliomakitError(
            "no run lies here", where=runs, todo="log one with gliomakit.tracking.start_run"
        )
    page = write_page(records, out or runs / PAGE)
    for record in records:
        if record.problems:
            said = ", ".join(f"{n} {what}" for what, n in record.problems.items())
            remark(f"{record.name}: lines left out: {said}")
    remark(f"{len(records)} runs")
    say(str(page))
    if sys.stdout.isatty() if show is None else show:
        webbrowser.open(page.resolve().as_uri())
