"""What all commands share: saying results, explaining errors, options that several have."""

from __future__ import annotations

import errno
import json
import math
import os
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from ..errors import GliomakitError
from ..regions import CONVENTIONS
from ..regions import convention as known_convention


def _known(name: str | None) -> str | None:
    return None if name is None else known_convention(name).name


Json = Annotated[
    bool, typer.Option("--json", help="Print one JSON document, and nothing else, on stdout.")
]
Device = Annotated[
    str | None,
    typer.Option(metavar="cpu|cuda|mps", help="Where to compute (default: the fastest found)."),
]
Convention = Annotated[
    str | None,
    typer.Option(
        metavar="|".join(CONVENTIONS), help="What the label values mean.", callback=_known
    ),
]
Cache = Annotated[
    Path | None,
    typer.Option(metavar="FOLDER", help="Where prepared cases are kept (GLIOMAKIT_CACHE)."),
]
Workers = Annotated[
    int | None, typer.Option(min=1, help="Processes that work at the same time (default: cores).")
]
Spacing = Annotated[
    str | None,
    typer.Option(metavar="MM", help="Voxel size in mm to resample to, or `own` (default: 2)."),
]


def spacing_of(text: str | None) -> tuple[float, float, float] | None:
    """What `--spacing` means: one length or three, in mm; None keeps each case's own voxels.

    Without the option it is the default of `model.Settings`, so that `prepare` fills the cache that
    `train` reads.

    >>> spacing_of("1.5"), spacing_of("1,1,3"), spacing_of("own")
    ((1.5, 1.5, 1.5), (1.0, 1.0, 3.0), None)
    """
    if text is None:
        from ..model import Settings

        return Settings().spacing
    if text == "own":
        return None
    try:
        numbers = [float(word) for word in text.split(",")]
    except ValueError:
        numbers = []
    if len(numbers) not in (1, 3) or not all(0 < n < math.inf for n in numbers):
        raise GliomakitError(f"a spacing is one length in mm, or three, or `own`, not {text!r}")
    return tuple(numbers * 3 if len(numbers) == 1 else numbers)


def version() -> str:
    """The version of the package.

    >>> version().count(".") >= 1
    True
    """
    from .. import __version__

    return __version__


def say(text: str) -> None:
    """A result, on stdout."""
    print(text, file=sys.stdout)


def remark(text: str) -> None:
    """Something worth knowing that is no result, on stderr."""
    print(f"gliomakit: {text}", file=sys.stderr)


def say_json(document: Mapping[str, Any]) -> None:
    """One JSON document on stdout; NaN and infinity, which JSON lacks, become null."""
    say(json.dumps(plain(document), indent=1, ensure_ascii=False, allow_nan=False))


def plain(value: Any) -> Any:
    """A value as JSON knows it: NumPy's scalars and arrays, paths, tuples, NaN made plain.

    >>> plain({"dice": float("nan"), "where": Path("a"), "n": (1, True)})
    {'dice': None, 'where': 'a', 'n': [1, True]}
    """
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [plain(item) for item in value]
    if isinstance(value, Path):
        return str(value)
    if hasattr(value, "tolist"):
        return plain(value.tolist())
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


def progress_bar(items: Sequence, what: str, unit: str) -> Iterable:
    """The items, with a bar on stderr if that is a terminal and there is more than one."""
    from tqdm import tqdm

    hidden = len(items) < 2 or not sys.stderr.isatty()
    return tqdm(items, what, unit=unit, file=sys.stderr, disable=hidden, leave=False)


def check_writable(folder: Path) -> None:
    """Raise `GliomakitError` if the folder cannot be written or made: before the work, not after.

    Nothing is written or made by the check.
    """
    place = folder.absolute()
    while not place.exists() and place != place.parent:
        place = place.parent
    if not place.is_dir():
        raise GliomakitError(
            "is a file where a folder is meant", where=place, todo="name another place to write to"
        )
    if not os.access(place, os.W_OK | os.X_OK):
        raise GliomakitError("cannot be written to", where=place, todo="name another folder")


def write_text(path: Path, text: str) -> None:
    """Write a text file beside its place and rename it. Raises `GliomakitError` if that fails."""
    from .._nifti import write_files

    write_files({path: text.encode()})


def columns(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table in columns: the first flush left, the others flush right.

    >>> print(columns(["case", "mL"], [["a", "9.5"], ["long", "120.0"]]))
    case     mL
    a       9.5
    long  120.0
    """
    table = [list(header), *map(list, rows)]
    widths = [max(len(row[i]) for row in table) for i in range(len(header))]
    lines = (
        [row[0].ljust(widths[0])] + [cell.rjust(w) for cell, w in zip(row[1:], widths[1:])]
        for row in table
    )
    return "\n".join("  ".join(line).rstrip() for line in lines)


def explain(error: BaseException) -> str:
    """An error as one line for the user: what is wrong, where, what to do.

    >>> explain(OSError(28, "No space left on device", "cache/x.npy"))
    'cache/x.npy: the disk is full; make room or name another folder'
    >>> explain(KeyError("flair"))
    "this is a fault in gliomakit (KeyError: 'flair'); please report what --debug shows"
    """
    if isinstance(error, GliomakitError):
        text = str(error)
    elif hasattr(error, "format_message"):  # the command-line library's own usage errors
        text = _usage(error)
    elif _out_of_memory(error):
        text = "there is not enough memory; close other programs, or take smaller pieces"
    elif isinstance(error, ModuleNotFoundError):
        text = f"the package {error.name} is not installed; "
        text += "pip install 'gliomakit[course]' brings it"
    elif isinstance(error, OSError) and error.errno is not None:
        text = _system(error)
    else:
        text = f"this is a fault in gliomakit ({type(error).__name__}: {error})"
        text += "; please report what --debug shows"
    return " ".join(text.split())


def _usage(error: Any) -> str:
    context = getattr(error, "ctx", None)
    command = context.command_path if context is not None else "gliomakit"
    return f"{error.format_message().rstrip('.')}; see {command} --help"


def _out_of_memory(error: BaseException) -> bool:
    # PyTorch's errors are known by name, so that this module need not load it.
    name, text = type(error).__name__, str(error)
    return (
        isinstance(error, MemoryError)
        or name == "OutOfMemoryError"
        or (isinstance(error, RuntimeError) and "can't allocate memory" in text)
    )


_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_CLOSED = {errno.EACCES, errno.EPERM, errno.EROFS}


def _system(error: OSError) -> str:
    if error.errno in _FULL:
        what = "the disk is full; make room or name another folder"
    elif error.errno in _CLOSED:
        what = "permission denied; name a file or folder that you may use"
    elif error.errno == errno.ENOENT:
        what = "there is no such file or folder"
    elif error.errno in (errno.ENOTDIR, errno.EEXIST):
        what = "a file is where a folder is meant; name another folder"
    else:
        what = (os.strerror(error.errno) if error.errno else str(error)).lower()
    where = error.filename2 or error.filename
    return f"{where}: {what}" if where else what
