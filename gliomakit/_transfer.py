"""Fetch one large file over HTTP: what has come is kept, and a later call goes on from there.

pooch, which else would do it, begins anew each time; for 7 GB on a home connection that is a day.
So the transfer is here, with requests (which pooch brings); the checksum is pooch's.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import pooch
import requests
from tqdm import tqdm

from ._room import FULL, check_room, size
from .errors import GliomakitError

CHUNK = 1 << 16
WORTH = 64_000_000
"""A connection that is cut off after so many bytes was worth while: the next one is opened at once.
So a bad line does not need a person who says the same command twenty times."""
CONNECT_SECONDS, SILENT_SECONDS = 15, 60


def fetch(
    url: str,
    path: Path,
    expected: int,
    checksum: str,
    spare: int = 0,
    progress: bool = False,
    say: Callable[[str], None] = lambda text: None,
) -> None:
    """Fetch a file to `path`, whole and with the right checksum, or not at all.

    What has come lies in `<path>.part` until then, with a note beside it (`.part.json`) that says
    of which file it is a part; the next call goes on if the server still has that file.

    expected: about how many bytes; an answer of less than half or more than twice that is refused.
    checksum: ``md5:…`` or ``sha256:…``.
    spare:    bytes that must stay free beside the file.
    say:      is told what the user may want to know (a new beginning, the check at the end).
    Raises `GliomakitError` if that fails; what can be gone on with stays, and the error says so.
    """
    part = _Part(url, path)
    while True:
        before = part.have
        try:
            _receive(part, expected, spare, progress, say)
            break
        except _CutOff as cut:
            if part.have - before < WORTH:
                raise GliomakitError(
                    f"the download was cut off ({cut})",
                    where=url,
                    todo=part.kept(),
                ) from cut
    say(f"checking what came ({size(part.have)})")
    try:
        check(part.path, checksum)
    except GliomakitError as error:
        part.forget()
        raise GliomakitError(error.what, where=url, todo="it was removed; try again") from error
    os.replace(part.path, path)
    part.forget()


def check(path: Path, checksum: str) -> None:
    """Raise `GliomakitError` if a file has not this checksum (``md5:…`` or ``sha256:…``)."""
    method, digest = checksum.split(":")
    found = pooch.file_hash(str(path), alg=method)
    if found != digest:
        raise GliomakitError(
            f"it is another file or a damaged one: its {method.upper()} is {found}, not {digest}",
            where=path,
            todo="remove it and try again",
        )


class _CutOff(Exception):
    """The connection ended, or fell silent, before the file did."""


@dataclass(frozen=True)
class _Version:
    """Which file a server has: what it says of it. total is None if it does not say."""

    url: str
    total: int | None
    etag: str | None
    modified: str | None

    @classmethod
    def of(cls, url: str, answer: requests.Response) -> _Version:
        length, etag = answer.headers.get("Content-Length", ""), answer.headers.get("ETag", "")
        return cls(
            url,
            int(length) if re.fullmatch(r"\d{1,18}", length, re.ASCII) else None,
            # A weak tag says "much the same", which is not enough to join two halves.
            etag if re.fullmatch(r'"[!#-~]{1,200}"', etag) else None,
            answer.headers.get("Last-Modified"),
        )

    @property
    def name(self) -> str | None:
        """What If-Range takes: the server then sends the rest only of this very file."""
        return self.etag or self.modified


class _Part:
    """The beginning of a file on the disk, and the note of which file it is."""

    def __init__(self, url: str, path: Path):
        self.url = url
        self.path = path.with_name(f"{path.name}.part")
        self.note = path.with_name(f"{path.name}.part.json")

    @property
    def have(self) -> int:
        return self.path.stat().st_size if self.path.is_file() else 0

    @property
    def version(self) -> _Version | None:
        """The version that it is of; None if nobody knows."""
        try:
            version = _Version(**json.loads(self.note.read_text("utf-8")))
        except (OSError, ValueError, TypeError):
            return None
        return version if version.url == self.url else None

    def begin(self, version: _Version) -> None:
        """An empty part of this version."""
        self.forget()
        self.path.touch()
        self.note.write_text(json.dumps(asdict(version)), "utf-8")

    def forget(self) -> None:
        self.note.unlink(missing_ok=True)
        self.path.unlink(missing_ok=True)

    def kept(self) -> str:
        """The way out after an interruption."""
        version = self.version
        if not self.have or version is None or version.total is None:
            return "try again later"
        return f"{size(self.have)} are kept in {self.path}: the same command goes on from there"


def _receive(
    part: _Part, expected: int, spare: int, progress: bool, say: Callable[[str], None]
) -> None:
    """Get the file, or the rest of it. Raises `_CutOff`, or `GliomakitError` for what lasts."""
    version = part.version
    if version is None:
        part.forget()
    elif version.total is not None and version.total == part.have:
        return  # stopped between the last byte and the check
    with _ask(part) as answer:
        start = _beginning(answer, part, say)
        if start == 0:
            version = _Version.of(part.url, answer)
            _check_size(version, expected)
        total = version.total
        why = "for the archive and what is in it" if spare else "for it"
        check_room(part.path.parent, (total or expected) - start + spare, why)
        if start == 0:
            part.begin(version)
        bar = tqdm(
            desc=part.path.stem,
            total=total,
            initial=start,
            unit="B",
            unit_scale=True,
            disable=not progress,
        )
        with bar:
            _write(answer, part, total or 2 * expected, bar)
    if total is not None and part.have != total:
        raise _CutOff(f"{size(part.have)} of {size(total)} came")


def _ask(part: _Part) -> requests.Response:
    """The server's answer, its body not yet read; with what is there, it is asked for the rest."""
    headers = {"Accept-Encoding": "identity"}  # bytes as they are counted and checked
    version = part.version
    if part.have and version and version.total is not None:
        headers["Range"] = f"bytes={part.have}-"
        if version.name:
            headers["If-Range"] = version.name
    try:
        answer = requests.get(
            part.url, headers=headers, stream=True, timeout=(CONNECT_SECONDS, SILENT_SECONDS)
        )
    except requests.RequestException as error:
        why = "cannot be reached"
        if isinstance(error, requests.Timeout):
            why = "does not answer"
        elif isinstance(error, requests.exceptions.SSLError):
            why = "cannot be trusted: its certificate does not hold"
        raise GliomakitError(
            f"the server {why}", where=part.url, todo=f"is there a network? {part.kept()}"
        ) from error
    if part.have and not _fits(answer, part):
        # Not the rest of what is here: ask for the whole.
        answer.close()
        part.forget()
        return _ask(part)
    if answer.status_code != 200 and not (answer.status_code == 206 and part.have):
        answer.close()
        gone = answer.status_code in (404, 410)
        raise GliomakitError(
            f"the server has no such file ({answer.status_code})"
            if gone
            else f"the server answers {answer.status_code}",
            where=part.url,
            todo="a newer gliomakit may know where it is now" if gone else part.kept(),
        )
    return answer


def _fits(answer: requests.Response, part: _Part) -> bool:
    """Whether an answer can be used with the part: not if it is a piece from another place."""
    if answer.status_code != 206:
        return answer.status_code != 416  # which says: the file ends before your part does
    version = part.version
    piece = r"bytes (\d{1,18})-\d{1,18}/(\d{1,18})"
    found = re.fullmatch(piece, answer.headers.get("Content-Range", ""), re.ASCII)
    return bool(found and version and (int(found[1]), int(found[2])) == (part.have, version.total))


def _beginning(answer: requests.Response, part: _Part, say: Callable[[str], None]) -> int:
    """At which byte of the file the answer begins: where the part ends, or 0."""
    if answer.status_code == 206:
        say(f"going on after {size(part.have)}")
        return part.have
    version = part.version
    if part.have and version:
        new = _Version.of(part.url, answer)
        say(
            "the server cannot go on in the middle of a file: beginning anew"
            if (new.total, new.name) == (version.total, version.name)
            else "the file has changed since the last time: beginning anew"
        )
    return 0


def _check_size(version: _Version, expected: int) -> None:
    """Raise `GliomakitError` if the file cannot be the one that is meant."""
    total = version.total
    if total is not None and not expected / 2 <= total <= expected * 2:
        raise GliomakitError(
            f"the server answers with {size(total)} where about {size(expected)} are expected",
            where=version.url,
            todo="does the network ask for a log-in first? If not, report it",
        )


def _write(answer: requests.Response, part: _Part, most: int, bar: tqdm) -> None:
    """Append the answer's bytes to the part, `most` in all."""
    have = part.have
    try:
        with open(part.path, "ab") as file:
            for chunk in answer.iter_content(CHUNK):
                have += len(chunk)
                if have > most:
                    break
                file.write(chunk)
                bar.update(len(chunk))
    except requests.RequestException as error:  # an OSError too, so it stands first
        raise _CutOff("the connection ended") from error
    except OSError as error:
        full = error.errno in FULL
        raise GliomakitError(
            "the disk is full" if full else f"cannot be written ({error.strerror or error})",
            where=part.path,
            todo=f"{'make room; ' if full else ''}{part.kept()}",
        ) from error
    if have > most:
        part.forget()
        raise GliomakitError(
            f"the server sends more than the {size(most)} that it may", where=part.url
        )
