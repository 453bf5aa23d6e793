"""What lesson 13 goes on with if an exercise is not done: copies compared, machines counted."""

from __future__ import annotations

import numpy as np


def agree(one: np.ndarray, other: np.ndarray, limit: float) -> bool:
    """Whether two arrays have one shape and nowhere differ by more than `limit`; NaN never does.

    >>> agree(np.array([1.0]), np.array([1.05]), 0.1), agree(*np.full((2, 1), np.nan), 1.0)
    (True, False)
    """
    return one.shape == other.shape and bool((np.abs(one - other) <= limit).all())


def people_at_once(memory_mb: float, worker_mb: float, page_mb: float, spare: float) -> int:
    """How many pages fit into a machine's memory beside the one process that segments.

    >>> people_at_once(2000, 600, 150, 0.2)
    6
    """
    return max(int((memory_mb * (1 - spare) - worker_mb) // page_mb), 0)


def price_per_case(seconds: float, price_per_hour: float, busy: float) -> float:
    """What one case costs on a machine that computes for a share `busy` of the time.

    >>> price_per_case(36, 1.0, 0.5)
    0.02
    """
    return seconds / 3600 * price_per_hour / busy
