"""Make the network that ships with gliomakit: phantoms only, no patient.

    make weights                                          # what the model card describes
    make weights ARGS="--steps 6000 --phantoms 2000"      # longer
    make weights ARGS="--trained gliomakit/weights/phantom.safetensors"   # calibrate anew, no more
    make weights ARGS="--steps 60000 --phantoms 20000 --device cuda"
    make weights ARGS="--stream --minutes 7.5"     # a GPU: phantoms are made while it trains

Made phantoms and the training's checkpoint stay in build/weights, so that a run that was stopped
goes on where it was. After training, phantoms that the network has not seen calibrate its
probabilities and say how well it does with each subset of the sequences. Ends by writing
gliomakit/weights/phantom.safetensors.
"""

from __future__ import annotations

import argparse
import json
import shutil
import time
from dataclasses import asdict, replace
from itertools import combinations
from pathlib import Path

import numpy as np
import torch
from scipy.optimize import minimize
from scipy.special import expit
from tqdm import tqdm

from gliomakit import training
from gliomakit.inference import postprocess, sliding_window
from gliomakit.metrics import dice
from gliomakit.model import Model, load_model, save_model
from gliomakit.phantom.prepared import prepared_phantoms
from gliomakit.preprocess import Prepared, to_regions_array
from gliomakit.regions import SEQUENCES, nest

ROOT = Path(__file__).parents[1]
TARGET = ROOT / "gliomakit" / "weights" / "phantom.safetensors"
SEEDS = range(1000, 1440)
HEALTHY = range(100_000, 100_022)
"""One head without tumour for twenty with one."""

VALIDATION = range(900, 924)
"""Seeds of phantoms for calibration and the subsets: none of the embedded set is among these."""

RECIPE = training.Fit(
    network="LightUNet3d",
    base_filters=24,
    patch=64,
    batch=2,
    steps=4800,
    drop=0.2,
    rate=3e-3,
    average=0.995,
    validate_every=10**6,
    trained_on=f"phantoms at 2 mm, seeds {SEEDS[0]} to {SEEDS[-1]}; no patient",
)

USE = {
    "mirror": "xy",
    "threshold": (0.27, 0.34, 0.40),
    "min_wt_ml": 0.5,
    "min_wt_share": 0.1,
    "min_et_ml": 0.3,
}
"""Probabilities are averaged over four mirror images; from which calibrated probability on a voxel
is tumour; pieces of WT, and whole ET, that are smaller than this are not believed. Chosen on the
validation phantoms and the development cases."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=RECIPE.steps)
    parser.add_argument("--phantoms", type=int, default=len(SEEDS), help="how many to train on")
    parser.add_argument("--filters", type=int, default=RECIPE.base_filters)
    parser.add_argument("--batch", type=int, default=RECIPE.batch)
    parser.add_argument("--device", help="cpu, cuda; by default the fastest that works")
    parser.add_argument("--fresh", action="store_true", help="forget an unfinished run")
    parser.add_argument(
        "--trained", type=Path, help="calibrate and ship this network instead of training one"
    )
    parser.add_argument("--out", type=Path, default=TARGET)
    parser.add_argument(
        "--stream",
        nargs=argparse.REMAINDER,
        metavar="OPTION",
        help="make phantoms while training; what follows is for tools/train_stream.py",
    )
    arguments = parser.parse_args()
    changes = {
        "steps": arguments.steps,
        "base_filters": arguments.filters,
        "batch": arguments.batch,
        "trained_on": RECIPE.trained_on.replace(
            str(SEEDS[-1]), str(SEEDS[0] + arguments.phantoms - 1)
        ),
    }
    settings = training.Fit(**(asdict(RECIPE) | changes))
    folder = ROOT / "build" / "weights"
    run = folder / f"run_{arguments.phantoms}_{settings.base_filters}_{settings.steps}"
    if arguments.fresh:
        shutil.rmtree(run, ignore_errors=True)

    started = time.time()
    seeds = range(SEEDS[0], SEEDS[0] + arguments.phantoms)
    healthy = range(HEALTHY[0], HEALTHY[0] + arguments.phantoms // 20)
    cache = folder / "phantoms"
    validation = prepared_phantoms(cache, VALIDATION)
    trained = arguments.trained or run / "model.safetensors"
    if arguments.stream is not None:
        import train_stream  # beside this file; it takes RECIPE from here

        run = folder / "stream"
        train_stream.main(["--out", str(run), *arguments.stream])
        trained = run / train_stream.MODEL
    elif arguments.trained is None:
        made = prepared_phantoms(cache, seeds)
        made += prepared_phantoms(cache, healthy, tumour=False)
        print(f"{len(made)} phantoms ready after {time.time() - started:.0f} s")
        device, resume = arguments.device, run.exists()
        training.fit(made, validation, settings, out=run, resume=resume, device=device)
        print(f"trained after {(time.time() - started) / 60:.1f} minutes")
    model = load_model(trained)
    print("calibration (slope, offset):", json.dumps(calibrate(model, validation)))
    model.settings = replace(model.settings, **USE)
    model.settings = replace(model.settings, subset_dice=subset_dice(model, validation))
    save_model(model, arguments.out, dtype="fp16")
    size = arguments.out.stat().st_size / 1e6
    print(f"{arguments.out}: {size:.1f} MB after {(time.time() - started) / 60:.1f} minutes")


def predict(
    model: Model, case: Prepared, keep: tuple[str, ...] = SEQUENCES, overlap: float = 0.5
) -> np.ndarray:
    """Probabilities of WT, TC, ET (3, x, y, z) from some of a case's sequences, no mirroring."""
    image = torch.from_numpy(np.array(case.image))
    image[[name not in keep for name in SEQUENCES]] = 0
    return sliding_window(
        model.network,
        image,
        model.settings.window or model.settings.patch,
        overlap,
        skip=torch.from_numpy(np.array(case.brain)),
        precision=None,
    ).numpy()


def calibrate(model: Model, cases: list[Prepared]) -> dict[str, tuple[float, float]]:
    """Platt's scaling (1999) of each region's logit, fitted on cases that the network has not
    seen, and put into its last layer. Returns slope and offset of each region.

    Every second case is seen with FLAIR and T1ce only, which many users have.
    """
    logits, truth = [], []
    rng = np.random.default_rng(0)
    for i, case in enumerate(tqdm(cases, desc="calibrate", unit="case")):
        p = predict(model, case, SEQUENCES if i % 2 == 0 else ("flair", "t1ce"))
        inside = np.flatnonzero(np.asarray(case.brain))
        inside = rng.choice(inside, min(60_000, len(inside)), replace=False)
        p = np.clip(p.reshape(3, -1)[:, inside].astype(float), 1e-6, 1 - 1e-6)
        logits.append(np.log(p / (1 - p)))
        truth.append(to_regions_array(np.asarray(case.regions)).reshape(3, -1)[:, inside])
    logits, truth = np.concatenate(logits, 1), np.concatenate(truth, 1)
    found = {}
    last = model.network.last
    # A transposed convolution's second axis is what leaves it, a plain one's first.
    weight = last.weight.transpose(0, 1) if last.transposed else last.weight
    with torch.no_grad():
        for k, region in enumerate(model.settings.regions):
            slope, offset = platt(logits[k], truth[k])
            weight[k] *= slope
            last.bias[k] = last.bias[k] * slope + offset
            found[region] = (round(slope, 3), round(offset, 3))
    return found


def platt(logit: np.ndarray, truth: np.ndarray) -> tuple[float, float]:
    """Slope and offset of the logistic regression of truth on logit."""

    def loss(values: np.ndarray) -> tuple[float, np.ndarray]:
        z = values[0] * logit + values[1]
        gap = expit(z) - truth
        return float(np.mean(np.logaddexp(0, z) - truth * z)), np.array(
            [np.mean(gap * logit), np.mean(gap)]
        )

    slope, offset = minimize(loss, (1.0, 0.0), jac=True, method="BFGS").x
    return float(slope), float(offset)


def subset_dice(model: Model, cases: list[Prepared]) -> dict[str, tuple[float, float, float]]:
    """Mean Dice of WT, TC, ET for each of the 15 subsets of sequences; TC and ET over those cases
    that have some. Windows overlap by a quarter only: a third of the time, hardly another figure.
    """
    s = model.settings
    found = {}
    subsets = [names for n in (4, 3, 2, 1) for names in combinations(SEQUENCES, n)]
    for names in tqdm(subsets, desc="subsets", unit="subset"):
        scores: list[list[float]] = [[], [], []]
        for case in cases:
            threshold = np.broadcast_to(np.float32(s.threshold), 3)[:, None, None, None]
            regions = nest(predict(model, case, names, overlap=0.25) >= threshold)
            regions = postprocess(regions, 0.008, s.min_wt_ml, s.min_et_ml, s.min_wt_share)
            truth = to_regions_array(np.asarray(case.regions))
            for k in range(3):
                if truth[k].any():
                    scores[k].append(dice(regions[k], truth[k]))
        found["+".join(names)] = tuple(round(float(np.mean(v)), 3) for v in scores)
    return found


if __name__ == "__main__":
    main()
