"""Where a sampler cuts, and what it gives: the picture of the patch explorer."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure

from ._axial import axial, largest_slice, mark_sides
from ._moving import lines, outlines, staged
from ._picture import DARK, LIGHT, canvas
from ._reliability import dark_panel
from ._windowing import EMPTY, FULL, _shades
from .errors import GliomakitError
from .patches import PatchSampler, augment_intensity
from .preprocess import Prepared, to_regions_array
from .regions import REGION_COLOURS

SHOWN = 6
"""Patches that are looked at."""

SETTINGS = np.linspace(0, 1, 6)
"""Settings of the foreground that the curves go through, each with `MANY` patches."""

MANY = 200


def cutting(
    prepared: Prepared,
    size: int = 32,
    foreground: float = 0.5,
    balance: bool = False,
    turned: bool = False,
    intensity: bool = False,
    number: int = 48,
    seed: int = 0,
    figure: Figure | None = None,
) -> Figure:
    """The patches that a sampler draws: where they lie, six of them, and how many are empty.

    size, foreground, balance, seed: see `patches.PatchSampler`.
    turned:    flipped and turned at random. intensity: other gains, offsets, gammas and noise.
    number:    patches drawn and counted; those are outlined that cross the slice shown, the one
               with the largest tumour area. The six beside it are the sampler's next ones.

    A patch is empty if it holds no tumour voxel. A `figure` that shows this case already is moved.
    """
    if size < 1 or number < 1 or not 0 <= foreground <= 1:
        raise GliomakitError(
            f"there are no {number} patches of {size} voxels with foreground {foreground}",
            todo="give numbers above 0, and a share from 0 to 1",
        )
    stage = staged(figure, _Cutting, prepared) or _Cutting(prepared, figure)
    stage.move(size, foreground, balance, turned, intensity, number, seed)
    return stage.figure


class Counter:
    """Counts a case's tumour voxels in boxes, all at once, from sums of the whole volume."""

    def __init__(self, code: np.ndarray):
        self.sums = np.zeros(tuple(n + 1 for n in code.shape), np.int32)
        inner = self.sums[1:, 1:, 1:]
        np.cumsum(code > 0, axis=0, dtype=np.int32, out=inner)
        for axis in (1, 2):
            np.cumsum(inner, axis=axis, out=inner)

    def __call__(self, origin: np.ndarray, size: int) -> np.ndarray:
        """Tumour voxels in each box: origin (n, 3) its first voxel, size its side; int (n,).

        >>> code = np.zeros((4, 4, 4), np.uint8); code[1:3, 1, 1] = 2
        >>> Counter(code)(np.array([[0, 0, 0], [2, 0, 0], [-1, -1, -1]]), 2).tolist()
        [1, 1, 0]
        """
        last = np.array(self.sums.shape) - 1
        low, high = np.clip(origin, 0, last).T, np.clip(origin + size, 0, last).T
        (a, b, c), (x, y, z), s = low, high, self.sums
        upper = s[x, y, z] - s[a, y, z] - s[x, b, z] + s[a, b, z]
        return upper - s[x, y, c] + s[a, y, c] + s[x, b, c] - s[a, b, c]


class _Cutting:
    """The sampler, and the artists: a slice with squares, six patches, two curves."""

    def __init__(self, prepared: Prepared, figure: Figure | None):
        if prepared.regions is None:
            raise GliomakitError(
                "patches are counted by their tumour", prepared.name, "give a label"
            )
        if not np.isfinite(prepared.image).all():
            raise GliomakitError("the image has voxels that are no numbers", where=prepared.name)
        self.data, self.prepared = (prepared,), prepared
        self.code = np.asarray(prepared.regions)
        self.count, self.sampler = Counter(self.code), PatchSampler(prepared, size=1)
        self.whole = 100 * float(self.count.sums[-1, -1, -1]) / self.code.size
        self.shades = _shades([prepared.image[0]])
        regions = to_regions_array(self.code)
        self.z = largest_slice(regions)
        wide, high = (n * s for n, s in zip(self.code.shape[:2], prepared.spacing))
        self.figure = canvas(figure, 11, 4.0, DARK)
        where = self.figure.add_axes((0.005, 0.13, 0.3, 0.78))
        self.patches = [
            self.figure.add_axes((0.315 + 0.125 * (i % 3), 0.53 - 0.4 * (i // 3), 0.12, 0.38))
            for i in range(SHOWN)
        ]
        share = self.figure.add_axes((0.745, 0.24, 0.24, 0.64))
        self.panels = [where, *self.patches, share]
        _grey(where, self.shades).set(
            data=_plain(prepared.image[0], self.z, self.shades[0]), extent=(0, wide, high, 0)
        )
        where.set_title(f"{prepared.name}, axial slice {self.z}", color=LIGHT, fontsize=11, pad=5)
        border = outlines(axial(regions[0], self.z), wide, high)
        where.add_collection(LineCollection(border, colors=REGION_COLOURS["wt"], linewidths=1.5))
        mark_sides(where)
        looks = {"empty": (EMPTY, ":", 1.0), "full": (FULL, "-", 1.3)}
        self.squares = {kind: lines(where, *look) for kind, look in looks.items()}
        self.greys = [_grey(panel, self.shades, animated=True) for panel in self.patches]
        self.borders = [lines(panel, REGION_COLOURS["wt"], "-", 1.3) for panel in self.patches]
        self.patches[1].set_title("six patches", color=LIGHT, fontsize=11, pad=5)
        dark_panel(share)
        share.set(xlim=(0, 1), ylim=(0, 103), xticks=(0, 0.5, 1), yticks=(0, 50, 100))
        share.set_title("of all patches, %", color=LIGHT, fontsize=11)
        share.set_xlabel("foreground setting", color=LIGHT)
        look = {"animated": True, "linewidth": 1.8}
        self.curves = [
            share.plot([], [], color=EMPTY, linestyle=":", marker="o", label="empty", **look)[0],
            share.plot([], [], color=FULL, marker="s", label="tumour voxels", **look)[0],
        ]
        self.now = share.axvline(0, color=LIGHT, linewidth=1, linestyle="--", animated=True)
        share.legend(loc="upper right", frameon=False, labelcolor=LIGHT, fontsize=10)
        words = {"color": LIGHT, "fontsize": 10.5, "va": "center", "animated": True}
        self.words = self.figure.text(0.008, 0.055, "", **words)
        self.figure.stage = self

    def move(
        self, size: int, foreground: float, balance: bool, turned: bool, intensity: bool,
        number: int, seed: int,
    ) -> None:  # fmt: skip
        """Another sampler."""
        sampler = self.sampler
        sampler.size, sampler.balance, sampler.seed = (size,) * 3, balance, seed
        sampler.flip, sampler.rotate = np.array([turned] * 3), turned
        shares = []
        for setting in SETTINGS:
            sampler.foreground = float(setting)
            held = self.count(sampler.plan(MANY, step=2).origin, size)
            shares.append((100 * np.mean(held == 0), 100 * held.mean() / size**3))
        for curve, values in zip(self.curves, np.transpose(shares)):
            curve.set_data(SETTINGS, values)
        self.now.set_xdata([foreground, foreground])
        sampler.foreground = foreground
        origin = sampler.plan(number).origin
        held = self.count(origin, size)
        crossing = (origin[:, 2] <= self.z) & (self.z < origin[:, 2] + size)
        for kind, chosen in (("empty", held == 0), ("full", held > 0)):
            self.squares[kind].set_segments(self._squares(origin[crossing & chosen], size))
        self._look(size, seed, intensity)
        empty, share = int((held == 0).sum()), 100 * held.mean() / size**3
        said = (
            f"{empty} of {number} patches are empty; tumour fills {share:.2g} % of their voxels, "
            f"{self.whole:.2g} % of the case's"
        )
        self.words.set_text(said)
        self.figure.alt = (
            f"Patches of {size} voxels of {self.prepared.name}, foreground {foreground:g}: {said}. "
            f"{int(crossing.sum())} of them cross axial slice {self.z}; six patches beside it"
        )

    def _squares(self, origin: np.ndarray, size: int) -> list[np.ndarray]:
        """Where patches lie in the slice, mm."""
        (nx, ny, _), (sx, sy, _) = self.code.shape, self.prepared.spacing
        corner = np.array([[0, 0], [1, 0], [1, 1], [0, 1], [0, 0]]) * size
        return [(corner + (nx - x - size, ny - y - size)) * (sx, sy) for x, y, _ in origin]

    def _look(self, size: int, seed: int, intensity: bool) -> None:
        """Six patches of the sampler, each in its slice with the largest tumour area."""
        batch = self.sampler.batch(SHOWN, step=1)
        image = batch.image[:, :1]
        if intensity:
            image = augment_intensity(image.clone(), seed=seed, step=1)
        for place, (grey, border) in enumerate(zip(self.greys, self.borders)):
            tumour = batch.code[place].numpy() > 0
            z = largest_slice(tumour[None])
            grey.set_data(_plain(image[place, 0].numpy(), z, self.shades[0]))
            border.set_segments(outlines(axial(tumour, z), 1, 1))


def _plain(volume: np.ndarray, z: int, black: float) -> np.ndarray:
    """A slice of a prepared image, whose exact zeros are no brain."""
    shown = axial(volume, z)
    return np.where(shown == 0, black, shown)


def _grey(panel: Axes, shades: tuple[float, float], animated: bool = False):
    panel.set(xticks=[], yticks=[], facecolor="black")
    panel.spines[:].set_visible(False)
    look = {"cmap": "gray", "vmin": shades[0], "vmax": shades[1], "interpolation": "bilinear"}
    return panel.imshow(np.zeros((1, 1)), extent=(0, 1, 1, 0), animated=animated, **look)
