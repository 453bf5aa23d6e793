"""The segmenter as a page: Voilà for what is seen, the desk for what is computed."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from .. import _voila
from ..errors import GliomakitError
from .desk import Desk, room, worker_command
from .line import WHERE

CELL = """
from gliomakit.app.page import Page
Page().box
"""

TOKEN = "GLIOMAKIT_TOKEN"
"""The environment variable of a token that stays the same from start to start."""


def serve(
    host: str = _voila.HERE,
    port: int | None = None,
    token: str | None = None,
    weights: Path | None = None,
    device: str | None = None,
    show: bool = True,
    say: Callable[[str], None] = print,
    idle: int = 300,
    most: int = 30,
) -> None:
    """Serve the segmenter until Ctrl-C; the arguments are those of `_voila.serve`, and

    token:   by default that of the environment (`GLIOMAKIT_TOKEN`), or one made for this call.
    weights: of another network than the shipped one. device: where it computes.

    Everything that people upload lies in one temporary folder, a folder a page, each removed when
    its page goes and all of them at the end. Raises `GliomakitError` for weights that are none.
    """
    try:
        import anywidget  # noqa: F401
    except ImportError as error:
        raise GliomakitError(
            "anywidget is not installed", todo="pip install 'gliomakit[app]' brings it"
        ) from error
    if weights is not None and not Path(weights).is_file():
        raise GliomakitError("there is no such weights file", where=weights)
    with room() as folder:
        desk = Desk(Path(folder), worker_command(weights, device))
        os.environ[WHERE] = desk.where
        try:
            _voila.serve(
                CELL,
                "segment",
                host=host,
                port=port,
                token=token or os.environ.pop(TOKEN, None),
                show=show,
                say=say,
                idle=idle,
                most=most,
                beside=[desk.open],
            )
        finally:
            desk.close()
