"""What a person takes away beside the label: a page of HTML, and tables of what its numbers are."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from datetime import date
from html import escape
from typing import NamedTuple

import numpy as np

from .._planes import planes
from ..cases import Case
from ..regions import (
    REGION_NAMES,
    REGIONS,
    SEQUENCE_NAMES,
    TISSUE_COLOURS,
    Convention,
    convention,
)

CAUTION = (
    "Not a medical device. The network that ships with gliomakit was trained on synthetic patients "
    "alone. Do not use this to decide anything about a person."
)

STYLE = """
body { font: 15px/1.45 system-ui, sans-serif; max-width: 48rem; margin: 2rem auto; padding: 0 1rem;
  color: #16191d; background: #fff }
h1 { font-size: 1.35rem } img { max-width: 100% } table { border-collapse: collapse }
td, th { text-align: left; padding: .2rem 1rem .2rem 0; border-bottom: 1px solid #ccc }
.caution { border-left: .4rem solid #d55e00; padding: .3rem .8rem; background: #fdf1e8 }
small { color: #555 } @media print { body { margin: 0 auto } }
"""


class Words(NamedTuple):
    """What a report says, whatever it is written in. Plain text: nothing is escaped yet."""

    title: str
    volumes: list[tuple[str, str]]
    nested: str
    given: str
    warned: list[str]
    foot: str


def words(
    case: Case, facts: Mapping[str, object], findings: Sequence[str] = (), day: date | None = None
) -> Words:
    """The text of a report; the arguments are those of `report`."""
    network = facts.get("network") or {}
    sides = " × ".join(map(str, case.grid.shape))
    sizes = " × ".join(f"{mm:.3g}" for mm in case.grid.spacing)
    return Words(
        title=f"{case.name}: glioma segmentation",
        volumes=volumes(facts),
        nested="Each region holds the next: enhancing tumour is part of the core, "
        "the core of the whole tumour.",
        given=f"Given: {', '.join(SEQUENCE_NAMES[name] for name in case.present)}; "
        f"{sides} voxels of {sizes} mm.",
        warned=[*findings, *(str(w["text"]) for w in facts.get("warnings", ()))],
        foot=f"gliomakit {facts.get('gliomakit', '')}, network {network.get('name', '')} "
        f"(SHA-256 {str(network.get('sha256', ''))[:16]}…), "
        f"{(day or date.today()).isoformat()}. Label values: {_values(facts)}.",
    )


def report(
    case: Case,
    regions: np.ndarray,
    facts: Mapping[str, object],
    findings: Sequence[str] = (),
    day: date | None = None,
) -> str:
    """One page of HTML that needs nothing beside it: picture, mL, what was given, what was warned.

    regions: bool (3, x, y, z). facts: the JSON beside the label. findings: of `checks`, in words.
    """
    said = words(case, facts, findings, day)
    picture = planes(case, prediction=regions)
    data = base64.b64encode(picture.png()).decode()
    rows = "".join(f"<tr><td>{name}<td>{ml}" for name, ml in said.volumes)
    warnings = "".join(f"<li>{escape(text)}" for text in said.warned) or "<li>nothing"
    return f"""<!doctype html>
<html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>{escape(said.title)}</title><style>{STYLE}</style>
<h1>{escape(said.title)}</h1>
<p class="caution">⚠ {CAUTION}
<p><img alt="{escape(picture.alt, quote=True)}" src="data:image/png;base64,{data}">
<table><tr><th>region<th>volume, mL{rows}</table>
<p>{said.nested}
<p>{said.given}
<p>What looked wrong:<ul>{warnings}</ul>
<p><small>{escape(said.foot)}</small>
</html>
"""


def volumes(facts: Mapping[str, object]) -> list[tuple[str, str]]:
    """Regions and their mL in words; one that the network does not look for has none.

    >>> volumes({"volumes_ml": {"wt": 12.345}})[:2]
    [('whole tumour', '12.3'), ('tumour core', 'not looked for')]
    """
    found = facts["volumes_ml"]
    return [
        (REGION_NAMES[r], f"{found[r]:.1f}" if r in found else "not looked for") for r in REGIONS
    ]


def slicer_table(name: str) -> str:
    """A colour table (.ctbl) for 3D Slicer: load it with the label and choose it as its colours.

    >>> print(slicer_table("brats2017").splitlines()[2])
    1 core 213 94 0 255
    """
    lines = ["# gliomakit: " + name, "0 background 0 0 0 0"]
    for value, tissue, colour in _tissues(convention(name)):
        lines.append(f"{value} {tissue} {' '.join(map(str, colour))} 255")
    return "\n".join(lines) + "\n"


def snap_table(name: str) -> str:
    """A label description for ITK-SNAP: Segmentation, Import Label Descriptions.

    >>> print(snap_table("msd").splitlines()[-1])
        3   240  228   66        1  1  1    "enhancing"
    """
    lines = [
        "# ITK-SnAP Label Description File",
        "# IDX   -R-  -G-  -B-  -A--  VIS MSH  LABEL",
        '    0     0    0    0        0  0  0    "Clear Label"',
    ]
    for value, tissue, (red, green, blue) in _tissues(convention(name)):
        lines.append(f'{value:5d} {red:5d}{green:5d}{blue:5d}        1  1  1    "{tissue}"')
    return "\n".join(lines) + "\n"


def _tissues(known: Convention) -> list[tuple[int, str, tuple[int, int, int]]]:
    """Value, tissue and colour of what `to_label` writes, by value."""
    values = {"edema": known.edema, "core": known.core[0], "enhancing": known.enhancing}
    found = [
        (value, tissue, tuple(bytes.fromhex(TISSUE_COLOURS[tissue][1:])))
        for tissue, value in values.items()
    ]
    return sorted(found)


def _values(facts: Mapping[str, object]) -> str:
    known = convention(str(facts["convention"]))
    return ", ".join(f"{value} {tissue}" for value, tissue, _ in _tissues(known))
