"""From five .nii.gz files to a prepared case, beside inflating their bytes; and from the cache."""

from __future__ import annotations

import gzip
import os
import statistics
import tempfile
from collections.abc import Iterator
from pathlib import Path

from gliomakit.cases import CaseFiles, find_cases
from gliomakit.phantom.dataset import write_dataset
from gliomakit.preprocess import cached, prepare

from .compare import seconds


def facts(quick: bool = False) -> Iterator[str]:
    """A phantom's files, and a real case's where GLIOMAKIT_REAL_DATA says where one is."""
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        spacing = 2.0 if quick else 1.0
        data = write_dataset(folder / "data", 1, spacing=spacing, workers=1, progress=False)
        yield from of(f"a {spacing:g} mm phantom", find_cases(data)[0], folder / "cache")
        if real := os.environ.get("GLIOMAKIT_REAL_DATA"):
            files = find_cases(Path(real) / "brats2021")[0]
            yield from of(f"a real case, {files.name},", files, folder / "real")


def of(name: str, files: CaseFiles, cache: Path) -> Iterator[str]:
    """Medians of seven, in turn."""
    paths = [path for path in (*files.images.values(), files.label) if path]

    def inflate() -> None:
        for path in dict.fromkeys(paths):
            with gzip.open(path) as file:
                file.read()

    cached(files, cache)
    works = {
        "inflate": inflate,
        "read": files.read,
        "prepare": lambda: prepare(files.read()),
        "cache": lambda: cached(files, cache),
    }
    found = {name: [] for name in works}
    for turn in range(8):
        for work, function in works.items():
            took = seconds(function)
            if turn:
                found[work].append(took)
    ms = {work: 1000 * statistics.median(times) for work, times in found.items()}
    times = ms["prepare"] / ms["inflate"]
    yield f"| {name} inflated, the bound | {ms['inflate']:.0f} ms | |"
    yield f"| the same read | {ms['read']:.0f} ms | |"
    said = f"{ms['prepare']:.0f} ms, {times:.1f} × the bound"
    yield f"| the same read and prepared | {said} | 2.5 × |"
    yield f"| the same from the cache | {ms['cache']:.1f} ms | 50 ms |"
