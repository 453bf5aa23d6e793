"""Two ways to do the same, timed in turn."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass


@dataclass
class Comparison:
    """Seconds of ours and of the peer, run by run."""

    work: str
    peer: str
    ours: list[float]
    theirs: list[float]

    @property
    def ratios(self) -> list[float]:
        """How often ours fits into the peer's time, pair by pair."""
        return [t / o for o, t in zip(self.ours, self.theirs, strict=True)]


def compare(work: str, ours: Callable, peer: str, theirs: Callable, runs: int = 7) -> Comparison:
    """Run both once unmeasured, then in turn."""
    ours(), theirs()
    seconds = ([], [])
    for _ in range(runs):
        for function, found in zip((ours, theirs), seconds, strict=True):
            start = time.perf_counter()
            function()
            found.append(time.perf_counter() - start)
    return Comparison(work, peer, *seconds)


def markdown(c: Comparison) -> str:
    """A row: medians, and the median ratio with its smallest and largest; a ratio whose range holds
    1 is no difference."""
    low, high = min(c.ratios), max(c.ratios)
    ratio = f"{statistics.median(c.ratios):.1f} ({low:.1f} to {high:.1f})"
    if low <= 1 <= high:
        ratio += ", no difference"
    ms = [1000 * statistics.median(s) for s in (c.ours, c.theirs)]
    return f"| {c.work} | {ms[0]:.1f} | {c.peer} | {ms[1]:.1f} | {ratio} |"


def heading() -> str:
    return """# Benchmarks

Medians of seven runs, ours and the peer's in turn in one process, on a phantom at 1 mm
(240 × 240 × 155). The ratio says how many times longer the peer takes; in brackets its smallest
and largest value. Written by `make bench`.
"""
