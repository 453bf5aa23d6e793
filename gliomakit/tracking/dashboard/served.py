"""The dashboard as a page that is alive: the notebook's panel, served by Voilà on this machine."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from ... import _voila

RUNS = "GLIOMAKIT_DASHBOARD_RUNS"
"""The environment variable that tells the page's kernel where the runs lie."""

CELL = f"""
import os
from gliomakit.tracking.dashboard import Panel
Panel(os.environ["{RUNS}"], refresh=5.0)
"""


def serve(
    folder: str | Path,
    port: int | None = None,
    show: bool = True,
    say: Callable[[str], None] = print,
) -> None:
    """Serve the runs below `folder` on 127.0.0.1 until Ctrl-C.

    port: by default 8866, or the next free one. show: open a browser. say: gets the address, once.

    The address holds a token made for this call: other users of this machine do not get in without
    it. Nothing below `folder` is served, only what the panel draws. Raises `GliomakitError` if
    Voilà is not installed or the port is taken.
    """
    os.environ[RUNS] = str(Path(folder).resolve())
    _voila.serve(CELL, "runs", port=port, show=show, say=say)
