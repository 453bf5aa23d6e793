"""Two-dimensional work with fastai: so far, the import of torchvision that fastai stands on, and
a split of slices that keeps patients whole."""

from __future__ import annotations

import importlib
import random
import sys
from collections.abc import Iterable
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


Slice = tuple[str, int]
"""Patient, number of the slice."""


def split_by_patient(
    slices: Iterable[Slice], share: float, seed: int
) -> tuple[list[Slice], list[Slice]]:
    """Training and validation slices, with every patient whole in one of the two.

    slices: pairs of a patient's name and a slice. share: of the *patients*, rounded, for
    validation: at least one of them. Both lists keep the order of `slices`. The same patients,
    share and seed give the same split, in any order and any process.

    >>> slices = [(patient, z) for patient in "abc" for z in (0, 1)]
    >>> split_by_patient(slices, share=0.3, seed=0)
    ([('a', 0), ('a', 1), ('c', 0), ('c', 1)], [('b', 0), ('b', 1)])
    """
    slices = list(slices)
    patients = sorted({patient for patient, _ in slices})
    n = max(round(share * len(patients)), 1)
    kept = set(random.Random(seed).sample(patients, n))
    training = [one for one in slices if one[0] not in kept]
    return training, [one for one in slices if one[0] in kept]


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
