"""What a checker expects of a value, each failure a hint; and a comparison that knows mistakes."""

from __future__ import annotations

import dataclasses
import math
import sys
from collections.abc import Mapping, Sequence

import numpy as np


class Hint(Exception):
    """What a learner is told about a wrong answer: one sentence that points at the mistake."""


def number(value: object) -> float:
    """`value` as a float, or a hint why it is not one finite number."""
    _refuse_nothing(value)
    if isinstance(value, (bool, np.bool_)):
        raise Hint(f"your function returns {value}; a number is wanted")
    if _is_tensor(value):
        value = _on_cpu(value, "cpu").detach()
        if "float16" in str(value.dtype):
            raise Hint(f"your answer is {value.dtype}, which keeps too few digits; use float32")
        value = value.double().numpy() if value.dtype.is_floating_point else value.numpy()
    if isinstance(value, np.ndarray) and value.shape != ():
        raise Hint(f"your function returns an array of shape {value.shape}; one number is wanted")
    if isinstance(value, (np.ndarray, np.generic)):
        if value.dtype.kind not in "iuf":
            raise Hint(f"your answer's dtype is {value.dtype}; a real number is wanted")
        _refuse_small(value.dtype)
    elif not isinstance(value, (int, float)):
        raise Hint(f"your function returns {_kind(value)}; a number is wanted")
    try:
        result = float(value)
    except OverflowError:
        raise Hint("your answer is too large to be a number of this kind") from None
    if not math.isfinite(result):
        raise Hint(f"your answer is {result}: is something divided by zero?")
    return result


def array(value: object, shape: Sequence[int], kind: str = "f") -> np.ndarray:
    """`value` as a NumPy array of that shape, or a hint.

    kind: letters of the dtype kinds that are accepted, "f" float, "iu" whole numbers, "b" bool.
    """
    _refuse_nothing(value)
    if _is_tensor(value):
        raise Hint("your function returns a torch tensor; a NumPy array is wanted (.numpy())")
    if not isinstance(value, (np.ndarray, np.generic)):
        raise Hint(f"your function returns {_kind(value)}; a NumPy array is wanted")
    _same_shape(value.shape, shape)
    if value.dtype.kind not in kind:
        wanted = " or ".join(_DTYPE_KINDS[letter] for letter in kind if letter in _DTYPE_KINDS)
        raise Hint(f"your answer's dtype is {value.dtype}; {wanted} is wanted")
    if value.dtype.kind == "f":
        if value.dtype.itemsize < 4:
            raise Hint(f"your answer is {value.dtype}, which keeps too few digits; use float32")
        _refuse_nan(int((~np.isfinite(value)).sum()), value.size)
    return value


def tensor(value: object, shape: Sequence[int], dtype: object = None, device: str = "cpu"):
    """`value` as a torch tensor of that shape, dtype (if given) and device, or a hint."""
    _refuse_nothing(value)
    if not _is_tensor(value):
        raise Hint(f"your function returns {_kind(value)}; a torch tensor is wanted")
    _on_cpu(value, device)
    _same_shape(tuple(value.shape), shape)
    if dtype is not None and value.dtype != dtype:
        raise Hint(f"your answer's dtype is {value.dtype}; {dtype} is wanted")
    if value.dtype.is_floating_point:
        _refuse_nan(int((~value.isfinite()).sum()), value.numel())
    return value


def close(
    value: object,
    right: object,
    mistakes: Sequence[tuple[object, str]] = (),
    rtol: float = 1e-4,
    atol: float = 1e-9,
    what: str = "your answer",
) -> None:
    """Return if `value` is `right`; else raise the hint of the mistake whose value it is.

    mistakes: pairs of a wrong value and its hint. Give values that differ from `right`.
    """

    def equal(other: object) -> bool:
        return bool(np.allclose(_plain(value), _plain(other), rtol=rtol, atol=atol))

    if equal(right):
        return
    for wrong, hint in mistakes:
        if equal(wrong):
            raise Hint(hint)
    if np.ndim(_plain(right)) == 0:
        raise Hint(f"{what} is {value:.6g}, {right:.6g} would be right")
    off = int((~np.isclose(_plain(value), _plain(right), rtol=rtol, atol=atol)).sum())
    raise Hint(f"{what} differs from the right one in {off:,} of {np.size(_plain(right)):,} places")


def same(one: object, other: object) -> bool:
    """Whether two values are equal, NaN included: arrays, tensors, and whatever holds them."""
    if _is_tensor(one) and _is_tensor(other):
        if one.shape != other.shape or one.dtype != other.dtype or one.device != other.device:
            return False
        return one.device.type == "meta" or bool(
            ((one == other) | ((one != one) & (other != other))).all()
        )
    if isinstance(one, np.ndarray) and isinstance(other, np.ndarray):
        if one.shape != other.shape or one.dtype != other.dtype:
            return False
        return bool(np.array_equal(one, other, equal_nan=one.dtype.kind in "fc"))
    if type(one) is not type(other):
        return False
    if isinstance(one, Mapping):
        return one.keys() == other.keys() and all(same(one[k], other[k]) for k in one)
    if isinstance(one, (list, tuple)):
        return len(one) == len(other) and all(map(same, one, other))
    if dataclasses.is_dataclass(one):
        return all(
            same(getattr(one, f.name), getattr(other, f.name)) for f in dataclasses.fields(one)
        )
    if isinstance(one, (int, float, str, bytes, bool, complex, np.generic, type(None))):
        return one == other or (one != one and other != other)
    return True  # an object without a value to compare, such as a generator or a network


_DTYPE_KINDS = {"f": "a float", "i": "a whole number", "b": "bool"}


def _refuse_nothing(value: object) -> None:
    if value is None:
        raise Hint("your function returns None: does it end with `return`?")


def _refuse_small(dtype: np.dtype) -> None:
    if dtype.kind in "iu" and dtype.itemsize < 4:
        raise Hint(
            f"your answer is a {dtype}, which cannot exceed {np.iinfo(dtype).max:,}: count with "
            "np.count_nonzero, or convert before you add"
        )
    if dtype == np.float16:
        raise Hint("your answer is float16, which keeps three digits; compute in float64")


def _refuse_nan(bad: int, size: int) -> None:
    if bad:
        raise Hint(
            f"{bad:,} of {size:,} values of your answer are NaN or infinite: is something divided "
            "by zero?"
        )


def _same_shape(shape: Sequence[int], wanted: Sequence[int]) -> None:
    shape, wanted = tuple(shape), tuple(wanted)
    if shape == wanted:
        return
    swapped = ": are axes exchanged?" if sorted(shape) == sorted(wanted) else ""
    raise Hint(f"your answer has the shape {shape}; {wanted} is wanted{swapped}")


def _is_tensor(value: object) -> bool:
    torch = sys.modules.get("torch")  # no tensor exists before torch was imported
    return torch is not None and isinstance(value, torch.Tensor)


def _on_cpu(value, device: str):
    if value.device.type != device:
        raise Hint(
            f"your answer lies on the device {value.device}, the input on {device}; "
            f'bring it back with .to("{device}")'
        )
    return value


def _plain(value: object) -> np.ndarray:
    if _is_tensor(value):
        return value.detach().double().cpu().numpy()
    return np.asarray(value, dtype=np.float64)


def _kind(value: object) -> str:
    name = type(value).__name__
    article = "an" if name[:1].lower() in "aeiou" else "a"
    return f"{article} {name}"
