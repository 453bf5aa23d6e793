"""Real data, from its publishers, when the user asks for it by name.

    found = fetch(source("msd"), "data")     # data/Task01_BrainTumour

Where each data set is, how large, with which checksum and licence, stands in data/sources.json and
nowhere else. What comes is checked, unpacked with care, and put in place by one rename.
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from . import _kaggle, _transfer, _unpack
from ._room import size
from .cases import find_cases
from .errors import GliomakitError
from .paths import cache_folder
from .project import shipped


@dataclass(frozen=True)
class Source:
    """A public data set. One with a `url` is a tar archive; one with `kaggle` is fetched by
    kagglehub.

    folder:   what its folder is called, in the archive as here.
    size:     of the archive in bytes, about.
    checksum: ``md5:…`` or ``sha256:…`` of the archive.
    cases:    how many of what it has, to see that it is whole.
    page:     where a person can read about it.
    """

    name: str
    title: str
    folder: str
    page: str
    licence: str
    licence_verified: bool = False
    url: str | None = None
    size: int = 0
    checksum: str = ""
    kaggle: str | None = None
    cases: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Found:
    """A data set on the disk. new: fetched by this call; cases: counted, as in `Source.cases`."""

    folder: Path
    cases: dict[str, int]
    new: bool


def source(name: str) -> Source:
    """What data/sources.json says of a data set.

    >>> source("msd").folder, source("lgg").cases["slices"]
    ('Task01_BrainTumour', 3929)
    """
    known = json.loads(shipped("sources.json").read_text("utf-8"))
    if name not in known:
        raise GliomakitError(f"there is no data set {name!r}", todo=f"known: {', '.join(known)}")
    entry = dict(known[name])
    if "md5" in entry:
        entry["checksum"] = f"md5:{entry.pop('md5')}"
        entry["size"] = round(entry.pop("size_gb") * 1e9)
    return Source(name, **entry)


def default_folder() -> Path:
    """Where data sets go if no folder is named.

    >>> default_folder().name
    'downloads'
    """
    return cache_folder() / "downloads"


def fetch(
    of: Source,
    folder: str | Path | None = None,
    keep_archive: bool = False,
    progress: bool = False,
    say: Callable[[str], None] = lambda text: None,
) -> Found:
    """Fetch a data set into a folder; if it is there already, nothing is done.

    keep_archive: leave the archive beside what was unpacked from it.
    say:          is told what a user who waits may want to know, a line at a time.
    Raises `GliomakitError`, and `OSError` where the folder cannot be made. An interrupted download
    can be gone on with by the same call; of what is unpacked or copied nothing is ever half there.
    """
    folder = default_folder() if folder is None else Path(folder)
    place = folder / of.folder
    if place.exists():
        return Found(place, _count(of, place), new=False)
    folder.mkdir(parents=True, exist_ok=True)
    with _alone(folder):
        if of.url:
            _from_archive(of, place, keep_archive, progress, say)
        else:
            _from_kaggle(of, place, progress, say)
    return Found(place, _count(of, place), new=True)


def _from_archive(
    of: Source, place: Path, keep: bool, progress: bool, say: Callable[[str], None]
) -> None:
    assert of.url
    archive = place.with_name(of.url.rsplit("/", 1)[-1])
    there = archive.exists()
    if there:
        say(f"{archive} is there: unpacking it")
        _transfer.check(archive, of.checksum)
    else:
        say(
            f"{of.title}: about {size(of.size)} to fetch; unpacked it takes as much again, so "
            f"{size(2 * of.size)} are needed for a while"
        )
        _transfer.fetch(of.url, archive, of.size, of.checksum, of.size, progress, say)
    _unpack.unpack(archive, place, progress)
    # One that was there before this call is not ours to remove.
    if there:
        say(f"{archive} is no longer needed")
    elif not keep:
        archive.unlink()


def _from_kaggle(of: Source, place: Path, progress: bool, say: Callable[[str], None]) -> None:
    assert of.kaggle
    hub = _kaggle.library(of.page)
    say(f"{of.title}: kagglehub fetches it from {of.page}")
    given = _kaggle.find(_kaggle.download(hub, of.kaggle, of.page), of.folder)
    _count(of, given)
    _kaggle.copy(given, place, progress)
    say(f"kagglehub's own copy stays in {given}; you may remove it")


def _count(of: Source, place: Path) -> dict[str, int]:
    """How many cases there are; `GliomakitError` if some that belong there are missing."""
    if of.kaggle:
        patients, slices = _kaggle.count(place)
        found = {"labelled": patients, "slices": slices}
    else:
        labelled, others = (find_cases(place, split) for split in ("training", "test"))
        found = {"labelled": len(labelled), "unlabelled": len(others)}
        files = {p for case in labelled + others for p in (*case.images.values(), case.label) if p}
        if missing := sorted(p for p in files if not p.is_file()):
            raise _broken(place, f"{missing[0].name} is missing ({len(missing)} files in all)")
    for what, number in of.cases.items():
        if found[what] != number:
            raise _broken(place, f"it holds {found[what]} where {number} ({what}) belong")
    return found


def _broken(place: Path, what: str) -> GliomakitError:
    return GliomakitError(
        f"is not the whole data set: {what}",
        where=place,
        todo="remove this folder and fetch it again, or name another place",
    )


@contextlib.contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Keep a second call out of the same folder: two would write into one file.

    The system lets go of the lock when a process ends, however it ends. Windows lacks it.
    """
    try:
        import fcntl
    except ImportError:
        yield
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise GliomakitError(
                "another download is at work here", where=folder, todo="wait for it"
            ) from None
        except OSError:
            pass  # some network disks know no locks
        yield
    finally:
        os.close(handle)
