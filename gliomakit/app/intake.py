"""The files that a person drops on the page: taken in pieces, kept under names of ours, judged by
their headers before anything large is read."""

from __future__ import annotations

import math
import os
import re
import shutil
from dataclasses import dataclass
from pathlib import Path

from .._layouts import role, sequence_name, stem
from .._nifti import open_nifti
from ..cases import Case, CaseFiles, loose
from ..checks import Finding, check
from ..errors import GliomakitError
from ..regions import SEQUENCE_NAMES, SEQUENCES

FILES, BYTES = 4, 500_000_000
"""At most so many files of a case, and bytes of one."""

PIECE = 4 << 20
"""Bytes of a piece at most: far below the web socket's limit, past which messages are lost."""

VOXELS, SIDE = 40_000_000, 400.0
"""At most so many voxels of a file, and mm of a side: a head's box. What is larger would take
memory from all who use the same server."""


@dataclass
class Upload:
    """One file. name: as the person calls it, for showing only; path: where it lies, under a name
    of ours. got: bytes that have come. sequence: what it is, guessed by its name, or chosen."""

    id: int
    name: str
    path: Path
    size: int
    got: int = 0
    sequence: str | None = None

    @property
    def whole(self) -> bool:
        return self.got == self.size


class Intake:
    """The files of one page, in its folder. Every refusal is a `GliomakitError`."""

    def __init__(self, folder: Path):
        self.folder, self.count = folder, 0
        self.files: dict[int, Upload] = {}

    def begin(self, name: str, size: int) -> Upload:
        """A file is to come. Nothing of it has been read so far, so that nothing is lost when it
        is refused: too many, too large, no room."""
        name = shown(name)
        if len(self.files) >= FILES:
            raise GliomakitError(
                f"a case has {FILES} files at most", where=name, todo="remove one first"
            )
        if size > BYTES:
            raise GliomakitError(
                f"it has {size / 1e6:,.0f} MB, and a file may have {BYTES / 1e6:.0f} MB at most",
                where=name,
                todo="pack it (.nii.gz), or use gliomakit segment",
            )
        if size < 1:
            raise GliomakitError("it is empty", where=name)
        if shutil.disk_usage(self.folder).free < 2 * size:
            raise GliomakitError("the server's disk is full", where=name, todo="try again later")
        self.count += 1
        kind = role(name)
        upload = Upload(self.count, name, self.folder / f"file{self.count}", size)
        upload.sequence = kind if kind in SEQUENCES else None
        upload.path.write_bytes(b"")
        self.files[upload.id] = upload
        return upload

    def piece(self, number: int, offset: int, content: bytes | memoryview) -> Upload:
        """The next bytes of a file; the last ones have it judged by its header."""
        upload = self.files[number]
        fits = 0 < len(content) <= PIECE and offset == upload.got
        if not fits or offset + len(content) > upload.size:
            self.drop(number)
            raise GliomakitError("it did not arrive whole", where=upload.name, todo="try again")
        with open(upload.path, "ab") as stream:
            stream.write(content)
        upload.got += len(content)
        if upload.whole:
            try:
                self._judge(upload)
            except GliomakitError:
                self.drop(number)
                raise
        return upload

    def adopt(self, path: Path) -> None:
        """A file that lies in the folder already."""
        upload = self.begin(path.name, path.stat().st_size)
        os.replace(path, upload.path)
        upload.got = upload.size

    def drop(self, number: int) -> None:
        """Forget a file."""
        self.files.pop(number).path.unlink(missing_ok=True)

    def clear(self) -> None:
        """Forget all files, and what was made of them."""
        for path in self.folder.iterdir():
            path.unlink()
        self.files.clear()

    def _judge(self, upload: Upload) -> None:
        nifti = open_nifti(upload.path)
        sides = [n * mm for n, mm in zip(nifti.grid.shape, nifti.grid.spacing)]
        if math.prod(nifti.shape) > VOXELS or max(sides) > SIDE:
            size = " × ".join(str(n) for n in nifti.shape)
            raise GliomakitError(
                f"it has {size} voxels and a longest side of {max(sides):.0f} mm; this page takes "
                f"{VOXELS / 1e6:.0f} million voxels and {SIDE:.0f} mm at most",
                where=upload.path,
                todo="cut it to the head, or use gliomakit segment",
            )

    # ---- the case of the files ---------------------------------------------------------------

    @property
    def ready(self) -> bool:
        """Whether there are files, and all have come whole."""
        return bool(self.files) and all(one.whole for one in self.files.values())

    @property
    def case_name(self) -> str:
        """What the files' names begin with, in letters that any disk bears."""
        names = [one.name for one in self.files.values()]
        starts = [m["case"] if (m := sequence_name(name)) else stem(name) for name in names]
        return re.sub(r"[^A-Za-z0-9_-]+", "_", os.path.commonprefix(starts)).strip("_-")[:60] or (
            "case"
        )

    def case_files(self) -> CaseFiles:
        """Which file is which sequence. Raises `GliomakitError` if that is not clear."""
        found: dict[str, Upload] = {}
        for one in self.files.values():
            if one.sequence is None:
                raise GliomakitError(
                    "its name does not say which sequence it is", where=one.name, todo="choose it"
                )
            if (first := found.setdefault(one.sequence, one)) is not one:
                name = SEQUENCE_NAMES[one.sequence]
                raise GliomakitError(
                    f"{first.name} and {one.name} are both {name}: a sequence is given twice",
                    todo="choose another sequence for one of them, or remove it",
                )
        return loose(**{name: one.path for name, one in found.items()}, name=self.case_name)

    def grids(self) -> dict[str, str]:
        """Sequences that are not on the first one's grid, and how they differ."""
        grids = {name: open_nifti(p).grid for name, p in self.case_files().images.items()}
        first = next(iter(grids.values()))
        return {name: d for name, grid in grids.items() if (d := first.difference(grid))}

    def read(self, resample_to: str | None) -> tuple[Case, list[Finding]]:
        """The case, and what looks wrong with it."""
        case = self.case_files().read(label=False, resample_to=resample_to)
        return case, check(case)

    def words(self, error: object) -> str:
        """An error in the person's names instead of ours."""
        text = str(error)
        for one in self.files.values():
            text = text.replace(str(one.path), one.name)
            text = re.sub(rf"\b{one.path.name}\b", lambda _, one=one: one.name, text)
        return text.replace(f"{self.folder}{os.sep}", "")


def shown(name: object) -> str:
    """A file's name as it may be shown: the last part of it, no control letters, not too long.

    >>> shown("../../etc/pass\\nwd.nii"), shown(7)
    ('passwd.nii', 'file')
    """
    text = re.split(r"[/\\]", name)[-1] if isinstance(name, str) else ""
    text = "".join(letter for letter in text if letter.isprintable())
    return text[-100:] or "file"
