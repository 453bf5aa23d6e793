"""The import of torchvision, which fastai stands on, also beside a PyTorch of another build."""

from __future__ import annotations

import importlib
import sys
from types import ModuleType

import torch

from .errors import GliomakitError

_SCHEMAS = (
    "nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
    "qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
)
"""The operators that torchvision's Python code names while it is imported."""

_declared: list[torch.library.Library] = []
"""Keeps the declaration alive: PyTorch forgets the operators when the object is collected."""


def import_torchvision() -> ModuleType:
    """`import torchvision`, also where PyTorch is a CPU build and torchvision a CUDA build.

    Such a pair is what pip installs where only PyTorch has a CPU wheel. torchvision then cannot
    load its compiled operators and stops at ``operator torchvision::nms does not exist``. Declaring
    the two operators that it asks for mends the import: networks, transforms and fastai work, box
    operators (which segmentation has no use for) stay without code and say so when called. Where
    the plain import works, nothing else is done.

    Raises `GliomakitError` if torchvision is missing or fails in another way.

    >>> import_torchvision().__name__
    'torchvision'
    """
    try:
        return importlib.import_module("torchvision")
    except ModuleNotFoundError as error:
        raise GliomakitError(
            f"there is no {error.name}", todo='pip install "gliomakit[lessons]"'
        ) from error
    except RuntimeError as error:
        if "torchvision::" not in str(error):
            raise
        first = error
    _drop_half_imported()
    try:
        _declare()
        return importlib.import_module("torchvision")
    except (RuntimeError, ImportError, AttributeError) as error:
        raise GliomakitError(
            f"torchvision does not fit this PyTorch ({first})",
            todo="install a pair that belongs together: see constraints.txt",
        ) from error


def mended() -> bool:
    """Was torchvision's import mended in this process?"""
    return bool(_declared)


def _drop_half_imported() -> None:
    # A failed import leaves submodules behind that a second one would take for finished.
    for name in [n for n in sys.modules if n == "torchvision" or n.startswith("torchvision.")]:
        del sys.modules[name]


def _declare() -> None:
    if not _declared:
        library = torch.library.Library("torchvision", "DEF")
        for schema in _SCHEMAS:
            library.define(schema)
        _declared.append(library)
