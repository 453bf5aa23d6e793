"""`gliomakit segment`: from NIfTI files to a label of the tumour."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ..errors import GliomakitError
from ..regions import REGION_NAMES, REGIONS, SEQUENCE_NAMES, SEQUENCES, to_label
from ._common import (
    Convention,
    Device,
    Json,
    check_writable,
    columns,
    explain,
    progress_bar,
    remark,
    say,
    say_json,
    version,
)

if TYPE_CHECKING:
    from ..cases import Case
    from ..inference import Progress
    from ..model import Model
    from ._jobs import Job

LOOSE = "brats2017"
"""The convention where no data set has one: 0, 1, 2, 4 cannot be mistaken for MSD's values."""

# A list, so that a sequence given twice is seen and refused; the last would win otherwise.
SequenceFile = Annotated[
    list[Path] | None, typer.Option(metavar="F", help="A single file of this sequence.")
]


def segment(
    cases: Annotated[
        list[Path] | None,
        typer.Argument(
            metavar="CASE",
            help="BraTS case folders, folders of them, an MSD data set, or 4-D images of one.",
        ),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE|FOLDER", help="A .nii.gz for one case, else a folder: FOLDER/CASE.nii.gz."
        ),
    ] = None,
    flair: SequenceFile = None,
    t1: SequenceFile = None,
    t1ce: SequenceFile = None,
    t2: SequenceFile = None,
    brain_mask: Annotated[
        Path | None, typer.Option(metavar="F", help="Of single files: where the brain is.")
    ] = None,
    name: Annotated[
        str | None, typer.Option(metavar="CASE", help="Of single files: what the case is called.")
    ] = None,
    resample_to: Annotated[
        str | None,
        typer.Option(
            metavar="SEQUENCE|F",
            help="Sequences may be on different grids; the label is on this one's.",
        ),
    ] = None,
    weights: Annotated[
        Path | None, typer.Option(metavar="F", help="A trained network (default: the shipped one).")
    ] = None,
    mirror: Annotated[
        bool | None,
        typer.Option(
            help="Average over all eight mirrored copies, or over none. "
            "By default as many as the weights ask for."
        ),
    ] = None,
    device: Device = None,
    compile: Annotated[
        bool, typer.Option("--compile", help="By torch.compile: a slow first case, faster others.")
    ] = False,
    convention: Convention = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace files that segment did not write.")
    ] = False,
    no_check: Annotated[
        bool, typer.Option("--no-check", help="Do not look for what may be wrong with a case.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Segment the glioma of each case.

    Writes a label of edema, core and enhancing tumour, on the input's own grid and in the
    convention of its data set; for single files in that of BraTS 2017 (1 core, 2 edema,
    4 enhancing). A JSON file beside it says convention, network, version and volumes. Inputs are
    never overwritten. Not for clinical use.
    """
    from . import _jobs

    if out is None:
        raise GliomakitError("nothing says where to write", todo="give --out FILE or --out FOLDER")
    single = {"flair": flair, "t1": t1, "t1ce": t1ce, "t2": t2}
    if name is None and any(single.values()) and _jobs.is_file(out):
        name = _jobs.stem(out)
    found, bad = _jobs.choose("segment", cases or [], single, brain_mask, name)
    others = [path for path in (weights, _file(resample_to)) if path is not None]
    jobs = _jobs.plan(found, out, others, overwrite)
    check_writable(jobs[0].out.parent)

    from ..weights import load

    model = load(weights)
    network = identity(model)
    done, failed = [], [{"case": None, "error": explain(error)} for error in bad]
    for job in progress_bar(jobs, "segment", "case"):
        try:
            how = (resample_to, mirror, device, convention, not no_check)
            done.append(segment_case(job, model, network, *how, compile=compile))
        except (GliomakitError, OSError, MemoryError, RuntimeError) as error:
            if len(jobs) == 1 and not bad:
                raise
            failed.append({"case": job.files.name, "error": explain(error)})
    if as_json:
        say_json({"gliomakit": version(), "network": network, "cases": done, "failed": failed})
    elif done:
        say(_table(done))
    for failure in failed:
        print(f"gliomakit: error: {failure['error']}", file=sys.stderr)
    if failed:
        raise typer.Exit(2)


def segment_case(
    job: Job,
    model: Model,
    network: dict[str, str],
    resample_to: str | None = None,
    mirror: bool | None = None,
    device: str | None = None,
    convention: str | None = None,
    check: bool = True,
    progress: Progress = None,
    compile: bool = False,
) -> dict[str, object]:
    """Read, segment and write one case; what is said of it.

    progress: as `inference.segment` takes it; None is a bar, if stderr is a terminal.
    compile:  by `torch.compile`; the second case of the same network finds its program.
    """
    from ..cases import write_label
    from ..inference import segment as run

    start = time.perf_counter()
    case = job.files.read(label=False, resample_to=resample_to)
    warnings = _weak(case, model) + (_warnings(case) if check else [])
    progress = sys.stderr.isatty() if progress is None else progress
    found = run(case, model, device=device, mirror=mirror, progress=progress, compile=compile)
    of_data = None if job.files.kind == "loose" else case.convention
    name = convention or of_data or LOOSE
    facts = {
        "case": case.name,
        "convention": name,
        "regions": list(found.regions_known),
        "volumes_ml": {region: round(ml, 3) for region, ml in found.volumes_ml.items()},
        "sequences": list(case.present),
        "warnings": warnings,
    }
    axes = model.settings.mirror if mirror is None else "xyz" if mirror else ""
    extra = {"gliomakit": version(), "network": network, "mirror": axes}
    write_label(to_label(found.regions, name), case, job.out, facts | extra)
    return facts | {"out": job.out, "seconds": round(time.perf_counter() - start, 1)}


def _weak(case: Case, model: Model) -> list[dict[str, str]]:
    """What the network is known to find badly with this case's sequences; said on stderr too."""
    weak = model.settings.weak(case.present)
    if not weak:
        return []
    names = " and ".join(SEQUENCE_NAMES[s] for s in case.present if s in model.settings.sequences)
    regions = ", ".join(
        f"{REGION_NAMES[r]} (Dice {dice:.2f} on phantoms)" for r, dice in weak.items()
    )
    text = f"from {names} alone this network finds badly: {regions}"
    remark(f"warning: {case.name}: {text}")
    return [{"code": "sequences", "text": text}]


def _warnings(case: Case) -> list[dict[str, str]]:
    """What `check` warns of, said on stderr too. It never keeps a case from being segmented: not
    if it is wrong about it, nor if it fails."""
    from ..checks import check

    try:
        found = [finding for finding in check(case) if finding.level == "warning"]
    except Exception:
        return []
    for finding in found:
        remark(f"warning: {case.name}: {finding}")
    return [{"code": finding.code, "text": str(finding)} for finding in found]


def identity(model: Model) -> dict[str, str]:
    """Which network it was: name and SHA-256 of its file."""
    import hashlib

    with open(model.source, "rb") as stream:
        digest = hashlib.file_digest(stream, "sha256").hexdigest()
    return {"name": model.source.stem, "sha256": digest}


def _file(resample_to: str | None) -> Path | None:
    """The file of `--resample-to`, if it names one and not a sequence."""
    return None if resample_to is None or resample_to in SEQUENCES else Path(resample_to)


def _table(done: list[dict]) -> str:
    header = ["case", *(f"{region.upper()} mL" for region in REGIONS), "sequences", "s", "label"]
    rows = [
        [
            row["case"],
            *(_ml(row["volumes_ml"].get(region)) for region in REGIONS),
            " ".join(row["sequences"]),
            f"{row['seconds']:.1f}",
            f"{row['out']} ({row['convention']})",
        ]
        for row in done
    ]
    return columns(header, rows)


def _ml(volume: float | None) -> str:
    return "–" if volume is None else f"{volume:.1f}"
