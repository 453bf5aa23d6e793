"""What a training run tells others while it runs: its history, a callback, an answer to Ctrl-C."""

from __future__ import annotations

import json
import os
import signal
import warnings
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from ._checkpoint import write_text
from .errors import GliomakitError

Row = dict[str, float | None]
Callback = Callable[..., object]


class Tell:
    """Calls the callback; one that fails is reported once and does no harm."""

    def __init__(self, callback: Callback | None):
        self.callback, self.failed = callback, False

    def __call__(self, event: str, **info: object) -> None:
        if self.callback is None:
            return
        try:
            self.callback(event, **info)
        except Exception as error:
            if not self.failed:
                self.failed = True
                warnings.warn(
                    f"the callback failed at {event!r}: {type(error).__name__}: {error}; "
                    "training goes on, and this is not said again",
                    stacklevel=2,
                )


class History:
    """The rows so far: in the list that it is given and, one JSON object a line, in a file.

    Raises `GliomakitError` if the file cannot be written.
    """

    def __init__(self, path: Path | None, rows: list[Row]):
        self.path, self.rows, self.file = path, rows, None
        if path is not None:
            write_text(path, "".join(_line(row) for row in rows))
            self.file = open(path, "a", encoding="utf-8")

    def __enter__(self) -> History:
        return self

    def __exit__(self, *_: object) -> None:
        if self.file is not None:
            with suppress(OSError):
                self.file.close()

    def add(self, row: Row) -> None:
        """Take a row in. It is in the file at once, for whoever reads along."""
        self.rows.append(row)
        if self.file is None:
            return
        try:
            self.file.write(_line(row))
            self.file.flush()
        except OSError as error:
            raise GliomakitError(f"cannot be written ({error})", where=self.path) from error

    def flush(self) -> None:
        """Onto the disk: before a checkpoint that counts on these rows."""
        if self.file is not None:
            os.fsync(self.file.fileno())


class CtrlC:
    """Within it the first Ctrl-C is only noted in `asked`; the second one interrupts."""

    def __enter__(self) -> CtrlC:
        self.asked = False
        # Only Python's own answer is replaced, and only the main thread may do so.
        self.ours = signal.getsignal(signal.SIGINT) is signal.default_int_handler
        try:
            if self.ours:
                signal.signal(signal.SIGINT, self._note)
        except ValueError:
            self.ours = False
        return self

    def __exit__(self, *_: object) -> None:
        if self.ours:
            signal.signal(signal.SIGINT, signal.default_int_handler)

    def stop_if_asked(self) -> None:
        """Interrupt here, where nothing is half done."""
        if self.asked:
            raise KeyboardInterrupt

    def _note(self, number: int, frame: object) -> None:
        if self.asked:
            raise KeyboardInterrupt
        self.asked = True


def read_history(path: Path, until: int) -> list[Row]:
    """The rows up to that step; a line that was cut off is the last and is left out."""
    rows = []
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        return rows
    for line in lines:
        try:
            row = json.loads(line)
        except ValueError:
            continue
        if row["step"] <= until:
            rows.append(row)
    return rows


def _line(row: Row) -> str:
    return json.dumps(row) + "\n"
