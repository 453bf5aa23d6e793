"""Random training patches, straight onto the device, and the overlap-tile grid.

`PatchSampler` first *plans* a batch (which case, where, turned and flipped how; a few numbers),
then *fills* it: one copy per patch from the volume into the batch. Only the filling touches
voxels, so it is what another implementation would replace.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch

from ._augment import augment_intensity, drop_sequences, generator
from ._tiles import blend, cut, gaussian, starts, tiles
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
    (n, 4) bool; and the plan that they were cut by."""

    image: torch.Tensor
    code: torch.Tensor
    present: torch.Tensor
    plan: Plan

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
                free memory holds them.

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
        self._voxels: dict[int, _Foreground] = {}
        self._kept: dict[int, tuple[torch.Tensor, torch.Tensor | None]] = {}
        self._keep = self.device.type == "cuda" and _fits(self.cases, self.device)

    def plan(self, n: int, step: int = 0) -> Plan:
        """Draw n patches: where each is cut, how it is turned and flipped."""
        rng = generator(self.seed, step)
        case = rng.integers(len(self.cases), size=n)
        # Every number is drawn whether it is used or not: switching one option on leaves what
        # the others do as it was.
        wanted = rng.random(n) < self.foreground
        tissue, voxel = rng.random((2, n))
        size, shape = np.array(self.size), self._shapes[case]
        room = shape - size
        origin = np.floor(rng.random((n, 3)) * (np.maximum(room, 0) + 1)).astype(np.int64)
        around = wanted.copy()
        for i in np.flatnonzero(wanted):
            found = self._tumour(int(case[i])).draw(tissue[i], voxel[i], self.balance)
            if found is None:
                around[i] = False
            else:
                origin[i] = np.unravel_index(found, shape[i]) - size // 2
        origin = np.clip(origin, 0, np.maximum(room, 0))
        # A volume smaller than the patch lies in its middle.
        origin = np.where(room < 0, -(-room // 2), origin)

        turns = rng.integers(4, size=n) if self.rotate else np.zeros(n, np.int64)
        if self.size[0] != self.size[1]:
            turns = turns // 2 * 2
        flip = (rng.random((n, 3)) < 0.5) & self.flip
        return Plan(case, origin, turns, flip, around)

    def batch(self, n: int, step: int = 0, out: Batch | None = None) -> Batch:
        """n patches, a function of (seed, step).

        out: an earlier batch of the same n, whose memory is written anew (its contents are
        gone). Without it the batch owns its memory.
        """
        plan = self.plan(n, step)
        where = self.device if self._keep else torch.device("cpu")
        if out is not None and out.image.device == where and len(out) == n:
            image, code = out.image, out.code
        else:
            image = torch.empty((n, 4, *self.size), device=where)
            code = torch.empty((n, *self.size), dtype=torch.uint8, device=where)
        self._fill(image, code, plan)
        present = torch.from_numpy(self._present[plan.case])
        return Batch(*(t.to(self.device) for t in (image, code, present)), plan)

    def take(self, n: int, step: int = 0) -> Iterator[Patch]:
        """n single patches, those of the batches of one at `step`, `step` + 1, …"""
        for i in range(n):
            yield self.batch(1, step + i)[0]

    def _fill(self, image: torch.Tensor, code: torch.Tensor, plan: Plan) -> None:
        """Cut, turn and flip every patch of the plan into the batch's memory."""
        # NumPy writes a turned and flipped view in one go; torch would copy twice.
        on_cpu = not self._keep
        images, codes = (image.numpy(), code.numpy()) if on_cpu else (image, code)
        for i, index in enumerate(plan.case):
            volume, label = self._volumes(int(index))
            swap, axes = _as_views(int(plan.turns[i]), plan.flip[i])
            images[i] = _turned(_window(volume, plan.origin[i], self.size), swap, axes)
            if label is None:
                codes[i] = 0
            else:
                codes[i] = _turned(_window(label, plan.origin[i], self.size), swap, axes)

    def _volumes(self, index: int):
        """Image and label of a case: arrays as they are, or tensors kept on the device."""
        case = self.cases[index]
        if not self._keep:
            return case.image, case.regions
        if index not in self._kept:
            label = None if case.regions is None else torch.tensor(np.asarray(case.regions))
            self._kept[index] = (
                torch.tensor(np.asarray(case.image)).to(self.device),
                None if label is None else label.to(self.device),
            )
        return self._kept[index]

    def _tumour(self, index: int) -> _Foreground:
        if index not in self._voxels:
            self._voxels[index] = _Foreground(self.cases[index].regions)
        return self._voxels[index]


class _Foreground:
    """A case's tumour voxels: linear indices (uint32), sorted by tissue."""

    def __init__(self, code: np.ndarray | None):
        flat = np.zeros(0, np.uint8) if code is None else np.asarray(code).reshape(-1)
        voxels = np.flatnonzero(flat)
        tissue = flat[voxels]
        self.voxels = voxels[np.argsort(tissue, kind="stable")].astype(np.uint32)
        self.counts = np.bincount(tissue, minlength=4)[1:]
        self.counts = self.counts[self.counts > 0]
        self.starts = np.cumsum(self.counts) - self.counts

    def draw(self, tissue: float, voxel: float, balance: bool) -> int | None:
        """A voxel's linear index, chosen by two numbers in [0, 1); None if there is none."""
        if not len(self.voxels):
            return None
        if not balance:
            return int(self.voxels[int(voxel * len(self.voxels))])
        k = int(tissue * len(self.counts))
        return int(self.voxels[self.starts[k] + int(voxel * self.counts[k])])


def _as_views(turns: int, flip: np.ndarray) -> tuple[bool, tuple[int, ...]]:
    """Turns and flips as one exchange of x and y and a set of reversed axes."""
    reverse = flip.copy()
    # A quarter turn is an exchange of axes and then one reversed axis; a half turn reverses two.
    reverse[0] ^= turns in (1, 2)
    reverse[1] ^= turns in (2, 3)
    return turns % 2 == 1, tuple(int(a) for a in np.flatnonzero(reverse) - 3)


def _turned(view, swap: bool, axes: tuple[int, ...]):
    view = view.swapaxes(-3, -2) if swap else view
    return np.flip(view, axes) if isinstance(view, np.ndarray) else torch.flip(view, axes)


def _window(volume, origin: np.ndarray, size: tuple[int, ...]):
    """The window of a volume (…, x, y, z) at `origin`: a view, or a zero-padded copy where it
    sticks out."""
    lengths = volume.shape[-3:]
    inside = tuple(
        slice(max(o, 0), min(o + s, n)) for o, s, n in zip(origin, size, lengths, strict=True)
    )
    view = volume[(..., *inside)]
    if tuple(view.shape[-3:]) == size:
        return view
    shape = (*volume.shape[:-3], *size)
    if isinstance(volume, np.ndarray):
        padded = np.zeros(shape, volume.dtype)
    else:
        padded = volume.new_zeros(shape)
    start = tuple(slice(s.start - o, s.stop - o) for s, o in zip(inside, origin, strict=True))
    padded[(..., *start)] = view
    return padded


def _cut_reference(
    volume: np.ndarray, origin: Sequence[int], size: Sequence[int], turns: int, flip: Sequence[bool]
) -> np.ndarray:
    """What a patch is, said plainly: cut with zeros around, turn in the x–y plane, flip."""
    lead = volume.ndim - 3
    padded = np.pad(volume, [(0, 0)] * lead + [(s, s) for s in size])
    at = tuple(slice(o + s, o + 2 * s) for o, s in zip(origin, size, strict=True))
    patch = np.rot90(padded[(..., *at)], turns, axes=(lead, lead + 1))
    return np.flip(patch, [lead + a for a in range(3) if flip[a]])


def _fits(cases: Sequence[Volume], device: torch.device) -> bool:
    needed = sum(case.image.size * 4 + case.image[0].size for case in cases)
    return needed < torch.cuda.mem_get_info(device)[0] / 2
