"""Which cases `gliomakit segment` has to do, and where each label goes without harming a file."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from .._layouts import is_nifti_name, stem
from ..cases import CaseFiles, find_cases, loose
from ..errors import GliomakitError

OTHER_FORMATS = {".gz", ".mha", ".mhd", ".nrrd", ".mgz", ".img", ".hdr", ".json", ".dcm", ".npy"}
NO_CASE = "no case was found here"


@dataclass(frozen=True)
class Job:
    """One case and the file that its label is written to."""

    files: CaseFiles
    out: Path


def find(paths: Sequence[Path]) -> tuple[list[CaseFiles], list[GliomakitError]]:
    """The cases in several places, and what is wrong with those that cannot be used.

    One bad case among others must not keep the others from being segmented. Raises
    `GliomakitError` if nothing is left.
    """
    good: list[CaseFiles] = []
    bad: list[GliomakitError] = []
    for path in paths:
        for item in _in_place(path):
            (bad if isinstance(item, GliomakitError) else good).append(item)
    if not good:
        raise bad[0]
    return good, bad


def choose(
    verb: str,
    paths: Sequence[Path],
    single: Mapping[str, list[Path] | None],
    brain_mask: Path | None,
    name: str | None,
    label: Path | None = None,
) -> tuple[list[CaseFiles], list[GliomakitError]]:
    """What a command was given: cases by their places, or the files of one. verb: what the command
    does to them. Raises `GliomakitError` for both, for neither, and for options that belong to
    single files."""
    if any(single.values()):
        if paths:
            raise GliomakitError(
                "cases and single files are both given",
                todo="give case folders, or --flair, --t1, --t1ce, --t2",
            )
        return [single_files(single, brain_mask, name, label)], []
    if not paths:
        raise GliomakitError(
            f"nothing is given to {verb}",
            todo="name a case folder or an MSD image, or give --flair, --t1, --t1ce, --t2",
        )
    if any(option is not None for option in (label, brain_mask, name)):
        options = "--label, --brain-mask" if verb == "check" else "--brain-mask"
        raise GliomakitError(f"{options} and --name belong to single files (--flair …)")
    return find(paths)


def single_files(
    given: Mapping[str, list[Path] | None],
    brain_mask: Path | None,
    name: str | None,
    label: Path | None = None,
) -> CaseFiles:
    """The case of single files. Raises `GliomakitError` if a sequence is given twice."""
    for sequence, paths in given.items():
        if len(paths or []) > 1:
            raise GliomakitError(
                f"--{sequence} is given twice: {paths[0]} and {paths[1]}",
                where=paths[1],
                todo="give each sequence once",
            )
    files = {sequence: paths[0] for sequence, paths in given.items() if paths}
    return loose(**files, label=label, brain_mask=brain_mask, name=name)


def is_file(out: Path) -> bool:
    """Whether `--out` names a label file, and not a folder.

    Raises `GliomakitError` for another image format.
    """
    if out.is_dir():
        return False
    if is_nifti_name(out):
        return True
    if out.suffix.lower() in OTHER_FORMATS:
        raise GliomakitError(
            "labels are written as NIfTI only", where=out, todo="end the name in .nii.gz"
        )
    return False


def plan(
    cases: Sequence[CaseFiles], out: Path, protected: Sequence[Path], overwrite: bool
) -> list[Job]:
    """Where each case's label goes: `out` itself, or `out`/CASE.nii.gz.

    Raises `GliomakitError` if two cases have one name, if an input (or a `protected` file) would be
    overwritten, or a file that `segment` did not write (unless `overwrite`).
    """
    if is_file(out):
        if len(cases) > 1:
            raise GliomakitError(
                f"{len(cases)} cases cannot be written to one file", where=out, todo="name a folder"
            )
        jobs = [Job(cases[0], out)]
    else:
        jobs = [Job(files, out / f"{files.name}.nii.gz") for files in cases]
    _refuse_twins(jobs)
    inputs = {path.resolve() for path in protected}
    for files in cases:
        inputs |= {path.resolve() for path in _inputs(files)}
    for job in jobs:
        beside = job.out.with_name(f"{stem(job.out)}.json")
        for path in (job.out, beside):
            if path.resolve() in inputs:
                raise GliomakitError("is an input and will not be overwritten", where=path)
            if path.exists() and not overwrite and not _ours(beside):
                raise GliomakitError(
                    "exists, and was not written by gliomakit segment",
                    where=path,
                    todo="choose another place, or add --overwrite",
                )
    return jobs


def _in_place(path: Path) -> Iterator[CaseFiles | GliomakitError]:
    try:
        yield from find_cases(path)
        return
    except GliomakitError as error:
        inner = _case_folders(path)
        if not inner:
            yield error
            return
    for folder in inner:
        try:
            yield from find_cases(folder)
        except GliomakitError as error:
            if error.what != NO_CASE:
                yield error


def _case_folders(path: Path) -> list[Path]:
    """The folders in a folder that is no case and no data set itself."""
    if not path.is_dir() or (path / "dataset.json").exists():
        return []
    inner = sorted(path.iterdir())
    if any(is_nifti_name(p) for p in inner):
        return []
    return [p for p in inner if p.is_dir() and p.name[0] != "."]


def _refuse_twins(jobs: Sequence[Job]) -> None:
    places: dict[str, Job] = {}
    for job in jobs:
        # Some file systems know no capital letters.
        first = places.setdefault(str(job.out).lower(), job)
        if first is not job:
            here, there = (next(iter(j.files.images.values())) for j in (first, job))
            raise GliomakitError(
                f"two cases have the name {job.files.name}: {here} and {there}",
                where=job.out,
                todo="segment them into two folders",
            )


def _inputs(files: CaseFiles) -> Iterator[Path]:
    yield from files.images.values()
    yield from (path for path in (files.label, files.mask) if path is not None)


def _ours(beside: Path) -> bool:
    """Whether the JSON beside a label is one that `segment` wrote."""
    try:
        return "gliomakit" in json.loads(beside.read_text("utf-8"))
    except (OSError, ValueError, TypeError):
        return False
