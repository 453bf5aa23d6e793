"""How the weights of `gliomakit._contrast` were found: a logistic regression on phantoms.

    python results/checks_fit.py

Prints them; nothing is written. For every phantom and every set of two to four sequences, the right
way to hand out the names should be more likely than each wrong one. No patient is looked at.
"""

from __future__ import annotations

from itertools import combinations, permutations

import numpy as np
from scipy.optimize import minimize

from gliomakit._contrast import WEIGHTS, measure, terms
from gliomakit._look import look
from gliomakit.phantom import make_case
from gliomakit.regions import SEQUENCES

SEEDS = [*range(1000, 1040), *range(1100, 1240)]
SHRINK = 0.002
"""Weight decay, for each choice: without it a term that is never wrong would grow for ever."""


def choices(seed: int) -> list[np.ndarray]:
    """For each set of sequences the terms of every order, the right one first: (orders, terms)."""
    seen = look(make_case(seed, 2.0))
    if not seen.telling:
        return []
    found, out = measure(seen), []
    for count in (2, 3, 4):
        for names in combinations(SEQUENCES, count):
            orders = [terms(found, dict(zip(names, order))) for order in permutations(names)]
            out.append(np.array([[values[term] for term in WEIGHTS] for values in orders]))
    return out


def fit(rows: list[np.ndarray]) -> np.ndarray:
    """The weights (terms,) under which the right orders are most likely."""

    def loss(weights: np.ndarray) -> tuple[float, np.ndarray]:
        total, slope = 0.0, np.zeros_like(weights)
        for values in rows:
            score = values @ weights
            chance = np.exp(score - score.max())
            chance /= chance.sum()
            total -= np.log(chance[0])
            slope += chance @ values - values[0]
        shrink = SHRINK * weights
        return total / len(rows) + shrink @ weights / 2, slope / len(rows) + shrink

    start = np.zeros(rows[0].shape[1])
    return minimize(loss, start, jac=True, method="L-BFGS-B").x


def main() -> None:
    rows = [values for seed in SEEDS for values in choices(seed)]
    for term, weight in zip(WEIGHTS, fit(rows)):
        print(f"{term:26} {weight:5.1f}   (in use {WEIGHTS[term]})")


if __name__ == "__main__":
    main()
