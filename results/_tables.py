"""The tables of the shipped network's figures: for people, from what results/shipped.json holds."""

from __future__ import annotations

from gliomakit.regions import REGION_NAMES, REGIONS, SEQUENCE_NAMES, SEQUENCES

POLICY = (
    "Means are over all n; a region that is in neither label counts 1, one that is missed or "
    "spurious counts 0. False ET is what was found, in mL, in patients who have none."
)
PHANTOMS = "phantoms, test"
TWO = "BraTS 2021, FLAIR and T1ce"
FEWER = "The phantom test patients; TC and ET over those who have some."
ALL_REAL = "all real patients, each once (development figures)"
BEGIN, END = "<!-- figures: written by results/shipped.py -->", "<!-- end of figures -->"

HEADER = [
    "| mean Dice | n | WT | TC | ET | TC, where there is some | ET, where there is some "
    "| false ET, mL | missed | spurious |",
    "|---|---|---|---|---|---|---|---|---|---|",
]


def unique(rows: list[dict]) -> list[str]:
    """The groups, in their order."""
    return list(dict.fromkeys(r["group"] for r in rows))


def real(rows: list[dict]) -> list[dict]:
    """The real patients, each once: with all the sequences that there are."""
    return [r for r in rows if r["group"] not in (PHANTOMS, TWO)]


def summary(rows: list[dict]) -> dict[str, dict]:
    """By region: mean Dice over all n, misses and spurious regions; the mean over those patients
    whose reference has the region; the mean volume found in those whose reference has not."""
    means = {}
    for region in REGIONS:
        ours = [r[region] for r in rows]
        there = [r["dice"] for r in ours if r["false_ml"] is None]
        false = [r["false_ml"] for r in ours if r["false_ml"] is not None]
        means[region] = {
            "dice": sum(r["dice"] for r in ours) / len(ours),
            "n": len(ours),
            "missed": sum(r["missed"] for r in ours),
            "spurious": sum(r["spurious"] for r in ours),
            "dice_where_there": sum(there) / len(there) if there else None,
            "n_where_there": len(there),
            "false_ml": sum(false) / len(false) if false else None,
            "n_without": len(false),
        }
    return means


def line(name: str, means: dict[str, dict]) -> str:
    """A row of means: over all n, where the region is, false ET, misses and spurious regions."""
    cells = [f"{means[g]['dice']:.3f}" for g in REGIONS]
    cells += [mean_of(means[g], "dice_where_there", "n_where_there") for g in ("tc", "et")]
    cells.append(mean_of(means["et"], "false_ml", "n_without", digits=2))
    cells += [
        ", ".join(f"{means[g][kind]} {g.upper()}" for g in REGIONS if means[g][kind]) or "0"
        for kind in ("missed", "spurious")
    ]
    return f"| {name} | {means['wt']['n']} | {' | '.join(cells)} |"


def mean_of(means: dict, value: str, n: str, digits: int = 3) -> str:
    """A mean and its n; a dash where there is nothing to take the mean of.

    >>> mean_of({"dice": 0.8125, "n": 3}, "dice", "n"), mean_of({"dice": None, "n": 0}, "dice", "n")
    ('0.812 (n = 3)', '–')
    """
    return f"{means[value]:.{digits}f} (n = {means[n]})" if means[n] else "–"


def groups(content: dict) -> dict[str, dict]:
    """Every group's means, and those of all real patients."""
    return content["groups"] | ({ALL_REAL: content["real"]} if content["real"] else {})


def patients(rows: list[dict]) -> list[str]:
    """The table of every patient, group by group."""
    lines = ["| patient | WT | TC | ET | WT, mL (reference) | ET, mL (reference) | s |"]
    lines += ["|---|---|---|---|---|---|---|"]
    for group in unique(rows):
        lines.append(f"| **{group}** | | | | | | |")
        for r in (r for r in rows if r["group"] == group):
            cells = [f"{r[g]['dice']:.3f}" for g in REGIONS]
            cells += [f"{r[g]['ml']} ({r[g]['reference_ml']})" for g in ("wt", "et")]
            lines.append(f"| {r['case']} | {' | '.join(cells)} | {r['seconds']} |")
    return lines


def subset_table(rows: list[dict]) -> list[str]:
    """Mean Dice for each subset of the sequences; TC and ET where there is some."""
    n = {region: rows[0][region]["n"] for region in REGIONS}
    names = " | ".join(SEQUENCE_NAMES[s] for s in SEQUENCES)
    heads = " | ".join(f"{r.upper()} (n = {n[r]})" for r in REGIONS)
    lines = [f"| {names} | {heads} |", "|" + "---|" * (len(SEQUENCES) + len(REGIONS))]
    for row in rows:
        cells = ["yes" if s in row["sequences"] else "–" for s in SEQUENCES]
        values = [row[region]["dice"] for region in REGIONS]
        cells += ["–" if v is None else f"{v:.3f}" for v in values]
        lines.append(f"| {' | '.join(cells)} |")
    return lines


FEW = 1000
"""Voxels: what a bin with fewer says is chance."""


def furthest_off(table: dict) -> tuple[float, float] | None:
    """Predicted probability and observed share of the bin where they differ most; bins with few
    voxels are left out.

    >>> furthest_off({"n": [5000, 2000, 9], "probability": [0.1, 0.5, 0.9],
    ...               "observed": [0.1, 0.3, 0.0]})
    (0.5, 0.3)
    """
    bins = zip(table["n"], table["probability"], table["observed"])
    known = [(p, share) for n, p, share in bins if n >= FEW]
    return max(known, key=lambda b: abs(b[0] - b[1])) if known else None


def reliability_lines(tables: dict[str, dict]) -> list[str]:
    """Expected calibration error by region, and the bin that is furthest off."""
    voxels, easy = sum(tables["wt"]["n"]), tables["wt"]["n"][0]
    lines = [
        f"{voxels:,} voxels inside the phantom test patients' brains, ten bins. "
        f"{easy / voxels:.0%} of them lie in WT's lowest bin: easy ones, which make the expected "
        "calibration error (ECE) small. So the bin "
        f"that is furthest off stands beside it, of those with {FEW:,} voxels or more.",
        "",
        "| | ECE | the bin that is furthest off |",
        "|---|---|---|",
    ]
    for region, table in tables.items():
        bin = furthest_off(table)
        said = "–" if bin is None else f"says {bin[0]:.0%}, {bin[1]:.0%} are tumour"
        lines.append(f"| {REGION_NAMES[region]} | {table['ece']:.4f} | {said} |")
    return lines


def between(text: str, lines: list[str]) -> str:
    """A text with these lines between the two marks."""
    head, rest = text.split(BEGIN)
    return "\n".join([head + BEGIN, "", *lines, "", END + rest.split(END)[1]])


def with_figures(readme: str, content: dict) -> str:
    """The README with this run's means between the two marks."""
    lines = [*HEADER, line("phantoms, test patients", content["groups"][PHANTOMS])]
    if content["real"]:
        lines.append(line(ALL_REAL, content["real"]))
        lines.append(line(f"{TWO} alone", content["groups"][TWO]))
    note = content["about"]["note"]
    lines += ["", f"{note} {POLICY} Every case: [results/shipped.md](results/shipped.md)."]
    return between(readme, lines)


def with_card(card: str, content: dict) -> str:
    """The model card with this run's figures between the two marks."""
    pictures = "../../results/pictures"
    lines = [content["about"]["note"], POLICY, "", *HEADER]
    lines += [line(name, means) for name, means in groups(content).items()]
    lines += ["", "### With fewer sequences", "", FEWER, "", *subset_table(content["subsets"])]
    lines += ["", "### What a probability is worth", ""]
    lines += reliability_lines(content["reliability"])
    lines += ["", f"![{content['alt']['reliability']}]({pictures}/reliability.png)"]
    lines += ["", "### At its worst", ""]
    for region, one in content["worst"].items():
        what = f"The worst {REGION_NAMES[region]} among the phantom test patients"
        lines += [f"{what}: {one['case']}, Dice {one['dice']:.2f}.", ""]
        lines += [f"![{content['alt'][region]}]({pictures}/worst_{region}.png)", ""]
    return between(card, lines[:-1])


def markdown(content: dict) -> str:
    """results/shipped.md: means, then every patient, then what only phantoms were asked."""
    about = content["about"]
    lines = ["# Figures of the shipped network", "", about["note"], POLICY, "", *HEADER]
    lines += [line(name, means) for name, means in groups(content).items()]
    lines += ["", *patients(content["cases"])]
    lines += ["", "## With fewer sequences", "", FEWER, "", *subset_table(content["subsets"])]
    lines += ["", "## What a probability is worth", ""]
    lines += [*reliability_lines(content["reliability"]), ""]
    lines += [f"![{content['alt']['reliability']}](pictures/reliability.png)", ""]
    lines += [f"Command: `make results`; {about['minutes']} minutes on {about['machine']}."]
    seconds = about["phantom_seconds"]
    lines += [
        f"A phantom is made in {seconds['2mm']} s at 2 mm and {seconds['1mm']} s at 1 mm, on one "
        "core."
    ]
    return "\n".join([*lines, f"SHA-256 of the network: `{about['weights_sha256'][:12]}…`.", ""])
