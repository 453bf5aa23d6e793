"""Random training patches, straight onto the device, and the overlap-tile grid.

`PatchSampler` first *plans* a batch (which case, where, turned and flipped how; a few numbers),
then *fills* it, each voxel copied once from its volume into the batch. Only the filling touches
voxels, so there are several ways to do it: see `_fill`. On a GPU that has all cases, both are done
there, by two launches: see `_drawing`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, fields
from functools import cached_property
from typing import Protocol

import numpy as np
import torch

from ._augment import augment_intensity, drop_sequences, generator, steps_of
from ._drawing import Atlas, Foreground, asked
from ._fill import WAYS, Stored, fill, pick_way, store
from ._tiles import blend, cut, gaussian, starts, tiles
from .device import empty, sent
from .errors import GliomakitError
from .regions import SEQUENCES

__all__ = [
    "Batch",
    "Patch",
    "PatchSampler",
    "Plan",
    "augment_intensity",
    "blend",
    "cut",
    "drop_sequences",
    "gaussian",
    "generator",
    "starts",
    "tiles",
]


class Volume(Protocol):
    """What a sampler needs of a prepared case (`preprocess.Prepared` has it)."""

    image: np.ndarray
    """(4, x, y, z) float32, may be memory-mapped."""
    regions: np.ndarray | None
    """(x, y, z) uint8: 0 background, 1 edema, 2 core, 3 enhancing; None without a label."""
    present: Sequence[str]
    """Names of the sequences that the case has."""


@dataclass(frozen=True)
class Plan:
    """Where the n patches of a batch come from, and how they lie in it.

    case: (n,) index of the case; origin: (n, 3) the patch's first voxel in the volume, below 0
    where the volume is smaller than the patch; turns: (n,) quarter turns in the x–y plane
    (`numpy.rot90`), done first; flip: (n, 3) bool, axes that are reversed afterwards;
    foreground: (n,) bool, whether the patch was put around a tumour voxel.
    """

    case: np.ndarray
    origin: np.ndarray
    turns: np.ndarray
    flip: np.ndarray
    foreground: np.ndarray


@dataclass(frozen=True)
class Patch:
    """One patch: image (4, x, y, z) float32, label (x, y, z) uint8 (the nested code: 0
    background, 1 edema, 2 core, 3 enhancing), its case's index and its first voxel there."""

    image: torch.Tensor
    label: torch.Tensor
    case: int
    origin: tuple[int, int, int]


@dataclass(frozen=True)
class Batch:
    """Patches on the device: image (n, 4, x, y, z) float32, code (n, x, y, z) uint8, present
    (n, 4) bool."""

    image: torch.Tensor
    code: torch.Tensor
    present: torch.Tensor
    planned: Plan | Callable[[], Plan] = field(repr=False)

    @cached_property
    def plan(self) -> Plan:
        """The plan that they were cut by. One that a GPU drew is drawn again, when asked for."""
        return self.planned() if callable(self.planned) else self.planned

    @property
    def case(self) -> np.ndarray:
        """(n,) index of each patch's case."""
        return self.plan.case

    @property
    def origin(self) -> np.ndarray:
        """(n, 3) each patch's first voxel in its volume."""
        return self.plan.origin

    @property
    def centre(self) -> np.ndarray:
        """(n, 3) the voxel in each patch's middle (index size // 2)."""
        return self.plan.origin + np.array(self.code.shape[1:]) // 2

    def __len__(self) -> int:
        return len(self.code)

    def __getitem__(self, i: int) -> Patch:
        origin = tuple(int(v) for v in self.plan.origin[i])
        return Patch(self.image[i], self.code[i], int(self.plan.case[i]), origin)


class PatchSampler:
    """Draws random patches from prepared cases, all cases alike.

    cases:      one prepared case or several. Memory-mapped ones are read only where a patch
                lies; their labels are read once, when first needed.
    size:       patch size in voxels, one number or three. A smaller volume is padded with zeros.
    foreground: probability that a patch is put around a tumour voxel, all of the case's tumour
                voxels being equally probable; the patch is centred on it as far as the volume's
                border allows and always contains it. Otherwise, and in a case without tumour,
                all positions are equally probable.
    balance:    choose the tissue first (edema, core, enhancing, those that the case has), then
                its voxel: small tissues are seen as often as large ones.
    flip:       reverse each axis with probability ½; True is all three, "x" or "xy" only those.
    rotate:     turn by 0, 90, 180 or 270° in the x–y plane (0 or 180° if the patch's sides
                differ there).
    device:     where the batches go. On a CUDA device the volumes are kept there, if half of its
                free memory holds them. Each batch brings cases there; when all are there, the
                device draws the patches by itself.
    stored:     what the volumes are kept as: "float32", "float16" or "int16" (`_fill.store` says
                how exact these are). None is float32, or int16 where float32 would not fit; on a
                processor the cases' own arrays.
    way:        how patches are cut, "plain", "views" or "triton"; None is the fastest there.

    A batch is a function of (seed, step) alone.

    >>> from types import SimpleNamespace
    >>> label = np.zeros((9, 9, 9), np.uint8); label[8, 0, 4] = 3
    >>> case = SimpleNamespace(image=np.ones((4, 9, 9, 9), np.float32), regions=label,
    ...                        present=("flair", "t1", "t1ce", "t2"))
    >>> batch = PatchSampler(case, size=4, foreground=1.0, seed=1).batch(5, step=0)
    >>> batch.image.shape, batch.code.flatten(1).amax(1).tolist()
    (torch.Size([5, 4, 4, 4, 4]), [3, 3, 3, 3, 3])
    """

    def __init__(
        self,
        cases: Volume | Sequence[Volume],
        size: int | Sequence[int] = 64,
        foreground: float = 0.5,
        flip: bool | str = True,
        rotate: bool = True,
        seed: int = 0,
        device: str | torch.device = "cpu",
        balance: bool = False,
        stored: str | None = None,
        way: str | None = None,
    ):
        self.cases = list(cases) if isinstance(cases, Sequence) else [cases]
        self.size = (size,) * 3 if isinstance(size, int) else tuple(int(s) for s in size)
        if not self.cases:
            raise GliomakitError("a sampler needs at least one case")
        if len(self.size) != 3 or min(self.size) < 1:
            raise GliomakitError(f"a patch has one size or three, above 0, not {size}")
        if not 0 <= foreground <= 1:
            raise GliomakitError(f"foreground is a probability, not {foreground}")
        self.foreground, self.rotate = foreground, rotate
        self.flip = np.array([axis in ("xyz" if flip is True else flip or "") for axis in "xyz"])
        self.seed, self.balance = seed, balance
        self.device = torch.device(device)
        self._shapes = np.array([case.image.shape[1:] for case in self.cases])
        self._present = np.array([[s in c.present for s in SEQUENCES] for c in self.cases])
        self._voxels: dict[int, Foreground] = {}
        self._atlas: Atlas | None = None
        self._volumes: dict[int, Stored] = {}
        self.stored = stored or _kept_as(self.cases, self.device)
        self._home = self.device if self.stored else torch.device("cpu")
        if way not in (None, *WAYS):
            raise GliomakitError(
                f"there is no way {way!r} to cut patches", todo=f"known are {', '.join(WAYS)}"
            )
        self.way = way or pick_way(self._home)

    def plan(self, n: int, step: int = 0) -> Plan:
        """Draw n patches: where each is cut, how it is turned and flipped."""
        rng = generator(self.seed, step)
        case = _below(rng, len(self.cases), n)
        # Every number is drawn whether it is used or not: switching one option on leaves what
        # the others do as it was.
        wanted = rng.random(n) < self.foreground
        tissue, voxel = rng.random((2, n))
        size, shape = np.array(self.size), self._shapes[case]
        room = shape - size
        origin = np.floor(rng.random((n, 3)) * (np.maximum(room, 0) + 1)).astype(np.int64)
        around = wanted.copy()
        half = size // 2
        for i in np.flatnonzero(wanted).tolist():
            found = self._tumour(int(case[i])).draw(tissue[i], voxel[i], self.balance)
            if found is None:
                around[i] = False
            else:
                _, ny, nz = shape[i]
                origin[i] = (found // (ny * nz), found // nz % ny, found % nz) - half
        origin = np.clip(origin, 0, np.maximum(room, 0))
        # A volume smaller than the patch lies in its middle.
        origin = np.where(room < 0, -(-room // 2), origin)

        turns = _below(rng, 4, n) if self.rotate else np.zeros(n, np.int64)
        if self.size[0] != self.size[1]:
            turns = turns // 2 * 2
        flip = (rng.random((n, 3)) < 0.5) & self.flip
        return Plan(case, origin, turns, flip, around)

    def batch(self, n: int, step: int | range = 0, out: Batch | None = None) -> Batch:
        """n patches, a function of (seed, step).

        step: of several steps (a range, one after the other) the n patches of each, one behind the
        other. out: an earlier batch as large, whose memory is written anew (its contents are
        gone). Without it the batch owns its memory.
        """
        steps = steps_of(step)
        where, many = self._home, n * len(steps)
        if out is not None and out.image.device.type == where.type and len(out) == many:
            image, code = out.image, out.code
        else:
            image = empty((many, 4, *self.size), device=where)
            code = empty((many, *self.size), torch.uint8, where)
        atlas = self._all_there()
        if atlas is not None:
            settings = (self.seed, self.foreground, self.size, self.balance, self.rotate)
            present = atlas.batch(image, code, steps, asked(*settings, self.flip.tolist()))
            return Batch(image, code, present, lambda: self._plans(n, steps))
        plan = self._plans(n, steps)
        fill(image, code, {i: self._volume(i) for i in set(plan.case.tolist())}, plan, self.way)
        present = sent(self._present[plan.case], self.device)
        return Batch(image.to(self.device), code.to(self.device), present, plan)

    def _plans(self, n: int, steps: range) -> Plan:
        """The plans of several steps as one."""
        plans = [self.plan(n, step) for step in steps]
        names = [field.name for field in fields(Plan)]
        return Plan(*(np.concatenate([getattr(plan, name) for plan in plans]) for name in names))

    def take(self, n: int, step: int = 0) -> Iterator[Patch]:
        """n single patches, those of the batches of one at `step`, `step` + 1, …"""
        for i in range(n):
            yield self.batch(1, step + i)[0]

    def _volume(self, index: int) -> Stored:
        """A case as patches are cut from it: its own arrays, or kept on the device."""
        if index not in self._volumes:
            case = self.cases[index]
            own = Stored(case.image, case.regions)
            kept = self.stored and store(case.image, case.regions, self.stored, self.device)
            self._volumes[index] = kept or own
        return self._volumes[index]

    def _tumour(self, index: int) -> Foreground:
        if index not in self._voxels:
            self._voxels[index] = Foreground(self.cases[index].regions)
        return self._voxels[index]

    def _all_there(self) -> Atlas | None:
        """What the GPU draws by itself from, once it has all cases: each batch brings it one."""
        if self._atlas is None and self.way == "triton":
            every = range(len(self.cases))
            there = self._volumes.keys() & self._voxels.keys()
            new = next((i for i in every if i not in there), 0)
            self._volume(new), self._tumour(new)
            if len(there | {new}) == len(every):
                volumes, tumours = ([d[i] for i in every] for d in (self._volumes, self._voxels))
                self._atlas = Atlas(volumes, tumours, self._present)
        return self._atlas


def _below(rng: np.random.Generator, limit: int, n: int) -> np.ndarray:
    """n whole numbers below `limit`, all equally probable to 2⁻³²: `rng.integers`, but that no
    number is ever drawn a second time, so that each has its place in the stream."""
    if limit == 1:
        return np.zeros(n, np.int64)
    bits = rng.integers(2**32, size=n, dtype=np.uint32)
    return (bits.astype(np.int64) * limit) >> 32


def _kept_as(cases: Sequence[Volume], device: torch.device) -> str | None:
    """As what the volumes are kept on a GPU, in half of its free memory; None: not there."""
    if device.type != "cuda":
        return None
    room = torch.cuda.mem_get_info(device)[0] / 2
    voxels, labels = sum(c.image.size for c in cases), sum(c.image[0].size for c in cases)
    kinds = {"float32": 4 * voxels + labels, "int16": 2 * voxels + labels}
    return next((kind for kind, needed in kinds.items() if needed < room), None)
