"""Which file is which sequence: told by names.

MSD data sets say it in `dataset.json`. BraTS says it in file names, which changed with the years:
`X_flair X_t1 X_t1ce X_t2 X_seg` until 2021, `X-t2f X-t1n X-t1c X-t2w X-seg` from 2023. Position in
a list never decides.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from .errors import GliomakitError
from .regions import SEQUENCES

NAMES = {
    "flair": "flair|t2[_-]?flair|t2f",
    "t1": "t1|t1n|t1w",
    "t1ce": "t1ce|t1c|t1gd",
    "t2": "t2|t2w",
    "label": "seg|segm|segmentation|label",
    "mask": "brain[_-]?mask",
}
NAME = re.compile(
    r"(?P<case>.*?)(?P<sep>^|[_.\- ])"
    rf"(?:{'|'.join(f'(?P<{role}>{names})' for role, names in NAMES.items())})",
    re.IGNORECASE,
)
BRATS_2017 = re.compile(r"brats(17|18|19|20|2021)_", re.IGNORECASE)
BRATS_2023 = re.compile(r"brats-(gli|ssa)-", re.IGNORECASE)
_OTHER = re.compile(r"brats-[a-z]+-", re.IGNORECASE)


# ---- names of files --------------------------------------------------------------------------


def stem(path: str | Path) -> str:
    """A file's name without `.nii` or `.nii.gz`.

    >>> stem("BRATS_001.nii.gz")
    'BRATS_001'
    """
    return re.sub(r"\.nii(\.gz)?$", "", Path(path).name, flags=re.IGNORECASE)


def is_nifti_name(path: Path) -> bool:
    """Whether a file's name ends as a NIfTI file's does (macOS's `._` copies are none)."""
    return stem(path) != path.name and not path.name.startswith(".")


def role(path: str | Path) -> str | None:
    """What a file's name says it is: a sequence, `label`, `mask`, or None.

    >>> [role(f"a{end}.nii.gz") for end in ("_flair", "-t2f", "_t1Gd", "-t2W", "-seg", "_x")]
    ['flair', 'flair', 't1ce', 't2', 'label', None]
    """
    match = NAME.fullmatch(stem(path))
    return match.lastgroup if match else None


def sequence_name(path: str | Path) -> re.Match[str] | None:
    """The parts of a file's name if it names a sequence.

    >>> sequence_name("pat1_t1ce.nii.gz")["case"]
    'pat1'
    """
    match = NAME.fullmatch(stem(path))
    return match if match and match.lastgroup in SEQUENCES else None


@dataclass(frozen=True)
class Folder:
    """The files of one case folder by what they are; hint: the convention that names suggest."""

    images: dict[str, Path]
    label: Path | None
    mask: Path | None
    hint: str | None


def sort_folder(folder: Path) -> Folder | None:
    """The case in a folder by its files' names; None if no file is named as a sequence.

    Raises `GliomakitError` if two files are the same sequence.
    """
    found: dict[str, Path] = {}
    for path in sorted(folder.iterdir()):
        kind = role(path) if is_nifti_name(path) and path.is_file() else None
        if kind in found:
            what = kind if kind in SEQUENCES else f"the {kind}"
            raise GliomakitError(
                f"{found[kind].name} and {path.name} are both {what}: a sequence is given twice",
                where=folder,
                todo="keep one of them, or give the files one by one",
            )
        if kind:
            found[kind] = path
    images = {name: found[name] for name in SEQUENCES if name in found}
    if not images:
        return None
    return Folder(images, found.get("label"), found.get("mask"), names_hint(images.values()))


def names_hint(paths: Iterable[Path]) -> str | None:
    """The label convention that sequences' file names suggest, None if they suggest none.

    Other challenges of the same year number other tissues, so their names decide nothing.

    >>> names_hint([Path("BraTS-GLI-1-t1n.nii.gz"), Path("BraTS-GLI-1-t2f.nii.gz")])
    'brats2023'
    >>> names_hint([Path("BraTS-PED-1-t1n.nii.gz")]), names_hint([Path("a_t1ce.nii")])
    (None, 'brats2017')
    """
    kinds = set()
    for path in paths:
        if not (match := sequence_name(path)):
            continue
        end = match[match.lastgroup].lower()
        other = _OTHER.match(match["case"] + "-") and not BRATS_2023.match(match["case"] + "-")
        if match["sep"] == "-" and end in ("t2f", "t1n", "t1c", "t2w") and not other:
            kinds.add("brats2023")
        elif match["sep"] == "_" and end in ("flair", "t1", "t1ce", "t1gd", "t2"):
            kinds.add("brats2017")
        else:
            kinds.add(None)
    return kinds.pop() if len(kinds) == 1 else None


# ---- dataset.json ----------------------------------------------------------------------------


@dataclass(frozen=True)
class DataSet:
    """What an MSD `dataset.json` says. channels: place of each sequence in the 4-D images, of
    `volumes` in all. training: (image, label) pairs; test: images. labels: value to name, or None.
    """

    path: Path
    channels: dict[str, int]
    volumes: int
    labels: dict[int, str] | None
    training: list[tuple[Path, Path]]
    test: list[Path]


def find_dataset(path: Path) -> Path | None:
    """The `dataset.json` that a file of a data set belongs to: beside it or one folder above."""
    path = path.absolute()
    for folder in (path.parent, path.parent.parent):
        if (folder / "dataset.json").is_file():
            return folder / "dataset.json"
    return None


def read_dataset(path: Path) -> DataSet:
    """Read a `dataset.json`. Raises `GliomakitError` if it is broken, names no known sequence, or
    names a file outside its own folder."""
    try:
        content = json.loads(path.read_text("utf-8"))
    except OSError as error:
        raise GliomakitError(f"cannot be read: {error.strerror or error}", where=path) from None
    except (ValueError, RecursionError) as error:
        raise GliomakitError(f"is not sound JSON: {error}", where=path) from None
    try:
        channels, volumes = _channels(content["modality"], path)
        labels = content.get("labels")
        return DataSet(
            path,
            channels,
            volumes,
            None if labels is None else {int(v): str(n) for v, n in labels.items()},
            [
                (_inside(e["image"], path), _inside(e["label"], path))
                for e in content.get("training", [])
            ],
            [
                _inside(e["image"] if isinstance(e, dict) else e, path)
                for e in content.get("test", [])
            ],
        )
    except KeyError as error:
        raise GliomakitError(f"it lacks the entry {error}", where=path) from None
    except (AttributeError, TypeError, ValueError) as error:
        raise GliomakitError(f"is not an MSD data set's: {error}", where=path) from None


def _channels(modality: Mapping[str, str], path: Path) -> tuple[dict[str, int], int]:
    """Where each sequence lies in the 4-D images, by its name."""
    channels: dict[str, int] = {}
    for place, name in modality.items():
        word = re.sub("[^a-z0-9]", "", str(name).lower())
        sequence = role(word.replace("weighted", "w"))
        if sequence in channels:
            raise GliomakitError(f"sequence {sequence} is given twice in `modality`", where=path)
        if sequence in SEQUENCES:
            channels[sequence] = int(place)
    if not channels or sorted(int(place) for place in modality) != list(range(len(modality))):
        raise GliomakitError(
            f"`modality` does not name the sequences of its images: {dict(modality)}",
            where=path,
            todo="it should name FLAIR, T1w, t1gd or T2w for each of 0, 1, 2, 3",
        )
    return {name: channels[name] for name in SEQUENCES if name in channels}, len(modality)


def _inside(entry: str, source: Path) -> Path:
    """A path that `dataset.json` names, which must stay in its folder (a link there may not)."""
    parts = PurePosixPath(str(entry).replace("\\", "/"))
    depth = 0
    for part in parts.parts:
        depth += -1 if part == ".." else 1
        if depth < 0:
            break
    if not isinstance(entry, str) or parts.is_absolute() or depth < 1 or ":" in parts.parts[0]:
        raise GliomakitError(f"the path {entry!r} leaves the data set's folder", where=source)
    return source.parent / parts
