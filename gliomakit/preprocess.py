"""From a case to what a network sees, and back.

`prepare` crops to the brain, clips and z-scores every sequence inside the brain and, if asked,
resamples; `restore` is the way back. `cached` and `prepare_all` keep what was prepared on disk.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from math import prod
from pathlib import Path

import numpy as np
from tqdm import tqdm

from ._brain import background, bounds, brain_mask, cut_off
from ._cache import digest, fetch, key_of, store
from ._frame import Frame, Span, resample, restore
from ._intensities import Clip, clipped, scale, scale_kept, z_score
from ._workers import cores, in_threads, parallel
from .cases import Case, CaseFiles
from .errors import GliomakitError
from .paths import prepared_folder
from .regions import SEQUENCES

__all__ = [
    "CLIP",
    "Frame",
    "Prepared",
    "brain_mask",
    "cached",
    "keep",
    "kept",
    "prepare",
    "prepare_all",
    "restore",
    "to_regions_array",
    "z_score",
]

CLIP = (0.5, 99.5)
"""Percentiles inside the brain at which intensities are clipped: a few hot voxels of a vessel or an
artefact would else set the scale for all others."""

VERSION = 1
"""Part of every cache key: raise it when `prepare` gives other arrays."""

MOST = 2**28
"""Voxels of a prepared sequence at most: half a metre a side at .8 mm. Headers can be wrong."""

_HALF = 0.5 - 1e-4  # a share of exactly one half may be a rounding error short of it

Spacing = float | tuple[float, float, float] | None


@dataclass(frozen=True, eq=False)
class Prepared:
    """A case as a network sees it.

    name:    the case's.
    image:   float32 (4, x, y, z): each present sequence has mean 0 and standard deviation 1 inside
             the brain; 0 outside, in missing sequences and where a sequence has no data.
    regions: uint8 (x, y, z), the nested regions in one number: 0 background, 1 WT only, 2 TC but
             not ET, 3 ET; None without a label. See `to_regions_array`.
    brain:   bool (x, y, z).
    present: the sequences that the case has.
    affine:  (4, 4), prepared voxel to mm, RAS.
    spacing: mm of the prepared voxels.
    frame:   what `restore` needs.

    From the cache the arrays are memory-mapped and read-only.
    """

    name: str
    image: np.ndarray = field(repr=False)
    regions: np.ndarray | None = field(repr=False)
    brain: np.ndarray = field(repr=False)
    present: tuple[str, ...]
    affine: np.ndarray = field(repr=False)
    spacing: tuple[float, float, float]
    frame: Frame = field(repr=False)


def prepare(case: Case, spacing: Spacing = None, clip: Clip = CLIP) -> Prepared:
    """Crop a case to its brain, clip, resample, z-score.

    spacing: mm of the prepared voxels, one number or three; None keeps the case's voxels as they
             are.
    clip:    percentiles inside the brain at which each sequence is clipped; None does not clip.

    The brain is `case.mask`, or `brain_mask` where that is None. Each sequence is scaled over the
    voxels of the brain that it covers: a field of view that ends inside the head is cut out, its
    voxels are 0 like those of a missing sequence. Resampling averages brain voxels only, so no
    background is mixed in, and whatever the scanner's gain and offset, the result is the same.

    A prepared voxel belongs to a region if the region fills at least half of it.

    Raises `GliomakitError` if there is no brain, if a sequence holds one value only, and for voxels
    so large that the resampled case would fill the memory.
    """
    empty = in_threads(background, case.image)
    brain = brain_mask(case.image, empty) if case.mask is None else np.asarray(case.mask, bool)
    box = bounds(brain)
    if box is None:
        raise GliomakitError(
            "there is no brain in the image: it holds one value only"
            if case.mask is None
            else "the brain mask is empty",
            where=case.name,
        )
    frame = Frame(brain.shape, box, _three(case.spacing), _three(spacing))
    if (voxels := prod(frame.size)) > MOST:
        sides = " × ".join(f"{side:.3g}" for side in case.spacing)
        raise GliomakitError(
            f"with voxels of {sides} mm it would be resampled to {voxels:.1e} of them",
            where=case.name,
            todo="the voxel size in its header is no head's: mend the file",
        )
    inside = brain[frame.slices]
    filled = _to_frame(inside, frame)
    # The smallest box of large voxels may hold none that is half full: then any share will do.
    prepared_brain = filled >= _HALF if (filled >= _HALF).any() else filled > 0

    image = np.zeros((len(SEQUENCES), *frame.size), np.float32)

    def fill(sequence: str) -> None:
        channel = SEQUENCES.index(sequence)
        values = case.image[channel][frame.slices]
        covered = inside & ~cut_off(values, inside, empty[channel])
        sample = values[covered]
        if not np.isfinite(sample).all():
            raise GliomakitError(f"{sequence} has voxels that are no numbers", where=case.name)
        if not sample.size or sample.min() == sample.max():
            raise GliomakitError(
                f"{sequence} holds one value only inside the brain",
                where=case.name,
                todo="leave this sequence out",
            )
        if frame.ratio == (1.0, 1.0, 1.0):
            image[channel][covered] = scale_kept(sample, clip)
            return
        share = filled if (covered == inside).all() else _to_frame(covered, frame)
        values = clipped(values, sample, covered, clip)
        image[channel] = scale(values, share, prepared_brain, frame)

    # The label comes last: without one, so does nothing.
    jobs = [partial(fill, sequence) for sequence in SEQUENCES if sequence in case.present]
    if case.label is not None:
        jobs.append(partial(_code, case, frame))
    *_, regions = in_threads(lambda job: job(), jobs)
    return Prepared(
        name=case.name,
        image=image,
        regions=regions,
        brain=prepared_brain,
        present=tuple(case.present),
        affine=frame.affine(case.affine),
        spacing=frame.prepared_spacing,
        frame=frame,
    )


def to_regions_array(code: np.ndarray) -> np.ndarray:
    """WT, TC, ET (bool, (3, …)) of the nested code of `Prepared.regions`.

    >>> to_regions_array(np.array([0, 1, 2, 3], np.uint8)).astype(int)
    array([[0, 1, 1, 1],
           [0, 0, 1, 1],
           [0, 0, 0, 1]])
    """
    return np.stack([code >= 1, code >= 2, code >= 3])


def cached(
    files: CaseFiles,
    folder: Path | None = None,
    spacing: Spacing = None,
    clip: Clip = CLIP,
) -> Prepared:
    """`prepare` a case from its files, or take it from the cache, memory-mapped.

    folder: the cache, by default `paths.prepared_folder()`. An entry is found by the content of
    the files and the settings, so a file that changed is prepared anew; a damaged entry is too.
    Raises `GliomakitError` if the case is bad, or the cache cannot be written or has no room.
    """
    folder = prepared_folder() if folder is None else Path(folder)
    key = _key(files, folder, spacing, clip)
    for _ in range(3):  # once, unless another process is just repairing the same entry
        found = kept(files.name, folder, key)
        if found is not None:
            return found
        _fill(files, folder, key, spacing, clip)
    raise GliomakitError("a cache entry just written cannot be read", where=folder / key)


def prepare_all(
    cases: Sequence[CaseFiles],
    folder: Path | None = None,
    spacing: Spacing = None,
    clip: Clip = CLIP,
    workers: int | None = None,
    progress: bool = True,
) -> list[Prepared]:
    """`cached` for many cases, in their order; those not in the cache in several processes.

    workers: processes, by default one a core. progress: a bar on stderr, if that is a terminal.
    Raises `GliomakitError` at the first bad case; what was prepared by then stays in the cache.
    """
    folder = prepared_folder() if folder is None else Path(folder)
    keys = [_key(files, folder, spacing, clip) for files in cases]
    missing = [i for i, key in enumerate(keys) if fetch(folder, key) is None]
    jobs = [(cases[i], folder, keys[i], spacing, clip) for i in missing]
    hidden = not progress or not sys.stderr.isatty()
    with tqdm(total=len(jobs), desc="prepare", unit="case", disable=hidden) as bar:
        for _ in parallel(_fill, jobs, workers or cores()):
            bar.update()
    return [cached(files, folder, spacing, clip) for files in cases]


def keep(case: Case, folder: Path, key: str, spacing: Spacing = None, clip: Clip = CLIP) -> None:
    """Prepare a case that comes from no file and put it into the cache, under a key of one's own:
    letters, digits and _. `kept` takes it out."""
    prepared = prepare(case, spacing, clip)
    arrays = {"image": prepared.image, "brain": prepared.brain}
    if prepared.regions is not None:
        arrays["regions"] = prepared.regions
    frame = prepared.frame
    facts = {
        "present": prepared.present,
        "affine": prepared.affine.tolist(),
        "spacing": prepared.spacing,
        "frame": {
            "shape": frame.shape,
            "box": frame.box,
            "spacing": frame.spacing,
            "target": frame.target,
        },
    }
    store(folder, key, arrays, facts)


def kept(name: str, folder: Path, key: str) -> Prepared | None:
    """The prepared case under that key, memory-mapped; None if it is not there, or damaged."""
    found = fetch(folder, key)
    if found is None:
        return None
    arrays, facts = found
    frame = facts["frame"]
    return Prepared(
        name=name,
        image=arrays["image"],
        regions=arrays.get("regions"),
        brain=arrays["brain"],
        present=tuple(facts["present"]),
        affine=np.array(facts["affine"]),
        spacing=tuple(facts["spacing"]),
        frame=Frame(
            shape=tuple(frame["shape"]),
            box=tuple(Span(*span) for span in frame["box"]),
            spacing=tuple(frame["spacing"]),
            target=None if frame["target"] is None else tuple(frame["target"]),
        ),
    )


def _fill(files: CaseFiles, folder: Path, key: str, spacing: Spacing, clip: Clip) -> None:
    keep(files.read(), folder, key, spacing, clip)


def _key(files: CaseFiles, folder: Path, spacing: Spacing, clip: Clip) -> str:
    """All that the prepared arrays depend on: the files' bytes, how they are read, the settings."""
    known: dict[Path, str] = {}

    def content(path: Path | None) -> str | None:
        if path is not None and path not in known:
            try:
                known[path] = digest(path, folder / "index")
            except OSError as error:
                raise GliomakitError(f"cannot be read ({error.strerror})", where=path) from error
        return None if path is None else known[path]

    channels = files.channels or {}
    return key_of(
        version=VERSION,
        images={name: [content(path), channels.get(name)] for name, path in files.images.items()},
        label=content(files.label),
        convention=[files.convention, files.hint, files.kind],
        mask=content(files.mask),
        spacing=_three(spacing),
        clip=clip,
    )


def _to_frame(array: np.ndarray, frame: Frame) -> np.ndarray:
    """An array of the box, resampled to the prepared grid; float32."""
    return resample(array.astype(np.float32), frame.size, frame.ratio)


def _code(case: Case, frame: Frame) -> np.ndarray:
    regions = case.regions(frame.slices)
    if frame.ratio == (1.0, 1.0, 1.0):
        return regions.sum(0, dtype=np.uint8)
    shares = resample(regions.astype(np.float32), frame.size, frame.ratio)
    return (shares >= _HALF).sum(0, dtype=np.uint8)


def _three(spacing: Spacing | Sequence[float]) -> tuple[float, float, float] | None:
    if spacing is None:
        return None
    three = (spacing,) * 3 if np.isscalar(spacing) else tuple(spacing)
    three = tuple(float(s) for s in three)
    if len(three) != 3 or not all(0 < s < np.inf for s in three):
        raise GliomakitError(f"a spacing is one length in mm, or three, not {spacing}")
    return three
