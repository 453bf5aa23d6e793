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
    serve: Annotated[
        bool, typer.Option("--serve", help="A page that is alive, on 127.0.0.1, until Ctrl-C.")
    ] = False,
    port: Annotated[
        int | None, typer.Option(min=1, max=65535, help="Of --serve (default: 8866, or the next).")
    ] = None,
) -> None:
    """Show the runs of a folder: a page that needs no network, mails and prints.

    The page holds a table of all runs, curves, runs side by side, parameters against a score, and
    pictures. It is written from Neptune's own files, also while runs are being written. With
    --serve nothing is written: the notebooks' panel is shown in the browser, and reads runs again
    while they train.
    """
    from ..tracking import read_runs
    from ..tracking.dashboard import write_page

    records = read_runs(runs)
    if not records:
        raise GliomakitError(
            "no run lies here", where=runs, todo="log one with gliomakit.tracking.start_run"
        )
    if serve:
        from ..tracking.dashboard.served import serve as start

        remark(f"{len(records)} runs; Ctrl-C ends")
        start(runs, port, sys.stdout.isatty() if show is None else show, say=say)
        return
    page = write_page(records, out or runs / PAGE)
    for record in records:
        if record.problems:
            said = ", ".join(f"{n} {what}" for what, n in record.problems.items())
            remark(f"{record.name}: lines left out: {said}")
    remark(f"{len(records)} runs")
    say(str(page))
    if sys.stdout.isatty() if show is None else show:
        webbrowser.open(page.resolve().as_uri())
