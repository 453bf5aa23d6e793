"""From five .nii.gz files to a prepared case, beside inflating their bytes; and from the cache."""

from __future__ import annotations

import gzip
import statistics
import tempfile
from collections.abc import Iterator
from pathlib import Path

from gliomakit.cases import find_cases
from gliomakit.phantom.dataset import write_dataset
from gliomakit.preprocess import cached, prepare

from .compare import seconds


def facts(quick: bool = False) -> Iterator[str]:
    """Medians of seven, in turn."""
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        spacing = 2.0 if quick else 1.0
        data = write_dataset(folder / "data", 1, spacing=spacing, workers=1, progress=False)
        files = find_cases(data)[0]
        paths = sorted(data.glob("*Tr/*.nii.gz"))

        def inflate() -> None:
            for path in paths:
                with gzip.open(path) as file:
                    file.read()

        found = {"inflate": [], "read": [], "prepare": [], "cache": []}
        cached(files, folder / "cache")
        works = {
            "inflate": inflate,
            "read": files.read,
            "prepare": lambda: prepare(files.read()),
            "cache": lambda: cached(files, folder / "cache"),
        }
        for turn in range(8):
            for name, work in works.items():
                took = seconds(work)
                if turn:
                    found[name].append(took)
    ms = {name: 1000 * statistics.median(times) for name, times in found.items()}
    times = ms["prepare"] / ms["inflate"]
    yield f"| a {spacing:g} mm case inflated, the bound | {ms['inflate']:.0f} ms | |"
    yield f"| the same read | {ms['read']:.0f} ms | |"
    said = f"{ms['prepare']:.0f} ms, {times:.1f} × the bound"
    yield f"| the same read and prepared | {said} | 2.5 × |"
    yield f"| the same from the cache | {ms['cache']:.1f} ms | 50 ms |"
