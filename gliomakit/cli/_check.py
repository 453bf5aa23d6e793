"""`gliomakit check`: the look before the leap."""

from __future__ import annotations

import sys
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ..errors import GliomakitError
from ..regions import SEQUENCE_NAMES
from ._common import Convention, Device, Json, explain, progress_bar, say, say_json, version
from ._segment import SequenceFile

if TYPE_CHECKING:
    from ..cases import Case, CaseFiles
    from ..cost import Rate
    from ..model import Model


def check(
    cases: Annotated[
        list[Path] | None,
        typer.Argument(
            metavar="CASE",
            help="BraTS case folders, folders of them, an MSD data set, or 4-D images of one.",
        ),
    ] = None,
    flair: SequenceFile = None,
    t1: SequenceFile = None,
    t1ce: SequenceFile = None,
    t2: SequenceFile = None,
    label: Annotated[
        Path | None, typer.Option(metavar="F", help="Of single files: a label to check as well.")
    ] = None,
    brain_mask: Annotated[
        Path | None, typer.Option(metavar="F", help="Of single files: where the brain is.")
    ] = None,
    name: Annotated[
        str | None, typer.Option(metavar="CASE", help="Of single files: what the case is called.")
    ] = None,
    resample_to: Annotated[
        str | None,
        typer.Option(metavar="SEQUENCE|F", help="Sequences may be on different grids."),
    ] = None,
    weights: Annotated[
        Path | None,
        typer.Option(metavar="F", help="The network to estimate for (default: the shipped one)."),
    ] = None,
    device: Device = None,
    convention: Convention = None,
    as_json: Json = False,
) -> None:
    """Look at cases before they are segmented.

    Different grids, thick slices, orientation, skull still there, exchanged sequences, a side cut
    off, an odd background, labels that contradict their convention; and what segmenting will take.
    Exit 1 if there is a warning.
    """
    single = {"flair": flair, "t1": t1, "t1ce": t1ce, "t2": t2}
    from . import _jobs

    found, bad = _jobs.choose("check", cases or [], single, brain_mask, name, label)
    found = [replace(files, convention=convention) for files in found]
    estimate = _estimator(weights, device)
    done, failed = [], [{"case": None, "error": explain(error)} for error in bad]
    for files in progress_bar(found, "check", "case"):
        try:
            done.append(_check(files, resample_to, estimate))
        except (GliomakitError, OSError, MemoryError, RuntimeError) as error:
            if len(found) == 1 and not bad:
                raise
            failed.append({"case": files.name, "error": explain(error)})
    if as_json:
        say_json({"gliomakit": version(), "cases": done, "failed": failed})
    elif done:
        say("\n\n".join(_block(facts) for facts in done))
    for failure in failed:
        print(f"gliomakit: error: {failure['error']}", file=sys.stderr)
    if failed:
        raise typer.Exit(2)
    if any(finding["level"] == "warning" for facts in done for finding in facts["findings"]):
        raise typer.Exit(1)


def _check(files: CaseFiles, resample_to: str | None, estimate: _Estimator | None) -> dict:
    """What there is to say of one case."""
    from ..checks import check as run
    from ..checks import read

    case, found = read(files, resample_to)
    found += run(case)
    header = case.grid
    facts = {
        "case": case.name,
        "shape": header.shape,
        "spacing": [round(s, 4) for s in header.spacing],
        "axes": header.axes,
        "sequences": list(case.present),
        "convention": None if case.label is None else case.convention,
        "findings": [asdict(finding) for finding in found],
    }
    return facts | {"estimate": None if estimate is None else estimate(case)}


class _Estimator:
    """What segmenting a case will take. The network is timed once, when the first case asks."""

    def __init__(self, model: Model, device: str | None):
        self.model, self.device = model, device
        self.rate: Rate | None = None

    def __call__(self, case: Case) -> dict | None:
        from ..cost import estimate, rate

        self.rate = self.rate or rate(self.model, self.device)
        try:
            cost = estimate(case, self.model, self.rate)
        except GliomakitError:
            return None  # no brain: said elsewhere
        return {
            "device": self.rate.device,
            "windows": cost.windows,
            "seconds": round(cost.seconds, 1),
            "memory_mb": round(cost.memory_mb),
        }


def _estimator(weights: Path | None, device: str | None) -> _Estimator | None:
    """None in a copy of the package that has no weights, if none were named."""
    from ..weights import SHIPPED, load

    if weights is None and not SHIPPED.is_file():
        return None
    return _Estimator(load(weights), device)


def _block(facts: dict) -> str:
    """One case in words."""
    sizes = " x ".join(f"{s:.3g}" for s in facts["spacing"])
    lines = [
        ("grid", f"{' x '.join(map(str, facts['shape']))} voxels of {sizes} mm, {facts['axes']}"),
        ("sequences", ", ".join(SEQUENCE_NAMES[name] for name in facts["sequences"])),
    ]
    if facts["convention"]:
        lines.append(("label", facts["convention"]))
    for finding in facts["findings"]:
        lines.append((finding["level"], sentence(finding)))
    if not any(finding["level"] == "warning" for finding in facts["findings"]):
        lines.append(("", "nothing looks wrong"))
    if cost := facts["estimate"]:
        text = f"about {cost['seconds']:.0f} s and {cost['memory_mb'] / 1000:.1f} GB to segment "
        lines.append(("estimate", text + f"({cost['windows']} windows on {cost['device']})"))
    return "\n".join([facts["case"], *(f"  {what:<10} {text}" for what, text in lines)])


def sentence(finding: dict) -> str:
    """A finding in one line."""
    return f"{finding['text']}; {finding['todo']}" if finding["todo"] else finding["text"]
