"""Is there room on the disk? Asked before a large file is written, not after."""

from __future__ import annotations

import errno
import shutil
from pathlib import Path

from .errors import GliomakitError

FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
"""The system's words for a disk, a quota or a file that can take no more."""


def check_room(folder: Path, needed: int, why: str) -> None:
    """Raise `GliomakitError` unless so many bytes are free where the folder is.

    why: what they are needed for, as it ends the sentence "… are needed".
    """
    free = shutil.disk_usage(folder).free
    if free < needed:
        raise GliomakitError(
            f"{size(free)} are free where {size(needed)} are needed {why}",
            where=folder,
            todo="make room, or name a folder on another disk",
        )


def size(count: float) -> str:
    """A number of bytes in words.

    >>> size(12), size(345_600), size(7_100_000_000)
    ('12 bytes', '346 kB', '7.1 GB')
    """
    for power, unit, digits in ((9, "GB", 1), (6, "MB", 0), (3, "kB", 0)):
        if count >= 10**power:
            return f"{count / 10**power:.{digits}f} {unit}"
    return f"{count:.0f} bytes"
