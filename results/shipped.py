"""Figures of the shipped network: on the phantom test patients, and on real ones if they are here.

    make results
    GLIOMAKIT_REAL_DATA=/path/to/patients make results

Runs `gliomakit segment` and `gliomakit evaluate`, as anybody would, and writes
results/shipped.json and results/shipped.md. The real patients were looked at while the phantom was
made, so their figures are development figures, no test; the network was trained on none of them.
BraTS 2013 has FLAIR and T1ce only; the MSD slabs are scored where `*_covered` says there is data.
"""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from gliomakit.phantom import embedded
from gliomakit.phantom.dataset import embedded_names
from gliomakit.regions import REGIONS

HERE = Path(__file__).parent
PHANTOMS = "phantoms, test"
NOTE = (
    "The shipped network, trained on phantoms alone. The figures on real patients are development "
    "figures: the phantom was made beside these patients, the network was trained on none of them."
)


def gliomakit(*words: str | Path) -> dict:
    """Run one command with --json and read what it prints."""
    line = [sys.executable, "-m", "gliomakit", *map(str, words), "--json"]
    done = subprocess.run(line, stdout=subprocess.PIPE, text=True, check=False)
    if done.returncode:
        sys.exit(f"gliomakit {words[0]} ended with {done.returncode}")
    return json.loads(done.stdout)


def folders(
    group: str, cases: list[Path], reference: Path, out: Path, *within: str | Path
) -> list[dict]:
    """Cases of a data set: segment them, evaluate them."""
    seconds = gliomakit("segment", *cases, "--out", out)["cases"]
    scores = gliomakit("evaluate", out, reference, *within)["cases"]
    took = {case["case"]: case["seconds"] for case in seconds}
    return [row(group, score, took[score["case"]]) for score in scores]


def loose(group: str, source: Path, out: Path) -> list[dict]:
    """BRATS 2013 as DeepMedic's example gives it: two sequences and a brain mask, file by file."""
    rows = []
    for folder in sorted(p for p in source.iterdir() if p.is_dir()):
        label = out / f"{folder.name}.nii.gz"
        words = ["--flair", folder / "Flair_subtrMeanDivStd.nii.gz"]
        words += ["--t1ce", folder / "T1c_subtrMeanDivStd.nii.gz"]
        words += ["--brain-mask", folder / "brainmask.nii.gz"]
        case = gliomakit("segment", *words, "--out", label)["cases"][0]
        reference = folder / "OTMultiClass.nii.gz"
        scores = gliomakit("evaluate", label, reference, "--convention", "brats2015")["cases"]
        rows.append(row(group, scores[0], case["seconds"]))
    return rows


def row(group: str, score: dict, seconds: float) -> dict:
    """One patient: Dice of the three regions, and the volumes."""
    found = {"group": group, "case": score["case"], "seconds": seconds}
    for region, values in score["regions"].items():
        found[region] = {
            "dice": None if values["reference_ml"] == 0 else round(values["dice"], 4),
            "ml": round(values["volume_ml"], 1),
            "reference_ml": round(values["reference_ml"], 1),
        }
    return found


def mean(rows: list[dict], region: str) -> tuple[float, int]:
    """Mean Dice over the patients whose reference has the region, and how many those are."""
    values = [r[region]["dice"] for r in rows if r[region]["dice"] is not None]
    return sum(values) / len(values), len(values)


def summary(rows: list[dict]) -> dict:
    """Mean Dice and n of each region."""
    return {g: dict(zip(("dice", "n"), mean(rows, g))) for g in REGIONS}


def markdown(content: dict) -> str:
    """The table that people read: every patient, then the mean of the group."""
    about, rows = content["about"], content["cases"]
    lines = ["# Figures of the shipped network", "", NOTE, ""]
    lines += ["| patients | WT | TC | ET | false ET, mL |", "|---|---|---|---|---|"]
    for group, means in content["groups"].items():
        for r in (r for r in rows if r["group"] == group):
            cells = ["–" if r[g]["dice"] is None else f"{r[g]['dice']:.3f}" for g in REGIONS]
            false = f"{r['et']['ml']:.1f}" if r["et"]["reference_ml"] == 0 else ""
            lines.append(f"| {r['case']} | {' | '.join(cells)} | {false} |")
        cells = [f"**{m['dice']:.3f}** (n = {m['n']})" for m in means.values()]
        lines.append(f"| **{group}** | {' | '.join(cells)} | |")
    if content["real"]:
        cells = [f"**{m['dice']:.3f}** (n = {m['n']})" for m in content["real"].values()]
        lines.append(f"| **all real patients** | {' | '.join(cells)} | |")
    lines += ["", f"Command: `make results`; {about['minutes']} minutes on {about['machine']}."]
    return "\n".join([*lines, f"SHA-256 of the network: `{about['weights_sha256'][:12]}…`.", ""])


BEGIN, END = "<!-- figures: written by results/shipped.py -->", "<!-- end of figures -->"


def with_figures(readme: str, content: dict) -> str:
    """The README with this run's means between the two marks."""
    lines = ["| mean Dice | n | WT | TC | ET |", "|---|---|---|---|---|"]
    kinds = {"phantoms, test patients": content["groups"][PHANTOMS]}
    if content["real"]:
        kinds["real patients (development figures)"] = content["real"]
    for name, means in kinds.items():
        cells = " | ".join(f"{m['dice']:.2f}" for m in means.values())
        lines.append(f"| {name} | {means['wt']['n']} | {cells} |")
    lines += ["", NOTE + " Every case: [results/shipped.md](results/shipped.md)."]
    head, rest = readme.split(BEGIN)
    return "\n".join([head + BEGIN, "", *lines, "", END + rest.split(END)[1]])


def main() -> None:
    root, start = os.environ.get("GLIOMAKIT_REAL_DATA"), time.time()
    with tempfile.TemporaryDirectory() as name:
        out = Path(name)
        test = [embedded() / "imagesTr" / f"{n}.nii.gz" for n in embedded_names("test")]
        rows = folders(PHANTOMS, test, embedded(), out / "phantoms")
        sidecar = json.loads(next((out / "phantoms").glob("*.json")).read_text())
        if root:
            root = Path(root)
            source = root / "brats2021"
            rows += folders("BraTS 2021, four sequences", [source], source, out / "2021")
            source = root / "msd_partial"
            within = ("--within", source)
            rows += folders("MSD slabs, four sequences", [source], source, out / "msd", *within)
            rows += loose("BraTS 2013, FLAIR and T1ce", root / "brats2013", out)
    groups = {g: summary([r for r in rows if r["group"] == g]) for g in unique(rows)}
    real = [r for r in rows if r["group"] != PHANTOMS]
    about = {
        "note": NOTE,
        "minutes": round((time.time() - start) / 60, 1),
        "machine": f"{os.cpu_count()} cores, {platform.machine()}",
        "weights_sha256": sidecar["network"]["sha256"],
    }
    content = {
        "about": about,
        "groups": groups,
        "real": summary(real) if real else None,
        "cases": rows,
    }
    (HERE / "shipped.json").write_text(json.dumps(content, indent=1) + "\n")
    (HERE / "shipped.md").write_text(markdown(content))
    readme = HERE.parent / "README.md"
    readme.write_text(with_figures(readme.read_text(), content))
    print(markdown(content))


def unique(rows: list[dict]) -> list[str]:
    """The groups, in their order."""
    return list(dict.fromkeys(r["group"] for r in rows))


if __name__ == "__main__":
    main()
