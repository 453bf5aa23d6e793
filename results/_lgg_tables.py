"""The tables and the picture of `results.lgg`: from what notebooks/saved/09_networks.json holds."""

from __future__ import annotations

import numpy as np
from matplotlib.figure import Figure

from gliomakit import plots
from gliomakit.metrics import bootstrap_interval
from gliomakit.slicewise import paired

TITLES = {"phantoms": "phantoms, test", "lgg": "LGG, 15 named patients"}
SHOWN = ("per_volume", "positive", "pooled", "per_slice", "accuracy")
HEADER = [
    "| | per volume (95 %) | slices with tumour | pooled | per slice, empty = 1 | accuracy |",
    "|---|---|---|---|---|---|",
]
NOTE = (
    "Each network is trained three times (seeds 0, 1, 2) from the same slices, with the same loss "
    "(mean cross-entropy), optimiser (AdamW, one cycle) and augmentation, for the same number of "
    "multiply-adds. Its rate is the best of {rates} on {validation} phantom validation patients "
    "(seed 0). Scores are computed on slices of 256 × 256; the networks see {side} × {side}. Means "
    "are over seeds; the interval is a bootstrap over patients, each one's Dice being the mean of "
    "its seeds. LGG slices carry no spacing: HD95 in mm and volumes are not given. Figures on real "
    "patients are development figures."
)


def members(content: dict, data: str) -> dict[str, list[dict]]:
    """Network -> its rows on these data, one a seed."""
    found: dict[str, list[dict]] = {}
    for row in content["rows"].values():
        if row["data"] == data:
            found.setdefault(row["network"], []).append(row)
    order = [*content["about"]["networks"], *found]
    return {name: found[name] for name in dict.fromkeys(order) if name in found}


def by_patient(rows: list[dict]) -> dict[str, float]:
    """Each patient's Dice, the mean over seeds."""
    return {name: float(np.mean([r["volumes"][name] for r in rows])) for name in rows[0]["volumes"]}


def cpu_minutes(content: dict) -> float:
    """Of all trainings, with reading and scoring."""
    return sum(row["cpu_seconds"] for row in content["rows"].values()) / 60


def drawn(content: dict) -> Figure:
    """All networks whose work was the same, on all data."""
    race = content["about"]["networks"]
    groups = {
        TITLES[data]: {
            name: list(by_patient(rows).values())
            for name, rows in members(content, data).items()
            if name in race
        }
        for data in TITLES
        if members(content, data)
    }
    return plots.compared(groups, across="Dice of a patient's volume")


def line(name: str, rows: list[dict]) -> str:
    """A row: the mean of the seeds."""
    low, high = bootstrap_interval(list(by_patient(rows).values()))
    means = {key: np.mean([row[key] for row in rows]) for key in SHOWN}
    cells = [f"{means['per_volume']:.3f} ({low:.3f} to {high:.3f})"]
    cells += [f"{means[key]:.3f}" for key in SHOWN[1:-1]] + [f"{means['accuracy']:.4f}"]
    return f"| {name} | " + " | ".join(cells) + " |"


def markdown(content: dict, alt: str) -> str:
    """The results page."""
    about = content["about"]
    rates = ", ".join(f"{rate:g}" for rate in about["rates"])
    note = NOTE.format(rates=rates, side=about["side"], validation=about["phantoms"]["validation"])
    lines = ["# Classical, Dynamic and 3-D U-Net at the same cost", "", note, ""]
    lines += [
        f"`{about['command']}` (`python -m results.lgg`): {cpu_minutes(content):.0f} minutes of "
        f"one core, two trainings at a time, on {about['machine']}; torch "
        f"{about['versions']['torch']}, fastai {about['versions']['fastai']}, phantoms of version "
        f"{about['versions']['phantom']}.",
        "",
    ]
    for name in about["not_measured"]:
        lines += [f"Not measured: {name}, whose weights could not be downloaded there.", ""]
    lines += [f"![{alt}](pictures/lgg.png)", ""]
    for data, title in TITLES.items():
        if not (found := members(content, data)):
            continue
        spent = about["gmac"][data]
        lines += [f"## {title}", "", f"{spent:,.0f} GMAC for each training.", "", *HEADER]
        lines += [line(name, rows) for name, rows in found.items()]
        lines += [line(name, [row]) for name, row in content["baselines"][data].items()]
        lines += ["", *differences(found), ""]
    return "\n".join([*lines, *means(content)])


def differences(found: dict[str, list[dict]]) -> list[str]:
    """Each network against the best one, patient by patient."""
    scores = {name: by_patient(rows) for name, rows in found.items()}
    best = max(scores, key=lambda name: np.mean(list(scores[name].values())))
    lines = [
        f"Against the best mean, *{best}*, patient by patient:",
        "",
        "| | mean difference (95 %) | better in | Wilcoxon p |",
        "|---|---|---|---|",
    ]
    for name in scores:
        if name == best:
            continue
        test = paired(scores[name], scores[best])
        lines.append(
            f"| {name} | {test.mean:+.3f} ({test.low:+.3f} to {test.high:+.3f}) | {test.better} of "
            f"{len(scores[name])} | {test.p:.3g} |"
        )
    return lines


def means(content: dict) -> list[str]:
    """What each network costs."""
    lines = ["## What they cost", ""]
    lines += [
        "| | parameters | GMAC to train on a slice | rate | slices seen | steps | memory, MB "
        "| ms a slice in use |",
        "|---|---|---|---|---|---|---|---|",
    ]
    data = "lgg" if members(content, "lgg") else "phantoms"
    for name, rows in members(content, data).items():
        cost = content["costs"].get(name, {})
        train = f"{cost['training_gmac']:g}" if cost else ""
        used = [row["ms_a_slice"] for row in rows if "ms_a_slice" in row]
        lines.append(
            f"| {name} | {rows[0]['parameters'] / 1e6:.1f} M | {train} | {rows[0]['rate']:g} "
            f"| {rows[0]['slices']:,} | {rows[0]['steps']:,} "
            f"| {np.median([row['memory_mb'] for row in rows]):,.0f} "
            f"| {f'{np.median(used):.0f}' if used else ''} |"
        )
    lines += [
        "",
        f"Slices seen, steps and memory are those of {TITLES[data]}. Memory: by how much the "
        "process grew while it trained, on 4 slices in two dimensions, on one stack of at most 32 "
        "in three. ms a slice: one core, other work beside; in three dimensions a whole stack at "
        "once.",
        "",
    ]
    return lines
