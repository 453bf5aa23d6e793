"""The figure that `plots` returns: it shows itself in a notebook, small, with a text for those who
cannot see it."""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.artist import Artist
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure

from .regions import TISSUE_COLOURS

DARK, LIGHT = "#0b0d10", "#f2f4f6"
"""Ground and words of every picture: greys of an image are judged on black."""

GREYS, FLAT, MIXED = 124, 48, 80
"""A palette of so many greys, colours of flat areas, and colours in between makes a PNG of anatomy
a third as large, and looks the same."""


class Picture(Figure):
    """A matplotlib `Figure` that no global list keeps alive. `alt` says in words what it shows."""

    alt: str = ""
    _still: tuple | None = None

    def png(self, dpi: float = 100, palette: bool = True) -> bytes:
        """The picture as PNG; `palette` reduces its colours to make the file small."""
        from PIL import Image

        packed = io.BytesIO()
        self.savefig(packed, format="png", dpi=dpi)
        if palette:
            image = Image.open(packed).convert("RGB")
            colours = Image.new("P", (1, 1))
            colours.putpalette(_palette(np.asarray(image)).tobytes())
            image = image.quantize(palette=colours, dither=Image.Dither.NONE)
            packed = io.BytesIO()
            image.save(packed, "PNG", optimize=True)
        return packed.getvalue()

    def quick(self) -> bytes:
        """The picture as PNG for a slider: as it is, packed lightly, many times as fast as `png`.

        Artists that are `animated` are drawn last, over a copy of all others; that copy is kept
        until one of the others changes. So what a slider moves should be animated.
        """
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from PIL import Image

        canvas = self.canvas
        if not isinstance(canvas, FigureCanvasAgg):
            canvas = FigureCanvasAgg(self)
        size = tuple(self.bbox.size)
        if self.stale or self._still is None or self._still[0] != size:
            canvas.draw()
            self._still = size, canvas.copy_from_bbox(self.bbox)
        else:
            canvas.restore_region(self._still[1])
        for artist in sorted(_animated(self), key=lambda one: one.get_zorder()):
            self.draw_artist(artist)
        drawn = Image.frombuffer("RGBA", canvas.get_width_height(), canvas.buffer_rgba())
        return _packed(np.asarray(drawn.convert("RGB")))

    def save(self, path: str | Path, dpi: float = 100) -> Path:
        """Write the picture as PNG."""
        path = Path(path)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(self.png(dpi))
        return path

    def _repr_mimebundle_(self, include=None, exclude=None):
        text = self.alt or "a picture"
        return {"image/png": self.png(), "text/plain": text}, {"image/png": {"alt": text}}


def canvas(figure: Figure | None, width: float, height: float, colour: str) -> Figure:
    """An empty figure: a new `Picture` of that size in inches, or the given one, cleared."""
    if figure is None:
        figure = Picture(figsize=(width, height))
    figure.clear()
    figure.set_facecolor(colour)
    return figure


def legend(figure: Figure, handles: Sequence[Artist], x: float, place: str) -> None:
    """What the colours mean, in the figure's bottom strip."""
    figure.legend(
        handles=handles,
        loc=place,
        bbox_to_anchor=(x, 0.23 / figure.get_figheight()),
        ncols=3,
        frameon=False,
        fontsize=11,
        labelcolor=LIGHT,
        handlelength=1.6,
        columnspacing=1.6,
        borderaxespad=0,
    )


def _animated(figure: Figure) -> list[Artist]:
    parts = [child for panel in figure.axes for child in panel.get_children()]
    return [artist for artist in (*parts, *figure.texts) if artist.get_animated()]


def _packed(pixels: np.ndarray) -> bytes:
    """Pixels (rows, columns, 3), uint8, as PNG: each row as its difference from the one above.

    Pillow tries every filter of the PNG specification on every row, and takes twice as long, a
    quarter of a redraw.
    """
    rows, columns, _ = pixels.shape
    lines = np.full((rows, 1 + 3 * columns), 2, np.uint8)  # 2: the filter "up"
    flat = pixels.reshape(rows, -1)
    lines[0, 1:] = flat[0]
    np.subtract(flat[1:], flat[:-1], out=lines[1:, 1:])
    header = struct.pack(">2I5B", columns, rows, 8, 2, 0, 0, 0)  # 8 bits, RGB
    parts = ((b"IHDR", header), (b"IDAT", zlib.compress(lines.tobytes(), 1)), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        for kind, data in parts
    )


def _palette(pixels: np.ndarray) -> np.ndarray:
    """256 colours for an image (rows, columns, 3), uint8 (256, 3). Ground and tissues' colours are
    among them however few pixels have one: a legend must not turn from yellow to orange."""
    from PIL import Image

    flat = pixels.reshape(-1, 3)
    ground = flat[:1]  # a corner: the largest area of most pictures
    ramp = np.linspace(0, 255, GREYS).round().astype(np.uint8)[:, None].repeat(3, axis=1)
    coloured = flat[np.ptp(flat, axis=1) > 10]
    found, times = np.unique(coloured, axis=0, return_counts=True)
    often = found[np.argsort(times)[::-1][:FLAT]]
    mixed = np.empty((0, 3), np.uint8)
    if len(found) > FLAT:
        # Of the distinct colours, not of the pixels: large areas do not take all the places.
        cut = Image.fromarray(found[None]).quantize(MIXED, Image.Quantize.MEDIANCUT)
        mixed = np.array(cut.getpalette(), np.uint8).reshape(-1, 3)[:MIXED]
    fixed = (np.array([to_rgb(c) for c in TISSUE_COLOURS.values()]) * 255).round().astype(np.uint8)
    chosen = np.concatenate([ramp, ground, fixed, often, mixed])
    return np.concatenate([chosen, np.zeros((256 - len(chosen), 3), np.uint8)])
