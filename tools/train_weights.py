"""Make the network that ships with gliomakit: phantoms only, no patient.

    make weights                        # what the model card describes
    make weights ARGS="--steps 6000"    # longer

Made phantoms and the training's checkpoint stay in build/weights, so that a run that was stopped
goes on where it was. Ends by writing gliomakit/weights/phantom.safetensors.
"""

from __future__ import annotations

import argparse
import os
import shutil
import time
from dataclasses import asdict, replace
from pathlib import Path

from gliomakit import training
from gliomakit.cases import find_cases
from gliomakit.model import load_model, save_model
from gliomakit.phantom import write_dataset
from gliomakit.preprocess import prepare_all

ROOT = Path(__file__).parents[1]
SEEDS = range(1000, 1256)
VALIDATION = range(900, 906)
"""Seeds of the training phantoms: none of the embedded set is among them."""

RECIPE = training.Fit(
    base_filters=8,
    patch=64,
    batch=2,
    steps=1400,
    rate=3e-3,
    validate_every=700,
    trained_on=f"{len(SEEDS)} phantoms at 2 mm, seeds {SEEDS[0]} to {SEEDS[-1]}; no patient",
)

POSTPROCESSING = {"min_wt_ml": 2.0, "min_et_ml": 0.3}
"""Chosen on the 28 embedded training and validation phantoms, which this network has not seen."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=RECIPE.steps)
    parser.add_argument("--fresh", action="store_true", help="forget an unfinished run")
    arguments = parser.parse_args()
    folder = ROOT / "build" / "weights"
    run = folder / f"run_{arguments.steps}"
    if arguments.fresh:
        shutil.rmtree(run, ignore_errors=True)
    started = time.time()
    data = {
        part: prepare_all(
            find_cases(write_dataset(folder / part, seeds)),
            folder / "cache",
            spacing=2.0,
            workers=os.cpu_count(),
        )
        for part, seeds in (("training", SEEDS), ("validation", VALIDATION))
    }
    print(f"{len(SEEDS)} phantoms ready after {time.time() - started:.0f} s")
    settings = training.Fit(**{**asdict(RECIPE), "steps": arguments.steps})
    training.fit(data["training"], data["validation"], settings, out=run, resume=run.exists())
    model = load_model(run / "model.safetensors")
    model.settings = replace(model.settings, **POSTPROCESSING)
    target = ROOT / "gliomakit" / "weights" / "phantom.safetensors"
    save_model(model, target, dtype="fp16")
    print(
        f"{target.relative_to(ROOT)}: {target.stat().st_size / 1e6:.1f} MB "
        f"after {(time.time() - started) / 60:.1f} minutes"
    )


if __name__ == "__main__":
    main()
