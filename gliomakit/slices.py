"""Two-dimensional work: slices in the layout of the LGG data set, read, split and stacked again.

    kaggle_3m/TCGA_CS_4942_19970222/TCGA_CS_4942_19970222_1.tif         three channels, 8 bits
    kaggle_3m/TCGA_CS_4942_19970222/TCGA_CS_4942_19970222_1_mask.tif    0 and 255

The channels are pre-contrast T1, FLAIR, post-contrast T1. A patient's slices are numbered from 1
without gaps. fastai reads the files itself; what stands here is what it does not look at.
"""

from __future__ import annotations

import random
import re
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError
from tqdm import tqdm

from ._torchvision import import_torchvision, mended
from .errors import GliomakitError

__all__ = [
    "CHANNELS",
    "SlicePatient",
    "check_split",
    "find_patients",
    "import_torchvision",
    "mask_of",
    "mended",
    "read_image",
    "read_mask",
    "read_masks",
    "read_patient",
    "slice_of",
    "split_by_patient",
    "stack",
]

CHANNELS = ("pre-contrast", "flair", "post-contrast")
FOLDER = "kaggle_3m"
LARGEST = 4096
"""Pixels of a side: a file that claims more is not read."""

_NAME = re.compile(r"(?P<patient>.+)_(?P<number>[0-9]+)(?P<mask>_mask)?\.tiff?", re.IGNORECASE)

Slice = tuple[str, int]
"""Patient, number of the slice."""


@dataclass(frozen=True)
class SlicePatient:
    """A patient's slices, in the order of their numbers.

    images, masks: files, of one length.
    """

    name: str
    images: tuple[Path, ...]
    masks: tuple[Path, ...]

    def __len__(self) -> int:
        return len(self.images)


def find_patients(folder: str | Path) -> list[SlicePatient]:
    """The patients of a folder in the LGG layout, by name; the folder, or `kaggle_3m` in it.

    Looks at names alone. Raises `GliomakitError` if there is no patient, for an image without its
    mask and the reverse, and for a gap in a patient's numbers.
    """
    folder = Path(folder)
    root = folder / FOLDER if (folder / FOLDER).is_dir() else folder
    if not root.is_dir():
        raise GliomakitError("there is no such folder", where=root)
    found = [_patient(each) for each in sorted(root.iterdir()) if each.is_dir()]
    patients = [patient for patient in found if patient is not None]
    if not patients:
        raise GliomakitError(
            "there are no slices in the LGG layout", where=root, todo="gliomakit download lgg"
        )
    return patients


def _patient(folder: Path) -> SlicePatient | None:
    images: dict[int, Path] = {}
    masks: dict[int, Path] = {}
    for path in sorted(folder.iterdir()):
        match = _NAME.fullmatch(path.name)
        if match:
            (masks if match["mask"] else images)[int(match["number"])] = path
    for have, lack, what in ((images, masks, "mask"), (masks, images, "image")):
        alone = sorted(set(have) - set(lack))
        if alone:
            raise GliomakitError(f"there is no {what} beside this file", where=have[alone[0]])
    if not images:
        return None
    gaps = sorted(set(range(1, max(images) + 1)) - set(images))
    if gaps:
        raise GliomakitError(
            f"slice {gaps[0]} is missing: {len(images)} slices, the last is number {max(images)}",
            where=folder,
            todo="download this patient again",
        )
    order = sorted(images)
    return SlicePatient(
        folder.name, tuple(images[n] for n in order), tuple(masks[n] for n in order)
    )


def mask_of(image: str | Path) -> Path:
    """The mask's file of an image's: what a `DataBlock` asks with `get_y`.

    >>> mask_of("TCGA_1/TCGA_1_12.tif").name
    'TCGA_1_12_mask.tif'
    """
    image = Path(image)
    return image.with_name(f"{image.stem}_mask{image.suffix}")


def slice_of(path: str | Path) -> Slice:
    """Patient and number, of an image or a mask.

    >>> slice_of("TCGA_CS_4942_19970222_10_mask.tif")
    ('TCGA_CS_4942_19970222', 10)
    """
    match = _NAME.fullmatch(Path(path).name)
    if not match:
        raise GliomakitError("is no slice's name: PATIENT_NUMBER.tif", where=Path(path))
    return match["patient"], int(match["number"])


def read_image(path: str | Path) -> NDArray[np.uint8]:
    """A slice (rows, columns, 3), uint8: pre-contrast, FLAIR, post-contrast.

    Raises `GliomakitError` if the file cannot be read or has other channels or bits.
    """
    with _opened(Path(path)) as image:
        if image.mode != "RGB":
            raise GliomakitError(
                f"has three channels of 8 bits in the LGG data set, not Pillow's mode {image.mode}",
                where=Path(path),
                todo="store pre-contrast, FLAIR and post-contrast as one RGB image",
            )
        return _pixels(image, Path(path))


def read_mask(path: str | Path) -> NDArray[np.bool_]:
    """A mask (rows, columns), bool. Raises `GliomakitError` if it has more than two values."""
    with _opened(Path(path)) as image:
        if image.mode not in ("L", "1"):
            raise GliomakitError(
                f"a mask has one channel of 8 bits, not Pillow's mode {image.mode}",
                where=Path(path),
            )
        pixels = _pixels(image, Path(path))
    values = np.unique(pixels)
    if not (set(values.tolist()) <= {0, 255} or set(values.tolist()) <= {0, 1}):
        raise GliomakitError(
            f"a mask is 0 and 255, this one has {len(values)} values up to {values.max()}",
            where=Path(path),
            todo="threshold it, and do not store masks as JPEG",
        )
    return pixels > 0


def read_patient(patient: SlicePatient) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
    """All slices of a patient (n, rows, columns, 3) and their masks (n, rows, columns).

    Raises `GliomakitError` for what `read_image` and `read_mask` do, and for sizes that differ.
    """
    images = [read_image(path) for path in patient.images]
    masks = [read_mask(path) for path in patient.masks]
    size = images[0].shape[:2]
    for files, arrays in ((patient.images, images), (patient.masks, masks)):
        for path, array in zip(files, arrays, strict=True):
            if array.shape[:2] != size:
                raise GliomakitError(
                    f"is {_by(array.shape)}, the patient's first slice {_by(size)}", where=path
                )
    return np.stack(images), np.stack(masks)


def read_masks(folder: str | Path, progress: bool = False) -> dict[str, NDArray[np.bool_]]:
    """The masks of all patients in a folder, stacked: patient -> (n, rows, columns).

    Taken are files named PATIENT_NUMBER_mask.tif or, where there is none, PATIENT_NUMBER.tif, in
    the folder or below it. Empty if there is no such file. progress: a bar on stderr, if that is a
    terminal.
    """
    found = [path for path in sorted(Path(folder).rglob("*.tif*")) if _NAME.fullmatch(path.name)]
    masks = [path for path in found if _NAME.fullmatch(path.name)["mask"]] or found
    hidden = not progress or len(masks) < 100 or not sys.stderr.isatty()
    with tqdm(masks, "read", unit="mask", disable=hidden, leave=False) as shown:
        return stack(masks, [read_mask(path) for path in shown])


def stack(paths: Sequence[str | Path], slices: Sequence[NDArray]) -> dict[str, NDArray]:
    """Slices put back into one volume (n, rows, columns) a patient, in the order of their numbers.

    paths: each slice's file, in any order: `_10` comes after `_2`, whatever a listing says.
    Raises `GliomakitError` if a slice is there twice, or one in between is missing.

    >>> volumes = stack(["a_10.tif", "a_9.tif"], [np.ones((2, 2)), np.zeros((2, 2))])
    >>> volumes["a"][:, 0, 0]
    array([0., 1.])
    """
    if len(paths) != len(slices):
        raise GliomakitError(f"{len(slices)} slices for {len(paths)} names")
    members: dict[str, dict[int, NDArray]] = {}
    for path, one in zip(paths, slices, strict=True):
        patient, number = slice_of(path)
        if number in members.setdefault(patient, {}):
            raise GliomakitError(f"slice {number} of {patient} is there twice", where=Path(path))
        members[patient][number] = one
    volumes = {}
    for patient, own in sorted(members.items()):
        order = sorted(own)
        missing = sorted(set(range(order[0], order[-1] + 1)) - set(order))
        if missing:
            raise GliomakitError(f"slice {missing[0]} of {patient} is missing")
        if len({one.shape for one in own.values()}) > 1:
            raise GliomakitError(f"the slices of {patient} differ in size")
        volumes[patient] = np.stack([own[number] for number in order])
    return volumes


def split_by_patient(
    slices: Iterable[Slice], share: float, seed: int
) -> tuple[list[Slice], list[Slice]]:
    """Training and validation slices, with every patient whole in one of the two.

    slices: pairs of a patient's name and a slice. share: of the *patients*, rounded, for
    validation: at least one of them. Both lists keep the order of `slices`. The same patients,
    share and seed give the same split, in any order and any process.

    >>> slices = [(patient, z) for patient in "abc" for z in (0, 1)]
    >>> split_by_patient(slices, share=0.3, seed=0)
    ([('a', 0), ('a', 1), ('c', 0), ('c', 1)], [('b', 0), ('b', 1)])
    """
    slices = list(slices)
    patients = sorted({patient for patient, _ in slices})
    n = max(round(share * len(patients)), 1)
    kept = set(random.Random(seed).sample(patients, n))
    training = [one for one in slices if one[0] not in kept]
    return training, [one for one in slices if one[0] in kept]


def check_split(training: Iterable[str | Path], validation: Iterable[str | Path]) -> None:
    """Raises `GliomakitError` if a patient's slices stand on both sides of a split.

    >>> check_split(["a_1.tif", "a_2.tif"], ["b_1.tif"])
    """
    both = {slice_of(path)[0] for path in training} & {slice_of(path)[0] for path in validation}
    if both:
        more = f" and {len(both) - 1} more" if len(both) > 1 else ""
        raise GliomakitError(
            f"patient {min(both)}{more} has slices in training and in validation",
            todo="split by patient: neighbouring slices are nearly the same picture",
        )


def _opened(path: Path) -> Image.Image:
    try:
        image = Image.open(path)
    except (OSError, UnidentifiedImageError, Image.DecompressionBombError, SyntaxError) as error:
        raise _unreadable(path, error) from error
    if max(image.size) > LARGEST:
        image.close()
        raise GliomakitError(f"is {_by(image.size)} pixels: too large for a slice", where=path)
    return image


def _pixels(image: Image.Image, path: Path) -> NDArray[np.uint8]:
    try:
        return np.array(image.convert("L") if image.mode == "1" else image)
    except (OSError, SyntaxError, ValueError, EOFError) as error:
        raise _unreadable(path, error) from error


def _unreadable(path: Path, error: Exception) -> GliomakitError:
    missing = isinstance(error, FileNotFoundError)
    why = "does not exist" if missing else "cannot be read as a TIFF; it is broken or cut off"
    return GliomakitError(why, where=path, todo=None if missing else "download it again")


def _by(shape: Sequence[int]) -> str:
    return " × ".join(map(str, shape[:2]))
