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

from gliomakit.phantom import embedded, make_case
from gliomakit.phantom.dataset import embedded_names
from gliomakit.regions import REGIONS

POLICY = (
    "Means are over all n; a region that is in neither label counts 1, one that is missed or "
    "spurious counts 0."
)
HERE = Path(__file__).parent
PHANTOMS = "phantoms, test"
NOTE = (
    "The shipped network, trained on phantoms alone. The figures on real patients are development "
    "figures: the phantom was made beside these patients, the network was trained on none of them. "
    "The test phantoms were looked at once: the generator's distractors were made milder after "
    "two of them failed."
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
    """One patient: Dice of the three regions by the usual policy (both empty 1, one empty 0)."""
    found = {"group": group, "case": score["case"], "seconds": seconds}
    for region, values in score["regions"].items():
        found[region] = {
            "dice": round(values["dice"], 4),
            "ml": round(values["volume_ml"], 1),
            "reference_ml": round(values["reference_ml"], 1),
            "missed": values["missed"],
            "spurious": values["spurious"],
        }
    return found


def summary(rows: list[dict]) -> dict[str, dict]:
    """By region: mean Dice over all n, misses and spurious regions, and the mean over those
    patients whose reference has the region."""
    means = {}
    for region in REGIONS:
        ours = [r[region] for r in rows]
        there = [r["dice"] for r in ours if r["reference_ml"] > 0]
        means[region] = {
            "dice": sum(r["dice"] for r in ours) / len(ours),
            "n": len(ours),
            "missed": sum(r["missed"] for r in ours),
            "spurious": sum(r["spurious"] for r in ours),
            "dice_where_there": sum(there) / len(there) if there else None,
            "n_where_there": len(there),
        }
    return means


def line(name: str, means: dict[str, dict]) -> str:
    """A row of means: WT, TC, ET over all n, ET where there is some, misses and spurious."""
    cells = [f"{means[g]['dice']:.3f}" for g in REGIONS]
    et = means["et"]
    there = "–" if et["dice_where_there"] is None else f"{et['dice_where_there']:.3f}"
    wrong = [
        ", ".join(f"{means[g][kind]} {g.upper()}" for g in REGIONS if means[g][kind]) or "0"
        for kind in ("missed", "spurious")
    ]
    cells += [f"{there} (n = {et['n_where_there']})", *wrong]
    return f"| {name} | {et['n']} | {' | '.join(cells)} |"


HEADER = [
    "| mean Dice | n | WT | TC | ET | ET where there is some | missed | spurious |",
    "|---|---|---|---|---|---|---|---|",
]


def groups(content: dict) -> dict[str, dict]:
    """Every group's means, and those of all real patients."""
    real = {"all real patients (development figures)": content["real"]} if content["real"] else {}
    return content["groups"] | real


def markdown(content: dict) -> str:
    """The tables that people read: means, then every patient."""
    about, rows = content["about"], content["cases"]
    lines = ["# Figures of the shipped network", "", NOTE, POLICY, "", *HEADER]
    lines += [line(name, means) for name, means in groups(content).items()]
    lines += ["", "| patient | WT | TC | ET | WT, mL (reference) | ET, mL (reference) | s |"]
    lines += ["|---|---|---|---|---|---|---|"]
    for r in rows:
        cells = [f"{r[g]['dice']:.3f}" for g in REGIONS]
        cells += [f"{r[g]['ml']} ({r[g]['reference_ml']})" for g in ("wt", "et")]
        lines.append(f"| {r['case']} | {' | '.join(cells)} | {r['seconds']} |")
    lines += ["", f"Command: `make results`; {about['minutes']} minutes on {about['machine']}."]
    lines += [
        f"A phantom is made in {about['phantom_seconds']['2mm']} s at 2 mm and "
        f"{about['phantom_seconds']['1mm']} s at 1 mm, on one core."
    ]
    return "\n".join([*lines, f"SHA-256 of the network: `{about['weights_sha256'][:12]}…`.", ""])


def phantom_seconds() -> dict[str, float]:
    """Median seconds that a phantom takes on one core (`make_case` never uses more)."""
    make_case(0, 4.0)  # reads the atlas
    found = {}
    for spacing, seeds in ((2.0, range(28, 35)), (1.0, range(36, 39))):
        seconds = []
        for seed in seeds:
            start = time.perf_counter()
            make_case(seed, spacing)
            seconds.append(time.perf_counter() - start)
        found[f"{spacing:g}mm"] = round(sorted(seconds)[len(seconds) // 2], 2)
    return found


BEGIN, END = "<!-- figures: written by results/shipped.py -->", "<!-- end of figures -->"


def with_figures(readme: str, content: dict) -> str:
    """The README with this run's means between the two marks."""
    real = content["real"]
    lines = [*HEADER, line("phantoms, test patients", content["groups"][PHANTOMS])]
    if real:
        lines.append(line("real patients (development figures)", real))
    lines += ["", f"{NOTE} {POLICY} Every case: [results/shipped.md](results/shipped.md)."]
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
    real = [r for r in rows if r["group"] != PHANTOMS]
    about = {
        "note": NOTE,
        "minutes": round((time.time() - start) / 60, 1),
        "phantom_seconds": phantom_seconds(),
        "machine": f"{os.cpu_count()} cores, {platform.machine()}",
        "weights_sha256": sidecar["network"]["sha256"],
    }
    content = {
        "about": about,
        "groups": {g: summary([r for r in rows if r["group"] == g]) for g in unique(rows)},
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
