"""Train the network that lesson 06 shows to those who cannot wait, and the runs that it compares.

    make training-runs                                     # about half an hour on one core
    make training-runs ARGS="--only schedules"             # one part: network, schedules or fits
    make training-runs ARGS="--only network --steps 20 --out build/try"

The network learns from the embedded training phantoms; its checkpoint stays in build, so that a
call that was stopped goes on where it was. The comparisons are short runs at 4 mm, as in lesson 05.
Ends by writing notebooks/saved/06_runs.json and notebooks/saved/06_wt.safetensors; a part that was
not run stays as it was.
"""

from __future__ import annotations

import argparse
import json
import platform
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import torch

import gliomakit
from gliomakit import Fit, find_cases, fit, metrics, segment
from gliomakit.losses import from_name
from gliomakit.model import Model, load_model, save_model
from gliomakit.patches import PatchSampler
from gliomakit.paths import prepared_folder
from gliomakit.phantom import embedded
from gliomakit.phantom.dataset import VERSION, embedded_names
from gliomakit.phantom.prepared import prepared_phantoms
from gliomakit.preprocess import Prepared, prepare_all

ROOT = Path(__file__).parents[1]
SAVED = ROOT / "notebooks" / "saved"
JSON, WEIGHTS = "06_runs.json", "06_wt.safetensors"

COMMON = {
    "output": "classes",
    "regions": ("wt",),
    "loss": "weighted-dice",
    "alone": 0.0,
    "drop": 0.0,
    "optimiser": "adam",
    "weight_decay": 0.0,
    "precision": "fp32",
}
"""Two classes, all sequences, the loss that lesson 05 found to behave, plain Adam."""

NETWORK = COMMON | {
    "base_filters": 6,
    "patch": 32,
    "steps": 2400,
    "validate_every": 300,
    "checkpoint_every": 50,
    "trained_on": "the 24 embedded training phantoms at 2 mm; no patient",
}

SHORT = COMMON | {
    "base_filters": 4,
    "patch": 16,
    "batch": 4,
    "average": 0.0,
    "overlap": 0.0,
    "steps": 200,
    "validate_every": 50,
}
"""Patches of 64 mm at 4 mm. Nothing is averaged: a validation sees the network of that step."""

TRAINING, VALIDATION, SPACING = range(10), range(50, 54), 4.0
"""Seeds of the phantoms of the comparisons, and their voxels."""

SCHEDULES = [
    {"schedule": schedule, "rate": rate, "epoch": 2, "seed": seed}
    for schedule in ("step", "one-cycle")
    for rate in (5e-4, 5e-3)
    for seed in (0, 1)
]
"""The paper's 5e-4 and ten times as much. An epoch of two steps makes 200 steps 100 epochs."""

LONG = {"batch": 2, "steps": 300, "validate_every": 30}
PLAIN = {"flip": False, "rotate": False, "intensity": False}
FITS = {
    "rate 1e-5": (len(TRAINING), {"rate": 1e-5}),
    "one phantom": (1, PLAIN),
    "ten phantoms": (len(TRAINING), {}),
}
"""Title -> phantoms to train on, and what differs from `SHORT | LONG`."""

WINDOWS = (32, 48, 64)
"""Sides of the windows in which a whole volume may be segmented; validation chooses."""

SEEN = 3
"""So many phantoms of those that are trained on are scored as the validation phantoms are."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", choices=tuple(PARTS), help="one part instead of all")
    parser.add_argument("--steps", type=int, help="so many steps a run, for a try")
    parser.add_argument("--note", default="", help="words about this run, kept with its figures")
    parser.add_argument("--out", type=Path, default=SAVED)
    arguments = parser.parse_args()
    torch.set_num_threads(1)  # another number of threads gives other last digits
    arguments.out.mkdir(parents=True, exist_ok=True)
    path = arguments.out / JSON
    kept = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    for part in [arguments.only] if arguments.only else PARTS:
        begun = time.monotonic()
        changes = {"steps": arguments.steps} if arguments.steps else {}
        kept[part] = PARTS[part](changes, arguments.out) | {
            "seconds": round(time.monotonic() - begun),
            "machine": f"{platform.machine()}, one thread",
            "note": arguments.note,
            "versions": {
                "python": platform.python_version(),
                "torch": torch.__version__,
                "gliomakit": gliomakit.__version__,
                "phantom": VERSION,
            },
        }
        write(path, {"command": "make training-runs"} | kept)


def network(changes: dict[str, object], out: Path) -> dict[str, object]:
    """The network for those who cannot wait: its curves, and Dice of the test phantoms."""
    files = {one.name: one for one in find_cases(embedded())}
    parts = {p: [files[name] for name in embedded_names(p)] for p in ("training", "validation")}
    training, validation = (prepare_all(parts[p], spacing=2.0) for p in parts)
    settings = Fit(**(NETWORK | changes))
    folder = ROOT / "build" / "training_runs" / f"network_{settings.steps}"

    def look(event: str, **info: object) -> None:
        if event == "validation":
            print(f"step {info['step']}: Dice {info['dice_wt']:.3f}, {info['seconds']:.0f} s")

    fitted = fit(
        training, validation, settings, folder, "cpu", resume=True, callback=look, progress=False
    )
    # A window may be larger than the patches were: at its borders a network knows less.
    model, cases, by_window = fitted.model, [one.read() for one in parts["validation"]], {}
    for side in WINDOWS:
        model.settings = replace(model.settings, window=(side,) * 3)
        by_window[side] = sum(dice_wt(model, case) for case in cases) / len(cases)
        print(f"windows of {side}: validation Dice {by_window[side]:.3f}", flush=True)
    chosen = max(by_window, key=by_window.get)
    model.settings = replace(model.settings, window=(chosen,) * 3)
    path = save_model(model, out / WEIGHTS, dtype="fp16")
    scores = {
        name: dice_wt(load_model(path), files[name].read()) for name in embedded_names("test")
    }
    mean = sum(scores.values()) / len(scores)
    print(f"{path}: {path.stat().st_size / 1e6:.2f} MB, test Dice {mean:.3f}")
    losses = [row for row in fitted.history if row.get("loss") is not None]
    every = max(1, settings.steps // 60)
    groups = [losses[i : i + every] for i in range(0, len(losses), every)]
    scored = [row for row in fitted.history if "dice_wt" in row]
    return {
        "settings": settings.as_json(),
        "training": len(training),
        "validation": len(validation),
        "fit_seconds": round(fitted.history[-1]["seconds"]),
        "step": [group[-1]["step"] for group in groups],
        "loss": [round(sum(row["loss"] for row in g) / len(g), 4) for g in groups],
        "validation_step": [row["step"] for row in scored],
        "dice": [round(row["dice_wt"], 4) for row in scored],
        "windows": {side: round(score, 4) for side, score in by_window.items()},
        "window": chosen,
        "test": {name: round(score, 4) for name, score in scores.items()},
    }


def dice_wt(model: Model, case: object) -> float:
    """Dice of the whole tumour of one case."""
    return metrics.dice(segment(case, model, "cpu", overlap=0.25).regions[0], case.regions()[0])


def schedules(changes: dict[str, object], out: Path) -> dict[str, object]:
    """The paper's schedule and one-cycle, each at two rates and with two seeds."""
    training, validation = short_cases()
    runs = []
    for differs in SCHEDULES:
        settings = Fit(**(SHORT | differs | changes))
        rows = fit(training, validation, settings, device="cpu", progress=False).history
        scored = [row for row in rows if "dice_wt" in row]
        runs.append(
            differs
            | {
                "step": [row["step"] for row in scored],
                "dice": [round(row["dice_wt"], 4) for row in scored],
            }
        )
        print(differs, f"Dice {runs[-1]['dice'][-1]:.3f}", flush=True)
    return {"settings": SHORT | changes, "cases": about_cases(), "runs": runs}


def fits(changes: dict[str, object], out: Path) -> dict[str, object]:
    """Under- and overfitting: Dice and loss of phantoms that are trained on, and of others."""
    training, validation = short_cases()
    runs = {}
    for title, (count, differs) in FITS.items():
        settings = Fit(**(SHORT | LONG | differs | changes))
        runs[title] = one_fit(training[:count], validation, settings)
        found = {kind: values[-1] for kind, values in runs[title].items()}
        print(title, found, flush=True)
    settings = SHORT | LONG | changes
    return {"settings": settings, "cases": about_cases(), "runs": runs}


def one_fit(
    training: Sequence[Prepared], validation: Sequence[Prepared], settings: Fit
) -> dict[str, list[float]]:
    """One run: at each validation the mean Dice of seen and of unseen phantoms, and the loss of the
    same patches of both each time."""
    groups = {"training": training[:SEEN], "validation": validation}
    batches = {
        kind: PatchSampler(cases, settings.size, 0.5, flip=False, rotate=False, seed=99).batch(
            32, 0
        )
        for kind, cases in groups.items()
    }
    found: dict[str, list[float]] = {"step": []}
    loss, network = from_name(settings.loss_name), []

    def look(event: str, **info: object) -> None:
        if event == "start":
            network.append(info["network"])
        if event != "validation":
            return
        found["step"].append(info["step"])
        for kind, cases in groups.items():
            dice = [metrics.dice(info["find"](case)[0], case.regions > 0) for case in cases]
            batch = batches[kind]
            with torch.no_grad():
                logits = network[0].eval()(batch.image)
            value = float(loss(logits, (batch.code > 0).long()))
            found.setdefault(f"{kind} dice", []).append(round(sum(dice) / len(dice), 4))
            found.setdefault(f"{kind} loss", []).append(round(value, 4))

    fit(training, validation, settings, device="cpu", callback=look, progress=False)
    return found


def short_cases() -> tuple[list[Prepared], list[Prepared]]:
    """The phantoms of the comparisons."""
    folder = prepared_folder()
    return (
        prepared_phantoms(folder, TRAINING, spacing=SPACING),
        prepared_phantoms(folder, VALIDATION, spacing=SPACING),
    )


def about_cases() -> dict[str, object]:
    return {"training": len(TRAINING), "validation": len(VALIDATION), "spacing": SPACING}


def write(path: Path, content: dict[str, object]) -> None:
    """As JSON: one line a list of numbers."""
    path.write_text(json.dumps(content) + "\n", encoding="utf-8")
    print(f"{path}: {path.stat().st_size / 1e3:.1f} kB")


PARTS = {"network": network, "schedules": schedules, "fits": fits}


if __name__ == "__main__":
    main()
