"""A network together with all that is needed to use it, as one safetensors file.

safetensors holds numbers and a table of names, nothing that could run when it is loaded; what the
numbers mean is JSON in the same file. Files of any other kind are refused, never unpickled.
"""

from __future__ import annotations

import json
import os
import secrets
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field, fields
from math import inf
from pathlib import Path
from typing import Literal

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, nn

from .errors import GliomakitError
from .regions import REGIONS, SEQUENCES
from .unet import LightUNet3d, UNet3d

FORMAT = 1
"""Raised when an older gliomakit could not use a newer file rightly."""

NETWORKS: dict[str, type[nn.Module]] = {"UNet3d": UNet3d, "LightUNet3d": LightUNet3d}
"""Networks that a file may name. Each has `config`, the arguments that make it again."""

_KEY = "gliomakit"
_LARGEST = 1024  # of any whole number in a network's config: more is a damaged or hostile file


@dataclass(frozen=True)
class Settings:
    """How a network is to be used.

    output:     "regions": one sigmoid a region; "classes": softmax over background and a class for
                each region, the innermost that a voxel belongs to (with ``regions=("wt",)`` that
                is the first paper's tumour against background).
    regions:    what the network finds, in the order of `regions.REGIONS`.
    sequences:  what it looks at, in the order of `regions.SEQUENCES`.
    spacing:    mm of the voxels it was trained on; None takes a case's own.
    clip:       percentiles at which `prepare` clips; None does not.
    patch:      voxels of a training patch.
    window:     voxels of a window in use; None is the patch. Larger windows overlap less, so they
                are faster, as long as the network bears them.
    mirror:     axes ("x", "xy", …) along which a case is flipped in use, and the probabilities
                averaged; "" for none.
    threshold:  probability from which on a voxel is in a region; one, or three (WT, TC, ET).
    min_wt_ml:  pieces of the whole tumour smaller than this many mL are dropped; 0 keeps all.
    min_wt_share: so are those smaller than this share of the largest piece.
    min_et_ml:  enhancing tumour of less than this in all is taken for core; 0 keeps all.
    subset_dice: for each subset of sequences ("flair+t1ce") the mean Dice of WT, TC and ET that was
                measured on phantoms kept out of training; empty if nobody measured.
    trained_on, note: words for the reader.

    Raises `GliomakitError` for anything that makes no sense.

    >>> Settings().channels, Settings(output="classes", regions=("wt",)).channels
    (3, 2)
    """

    output: Literal["regions", "classes"] = "regions"
    regions: tuple[str, ...] = REGIONS
    sequences: tuple[str, ...] = SEQUENCES
    spacing: tuple[float, float, float] | None = (2.0, 2.0, 2.0)
    clip: tuple[float, float] | None = (0.5, 99.5)
    patch: tuple[int, int, int] = (64, 64, 64)
    window: tuple[int, int, int] | None = None
    mirror: str = ""
    threshold: float | tuple[float, float, float] = 0.5
    min_wt_ml: float = 0.0
    min_et_ml: float = 0.0
    min_wt_share: float = 0.0
    subset_dice: dict[str, tuple[float, float, float]] = field(default_factory=dict)
    trained_on: str = ""
    note: str = ""

    def __post_init__(self) -> None:
        tuples = ("regions", "sequences", "spacing", "clip", "patch", "window", "threshold")
        for name in tuples:
            value = getattr(self, name)
            if isinstance(value, list):  # JSON has no tuples
                object.__setattr__(self, name, tuple(value))
        for name, fits in self._rules().items():
            if not fits:
                raise GliomakitError(f"a network's {name} cannot be {getattr(self, name)!r}")

    def _rules(self) -> dict[str, bool]:
        """Which settings make sense."""
        return {
            "output": self.output in ("regions", "classes"),
            "regions": _among(self.regions, REGIONS),
            "sequences": _among(self.sequences, SEQUENCES),
            "spacing": self.spacing is None or _numbers(self.spacing, 3, 1e-3, 100),
            "clip": self.clip is None
            or (_numbers(self.clip, 2, 0, 100) and self.clip[0] < self.clip[1]),
            "patch": _numbers(self.patch, 3, 1, _LARGEST, int),
            "window": self.window is None or _numbers(self.window, 3, 1, _LARGEST, int),
            "mirror": self.mirror in ("", "x", "y", "z", "xy", "xz", "yz", "xyz"),
            "threshold": _numbers([self.threshold], 1, 1e-6, 1)
            or _numbers(self.threshold, len(REGIONS), 1e-6, 1),
            "min_wt_ml": _numbers([self.min_wt_ml], 1, 0, inf),
            "min_et_ml": _numbers([self.min_et_ml], 1, 0, inf),
            "min_wt_share": _numbers([self.min_wt_share], 1, 0, 1),
            "subset_dice": isinstance(self.subset_dice, dict)
            and all(
                _among(tuple(name.split("+")), SEQUENCES) and _numbers(dice, len(REGIONS), 0, 1)
                for name, dice in self.subset_dice.items()
            ),
            "trained_on": isinstance(self.trained_on, str),
            "note": isinstance(self.note, str),
        }

    @property
    def channels(self) -> int:
        """How many numbers a voxel the network gives."""
        return len(self.regions) + (self.output == "classes")

    def weak(self, present: Sequence[str], below: float = 0.6) -> dict[str, float]:
        """Regions that are found badly with these sequences, and their mean Dice on phantoms.

        >>> Settings(subset_dice={"t1": (0.5, 0.7, 0.1)}).weak(["t1"])
        {'wt': 0.5, 'et': 0.1}
        """
        name = "+".join(s for s in self.sequences if s in present)
        found = zip(REGIONS, self.subset_dice.get(name, ()))
        return {r: dice for r, dice in found if r in self.regions and dice < below}

    @property
    def activation(self) -> Literal["sigmoid", "softmax"]:
        """What makes probabilities of the network's logits."""
        return "softmax" if self.output == "classes" else "sigmoid"


@dataclass(eq=False)
class Model:
    """A network and how to use it. source: the file that it came from."""

    network: nn.Module = field(repr=False)
    settings: Settings
    source: Path | None = None

    def __post_init__(self) -> None:
        config = getattr(self.network, "config", {})
        wanted = {"in_channels": len(self.settings.sequences)}
        wanted["out_channels"] = self.settings.channels
        for name, number in wanted.items():
            if config.get(name, number) != number:
                raise GliomakitError(
                    f"the network has {config[name]} {name}, its settings ask for {number}"
                )


def save_model(
    model: Model, path: str | Path, dtype: torch.dtype | Literal["fp32", "fp16"] = "fp32"
) -> Path:
    """Write a model as one safetensors file; complete or not at all.

    dtype: "fp16" halves the file (weights are fp32 again after loading, with four digits left).
    Returns the path. Raises `GliomakitError` if the network is none of `NETWORKS`, a weight is no
    number or does not fit fp16, or the file cannot be written.
    """
    path = Path(path)
    kind = type(model.network).__name__
    if NETWORKS.get(kind) is not type(model.network):
        raise GliomakitError(
            f"a {kind} cannot be saved", where=path, todo=f"known are {', '.join(NETWORKS)}"
        )
    half = dtype in ("fp16", torch.float16)
    tensors = {}
    for name, tensor in model.network.state_dict().items():
        tensor = tensor.detach().cpu()
        if tensor.is_floating_point():
            tensor = tensor.to(torch.float16 if half else torch.float32)
            if not tensor.isfinite().all():
                raise GliomakitError(
                    f"{name} holds numbers that are infinite or none"
                    + (" in fp16" if half else ""),
                    where=path,
                )
        tensors[name] = tensor.contiguous()
    about = {
        "format": FORMAT,
        "network": kind,
        "config": model.network.config,
        "settings": asdict(model.settings),
    }
    _write(path, save(tensors, metadata={_KEY: json.dumps(about)}))
    return path


def load_model(path: str | Path) -> Model:
    """Read a model from a file of `save_model`: on the CPU, fp32, ready for use (`eval`).

    Raises `GliomakitError` for a file that is missing, cut off, of another kind, of a newer
    gliomakit, or whose weights do not fit the network that it names.
    """
    path = Path(path)
    if not path.is_file():
        raise GliomakitError("there is no such weights file", where=path)
    try:
        with safe_open(path, framework="pt", device="cpu") as file:
            # What the file says of itself is checked before any weight is read.
            network, settings = _describe((file.metadata() or {}).get(_KEY), path)
            expected = network.state_dict()
            _check_shapes({n: tuple(file.get_slice(n).get_shape()) for n in file.keys()}, expected)
            weights = {
                # A copy: the file may be replaced while the network lives.
                name: file.get_tensor(name).to(tensor.dtype, copy=True)
                for name, tensor in expected.items()
            }
    except (SafetensorError, OSError, ValueError) as error:
        raise GliomakitError(
            f"is no weights file of gliomakit, or was cut off ({str(error)[:200]})",
            where=path,
            todo="weights are safetensors files that `gliomakit train` writes",
        ) from error
    for name, tensor in weights.items():
        if not tensor.isfinite().all():
            raise GliomakitError(f"{name} holds numbers that are infinite or none", where=path)
    network.load_state_dict(weights, assign=True)
    return Model(network.eval(), settings, path)


def _describe(text: str | None, path: Path) -> tuple[nn.Module, Settings]:
    """The network (without memory for weights) and its settings, from a file's own description."""
    if text is None:
        raise ValueError("nothing in it is addressed to gliomakit")
    try:
        about = json.loads(text)
        version = about["format"]
        if isinstance(version, int) and version > FORMAT:
            raise GliomakitError(
                f"was written by a newer gliomakit (format {version}, known is {FORMAT})",
                where=path,
                todo="update gliomakit",
            )
        kind, config, told = about["network"], about["config"], about["settings"]
        if version != FORMAT or kind not in NETWORKS:
            raise ValueError(f"format {version!r}, network {kind!r}")
        unknown = set(told) - {f.name for f in fields(Settings)}
        if unknown:
            raise ValueError(f"settings {', '.join(sorted(unknown))}")
        settings = Settings(**told)
        for name, value in config.items():
            if not (isinstance(value, bool | str) or _numbers([value], 1, 0, _LARGEST, int)):
                raise ValueError(f"{name} of {value!r}")
        with torch.device("meta"):
            network = NETWORKS[kind](**config)
        Model(network, settings)  # do the two fit each other?
    except (KeyError, TypeError, AttributeError, RecursionError) as error:
        raise ValueError(f"its description is damaged: {error}") from error
    except GliomakitError as error:
        if error.where is not None:
            raise
        raise ValueError(str(error)) from error
    return network, settings


def _check_shapes(found: dict[str, tuple[int, ...]], expected: dict[str, Tensor]) -> None:
    for name in found.keys() | expected.keys():
        wanted = tuple(expected[name].shape) if name in expected else None
        if found.get(name) != wanted:
            raise ValueError(f"{name} is {found.get(name)}, the network needs {wanted}")


def _write(path: Path, content: bytes) -> None:
    temporary = path.with_name(f".{path.name}.{os.getpid()}-{secrets.token_hex(4)}")
    try:
        with open(temporary, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except OSError as error:
        raise GliomakitError(
            f"cannot be written ({error.strerror or error})", where=path
        ) from error
    finally:
        with suppress(OSError):
            temporary.unlink()


def _among(names: object, known: Sequence[str]) -> bool:
    """Whether `names` are some of the known ones, in their order."""
    return bool(names) and names == tuple(name for name in known if name in names)


def _numbers(values: object, n: int, low: float, high: float, kind: type = float) -> bool:
    """Whether `values` are n numbers from `low` to `high`."""
    kinds = (int,) if kind is int else (int, float)
    return (
        isinstance(values, list | tuple)
        and len(values) == n
        and all(type(v) in kinds and low <= v <= high for v in values)
    )
