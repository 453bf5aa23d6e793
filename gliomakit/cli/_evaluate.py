"""`gliomakit evaluate`: predictions against references."""

from __future__ import annotations

import csv
import io
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ..errors import GliomakitError
from ..regions import REGIONS
from ._common import (
    Convention,
    Json,
    check_writable,
    columns,
    explain,
    progress_bar,
    remark,
    say,
    say_json,
    version,
    write_text,
)

if TYPE_CHECKING:
    from ..evaluation import LabelFile, Score


def evaluate(
    prediction: Annotated[
        Path, typer.Argument(metavar="PRED", help="A label file, or a folder of them.")
    ],
    reference: Annotated[
        Path,
        typer.Argument(
            metavar="REF",
            help="The reference: a label file, a folder of them, an MSD data set, or BraTS case "
            "folders.",
        ),
    ],
    convention: Convention = None,
    pred_convention: Convention = None,
    within: Annotated[
        Path | None,
        typer.Option(
            metavar="MASK",
            help="Score only inside this mask (a file, or a folder with one a case).",
        ),
    ] = None,
    csv_file: Annotated[
        Path | None,
        typer.Option("--csv", metavar="F", help="Write all measures, one row a case and region."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Score predictions against references.

    Dice, HD95 and volumes of WT, TC and ET, by case and in the mean. Files are paired by case name.
    What the label values mean is told by the JSON beside a prediction, by the data set, by names;
    --convention says it of the reference (and of a prediction that nothing else tells of),
    --pred-convention of the prediction. A tumour that was missed counts with Dice 0 and the
    volume's diagonal as HD95; misses and spurious regions are counted beside the means.
    """
    from ..evaluation import find_labels, find_mask, match, mean, score

    pairing = match(find_labels(prediction), find_labels(reference))
    if csv_file is not None:
        _refuse_input(csv_file, [file.path for pair in pairing.pairs for file in pair])
        check_writable(csv_file.parent)
    scores, failed = [], []
    for mine, theirs in progress_bar(pairing.pairs, "evaluate", "case"):
        try:
            mask = None if within is None else find_mask(within, mine.name)
            scores.append(score(mine, theirs, convention, pred_convention, mask))
        except GliomakitError as error:
            failed.append({"case": mine.name, "error": explain(error)})
    means = mean(scores) if scores else {}
    if csv_file is not None and scores:
        write_text(csv_file, _csv(scores))
    if as_json:
        say_json(
            {
                "gliomakit": version(),
                "cases": [vars(s) for s in scores],
                "mean": means,
                "failed": failed,
                "without_prediction": [file.name for file in pairing.without_prediction],
                "without_reference": [file.name for file in pairing.without_reference],
            }
        )
    elif scores:
        say(table(scores, means))
    _say_alone(pairing.without_prediction, "reference", "prediction")
    _say_alone(pairing.without_reference, "prediction", "reference")
    for failure in failed:
        print(f"gliomakit: error: {failure['error']}", file=sys.stderr)
    if failed:
        raise typer.Exit(2)


def table(scores: list[Score], means: dict[str, dict]) -> str:
    """Dice, HD95 (mm) and volumes (mL) of each case, then means, n, and what was missed."""
    measures = {"Dice": "dice", "HD95": "hd95_mm", "mL": "volume_ml", "ref": "reference_ml"}
    regions = [region for region in REGIONS if region in means]
    header = ["case", *(f"{r.upper()} {name}" for name in measures for r in regions)]

    def row(name: str, values: dict[str, dict]) -> list[str]:
        return [
            name,
            *(
                _number(values[r][measure], 3 if measure == "dice" else 1) if r in values else "–"
                for measure in measures.values()
                for r in regions
            ),
        ]

    def counted(name: str) -> list[str]:
        numbers = [str(means[region][name]) for region in regions]
        return [name, *numbers] + [""] * (len(header) - 1 - len(numbers))

    rows = [row(s.case, s.regions) for s in scores]
    rows += [row("mean", means), *(counted(name) for name in ("n", "missed", "spurious"))]
    text = columns(header, rows)
    return f"{text}\n\nDice 1 and HD95 0 where both are empty; HD95 in mm, volumes in mL."


def _number(value: float, digits: int) -> str:
    return f"{value:.{digits}f}"


def _csv(scores: list[Score]) -> str:
    out = io.StringIO()
    measures = list(next(iter(scores[0].regions.values())))
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(["case", "region", *measures])
    for s in scores:
        for region, values in s.regions.items():
            writer.writerow([s.case, region, *(values[m] for m in measures)])
    return out.getvalue()


def _say_alone(files: list[LabelFile], kind: str, lacks: str) -> None:
    if files:
        names = ", ".join(file.name for file in files[:3]) + (", …" if len(files) > 3 else "")
        verbs = ("s have", "are") if len(files) > 1 else (" has", "is")
        remark(f"{len(files)} {kind}{verbs[0]} no {lacks} and {verbs[1]} not counted: {names}")


def _refuse_input(path: Path, inputs: list[Path]) -> None:
    if path.resolve() in {p.resolve() for p in inputs}:
        raise GliomakitError("is an input and will not be overwritten", where=path)
