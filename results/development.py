"""Development figures: the shipped network on real patients that gliomakit was developed beside.

    GLIOMAKIT_REAL_DATA=/path/to/patients make results

Runs `gliomakit segment` and `gliomakit evaluate`, as anybody would, and writes
results/development.json and results/development.md. These patients were looked at while the
phantom was made, so the figures are development figures, no test of the network; it was trained on
none of them. BraTS 2013 has FLAIR and T1ce only; the MSD slabs are scored where `*_covered` says
that there is data.
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

HERE = Path(__file__).parent
COMMAND = "GLIOMAKIT_REAL_DATA=… make results"


def gliomakit(*words: str | Path) -> dict:
    """Run one command with --json and read what it prints."""
    line = [sys.executable, "-m", "gliomakit", *map(str, words), "--json"]
    done = subprocess.run(line, stdout=subprocess.PIPE, text=True, check=False)
    if done.returncode:
        sys.exit(f"gliomakit {words[0]} ended with {done.returncode}")
    return json.loads(done.stdout)


def folders(group: str, source: Path, out: Path, *within: str | Path) -> list[dict]:
    """A data set or case folders: segment all, evaluate all."""
    seconds = gliomakit("segment", source, "--out", out)["cases"]
    scores = gliomakit("evaluate", out, source, *within)["cases"]
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


def markdown(rows: list[dict], about: dict) -> str:
    """The table that people read."""
    lines = ["# Development figures on real patients", "", about["note"], ""]
    lines += ["| patients | WT | TC | ET | false ET, mL |", "|---|---|---|---|---|"]

    def line(name: str, cells: list[str], false: str) -> str:
        return f"| {name} | {' | '.join(cells)} | {false} |"

    for group in dict.fromkeys(r["group"] for r in rows):
        members = [r for r in rows if r["group"] == group]
        for r in members:
            cells = [
                "–" if r[g]["dice"] is None else f"{r[g]['dice']:.3f}" for g in ("wt", "tc", "et")
            ]
            none = r["et"]["reference_ml"] == 0
            lines.append(line(r["case"], cells, f"{r['et']['ml']:.1f}" if none else ""))
        cells = ["**{:.3f}** (n = {})".format(*mean(members, g)) for g in ("wt", "tc", "et")]
        lines.append(line(f"**{group}**", cells, ""))
    cells = ["**{:.3f}** (n = {})".format(*mean(rows, g)) for g in ("wt", "tc", "et")]
    lines.append(line("**all**", cells, ""))
    lines += [
        "",
        f"Command: `{about['command']}`; {about['minutes']} minutes on {about['machine']}. "
        f"Network: `{about['weights_sha256'][:12]}`.",
        "",
    ]
    return "\n".join(lines)


def main() -> None:
    root = os.environ.get("GLIOMAKIT_REAL_DATA")
    if not root:
        sys.exit("set GLIOMAKIT_REAL_DATA to the folder of real patients")
    root, start = Path(root), time.time()
    with tempfile.TemporaryDirectory() as name:
        out = Path(name)
        rows = folders("BraTS 2021, four sequences", root / "brats2021", out / "2021")
        rows += folders(
            "MSD slabs, four sequences",
            root / "msd_partial",
            out / "msd",
            "--within",
            root / "msd_partial",
        )
        rows += loose("BraTS 2013, FLAIR and T1ce", root / "brats2013", out)
        sidecar = json.loads(next((out / "2021").glob("*.json")).read_text())
    about = {
        "note": "The shipped network, trained on phantoms alone, on real patients that it was "
        "developed beside (not trained on). Development figures: no test.",
        "command": COMMAND,
        "minutes": round((time.time() - start) / 60, 1),
        "machine": f"{os.cpu_count()} cores, {platform.machine()}, no GPU asked for",
        "weights_sha256": sidecar["network"]["sha256"],
    }
    means = {g: dict(zip(("dice", "n"), mean(rows, g))) for g in ("wt", "tc", "et")}
    content = {"about": about, "mean": means, "cases": rows}
    (HERE / "development.json").write_text(json.dumps(content, indent=1) + "\n")
    text = markdown(rows, about)
    (HERE / "development.md").write_text(text)
    print(text)


if __name__ == "__main__":
    main()
