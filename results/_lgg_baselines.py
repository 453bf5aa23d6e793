"""What slices score without a network: nothing, a threshold, the likest image, a neighbour."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from gliomakit.slicefit import Stack
from gliomakit.slicewise import (
    SliceScores,
    above,
    best_threshold,
    nearest_image,
    nearest_slice,
    predict_nothing,
    relative,
    slice_scores,
)

FLAIR = 1
SHARE = 0.8
"""Of a patient's slices that are known under a split by slice."""


def baselines(
    training: dict[str, Stack],
    scored: dict[str, Stack],
    shown: Callable[[SliceScores], dict[str, object]],
) -> dict[str, dict[str, object]]:
    """Their scores on the patients of `scored`, whole slices. Only the last looks at a part of the
    scored patients' own masks, as a split by slice allows; its score is of the other slices."""
    reference = {name: stack.reference for name, stack in scored.items()}
    flair = {
        name: relative(stack.images[..., FLAIR])
        for part in (training, scored)
        for name, stack in part.items()
    }
    threshold = best_threshold(
        {name: flair[name] for name in training},
        {name: stack.reference for name, stack in training.items()},
    )
    known = np.concatenate([stack.images for stack in training.values()])
    masks = np.concatenate([stack.reference for stack in training.values()])
    likest = {name: nearest_image(s.images, known, masks) for name, s in scored.items()}
    draw = np.random.default_rng(0)
    copied, rest = {}, {}
    for name, mask in reference.items():
        seen = draw.random(len(mask)) < SHARE
        if not seen.all():
            copied[name], rest[name] = nearest_slice(mask, seen)[~seen], mask[~seen]
    nothing = slice_scores(predict_nothing(reference), reference)
    bright = slice_scores(above({n: flair[n] for n in scored}, threshold), reference)
    return {
        "nothing": shown(nothing),
        "FLAIR threshold": shown(bright),
        "likest training image": shown(slice_scores(likest, reference)),
        "nearest slice (split by slice)": shown(slice_scores(copied, rest)),
    }
