"""Cases: what is read from files, in one form, and a label written back.

`find_cases` and `loose` say which files belong to a case (`CaseFiles`); `CaseFiles.read` reads
them into a `Case`. Sequences are addressed by name, never by position. Inside the package every
array is RAS+ (x to the right, y to the front, z up); `write_label` goes back to the file's grid.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Literal

import numpy as np

from ._case import Case, CaseFiles, Label, open_label
from ._conventions import data_set_convention, decide_convention, label_hint
from ._grid import Grid, times
from ._layouts import (
    DataSet,
    find_dataset,
    is_nifti_name,
    names_hint,
    read_dataset,
    sequence_name,
    sort_folder,
    stem,
)
from ._nifti import encode, open_nifti, write_files
from ._voxels import whole_numbers
from .errors import GliomakitError
from .regions import SEQUENCES, check_values

__all__ = [
    "Case",
    "CaseFiles",
    "Grid",
    "Label",
    "decide_convention",
    "find_cases",
    "loose",
    "open_label",
    "read_label",
    "write_label",
]


def find_cases(
    path: str | Path,
    split: Literal["all", "training", "test"] = "all",
    convention: str | None = None,
) -> list[CaseFiles]:
    """The cases in a place: an MSD data set, one 4-D image of it, a BraTS case folder, or a folder
    that holds such (three levels deep).

    split: "training" are MSD's training list and BraTS cases with a label, "test" the others.
    Raises `GliomakitError` if nothing there is a case.
    """
    path = Path(path)
    if split not in ("all", "training", "test"):
        raise GliomakitError(f"there is no split {split!r}", todo="known: all, training, test")
    try:
        if path.is_dir():
            found = list(_in_folder(path, convention, depth=3))
        else:
            found = [_one_image(path, convention)]
    except OSError as error:
        raise GliomakitError(f"cannot be read: {error.strerror or error}", where=path) from None
    if not found:
        raise GliomakitError(
            "no case was found here",
            where=path,
            todo="give an MSD data set (dataset.json), BraTS case folders (…_flair.nii.gz or "
            "…-t2f.nii.gz), or single files with --flair, --t1, --t1ce, --t2",
        )
    return [f for f, of in found if split in ("all", of)]


def loose(
    flair: str | Path | None = None,
    t1: str | Path | None = None,
    t1ce: str | Path | None = None,
    t2: str | Path | None = None,
    label: str | Path | None = None,
    brain_mask: str | Path | None = None,
    name: str | None = None,
    convention: str | None = None,
) -> CaseFiles:
    """A case of single files, given by sequence.

    name: by default what the files' names begin with, or else their folder's name.
    Raises `GliomakitError` if none is given, or one file twice.
    """
    given = {"flair": flair, "t1": t1, "t1ce": t1ce, "t2": t2}
    given |= {"label": label, "brain mask": brain_mask}
    paths = {what: Path(path) for what, path in given.items() if path is not None}
    seen: dict[Path, str] = {}
    for what, path in paths.items():
        if (first := seen.setdefault(path.resolve(), what)) != what:
            raise GliomakitError(f"the same file is given twice, as {first} and {what}", path)
    images = {s: paths[s] for s in SEQUENCES if s in paths}
    if not images:
        raise GliomakitError(
            "no sequence is given", todo="give at least one with --flair, --t1, --t1ce, --t2"
        )
    if name is None:
        first = next(iter(images.values()))
        starts = [m["case"] if (m := sequence_name(p)) else stem(p) for p in images.values()]
        name = os.path.commonprefix(starts).strip("_-. ") or first.absolute().parent.name
    hint = None
    if label and not convention:
        hint = label_hint(paths["label"]) or names_hint(images.values())
    mask = paths.get("brain mask")
    return CaseFiles(name, images, paths.get("label"), mask, convention, hint, "loose")


def read_label(
    path: str | Path, convention: str | None = None, names_hint: str | None = None
) -> tuple[np.ndarray, str]:
    """Array (uint8, RAS) and convention of a label file: `open_label` without the grid."""
    label = open_label(path, convention, names_hint)
    return label.array, label.convention


def write_label(
    label: np.ndarray, case: Case, path: str | Path, extra: Mapping[str, object] | None = None
) -> None:
    """Write a label (x, y, z), RAS, in the case's own orientation and affine, as uint8.

    extra goes into the JSON beside it (`<stem>.json`); its `convention`, or else the case's, is
    what the label's numbers mean. Both files are complete or not there. Raises `GliomakitError` if
    the label does not fit the case or the convention, or the file cannot be written.
    """
    path, label = Path(path), np.asarray(label)
    if not is_nifti_name(path):
        raise GliomakitError(
            "cannot be written as a label", where=path, todo="its name should end in .nii.gz"
        )
    if path.is_dir():
        raise GliomakitError("is a folder where a file is to be written", where=path)
    if label.shape != case.grid.ras.shape:
        raise GliomakitError(
            f"a label of {times(label.shape)} voxels does not fit case {case.name} of "
            f"{times(case.grid.ras.shape)}",
            where=path,
        )
    content = {"case": case.name, "label": path.name, "convention": case.convention}
    content |= dict(extra or {})
    values = whole_numbers(label, path)
    if content["convention"]:
        check_values(values, str(content["convention"]), path)
    if values.dtype != np.uint8:
        raise GliomakitError("a label's values must lie in 0 to 255", where=path)
    stored = case.grid.from_ras(values.astype(np.uint8))
    packed = path.name.lower().endswith(".gz")
    text = json.dumps(content, indent=1, allow_nan=False, default=_plain) + "\n"
    write_files(
        {
            path: encode(stored, case.grid, packed),
            path.with_name(f"{stem(path)}.json"): text.encode(),
        }
    )


# ---- finding ---------------------------------------------------------------------------------


def _in_folder(folder: Path, convention: str | None, depth: int) -> Iterator[tuple[CaseFiles, str]]:
    """Cases in a folder, each with its split."""
    if (folder / "dataset.json").is_file():
        yield from _data_set(read_dataset(folder / "dataset.json"), convention)
    elif found := sort_folder(folder):
        name = folder.absolute().name
        files = CaseFiles(
            name, found.images, found.label, found.mask, convention, found.hint, "brats"
        )
        yield files, "training" if found.label else "test"
    elif depth:
        for inner in sorted(p for p in folder.iterdir() if p.is_dir() and p.name[0] != "."):
            yield from _in_folder(inner, convention, depth - 1)


def _data_set(content: DataSet, convention: str | None) -> Iterator[tuple[CaseFiles, str]]:
    """The cases that a `dataset.json` lists."""
    for image, label in content.training:
        yield _of_data_set(content, image, label, convention), "training"
    for image in content.test:
        yield _of_data_set(content, image, None, convention), "test"


def _of_data_set(
    content: DataSet, image: Path, label: Path | None, convention: str | None
) -> CaseFiles:
    try:
        hint = data_set_convention(content)
    except GliomakitError:
        hint = None  # asked again when a label is read; images need no convention
    return CaseFiles(
        stem(image),
        dict.fromkeys(content.channels, image),
        label,
        convention=convention,
        hint=hint,
        kind="msd",
        channels=content.channels,
        volumes=content.volumes,
    )


def _one_image(path: Path, convention: str | None) -> tuple[CaseFiles, str]:
    """The case of one 4-D image, whose data set says what its volumes are."""
    nifti = open_nifti(path)
    source = find_dataset(path)
    if source is not None:
        content = read_dataset(source)
        for files, split in _data_set(content, convention):
            if next(iter(files.images.values())).resolve() == path.resolve():
                return files, split
        return _of_data_set(content, path, None, convention), "test"
    if len(nifti.shape) == 3:
        raise GliomakitError(
            "is a 3-D image where a case (4-D, or a folder) is meant",
            where=path,
            todo="give the case's folder, or single files with --flair, --t1, --t1ce, --t2",
        )
    raise GliomakitError(
        "nothing says which of its volumes is which sequence",
        where=path,
        todo="put its data set's dataset.json into the folder above it",
    )


def _plain(value: object) -> object:
    """NumPy's numbers and arrays, and paths, as JSON can hold them."""
    return value.tolist() if isinstance(value, np.generic | np.ndarray) else str(value)
