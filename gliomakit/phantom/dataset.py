"""Phantom data sets in MSD's layout, and the small one that the course is built on."""

from __future__ import annotations

import json
import os
import shutil
import sys
import tempfile
from collections.abc import Iterable
from pathlib import Path

import nibabel as nib
import numpy as np
from tqdm import tqdm

from .._workers import cores, parallel
from ..errors import GliomakitError
from ..paths import cache_folder
from .case import make_case

VERSION = 6
"""Raised when the same seed would give another patient: caches of older phantoms are then left."""

EMBEDDED = {
    "training": range(0, 24),
    "validation": range(24, 28),
    "test": range(28, 36),
    "fine": range(36, 40),
}
"""Seeds of the embedded set; `fine` are the four at 1 mm. Frozen in data/splits/phantoms.json."""


def write_dataset(
    out: str | Path,
    cases: int | Iterable[int] = 20,
    spacing: float = 2.0,
    seed: int = 0,
    workers: int | None = None,
    progress: bool = True,
    tumour: bool = True,
) -> Path:
    """Write phantoms as an MSD data set: imagesTr, labelsTr, dataset.json.

    cases:   how many, with seeds from `seed` on; or the seeds themselves.
    workers: processes, by default one a core.
    tumour:  False gives heads without one.

    What is there already is kept, so an interrupted call can be repeated; dataset.json is written
    last. Returns the folder. Raises `GliomakitError` if the folder cannot be written or holds
    something else.
    """
    out = Path(out)
    seeds = list(range(seed, seed + cases)) if isinstance(cases, int) else list(cases)
    if not seeds:
        raise GliomakitError("a data set needs at least one case", todo="--cases 1 or more")
    recipe = {"generator": "gliomakit.phantom", "version": VERSION, "spacing": spacing}
    if not tumour:
        recipe["tumour"] = False
    try:
        _claim(out, recipe)
        todo = [s for s in seeds if not all(p.is_file() for p in _paths(out, s))]
        _make(todo, out, spacing, workers, progress, tumour)
        _write_json(out / "dataset.json", _description(seeds, recipe))
    except OSError as error:
        raise GliomakitError(
            f"cannot be written ({error.strerror or error})",
            where=out,
            todo="choose another folder or make room",
        ) from error
    return out


def embedded(fine: bool = False, progress: bool = True) -> Path:
    """The folder of the embedded data set, made on the first call (about a minute).

    fine: the four patients at 1 mm instead of the 36 at 2 mm.
    """
    root = cache_folder() / "phantoms" / f"v{VERSION}"
    if fine:
        return write_dataset(root / "1mm", EMBEDDED["fine"], 1.0, progress=progress)
    seeds = [s for part in ("training", "validation", "test") for s in EMBEDDED[part]]
    return write_dataset(root / "2mm", seeds, 2.0, progress=progress)


def embedded_names(part: str) -> list[str]:
    """Names of the embedded patients of one part: training, validation, test or fine.

    >>> len(embedded_names("test")), embedded_names("test")[0]
    (8, 'phantom_00028')
    """
    return [f"phantom_{s:05d}" for s in EMBEDDED[part]]


def _paths(out: Path, seed: int) -> tuple[Path, Path]:
    name = f"phantom_{seed:05d}.nii.gz"
    return out / "imagesTr" / name, out / "labelsTr" / name


def _make(
    seeds: list[int],
    out: Path,
    spacing: float,
    workers: int | None,
    progress: bool,
    tumour: bool,
) -> None:
    if not seeds:
        return
    bar = tqdm(
        total=len(seeds),
        desc=f"phantoms at {spacing:g} mm",
        unit="patient",
        file=sys.stderr,
        disable=not progress or not sys.stderr.isatty(),
    )
    jobs = [(seed, out, spacing, tumour) for seed in seeds]
    with bar:
        for _ in parallel(_write_case, jobs, workers or cores()):
            bar.update()


def _write_case(seed: int, out: Path, spacing: float, tumour: bool = True) -> None:
    case = make_case(seed, spacing, tumour=tumour)
    image_path, label_path = _paths(out, seed)
    # MSD's layout: sequence last; stored as a scanner stores it, in whole numbers.
    image = np.moveaxis(case.image, 0, -1).astype(np.int16)
    for array, path in ((image, image_path), (case.label, label_path)):
        nifti = nib.Nifti1Image(array, case.affine)
        nifti.header.set_xyzt_units("mm")
        _save(nifti, path)


def _save(nifti: nib.Nifti1Image, path: Path) -> None:
    """Write beside and rename: a killed process leaves no half file under the final name."""
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=".", suffix=".nii.gz")
    os.close(handle)
    try:
        nib.save(nifti, name)
        os.chmod(name, 0o644)
        os.replace(name, path)
    finally:
        Path(name).unlink(missing_ok=True)


def _claim(out: Path, recipe: dict) -> None:
    """Make the folder ours, or say why it cannot be: another recipe's phantoms never mix in."""
    mark = out / "phantoms.json"
    if mark.is_file():
        try:
            found = json.loads(mark.read_text())
        except ValueError:
            found = None
        if found != recipe:
            raise GliomakitError(
                "holds phantoms of another recipe",
                where=out,
                todo="choose another folder or delete this one",
            )
    elif out.is_dir() and any(not p.name.startswith(f".{mark.name}") for p in out.iterdir()):
        raise GliomakitError("is not empty", where=out, todo="choose a new folder")
    # The mark first: a call that is killed right here can be repeated.
    out.mkdir(parents=True, exist_ok=True)
    _write_json(mark, recipe)
    for folder in ("imagesTr", "labelsTr"):
        (out / folder).mkdir(exist_ok=True)
    free = shutil.disk_usage(out).free
    if free < 50e6:
        raise GliomakitError(f"only {free / 1e6:.0f} MB are free", where=out, todo="make room")


def _description(seeds: list[int], recipe: dict) -> dict:
    names = [f"phantom_{s:05d}.nii.gz" for s in seeds]
    return {
        "name": "gliomakit phantoms",
        "description": "Synthetic patients. Nobody's data.",
        "reference": "gliomakit",
        "licence": "CC BY 4.0; anatomy from ICBM 152, see data/README.md",
        "release": f"{recipe['version']}",
        "tensorImageSize": "4D",
        "modality": {"0": "FLAIR", "1": "T1w", "2": "t1gd", "3": "T2w"},
        "labels": {
            "0": "background",
            "1": "edema",
            "2": "non-enhancing tumor",
            "3": "enhancing tumour",
        },
        "numTraining": len(names),
        "numTest": 0,
        "training": [{"image": f"./imagesTr/{n}", "label": f"./labelsTr/{n}"} for n in names],
        "test": [],
    }


def _write_json(path: Path, content: dict) -> None:
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    temporary.write_text(json.dumps(content, indent=1) + "\n")
    os.replace(temporary, path)
