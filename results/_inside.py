"""What the command line does not say of the phantom test patients: every subset of the sequences,
what a probability is worth, which patient went worst.

In one process: `gliomakit segment` keeps no probabilities, and loads the network for every call.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import replace
from itertools import combinations

import numpy as np
from matplotlib.figure import Figure

from gliomakit import plots
from gliomakit.cases import Case
from gliomakit.inference import Segmentation, segment
from gliomakit.metrics import Reliability, calibration, dice
from gliomakit.model import Model
from gliomakit.preprocess import brain_mask
from gliomakit.regions import REGION_NAMES, REGIONS, SEQUENCE_NAMES, SEQUENCES

SUBSETS = tuple(names for n in (4, 3, 2, 1) for names in combinations(SEQUENCES, n))
"""All 15 choices of sequences, the largest first."""


def say(what: str) -> None:
    """Progress, where results do not go."""
    print(what, file=sys.stderr, flush=True)


def subset_name(names: Sequence[str]) -> str:
    """The sequences in words.

    >>> subset_name(("flair", "t1ce"))
    'FLAIR, T1ce'
    """
    return ", ".join(SEQUENCE_NAMES[name] for name in names)


def with_only(case: Case, names: Sequence[str]) -> Case:
    """The same exam, had only these sequences been taken."""
    image = case.image.copy()
    image[[sequence not in names for sequence in SEQUENCES]] = 0
    return replace(case, image=image, present=tuple(names))


def dices(found: np.ndarray, reference: np.ndarray) -> dict[str, float | None]:
    """Dice by region; None where the reference has nothing of it."""
    pairs = zip(REGIONS, found, reference)
    return {r: dice(mine, theirs) if theirs.any() else None for r, mine, theirs in pairs}


def mean_there(scores: Sequence[dict[str, float | None]]) -> dict[str, dict]:
    """By region the mean over those patients that have it, and how many these are.

    >>> mean_there([{"wt": 0.5, "tc": 1.0, "et": None}, {"wt": 0.9, "tc": None, "et": None}])["wt"]
    {'dice': 0.7, 'n': 2}
    """
    means = {}
    for region in REGIONS:
        there = [s[region] for s in scores if s[region] is not None]
        mean = round(float(np.mean(there)), 4) if there else None
        means[region] = {"dice": mean, "n": len(there)}
    return means


def subsets(cases: Sequence[Case], model: Model) -> list[dict]:
    """One row for each of the 15 subsets: mean Dice of WT, TC, ET where there is some."""
    rows = []
    for number, names in enumerate(SUBSETS, 1):
        say(f"subset {number} of {len(SUBSETS)}: {subset_name(names)}")
        found = [segment(with_only(case, names), model).regions for case in cases]
        scores = [dices(regions, case.regions()) for regions, case in zip(found, cases)]
        rows.append({"sequences": list(names), **mean_there(scores)})
    return rows


def reliability(cases: Sequence[Case], found: Sequence[Segmentation]) -> dict[str, Reliability]:
    """One table a region, of all voxels in the brains together: ten bins, ECE."""
    brains = [brain_mask(case.image) for case in cases]
    tables = {}
    for k, region in enumerate(REGIONS):
        said = np.concatenate([f.probability[k][b] for f, b in zip(found, brains)])
        true = np.concatenate([c.regions()[k][b] for c, b in zip(cases, brains)])
        tables[region] = _rounded(calibration(said, true, bins=10))
    return tables


def worst(rows: Sequence[dict], region: str) -> dict | None:
    """The patient with the lowest Dice of a region, of those that have it; None if none has."""
    there = [r for r in rows if r[region]["false_ml"] is None]
    return min(there, key=lambda r: r[region]["dice"]) if there else None


def draw_worst(case: Case, found: Segmentation, region: str) -> Figure:
    """Reference beside prediction, in the slice that has most of the region."""
    reference = case.regions()
    k = REGIONS.index(region)
    z = plots.largest_slice(reference[k:])
    figure = plots.compare(case, reference, found.regions, slice=z)
    figure.alt = f"The worst {REGION_NAMES[region]} of the phantom test patients. {figure.alt}"
    return figure


def _rounded(table: Reliability) -> Reliability:
    """Five digits: enough to draw and to read, and the JSON stays small."""
    for name in ("edges", "probability", "observed"):
        table[name] = [None if v is None else round(v, 5) for v in table[name]]
    table["ece"] = round(table["ece"], 5)
    return table
