"""TeX in markdown, drawn as SVG: a page without scripts cannot load MathJax."""

from __future__ import annotations

import html
import re

_CODE = r"```.*?```|``[^`]*``|`[^`\n]*`"
_TEX = re.compile(rf"({_CODE})|\$\$(.+?)\$\$|(?<![\\$\w])\$(?=\S)([^$\n]+?)(?<=\S)\$(?!\w)", re.S)
SIZE = 12.0
"""Points of an em in the drawn mathematics."""


def draw_all(markdown: str) -> str:
    """Markdown whose ``$…$`` and ``$$…$$`` are SVG; code is left alone.

    What matplotlib cannot set stays as TeX, in a code font.

    >>> draw_all("costs `$5`, no mathematics")
    'costs `$5`, no mathematics'
    """

    def replace(match: re.Match) -> str:
        code, block, inline = match.groups()
        if code is not None:
            return code
        return draw((block or inline).strip(), block=block is not None)

    return _TEX.sub(replace, markdown)


def draw(tex: str, block: bool = False) -> str:
    """One formula as an HTML element with an inline SVG, its TeX as the text read aloud."""
    kind = "math block" if block else "math"
    label = html.escape(tex, quote=True)
    try:
        svg = _svg(" ".join(tex.split()))
    except Exception:  # matplotlib's parser raises many kinds
        return f'<code class="tex">{html.escape(tex)}</code>'
    return f'<span class="{kind}" role="img" aria-label="{label}">{svg}</span>'


def _svg(tex: str) -> str:
    from matplotlib.font_manager import FontProperties
    from matplotlib.mathtext import MathTextParser
    from matplotlib.textpath import TextPath

    font = FontProperties(size=SIZE, math_fontfamily="cm")
    depth = MathTextParser("path").parse(f"${tex}$", dpi=72, prop=font)[2]
    path = TextPath((0, 0), f"${tex}$", prop=font)
    box = path.get_extents()
    left, bottom = min(box.x0, 0), min(box.y0, -depth)
    width, height = box.x1 - left + 0.5, box.y1 - bottom + 0.5
    steps = {1: "M", 2: "L", 3: "Q", 4: "C"}
    pieces = []
    for vertices, code in path.iter_segments(curves=True, simplify=False):
        if code == path.CLOSEPOLY:
            pieces.append("Z")
            continue
        # SVG counts y downward.
        points = [f"{x:.2f} {-y:.2f}" for x, y in vertices.reshape(-1, 2)]
        pieces.append(steps[int(code)] + " ".join(points))
    return (
        f'<svg viewBox="{left:.2f} {-bottom - height:.2f} {width:.2f} {height:.2f}" '
        f'style="width:{width / SIZE:.3f}em;vertical-align:{bottom / SIZE:.3f}em">'
        f'<path d="{"".join(pieces)}"/></svg>'
    )
