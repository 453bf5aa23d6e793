"""How often `gliomakit check` is right: hits and false alarms.

    python results/checks.py

Writes results/checks.md and results/checks.json. Cases are looked at as they are, and after a
deliberate mistake: two sequences exchanged, a side cut off, another background, a label read in
the wrong way. Phantoms are made; real patients are those in GLIOMAKIT_REAL_DATA, and what is
measured on them are development figures.
"""

from __future__ import annotations

import json
import os
import platform
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from itertools import combinations
from pathlib import Path
from unittest.mock import patch

import numpy as np

from gliomakit._contrast import SURE, likely_order
from gliomakit._look import Look, look
from gliomakit._sides import SIDES
from gliomakit.cases import Case, Grid, find_cases, loose
from gliomakit.checks import check
from gliomakit.checks import read as read_files
from gliomakit.phantom import artefacts, make_case
from gliomakit.regions import SEQUENCE_NAMES, SEQUENCES

HERE = Path(__file__).parent
SEEDS = range(3000, 3060)
SPACING = 2.0
REAL, PHANTOM, HEADS = "real patients", "phantoms", "exams with skull"
GROUPS = {group: place for place, group in enumerate((REAL, HEADS, PHANTOM))}
CUT_AWAY = 0.25  # of the brain's extent, where a side is cut off on purpose
NOTE = (
    "Real patients are eleven exams without skull (BraTS 2021, MSD, BraTS 2013) and one as a "
    "scanner gave it; the figures on them are development figures: thresholds were set beside "
    "them. The weights for exchanged sequences were fitted to phantoms of other seeds than these. "
    "Exams with skull are slices of TCGA-LGG, 8 bits deep, whose spacing is guessed."
)


@dataclass
class Row:
    """A line of the table. hits: alarms where there should be one; false: where none should be."""

    check: str
    group: str
    cases: int = 0
    should: int = 0
    hits: int = 0
    false: int = 0
    wrong: list[str] = field(default_factory=list)


class Table:
    """The lines of the table, in the order in which they first came."""

    def __init__(self) -> None:
        self.rows: dict[tuple[str, str], Row] = {}

    def add(self, check: str, group: str, name: str, should: bool | None, alarmed: bool) -> None:
        """Count a case; should None is a matter of taste, and not counted."""
        if should is None:
            return
        row = self.rows.setdefault((check, group), Row(check, group))
        row.cases += 1
        row.should += should
        row.hits += should and alarmed
        row.false += alarmed and not should
        if should != alarmed:
            row.wrong.append(name)


@dataclass
class Truth:
    """What should be found in a case as it is. sides: of all sequences; sequences: that end early;
    None if that is not known."""

    skull: bool = False
    sides: tuple[str, ...] | None = ()
    sequences: tuple[str, ...] | None = ()
    background: bool = False
    twice: bool = False
    thick: bool = False
    identity: bool = False
    grids: bool = False


# ---- the cases ---------------------------------------------------------------------------------

SLAB = ("bottom", "top")
KNOWN = {
    "BRATS_009": Truth(sides=SLAB, sequences=("flair",), identity=True),
    "BRATS_119": Truth(sides=SLAB, identity=True),
    "brats_2013_pat0001_1": Truth(background=True),
    "brats_2013_pat0003_1": Truth(sides=("back", "front"), background=True),
    "brats_2013_pat0004_1": Truth(background=True),
    "brats_2013_pat0006_1": Truth(sides=("back",), background=True),
    "TCGA-FG-6692": Truth(skull=True, thick=True, grids=True),
}
"""What one sees in the real patients; all others are as they should be."""


def real_cases(root: Path) -> Iterator[tuple[Case, Truth, list[str]]]:
    """Case, what should be found, what was found when it was read."""
    sources = [*find_cases(root / "brats2021"), *find_cases(root / "msd_partial")]
    for folder in sorted((root / "brats2013").iterdir()):
        sources.append(
            loose(
                flair=folder / "Flair_subtrMeanDivStd.nii.gz",
                t1ce=folder / "T1c_subtrMeanDivStd.nii.gz",
                label=folder / "OTMultiClass.nii.gz",
                brain_mask=folder / "brainmask.nii.gz",
                name=folder.name,
                convention="brats2015",
            )
        )
    for folder in sorted((root / "native").iterdir()):
        files = {name: folder / f"{name}.nii.gz" for name in SEQUENCES}
        sources.append(loose(**files, name=folder.name))
    for files in sources:
        case, found = read_files(files)
        yield case, KNOWN.get(case.name, Truth()), [finding.code for finding in found]


def heads(root: Path) -> Iterator[tuple[Case, Truth]]:
    """Exams with skull, as stacks of 8-bit slices; a missing sequence is a copy of FLAIR."""
    from PIL import Image

    for folder in sorted(p for p in (root / "lgg").iterdir() if p.is_dir()):
        count = len(list(folder.glob("*.webp")))
        slices = [
            np.array(Image.open(folder / f"{n + 1}.webp").convert("RGB")) for n in range(count)
        ]
        stack = np.stack(slices, -1).transpose(2, 1, 0, 3)[:, :, ::-1].astype(np.float32)
        image = np.zeros((4, *stack.shape[1:]), np.float32)
        image[[1, 0, 2]] = stack  # T1, FLAIR, T1ce
        affine = np.diag([0.94, 0.94, 130 / count if count < 70 else 1.5, 1])
        grid = Grid(image.shape[1:], affine)
        case = Case(folder.name, image, ("flair", "t1", "t1ce"), affine, grid)
        copied = bool((image[1] == image[0]).all() or (image[2] == image[0]).all())
        yield case, Truth(skull=True, twice=copied, sides=None, sequences=None)


def phantoms() -> Iterator[tuple[Case, Truth]]:
    """Phantoms, and what their generator cut off."""
    for seed in SEEDS:
        with _brain_of() as masks:
            case = make_case(seed, SPACING)
        covered = (case.image > 0).any(0)
        sequences = {}
        for name, channel in zip(SEQUENCES, case.image):
            sequences[name] = 1 - np.count_nonzero(channel) / np.count_nonzero(covered)
        truth = Truth(sides=None, sequences=None)
        if masks:
            lost = 1 - np.count_nonzero(covered) / int(masks[0].sum())
            if lost < 0.002 or lost > 0.02:
                truth.sides = ("somewhere",) if lost > 0.02 else ()
        if not any(0.01 < share < 0.02 for share in sequences.values()):
            truth.sequences = tuple(n for n, share in sequences.items() if share >= 0.02)
        yield case, truth


@contextmanager
def _brain_of() -> Iterator[list]:
    """The masks of the brains that are made meanwhile: before a field of view cuts them."""
    masks: list = []
    inner = getattr(artefacts, "field_of_view", None)
    if inner is None:  # the generator changed: what it cut is not known
        yield masks
        return

    def watched(dice, grid, mask, *more):
        masks.append(mask)
        return inner(dice, grid, mask, *more)

    with patch.object(artefacts, "field_of_view", watched):
        yield masks


# ---- deliberate mistakes -----------------------------------------------------------------------


def as_it_is(table: Table, group: str, case: Case, truth: Truth) -> None:
    """A case without any mistake but its own."""
    found = check(case)
    codes = {finding.code for finding in found if finding.level == "warning"}
    notes = {finding.code for finding in found if finding.level == "note"}
    name = case.name
    table.add("skull is still there", group, name, truth.skull, "skull" in codes)
    table.add("sequences exchanged: none", group, name, False, "exchanged" in codes)
    table.add("one image given twice", group, name, truth.twice, "twice" in codes)
    if case.label is not None:
        table.add("label convention: right", group, name, False, "convention" in codes)
    if group == HEADS:
        return
    cut = truth.sides is not None and truth.sequences is not None
    should = bool(truth.sides or truth.sequences) if cut else None
    table.add("a side cut off", group, name, should, "cut" in codes)
    table.add("background not 0", group, name, truth.background, "background" in notes)
    table.add("several backgrounds", group, name, False, "background" in codes)
    table.add("thick slices", group, name, truth.thick, "spacing" in codes)
    table.add("orientation unknown", group, name, truth.identity, "orientation" in codes)


def exchanges(table: Table, group: str, seen: Look, name: str, sub: tuple[str, ...]) -> None:
    """Every two of these sequences under each other's name."""
    places = [seen.names.index(n) for n in sub]
    some = replace(seen, names=sub, image=seen.image[places], covered=seen.covered[places])
    for a, b in combinations(range(len(sub)), 2):
        order = list(range(len(sub)))
        order[a], order[b] = b, a
        mixed = replace(some, image=some.image[order], covered=some.covered[order])
        likely, gain = likely_order(mixed)
        alarmed = seen.telling and gain >= SURE
        right = alarmed and likely == tuple(sub[i] for i in order)
        pair = f"{SEQUENCE_NAMES[sub[a]]} and {SEQUENCE_NAMES[sub[b]]}"
        alone = ", nothing else given" if len(sub) == 2 else ""
        skull = ", skull on" if seen.skull else ""
        table.add(f"exchanged: {pair}{alone}{skull}", group, name, True, alarmed)
        if not skull and not alone:
            table.add("of these, the right two named", group, name, True, right)
    if len(sub) == 2:
        alarmed = seen.telling and likely_order(some)[1] >= SURE
        pair = " and ".join(SEQUENCE_NAMES[n] for n in sub)
        table.add(f"only {pair} given, rightly", group, name, False, alarmed)


def mistakes(table: Table, group: str, case: Case, truth: Truth, sides: list[str]) -> None:
    """Sides cut off, backgrounds shifted, labels read wrongly."""
    name = case.name
    air = _air(case)
    if truth.sides == () and truth.sequences == ():
        for side in sides:
            found = check(_cut(case, air, side, None))
            hit = any(f.code == "cut" and side in f.text for f in found)
            table.add("a side cut off on purpose", group, name, True, hit)
            one = case.present[sides.index(side) % len(case.present)]
            found = check(_cut(case, air, side, one))
            words = f"{SEQUENCE_NAMES[one]} ends early at the {side}"
            hit = any(f.code == "cut" and words in f.text for f in found)
            table.add("one sequence cut off on purpose", group, name, True, hit)
    first = SEQUENCES.index(case.present[0])
    step = float(np.ptp(np.percentile(case.image[first], (1, 99)))) / 2
    shifted = case.image.copy()
    shifted[first] += step
    found = check(replace(case, image=shifted))
    hit = any(f.code == "background" for f in found)
    table.add("one sequence shifted by a constant", group, name, True, hit)
    half = case.image.copy()
    left = half[first, : half.shape[1] // 2]
    left[left == air[first]] += step
    found = check(replace(case, image=half))
    hit = any(f.code == "background" and f.level == "warning" for f in found)
    table.add("half of one background shifted", group, name, True, hit)
    if len(case.present) > 1:
        double = case.image.copy()
        a, b = (SEQUENCES.index(n) for n in case.present[:2])
        double[b] = double[a]
        hit = any(f.code == "twice" for f in check(replace(case, image=double)))
        table.add("one image given twice on purpose", group, name, True, hit)
    if case.label is not None and case.convention is not None:
        from gliomakit.regions import to_label

        wrong = {"msd": "brats2023"}.get(case.convention, "msd")
        label = to_label(case.regions(), "msd" if wrong == "brats2023" else "brats2023")
        found = check(replace(case, label=label, convention=wrong))
        hit = any(f.code == "convention" for f in found)
        table.add("label convention: edema and core exchanged", group, name, True, hit)


def _air(case: Case) -> dict[int, float]:
    """The background's value of each sequence."""
    return {SEQUENCES.index(n): float(case.sequence(n)[0, 0, 0]) for n in case.present}


def _cut(case: Case, air: dict[int, float], side: str, one: str | None) -> Case:
    """The case with a side set to its background, in one sequence or in all."""
    axis, way = SIDES[side]
    brain = np.logical_or.reduce([case.image[i] != value for i, value in air.items()])
    brain = brain if case.mask is None else case.mask
    filled = np.flatnonzero(brain.any(tuple(a for a in range(3) if a != axis)))
    away = int(CUT_AWAY * (filled[-1] - filled[0]))
    gone = [slice(None)] * 3
    gone[axis] = slice(filled[-1] - away, None) if way > 0 else slice(0, filled[0] + away)
    image = case.image.copy()
    for i, value in air.items():
        if one in (None, SEQUENCES[i]):
            image[(i, *gone)] = value
    mask = None if case.mask is None else case.mask.copy()
    if mask is not None and one is None:
        mask[tuple(gone)] = False
    return replace(case, image=image, mask=mask, label=None)


# ---- the table ---------------------------------------------------------------------------------


def look_at(table: Table, group: str, case: Case, truth: Truth, sides: list[str]) -> None:
    as_it_is(table, group, case, truth)
    seen = look(case)
    if len(case.present) > 2:
        exchanges(table, group, seen, case.name, case.present)
    if not truth.skull:
        exchanges(table, group, seen, case.name, ("flair", "t1ce"))
        mistakes(table, group, case, truth, sides)


def markdown(content: dict) -> str:
    """The table that people read."""
    about = content["about"]
    lines = ["# Hits and false alarms of `gliomakit check`", "", NOTE, ""]
    lines += ["| check | cases | number | should alarm | alarmed (hits) | false alarms |"]
    lines += ["|---|---|---|---|---|---|"]
    for row in content["rows"]:
        false = row["false"] if row["should"] < row["cases"] else "–"
        cells = [row["check"], row["group"], row["cases"], row["should"], row["hits"], false]
        lines.append(f"| {' | '.join(map(str, cells))} |")
    lines += ["", f"`check` looks at a case in memory for {about['check_seconds']} s of processor "]
    lines[-1] += f"time (median of {about['check_cases']} cases of 240 x 240 x 155 voxels; "
    lines[-1] += "this is what it adds to `segment`)."
    lines += ["", f"Command: `python results/checks.py`; {about['minutes']} minutes on "]
    lines[-1] += f"{about['machine']}; phantoms of seeds {about['seeds']} at {SPACING:g} mm."
    return "\n".join([*lines, ""])


def main() -> None:
    root, start = os.environ.get("GLIOMAKIT_REAL_DATA"), time.time()
    table, seconds = Table(), []
    if root:
        for case, truth, found in real_cases(Path(root)):
            table.add("sequences on different grids", REAL, case.name, truth.grids, "grid" in found)
            look_at(table, REAL, case, truth, list(SIDES))
            if case.image.shape[1:] == (240, 240, 155):
                begin = time.process_time()
                check(case)
                seconds.append(time.process_time() - begin)
    for case, truth in phantoms():
        side = list(SIDES)[len(table.rows) and int(case.name[-5:]) % len(SIDES)]
        look_at(table, PHANTOM, case, truth, [side])
    if root and (Path(root) / "lgg").is_dir():
        for case, truth in heads(Path(root)):
            as_it_is(table, HEADS, case, truth)
    content = {
        "about": {
            "note": NOTE,
            "seeds": f"{SEEDS[0]} to {SEEDS[-1]}",
            "check_seconds": round(float(np.median(seconds)), 2) if seconds else None,
            "check_cases": len(seconds),
            "minutes": round((time.time() - start) / 60, 1),
            "machine": f"{os.cpu_count()} cores, {platform.machine()}",
        },
        "rows": [
            vars(row) for row in sorted(table.rows.values(), key=lambda row: GROUPS[row.group])
        ],
    }
    (HERE / "checks.json").write_text(json.dumps(content, indent=1) + "\n")
    (HERE / "checks.md").write_text(markdown(content))
    print(markdown(content))


if __name__ == "__main__":
    main()
