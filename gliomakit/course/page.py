"""The executed lessons as HTML pages that need no network, and an index of them."""

from __future__ import annotations

import base64
import html
import io
import os
import re
from collections.abc import Sequence
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import nbformat
from nbformat import NotebookNode

from . import _mathematics

if TYPE_CHECKING:
    from .run import Outcome

TEMPLATE = Path(__file__).parent / "template"
NOTE = "gliomakit is for teaching and research. It is not a medical device."
PRIORITY = ["image/svg+xml", "image/png", "image/jpeg", "text/html", "text/markdown", "text/plain"]
_LINK = re.compile(r"\]\((?:\.\./)?(\w[\w.-]*)\.(?:ipynb|md)(#[^)]*)?\)")
_LOCAL = re.compile(r"(!\[[^\]]*\]\()((?!https?:|data:|attachment:)[^)\s]+)(\))")


def write_lessons(outcomes: Sequence[Outcome], out: Path, notebooks: Path) -> Path:
    """Write a page for each lesson that ran or has none yet, the glossary's, and the index.

    out:       the folder that the pages go to.
    notebooks: the folder whose pictures and glossary the lessons name.

    Returns the index's path.
    """
    out.mkdir(parents=True, exist_ok=True)
    names = [o.name for o in outcomes]
    for outcome in outcomes:
        target = out / f"{outcome.name}.html"
        if outcome.fresh or not target.is_file():
            links = _links(names, outcome.name, notebooks)
            write(target, lesson_page(outcome.notebook, outcome.title, links, notebooks))
    glossary = notebooks / "glossary.md"
    if glossary.is_file():
        cell = nbformat.v4.new_markdown_cell(glossary.read_text(encoding="utf-8"))
        words = nbformat.v4.new_notebook(cells=[cell])
        links = _links([], "", notebooks)
        write(out / "glossary.html", lesson_page(words, "Glossary", links, notebooks))
    write(out / "index.html", index_page(outcomes, glossary.is_file()))
    return out / "index.html"


def lesson_page(notebook: NotebookNode, title: str, links: str, notebooks: Path) -> str:
    """One notebook as a page. Pictures and styles are inside; it makes no request."""
    shown = nbformat.from_dict(notebook)
    for cell in shown.cells:
        if cell.cell_type == "markdown":
            text = _LINK.sub(lambda m: f"]({m[1]}.html{m[2] or ''})", cell.source)
            text = with_pictures(text, notebooks)
            cell.source = _mathematics.draw_all(text)
    resources = {"page": {"title": title, "links": links, "note": NOTE, "style": _style()}}
    body, _ = _exporter().from_notebook_node(shown, resources=resources)
    return body


def _links(names: Sequence[str], name: str, notebooks: Path) -> str:
    """Links to the neighbours, as HTML."""
    links = ['<a href="index.html">All lessons</a>']
    if name in names:
        at = names.index(name)
        if at > 0:
            links.append(f'<a href="{names[at - 1]}.html">← {_spoken(names[at - 1])}</a>')
        if at + 1 < len(names):
            links.append(f'<a href="{names[at + 1]}.html">{_spoken(names[at + 1])} →</a>')
    if (notebooks / "glossary.md").is_file():
        links.append('<a href="glossary.html">Glossary</a>')
    return " ".join(links)


def _spoken(name: str) -> str:
    """
    >>> _spoken("04_unet3d_by_hand")
    '04 unet3d by hand'
    """
    return name.replace("_", " ")


def with_pictures(text: str, notebooks: Path) -> str:
    """Markdown whose local pictures are data addresses in it."""
    return _LOCAL.sub(lambda m: m[1] + _embedded(m[2], notebooks) + m[3], text)


def _embedded(link: str, notebooks: Path) -> str:
    """A local picture as a data address; the link as it is if there is no such file."""
    path = notebooks / link.removeprefix("../")
    if not path.is_file():
        return link
    kind = {".png": "png", ".jpg": "jpeg", ".svg": "svg+xml"}.get(path.suffix, "png")
    return f"data:image/{kind};base64,{base64.b64encode(path.read_bytes()).decode()}"


@cache
def _exporter():
    from nbconvert import HTMLExporter
    from traitlets.config import Config

    config = Config()
    config.NbConvertBase.display_data_priority = PRIORITY
    return HTMLExporter(
        config=config,
        template_name="gliomakit",
        extra_template_basedirs=[str(TEMPLATE)],
        exclude_anchor_links=True,
    )


@cache
def _style() -> str:
    """The pages' style, with the colours of code for light and dark."""
    from pygments.formatters import HtmlFormatter

    light = HtmlFormatter(style="friendly").get_style_defs(".highlight")
    dark = HtmlFormatter(style="github-dark").get_style_defs(".highlight")
    own = (TEMPLATE / "style.css").read_text(encoding="utf-8")
    code = f"{light}\n@media (prefers-color-scheme: dark) {{\n{dark}\n}}\n"
    return code + ".highlight { background: none !important; }\n" + own


def index_page(outcomes: Sequence[Outcome], glossary: bool = False) -> str:
    """The table of lessons: picture, title, seconds, main figure, link."""
    rows = "\n".join(_row(o) for o in outcomes)
    total = sum(o.seconds for o in outcomes)
    failed = sum(o.error is not None for o in outcomes)
    count = f"{len(outcomes)} lesson{'s' if len(outcomes) != 1 else ''}"
    state = f"{failed} failed" if failed else "all ran to their end"
    when = datetime.now().strftime("%d %B %Y, %H:%M").lstrip("0")
    words = '<a href="glossary.html">Glossary</a>. ' if glossary else ""
    style = _style() + (TEMPLATE / "index.css").read_text(encoding="utf-8")
    return f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<link rel="icon" href="data:,">
<title>gliomakit: the executed course</title>
<style>{style}</style>
</head>
<body class="index">
<main>
<h1>Segmenting gliomas</h1>
<p class="lead">Every lesson of the course as it ran on this machine, with its pictures, its
figures and one solution of each exercise.</p>
<p class="facts">{count}, {state}; {total:.0f} s of computing; written {when}.</p>
<ul class="lessons">
{rows}
</ul>
<p class="facts">{words}{NOTE}</p>
</main>
</body>
</html>
"""


def _row(outcome: Outcome) -> str:
    number, title = outcome.name[:2], html.escape(outcome.title)
    picture = thumbnail(outcome.notebook)
    image = f'<img src="{picture}" alt="">' if picture else ""
    figure = html.escape(outcome.figure or "")
    trouble = ""
    if outcome.error:
        figure = '<span class="failed">✘ failed</span>'
        trouble = f"<pre>{html.escape(outcome.error.block)}</pre>"
    return (
        f'<li><a class="row" href="{outcome.name}.html"><span class="thumb">{image}</span>'
        f'<span class="name"><span class="number">{number}</span>{title}</span>'
        f'<span class="seconds">{outcome.seconds:.0f} s</span>'
        f'<span class="figure">{figure}</span>{trouble}</a></li>'
    )


def thumbnail(notebook: NotebookNode, width: int = 360) -> str | None:
    """The last picture among the outputs, small, as a data address; None without pictures."""
    pictures = [
        output["data"]["image/png"]
        for cell in notebook.cells
        for output in cell.get("outputs", [])
        if "image/png" in output.get("data", {})
    ]
    if not pictures:
        return None
    from PIL import Image

    image = Image.open(io.BytesIO(base64.b64decode(pictures[-1]))).convert("RGB")
    image.thumbnail((width, width))
    packed = io.BytesIO()
    image.save(packed, "JPEG", quality=80)
    return f"data:image/jpeg;base64,{base64.b64encode(packed.getvalue()).decode()}"


def write(path: Path, text: str) -> None:
    """Write a page beside its place, then rename it."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    temporary.write_text(text, encoding="utf-8")
    os.replace(temporary, path)
