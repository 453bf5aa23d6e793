"""gliomakit: segmentation of gliomas in MR images, small enough to read, tested enough to use.

The names below are loaded when they are first used: ``import gliomakit`` itself is cheap and
imports no PyTorch.

>>> import gliomakit
>>> gliomakit.REGIONS
('wt', 'tc', 'et')
"""

from __future__ import annotations

from importlib import import_module
from importlib.util import find_spec

__version__ = "0.1.0"

_NAMES = {
    "GliomakitError": "errors",
    "SEQUENCES": "regions",
    "REGIONS": "regions",
    "CONVENTIONS": "regions",
    "convert": "regions",
    "to_regions": "regions",
    "to_label": "regions",
    "Case": "cases",
    "find_cases": "cases",
    "loose": "cases",
    "write_label": "cases",
    "UNet3d": "unet",
    "WeightedDiceLoss": "losses",
    "evaluate_case": "metrics",
    "Model": "model",
    "load_model": "model",
    "save_model": "model",
    "prepare": "preprocess",
    "restore": "preprocess",
    "PatchSampler": "patches",
    "segment": "inference",
    "sliding_window": "inference",
    "Fit": "training",
    "fit": "training",
}
"""Public name -> the module that defines it."""

__all__ = ["__version__", *_NAMES]  # noqa: PLE0604 (names are loaded by __getattr__)


def __getattr__(name: str) -> object:
    """Load a public name, or a module of the package, on first use (PEP 562)."""
    if name in _NAMES:
        value = getattr(import_module(f".{_NAMES[name]}", __name__), name)
    elif not name.startswith("_") and find_spec(f"{__name__}.{name}"):
        value = import_module(f".{name}", __name__)
    else:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted([*globals(), *_NAMES])
