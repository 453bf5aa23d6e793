"""A case in memory, and reading it from its files. The front of all this is `cases`."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal

import numpy as np

from ._conventions import decide_convention, label_hint
from ._grid import Grid, resample, times
from ._nifti import Nifti, open_nifti
from ._voxels import check_image, check_volume, copy, read_mask, whole_numbers
from ._workers import in_threads
from .errors import GliomakitError
from .regions import SEQUENCES, check_values, distinct, to_regions


@dataclass(eq=False)
class Case:
    """One patient's scan in memory, RAS+.

    image:      float32 (4, x, y, z) in the order of `regions.SEQUENCES`; 0 where one is missing.
    present:    names of the sequences that there are, in the same order.
    affine:     (4, 4), RAS voxel to mm.
    grid:       the files' own grid, for writing back.
    label:      uint8 (x, y, z), or None. convention: what its numbers mean (`regions`); without a
                label the convention of the case's data set where names tell it, else None.
    mask:       bool (x, y, z), a given brain mask, or None.

    >>> case = Case("a", np.zeros((4, 2, 2, 2), np.float32), ("t1",), np.eye(4),
    ...             Grid((2, 2, 2), np.eye(4)), np.full((2, 2, 2), 2, np.uint8), "msd")
    >>> case.spacing, case.regions().sum(axis=(1, 2, 3)).tolist()
    ((1.0, 1.0, 1.0), [8, 8, 0])
    """

    name: str
    image: np.ndarray
    present: tuple[str, ...]
    affine: np.ndarray
    grid: Grid
    label: np.ndarray | None = None
    convention: str | None = None
    mask: np.ndarray | None = None

    @property
    def spacing(self) -> tuple[float, float, float]:
        """Voxel sizes in mm along x, y, z."""
        return Grid(self.image.shape[1:], self.affine).spacing

    def sequence(self, name: str) -> np.ndarray:
        """One sequence, float32 (x, y, z). Raises `GliomakitError` if it is missing."""
        if name not in self.present:
            raise GliomakitError(
                f"case {self.name} has no sequence {name}", todo=f"it has {', '.join(self.present)}"
            )
        return self.image[SEQUENCES.index(name)]

    def regions(self, box: tuple[slice, ...] = ()) -> np.ndarray:
        """WT, TC, ET of the label, bool (3, x, y, z), or of a box of it. Raises `GliomakitError`
        without a label, or for a value that its convention lacks, also outside the box."""
        if self.label is None or self.convention is None:
            raise GliomakitError(f"case {self.name} has no label")
        if box:
            check_values(self.label, self.convention)
        return to_regions(self.label[box], self.convention)


@dataclass(frozen=True)
class CaseFiles:
    """Which files are one case.

    images:     sequence to file, in the order of `regions.SEQUENCES`. In an MSD data set (`kind`
                "msd") all are one 4-D file of `volumes` volumes; `channels` says which is which.
    convention: the label convention that the user gave; None lets names and values decide.
    hint:       the convention that `dataset.json` or file names suggest.
    """

    name: str
    images: dict[str, Path]
    label: Path | None = None
    mask: Path | None = None
    convention: str | None = None
    hint: str | None = None
    kind: Literal["msd", "brats", "loose"] = "loose"
    channels: dict[str, int] | None = None
    volumes: int = 1

    def read(self, label: bool = True, resample_to: str | Path | None = None) -> Case:
        """Read the files.

        label: False leaves the label unread. resample_to: a sequence's name or a file, onto whose
        grid everything is resampled (linearly; label and mask by nearest neighbour).

        Raises `GliomakitError` for any file that cannot be used (see `_nifti`), for NaN or
        infinite voxels, an image without contrast, grids that differ, a label that fits no
        convention.
        """
        files = self._open()
        onto = self._onto(files, resample_to)
        # Headers first: a grid that differs is found before anything large is read.
        for name, nifti in files.items():
            onto.check(nifti.grid, name, nifti.path)
        image = np.zeros((len(SEQUENCES), *onto.grid.ras.shape), np.float32)

        def fill(one: tuple[str, Callable[[], np.ndarray], Nifti]) -> str | None:
            """Bring one sequence to its place in the image; its name, if it holds anything."""
            name, stored, nifti = one
            place = image[SEQUENCES.index(name)]
            moves = onto.grid.difference(nifti.grid)
            volume = np.empty(nifti.grid.ras.shape, np.float32) if moves else place
            copy(volume, nifti.grid.to_ras(stored()))
            check_image(volume, name, nifti.path, may_be_empty=self.channels is not None)
            if not volume.any():
                return None
            if moves:
                place[...] = onto.bring(volume, nifti.grid, nifti.path)
            return name

        jobs: list[Callable] = [partial(fill, one) for one in self._volumes(files)]
        if label and self.label:
            jobs.append(partial(open_label, self.label, self.convention, self.hint))
        done = in_threads(lambda job: job(), jobs)
        found = done.pop() if label and self.label else None
        present = [name for name in done if name]
        if not present:
            raise GliomakitError("all voxels are 0", where=next(iter(self.images.values())))
        case = Case(self.name, image, tuple(present), onto.grid.ras.affine, onto.grid)
        case.convention = self.convention or self.hint
        if found is not None:
            onto.check(found.grid, "label", self.label)
            case.label = onto.bring(found.array, found.grid, self.label, nearest=True)
            case.convention = found.convention
        if self.mask:
            mask, grid = read_mask(self.mask)
            onto.check(grid, "brain mask", self.mask)
            mask = onto.bring(mask.astype(np.uint8), grid, self.mask, nearest=True)
            case.mask = np.ascontiguousarray(mask, bool)
        return case

    def _open(self) -> dict[str, Nifti]:
        """The images' headers, each of the right number of axes."""
        if not self.images:
            raise GliomakitError(
                f"case {self.name} has no sequence", todo="give at least one of FLAIR, T1, T1ce, T2"
            )
        opened = {path: open_nifti(path) for path in dict.fromkeys(self.images.values())}
        for path, nifti in opened.items():
            if self.channels is None:
                check_volume(nifti, "one sequence", "a 4-D file is read as a case of its own")
            elif (nifti.shape + (1,))[3] != self.volumes or len(nifti.shape) > 4:
                raise GliomakitError(
                    f"is a {len(nifti.shape)}-D image ({times(nifti.shape)}), but its dataset.json "
                    f"names {self.volumes} sequences: a 4-D image of {self.volumes} volumes is "
                    "meant",
                    where=path,
                )
        return {name: opened[path] for name, path in self.images.items()}

    def _volumes(
        self, files: dict[str, Nifti]
    ) -> Iterator[tuple[str, Callable[[], np.ndarray], Nifti]]:
        """Name, what gives the voxels (file order), and file of each sequence; a 4-D file is read
        at once."""
        if self.channels is None:
            for name, nifti in files.items():
                yield name, partial(_voxels, nifti), nifti
            return
        nifti = next(iter(files.values()))
        array = nifti.voxels().reshape(*nifti.grid.shape, self.volumes, order="F")
        for name in files:
            yield name, partial(array.__getitem__, (..., self.channels[name])), nifti

    def _onto(self, files: dict[str, Nifti], resample_to: str | Path | None) -> _Onto:
        """The grid to read onto: the first sequence's, or the one that was asked for."""
        name = next(iter(files)) if resample_to is None else str(resample_to)
        if name not in files and name in SEQUENCES:
            raise GliomakitError(
                f"case {self.name} has no sequence {name} to resample to",
                todo=f"it has {', '.join(files)}",
            )
        nifti = files[name] if name in files else open_nifti(name)
        return _Onto(nifti.grid, name, nifti.path.name, resample_to is not None)


def _voxels(nifti: Nifti) -> np.ndarray:
    return nifti.voxels().reshape(nifti.grid.shape, order="F")


@dataclass(frozen=True, eq=False)
class _Onto:
    """The grid that a case is read onto: that of `name`; others are refused, or resampled."""

    grid: Grid
    name: str
    file: str
    resampling: bool

    def check(self, grid: Grid, what: str, path: Path) -> None:
        if not self.resampling and (different := self.grid.difference(grid)):
            raise GliomakitError(
                f"{what} is not on the grid of {self.name} ({self.file}): {different}",
                where=path,
                todo=f"if both are of one patient, say --resample-to {self.name}",
            )

    def bring(self, array: np.ndarray, grid: Grid, path: Path, nearest: bool = False) -> np.ndarray:
        """An array on `grid.ras`, on this grid's; one that lies elsewhere is an error."""
        if not self.grid.difference(grid):
            return array
        moved = resample(array, grid.ras, self.grid.ras, nearest)
        empty = not nearest and moved.min() == moved.max()  # a label may rightly be empty
        if empty or not grid.overlaps(self.grid):
            raise GliomakitError(f"nothing of it lies on the grid of {self.file}", where=path)
        return moved


@dataclass(frozen=True, eq=False)
class Label:
    """A label file: array uint8 (x, y, z) RAS, the convention of its numbers, its own grid."""

    array: np.ndarray
    convention: str
    grid: Grid


def open_label(
    path: str | Path, convention: str | None = None, names_hint: str | None = None
) -> Label:
    """Read a label file and decide its convention (see `decide_convention`).

    names_hint: what the data set's names suggest; None looks at the file's surroundings: the JSON
    of `write_label`, a `dataset.json`, the images beside it, its own name.
    Raises `GliomakitError` for anything that is no label: not three axes, no whole numbers, values
    that do not fit the convention, a convention that nothing decides.
    """
    nifti = open_nifti(path)
    check_volume(nifti, "a label")
    stored = nifti.voxels().reshape(nifti.grid.shape, order="F")
    values = whole_numbers(stored, nifti.path)
    hint = None if convention else names_hint or label_hint(nifti.path)
    # .T: the file's order is Fortran's, and its transpose needs no copy
    name = decide_convention(distinct(values.T), hint, convention, nifti.path)
    array = np.empty(nifti.grid.ras.shape, np.uint8)
    copy(array, nifti.grid.to_ras(values))
    return Label(array, name, nifti.grid)
