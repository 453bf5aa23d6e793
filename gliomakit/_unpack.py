"""Unpack an archive that may be hostile: all of it is looked at before any of it is written."""

from __future__ import annotations

import os
import shutil
import tarfile
from pathlib import Path, PurePosixPath

from tqdm import tqdm

from ._room import FULL, check_room
from .errors import GliomakitError

MOST_MEMBERS, LONGEST_NAME, DEEPEST = 100_000, 200, 8

# Python 3.11.0 to 3.11.3 lack the filter; what is refused here is more than it refuses.
_FILTER = {"filter": "data"} if hasattr(tarfile, "data_filter") else {}


def unpack(archive: Path, folder: Path, progress: bool = False) -> None:
    """Unpack the folder of an uncompressed tar archive that is called as `folder` is, to there.

    Only plain files and folders are taken; what lies outside that folder, and macOS's `._` copies,
    are left out. It is unpacked beside its place and renamed: the folder is whole or not there.
    Raises `GliomakitError` if the archive is damaged, or holds what no honest one would: a path
    that leads out of it, a link, a device, a name twice, more bytes than it has itself.
    """
    temporary = folder.with_name(f".{folder.name}.unpacking")
    try:
        if temporary.exists():
            shutil.rmtree(temporary)  # of a call that was killed
        with tarfile.open(archive, "r:") as tar:
            members = _members(tar, archive, folder.name)
            check_room(folder.parent, sum(m.size for m in members), "to unpack the archive")
            temporary.mkdir()
            bar = tqdm(members, "unpacking", unit="file", disable=not progress, leave=False)
            for member in bar:
                tar.extract(member, temporary, **_FILTER)
        os.replace(temporary / folder.name, folder)
    except (tarfile.TarError, EOFError, UnicodeError) as error:
        raise GliomakitError(f"is damaged: {error}", where=archive, todo="get it again") from error
    except OSError as error:
        full = error.errno in FULL
        raise GliomakitError(
            "the disk is full" if full else f"cannot be unpacked ({error.strerror or error})",
            where=folder,
            todo=f"{'make room and ' if full else ''}try again: {archive.name} is still there",
        ) from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _members(tar: tarfile.TarFile, archive: Path, top: str) -> list[tarfile.TarInfo]:
    """What is to be unpacked, everything checked."""
    room, seen, wanted = archive.stat().st_size, set(), []
    for count, member in enumerate(tar):
        parts = PurePosixPath(member.name).parts
        if wrong := _wrong(member, parts):
            raise GliomakitError(
                f"holds {member.name[:80]!r}, {wrong}: nothing was unpacked", where=archive
            )
        room -= member.size
        # Two names that differ in case only are one file on many disks.
        name = "/".join(parts).casefold()
        if room < 0 or count >= MOST_MEMBERS or (name in seen and member.isfile()):
            what = "more bytes than it has itself" if room < 0 else f"{member.name[:80]!r} twice"
            what = f"more than {MOST_MEMBERS} files" if count >= MOST_MEMBERS else what
            raise GliomakitError(f"holds {what}: nothing was unpacked", where=archive)
        seen.add(name)
        if parts and parts[0] == top and not parts[-1].startswith("._"):
            wanted.append(member)
    if not wanted:
        raise GliomakitError(f"holds no folder {top}", where=archive)
    return wanted


def _wrong(member: tarfile.TarInfo, parts: tuple[str, ...]) -> str | None:
    """What is wrong with a member, in words that follow its name; None if nothing is."""
    name = member.name
    if name.startswith("/") or ".." in parts or "\\" in name or ":" in name:
        return "a path outside its folder"
    if not (member.isfile() or member.isdir()) or member.issparse():
        return "which is no plain file"
    if len(parts) > DEEPEST or any(len(os.fsencode(part)) > LONGEST_NAME for part in parts):
        return "a name that is too long"
    if not name.isprintable() or member.size < 0:
        return "a broken entry"
    return None
