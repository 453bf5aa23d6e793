"""From files to a label without PyTorch: ONNX Runtime runs the network, NumPy does the rest.

    python -m gliomakit.lean network.onnx CASE label.nii.gz

The file is one that `export.to_onnx` wrote: it says itself how it is to be used. The steps are
those of `inference.segment`, written once more for a machine that has no room for PyTorch.
"""

from __future__ import annotations

import json
import sys
import time
from dataclasses import replace
from itertools import combinations, product
from pathlib import Path

import numpy as np

from ._pieces import postprocess
from .cases import Case, find_cases, write_label
from .errors import GliomakitError
from .preprocess import prepare, restore
from .regions import REGIONS, SEQUENCES, nest, to_label


def segment(case: Case, path: str | Path, overlap: float = 0.5) -> np.ndarray:
    """WT, TC and ET of a case, bool (3, x, y, z), by a network in an ONNX file.

    Raises `GliomakitError` for a file that is none of ours, or if onnxruntime is missing.
    """
    session, settings = _open(Path(path))
    prepared = prepare(replace(case, label=None), settings["spacing"], settings["clip"])
    image = prepared.image[[SEQUENCES.index(name) for name in settings["sequences"]]]
    size = settings["window"] or settings["patch"]
    short = [(0, 0)] + [(max(s - n, 0) // 2, -(-max(s - n, 0) // 2)) for s, n in
                        zip(size, image.shape[1:])]  # fmt: skip
    image, brain = np.pad(image, short), np.pad(prepared.brain, short[1:])
    weight = gaussian(size)
    total, weights = 0.0, np.zeros(image.shape[1:], np.float32)
    for window in windows(image.shape[1:], size, overlap):
        if brain[window].any():
            found = _mirrored(session, image[(slice(None), *window)], settings)
            if isinstance(total, float):
                total = np.zeros((len(found), *image.shape[1:]), np.float32)
            total[(slice(None), *window)] += found * weight
            weights[window] += weight
    total /= np.maximum(weights, np.finfo(np.float32).tiny)
    inner = tuple(slice(b, n - a) for (b, a), n in zip(short[1:], image.shape[1:]))
    known = np.zeros((len(REGIONS), *prepared.brain.shape), np.float32)
    known[[REGIONS.index(name) for name in settings["regions"]]] = total[(slice(None), *inner)]
    probability = restore(known, prepared.frame)
    threshold = np.broadcast_to(np.float32(settings["threshold"]), len(REGIONS))
    ml = abs(float(np.linalg.det(case.affine[:3, :3]))) / 1000
    limits = [settings[name] for name in ("min_wt_ml", "min_et_ml", "min_wt_share")]
    return postprocess(nest(probability >= threshold[:, None, None, None]), ml, *limits)


def windows(shape, size, overlap: float) -> list[tuple[slice, ...]]:
    """The windows of `patches.tiles`.

    >>> windows((6,), (4,), 0.5)
    [(slice(0, 4, None),), (slice(2, 6, None),)]
    """
    axes = []
    for length, side in zip(shape, size):
        step, last = max(int(side * (1 - overlap)), 1), length - side
        firsts = [min(i * step, last) for i in range(-(-last // step) + 1)]
        axes.append([slice(first, first + side) for first in firsts])
    return list(product(*axes))


def gaussian(size) -> np.ndarray:
    """The weights of `patches.gaussian`.

    >>> gaussian((3, 3, 3))[1, 1].round(4)
    array([0.0286, 1.    , 0.0286], dtype=float32)
    """
    weight = np.ones((), np.float32)
    for side in size:
        x = np.arange(side, dtype=np.float32) - (side - 1) / 2
        weight = weight[..., None] * np.exp(-(x**2) / (2 * (0.125 * side) ** 2))
    return weight.clip(max(float(weight.min()), 1e-3)).astype(np.float32)


def _open(path: Path):
    """A session of ONNX Runtime, and the settings that the file holds."""
    try:
        import onnxruntime
    except ImportError as error:
        todo = "pip install onnxruntime"
        raise GliomakitError("onnxruntime is not installed", todo=todo) from error
    try:
        session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
        settings = json.loads(session.get_modelmeta().custom_metadata_map["gliomakit"])
    except Exception as error:  # its errors have no common kind
        raise GliomakitError("is no network that gliomakit exported", where=path) from error
    if settings["output"] != "regions":
        raise GliomakitError("only networks with one sigmoid a region are run here", where=path)
    return session, settings


def _mirrored(session, window: np.ndarray, settings: dict) -> np.ndarray:
    """Probabilities of one window, averaged over its mirror images."""
    axes = [1 + "xyz".index(axis) for axis in settings["mirror"]]
    views = [view for n in range(len(axes) + 1) for view in combinations(axes, n)]
    total = 0.0
    for view in views:
        image = np.ascontiguousarray(np.flip(window, view), np.float32)[None]
        logits = session.run(None, {"image": image})[0][0]
        total = total + np.flip(1 / (1 + np.exp(-logits)), view)
    return total / len(views)


def main(words: list[str] | None = None) -> None:
    """Segment one case; says in JSON what was found, the seconds, whether PyTorch was loaded."""
    network, place, out = map(Path, sys.argv[1:] if words is None else words)
    start = time.perf_counter()
    case = find_cases(place)[0].read(label=False)
    regions = segment(case, network)
    name = case.convention or "brats2017"
    write_label(to_label(regions, name), case, out, {"convention": name})
    ml = abs(float(np.linalg.det(case.affine[:3, :3]))) / 1000
    told = {
        "volumes_ml": {r: round(float(v.sum()) * ml, 3) for r, v in zip(REGIONS, regions)},
        "seconds": round(time.perf_counter() - start, 2),
        "torch": "torch" in sys.modules,
    }
    print(json.dumps(told))


if __name__ == "__main__":
    main()
