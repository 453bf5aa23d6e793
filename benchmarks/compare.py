"""Two ways to do the same, timed in turn, beside what neither can be faster than."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass, field

LONG = 5.0
"""Seconds from which on three runs must do."""


@dataclass
class Comparison:
    """Seconds of ours, of the peer and of the bound, run by run.

    floor: how many times longer the peer must take; None: it is shown, nothing is asked.
    bound: what is timed as the bound, in words, and its seconds.
    """

    work: str
    peer: str
    ours: list[float]
    theirs: list[float]
    floor: float | None = None
    bound: str = ""
    least: list[float] = field(default_factory=list)

    @property
    def ratios(self) -> list[float]:
        """How often ours fits into the peer's time, pair by pair."""
        return [t / o for o, t in zip(self.ours, self.theirs, strict=True)]

    @property
    def met(self) -> bool | None:
        """Whether the floor is reached; None if there is none."""
        return None if self.floor is None else statistics.median(self.ratios) >= self.floor


def compare(
    work: str,
    ours: Callable[[], object],
    peer: str,
    theirs: Callable[[], object],
    runs: int = 7,
    floor: float | None = None,
    bound: tuple[str, Callable[[], object]] | None = None,
) -> Comparison:
    """Run all once unmeasured, then in turn; three times only if one takes over `LONG`."""
    functions = [ours, theirs, *([bound[1]] if bound else [])]
    if max(seconds(function) for function in functions) > LONG:
        runs = 3
    found: list[list[float]] = [[] for _ in functions]
    for _ in range(runs):
        for function, times in zip(functions, found, strict=True):
            times.append(seconds(function))
    return Comparison(work, peer, *found[:2], floor, bound[0] if bound else "", (*found, [])[2])


def seconds(function: Callable[[], object]) -> float:
    start = time.perf_counter()
    function()
    return time.perf_counter() - start


HEAD = """| work | ours, ms | peer | peer, ms | peer / ours | at least | bound, ms |
|---|---|---|---|---|---|---|"""


def markdown(c: Comparison) -> str:
    """A row: medians, and the median ratio with its smallest and largest; a ratio whose range holds
    1 is no difference. The bound is followed by ours in times of it."""
    low, high = min(c.ratios), max(c.ratios)
    ratio = f"{statistics.median(c.ratios):.1f} ({low:.1f} to {high:.1f})"
    if low <= 1 <= high:
        ratio += ", no difference"
    ms = [1000 * statistics.median(s) for s in (c.ours, c.theirs)]
    floor = "" if c.floor is None else f"{c.floor:g}" + ("" if c.met else ", not reached")
    bound = ""
    if c.least:
        least = 1000 * statistics.median(c.least)
        bound = f"{c.bound}: {least:.1f}, ours {ms[0] / least:.1f} ×"
    return f"| {c.work} | {ms[0]:.1f} | {c.peer} | {ms[1]:.1f} | {ratio} | {floor} | {bound} |"


def heading(quick: bool) -> str:
    return f"""# Benchmarks

Medians of seven runs (three where one takes over {LONG:g} s), ours and the peer's in turn in one
process, after results were found equal where they can be. The ratio says how many times longer the
peer takes; in brackets its smallest and largest value. The bound is timed beside them. Written by
`make bench`{" ARGS=--quick, with smaller sizes" if quick else ""}; plots are in `build/bench`.
"""
