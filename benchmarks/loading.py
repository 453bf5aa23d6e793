"""From five .nii.gz files to a prepared case, beside inflating their bytes; and from the cache."""

from __future__ import annotations

import gzip
import os
import statistics
import subprocess
import sys
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
        yield from memory(folder / "many", (4, 12) if quick else (8, 48))


def memory(folder: Path, numbers: tuple[int, int]) -> Iterator[str]:
    """The most that preparing a few and many cases in two processes takes: this process and one of
    the two, in fresh ones, by the operating system's count."""
    data = write_dataset(folder, numbers[-1], spacing=2.0, workers=2, progress=False)
    program = """
import resource, sys
from pathlib import Path
from gliomakit.cases import find_cases
from gliomakit.preprocess import prepare_all
cases = find_cases(Path(sys.argv[1]))[: int(sys.argv[2])]
prepare_all(cases, Path(sys.argv[3]), workers=2, progress=False)
lines = open("/proc/self/status").read().splitlines()  # getrusage counts who started us, too
print(next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) / 1024)
print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024)
"""
    if sys.platform != "linux":
        yield "| many cases prepared | not measured: memory is read from Linux's /proc | |"
        return
    found = []
    for number in numbers:
        words = [sys.executable, "-c", program, data, str(number), folder / f"cache{number}"]
        told = subprocess.run(words, capture_output=True, text=True, check=True).stdout.split()
        found.append([float(mb) for mb in told])
    (few, one), (many, other) = found
    yield (
        f"| {numbers[0]} and {numbers[1]} cases (phantoms, 2 mm) prepared by two processes | the "
        f"parent {few:.0f} and {many:.0f} MB, a worker {one:.0f} and {other:.0f} MB at most | no "
        "growth |"
    )


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
