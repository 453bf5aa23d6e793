"""Train one small network with each loss, and keep what lesson 05 shows of it.

    make loss-runs                                     # about four minutes on one core
    make loss-runs ARGS="--steps 20 --seeds 0 --out build/try.json"

All runs see the same patches in the same order, begin with the same weights and differ in the loss
alone; a second seed says how much of a difference is luck. Ends by writing
notebooks/saved/05_losses.json.
"""

from __future__ import annotations

import argparse
import json
import platform
import time
from pathlib import Path

import numpy as np
import torch

import gliomakit
from gliomakit.losses import LOSSES
from gliomakit.paths import prepared_folder
from gliomakit.phantom.dataset import VERSION
from gliomakit.phantom.prepared import prepared_phantoms
from gliomakit.preprocess import Prepared
from gliomakit.training import Fit, fit

TARGET = Path(__file__).parents[1] / "notebooks" / "saved" / "05_losses.json"
TRAINING, VALIDATION = range(10), range(50, 53)
"""Seeds of the phantoms, those of lesson 10."""

SPACING = 4.0

SETTINGS = {
    "output": "classes",
    "regions": ("wt",),
    "base_filters": 4,
    "patch": 16,
    "batch": 4,
    "foreground": 0.0,
    "alone": 0.0,
    "drop": 0.0,
    "average": 0.0,
    "precision": "fp32",
    "overlap": 0.0,
    "validate_every": 20,
}
"""Patches of 64 mm, drawn anywhere, and two classes: as in the first paper, at a size for laptops.
Nothing is averaged, so that a validation sees the network of that very step."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=60)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1])
    parser.add_argument("--out", type=Path, default=TARGET)
    arguments = parser.parse_args()
    torch.set_num_threads(1)  # another number of threads gives other last digits
    training = prepared_phantoms(prepared_folder(), TRAINING, spacing=SPACING)
    validation = prepared_phantoms(prepared_folder(), VALIDATION, spacing=SPACING)
    names = [name for name in LOSSES if LOSSES[name]().output == "classes"]
    begun, runs = time.monotonic(), []
    for name in names:
        for seed in arguments.seeds:
            settings = Fit(**SETTINGS, loss=name, seed=seed, steps=arguments.steps)
            runs.append(one(training, validation, settings))
            dice = runs[-1]["dice"][-1]
            print(f"{name:22} seed {seed}: Dice {dice:.3f}, {time.monotonic() - begun:4.0f} s")
    about = {
        "command": "make loss-runs",
        "seconds": round(time.monotonic() - begun),
        "machine": f"{platform.machine()}, one thread",
        "versions": {
            "python": platform.python_version(),
            "torch": torch.__version__,
            "gliomakit": gliomakit.__version__,
            "phantom": VERSION,
        },
        "training": len(training),
        "validation": [case.name for case in validation],
        "spacing": SPACING,
        "settings": SETTINGS | {"steps": arguments.steps},
    }
    lines = ",\n  ".join(json.dumps(run) for run in runs)
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    arguments.out.write_text(
        f'{{"about": {json.dumps(about, indent=1)},\n"runs": [\n  {lines}\n]}}\n', encoding="utf-8"
    )
    print(f"{arguments.out}: {arguments.out.stat().st_size / 1e3:.1f} kB")


def one(training: list[Prepared], validation: list[Prepared], settings: Fit) -> dict[str, object]:
    """One run: at each validation the mean Dice, the voxels called tumour over those that are (all
    cases together), and the mean training loss since the last."""
    found, true = [], sum(int((case.regions > 0).sum()) for case in validation)

    def look(event: str, **info: object) -> None:
        if event == "validation":
            voxels = sum(int(info["find"](case).sum()) for case in validation)
            found.append(round(voxels / true, 3))

    rows = fit(training, validation, settings, callback=look, progress=False).history
    losses = [row["loss"] for row in rows if "loss" in row]
    scored = [row for row in rows if "dice_wt" in row]
    every = settings.validate_every
    return {
        "loss": settings.loss_name,
        "seed": settings.seed,
        "step": [row["step"] for row in scored],
        "dice": [round(row["dice_wt"], 4) for row in scored],
        "found": found,
        "training_loss": [
            round(float(np.mean(losses[row["step"] - every : row["step"]])), 4) for row in scored
        ],
    }


if __name__ == "__main__":
    main()
