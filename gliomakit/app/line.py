"""A page's end of its connection to the desk (`desk` says what is spoken)."""

from __future__ import annotations

import json
import os
import socket
import threading
from collections.abc import Callable
from pathlib import Path

from ..errors import GliomakitError

WHERE = "GLIOMAKIT_APP_DESK"
"""The environment variable that tells a kernel the desk's port and secret."""

STOP = "stop"
"""A file of this name in a page's folder tells the worker to leave its job."""

LABEL = "label.nii.gz"
"""The label in a page's folder; facts about it are in `label.json`."""


class Line:
    """The connection. folder: the page's own, removed by the desk when the connection ends.

    hear: called with each message, in a thread of its own; last with {"gone": true}.
    Raises `GliomakitError` if there is no desk, as in a notebook of one's own.
    """

    def __init__(self, hear: Callable[[dict], None]):
        try:
            where = json.loads(os.environ[WHERE])
            self.socket = socket.create_connection(("127.0.0.1", where["port"]), timeout=30)
            self.reader = self.socket.makefile("rb")
            self.send(secret=where["secret"])
            self.folder = Path(json.loads(self.reader.readline())["folder"])
        except (KeyError, ValueError, TypeError, OSError) as error:
            raise GliomakitError(
                "no server stands behind this page", todo="start it with gliomakit app"
            ) from error
        self.socket.settimeout(None)
        self.hear = hear
        threading.Thread(target=self._listen, daemon=True).start()

    def send(self, **message: object) -> None:
        """Say something to the desk. Raises `GliomakitError` if it is not there any more."""
        try:
            self.socket.sendall(json.dumps(message).encode() + b"\n")
        except OSError as error:
            raise GliomakitError("the server has ended", todo="reload this page") from error

    def close(self) -> None:
        """Hang up; the desk removes the folder."""
        self.socket.shutdown(socket.SHUT_RDWR)

    def _listen(self) -> None:
        try:
            for line in self.reader:
                self.hear(json.loads(line))
        except (OSError, ValueError):
            pass
        self.hear({"gone": True})
