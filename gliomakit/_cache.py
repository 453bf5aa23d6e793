"""A folder of arrays that can be made again: written atomically, checked when opened.

An entry is a folder named by its key, with one .npy file an array and a manifest. It is written
under another name and renamed when complete. Whatever is wrong with an entry (a truncated array,
other bytes, no manifest) makes it count as absent.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import secrets
import shutil
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

import numpy as np

from .errors import GliomakitError

Facts = dict[str, object]

_FORMAT = 1
_DAY = 86_400.0
_TICK = 2_000_000_000  # ns; coarser than the clock of any file system


def digest(path: Path, index: Path | None = None) -> str:
    """BLAKE2b of a file's bytes, in hexadecimal.

    index: a folder of notes. A file whose size and times are those of its note is not read again.
    The time of the last change of state (ctime) is among them, which a program cannot set back.
    """
    note = None
    if index is not None:
        note = index / f"{_hash(str(path.absolute()).encode())}.json"
        known = _known(note, path)
        if known is not None:
            return known
    before = _signature(path)
    with open(path, "rb") as file:
        value = hashlib.file_digest(file, _blake).hexdigest()
    if note is not None and _signature(path) == before:
        _write_note(note, {"stat": before, "digest": value})
    return value


def key_of(**parts: object) -> str:
    """A key from whatever the arrays depend on (anything that JSON can say).

    >>> key_of(spacing=2.0) == key_of(spacing=2.0) != key_of(spacing=1.0)
    True
    """
    return _hash(json.dumps(parts, sort_keys=True).encode())


def fetch(folder: Path, key: str) -> tuple[dict[str, np.ndarray], Facts] | None:
    """The arrays (memory-mapped, read-only) and facts of an entry; None if absent or damaged."""
    entry = folder / key
    try:
        manifest = json.loads((entry / "manifest.json").read_bytes())
        seal = manifest.pop("seal")
        if manifest["format"] != _FORMAT or manifest["key"] != key or seal != _seal(manifest):
            return None
        arrays = {}
        for name, told in manifest["arrays"].items():
            path = entry / f"{name}.npy"
            if path.stat().st_size != told["bytes"]:
                return None
            if digest(path, folder / "index") != told["digest"]:
                return None
            arrays[name] = np.load(path, mmap_mode="r", allow_pickle=False)
        return arrays, manifest["facts"]
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None


def store(folder: Path, key: str, arrays: Mapping[str, np.ndarray], facts: Facts) -> None:
    """Write an entry, in place of a damaged one. Another process may write the same at once.

    Raises `GliomakitError` if there is no room or the folder cannot be written; nothing is left.
    """
    temporary = folder / f".writing-{os.getpid()}-{secrets.token_hex(4)}"
    try:
        temporary.mkdir(parents=True)
        _sweep(folder)
        told = {name: _write(temporary / f"{name}.npy", array) for name, array in arrays.items()}
        manifest = {"format": _FORMAT, "key": key, "facts": facts, "arrays": told}
        manifest["seal"] = _seal(manifest)
        (temporary / "manifest.json").write_text(json.dumps(manifest, indent=1), encoding="utf-8")
        _move(temporary, folder, key)
    except OSError as error:
        raise _refused(error, folder, sum(a.nbytes for a in arrays.values())) from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _move(temporary: Path, folder: Path, key: str) -> None:
    entry = folder / key
    for _ in range(20):
        try:
            os.rename(temporary, entry)
            return
        except OSError:
            if not entry.exists():
                raise
        # Either another process was quicker, and its entry is as good as ours, or a damaged one
        # lies in the way. A whole folder cannot be replaced in one step: move it aside first.
        if fetch(folder, key) is not None:
            return
        aside = folder / f".writing-{os.getpid()}-{secrets.token_hex(4)}"
        try:
            os.rename(entry, aside)
        except FileNotFoundError:
            continue
        shutil.rmtree(aside, ignore_errors=True)
    raise OSError(errno.EBUSY, os.strerror(errno.EBUSY))


def _write(path: Path, array: np.ndarray) -> dict[str, object]:
    # Not np.save: on a full disk its error says neither that nor which file.
    array = np.ascontiguousarray(array)
    hasher = _blake()
    with open(path, "wb") as file:
        np.lib.format.write_array_header_1_0(file, np.lib.format.header_data_from_array_1_0(array))
        file.write(memoryview(array).cast("B"))
    with open(path, "rb") as file:
        # Only the header has to be read back, the rest is in memory.
        hasher.update(file.read(path.stat().st_size - array.nbytes))
    hasher.update(memoryview(array).cast("B"))
    return {"bytes": path.stat().st_size, "digest": hasher.hexdigest()}


def _refused(error: OSError, folder: Path, needed: int) -> GliomakitError:
    if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        return GliomakitError(
            f"there is no room for a cache entry of {needed / 1e6:.1f} MB",
            where=folder,
            todo="make room, or name another folder with GLIOMAKIT_CACHE",
        )
    return GliomakitError(
        f"the cache cannot be written ({error.strerror or error})",
        where=folder,
        todo="name another folder with GLIOMAKIT_CACHE",
    )


def _sweep(folder: Path) -> None:
    """Remove what a killed process left a day ago or earlier."""
    for leftover in folder.glob(".writing-*"):
        try:
            old = time.time() - leftover.stat().st_mtime > _DAY
        except OSError:  # its owner has just renamed it
            continue
        if old:
            shutil.rmtree(leftover, ignore_errors=True)


def _known(note: Path, path: Path) -> str | None:
    """What the note says of the file, if the file has not changed since."""
    try:
        told = json.loads(note.read_bytes())
        now = _signature(path)
        # A change within one tick of the clock would leave the times as they are: trust a note
        # only if it is clearly younger than the file.
        settled = note.stat().st_mtime_ns - max(now[1:]) > _TICK
        return told["digest"] if settled and told["stat"] == now else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _write_note(note: Path, told: dict[str, object]) -> None:
    temporary = note.with_name(f".writing-{os.getpid()}-{secrets.token_hex(4)}")
    try:
        note.parent.mkdir(parents=True, exist_ok=True)
        temporary.write_text(json.dumps(told), encoding="utf-8")
        os.replace(temporary, note)
    except OSError:  # a note saves time, nothing else
        with suppress(OSError):
            temporary.unlink()


def _signature(path: Path) -> list[int]:
    stat = path.stat()
    return [stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns]


def _seal(manifest: dict[str, object]) -> str:
    return _hash(json.dumps(manifest, sort_keys=True).encode())


def _blake() -> hashlib.blake2b:
    return hashlib.blake2b(digest_size=20)


def _hash(data: bytes) -> str:
    return hashlib.blake2b(data, digest_size=20).hexdigest()
