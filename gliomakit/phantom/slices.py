"""Phantoms as slices: the layout and the look of the LGG data set, heads with skull and scalp.

    kaggle_3m/phantom_00200/phantom_00200_1.tif        pre-contrast T1, FLAIR, post-contrast T1
    kaggle_3m/phantom_00200/phantom_00200_1_mask.tif   255 where FLAIR is abnormal

An exam of `make_case` gets a skull (dark) and a scalp (bright) around its brain, noise in the air,
thick slices and eight bits. Eyes, ears and a neck it has not.
"""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from collections.abc import Iterable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage
from tqdm import tqdm

from .._workers import cores, parallel
from ..errors import GliomakitError
from ..paths import cache_folder
from ..regions import SEQUENCES
from .case import PhantomCase, make_case
from .dataset import VERSION

SIDE = 256
"""Pixels of a slice, as in the data set; they cover 240 mm."""

SLICES = {"training": range(200, 208), "validation": range(208, 212), "test": range(212, 216)}
"""Seeds of the embedded patients."""

MISSING = {203: (0, 2), 206: (2,), 210: (2,)}
"""Seeds whose channels (0 pre-contrast, 2 post-contrast) were not taken: FLAIR stands there, as in
16 of the real set's 110 patients."""

_SPACING = 2.0
_CHANNELS = [SEQUENCES.index(name) for name in ("t1", "flair", "t1ce")]


def embedded_slices(progress: bool = True) -> Path:
    """The folder that holds `kaggle_3m` with the embedded patients, made on the first call (about
    half a minute)."""
    seeds = [seed for part in SLICES.values() for seed in part]
    return write_slices(cache_folder() / "phantoms" / f"v{VERSION}" / "slices", seeds, progress)


def slice_names(part: str) -> list[str]:
    """Names of the embedded patients of one part: training, validation or test.

    >>> slice_names("test")
    ['phantom_00212', 'phantom_00213', 'phantom_00214', 'phantom_00215']
    """
    return [f"phantom_{seed:05d}" for seed in SLICES[part]]


def write_slices(
    out: str | Path, seeds: Iterable[int], progress: bool = True, workers: int | None = None
) -> Path:
    """Write phantoms in the LGG layout, `out`/kaggle_3m; those that are there are kept.

    A patient's folder appears when it is whole. Returns `out`. Raises `GliomakitError` if it cannot
    be written.
    """
    out = Path(out)
    root = out / "kaggle_3m"
    try:
        root.mkdir(parents=True, exist_ok=True)
        jobs = [(seed, root) for seed in seeds if not (root / f"phantom_{seed:05d}").is_dir()]
        hidden = not progress or not jobs or not sys.stderr.isatty()
        with tqdm(total=len(jobs), desc="slices", unit="patient", disable=hidden) as bar:
            for _ in parallel(_write, jobs, workers or cores()):
                bar.update()
    except OSError as error:
        raise GliomakitError(
            f"cannot be written ({error.strerror or error})",
            where=out,
            todo="choose another folder or make room",
        ) from error
    return out


def make_slices(seed: int, side: int = SIDE) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
    """A phantom's slices (n, side, side, 3), uint8, from below to above, and its masks.

    Channels are pre-contrast T1, FLAIR, post-contrast T1. The face is up, the patient's right side
    on the left, as a radiologist sees it. The mask is the whole tumour: what is bright on FLAIR.
    Slices are 4 or 6 mm thick. The same seed gives the same patient as `make_case`.

    >>> images, masks = make_slices(seed=200, side=64)
    >>> images.shape[1:], images.dtype, masks.shape == images.shape[:3], bool(masks.any())
    ((64, 64, 3), dtype('uint8'), True, True)
    """
    case = make_case(seed, _SPACING)
    rng = np.random.default_rng([seed, 20])
    thick = int(rng.choice([2, 3]))
    volume = with_scalp(case, rng)
    brain = _brain(case)
    area = brain.sum((0, 1))
    where = np.flatnonzero(area > 0.15 * area.max())
    first, last = where[0], where[-1] + 1
    images, masks = [], []
    for z in range(first, last - thick + 1, thick):
        slab = volume[..., z : z + thick].mean(-1)
        images.append(np.stack([_resampled(channel, side, order=1) for channel in slab], -1))
        masks.append(_resampled((case.label[..., z : z + thick] > 0).mean(-1), side, 1) >= 0.5)
    image, mask = np.stack(images), np.stack(masks)
    image = noisy(image, rng)
    for channel in MISSING.get(seed, ()):
        image[..., channel] = image[..., 1]
    return _eight_bits(image, rng), mask


def with_scalp(case: PhantomCase, rng: np.random.Generator) -> NDArray[np.float32]:
    """Pre-contrast, FLAIR and post-contrast (3, x, y, z), brain about 1, in a skull and a scalp."""
    brain = _brain(case)
    # The skull follows the brain's outline loosely: furrows and cut corners do not show in it.
    loose = ndimage.gaussian_filter(brain.astype(np.float32), 4.0 / _SPACING) > 0.35
    away = ndimage.distance_transform_edt(~(loose | brain), sampling=_SPACING)
    uneven = ndimage.gaussian_filter(rng.standard_normal(away.shape), 12.0 / _SPACING)
    uneven /= uneven.std()
    bone = rng.uniform(1.0, 2.5) + rng.uniform(4.0, 7.0) * np.exp(0.2 * uneven)
    skin = bone + rng.uniform(4.0, 9.0) * np.exp(0.25 * uneven[::-1])
    texture = ndimage.gaussian_filter(rng.standard_normal(away.shape), 1.0)
    texture = 1 + 0.12 * texture / texture.std()
    out = np.empty((3, *away.shape), np.float32)
    for i, sequence in enumerate(_CHANNELS):
        image = case.image[sequence]
        one = image / np.median(image[brain])
        # Water between brain and bone is dark on all three; marrow shines a little.
        fluid, marrow = rng.uniform(0.15, 0.4), rng.uniform(0.05, 0.3)
        fat = rng.uniform(0.9, 1.7) if i == 1 else rng.uniform(1.4, 2.4)
        outside = np.where(away < 1.5, fluid, np.where(away < bone, marrow, fat * texture))
        outside[away > skin] = 0.0
        out[i] = np.where(brain & (image > 0), one, outside)
    return out


def noisy(image: NDArray, rng: np.random.Generator) -> NDArray[np.float32]:
    """Rician noise, also in the air, of 1 to 3 % of the brain's brightness, by channel."""
    level = rng.uniform(0.01, 0.03, 3)
    real = image + level * rng.standard_normal(image.shape)
    return np.hypot(real, level * rng.standard_normal(image.shape)).astype(np.float32)


def _brain(case: PhantomCase) -> NDArray[np.bool_]:
    """The largest piece of what the exam shows: remnants of neck and skull left out."""
    seen = ndimage.binary_opening((case.image > 0).any(0))
    pieces, n = ndimage.label(seen)
    if n > 1:
        seen = pieces == 1 + np.argmax(np.bincount(pieces.ravel())[1:])
    return ndimage.binary_fill_holes(seen)


def _resampled(plane: NDArray, side: int, order: int) -> NDArray[np.float32]:
    """From (x, y), to the patient's right and front, to rows and columns as one looks at it."""
    seen = plane[::-1, ::-1].T.astype(np.float32)
    zoomed = ndimage.zoom(
        seen, side / np.array(seen.shape), order=order, grid_mode=True, mode="nearest"
    )
    return zoomed


def _eight_bits(image: NDArray, rng: np.random.Generator) -> NDArray[np.uint8]:
    """Each channel scaled so that only its brightest, mostly fat, reach 255."""
    top = np.quantile(image.reshape(-1, 3), rng.uniform(0.998, 0.9998), axis=0)
    return (np.clip(image / top, 0, 1) * 255).round().astype(np.uint8)


def _write(seed: int, root: Path) -> None:
    images, masks = make_slices(seed)
    name = f"phantom_{seed:05d}"
    beside = Path(tempfile.mkdtemp(dir=root, prefix="."))
    try:
        for n, (image, mask) in enumerate(zip(images, masks, strict=True), start=1):
            for array, kind in ((image, ""), (mask.astype(np.uint8) * 255, "_mask")):
                path = beside / f"{name}_{n}{kind}.tif"
                Image.fromarray(array).save(path, compression="tiff_deflate")
        os.chmod(beside, 0o755)
        try:
            beside.rename(root / name)
        except OSError:
            if not (root / name).is_dir():
                raise
            shutil.rmtree(beside)  # another process was faster: the same seed gives the same files
    except BaseException:
        shutil.rmtree(beside, ignore_errors=True)
        raise
