"""The look before the leap: what is likely wrong with a case, before a network sees it.

A network segments anything, also a head with its skull on, or a T2 that is called FLAIR, and says
nothing. `check` looks for what users of the field's tools overlook most and says what to do. It
looks at every second millimetre only: half a second, whatever the case. Where it is not sure it
keeps quiet: alarms that are mostly false are not read.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import combinations
from typing import Literal

import numpy as np

from ._contrast import SURE, likely_order
from ._look import Look, look
from ._nifti import open_nifti
from ._sides import cuts
from ._tissues import better, complaints
from .cases import Case, CaseFiles
from .errors import GliomakitError
from .regions import SEQUENCE_NAMES, SEQUENCES

THICK, COARSE = 3.0, 2.5  # mm

GUIDE = "docs/from-your-scanner.md"


@dataclass(frozen=True)
class Finding:
    """One thing that a check found.

    code:  grid, label, values, twice, spacing, orientation, background, skull, cut, exchanged or
           convention.
    level: "warning" if the result would suffer, "note" if it is only worth knowing.
    text:  what it is, and in which sequence; one line.
    todo:  what to do about it.
    """

    code: str
    level: Literal["note", "warning"]
    text: str
    todo: str = ""

    def __str__(self) -> str:
        return f"{self.text}; {self.todo}" if self.todo else self.text


def check(case: Case) -> list[Finding]:
    """What is noteworthy about a case in memory: warnings first.

    >>> from gliomakit.cases import Grid
    >>> ball = (np.indices((40, 40, 40)) - 20.0).__pow__(2).sum(0) < 300
    >>> image = np.zeros((4, 40, 40, 40), np.float32)
    >>> image[:2] = ball * np.random.default_rng(0).uniform(50, 99, ball.shape)
    >>> affine = np.diag([-1.0, -1.0, 5.0, 1.0])
    >>> case = Case("a", image, ("flair", "t1"), affine, Grid((40, 40, 40), affine))
    >>> [(f.code, f.level) for f in check(case)]
    [('twice', 'warning'), ('spacing', 'warning'), ('orientation', 'note')]
    """
    found = _values(case)
    usable = replace(case, present=tuple(s for s in case.present if _has_contrast(case, s)))
    if usable.present:
        seen = look(usable)
        found += _twice(seen)
        found += _background(seen)
        found += _skull(seen)
        if seen.telling:
            found += _exchanged(seen, found)
            found += _cut(seen)
        found += _convention(usable, seen)
    found += _spacing(case)
    found += _orientation(case)
    return sorted(found, key=lambda finding: finding.level != "warning")


def read(files: CaseFiles, resample_to: str | None = None) -> tuple[Case, list[Finding]]:
    """Read a case's files as far as that is possible, and what stood in the way.

    Sequences on different grids are resampled to the finest of them, so that the rest can be
    looked at; a label that cannot be used is left out. Raises `GliomakitError` for the rest.
    """
    found = []
    if resample_to is None and files.channels is None:
        grids = {name: open_nifti(path).grid for name, path in files.images.items()}
        first = next(iter(grids))
        apart = {n: d for n, g in grids.items() if (d := grids[first].difference(g))}
        if apart:
            resample_to = min(grids, key=lambda n: abs(np.linalg.det(grids[n].affine[:3, :3])))
            names = _listed(apart)
            found.append(
                Finding(
                    "grid",
                    "warning",
                    f"{names} {_is(apart)} not on the grid of {SEQUENCE_NAMES[first]}: "
                    f"{next(iter(apart.values()))}",
                    f"if they are of one patient and one exam, say --resample-to {resample_to}",
                )
            )
    try:
        return files.read(resample_to=resample_to), found
    except GliomakitError as error:
        if files.label is None:
            raise
        # If this fails too, it was not the label.
        case = replace(files, label=None).read(resample_to=resample_to)
        what = f"the label {files.label.name} cannot be used: {error.what}"
        return case, [*found, Finding("label", "warning", what, error.todo or "")]


# ---- one function a check ----------------------------------------------------------------------


def _values(case: Case) -> list[Finding]:
    found = []
    for name in case.present:
        voxels = case.sequence(name)
        if bad := int(np.count_nonzero(~np.isfinite(voxels))):
            text = f"{SEQUENCE_NAMES[name]} has {bad} voxels that are NaN or infinite"
            found.append(Finding("values", "warning", text, "write the file anew"))
        elif not _has_contrast(case, name):
            text = f"all voxels of {SEQUENCE_NAMES[name]} are {voxels.flat[0]:g}"
            found.append(Finding("values", "warning", text, "leave this sequence out"))
    return found


def _has_contrast(case: Case, name: str) -> bool:
    voxels = case.sequence(name)
    return bool(voxels.min() != voxels.max())  # NaN is no reason to stop looking


def _twice(seen: Look) -> list[Finding]:
    """The same image under two names, also if one was scaled."""
    found = []
    for i, j in combinations(range(len(seen.names)), 2):
        a, b = seen.image[i][seen.brain], seen.image[j][seen.brain]
        if len(a) > 1 and np.ptp(a) > 0 and np.ptp(b) > 0 and np.corrcoef(a, b)[0, 1] > 0.99999:
            names = _listed((seen.names[i], seen.names[j]))
            todo = "leave out the one that the exam lacks"
            found.append(Finding("twice", "warning", f"{names} are the same image", todo))
    return found


def _spacing(case: Case) -> list[Finding]:
    sizes = " x ".join(f"{s:.3g}" for s in case.spacing)
    if min(case.spacing) > COARSE:
        text = f"voxels of {sizes} mm are coarse: small parts are lost"
    elif max(case.spacing) > THICK:
        text = f"slices are {max(case.spacing):.3g} mm thick ({sizes} mm): outlines and small "
        text += "parts are rough along that axis"
    else:
        return []
    return [Finding("spacing", "warning", text, "use a finer series if the exam has one")]


def _orientation(case: Case) -> list[Finding]:
    header, axes = case.grid.header, case.grid.axes
    missing = header is not None and not (header["sform_code"] or header["qform_code"])
    # A slab that was cut out of such a volume still has an offset along z.
    affine = case.grid.affine
    identity = np.allclose(affine[:3, :3], np.eye(3)) and not affine[:2, 3].any()
    if missing or identity:
        what = "missing" if missing else "the identity"
        text = f"left and right cannot be told: the header's affine is {what}"
        todo = "convert again from DICOM if they matter"
        return [Finding("orientation", "warning", text, todo)]
    turned = "" if axes == "RAS" else ", turned to RAS inside and back for the label"
    return [Finding("orientation", "note", f"stored as {axes}{turned}")]


def _background(seen: Look) -> list[Finding]:
    found = []
    if seen.patched:
        values = seen.background[seen.names.index(seen.patched[0])]
        text = f"the space around the head in {_listed(seen.patched)} holds several constants "
        text += f"({', '.join(f'{v:g}' for v in values[:3])}): brain and air cannot be told apart"
        found.append(Finding("background", "warning", text, "set it to 0, or give --brain-mask"))
    other = {n: v[0] for n, v in zip(seen.names, seen.background) if len(v) == 1 and v[0] != 0}
    if other and not seen.skull:
        values = ", ".join(f"{SEQUENCE_NAMES[n]} {v:.4g}" for n, v in other.items())
        text = f"the background is a constant other than 0 ({values})"
        todo = "it is recognised as background; a brain mask with --brain-mask is surer"
        found.append(Finding("background", "note", text, todo))
    return found


def _skull(seen: Look) -> list[Finding]:
    if not seen.skull:
        return []
    text = "skull and scalp are still there, and the network knows only brains without them"
    todo = "take them off with HD-BET or SynthStrip (mri_synthstrip), or give --brain-mask (see "
    todo += f"{GUIDE}); then check again: exchanged sequences and cuts are looked for in brains"
    return [Finding("skull", "warning", text, todo)]


def _cut(seen: Look) -> list[Finding]:
    found, cut = [], cuts(seen)
    if sides := [c.side for c in cut if c.sequence is None]:
        text = f"the brain ends in a flat face at the {_and(sides)}: the exam does not cover it all"
        todo = "what lies outside is neither found nor counted"
        found.append(Finding("cut", "warning", text, todo))
    for c in (c for c in cut if c.sequence is not None):
        text = f"{SEQUENCE_NAMES[c.sequence]} ends early at the {c.side}: it lacks {c.share:.0%} "
        todo = "trust the result less there, or leave that sequence out"
        found.append(Finding("cut", "warning", text + "of the brain", todo))
    return found


def _exchanged(seen: Look, found: list[Finding]) -> list[Finding]:
    if any(finding.code == "twice" for finding in found):
        return []
    order, gain = likely_order(seen)
    if gain < SURE:
        return []
    moved = [(a, b) for a, b in zip(seen.names, order) if a != b]
    if len(moved) == 2:
        text = f"{_listed(name for name, _ in moved)} look exchanged"
    else:
        looks = [SEQUENCE_NAMES[name] for name in order]
        text = f"the images named {_listed(seen.names)} look like {_and(looks)}, in this order"
    todo = "look at them, and give each file by its own name"
    return [Finding("exchanged", "warning", text, todo)]


def _convention(case: Case, seen: Look) -> list[Finding]:
    if case.label is None or case.convention is None:
        return []
    t1ce = seen.image[seen.names.index("t1ce")] if "t1ce" in seen.names else None
    asked = (case.label[seen.thin], case.convention, t1ce, seen.brain, seen.spacing)
    against = complaints(*asked)
    if not against:
        return []
    text = f"the label does not look like {case.convention}: {_and(against)}"
    others = better(*asked)
    todo = f"try --convention {' or '.join(others)}" if others else "look at it beside the images"
    return [Finding("convention", "warning", text, todo)]


def _listed(names) -> str:
    return _and([SEQUENCE_NAMES[name] for name in sorted(names, key=SEQUENCES.index)])


def _and(words: list[str]) -> str:
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"


def _is(items) -> str:
    return "is" if len(items) == 1 else "are"
