"""LGG MRI Segmentation, as kagglehub gives it: checked, and copied to where it is wanted."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import sys
from pathlib import Path
from types import ModuleType

from tqdm import tqdm

from ._room import FULL, check_room
from .errors import GliomakitError

PATIENT = re.compile(r"TCGA_[A-Z0-9]{2}_[A-Z0-9]{2,8}_\d{8}", re.ASCII)
SLICE = re.compile(rf"(?P<image>{PATIENT.pattern}_\d{{1,3}})(?P<mask>_mask)?\.tif", re.ASCII)
BESIDE = ("data.csv", "README.md")
TIFF = (b"II*\0", b"MM\0*")
LARGEST = 5_000_000


def library(page: str) -> ModuleType:
    """kagglehub. Raises `GliomakitError`, with the steps to do without, if it is not installed."""
    try:
        import kagglehub
    except ImportError as error:
        raise GliomakitError(
            "it takes kagglehub to fetch this, and that is not installed",
            where=page,
            todo="pip install kagglehub, then the same command again; or download it from that "
            "page in a browser (an account is needed), unpack it, and set GLIOMAKIT_DATA to the "
            "folder that holds kaggle_3m",
        ) from error
    return kagglehub


def download(hub: ModuleType, handle: str, page: str) -> Path:
    """The folder in which kagglehub has put a public data set.

    It keeps a cache of its own and checks what it fetches. Raises `GliomakitError` if it fails.
    """
    try:
        # Results are ours to print: what it says belongs to the progress.
        with contextlib.redirect_stdout(sys.stderr):
            return Path(hub.dataset_download(handle))
    except Exception as error:  # it has a dozen of its own, and those of its network
        first = (str(error).strip().splitlines() or [""])[0][:200]
        raise GliomakitError(
            f"kagglehub could not fetch it ({type(error).__name__}: {first})",
            where=page,
            todo="is there a network? Try again, or download it from that page in a browser",
        ) from error


def find(given: Path, name: str) -> Path:
    """The data set's folder in what kagglehub gave. Raises `GliomakitError` if there is none."""
    places = [given, given / name, *sorted(given.glob(f"*/{name}"))]
    for place in places:
        if place.name == name and place.is_dir():
            return place
    raise GliomakitError(f"kagglehub's copy holds no folder {name}", where=given)


def count(folder: Path) -> tuple[int, int]:
    """Patients and slices in a `kaggle_3m` folder. Raises `GliomakitError` if a slice lacks its
    mask, or a mask its slice."""
    patients = _files(folder)
    for names in patients.values():
        found = [SLICE.fullmatch(name) for name in names]
        images = {m["image"] for m in found if not m["mask"]}
        if odd := images ^ {m["image"] for m in found if m["mask"]}:
            raise GliomakitError(f"the slice or the mask of {min(odd)} is missing", where=folder)
    return len(patients), sum(len(names) for names in patients.values()) // 2


def copy(source: Path, folder: Path, progress: bool = False) -> None:
    """Copy the data set's own files to `folder`, all or none.

    Files of other names and links that lead out of the source do not come along. Raises
    `GliomakitError` if an image is none, or a file cannot be read or written.
    """
    names = [f"{patient}/{name}" for patient, files in _files(source).items() for name in files]
    names += [name for name in BESIDE if _plain(source / name, source)]
    temporary = folder.with_name(f".{folder.name}.copying")
    try:
        if temporary.exists():
            shutil.rmtree(temporary)  # of a call that was killed
        check_room(folder.parent, sum((source / n).stat().st_size for n in names), "for the copy")
        for name in tqdm(names, "copying", unit="file", disable=not progress, leave=False):
            content = _read(source / name)
            (temporary / name).parent.mkdir(parents=True, exist_ok=True)
            (temporary / name).write_bytes(content)
        os.replace(temporary, folder)
    except OSError as error:
        full = error.errno in FULL
        raise GliomakitError(
            "the disk is full" if full else f"cannot be copied ({error.strerror or error})",
            where=folder,
            todo="make room and try again" if full else None,
        ) from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _files(folder: Path) -> dict[str, list[str]]:
    """Names of the images and masks of each patient; anything else is passed over."""
    patients = [p for p in sorted(folder.iterdir()) if PATIENT.fullmatch(p.name) and p.is_dir()]
    return {
        patient.name: [
            path.name
            for path in sorted(patient.iterdir())
            if (found := SLICE.fullmatch(path.name))
            and found["image"].startswith(f"{patient.name}_")
            and _plain(path, folder)
        ]
        for patient in patients
    }


def _plain(path: Path, root: Path) -> bool:
    """Whether it is a file that lies, links followed, below the root."""
    return path.is_file() and path.resolve().is_relative_to(root.resolve())


def _read(path: Path) -> bytes:
    """A file's bytes; `GliomakitError` if it cannot be what its name says."""
    if path.stat().st_size > LARGEST:
        raise GliomakitError("is far too large for what it should be", where=path)
    content = path.read_bytes()
    if path.suffix == ".tif" and not content.startswith(TIFF):
        raise GliomakitError("is no TIFF image: the download failed", where=path)
    return content
