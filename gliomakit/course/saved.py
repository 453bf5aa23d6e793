"""Results that take too long for a lesson: small files, made by a command and kept."""

from __future__ import annotations

import json
from pathlib import Path

from ..errors import GliomakitError
from ..paths import checkout


def saved(name: str) -> dict[str, object]:
    """What `notebooks/saved/NAME.json` holds, in a checkout as in an installed wheel.

    Raises `GliomakitError` if there is no such file.

    >>> saved("05_losses")["about"]["command"]
    'make loss-runs'
    """
    return json.loads(saved_file(f"{name}.json").read_text(encoding="utf-8"))


def saved_file(name: str) -> Path:
    """Where `notebooks/saved/NAME` lies, in a checkout as in an installed wheel.

    Raises `GliomakitError` if there is no such file.

    >>> saved_file("05_losses.json").name
    '05_losses.json'
    """
    root = checkout()
    folder = root / "notebooks" if root else Path(__file__).resolve().parents[1] / "_data"
    path = folder / "saved" / name
    if not path.is_file():
        raise GliomakitError(
            "is not among the lessons' saved results", where=name, todo="install gliomakit again"
        )
    return path
