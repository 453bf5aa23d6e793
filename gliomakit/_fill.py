"""The voxels of a batch: cut out of volumes, turned and flipped, in one of three ways.

    "plain"   torch, one step after the other, easy to read: what the other two are tested against
    "views"   for processors: the window in the volume is copied into a view of the batch that lies
              as the volume does; only what is reversed is copied twice
    "triton"  for GPUs: one launch for the whole batch (`_kernels`)

All three write the same bits.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from typing import Protocol

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from .device import sent
from .errors import GliomakitError

STORED = {"float32": torch.float32, "float16": torch.float16, "int16": torch.int16}
"""What a volume's numbers can be kept as."""

INT16 = 32767
"""The largest number that int16 is given."""


Volumes = Mapping[int, "Stored"] | Sequence["Stored"]


class Turns(Protocol):
    """What is asked of a `patches.Plan`."""

    case: np.ndarray
    origin: np.ndarray
    turns: np.ndarray
    flip: np.ndarray


@dataclass(frozen=True)
class Stored:
    """A volume from which patches are cut, all on one device.

    image: (c, x, y, z) float32, float16 or int16, of any strides; label: (x, y, z) uint8, or None;
    scale: (c,) float32, what int16 is multiplied by; None for the others. "views" takes NumPy's
    arrays too, also memory-mapped ones.
    """

    image: Tensor | np.ndarray
    label: Tensor | np.ndarray | None
    scale: Tensor | None = None

    @cached_property
    def tensors(self) -> tuple[Tensor, Tensor | None]:
        """Image and label as PyTorch sees them; nothing is copied."""
        with warnings.catch_warnings():  # of arrays that must not be written: nobody does
            warnings.simplefilter("ignore", UserWarning)
            both = self.image, self.label
            return tuple(None if a is None else torch.as_tensor(a) for a in both)

    @cached_property
    def row(self) -> np.ndarray:
        """What the kernel's table says of it: addresses of image and label, four and three
        strides, the shape, the scale's address."""
        x, y, scale = self.image, self.label, self.scale
        of_label = (0, 0, 0, 0) if y is None else (y.data_ptr(), *y.stride())
        last = 0 if scale is None else scale.data_ptr()
        return np.array([x.data_ptr(), of_label[0], *x.stride(), *of_label[1:], *x.shape[1:], last])


def store(
    image: np.ndarray | Tensor,
    label: np.ndarray | Tensor | None,
    kind: str = "float32",
    device: str | torch.device = "cpu",
) -> Stored:
    """Put a prepared case on a device, in half the memory if `kind` is "float16" or "int16".

    float16 has a relative error of up to 2⁻¹¹; what is smaller than 2⁻²⁵ becomes 0, what is beyond
    65,504 infinite. int16 has one scale a sequence, its largest magnitude / 32,767, and an error of
    up to half of it; what would be rounded to 0 becomes ±1, because exact zeros mean "no brain".
    Of a z-scored sequence within ±6 that is an error of .0001, float16's is .002.

    >>> kept = store(np.array([-3.0, 0, 1e-9, 6]).reshape(1, 4, 1, 1), None, "int16")
    >>> kept.image.flatten().tolist()
    [-16384, 0, 1, 32767]
    """
    if kind not in STORED:
        raise GliomakitError(
            f"volumes are not kept as {kind!r}", todo=f"known are {', '.join(STORED)}"
        )
    x = torch.as_tensor(_owned(image), device=device)
    y = None if label is None else torch.as_tensor(_owned(label), device=device)
    if kind != "int16":
        return Stored(x.to(STORED[kind]), y)
    scale = x.abs().amax((1, 2, 3)).float().clamp(min=torch.finfo(torch.float32).tiny) / INT16
    numbers = (x / scale[:, None, None, None]).round().clamp(-INT16, INT16)
    numbers = torch.where((numbers == 0) & (x != 0), x.sign(), numbers)
    return Stored(numbers.to(torch.int16), y, scale)


def fill(image: Tensor, code: Tensor, volumes: Volumes, plan: Turns, way: str) -> None:
    """Write a planned batch.

    image: (n, c, x, y, z) float32 of any strides; code: (n, x, y, z) uint8, contiguous; volumes:
    by the plan's case, all of one type; way: see the module. Outside a volume is 0, and so is the
    code of a volume without label.
    """
    WAYS[way](image, code, volumes, plan)


def pick_way(device: torch.device) -> str:
    """The fastest way that works there; a warning says once why a GPU does without Triton."""
    if device.type == "cpu":
        return "views"
    fault = triton_fault(device.type)
    if fault is None:
        return "triton"
    warnings.warn(f"patches are cut without Triton, slower: {fault}", stacklevel=3)
    return "plain"


@cache
def triton_fault(kind: str) -> str | None:
    """Why the kernel cannot be used; None if it can."""
    if kind != "cuda":
        return f"it has no kernels for {kind}"
    try:
        from ._drawing import trial

        return None if trial(torch.device(kind)) else "its first kernels gave wrong numbers"
    except ImportError:
        return "it is not installed (pip install triton)"
    except Exception as error:  # no compiler, an old GPU, another version: many names, one outcome
        return str(error).strip().partition("\n")[0] or type(error).__name__


def _plain(image: Tensor, code: Tensor, volumes: Volumes, plan: Turns) -> None:
    size = image.shape[2:]
    for i, index in enumerate(plan.case):
        volume = volumes[index]
        patch = _patch(volume.image, plan.origin[i], size, plan.turns[i], plan.flip[i]).float()
        if volume.scale is not None:
            patch = patch * volume.scale[:, None, None, None]
        image[i] = patch
        code[i] = 0
        if volume.label is not None:
            code[i] = _patch(volume.label, plan.origin[i], size, plan.turns[i], plan.flip[i])


def _patch(
    volume: Tensor, origin: Sequence[int], size: Sequence[int], turns: int, flip: Sequence[bool]
) -> Tensor:
    """What a patch is: cut, with zeros around; turned in the x–y plane; flipped."""
    ends = [(int(o), int(o) + s, n) for o, s, n in zip(origin, size, volume.shape[-3:])]
    inside = volume[(..., *(slice(max(a, 0), max(min(b, n), 0)) for a, b, n in ends))]
    # The last axis comes first in PyTorch's list.
    border = [min(m, b - a) for a, b, n in reversed(ends) for m in (max(-a, 0), max(b - n, 0))]
    patch = F.pad(inside, border) if any(border) else inside
    patch = torch.rot90(patch, int(turns), (-3, -2))
    return patch.flip([axis - 3 for axis in range(3) if flip[axis]])


def _views(image: Tensor, code: Tensor, volumes: Volumes, plan: Turns) -> None:
    swap, reverse = _exchange(plan.turns, plan.flip)
    for i, index in enumerate(plan.case):
        volume = volumes[index]
        of_image, of_label = volume.tensors
        turned = plan.origin[i].tolist(), bool(swap[i]), reverse[i].tolist()
        _copy(image[i], of_image, *turned)
        if volume.scale is not None:
            image[i] *= volume.scale[:, None, None, None]
        if of_label is None:
            code[i] = 0
        else:
            _copy(code[i], of_label, *turned)


def _triton(image: Tensor, code: Tensor, volumes: Volumes, plan: Turns) -> None:
    from . import _kernels

    _kernels.fill(image, code, *described(volumes, plan, image.device))


def described(
    volumes: Volumes, plan: Turns, device: torch.device
) -> tuple[Tensor, torch.dtype, bool]:
    """What the kernel is told of a batch: its table, the volumes' type, whether they are scaled."""
    chosen = [volumes[index] for index in plan.case]
    swap, reverse = _exchange(plan.turns, plan.flip)
    table = np.column_stack([[v.row for v in chosen], plan.origin, swap, reverse])
    return sent(table, device), chosen[0].image.dtype, chosen[0].scale is not None


WAYS: dict[str, Callable[[Tensor, Tensor, Volumes, Turns], None]] = {
    "plain": _plain,
    "views": _views,
    "triton": _triton,
}


def _exchange(turns: np.ndarray | int, flip: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Of each patch: whether x and y are exchanged, and (…, 3) which axes are reversed then."""
    turns, reverse = np.asarray(turns), flip.copy()
    # A quarter turn is an exchange of axes and then one reversed axis; a half turn reverses two.
    reverse[..., 0] ^= (turns == 1) | (turns == 2)
    reverse[..., 1] ^= (turns == 2) | (turns == 3)
    return turns % 2 == 1, reverse


def _copy(
    out: Tensor, volume: Tensor, origin: Sequence[int], swap: bool, reverse: Sequence[bool]
) -> None:
    """Copy the window at `origin` into `out` (…, x, y, z), turned and flipped."""
    # The same memory, seen the way the volume lies: what is written there comes out turned.
    seen, back = (
        (out.transpose(-3, -2), (reverse[1], reverse[0], reverse[2])) if swap else (out, reverse)
    )
    inside = (slice(max(o, 0), max(o + side, 0)) for o, side in zip(origin, seen.shape[-3:]))
    window = volume[(..., *inside)]
    axes = [axis - 3 for axis in range(3) if back[axis]]
    if window.shape != seen.shape:
        seen.zero_()
        part = zip(origin, window.shape[-3:], seen.shape[-3:], back)
        seen = seen[(..., *(_place(*axis) for axis in part))]
    seen.copy_(window.flip(axes) if axes else window)


def _place(start: int, length: int, side: int, flipped: bool) -> slice:
    """Where along an axis of a patch the part lies that is inside the volume."""
    first = max(-start, 0)
    return slice(side - first - length, side - first) if flipped else slice(first, first + length)


def _owned(array: np.ndarray | Tensor) -> np.ndarray | Tensor:
    """An array that torch takes without a warning: a read-only memory map is read."""
    readable = isinstance(array, Tensor) or array.flags.writeable
    return array if readable else np.array(array)
