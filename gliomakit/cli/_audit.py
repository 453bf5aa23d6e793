"""`gliomakit audit`: the questions of lesson 12, put to predictions."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ..errors import GliomakitError
from ._common import Convention, Json, check_writable, progress_bar, remark, say, say_json, version
from ._split import patient

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ..evaluation import LabelFile


def audit(
    prediction: Annotated[
        Path, typer.Argument(metavar="PRED", help="Predicted labels (NIfTI), or masks of slices.")
    ],
    reference: Annotated[
        Path, typer.Argument(metavar="REF", help="The references, of the same kind.")
    ],
    split: Annotated[
        Path | None,
        typer.Option(metavar="F", help='JSON that names the patients of "training".'),
    ] = None,
    images: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="The images: cases, or slices in the LGG layout."),
    ] = None,
    html: Annotated[Path, typer.Option(metavar="F", help="Where the page is written.")] = Path(
        "audit.html"
    ),
    convention: Convention = None,
    as_json: Json = False,
) -> None:
    """Ask of a result what one should ask of a paper's.

    Is a patient on both sides of the split? How much of the score is empty slices, or background?
    Is it better than predicting nothing, than a threshold, than copying a neighbour? How sure is
    it? Reads label files, paired by case name, or masks of slices (PATIENT_NUMBER_mask.tif). Writes
    one page. Exit 1 if a question was failed.
    """
    from ..audit import audit as ask
    from ..audit import write_page

    check_writable(html.parent)
    names = None if split is None else _trained_on(split)
    pred, ref, classes = _slices(prediction, reference) or _volumes(
        prediction, reference, convention
    )
    common = sorted(set(pred) & set(ref))
    if not common:
        raise GliomakitError(
            f"no prediction is of a patient that has a reference ({min(pred)} … against "
            f"{min(ref)} …)",
            todo="name the files after their patients",
        )
    for alone in sorted(set(pred) - set(ref)):
        remark(f"{alone} has no reference and is left out")
    if len(ref) > len(common):
        remark(f"{len(ref) - len(common)} patients have no prediction and are left out")
    pred, ref = {n: pred[n] for n in common}, {n: ref[n] for n in common}
    flair = None if images is None else _flair(images, common)
    training = None if names is None else _spelled(names, common)
    report = ask(pred, ref, training, flair, classes)
    write_page(report, html)
    if as_json:
        say_json(
            {
                "gliomakit": version(),
                "findings": [vars(finding) for finding in report.findings],
                "scores": vars(report.scores),
                "baselines": {n: s and vars(s) for n, s in report.baselines.items()},
                "classes": [vars(one) for one in report.classes],
                "interval": report.interval,
                "page": html,
            }
        )
    else:
        say(str(report))
    remark(f"{html} holds the same as a page")
    if report.wrong:
        raise typer.Exit(1)


def _trained_on(path: Path) -> list[str]:
    try:
        content = json.loads(path.read_text("utf-8"))
        content = content.get("patients", content)
        names = content["training"]
        if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
            raise TypeError("training is a list of names")
        return names
    except FileNotFoundError:
        raise GliomakitError("there is no such file", where=path) from None
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise GliomakitError(
            f"does not name the patients that were trained on ({error})",
            where=path,
            todo='write {"training": ["name", …]}',
        ) from None


def _spelled(names: list[str], scored: list[str]) -> list[str]:
    """Names as the scored patients have them: of a slice or a visit the patient counts."""
    from ..evaluation import LabelFile
    from ..slices import slice_of

    def key(name: str) -> str:
        if name.lower().endswith((".tif", ".tiff")):
            name = slice_of(name)[0]
        return patient(LabelFile(name, Path()).key)

    known = {key(name) for name in names}
    return [name for name in scored if key(name) in known]


def _slices(prediction: Path, reference: Path) -> tuple[dict, dict, tuple[str, ...]] | None:
    """Masks of slices; None if the places hold none."""
    from ..slices import read_masks

    if not (prediction.is_dir() and reference.is_dir()):
        return None
    pred, ref = read_masks(prediction, progress=True), read_masks(reference, progress=True)
    return (pred, ref, ("tumour",)) if pred and ref else None


def _volumes(
    prediction: Path, reference: Path, convention: str | None
) -> tuple[dict, dict, tuple[str, ...]]:
    from ..cases import open_label
    from ..evaluation import find_labels, match
    from ..regions import REGIONS, to_regions

    def code(file: LabelFile) -> NDArray:
        label = open_label(file.path, convention)
        # 0 outside, 1 in WT, 2 in TC, 3 in ET; axial slices first.
        return to_regions(label.array, label.convention).sum(0).transpose(2, 0, 1)

    pairing = match(find_labels(prediction), find_labels(reference))
    pred, ref = {}, {}
    for mine, theirs in progress_bar(pairing.pairs, "read", "case"):
        pred[theirs.name], ref[theirs.name] = code(mine), code(theirs)
    for alone in pairing.without_prediction:
        remark(f"{alone.name} has no prediction and is left out")
    for alone in pairing.without_reference:
        remark(f"{alone.name} has no reference and is left out")
    return pred, ref, REGIONS


def _flair(folder: Path, names: list[str]) -> dict[str, NDArray]:
    """Patient -> FLAIR, slices first, of those patients that are there."""
    import numpy as np

    from ..cases import find_cases
    from ..evaluation import LabelFile
    from ..slices import find_patients, read_image

    if next(folder.rglob("*.tif*"), None) is not None:
        chosen = [one for one in find_patients(folder) if one.name in names]
        return {p.name: np.stack([read_image(i)[..., 1] for i in p.images]) for p in chosen}
    wanted = {LabelFile(name, Path()).key: name for name in names}
    found = {}
    for files in find_cases(folder):
        name = wanted.get(LabelFile(files.name, Path()).key)
        if name is not None:
            found[name] = files.read().sequence("flair").transpose(2, 0, 1)
    return found
