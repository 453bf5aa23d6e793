"""Phantoms beside real patients: intensities by tissue, shapes, and a sheet to look at.

    python -m results.phantoms
    GLIOMAKIT_REAL_DATA=/path/to/patients python -m results.phantoms

Writes results/phantoms.json, results/phantoms.md and the sheet results/pictures/phantoms.png. The
phantom was made beside these patients, so these are development comparisons: they say where it
still differs, they prove nothing. Real patients are drawn to build/, which git ignores, and nowhere
else; build/phantom_sheet.png shows phantoms in the same way, to be looked at beside them.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np

from gliomakit import plots
from gliomakit._voxels import read_mask
from gliomakit.cases import Case, Grid, find_cases, loose
from gliomakit.evaluation import find_mask
from gliomakit.phantom import make_case
from gliomakit.phantom.dataset import VERSION
from gliomakit.preprocess import Prepared, brain_mask, prepare
from gliomakit.regions import SEQUENCE_NAMES, SEQUENCES

from ._inside import say
from ._measures import NORMAL, SHAPE, compared, histogram, intensities, measure, overlaps
from ._picture_files import small

HERE = Path(__file__).parent
BUILD = HERE.parent / "build"
SEEDS = range(3000, 3040)
SHOWN = 12
LARGEST = 400_000
"""Bytes of the sheet."""

NOTE = (
    "Development comparisons: the phantom was made beside these patients, so where the two agree "
    "nothing is proved. Where they do not, a network that learned from phantoms may fail."
)


def real_cases(root: Path, few: int | None) -> Iterator[tuple[Case, bool]]:
    """Real patients, and whether the whole head is there; few: of each kind only so many."""
    for files in find_cases(root / "brats2021")[:few]:
        yield files.read(), True
    for folder in sorted(p for p in (root / "brats2013").iterdir() if p.is_dir())[:few]:
        files = loose(
            flair=folder / "Flair_subtrMeanDivStd.nii.gz",
            t1ce=folder / "T1c_subtrMeanDivStd.nii.gz",
            label=folder / "OTMultiClass.nii.gz",
            brain_mask=folder / "brainmask.nii.gz",
            name=folder.name,
            convention="brats2015",
        )
        yield files.read(), True
    slabs = root / "msd_partial"
    for files in find_cases(slabs)[:few]:
        case = files.read()
        covered, _ = read_mask(find_mask(slabs, case.name))
        yield replace(case, mask=brain_mask(case.image) & covered), False


def as_seen(exam: Prepared) -> Case:
    """A prepared exam as a case that can be drawn: dark around the brain, label in MSD's numbers
    (which are those of `Prepared.regions`)."""
    image = np.zeros_like(exam.image)
    for channel, sequence in enumerate(SEQUENCES):
        if sequence in exam.present:
            values = exam.image[channel]
            dark = np.percentile(values[exam.brain], 1) - 0.1
            image[channel] = np.where(exam.brain, values, dark)
    grid = Grid(exam.brain.shape, exam.affine)
    return Case(exam.name, image, exam.present, exam.affine, grid, exam.regions, "msd")


def above(case: Case, mm: float = 12.0) -> Case:
    """The same exam from 12 mm above its largest slice of tumour on: another slice to draw."""
    middle = int((case.label > 0).sum((0, 1)).argmax())
    start = min(middle + round(mm / case.spacing[2]), case.label.shape[2] - 2)
    label = case.label.copy()
    label[:, :, :start] = 0
    return replace(case, label=label)


class Pool:
    """What was measured of many exams."""

    def __init__(self) -> None:
        self.measured: list[dict] = []
        self.histograms: dict[str, list[np.ndarray]] = {s: [] for s in SEQUENCES}
        self.seen: list[Case] = []

    def add(self, case: Case, whole: bool = True) -> None:
        """Measure one more; the first ones are kept to be drawn."""
        exam = prepare(case, 2.0)
        self.measured.append(measure(exam, whole))
        for sequence in exam.present:
            values = intensities(exam, SEQUENCES.index(sequence), NORMAL)
            self.histograms[sequence].append(histogram(values))
        if len(self.seen) < SHOWN:
            self.seen.append(as_seen(exam))

    def sheet(self) -> list[Case]:
        """Twelve to draw; if there are fewer exams, the first ones once more, higher up."""
        return self.seen + [above(case) for case in self.seen[: SHOWN - len(self.seen)]]


def markdown(content: dict) -> str:
    """The tables that people read."""
    about = content["about"]
    there = f" and {about['real']} real patients" if about["real"] else ""
    lines = [f"# Phantoms{' beside real patients' if there else ''}", "", NOTE, ""]
    lines += [
        f"{about['phantoms']} phantoms (version {about['version']}, seeds {about['seeds']})"
        f"{there}, prepared at 2 mm; intensities are z-scores inside the brain. Of phantoms: "
        "median (5 to 95 %). Of real patients: median (range), and how many lie within the "
        "phantoms' 5 to 95 %.",
        "",
        "![A sheet of twelve phantoms, one slice each](pictures/phantoms.png)",
    ]
    for tissue in dict.fromkeys(row["tissue"] for row in content["rows"]):
        rows = [row for row in content["rows"] if row["tissue"] == tissue]
        lines += ["", f"## {tissue[0].upper()}{tissue[1:]}", "", *table(rows, tissue)]
    lines += ["", "## Histograms of normal brain", "", *overlap_table(content["overlap"]), ""]
    lines += [f"Command: `python -m results.phantoms`; {about['minutes']} minutes on "]
    lines[-1] += f"{about['machine']}."
    return "\n".join([*lines, ""])


def table(rows: list[dict], tissue: str) -> list[str]:
    """The measures of one tissue."""
    names = ["of"] if tissue == SHAPE else ["sequence", "of"]
    real = any(row["real"] for row in rows)
    heads = [*names, "phantoms", "n", *(["real patients", "within"] if real else [])]
    lines = [f"| {' | '.join(heads)} |", "|" + "---|" * len(heads)]
    for row in rows:
        cells = [row["what"]] if tissue == SHAPE else [SEQUENCE_NAMES[row["sequence"]], row["what"]]
        cells += [spread(row["phantoms"]), str(int(row["phantoms"]["n"]))]
        if real:
            one = row["real"]
            cells += [spread(one), f"{one['inside']:.0f} of {one['n']:.0f}"] if one else ["–", "–"]
        lines.append(f"| {' | '.join(cells)} |")
    return lines


def spread(values: dict[str, float]) -> str:
    """A middle and its bounds.

    >>> spread({"median": 0.5, "low": -1.25, "high": 2.0})
    '0.50 (-1.25 to 2.00)'
    """
    # + 0 makes no -0.00 of what rounds to nothing
    middle, low, high = (f"{round(values[k], 2) + 0:.2f}" for k in ("median", "low", "high"))
    return f"{middle} ({low} to {high})"


def overlap_table(found: dict[str, dict]) -> list[str]:
    """1 - total variation distance, sequence by sequence."""
    kinds = {
        "pools": "all real with all phantoms",
        "real_phantoms": "one real with all phantoms",
        "real_real": "one real with the other real",
        "phantom_phantoms": "one phantom with the other phantoms",
    }
    kinds = {k: words for k, words in kinds.items() if any(k in one for one in found.values())}
    lines = ["What they have in common (1 - total variation distance); of single exams the median."]
    lines += ["", f"| | {' | '.join(kinds.values())} |", "|" + "---|" * (1 + len(kinds))]
    for sequence, one in found.items():
        cells = [f"{one[k]:.2f}" if k in one else "–" for k in kinds]
        lines.append(f"| {SEQUENCE_NAMES[sequence]} | {' | '.join(cells)} |")
    return lines


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--try",
        dest="trial",
        metavar="FOLDER",
        type=Path,
        help="three phantoms, two patients of each kind, and everything into FOLDER",
    )
    trial = parser.parse_args().trial
    here, few, seeds = trial or HERE, 2 if trial else None, SEEDS[:3] if trial else SEEDS
    start, phantoms, real, shown = time.time(), Pool(), Pool(), []
    for seed in seeds:
        say(f"phantom {seed}")
        case = make_case(seed, 2.0)
        phantoms.add(case)
        shown += [case] if len(shown) < SHOWN else []
    small(plots.sheet(shown, columns=2), here / "pictures" / "phantoms.png", LARGEST)
    if root := os.environ.get("GLIOMAKIT_REAL_DATA"):
        for case, whole in real_cases(Path(root), few):
            say(case.name)
            real.add(case, whole)
        plots.sheet(real.sheet(), columns=2).save(BUILD / "real_sheet.png", dpi=130)
        plots.sheet(phantoms.seen, columns=2).save(BUILD / "phantom_sheet.png", dpi=130)
    content = {
        "about": {
            "version": VERSION,
            "phantoms": len(seeds),
            "seeds": f"{seeds[0]} to {seeds[-1]}",
            "real": len(real.measured),
            "minutes": round((time.time() - start) / 60, 1),
            "machine": f"{os.cpu_count()} cores, {platform.machine()}",
        },
        "rows": compared(phantoms.measured, real.measured),
        "overlap": {s: overlaps(phantoms.histograms[s], real.histograms[s]) for s in SEQUENCES},
    }
    here.mkdir(parents=True, exist_ok=True)
    (here / "phantoms.json").write_text(json.dumps(content, indent=1) + "\n")
    (here / "phantoms.md").write_text(markdown(content))
    print(markdown(content))


if __name__ == "__main__":
    main()
