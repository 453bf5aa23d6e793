"""The networks that come with the package. What they are and are not fit for is in `CARD.md`."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path

from ..errors import GliomakitError
from ..model import Model, load_model

SHIPPED = Path(str(files(__package__) / "phantom.safetensors"))
"""Trained on phantoms alone: WT, TC and ET."""


def load(path: str | Path | None = None) -> Model:
    """The model in a weights file; None takes the one that comes with the package.

    Raises `GliomakitError` if there is no such file or it is none of ours.
    """
    if path is None and not SHIPPED.is_file():
        raise GliomakitError(
            "this copy of gliomakit has no weights",
            where=SHIPPED.name,
            todo="`make weights` trains them in a checkout, or name a file with --weights",
        )
    return load_model(SHIPPED if path is None else path)
