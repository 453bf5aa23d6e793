"""`gliomakit phantoms`, `gliomakit download` and `gliomakit prepare`: data to work with."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import Annotated

import typer

from ._common import Cache, Convention, Json, Spacing, Workers, remark, say, say_json, spacing_of


def phantoms(
    out: Annotated[Path, typer.Argument(metavar="OUT", help="A folder: new, empty, or its own.")],
    cases: Annotated[int, typer.Option(min=1, help="How many patients.")] = 20,
    spacing: Annotated[float, typer.Option(metavar="MM", help="Voxel size in mm, 1 to 4.")] = 2.0,
    seed: Annotated[
        int, typer.Option(min=0, help="The first patient's seed; the next have the next ones.")
    ] = 0,
    workers: Workers = None,
) -> None:
    """Make a data set of synthetic patients.

    In MSD's layout: imagesTr, labelsTr, dataset.json. The same seed gives the same patient.
    """
    from ..phantom import write_dataset

    folder = write_dataset(out, cases, spacing, seed, workers, progress=sys.stderr.isatty())
    say(f"{cases} phantom{'s' * (cases > 1)} at {spacing:g} mm in {folder}")


def download(
    name: Annotated[str, typer.Argument(metavar="msd|lgg", help="Which data set.")],
    folder: Annotated[
        Path | None,
        typer.Argument(metavar="DIR", help="Where to (default: downloads/ in GLIOMAKIT_CACHE)."),
    ] = None,
    keep_archive: Annotated[
        bool, typer.Option("--keep-archive", help="Of msd: keep the archive once it is unpacked.")
    ] = False,
) -> None:
    """Fetch real data from its publisher.

    msd: the brain tumours of the Medical Segmentation Decathlon, 7.1 GB; goes on where it was
    stopped. lgg: LGG MRI Segmentation, by kagglehub. What comes is checked. Read the licence.
    """
    from ..download import fetch, source

    of = source(name)
    try:
        found = fetch(of, folder, keep_archive, sys.stderr.isatty(), remark)
    except KeyboardInterrupt:
        if of.url:
            remark("what has come is kept: the same command goes on from there")
        raise
    cases = ", ".join(f"{number} {what}" for what, number in found.cases.items())
    say(f"{found.folder}{'' if found.new else ' is there already'}: {cases}")
    say(f"licence: {of.licence}{'' if of.licence_verified else ' (not verified)'}; see {of.page}")
    if of.url:
        say(f"next: gliomakit prepare {shlex.quote(str(found.folder))}")
    above = shlex.quote(str(found.folder.absolute().parent))
    say(f"for the lessons: export GLIOMAKIT_DATA={above}")


def prepare(
    data: Annotated[
        Path, typer.Argument(metavar="DATA", help="An MSD data set, or BraTS case folders.")
    ],
    spacing: Spacing = None,
    convention: Convention = None,
    workers: Workers = None,
    cache: Cache = None,
    as_json: Json = False,
) -> None:
    """Prepare a data set for training.

    Crops to the brain, normalises, resamples, and keeps the result in the cache.
    """
    from ..cases import find_cases
    from ..paths import prepared_folder
    from ..preprocess import prepare_all

    found = find_cases(data, convention=convention)
    folder = cache or prepared_folder()
    done = prepare_all(
        found, folder, spacing_of(spacing), workers=workers, progress=sys.stderr.isatty()
    )
    labelled = sum(p.regions is not None for p in done)
    if as_json:
        cases = [{"case": p.name, "shape": p.image.shape, "sequences": p.present} for p in done]
        say_json({"cache": folder, "labelled": labelled, "cases": cases})
    else:
        say(f"{len(done)} cases ({labelled} with a label) are prepared in {folder}")
