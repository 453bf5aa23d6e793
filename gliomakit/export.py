"""A trained network in forms that others read: ONNX, and PyTorch's own exported program.

Each file is run at once, on numbers that the network has not seen, beside the original: what
differs by more than `CLOSE` is not written.
"""

from __future__ import annotations

import json
import os
import warnings
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch

from .errors import GliomakitError
from .model import Model

CLOSE = 1e-4
"""The largest difference of a logit that is taken for rounding."""

SETTINGS = "gliomakit"
"""The entry of an ONNX file's properties that says how the network is to be used, in JSON."""

OPSET = 20


def to_onnx(model: Model, path: str | Path) -> float:
    """Write a network as ONNX: one file, windows of the network's own size, any number at once.

    Returns the largest difference of a logit from the original's, run with ONNX Runtime. Raises
    `GliomakitError` if it is more than `CLOSE`, or a package is missing.
    """
    try:
        import onnx
        import onnxruntime
        import onnxscript  # noqa: F401
    except ImportError as error:
        todo = "pip install onnx onnxscript onnxruntime"
        raise GliomakitError(f"{error.name} is not installed", todo=todo) from error
    network, window = model.network.cpu().eval(), _window(model)

    def write(place: Path) -> Callable[[np.ndarray], np.ndarray]:
        batch = torch.export.Dim.AUTO
        program = torch.onnx.export(
            network, (window,), dynamo=True, opset_version=OPSET, external_data=False,
            dynamic_shapes=({0: batch},), input_names=["image"], output_names=["logits"],
            verbose=False,
        )  # fmt: skip
        program.save(str(place), external_data=False)
        made = onnx.load(place)
        onnx.helper.set_model_props(made, {SETTINGS: json.dumps(asdict(model.settings))})
        onnx.save(made, place)
        session = onnxruntime.InferenceSession(str(place), providers=["CPUExecutionProvider"])
        return lambda image: session.run(None, {"image": image})[0]

    return _checked(model, Path(path), write)


def to_torch(model: Model, path: str | Path) -> float:
    """Write a network as `torch.export`'s program (.pt2), which runs without this package.

    Returns and raises as `to_onnx`.
    """
    network, window = model.network.cpu().eval(), _window(model)

    def write(place: Path) -> Callable[[np.ndarray], np.ndarray]:
        batch = torch.export.Dim.AUTO
        program = torch.export.export(network, (window,), dynamic_shapes=({0: batch},))
        torch.export.save(program, place)
        again = torch.export.load(place).module()
        return lambda image: again(torch.from_numpy(image)).detach().numpy()

    return _checked(model, Path(path), write)


def _window(model: Model) -> torch.Tensor:
    sides = model.settings.window or model.settings.patch
    # Two at once: of a batch of one the exporter would take the 1 for a constant.
    return torch.zeros(2, len(model.settings.sequences), *sides)


@torch.no_grad()
def _checked(
    model: Model, path: Path, write: Callable[[Path], Callable[[np.ndarray], np.ndarray]]
) -> float:
    """Write beside the place, compare, rename."""
    parent = path.absolute().parent
    with TemporaryDirectory(dir=parent, prefix=".export") as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # PyTorch's own, of its own parts
        place = Path(folder) / path.name
        run = write(place)
        worst = 0.0
        for batch in (1, 2):
            draw = np.random.default_rng(batch)
            image = draw.standard_normal((batch, *_window(model).shape[1:])).astype(np.float32)
            wanted = model.network(torch.from_numpy(image)).numpy()
            worst = max(worst, float(np.abs(run(image) - wanted).max()))
        if not worst <= CLOSE:
            raise GliomakitError(
                f"the exported network differs from the original by {worst:.2g}", where=path
            )
        os.replace(place, path)
    return worst
