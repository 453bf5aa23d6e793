"""What a network finds in a case with other windows: overlap and blending, for the explorer."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

import numpy as np
import torch

from ..cases import Case
from ..errors import GliomakitError
from ..inference import _by_region, _pad
from ..model import Model
from ..patches import blend, cut, gaussian, tiles
from ..preprocess import prepare, restore
from ..regions import SEQUENCES

BLENDINGS = ("Gaussian", "mean")
"""Windows weighted less toward their border, as `segment` does, or all alike."""


def by_windows(
    case: Case,
    model: Model,
    overlaps: Iterable[float] = (0.0, 0.5),
    blendings: Iterable[str] = BLENDINGS,
) -> dict[str, np.ndarray]:
    """The probabilities of WT, TC and ET, float32 (3, x, y, z), by how the windows lay and were
    blended: ``"overlap 0.5, Gaussian"`` is what `segment` finds without mirroring.

    Each overlap costs one run of the network over the case, on the processor.
    """
    settings = model.settings
    prepared = prepare(replace(case, label=None), settings.spacing, settings.clip)
    image = torch.from_numpy(prepared.image[[SEQUENCES.index(s) for s in settings.sequences]])
    size = settings.window or settings.patch
    size = (size,) * 3 if isinstance(size, int) else tuple(size)
    image, _, inner = _pad(image, None, size)
    activation = {"sigmoid": torch.sigmoid, "softmax": lambda y: y.softmax(1)}[settings.activation]
    found = {}
    for overlap in overlaps:
        places = tiles(image.shape[1:], size, overlap)
        with torch.no_grad():
            windows = [activation(model.network(x[None]).float())[0] for x in cut(image, places)]
        for blending in blendings:
            if blending not in BLENDINGS:
                known = f"known are {', '.join(BLENDINGS)}"
                raise GliomakitError(f"there is no blending {blending!r}", todo=known)
            weight = gaussian(size) if blending == "Gaussian" else None
            blended = blend(torch.stack(windows), places, image.shape[1:], weight)
            blended = blended[(slice(None), *inner)]
            whole = restore(_by_region(blended, settings).numpy(), prepared.frame)
            found[f"overlap {overlap:g}, {blending}"] = whole
    return found
