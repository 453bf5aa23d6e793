"""Run a function over many jobs in several processes.

`concurrent.futures` would do, but its processes either fork (unsafe once PyTorch or a notebook
runs threads) or import the caller's main script again (which then needs a
``if __name__ == "__main__"`` guard). A worker here is a fresh Python that imports nothing but the
function's own module.
"""

from __future__ import annotations

import os
import pickle
import signal
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from queue import SimpleQueue
from typing import Any

from .errors import GliomakitError

_CHILD = "from gliomakit._workers import serve; serve()"


def cores() -> int:
    """How many processor cores this process may use.

    >>> cores() >= 1
    True
    """
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def threads() -> int:
    """How many threads may run at once: as OMP_NUM_THREADS says, as for NumPy and PyTorch, or one a
    core."""
    asked = os.environ.get("OMP_NUM_THREADS", "")
    return int(asked) if asked.isdecimal() and int(asked) else cores()


def in_threads(function: Callable[[Any], Any], items: Iterable[Any]) -> list[Any]:
    """``[function(item) for item in items]``, in several threads; of several exceptions the first
    item's is raised.

    For what leaves Python's lock: inflating, and NumPy on large arrays.

    >>> in_threads(abs, [-1, 2, -3])
    [1, 2, 3]
    """
    items = list(items)
    most = min(threads(), len(items))
    if most <= 1:
        return [function(item) for item in items]
    with ThreadPoolExecutor(most) as pool:
        return list(pool.map(function, items))


def parallel(
    function: Callable[..., Any], jobs: Sequence[tuple], workers: int
) -> Iterator[tuple[int, Any]]:
    """Yield ``(i, function(*jobs[i]))`` in the order in which the jobs end.

    `function` must be importable by name, its arguments and result picklable. The first exception
    of a job ends the whole and is raised here. With one worker or one job everything is done in
    this process.

    >>> sorted(parallel(max, [(1, 2), (5, 3)], workers=1))
    [(0, 2), (1, 5)]
    """
    workers = min(workers, len(jobs))
    if workers <= 1:
        for i, job in enumerate(jobs):
            yield i, function(*job)
        return
    children = [_start() for _ in range(workers)]
    free: SimpleQueue[subprocess.Popen] = SimpleQueue()
    for child in children:
        free.put(child)

    def work(i: int) -> tuple[int, Any]:
        child = free.get()
        try:
            return i, _ask(child, function, jobs[i])
        finally:
            free.put(child)

    pool = ThreadPoolExecutor(workers)
    try:
        for done in as_completed([pool.submit(work, i) for i in range(len(jobs))]):
            yield done.result()
    finally:  # also on an error or Ctrl-C: a child that still works would keep us waiting
        for child in children:
            child.terminate()
        for child in children:
            _end(child)
        pool.shutdown(cancel_futures=True)
        for child in children:
            child.communicate()


def serve() -> None:
    """The worker's side: answer each pickled job on stdin with a pickled result on stdout."""
    # Told to stop, leave through the function's own clean-up: no half-written file stays behind.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    requests, answers = sys.stdin.buffer, os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what the function prints must not get between the answers
    while True:
        try:
            function, job = pickle.load(requests)  # from our own parent, over a private pipe
        except (EOFError, KeyboardInterrupt):
            return
        try:
            answer = pickle.dumps((True, function(*job)))
        except Exception as error:
            answer = pickle.dumps((False, _portable(error)))
        answers.write(answer)
        answers.flush()


def _portable(error: Exception) -> Exception:
    """The error itself if it survives pickling, else one that says the same."""
    try:
        pickle.loads(pickle.dumps(error))
    except Exception:
        return RuntimeError(f"{type(error).__name__}: {error}")
    return error


def _start() -> subprocess.Popen:
    # One thread each: the processes are the parallelism.
    threads = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
    paths = {"PYTHONPATH": os.pathsep.join(path or os.getcwd() for path in sys.path)}
    return subprocess.Popen(
        [sys.executable, "-c", _CHILD],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env=os.environ | threads | paths,
    )


def _end(child: subprocess.Popen, patience: float = 5.0) -> None:
    """Wait for a child that was told to stop; kill one that does not."""
    try:
        child.wait(patience)
    except subprocess.TimeoutExpired:
        child.kill()


def _ask(child: subprocess.Popen, function: Callable[..., Any], job: tuple) -> Any:
    assert child.stdin and child.stdout
    try:
        pickle.dump((function, job), child.stdin)
        child.stdin.flush()
        good, answer = pickle.load(child.stdout)
    except (EOFError, BrokenPipeError, pickle.UnpicklingError) as error:
        # Killed from outside, and that is nearly always the kernel running out of memory.
        raise GliomakitError(
            "a worker process ended before its work was done",
            todo="it may have run out of memory: use fewer workers",
        ) from error
    if not good:
        raise answer
    return answer
