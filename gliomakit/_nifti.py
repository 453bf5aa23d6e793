"""One NIfTI file, read and written safely.

Files come from downloads that broke off, from other people, from tools with habits of their own.
So the header is checked before anything is allocated, the compressed stream is read to its
checksum, and whatever is wrong becomes one `GliomakitError` that names the file. What a file is
is decided by its content: a plain NIfTI file called `.nii.gz` is read, an HTML page is not.
Source of the format: the NIfTI-1 and NIfTI-2 headers (nifti.nimh.nih.gov).
"""

from __future__ import annotations

import gzip
import math
import os
import secrets
import stat
import zlib
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from nibabel import Nifti1Header, Nifti2Header
from nibabel.nifti1 import data_type_codes
from nibabel.spatialimages import HeaderDataError
from nibabel.volumeutils import apply_read_scaling

from ._grid import Grid, times
from .errors import GliomakitError

MAX_VOXELS = 2**30
"""Eight volumes of 512 voxels a side; more is a damaged header, not a patient."""

DEFLATE_LIMIT = 1032
"""Deflate cannot expand a byte to more than this many."""

SLACK = 1 << 20
"""Bytes that may follow the voxels, and that a small stream may exceed the limit by."""

PIECE = 1 << 18
"""Bytes that are read and unpacked at once: they stay in the processor's cache."""

GEOMETRY = (
    ["pixdim", "xyzt_units", "qform_code", "sform_code"]
    + [f"quatern_{c}" for c in "bcd"]
    + [f"qoffset_{c}" for c in "xyz"]
    + [f"srow_{c}" for c in "xyz"]
)
"""The header fields that say where voxels lie."""


@dataclass(frozen=True, eq=False)
class Nifti:
    """A file whose header was read and found sound; `voxels()` reads the rest.

    shape: three numbers or more, trailing 1s dropped. grid: of its first three axes.
    """

    path: Path
    shape: tuple[int, ...]
    grid: Grid
    dtype: np.dtype
    offset: int
    slope: float
    inter: float
    packed: bool

    @property
    def bytes(self) -> int:
        """Bytes of the unpacked file up to its last voxel."""
        return self.offset + math.prod(self.shape) * self.dtype.itemsize

    def voxels(self) -> np.ndarray:
        """The array in the file's axis order, header scaling applied, read-only if there is none.

        Raises `GliomakitError` for a file that is cut off, damaged or too large for the memory.
        """
        try:
            raw = _unpacked(self.path, self.packed, self.bytes)
            array = np.frombuffer(raw, self.dtype, math.prod(self.shape), self.offset)
            array = array.reshape(self.shape, order="F")
            with np.errstate(over="ignore", invalid="ignore"):
                return apply_read_scaling(array, self.slope, self.inter)
        except MemoryError:
            raise GliomakitError(
                f"there is not enough memory for its {_human(self.bytes)}", where=self.path
            ) from None


def open_nifti(path: str | Path) -> Nifti:
    """Read and check a file's header; nothing larger than the header is allocated.

    Raises `GliomakitError` for a missing file, one that is no NIfTI file, or a header that cannot
    be true.
    """
    path = Path(path)
    start, size = _start(path)
    packed = start[:2] == b"\x1f\x8b"
    header = _header(_inflate_start(start, path) if packed else start, path)
    shape, dtype, offset = _layout(header, path)
    claimed = offset + math.prod(shape) * dtype.itemsize
    holds = size * DEFLATE_LIMIT + SLACK if packed else size
    if math.prod(shape) > MAX_VOXELS or claimed > holds:
        raise GliomakitError(
            f"its header claims {times(shape)} voxels ({_human(claimed)}), which the file of "
            f"{_human(size)} cannot hold: it is cut off or damaged",
            where=path,
            todo="get it again",
        )
    try:
        with np.errstate(all="ignore"):
            slope, inter = header.get_slope_inter()
            affine = header.get_best_affine()
    except (HeaderDataError, ValueError) as error:
        raise GliomakitError(f"its header is damaged: {error}", where=path) from None
    _check_affine(affine, path)
    slope, inter = (1.0, 0.0) if slope is None else (slope, inter)
    grid = Grid(shape[:3], affine, header)
    return Nifti(path, shape, grid, dtype, offset, slope, inter, packed)


def encode(array: np.ndarray, grid: Grid, packed: bool) -> bytes:
    """The bytes of a NIfTI-1 file of an array (x, y, z) in the file's axis order.

    The sform and qform are copied bit for bit from the header of `grid`; without one both hold its
    affine. The same array gives the same bytes: no time stamp is kept.
    """
    header = Nifti1Header()
    header.set_data_dtype(array.dtype)
    header.set_data_shape(array.shape)
    if grid.header is None:
        header.set_sform(grid.affine, code=1)
        header.set_qform(grid.affine, code=1)
        header.set_xyzt_units("mm")
    else:
        for name in GEOMETRY:
            header[name] = grid.header[name]
        header["pixdim"][4:] = 1  # of three axes only
    header["magic"], header["vox_offset"] = b"n+1", 352
    raw = header.binaryblock + bytes(4) + array.tobytes(order="F")
    return gzip.compress(raw, compresslevel=6, mtime=0) if packed else raw


def write_files(files: Mapping[Path, bytes]) -> None:
    """Write all files or none: each beside its place first, then renamed, the first one last.

    Missing folders are made. Raises `GliomakitError` when the disk is full or the folder cannot be
    written; then nothing is left behind and older files are untouched.
    """
    temporary: dict[Path, Path] = {}
    path = Path()
    try:
        for path, content in files.items():
            path.parent.mkdir(parents=True, exist_ok=True)
            beside = path.with_name(f".{path.name}.{secrets.token_hex(4)}.part")
            temporary[path] = beside
            with open(beside, "xb") as stream:
                stream.write(content)
                stream.flush()
                os.fsync(stream.fileno())
        for path, beside in reversed(temporary.items()):
            os.replace(beside, path)
    except OSError as error:
        why = error.strerror or error
        if isinstance(error, FileExistsError | NotADirectoryError):
            why = "a part of its path is a file, not a folder"
        raise GliomakitError(f"cannot be written: {why}", where=path) from None
    finally:
        for beside in temporary.values():
            with suppress(OSError):
                beside.unlink()


def _start(path: Path) -> tuple[bytes, int]:
    """The first bytes of a file, and its size."""
    try:
        status = path.stat()
        if stat.S_ISDIR(status.st_mode):
            raise GliomakitError("is a folder where a NIfTI file is meant", where=path)
        if not stat.S_ISREG(status.st_mode):
            raise GliomakitError("is not a file", where=path)
        with open(path, "rb") as stream:
            return stream.read(1 << 16), status.st_size
    except FileNotFoundError:
        raise GliomakitError("there is no such file", where=path) from None
    except OSError as error:
        raise GliomakitError(f"cannot be read: {error.strerror or error}", where=path) from None


def _inflate_start(start: bytes, path: Path) -> bytes:
    try:
        return zlib.decompressobj(wbits=31).decompress(start, 4096)
    except zlib.error:
        raise _damaged(path) from None


def _unpacked(path: Path, packed: bool, count: int) -> np.ndarray:
    """The first `count` bytes of the unpacked file, uint8, whose stream is read to its checksum."""
    found, filled = np.empty(count, np.uint8), 0
    pending, unpack = b"", zlib.decompressobj(wbits=31)
    try:
        with open(path, "rb") as stream:
            if not packed:
                filled = stream.readinto(found)
            while packed and (pending := pending or stream.read(PIECE)):
                if unpack.eof:  # several streams in a row are one file
                    if not pending.startswith(b"\x1f\x8b"):
                        break
                    unpack = zlib.decompressobj(wbits=31)
                part = unpack.decompress(pending, PIECE)
                pending = unpack.unused_data or unpack.unconsumed_tail
                kept = max(min(len(part), count - filled), 0)
                found[filled : filled + kept] = np.frombuffer(part, np.uint8, kept)
                filled += len(part)
                if filled - count >= SLACK:
                    raise GliomakitError(
                        "it holds more voxels than its header says: it is damaged", where=path
                    )
    except zlib.error:
        raise _damaged(path) from None
    except OSError as error:
        raise GliomakitError(f"cannot be read: {error.strerror or error}", where=path) from None
    if filled < count or (packed and not unpack.eof):
        raise GliomakitError("it is cut off: its end is missing", where=path, todo="get it again")
    found.flags.writeable = False
    return found


def _header(head: bytes, path: Path) -> Nifti1Header:
    if not head:
        raise GliomakitError("it is empty", where=path, todo="get it again")
    for kind, size, place, magic in (
        (Nifti1Header, 348, 344, b"n+1"),
        (Nifti2Header, 540, 4, b"n+2"),
    ):
        if head[place : place + 3] == magic and len(head) >= size:
            return kind(head[:size], check=False)
    raise GliomakitError(f"is not a NIfTI file{_looks_like(head)}", where=path)


def _looks_like(head: bytes) -> str:
    """What a file that is no NIfTI file seems to be, said so that a user can act on it."""
    if head[344:347] == b"ni1":
        return " in one piece, but the header of a .hdr/.img pair; convert it to .nii"
    if head[128:132] == b"DICM":
        return " but DICOM; convert the series with dcm2niix"
    known = {b"NRRD": "NRRD", b"ObjectType": "MetaImage (.mha)", b"PK\x03\x04": "a zip archive"}
    for start, name in known.items():
        if head.startswith(start):
            return f" but {name}; convert or unpack it to .nii"
    if head.lstrip()[:1] == b"<":
        return " but a web page (HTML): the download failed"
    text = head[:512]
    if all(byte in b"\t\n\r" or byte >= 32 for byte in text):
        return " but text: the download failed"
    return ""


def _layout(header: Nifti1Header, path: Path) -> tuple[tuple[int, ...], np.dtype, int]:
    """Shape, type and first byte of the voxels, each checked."""
    axes = int(header["dim"][0])
    shape = [int(n) for n in header["dim"][1 : 1 + max(axes, 0)]]
    while len(shape) > 3 and shape[-1] == 1:
        shape.pop()
    if not 1 <= axes <= 7:
        raise GliomakitError(f"its header claims {axes} axes", where=path)
    if min(shape) < 1 or max(shape) > 32767:  # the most that NIfTI-1 can say
        raise GliomakitError(f"its header claims impossible sides: {times(shape)}", where=path)
    if len(shape) < 3:
        raise GliomakitError(f"is {len(shape)}-D ({times(shape)}), not a volume", where=path)
    code = int(header["datatype"])
    try:
        dtype = header.get_data_dtype()
    except (HeaderDataError, KeyError):
        raise GliomakitError(f"its header has unknown voxel type {code}", where=path) from None
    if dtype.kind not in "iuf":
        raise GliomakitError(
            f"its voxels are of type {data_type_codes.label[code]}, not one number each", where=path
        )
    offset = float(header["vox_offset"])
    if not 352 <= offset < 2**40:
        raise GliomakitError(
            f"its header is damaged: voxels cannot begin at byte {offset:g}", where=path
        )
    return tuple(shape), dtype, int(offset)


def _check_affine(affine: np.ndarray, path: Path) -> None:
    with np.errstate(all="ignore"):
        sizes = np.sqrt((affine[:3, :3] ** 2).sum(axis=0))
        sound = np.isfinite(affine).all() and (1e-3 < sizes).all() and (sizes < 1e3).all()
        # columns of length 1: then a small determinant means that two axes run the same way
        sound = sound and abs(np.linalg.det(affine[:3, :3] / sizes)) > 1e-3
    if not sound:
        raise GliomakitError(
            "its affine is damaged: it does not say where the voxels lie", where=path
        )


def _damaged(path: Path) -> GliomakitError:
    return GliomakitError("its compressed data is damaged", where=path, todo="get it again")


def _human(count: int) -> str:
    """
    >>> _human(12), _human(18_000_000), _human(4 * 10**12)
    ('12 bytes', '18 MB', '4 TB')
    """
    for power, unit in ((12, "TB"), (9, "GB"), (6, "MB"), (3, "kB")):
        if count >= 10**power:
            return f"{count / 10**power:.3g} {unit}"
    return f"{count} bytes"
