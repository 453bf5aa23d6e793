"""Predictions against references, file by file: which belong together, and how well they agree.

`find_labels` lists the labels in a place, `match` pairs predictions with references by case name,
`score` reads one pair and hands it to `metrics.evaluate_case`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from ._conventions import label_hint
from ._layouts import is_nifti_name, read_dataset, role, stem
from ._voxels import read_mask
from .cases import Grid, Label, open_label
from .errors import GliomakitError
from .metrics import evaluate_case, summarise
from .regions import REGIONS, SEQUENCES, to_regions

_ADDED = re.compile(
    r"[_.\- ](seg|segm|segmentation|label|labels|pred|prediction|mask|covered)$", re.IGNORECASE
)
_DEPTH = 3


@dataclass(frozen=True)
class LabelFile:
    """A label file and the case that it belongs to."""

    name: str
    path: Path

    @property
    def key(self) -> str:
        """What names are compared by: capital letters, and what tools append, make no difference.

        >>> LabelFile("BraTS2021_00006_seg", Path()).key
        'brats2021_00006'
        """
        name = self.name
        while (shorter := _ADDED.sub("", name)) != name:
            name = shorter
        return name.lower()


@dataclass(frozen=True)
class Pairing:
    """Predictions and references that belong together, and those that are alone."""

    pairs: list[tuple[LabelFile, LabelFile]]
    without_prediction: list[LabelFile] = field(default_factory=list)
    without_reference: list[LabelFile] = field(default_factory=list)


@dataclass(frozen=True)
class Score:
    """How well one prediction agrees with its reference.

    regions: region name -> measures, as `metrics.evaluate_case` returns them. A region that the
    prediction's network was not made for is not there.
    """

    case: str
    prediction: Path
    reference: Path
    prediction_convention: str
    reference_convention: str
    regions: dict[str, dict]


def find_labels(path: str | Path) -> list[LabelFile]:
    """The labels in a place: one file; a folder of label files (as `segment` writes them, or MSD's
    `labelsTr`); an MSD data set; BraTS case folders, where only the label of each is taken.

    Raises `GliomakitError` if there is none, or two of one case.
    """
    path = Path(path)
    if not path.is_dir():
        if not path.exists():
            raise GliomakitError("there is no such file or folder", where=path)
        return [LabelFile(stem(path), path)]
    try:
        found = _in_folder(path)
    except OSError as error:
        raise GliomakitError(f"cannot be read: {error.strerror or error}", where=path) from None
    if not found:
        raise GliomakitError("no label was found here", path, "name the label files one by one")
    return list(_by_key(found).values())


def match(predictions: Iterable[LabelFile], references: Iterable[LabelFile]) -> Pairing:
    """Pair by case name; one prediction and one reference belong together whatever their names.

    Raises `GliomakitError` if nothing pairs.

    >>> a, b = LabelFile("A", Path("A.nii")), LabelFile("a_seg", Path("a_seg.nii"))
    >>> c = LabelFile("C", Path("C.nii"))
    >>> found = match([a], [b, c])
    >>> [(one.name, other.name) for one, other in found.pairs]
    [('A', 'a_seg')]
    >>> [file.name for file in found.without_prediction], found.without_reference
    (['C'], [])
    """
    mine, theirs = _by_key(predictions), _by_key(references)
    if len(mine) == len(theirs) == 1:
        return Pairing([(*mine.values(), *theirs.values())])
    both = [key for key in mine if key in theirs]
    if not both:
        some = ", ".join([file.name for file in mine.values()][:2])
        others = ", ".join([file.name for file in theirs.values()][:2])
        raise GliomakitError(
            f"no prediction has the name of a reference ({some} … against {others} …)",
            todo="name the files after their cases, or give one prediction and one reference",
        )
    return Pairing(
        [(mine[key], theirs[key]) for key in both],
        [file for key, file in theirs.items() if key not in mine],
        [file for key, file in mine.items() if key not in theirs],
    )


def score(
    prediction: LabelFile,
    reference: LabelFile,
    convention: str | None = None,
    pred_convention: str | None = None,
    within: Path | None = None,
) -> Score:
    """Read one pair and measure how well they agree.

    convention:      the reference's; None lets its names and values decide. It is the prediction's
                     too where nothing else tells.
    pred_convention: the prediction's; None takes the JSON beside it, then its names and values.
    within:          a mask on the same grid: what is outside counts as background on both sides.

    Raises `GliomakitError` for files that cannot be read, a convention that nothing decides, and
    grids that differ.
    """
    ref = open_label(reference.path, convention)
    hint = None if pred_convention else label_hint(prediction.path)
    # As a hint the reference's convention would be stretched to fit (2023 to 2024): it decides.
    pred = open_label(prediction.path, pred_convention or (None if hint else convention), hint)
    _same_grid(prediction.path, pred, reference.path, ref.grid)
    mine, theirs = to_regions(pred.array, pred.convention), to_regions(ref.array, ref.convention)
    if within is not None:
        inside, grid = read_mask(within)
        _same_grid(prediction.path, pred, within, grid)
        mine, theirs = mine & inside, theirs & inside
    made_for = _regions_told(prediction.path)
    rows = [REGIONS.index(region) for region in made_for]
    return Score(
        reference.name if reference.key == prediction.key else prediction.name,
        prediction.path,
        reference.path,
        pred.convention,
        ref.convention,
        evaluate_case(mine[rows], theirs[rows], pred.grid.ras.spacing, made_for),
    )


def mean(scores: Iterable[Score]) -> dict[str, dict]:
    """Means over cases, each with n and the number of missed and of spurious regions; a region
    that no case has is not there."""
    scores = list(scores)
    result = {}
    for region in REGIONS:
        having = [{region: s.regions[region]} for s in scores if region in s.regions]
        if having:
            result |= summarise(having)
    return result


def find_mask(place: Path, name: str) -> Path:
    """The mask of one case: `place` itself, or the file in that folder named after the case, with
    or without `_mask` or `_covered`. Raises `GliomakitError` if there is none."""
    if not place.is_dir():
        return place
    key = LabelFile(name, place).key
    for path in sorted(place.iterdir()):
        if is_nifti_name(path) and LabelFile(stem(path), path).key == key:
            return path
    raise GliomakitError(f"there is no mask of case {name} here", where=place)


def _in_folder(folder: Path, depth: int = _DEPTH, top: bool = True) -> list[LabelFile]:
    source = folder / "dataset.json"
    if source.is_file():
        listed = read_dataset(source).training
        return [LabelFile(stem(image), label) for image, label in listed]
    files = [p for p in sorted(folder.iterdir()) if is_nifti_name(p) and p.is_file()]
    if files:
        kinds = {p: role(p) for p in files}
        if not top or any(kind in SEQUENCES for kind in kinds.values()):
            name = folder.absolute().name
            return [LabelFile(name, p) for p in files if kinds[p] == "label"]
        return [LabelFile(stem(p), p) for p in files if kinds[p] != "mask"]
    inner = [p for p in sorted(folder.iterdir()) if p.is_dir() and p.name[0] != "."]
    return [file for p in inner if depth for file in _in_folder(p, depth - 1, False)]


def _by_key(files: Iterable[LabelFile]) -> dict[str, LabelFile]:
    keyed: dict[str, LabelFile] = {}
    for file in files:
        first = keyed.setdefault(file.key, file)
        if first != file:
            raise GliomakitError(
                f"is the same case as {first.path}", where=file.path, todo="keep one of them"
            )
    return keyed


def _same_grid(path: Path, label: Label, other: Path, grid: Grid) -> None:
    if different := label.grid.difference(grid):
        raise GliomakitError(f"is on another grid than {other}: {different}", where=path)


def _regions_told(path: Path) -> list[str]:
    """The regions that a prediction was made for, as `gliomakit segment` notes beside it."""
    try:
        told = json.loads(path.with_name(f"{stem(path)}.json").read_text("utf-8"))["regions"]
        return [region for region in REGIONS if region in told] or list(REGIONS)
    except (OSError, ValueError, KeyError, TypeError):
        return list(REGIONS)
