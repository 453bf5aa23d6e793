"""The report as a PDF of one page, drawn by matplotlib: the words and the picture of `report`."""

from __future__ import annotations

import io
import textwrap
import warnings
from collections.abc import Mapping, Sequence
from datetime import date

import matplotlib
import numpy as np
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties
from matplotlib.patches import Rectangle
from matplotlib.textpath import text_to_path

from .._planes import planes
from ..cases import Case
from .report import CAUTION, words

PAPER = 8.27, 11.69
"""Inches of A4, upright."""

MARGIN, BAR, TALLEST = 0.7, 0.15, 4.2
"""Inches: of white at the edges, what a bar beside a text takes, and that the picture may be
high."""

BODY = 9.5
"""Points of the text; a line takes half as much again."""

BLIND = {"Creator": None, "Producer": None, "CreationDate": None}
"""What a PDF would say of who made it, when and with what: nothing. So the same case on the same
day gives the same bytes."""

SETTINGS = {
    "pdf.fonttype": 42,  # letters can be searched for and copied
    "font.family": "DejaVu Sans",  # comes with matplotlib: the same on every machine
    "text.usetex": False,
}


def pdf_report(
    case: Case,
    regions: np.ndarray,
    facts: Mapping[str, object],
    findings: Sequence[str] = (),
    day: date | None = None,
) -> bytes:
    """What `report` says, with the same arguments, as a PDF of one page (A4).

    If more looked wrong than the page has room for, the last line says how many are left out: the
    page of HTML has them all. A letter that the font lacks is an empty box.
    """
    said = words(case, facts, findings, day)
    picture = planes(case, prediction=regions).png(dpi=150)
    with matplotlib.rc_context(SETTINGS), warnings.catch_warnings():
        warnings.filterwarnings("ignore", r"Glyph .* missing from font")
        sheet = _Sheet()
        sheet.write(said.title, size=14, bold=True)
        sheet.write(CAUTION, bold=True, bar="#d55e00")
        sheet.show(picture)
        for name, ml in [("region", "volume, mL"), *said.volumes]:
            head = name == "region"
            sheet.write(ml, bold=head, indent=2.2, stay=True)
            sheet.write(name, bold=head)
        sheet.skip()
        sheet.write(said.nested)
        sheet.write(said.given)
        sheet.skip()
        sheet.write("What looked wrong:")
        foot = sheet.lines(said.foot)
        room = int(sheet.left() - len(foot) - 1)
        for line in _fitting([sheet.lines("– " + t) for t in said.warned or ["nothing"]], room):
            sheet.write(line)
        sheet.skip()
        sheet.write(said.foot, color="#555555")
        out = io.BytesIO()
        sheet.figure.savefig(out, format="pdf", metadata=BLIND)
    return out.getvalue()


class _Sheet:
    """A page that is written from the top; `y` is where, in inches from below."""

    def __init__(self):
        self.figure = Figure(figsize=PAPER)
        self.y = PAPER[1] - MARGIN

    @property
    def step(self) -> float:
        """Inches a line."""
        return BODY * 1.5 / 72

    def left(self) -> float:
        """How many lines there is room for."""
        return (self.y - MARGIN) / self.step

    def skip(self) -> None:
        self.y -= self.step / 2

    def lines(self, text: str, size: float = BODY, bold: bool = False) -> list[str]:
        """A text cut to lines as wide as the page allows; what cannot be printed is a blank."""
        plain = "".join(letter if letter.isprintable() else " " for letter in text)
        font = FontProperties(size=size, weight="bold" if bold else "normal")
        most, letters = 72 * (PAPER[0] - 2 * MARGIN - BAR), len(plain) + 1
        while True:
            lines = textwrap.wrap(plain, letters) or [""]
            widest = max(
                text_to_path.get_text_width_height_descent(line, font, False)[0] for line in lines
            )
            if widest <= most or letters == 1:
                return lines
            letters = max(1, min(letters - 1, int(letters * most / widest)))

    def write(
        self,
        text: str,
        size: float = BODY,
        indent: float = 0,
        bar: str | None = None,
        stay: bool = False,
        bold: bool = False,
        color: str = "black",
    ) -> None:
        """Write a text below the last one. indent: inches. bar: the colour of a bar beside it.
        stay: the next text begins on the same line."""
        top = self.y
        for line in self.lines(text, size, bold):
            self.y -= self.step * size / BODY
            # Words of others: a `$` in them is a `$`, and begins no formula.
            self.figure.text(
                (MARGIN + indent + (BAR if bar else 0)) / PAPER[0],
                (self.y + self.step / 3) / PAPER[1],
                line,
                fontsize=size,
                parse_math=False,
                weight="bold" if bold else "normal",
                color=color,
            )
        if bar:
            corner = MARGIN / PAPER[0], self.y / PAPER[1]
            size = 0.06 / PAPER[0], (top - self.y) / PAPER[1]
            self.figure.patches.append(
                Rectangle(corner, *size, color=bar, transform=self.figure.transFigure)
            )
            self.skip()
        if stay:
            self.y = top

    def show(self, png: bytes) -> None:
        """A picture, as wide as the text unless that is too high."""
        from PIL import Image

        pixels = np.asarray(Image.open(io.BytesIO(png)).convert("RGB"))
        high, wide = pixels.shape[:2]
        scale = min((PAPER[0] - 2 * MARGIN) / wide, TALLEST / high)
        self.y -= high * scale
        place = np.array((MARGIN, self.y, wide * scale, high * scale))
        panel = self.figure.add_axes(tuple(place / (PAPER * 2)))
        panel.set_axis_off()
        panel.imshow(pixels, interpolation="none", aspect="auto")  # kept as it is, not drawn anew
        self.skip()


def _fitting(items: Sequence[list[str]], room: int) -> list[str]:
    """Lines of as many items as there is room for, and how many are left out.

    >>> _fitting([["a"], ["b", "c"], ["d"]], 3)
    ['a', '… and 2 more, see the page of HTML']
    >>> _fitting([["a"], ["b", "c"]], 3)
    ['a', 'b', 'c']
    """
    if sum(map(len, items)) <= room:
        return [line for item in items for line in item]
    kept, left = [], list(items)
    while left and len(kept) + len(left[0]) < room:  # a line is kept for the last word
        kept += left.pop(0)
    return [*kept, f"… and {len(left)} more, see the page of HTML"]
