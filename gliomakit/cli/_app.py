"""`gliomakit app`: the segmenter in a browser."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from ._common import Device, remark, say


def app(
    port: Annotated[
        int | None, typer.Option(min=1, max=65535, help="Default: 8866, or the next free one.")
    ] = None,
    host: Annotated[
        str,
        typer.Option(
            help="Where to listen. Another address than 127.0.0.1 lets other machines in: put a "
            "server that speaks HTTPS in front of it."
        ),
    ] = "127.0.0.1",
    show: Annotated[
        bool | None,
        typer.Option("--open/--no-open", help="Open a browser (default: if this is a terminal)."),
    ] = None,
    weights: Annotated[
        Path | None, typer.Option(metavar="F", help="A trained network (default: the shipped one).")
    ] = None,
    device: Device = None,
    most: Annotated[int, typer.Option(min=1, help="Pages open at once.")] = 30,
    idle: Annotated[
        int, typer.Option(min=2, help="Seconds until a page that broke down is forgotten.")
    ] = 300,
) -> None:
    """Segment in a browser: drop one to four files, see them checked, get a label.

    Prints the address, whose token nobody gets in without (GLIOMAKIT_TOKEN sets it, so that it is
    the same after a restart). Several people can use it at once; one process segments for all.
    What is uploaded stays on this machine and is removed when its page is closed. Not a medical
    device.
    """
    from ..app.served import serve

    if host not in ("127.0.0.1", "localhost", "::1"):
        remark(f"listening at {host}: whoever has the address with its token can use this machine")
    remark("Ctrl-C ends")
    open_it = sys.stdout.isatty() if show is None else show
    serve(host, port, None, weights, device, open_it, say, idle, most)
