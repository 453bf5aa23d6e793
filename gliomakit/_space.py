"""The space of a search: which values are tried for each setting of a training."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import fields
from types import MappingProxyType

from ._recipe import Fit
from .errors import GliomakitError

Space = Mapping[str, list | tuple]

SPACE = MappingProxyType(
    {
        "rate": (1e-4, 1e-1, "log"),
        "base_filters": [4, 8, 12],
        "loss": ["weighted-dice", "dice", "dice-ce", "cross-entropy"],
        "schedule": ["one-cycle", "cosine", "constant"],
        "foreground": (0.0, 1.0),
        "intensity": [False, True],
    }
)
"""What is tried for each setting of `Fit`: a list of values; (low, high), with "log" for equal
chances in each decade; whole numbers if both ends are."""


def check_space(space: Space, base: Mapping[str, object]) -> None:
    """Raise `GliomakitError` for a space that nothing can be drawn from, or that `base` fixes."""
    known = {field.name for field in fields(Fit)}
    if not space:
        raise GliomakitError("the space is empty: there is nothing to search")
    for name in (*space, *base):
        if name not in known:
            raise GliomakitError(f"there is no setting {name!r}", todo="see `Fit`")
    for name, given in space.items():
        if name in base:
            raise GliomakitError(f"{name} is searched and given at once")
        if isinstance(given, list):
            good = len(given) > 0 and all(isinstance(v, bool | int | float | str) for v in given)
        else:
            good = isinstance(given, tuple) and given[2:] in ((), ("log",)) and _ends(given[:2])
            good = good and (len(given) == 2 or given[0] > 0)
        if not good:
            raise GliomakitError(
                f"{name} is to be searched in {given!r}",
                todo='give a list of values, or (low, high), or (low, high, "log") above 0',
            )


def _ends(given: tuple) -> bool:
    """Whether these are two numbers, the lower one first."""
    kinds = all(isinstance(v, int | float) and not isinstance(v, bool) for v in given)
    return len(given) == 2 and kinds and -math.inf < given[0] < given[1] < math.inf


def distributions(space: Space) -> dict[str, object]:
    """The space in Optuna's words, setting by setting.

    >>> distributions({"steps": (10, 40)})
    {'steps': IntDistribution(high=40, log=False, low=10, step=1)}
    """
    from optuna import distributions as kinds

    made: dict[str, object] = {}
    for name, given in space.items():
        if isinstance(given, list):
            made[name] = kinds.CategoricalDistribution(given)
            continue
        low, high, *how = given
        whole = isinstance(low, int) and isinstance(high, int)
        kind = kinds.IntDistribution if whole else kinds.FloatDistribution
        made[name] = kind(low, high, log="log" in how)
    return made
