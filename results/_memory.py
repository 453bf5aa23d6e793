"""How much memory this process holds, and held at most since somebody last asked (Linux)."""

from __future__ import annotations

from pathlib import Path

STATUS, CLEAR = Path("/proc/self/status"), Path("/proc/self/clear_refs")


def memory_now() -> float:
    """MB that the process holds; the peak starts anew from here."""
    CLEAR.write_text("5")  # resets VmHWM: see proc(5)
    return _mb("VmRSS")


def memory_peak() -> float:
    """The most MB that it held since `memory_now`."""
    return _mb("VmHWM")


def _mb(what: str) -> float:
    line = next(s for s in STATUS.read_text().splitlines() if s.startswith(what))
    return int(line.split()[1]) / 1024
