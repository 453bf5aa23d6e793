"""What lesson 09 goes on with where an exercise has not passed: a block, its work, pairs."""

from __future__ import annotations

from collections.abc import Mapping

from torch import nn


def double(entering: int, leaving: int) -> nn.Sequential:
    """Two padded 3 × 3 convolutions, each with a ReLU behind it.

    >>> sum(p.numel() for p in double(3, 64).parameters())
    38720
    """
    return nn.Sequential(
        nn.Conv2d(entering, leaving, 3, padding=1),
        nn.ReLU(),
        nn.Conv2d(leaving, leaving, 3, padding=1),
        nn.ReLU(),
    )


def multiply_adds(kernel: int, entering: int, leaving: int, rows: int, columns: int) -> int:
    """Multiply-adds of a 2-D convolution whose output has `rows` × `columns` pixels.

    >>> multiply_adds(3, 3, 64, 256, 256)
    113246208
    """
    return kernel**2 * entering * leaving * rows * columns


def differences(first: Mapping[str, float], second: Mapping[str, float]) -> list[float]:
    """For each patient, by name, the first score less the second.

    >>> differences({"b": 0.75, "a": 0.5}, {"a": 0.25, "b": 0.5})
    [0.25, 0.25]
    """
    return [first[name] - second[name] for name in sorted(first)]
