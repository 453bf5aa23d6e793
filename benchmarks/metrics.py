"""Dice and HD95 of three regions, from two label maps."""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache

import numpy as np
import torch
from monai.metrics import compute_dice, compute_hausdorff_distance

from gliomakit import metrics
from gliomakit.phantom import make_case
from gliomakit.regions import to_regions

from .compare import Comparison, compare


@lru_cache
def case():
    """A phantom at 1 mm."""
    return make_case(36, spacing=1.0)


def rows() -> Iterator[Comparison]:
    reference = case().label
    prediction = np.roll(reference, (3, 0, 1), (0, 1, 2))

    def tensors() -> list[torch.Tensor]:
        return [
            torch.from_numpy(to_regions(x, "msd"))[None].float() for x in (prediction, reference)
        ]

    def ours():
        found = metrics.region_counts(prediction, "msd", reference, "msd")
        return [metrics.dice(c) for c in found.values()]

    def theirs():
        return compute_dice(*tensors(), ignore_empty=False)[0].tolist()

    assert np.allclose(ours(), theirs(), atol=1e-5)
    yield compare("Dice of WT, TC, ET from two label maps", ours, "MONAI compute_dice", theirs)

    pred, ref = to_regions(prediction, "msd"), to_regions(reference, "msd")
    some = [i for i in range(3) if ref[i].any()]

    def ours_hd():
        return [metrics.hd95(pred[i], ref[i], (1, 1, 1)) for i in some]

    def theirs_hd():
        return [
            float(
                compute_hausdorff_distance(
                    *(torch.from_numpy(x[i])[None, None].float() for x in (pred, ref)),
                    include_background=True,
                    percentile=95,
                )
            )
            for i in some
        ]

    assert np.allclose(ours_hd(), theirs_hd(), atol=1e-4)
    yield compare(
        f"HD95 of {len(some)} regions", ours_hd, "MONAI compute_hausdorff_distance", theirs_hd
    )
