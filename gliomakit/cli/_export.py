"""`gliomakit export`: a trained network for other programs."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from ._common import check_writable, say


class Form(StrEnum):
    """What can be written."""

    onnx = "onnx"
    torch = "torch"


def export(
    weights: Annotated[
        Path | None,
        typer.Argument(metavar="WEIGHTS", help="A trained network (default: the shipped one)."),
    ] = None,
    to: Annotated[Form, typer.Option(help="ONNX, or a program of torch.export.")] = Form.onnx,
    out: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Default: NAME.onnx or NAME.pt2, here.")
    ] = None,
) -> None:
    """Write a trained network for other programs, checked against the original.

    Prints the largest difference of a logit; a file that differs by more than 1e-4 is not written.
    """
    from ..export import to_onnx, to_torch
    from ..weights import load

    model = load(weights)
    write, end = (to_onnx, ".onnx") if to is Form.onnx else (to_torch, ".pt2")
    out = out or Path(f"{model.source.stem}{end}")
    check_writable(out.absolute().parent)
    difference = write(model, out)
    say(f"{out}: differs from the original by at most {difference:.1e}")
