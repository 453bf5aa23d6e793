"""How a run ends, and that it says so: finished, failed, interrupted."""

from __future__ import annotations

import atexit
import os
import sys
import weakref
from types import TracebackType

from ._keeper import Keeper

STATE, ERROR = "run/state", "run/error"
RUNNING, FINISHED, FAILED, INTERRUPTED = "running", "finished", "failed", "interrupted"

_open: weakref.WeakSet[Ending] = weakref.WeakSet()


class Ending:
    """A run that writes its state: mixed into Neptune's run and into ours."""

    _keeper: Keeper
    _state_written = ""

    def _begin(self) -> None:
        self._write_state(RUNNING)
        self._keeper.flush()
        _open.add(self)
        atexit.register(_at_exit, weakref.ref(self))

    def stop(self, *, seconds: float | None = None, state: str = FINISHED) -> None:
        """End the run. state: finished, failed or interrupted; a second call changes nothing."""
        if self._state_written == RUNNING and os.getpid() == self._keeper.pid:
            self._write_state(state)
            self._keeper.flush()
            _open.discard(self)
        self._keeper.close(lambda: self._stop(seconds))

    def _stop(self, seconds: float | None) -> None:
        super().stop(seconds=seconds)

    def __enter__(self):
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop(state=self._ended_by(kind))

    def _ended_by(self, kind: type[BaseException] | None) -> str:
        if kind is None:
            return FINISHED
        # The type alone: a message may hold paths and names.
        self._keeper.assign(ERROR, kind.__name__)
        return INTERRUPTED if issubclass(kind, KeyboardInterrupt) else FAILED

    def _write_state(self, state: str) -> None:
        self._keeper.assign(STATE, state)
        self._state_written = state


def _at_exit(reference: weakref.ref[Ending]) -> None:
    """A script that ends without `stop`: what ended it, ended the run."""
    run = reference()
    if run is not None and run._state_written == RUNNING and os.getpid() == run._keeper.pid:
        run.stop(state=run._ended_by(getattr(sys, "last_type", None)))


def _before_fork() -> None:
    """What a worker inherits unwritten, it would write once more."""
    for run in list(_open):
        run._keeper.flush()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_before_fork)
