"""Results that take too long for a lesson: small JSON files, made by a command and kept."""

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
    root = checkout()
    folder = root / "notebooks" if root else Path(__file__).resolve().parents[1] / "_data"
    path = folder / "saved" / f"{name}.json"
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except OSError:
        raise GliomakitError(
            "is not among the lessons' saved results", where=name, todo="install gliomakit again"
        ) from None
