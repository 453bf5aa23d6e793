"""Run a function for at most so many seconds, on any platform and from any thread."""

from __future__ import annotations

import ctypes
import threading
from collections.abc import Callable
from typing import TypeVar

import numpy as np

T = TypeVar("T")


class TimeUp(BaseException):
    """Raised inside a function that ran too long. No `Exception`: a learner's
    ``except Exception`` must not swallow it."""


def limited(function: Callable[[], T], seconds: float) -> T:
    """`function()`, or `TimeUp` when it has not returned after `seconds`.

    It runs in a worker thread, because a signal works only in the main thread and not on Windows.
    What it raises is raised here. A function that cannot be stopped (a long call into C) is left
    behind in its thread, which does not keep the interpreter alive.

    >>> limited(lambda: 6 * 7, seconds=1)
    42
    """
    outcome: dict[str, object] = {}

    def work() -> None:
        try:
            with np.errstate(all="ignore"):
                outcome["value"] = function()
        except BaseException as error:
            outcome["error"] = error

    worker = threading.Thread(target=work, daemon=True)
    worker.start()
    try:
        worker.join(seconds)
    finally:  # also when the learner presses stop
        if worker.is_alive():
            _stop(worker)
            outcome = {"error": TimeUp()}
    if "error" in outcome:
        raise outcome["error"]
    return outcome["value"]


def _stop(worker: threading.Thread) -> None:
    """Raise `TimeUp` in the thread; several times, since a bare ``except:`` may swallow one."""
    for _ in range(20):
        ctypes.pythonapi.PyThreadState_SetAsyncExc(
            ctypes.c_ulong(worker.ident), ctypes.py_object(TimeUp)
        )
        worker.join(0.05)
        if not worker.is_alive():
            return
