"""Search settings for a short training, and measure how much of the gain was luck, for lesson 11.

    make tune-runs                                      # about ten minutes on one core
    make tune-runs ARGS="--trials 3 --seeds 2 --steps 4 --out build/try"

Phantoms of 4 mm, a small network, a few dozen steps. First a study (`gliomakit.tuning`); then the
settings of its winner and those that it began from are trained again with other seeds and scored
on validation and on test phantoms, which no choice has seen. Ends by writing
notebooks/saved/11_study.json.
"""

from __future__ import annotations

import argparse
import json
import platform
import shutil
import time
from collections.abc import Sequence
from pathlib import Path

import torch

import gliomakit
from gliomakit import Fit, tuning
from gliomakit.paths import prepared_folder
from gliomakit.phantom.dataset import VERSION
from gliomakit.phantom.prepared import prepared_phantoms
from gliomakit.preprocess import Prepared

ROOT = Path(__file__).parents[1]
SAVED = ROOT / "notebooks" / "saved"

TRAINING, VALIDATION, TEST, SPACING = range(10), range(50, 54), range(60, 76), 4.0
"""Seeds of the phantoms, and their voxels."""

BASE = {
    "network": "LightUNet3d",
    "output": "classes",
    "regions": ("wt",),
    "alone": 0.0,
    "drop": 0.0,
    "optimiser": "adam",
    "weight_decay": 0.0,
    "average": 0.0,
    "overlap": 0.0,
    "precision": "fp32",
    "steps": 60,
    "validate_every": 15,
}

HAND = {
    "rate": 1e-2,
    "base_filters": 8,
    "patch": 32,
    "loss": "weighted-dice",
    "schedule": "one-cycle",
    "foreground": 0.5,
    "intensity": True,
}
"""Settings that a person would begin with: the playground's."""

SPACE = {
    "rate": (1e-4, 1e-1, "log"),
    "base_filters": [4, 8, 12],
    "patch": [32, 48],
    "loss": ["weighted-dice", "dice", "dice-ce", "cross-entropy"],
    "schedule": ["one-cycle", "cosine", "constant"],
    "foreground": (0.0, 1.0),
    "intensity": [False, True],
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--trials", type=int, default=40)
    parser.add_argument("--seeds", type=int, default=12, help="trainings of each of the two")
    parser.add_argument("--steps", type=int, default=BASE["steps"])
    parser.add_argument("--out", type=Path, default=SAVED)
    arguments = parser.parse_args()
    torch.set_num_threads(1)  # another number of threads gives other last digits
    base = BASE | {"steps": arguments.steps, "validate_every": max(1, arguments.steps // 4)}
    training, validation, test = (
        prepared_phantoms(prepared_folder(), seeds, spacing=SPACING)
        for seeds in (TRAINING, VALIDATION, TEST)
    )
    folder = ROOT / "build" / "tune_runs"
    shutil.rmtree(folder, ignore_errors=True)
    begun, cpu = time.monotonic(), time.process_time()

    def said(trial) -> None:
        end = "no score" if trial.value is None else f"Dice {trial.value:.3f}"
        print(f"trial {trial.number} {trial.state.name.lower()}, {end}", flush=True)

    study = tuning.search(
        training, validation, base, SPACE, folder, arguments.trials, device="cpu", tell=said
    )
    winner = tuning.best(study)
    print(f"the best: {winner.value:.3f}, {winner.params}")
    repeats = {}
    for title, chosen in {"by hand": HAND, "the winner": winner.params}.items():
        # The first of the winner's is the network that won: its seed was its number.
        first = winner.number if title == "the winner" else 0
        repeats[title] = []
        for seed in range(first, first + arguments.seeds):
            settings = Fit(**(base | chosen | {"seed": seed}))
            groups = {"validation": validation, "test": test}
            dice = tuning.judge(training, groups, settings, device="cpu")
            repeats[title].append(
                {"seed": seed} | {k: [round(d, 4) for d in v] for k, v in dice.items()}
            )
            means = ", ".join(f"{k} {sum(v) / len(v):.3f}" for k, v in dice.items())
            print(f"{title}, seed {seed}: {means}", flush=True)
    found = {
        "command": "make tune-runs",
        "base": base | {"regions": list(base["regions"])},
        "hand": HAND,
        "space": {name: list(given) for name, given in SPACE.items()},
        "ranges": [name for name, given in SPACE.items() if isinstance(given, tuple)],
        "cases": {
            "training": len(training),
            "validation": len(validation),
            "test": len(test),
            "spacing": SPACING,
        },
        "wt_ml": {"validation": volumes(validation), "test": volumes(test)},
        "trials": tuning.as_rows(study),
        "winner": winner.number,
        "repeats": repeats,
        "seconds": round(time.monotonic() - begun),
        "cpu_seconds": round(time.process_time() - cpu),
        "machine": f"{platform.machine()}, one thread",
        "versions": {
            "python": platform.python_version(),
            "torch": torch.__version__,
            "optuna": tuning.version(),
            "gliomakit": gliomakit.__version__,
            "phantom": VERSION,
        },
    }
    arguments.out.mkdir(parents=True, exist_ok=True)
    path = arguments.out / "11_study.json"
    path.write_text(json.dumps(found) + "\n", encoding="utf-8")
    print(f"{path}: {path.stat().st_size / 1e3:.1f} kB, {found['cpu_seconds']} CPU-seconds")


def volumes(cases: Sequence[Prepared]) -> list[float]:
    """The whole tumour of each case in mL."""
    return [round(float((case.regions > 0).sum()) * SPACING**3 / 1000, 1) for case in cases]


if __name__ == "__main__":
    main()
