"""Dice and HD95 of three regions, from two label maps."""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache

import numpy as np
import torch
from edt import edt
from monai.metrics import compute_dice, compute_hausdorff_distance

from gliomakit import metrics
from gliomakit._masks import box
from gliomakit._surface import surface
from gliomakit.phantom import make_case
from gliomakit.regions import to_regions

from .compare import Comparison, compare


@lru_cache
def case(spacing: float = 1.0):
    """A phantom; at 1 mm it has 240 × 240 × 155 voxels."""
    return make_case(36, spacing=spacing)


def rows(quick: bool = False) -> Iterator[Comparison]:
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
    bound = ("both maps read once", lambda: (prediction.max(), reference.max()))
    work = "Dice of WT, TC, ET from two label maps"
    yield compare(work, ours, "MONAI compute_dice", theirs, floor=15, bound=bound)

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
    work = f"HD95 of {len(some)} regions"
    peer = "MONAI compute_hausdorff_distance"
    yield compare(work, ours_hd, peer, theirs_hd, floor=3)

    def on_the_box():
        found = []
        for i in some:
            where = box(pred[i] | ref[i])
            p, r = (surface(x[i][where]) for x in (pred, ref))
            both = [np.percentile(edt(~b)[a], 95) for a, b in ((p, r), (r, p))]
            found.append(float(max(both)))
        return found

    assert np.allclose(ours_hd(), on_the_box(), atol=1e-4)
    yield compare(work, ours_hd, "edt on the joint box", on_the_box)
