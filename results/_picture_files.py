"""Pictures for the tree: PNG files that stay small."""

from __future__ import annotations

from pathlib import Path

from gliomakit._picture import Picture


def small(figure: Picture, path: Path, most: int, finest: int = 100) -> Path:
    """Write a PNG of at most so many bytes: with as many dots an inch as that allows."""
    for dpi in range(finest, 30, -5):
        packed = figure.png(dpi)
        if len(packed) <= most:
            break
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(packed)
    return path
