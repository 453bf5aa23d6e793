"""Runs as TensorBoard reads them."""

from __future__ import annotations

import io
import shutil
from pathlib import Path

import numpy as np

from ..errors import GliomakitError
from .reader import Record, read_runs


def to_tensorboard(folder: str | Path, out: str | Path | None = None) -> Path:
    """Write the runs below `folder` as TensorBoard's event files; returns their folder.

    out: by default "tensorboard" in `folder`. A run that was written before is written anew; other
    files there are left alone.

    Show them with ``%tensorboard --logdir`` in a notebook. Series become scalars, series of texts
    text, pictures images; single fields stand as one text, "fields". TensorBoard knows whole steps
    only: others are rounded down. Raises `GliomakitError` if TensorBoard is not installed or the
    folder has no runs.
    """
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError as error:
        raise GliomakitError(
            "TensorBoard is not installed", todo="pip install tensorboard"
        ) from error
    records = read_runs(folder)
    if not records:
        raise GliomakitError("no run lies here", where=folder)
    out = Path(out) if out is not None else Path(folder) / "tensorboard"
    for record in records:
        place = out / _file_name(record)
        partial = out / f".{place.name}.part"
        shutil.rmtree(partial, ignore_errors=True)
        with SummaryWriter(str(partial)) as writer:
            _write(writer, record)
        shutil.rmtree(place, ignore_errors=True)
        partial.rename(place)
    return out


def _write(writer, record: Record) -> None:
    for path, series in record.series.items():
        for step, value, at in zip(series.steps, series.values, series.times, strict=True):
            add = writer.add_text if isinstance(value, str) else writer.add_scalar
            add(path, value, int(step), walltime=at)
    for path, pictures in record.images.items():
        for step, at, png in pictures:
            from PIL import Image

            pixels = np.asarray(Image.open(io.BytesIO(png)).convert("RGB"))
            writer.add_image(path, pixels, int(step), walltime=at, dataformats="HWC")
    lines = (f"    {path} = {value}" for path, value in sorted(record.fields.items()))
    writer.add_text("fields", "\n".join(lines), 0, walltime=record.created)


def _file_name(record: Record) -> str:
    """The run's name with what a file system takes, and the beginning of its id."""
    name = "".join(c if c.isalnum() or c in " -_=." else "_" for c in record.name).strip(" .")
    return f"{name[:60] or 'run'} {record.id[:8]}"
