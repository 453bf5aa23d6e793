"""Start a run: Neptune's API, Neptune's files, no account and no network."""

from __future__ import annotations

import subprocess
import warnings
from collections.abc import Iterable
from functools import lru_cache
from pathlib import Path

from .. import __version__
from ..errors import GliomakitError


def start_run(
    name: str, folder: str | Path = "runs", tags: Iterable[str] = (), **params: object
) -> object:
    """A `neptune.Run` that writes to `folder` and tells nobody.

    name:   what people call it; tags: words to find it by.
    params: are logged under "parameters/…".

    What Neptune would lose is kept (`tracking._keeper.Keeper` says how), the run is on the disk
    when this returns, at every `run.wait()` and before a process is forked, and it says how it
    ended: use it with ``with``, or call ``run.stop()``. Where Neptune cannot be imported a writer
    of the same files takes over, and says so. Raises `GliomakitError` if the folder cannot be
    written.

    >>> import tempfile
    >>> folder = tempfile.mkdtemp()
    >>> with start_run("first", folder, tags=["try"], rate=1e-3) as run:
    ...     for epoch in range(3):
    ...         run["metrics/valid/dice"].append(0.5 + 0.1 * epoch, step=epoch)
    >>> from gliomakit.tracking import runs_table
    >>> runs_table(folder)[["name", "state", "metrics/valid/dice"]].values.tolist()
    [['first', 'finished', 0.7]]
    """
    folder = Path(folder)
    kind = run_class()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        run = kind(folder, str(name))
    except OSError as error:
        raise GliomakitError(
            f"no run can be written here ({error.strerror or error})",
            where=folder,
            todo="give a folder that you may write to",
        ) from error
    words = [tags] if isinstance(tags, str) else [str(tag) for tag in tags]
    if words:
        run["sys/tags"].add(words)
    run["source/gliomakit"] = __version__
    if revision := code_revision():
        run["source/revision"] = revision
    if params:
        run["parameters"] = params
    run.wait()
    return run


@lru_cache(maxsize=1)
def run_class() -> type:
    """Neptune's run with our guards, or the writer that takes over."""
    try:
        from ._neptune import Run
    except Exception as error:  # a newer dependency can break it in any way
        from ._plain import PlainRun

        warnings.warn(
            f"Neptune cannot be imported ({type(error).__name__}): gliomakit writes the same files "
            "itself",
            stacklevel=3,
        )
        return PlainRun
    return Run


@lru_cache(maxsize=1)
def code_revision() -> str | None:
    """The commit of a checkout of gliomakit, with "+" if something was changed; None elsewhere."""
    root = Path(__file__).parents[2]
    if not (root / ".git").exists():
        return None
    try:
        asked = ("describe", "--always", "--dirty=+", "--exclude=*")
        said = subprocess.run(
            ["git", "-C", str(root), *asked], capture_output=True, text=True, timeout=10, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return said.stdout.strip() or None
