"""Figures of the shipped network: on the phantom test patients, and on real ones if they are here.

    make results
    GLIOMAKIT_REAL_DATA=/path/to/patients make results

Runs `gliomakit segment` and `gliomakit evaluate`, as anybody would, and writes results/shipped.json
and results/shipped.md, pictures of where it fails, and the figures in the README and the model
card. The real patients were looked at while the phantom was made, so their figures are development
figures, no test; the network was trained on none of them. BraTS 2013 has FLAIR and T1ce only; the
BraTS 2021 patients are segmented from these two as well. The MSD slabs are scored where `*_covered`
says there is data.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from gliomakit import plots, weights
from gliomakit.cases import find_cases
from gliomakit.inference import segment
from gliomakit.phantom import embedded, make_case, write_dataset
from gliomakit.phantom.dataset import EMBEDDED, VERSION, embedded_names
from gliomakit.regions import REGIONS

from ._inside import draw_worst, reliability, say, subsets, worst
from ._picture_files import small
from ._tables import PHANTOMS, TWO, markdown, real, summary, unique, with_card, with_figures

HERE = Path(__file__).parent
README = HERE.parent / "README.md"
CARD = weights.SHIPPED.with_name("CARD.md")
NOTE = (
    "The shipped network, trained on phantoms alone. The figures on real patients are development "
    "figures: the phantom was made beside these patients, the network was trained on none of them. "
    f"The eight test phantoms are of version {VERSION} of the generator. Their figures were looked "
    "at before the thresholds were set, which were chosen on validation phantoms and on the "
    "development cases."
)
LARGEST = 150_000
"""Bytes of a picture in the tree."""


def gliomakit(*words: str | Path) -> dict:
    """Run one command with --json and read what it prints."""
    line = [sys.executable, "-m", "gliomakit", *map(str, words), "--json"]
    done = subprocess.run(line, stdout=subprocess.PIPE, text=True, check=False)
    if done.returncode:
        sys.exit(f"gliomakit {words[0]} ended with {done.returncode}")
    return json.loads(done.stdout)


def folders(
    group: str, cases: Sequence[Path], reference: Path, out: Path, *within: str | Path
) -> list[dict]:
    """Cases of a data set: segment them, evaluate them."""
    say(group)
    seconds = gliomakit("segment", *cases, "--out", out)["cases"]
    scores = gliomakit("evaluate", out, reference, *within)["cases"]
    took = {case["case"]: case["seconds"] for case in seconds}
    return [row(group, score, took[score["case"]]) for score in scores]


def two(
    group: str, patients: Sequence[Path], files: dict[str, str], convention: str, out: Path
) -> list[dict]:
    """FLAIR and T1ce alone, file by file.

    files: name of each file in a patient's folder, where {} is the folder's own name: flair, t1ce,
    label, and brain-mask if there is one.
    """
    rows = []
    for folder in patients:
        say(f"{group}: {folder.name}")
        paths = {what: folder / name.format(folder.name) for what, name in files.items()}
        reference, label = paths.pop("label"), out / f"{folder.name}.nii.gz"
        words = [word for what, path in paths.items() for word in (f"--{what}", path)]
        case = gliomakit("segment", *words, "--out", label)["cases"][0]
        scores = gliomakit("evaluate", label, reference, "--convention", convention)["cases"]
        rows.append(row(group, scores[0] | {"case": folder.name}, case["seconds"]))
    return rows


def row(group: str, score: dict, seconds: float) -> dict:
    """One patient: Dice of the three regions by the usual policy (both empty 1, one empty 0).
    false_ml is what was found of a region that the reference has not; None where it has it."""
    found = {"group": group, "case": score["case"], "seconds": seconds}
    for region, values in score["regions"].items():
        found[region] = {
            "dice": round(values["dice"], 4),
            "ml": round(values["volume_ml"], 1),
            "reference_ml": round(values["reference_ml"], 1),
            "false_ml": None if values["reference_ml"] > 0 else round(values["volume_ml"], 2),
            "missed": values["missed"],
            "spurious": values["spurious"],
        }
    return found


BRATS2021 = {"flair": "{}_flair.nii.gz", "t1ce": "{}_t1ce.nii.gz", "label": "{}_seg.nii.gz"}
BRATS2013 = {
    "flair": "Flair_subtrMeanDivStd.nii.gz",
    "t1ce": "T1c_subtrMeanDivStd.nii.gz",
    "brain-mask": "brainmask.nii.gz",
    "label": "OTMultiClass.nii.gz",
}


def real_patients(root: Path, out: Path, few: int | None) -> list[dict]:
    """All groups of real patients; few: of each group only so many."""
    inner = {name: sorted(p for p in (root / name).iterdir() if p.is_dir()) for name in NEEDED}
    y2021, y2013 = (inner[name][:few] for name in NEEDED)
    rows = folders("BraTS 2021, four sequences", y2021, root / "brats2021", out / "2021")
    rows += two(TWO, y2021, BRATS2021, "brats2017", out / "two")
    source = root / "msd_partial"
    within = ("--within", source)
    rows += folders("MSD slabs, four sequences", [source], source, out / "msd", *within)
    return rows + two("BraTS 2013, FLAIR and T1ce", y2013, BRATS2013, "brats2015", out / "2013")


NEEDED = ("brats2021", "brats2013")


def phantom_seconds(few: int | None) -> dict[str, float]:
    """Median seconds that a phantom takes on one core (`make_case` never uses more)."""
    make_case(0, 4.0)  # reads the atlas
    found = {}
    for spacing, seeds in ((2.0, range(28, 35)), (1.0, range(36, 39))):
        seconds = []
        for seed in seeds[:few]:
            start = time.perf_counter()
            make_case(seed, spacing)
            seconds.append(time.perf_counter() - start)
        found[f"{spacing:g}mm"] = round(sorted(seconds)[len(seconds) // 2], 2)
    return found


def inside(data: Path, names: Sequence[str], rows: list[dict], pictures: Path) -> dict:
    """What is asked of the phantom test patients in one process; draws the pictures too."""
    model = weights.load()
    say("phantom test patients: probabilities, pictures")
    cases = {files.name: files.read() for files in find_cases(data) if files.name in names}
    found = {name: segment(case, model) for name, case in cases.items()}
    tables = reliability(list(cases.values()), list(found.values()))
    drawn, at = {"reliability": plots.reliability(tables)}, {}
    small(drawn["reliability"], pictures / "reliability.png", LARGEST)
    for region in REGIONS:
        if (one := worst(rows, region)) is None:
            continue
        at[region] = {"case": one["case"], **one[region]}
        drawn[region] = draw_worst(cases[one["case"]], found[one["case"]], region)
        small(drawn[region], pictures / f"worst_{region}.png", LARGEST)
    return {
        "subsets": subsets(list(cases.values()), model),
        "reliability": tables,
        "worst": at,
        "alt": {name: figure.alt for name, figure in drawn.items()},
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--try",
        dest="trial",
        metavar="FOLDER",
        type=Path,
        help="two patients of each kind, and everything into FOLDER: does it still work?",
    )
    trial = parser.parse_args().trial
    here, few = trial or HERE, 2 if trial else None
    here.mkdir(parents=True, exist_ok=True)
    start, names = time.time(), embedded_names("test")[:few]
    data = write_dataset(here / "patients", EMBEDDED["test"][:few]) if trial else embedded()
    with tempfile.TemporaryDirectory() as name:
        out = Path(name)
        test = [data / "imagesTr" / f"{n}.nii.gz" for n in names]
        rows = folders(PHANTOMS, test, data, out / "phantoms")
        sidecar = json.loads(next((out / "phantoms").glob("*.json")).read_text())
        asked = inside(data, names, rows, here / "pictures")
        if root := os.environ.get("GLIOMAKIT_REAL_DATA"):
            rows += real_patients(Path(root), out, few)
    about = {
        "note": NOTE,
        "phantoms": VERSION,
        "minutes": round((time.time() - start) / 60, 1),
        "phantom_seconds": phantom_seconds(few),
        "machine": f"{os.cpu_count()} cores, {platform.machine()}",
        "weights_sha256": sidecar["network"]["sha256"],
    }
    content = {
        "about": about,
        "groups": {g: summary([r for r in rows if r["group"] == g]) for g in unique(rows)},
        "real": summary(real(rows)) if real(rows) else None,
        **asked,
        "cases": rows,
    }
    (here / "shipped.json").write_text(json.dumps(content, indent=1) + "\n")
    (here / "shipped.md").write_text(markdown(content))
    for path, fill in ((README, with_figures), (CARD, with_card)):
        filled = fill(path.read_text(), content)
        (trial / path.name if trial else path).write_text(filled)
    print(markdown(content))


if __name__ == "__main__":
    main()
