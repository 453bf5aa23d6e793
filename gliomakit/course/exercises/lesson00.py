"""Checkers of lesson 00, *Start here*."""

from __future__ import annotations

import numpy as np

from ._core import Answer, checker
from ._expect import close, number


@checker(
    "00.volume",
    call="volume_ml(label, spacing)",
    praise="every voxel of the tumour counts once, by its size in mm, and 1000 mm³ are 1 mL",
)
def volume(answer: Answer) -> None:
    """`volume_ml(label, spacing)`: mL of all voxels whose label is not 0."""
    # Voxels that are no cubes, so that no mistake gives the right number by chance.
    label, spacing = _label(), (1.5, 2.0, 4.0)
    voxels, one = np.count_nonzero(label), np.prod(spacing)
    found = number(answer(label, spacing))
    forgot_size = "that is the number of voxels; how many mm³ is one voxel of 1.5 × 2 × 4 mm?"
    close(
        found,
        voxels * one / 1000,
        mistakes=[
            (voxels, forgot_size),
            (voxels / 1000, forgot_size),
            (voxels * one, "that is the volume in mm³; 1 mL is 1000 mm³"),
            (voxels * one * 1000, "1 mL is 1000 mm³: divide by 1000, do not multiply"),
            (voxels * one / 100, "1 mL is 1000 mm³, not 100"),
            (voxels * one / 1e6, "1 mL is 1000 mm³; a million mm³ is a litre"),
            (label.size * one / 1000, "you count the background too: 0 is no tumour"),
            (label.size, "that is the number of all voxels, the background's too"),
            (label.size * one, "you count the background too (0 is no tumour), and in mm³"),
            (
                (label.size - voxels) * one / 1000,
                "you count the background: the tumour is where the label is not 0",
            ),
            (
                label.sum() * one / 1000,
                "you add the label's values: a voxel of label 3 then counts three times; count "
                "the voxels that are not 0",
            ),
            (
                (label == 1).sum() * one / 1000,
                "you count label 1 only: the whole tumour is every label but 0",
            ),
            (
                (label == label.max()).sum() * one / 1000,
                "you count the highest label only: the whole tumour is every label but 0",
            ),
            (
                voxels * sum(spacing) / 1000,
                "you add the three sides of a voxel: its volume is their product",
            ),
            *(
                (
                    voxels * side**3 / 1000,
                    "your voxel is a cube; this one is not: multiply all three sides",
                )
                for side in (*spacing, float(np.mean(spacing)))
            ),
        ],
        what="the volume of a label with voxels of 1.5 × 2 × 4 mm, in mL,",
    )
    close(
        number(answer(label > 0, np.array([2.0, 2.0, 2.0]))),
        voxels * 8 / 1000,
        what="the volume of a mask of True and False with voxels of 2 mm, in mL,",
    )
    close(
        number(answer(np.zeros_like(label), spacing)),
        0.0,
        what="the volume of a label without tumour",
    )


def _label() -> np.ndarray:
    """A label with 21 voxels of edema, 9 of core and 5 enhancing ones, uint8 (7, 6, 5)."""
    label = np.zeros((7, 6, 5), np.uint8)
    values = np.repeat(np.array([1, 2, 3], np.uint8), (21, 9, 5))
    label.ravel()[40 : 40 + values.size] = values
    return label
