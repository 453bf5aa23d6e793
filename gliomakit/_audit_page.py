"""An audit as a page: one file, no script, no network, printable on one sheet."""

from __future__ import annotations

import html
from collections.abc import Sequence

from . import __version__
from .audit import FINE, LOOK, NOT_GIVEN, WRONG, Audit, table

_SIGNS = {FINE: "✔", LOOK: "!", WRONG: "✘", NOT_GIVEN: "–"}

_STYLE = """
:root { color-scheme: light dark; --ground: #fff; --ink: #1b2026; --quiet: #5c6773; --line: #d5dae0;
        --fine: #00704f; --look: #8a5a00; --wrong: #b23b00; }
@media (prefers-color-scheme: dark) { :root { --ground: #14181d; --ink: #e3e7eb; --quiet: #9aa5b1;
        --line: #333c46; --fine: #2fbf8f; --look: #e69f00; --wrong: #ff8a4c; } }
body { background: var(--ground); color: var(--ink); max-width: 46rem; margin: 2rem auto;
       padding: 0 1rem; font: 15px/1.45 system-ui, sans-serif; }
h1 { font-size: 1.4rem; margin-bottom: .2rem; } p.quiet, footer { color: var(--quiet); }
dt { font-weight: 600; margin-top: .8rem; } dd { margin: 0 0 0 1.9rem; }
.sign { display: inline-block; width: 1.9rem; font-weight: 700; }
.fine .sign { color: var(--fine); } .look .sign { color: var(--look); }
.wrong .sign, .wrong .verdict { color: var(--wrong); } .verdict { color: var(--quiet);
       font-weight: 400; }
div.wide { overflow-x: auto; } table { border-collapse: collapse; margin: 1rem 0; }
th, td { text-align: right; padding: .25rem .7rem .25rem 0; border-bottom: 1px solid var(--line);
         white-space: nowrap; font-variant-numeric: tabular-nums; }
th:first-child, td:first-child { text-align: left; }
footer { font-size: .85rem; margin-top: 1.5rem; } @media print { body { margin: 0; } }
"""


def page(report: Audit) -> str:
    """The report as HTML; names of patients and classes are text that users typed."""
    questions = "".join(
        f'<div class="{_class(f.verdict)}"><dt><span class="sign">{_SIGNS[f.verdict]}</span>'
        f'{html.escape(f.question)} <span class="verdict">{f.verdict}</span></dt>'
        f"<dd>{html.escape(f.answer)}</dd></div>"
        for f in report.findings
    )
    worst = sorted(report.scores.volumes.items(), key=lambda item: item[1])
    patients = [["patient", "Dice"], *([name, f"{value:.3f}"] for name, value in worst[:10])]
    shown = f", the {len(patients) - 1} lowest" if len(worst) > 10 else ", lowest first"
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>Audit of a segmentation</title><style>{_STYLE}</style></head><body>"
        "<h1>Audit of a segmentation</h1>"
        f'<p class="quiet">{len(worst)} patients, {report.scores.slices} slices</p>'
        f"<dl>{questions}</dl><h2>Beside methods that look at little</h2>"
        f"{_table(table(report))}<h2>Patients{shown}</h2>{_table(patients)}"
        f"<footer>gliomakit {__version__}. Dice of two empty masks is 1, of one empty mask 0. "
        "Not a medical device.</footer></body></html>\n"
    )


def _class(verdict: str) -> str:
    return verdict.replace(" ", "-")


def _table(rows: Sequence[Sequence[str]]) -> str:
    head, *body = [[html.escape(cell) for cell in row] for row in rows]
    lines = "".join(f"<tr>{''.join(f'<td>{c}</td>' for c in row)}</tr>" for row in body)
    cells = "".join(f"<th>{c}</th>" for c in head)
    return f'<div class="wide"><table><tr>{cells}</tr>{lines}</table></div>'
