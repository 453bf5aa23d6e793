"""Phantoms to train on: prepared as a network sees them, kept in a cache, no images written."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from pathlib import Path

from tqdm import tqdm

from .._workers import cores, parallel
from ..preprocess import Prepared, keep, kept
from .case import make_case
from .dataset import VERSION


def prepared_phantoms(
    folder: str | Path,
    seeds: Iterable[int],
    spacing: float = 2.0,
    tumour: bool = True,
    workers: int | None = None,
    progress: bool = True,
) -> list[Prepared]:
    """The phantoms of these seeds, prepared at `spacing` mm, in the order of the seeds.

    folder:  a cache; what it holds already is not made again.
    tumour:  False gives heads without one.
    workers: processes, by default one a core. progress: a bar on stderr, if that is a terminal.

    The arrays are those of writing the phantoms, reading and preparing them, in half the time; they
    are memory-mapped and read-only.
    """
    folder = Path(folder)
    jobs = [(seed, spacing, tumour, folder) for seed in seeds]
    missing = [job for job in jobs if _found(*job) is None]
    hidden = not progress or not missing or not sys.stderr.isatty()
    with tqdm(total=len(missing), desc="phantoms", unit="patient", disable=hidden) as bar:
        for _ in parallel(_make, missing, workers or cores()):
            bar.update()
    return [_found(*job) for job in jobs]


def _make(seed: int, spacing: float, tumour: bool, folder: Path) -> None:
    case = make_case(seed, spacing, tumour=tumour)
    keep(case, folder, _key(seed, spacing, tumour), spacing)


def _found(seed: int, spacing: float, tumour: bool, folder: Path) -> Prepared | None:
    return kept(f"phantom_{seed:05d}", folder, _key(seed, spacing, tumour))


def _key(seed: int, spacing: float, tumour: bool) -> str:
    return f"phantom_v{VERSION}_{seed}_{spacing:g}mm" + ("" if tumour else "_healthy")
