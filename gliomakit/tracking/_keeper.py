"""What a tracker would lose without a word, kept: between what a learner writes and what is stored.

Neptune's client drops NaN and infinity, cuts long text, forgets None and lists, stores 0 for a
half where a whole number stood before, and keeps of a file only where it lay. `Keeper` turns each
of these into something that is kept, and hands it to a `Store`: Neptune's own, or ours.
"""

from __future__ import annotations

import io
import json
import math
import os
import threading
import warnings
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Protocol

EVENTS = "events"
"""Series of text that holds what is no number: {"path", "value", "step"} in JSON."""

LARGEST_INT = 2**31 - 1
LONGEST_TEXT = 16_000
LONGEST_ENTRY = 1_000
"""Neptune cuts texts at 16,384 characters, those of a series at 1,000."""

Scalar = bool | int | float | str | datetime


class Store(Protocol):
    """Where operations go."""

    def assign(self, path: str, value: Scalar) -> None: ...
    def append(
        self, path: str, value: float | str, step: float | None, at: float | None
    ) -> None: ...
    def image(self, path: str, png: bytes, step: float | None) -> None: ...
    def upload(self, path: str, content: bytes, extension: str) -> None: ...
    def add(self, path: str, values: list[str]) -> None: ...
    def remove(self, path: str) -> None: ...
    def flush(self) -> None: ...


@dataclass
class Keeper:
    """Takes what a learner logs, and stores it so that a reader gets it back.

    A value that cannot be stored as it is becomes one that can: non-finite numbers go to the
    series "events" with their path and step, whole numbers over 32 bits and lists become text, None
    becomes "None", long texts, figures and files are kept by content. A field whose type changes is
    removed and written anew. Nothing that goes wrong on the disk reaches the training: it is said
    once. In a forked process (a loader's worker) nothing is stored, and that too is said once.
    """

    store: Store
    kinds: dict[str, str] = field(default_factory=dict)
    lost: int = 0
    pid: int = field(default_factory=os.getpid)
    lock: threading.RLock = field(default_factory=threading.RLock, repr=False)

    def assign(self, path: str, value: object) -> None:
        """One value under a path; a mapping becomes paths below it."""
        if isinstance(value, Mapping) and value:
            for key, one in value.items():
                self.assign(f"{path}/{key}", one)
            return
        value = plain(value)
        if (png := as_png(value)) is not None:
            self._do(path, "file", self.store.upload, path, png, "png")
        elif isinstance(value, str) and len(value) > LONGEST_TEXT:
            self._do(path, "file", self.store.upload, path, value.encode(), "txt")
        else:
            if isinstance(value, float) and not math.isfinite(value):
                self.event(path, value)
            value = storable(value)
            self._do(path, type(value).__name__, self.store.assign, path, value)

    def append(
        self, path: str, value: object, step: object = None, timestamp: float | None = None
    ) -> None:
        """One more value of a series; a mapping goes to the series below the path."""
        if isinstance(value, Mapping):
            for key, one in value.items():
                self.append(f"{path}/{key}", one, step, timestamp)
            return
        value, step = plain(value), plain(step)
        if not (isinstance(step, int | float) and math.isfinite(step)):
            step = None
        if (png := as_png(value)) is not None:
            self._do(path, "images", self.store.image, path, png, step)
        elif isinstance(value, int | float) and self.kinds.get(path) != "strings":
            if math.isfinite(value):
                self._do(path, "floats", self.store.append, path, float(value), step, timestamp)
            else:
                self.event(path, value, step, timestamp)
        elif value is None:
            self.event(path, value, step, timestamp)
        else:
            text = str(storable(value))
            for start in range(0, max(len(text), 1), LONGEST_ENTRY):
                part = text[start : start + LONGEST_ENTRY]
                self._do(path, "strings", self.store.append, path, part, step, timestamp)

    def event(
        self, path: str, value: object, step: object = None, timestamp: float | None = None
    ) -> None:
        """Something that is no number, where one was to be."""
        text = json.dumps({"path": path, "value": str(value), "step": step})
        self._do(EVENTS, "strings", self.store.append, EVENTS, text, step, timestamp)

    def upload(self, path: str, value: object, extension: str | None = None) -> None:
        """A file by its content: a path, bytes, text, or something that can be drawn."""
        if (png := as_png(value)) is not None:
            content, kind = png, "png"
        elif isinstance(value, bytes):
            content, kind = value, "bin"
        elif isinstance(value, str | os.PathLike) and Path(value).is_file():
            content, kind = Path(value).read_bytes(), Path(value).suffix.lstrip(".") or "bin"
        elif hasattr(value, "to_html"):
            content, kind = value.to_html().encode(), "html"
        else:
            content, kind = str(value).encode(), "txt"
        self._do(path, "file", self.store.upload, path, content, extension or kind)

    def add(self, path: str, values: str | Iterable[str]) -> None:
        """Words of a set, as tags are."""
        words = [values] if isinstance(values, str) else [str(v) for v in values]
        self._do(path, "set", self.store.add, path, words)

    def remove(self, path: str) -> None:
        """Forget a field."""
        if self.kinds.pop(path, None) is not None:
            self._try(self.store.remove, path)

    def flush(self) -> None:
        """Everything so far is on the disk when this returns."""
        self._try(self.store.flush)

    def close(self, action) -> None:
        """Close what is below, whatever state the disk is in."""
        if os.getpid() == self.pid:
            self._try(action)

    def _do(self, path: str, kind: str, action, *arguments: object) -> None:
        with self.lock:
            known = self.kinds.get(path)
            if known not in (None, kind):
                self.remove(path)
            if self._try(action, *arguments):
                self.kinds[path] = kind

    def _try(self, action, *arguments: object) -> bool:
        if os.getpid() != self.pid:
            self._say("a forked process logs nothing: log from the process that trains")
            return False
        try:
            action(*arguments)
        except Exception as error:  # whatever a tracker meets, training goes on
            self._say(f"could not be written ({type(error).__name__}: {_short(error)})")
            return False
        return True

    def _say(self, what: str) -> None:
        self.lost += 1
        if self.lost == 1:
            warnings.warn(f"the run's log: {what}; training goes on", stacklevel=6)


def _short(error: Exception) -> str:
    return getattr(error, "strerror", None) or str(error).splitlines()[0][:200]


def plain(value: object) -> object:
    """Numbers of NumPy and torch as Python's own; anything else as it is."""
    if isinstance(value, bool | int | float | str) or value is None:
        # Subclasses (np.float64, an enum of text) as what they are below.
        for kind in (bool, int, float, str):
            if isinstance(value, kind):
                return value if type(value) is kind else kind(value)
        return value
    if getattr(value, "ndim", None) == 0 or (
        hasattr(value, "item") and getattr(value, "size", None) == 1
    ):
        try:
            return plain(value.item())
        except (TypeError, ValueError, RuntimeError):
            return value
    return value


def storable(value: object) -> Scalar:
    """A value as a type that is stored: bool, int of 32 bits, finite float, text, date."""
    if isinstance(value, str):
        return anonymous(value)
    if isinstance(value, bool | datetime):
        return value
    if isinstance(value, int):
        return value if abs(value) <= LARGEST_INT else str(value)
    if isinstance(value, float):
        return value if math.isfinite(value) else str(value)
    if value is None:
        return "None"
    if isinstance(value, os.PathLike):
        # Where it lies on this machine is nobody's business.
        path = Path(value)
        return path.name if path.is_absolute() else path.as_posix()
    if isinstance(value, list | tuple | set | frozenset | range):
        return json.dumps([_inner(one) for one in value])
    if isinstance(value, Mapping):
        return json.dumps({str(k): _inner(one) for k, one in value.items()})
    shape = getattr(value, "shape", None)
    name = getattr(value, "__qualname__", None) or type(value).__qualname__
    return f"{name}{tuple(shape)}" if shape is not None else name


def anonymous(text: str) -> str:
    """A text without where things lie on this machine: an absolute path is only its name, the
    working folder "." and the home folder "~"."""
    if os.path.isabs(text) and "\n" not in text and os.sep in text[1:]:
        return Path(text).name
    for folder, short in ((os.getcwd(), "."), (os.path.expanduser("~"), "~")):
        if len(folder) > 2:
            text = text.replace(folder, short)
    return text


def _inner(value: object) -> object:
    value = plain(value)
    if isinstance(value, list | tuple):
        return [_inner(one) for one in value]
    return value if isinstance(value, bool | int) else storable(value)


def as_png(value: object) -> bytes | None:
    """A figure of matplotlib or a picture of Pillow as PNG; None for anything else."""
    buffer = io.BytesIO()
    if hasattr(value, "savefig"):
        value.savefig(buffer, format="png", dpi=80, bbox_inches="tight")
    elif hasattr(value, "getbands") and hasattr(value, "save"):
        value.save(buffer, format="PNG")
    else:
        return None
    return buffer.getvalue()
