"""A training run's state on disk: one safetensors file, replaced in one step, never a pickle.

The file holds tensors by name, and in its header one JSON text: whatever else is needed to go on.
It is written beside its place, flushed to the disk and renamed, so that a process killed at any
moment leaves the old checkpoint or the new one, whole.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from .errors import GliomakitError
from .preprocess import Prepared

NAME = "checkpoint.safetensors"
"""The file in the folder of a run."""

KEY = "gliomakit-checkpoint"
"""The header's entry that holds the JSON."""

Facts = dict[str, object]


def folder(out: Path, resume: bool) -> Path:
    """The folder, made if need be, after a file could be written in it."""
    try:
        out.mkdir(parents=True, exist_ok=True)
        probe = out / (NAME + ".part")
        probe.write_bytes(b"")
        probe.unlink()
    except OSError as error:
        raise GliomakitError(
            f"the folder for the run cannot be written ({error.strerror or error})", where=out
        ) from error
    if not resume and (out / NAME).exists():
        raise GliomakitError(
            "the folder holds a training run already",
            where=out,
            todo="take it up again with --resume, or name another folder",
        )
    return out


def write(path: Path, tensors: Mapping[str, torch.Tensor], facts: Facts) -> None:
    """Write tensors (any device and layout) and facts (anything JSON can say) to `path`.

    Raises `GliomakitError` if that fails, for lack of room, say; what lay at `path` is still there.
    """
    part = path.with_name(path.name + ".part")
    try:
        plain = {name: t.detach().cpu().contiguous() for name, t in tensors.items()}
        save_file(plain, part, metadata={KEY: json.dumps(facts)})
        replace(part, path)
    except (OSError, SafetensorError) as error:
        part.unlink(missing_ok=True)
        raise GliomakitError(f"the checkpoint cannot be written ({error})", where=path) from error


def replace(part: Path, path: Path) -> None:
    """Put a finished file in its place so that a power cut leaves the old one or the new one."""
    with open(part, "r+b") as file:
        os.fsync(file.fileno())
    os.replace(part, path)
    if os.name == "posix":  # the renaming itself is only safe once the folder is on the disk
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


def write_text(path: Path, text: str) -> None:
    """Write a text file as `write` does."""
    part = path.with_name(path.name + ".part")
    try:
        part.write_text(text, encoding="utf-8")
        replace(part, path)
    except OSError as error:
        part.unlink(missing_ok=True)
        raise GliomakitError(f"cannot be written ({error})", where=path) from error


def read(path: Path) -> tuple[dict[str, torch.Tensor], Facts]:
    """What `write` wrote. Raises `GliomakitError` for a file that is not a checkpoint."""
    try:
        with safe_open(path, framework="pt") as file:
            facts = json.loads((file.metadata() or {})[KEY])
            return {name: file.get_tensor(name) for name in file.keys()}, facts
    except (OSError, SafetensorError, KeyError, ValueError) as error:
        raise GliomakitError(
            "this is not a checkpoint of gliomakit, or it is damaged",
            where=path,
            todo="remove it to begin anew",
        ) from error


def fingerprint(case: Prepared) -> dict[str, str]:
    """Name and digest of a case: shape, spacing, sequences, the middle plane of image and label.
    Enough to notice other data or another preparation without reading every voxel."""
    digest = hashlib.blake2b(digest_size=12)
    digest.update(repr((case.image.shape, tuple(case.spacing), tuple(case.present))).encode())
    middle = case.image.shape[1] // 2
    for array in (case.image[:, middle], case.regions[middle]):
        digest.update(np.ascontiguousarray(array).tobytes())
    return {"name": case.name, "digest": digest.hexdigest()}


def differences(saved: Facts, now: Facts) -> list[str]:
    """What differs between the settings of two runs, in words.

    >>> differences({"rate": 0.1, "seed": 1}, {"rate": 0.2, "seed": 1})
    ['rate was 0.1, is 0.2']
    """
    now = json.loads(json.dumps(now))
    names = [*saved, *(name for name in now if name not in saved)]
    return [
        f"{name} was {json.dumps(saved.get(name))}, is {json.dumps(now.get(name))}"
        for name in names
        if saved.get(name) != now.get(name)
    ]


def case_differences(
    kind: str, saved: Sequence[Mapping[str, str]], now: Sequence[Mapping[str, str]]
) -> list[str]:
    """What differs between the cases of two runs, in words; `kind` names the list of cases.

    >>> case_differences("training", [{"name": "a", "digest": "1"}], [{"name": "a", "digest": "2"}])
    ['training case a has other voxels or another preparation']
    """
    if len(saved) != len(now):
        return [f"there were {len(saved)} {kind} cases, there are {len(now)}"]
    for then, here in zip(saved, now, strict=True):
        if then["name"] != here["name"]:
            return [f"{kind} case {then['name']} is {here['name']} now"]
        if then["digest"] != here["digest"]:
            return [f"{kind} case {here['name']} has other voxels or another preparation"]
    return []


def state(
    network: torch.nn.Module, average: torch.nn.Module, optimiser: torch.optim.Optimizer
) -> dict[str, torch.Tensor]:
    """Weights, averaged weights and the optimiser's moments (Adam's) as tensors by name."""
    tensors = {f"network.{name}": t for name, t in network.state_dict().items()}
    if average is not network:
        tensors |= {f"average.{name}": t for name, t in average.state_dict().items()}
    for name, parameter in network.named_parameters():
        moments = optimiser.state.get(parameter, {})
        tensors |= {f"{key}.{name}": value for key, value in moments.items()}
    return tensors


def take_up(
    tensors: Mapping[str, torch.Tensor],
    network: torch.nn.Module,
    average: torch.nn.Module,
    optimiser: torch.optim.Optimizer,
) -> None:
    """Put what `state` gave back where it was."""
    for prefix, module in (("network.", network), ("average.", average)):
        names = [name for name in tensors if name.startswith(prefix)]
        if module is network and prefix == "average.":
            continue
        module.load_state_dict({name.removeprefix(prefix): tensors[name] for name in names})
    for name, parameter in network.named_parameters():
        for key in ("step", "exp_avg", "exp_avg_sq"):
            value = tensors.get(f"{key}.{name}")
            if value is None:
                continue
            value = value.to(parameter.device)
            if value.shape == parameter.shape:
                # In the parameter's memory order: the fused optimiser walks through both at once.
                value = torch.empty_like(parameter, requires_grad=False).copy_(value)
            optimiser.state[parameter][key] = value
