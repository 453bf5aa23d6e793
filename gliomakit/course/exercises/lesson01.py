"""Checkers of lesson 01, *Explore the data*."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from ...regions import CONVENTIONS, Convention, shares, to_regions
from ._core import Answer, checker
from ._expect import Hint, array, close, number


@checker(
    "01.millimetres",
    call="voxel_to_mm(affine, voxel)",
    praise="the 3 × 3 block turns and scales, the last column moves",
)
def millimetres(answer: Answer) -> None:
    """`voxel_to_mm(affine, voxel)`: mm of a voxel, array of three."""
    # Axes exchanged, one of them reversed, three different sides: no mistake is right by chance.
    affine = np.array(
        [[0.0, -2.0, 0.0, 90.0], [1.5, 0.0, 0.0, -40.0], [0.0, 0.0, 4.0, -60.0], [0, 0, 0, 1]]
    )
    voxel, sides = np.array([10.0, 20.0, 5.0]), np.array([1.5, 2.0, 4.0])
    turn, origin = affine[:3, :3], affine[:3, 3]
    where = "the voxel (10, 20, 5) of an affine whose first two axes are exchanged"
    found = _three(answer(affine, voxel))
    along = "each step goes where its column of the affine says, which need not be the same axis"
    close(
        found,
        turn @ voxel + origin,
        mistakes=[
            (turn @ voxel, "you leave out the last column: voxel (0, 0, 0) does not lie at 0 mm"),
            (turn @ voxel - origin, "the last column is added, not taken away"),
            (turn @ (voxel + origin), "move after turning: the last column is in mm already"),
            (voxel * sides, f"you use the spacing only: {along}, and the last column moves"),
            (voxel * sides + origin, f"you use the spacing and the last column: {along}"),
            (np.diag(turn) * voxel + origin, f"you use the diagonal only: {along}"),
            (turn.T @ voxel + origin, "you use rows as columns: it is matrix @ voxel"),
            ((affine.T @ np.append(voxel, 1))[:3], "you use rows as columns: it is matrix @ voxel"),
            (
                (np.linalg.inv(affine) @ np.append(voxel, 1))[:3],
                "that is the way back, from mm to voxels: do not invert the affine",
            ),
        ],
        what=where,
    )
    for point in ((0, 0, 0), (3.5, 0.25, 7.0)):
        right = turn @ point + origin
        cut = (turn @ np.array(point, int) + origin, "a point between voxels is cut to integers")
        close(_three(answer(affine, point)), right, mistakes=[cut], what=f"the point {point}")


def _three(value: object) -> np.ndarray:
    if isinstance(value, (list, tuple)):
        value = np.array([number(one) for one in value])
    if isinstance(value, np.ndarray) and value.shape == (4,):
        raise Hint("you return four numbers; the last is always 1: leave it out with [:3]")
    if isinstance(value, np.ndarray) and value.shape == (4, 4):
        raise Hint("you return a 4 × 4 matrix: use @, not *, to apply the affine")
    return array(value, (3,), kind="fiu")


@checker(
    "01.nested",
    call="nested_regions(label, convention)",
    praise="each region contains the next, and the numbers come from the convention",
)
def nested(answer: Answer) -> None:
    """`nested_regions(label, convention)`: WT, TC, ET, bool (3, x, y, z)."""
    for name in ("msd", "brats2017", "brats2015", "brats2024"):
        known = CONVENTIONS[name]
        label = _label(known)
        found = array(answer(label, known), (3, *label.shape), kind="b")
        wt, tc, et = right = to_regions(label, known)
        edema, core = label == known.edema, np.isin(label, known.core)
        one_core = label == known.core[0]
        fixed = "your numbers are fixed: take them from the convention"
        close(
            found,
            right,
            mistakes=[
                ([edema, core, et], "these are tissues side by side: WT contains TC, TC ET"),
                ([et, tc, wt], "the order is WT, TC, ET: the largest first"),
                ([wt, core, et], "TC contains what enhances: it is core and enhancing together"),
                ([edema, tc, et], "WT is everything that is tumour, not edema alone"),
                ([edema | core, tc, et], "WT contains what enhances too"),
                ([wt, edema | et, et], "TC is the whole tumour without edema, not with it"),
                ([wt, wt, et], "TC is the whole tumour without its edema"),
                (
                    [one_core | edema | et, one_core | et, et],
                    "core may have several numbers, and you use the first: see np.isin",
                ),
                ([label > 0, tc, et], "a cavity is no tumour: it is in none of the regions"),
                ([label > 0, (label > 0) & ~edema, et], "a cavity is in none of the regions"),
                ([label > 0, label >= 2, label == 3], fixed),
                ([label > 0, np.isin(label, (2, 3)), label == 3], fixed),
                ([label > 0, np.isin(label, (1, 4)), label == 4], fixed),
                ([label > 0, np.isin(label, (1, 3)), label == 3], fixed),
            ],
            what=f"WT, TC and ET of a label in the convention {name}",
        )


def _label(known: Convention) -> np.ndarray:
    """A label (7, 6, 5) with different numbers of voxels of each value of the convention."""
    values = sorted(known.values)[1:]
    label = np.zeros((7, 6, 5), np.uint8)
    label.ravel()[30 : 30 + 12 * len(values)] = np.repeat(values, 12)
    label.ravel()[150 : 150 + len(values)] = values
    label.ravel()[150:152] = known.edema
    return label


@checker(
    "01.shares",
    call="tissue_shares(label, brain)",
    praise="only the brain's voxels count, and the shares add up to 1",
)
def tissue_shares(answer: Answer) -> None:
    """`tissue_shares(label, brain)`: number -> share of the brain's voxels."""
    brain = np.zeros((8, 8, 8), bool)
    brain[1:7, 1:7, 2:6] = True
    label = np.zeros(brain.shape, np.uint8)
    label[2:5, 2:5, 3:5] = 1
    label[2:4, 2:4, 3] = 2
    label[2, 2, 3] = 4
    label[0, 0, :2] = 2  # a slip of the pen, outside the brain
    values = np.unique(label)
    inside = {int(v): int((label[brain] == v).sum()) for v in values}
    everywhere = {int(v): int((label == v).sum()) for v in values}
    n, right = int(brain.sum()), shares(label, brain)
    tumour = sum(inside.values()) - inside[0]
    mistakes = [
        (inside, 1, "these are counts: divide by the number of voxels of the brain"),
        (inside, n / 100, "these are per cent: give shares between 0 and 1"),
        (inside, label.size, "you divide by all voxels of the file, not by those of the brain"),
        (inside, tumour, "you divide by the tumour's voxels, not by the brain's"),
        (everywhere, label.size, "you count the whole file: look at label[brain]"),
        (everywhere, n, "you count outside of the brain too: look at label[brain]"),
    ]
    found = _by_number(answer(label, brain), right)
    close(
        list(found.values()),
        list(right.values()),
        mistakes=[([c / by for c in counts.values()], hint) for counts, by, hint in mistakes],
        what="the shares of a label with 0, 1, 2 and 4",
    )
    healthy = np.zeros_like(label)
    close(_by_number(answer(healthy, brain), {0: 1.0})[0], 1.0, what="without tumour, the share")


def _by_number(value: object, right: Mapping[int, float]) -> dict[int, float]:
    """The learner's shares in the order of the right ones; a hint for a number that lacks."""
    if not isinstance(value, Mapping):
        kind = type(value).__name__
        raise Hint(f"return a dictionary, number -> share, not {kind}: does it end with `return`?")
    for one in right:
        if one not in value:
            healthy = ", healthy brain, " if one == 0 else " "
            raise Hint(
                f"the number {one}{healthy}occurs in the brain and is not in your dictionary; "
                "np.unique lists what there is"
            )
    for one, share in value.items():
        if one not in right and number(share) != 0:
            raise Hint(f"the number {one} is in your dictionary and does not occur in the brain")
    return {one: number(value[one]) for one in right}
