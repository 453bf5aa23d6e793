"""Neptune's own run, always offline, with nothing lost and nothing told that was not asked.

Import this only where `import neptune` may fail without harm.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import neptune
from neptune.handler import Handler as NeptuneHandler
from neptune.types import File

from ._ending import Ending
from ._handlers import Keeping
from ._keeper import Keeper, Scalar

QUIET = {
    "mode": "offline",
    "source_files": [],
    "git_ref": False,
    "dependencies": None,
    "capture_stdout": False,
    "capture_stderr": False,
    "capture_hardware_metrics": False,
    "capture_traceback": False,
    "fail_on_exception": False,
    # By default a digest of the host's name, which could be guessed.
    "monitoring_namespace": "monitoring",
}
"""What closes Neptune's leaks: host, process, console, tracebacks, paths, uncommitted changes."""


class Handler(Keeping, NeptuneHandler):
    """A field of a run."""

    @property
    def _keeper(self) -> Keeper:
        return self._container._keeper

    def __getitem__(self, path: str) -> Handler:
        return Handler(self._container, f"{self._path}/{path}")


class Run(Ending, neptune.Run):
    """A `neptune.Run`: what Neptune would lose is kept (see `Keeper`), and its end is written."""

    def __init__(self, folder: Path, name: str):
        self._keeper = Keeper(NeptuneStore(self))
        logging.getLogger("neptune").setLevel(logging.ERROR)
        with _data_directory(folder):
            super().__init__(name=name, **QUIET)
        self._begin()

    @property
    def folder(self) -> Path:
        """Where this run's files lie."""
        return Path(self._op_processor.data_path)

    def __getitem__(self, path: str) -> Handler:
        return Handler(self, path)

    def __setitem__(self, key: str, value: object) -> None:
        self._keeper.assign(key, value)

    def assign(self, value: object, *, wait: bool = False) -> None:
        self._keeper.assign("", value)


class NeptuneStore:
    """A `Store` over Neptune's own handlers."""

    def __init__(self, run: neptune.Run):
        self.run = run

    def field(self, path: str) -> NeptuneHandler:
        return NeptuneHandler(self.run, path)

    def assign(self, path: str, value: Scalar) -> None:
        self.field(path).assign(value)

    def append(self, path: str, value: float | str, step: float | None, at: float | None) -> None:
        self.field(path).append(value, step=step, timestamp=at)

    def image(self, path: str, png: bytes, step: float | None) -> None:
        self.field(path).append(File.from_content(png, extension="png"), step=step)

    def upload(self, path: str, content: bytes, extension: str) -> None:
        self.field(path).upload(File.from_content(content, extension=extension))

    def add(self, path: str, values: list[str]) -> None:
        self.field(path).add(values)

    def remove(self, path: str) -> None:
        self.run.pop(path)

    def flush(self) -> None:
        self.run.wait(disk_only=True)


@contextmanager
def _data_directory(folder: Path) -> Iterator[None]:
    """Neptune reads from the environment where to write."""
    name = "NEPTUNE_DATA_DIRECTORY"
    before = os.environ.get(name)
    os.environ[name] = str(folder.resolve())
    try:
        yield
    finally:
        if before is None:
            del os.environ[name]
        else:
            os.environ[name] = before
