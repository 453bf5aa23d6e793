"""Classical, Dynamic and 3-D U-Net at the same cost: on phantoms, and on real LGG slices if here.

    make results
    GLIOMAKIT_REAL_DATA=/path/to/patients python -m results.lgg
    python -m results.lgg --try build/lgg          # the smallest of everything: does it still work?

Writes notebooks/saved/09_networks.json, row by row (a run that was stopped goes on where it was),
then results/lgg.md and results/pictures/lgg.png. Each row is one training, in a process of its own
with one thread; two run at a time. The rate of each network is the best of three on the phantom
validation patients. Real patients are split by patient: the 15 named ones of data/splits/lgg.json
for validation, the others for training. Nothing was chosen on the 15, so they may be called a test;
they are development figures all the same, for everybody here has looked at them.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import nn

import gliomakit
from gliomakit._checkpoint import write_text
from gliomakit.encoders import best_start, encoder_file, load_encoder
from gliomakit.phantom.dataset import VERSION
from gliomakit.phantom.slices import write_slices
from gliomakit.project import shipped
from gliomakit.slicefit import Stack, fit_stacks, predict_stack, read_stack, training_gmac
from gliomakit.slices import check_split, find_patients, import_torchvision
from gliomakit.slicewise import slice_scores
from gliomakit.unet import ClassicalUNet, UNet3d

from ._inside import say
from ._lgg_baselines import baselines
from ._lgg_recipe import recipe
from ._lgg_tables import drawn, markdown
from ._memory import memory_now, memory_peak
from ._picture_files import small

HERE = Path(__file__).parent
SAVED = HERE.parent / "notebooks" / "saved" / "09_networks.json"
SIDE = 64
RATES = (3e-4, 1e-3, 3e-3)
SEEDS = (0, 1, 2)
GMAC = {"rates": 1000.0, "phantoms": 2000.0, "lgg": 3000.0}
"""Multiply-adds (in billions) that each training may cost."""

PARTS = {
    "training": [*range(200, 208), *range(228, 244)],
    "validation": list(range(208, 212)),
    "test": list(range(212, 228)),
}
"""Seeds of the phantoms. `make encoder` learns from those from 300 on."""


@dataclass(frozen=True)
class Plan:
    """One training. data: "rates" (phantoms, scored on validation), "phantoms" or "lgg"."""

    data: str
    network: str
    seed: int
    rate: float
    gmac: float
    slices: str
    patients: int | None = None

    @property
    def name(self) -> str:
        return f"{self.data} | {self.network} | seed {self.seed} | rate {self.rate:g}"


def dynamic(start: str) -> nn.Module:
    """fastai's U-Net on ResNet34, for two classes."""
    import_torchvision()
    from fastai.vision.learner import create_unet_model
    from torchvision.models import resnet34

    network = create_unet_model(
        resnet34, n_out=2, img_size=(SIDE, SIDE), pretrained=start == "ImageNet"
    )
    if start == "phantoms":
        load_encoder(network)
    return network


IMAGENET = "Dynamic, from ImageNet"

NETWORKS: dict[str, Callable[[], nn.Module]] = {
    IMAGENET: lambda: dynamic("ImageNet"),
    "Dynamic, from phantoms": lambda: dynamic("phantoms"),
    "Dynamic, random": lambda: dynamic("random"),
    "Classical, 64 channels": lambda: ClassicalUNet(3, 2, 64),
    "Classical, 16 channels": lambda: ClassicalUNet(3, 2, 16),
    "3-D, 8 channels": lambda: UNet3d(3, 2, 8, norm="instance"),
}
"""As they are called in tables."""

RECIPE = "fastai's recipe: Dynamic, from phantoms, frozen, 5 epochs at 5e-3"


def available() -> list[str]:
    """Those that can be trained here: ImageNet's weights may not be."""
    start = best_start()
    return [name for name in NETWORKS if name != IMAGENET or start.name == "imagenet"]


def stacks(folder: str, names: list[str], side: int) -> dict[str, Stack]:
    """The patients of these names."""
    found = {p.name: p for p in find_patients(folder) if p.name in names}
    return {name: read_stack(found[name], side) for name in names}


def parts_of(plan: Plan) -> tuple[list[str], list[str]]:
    """Names of the patients to train on, and of those that are scored."""
    if plan.data != "lgg":
        scored = PARTS["validation" if plan.data == "rates" else "test"]
        parts = [[f"phantom_{seed:05d}" for seed in each] for each in (PARTS["training"], scored)]
    else:
        named = json.loads(shipped("splits/lgg.json").read_text(encoding="utf-8"))["validation"]
        every = [patient.name for patient in find_patients(plan.slices)]
        parts = [[n for n in every if n not in named], [n for n in named if n in every]]
    training, scored = (names[: plan.patients] for names in parts)
    return training, scored


def train(plan: Plan) -> dict[str, object]:
    """One row: in a process of its own, so that its memory is its own too."""
    torch.set_num_threads(1)
    training, scored = parts_of(plan)
    tumours = stacks(plan.slices, scored, SIDE)
    begun = time.process_time()
    if plan.network == RECIPE:
        files = {p.name: p for p in find_patients(plan.slices)}
        check_split(
            *([path for n in part for path in files[n].images] for part in (training, scored))
        )
        epochs = 5 if plan.gmac > 100 else 1
        probability, more = recipe([files[n] for n in training], tumours, SIDE, plan.seed, epochs)
    else:
        torch.manual_seed(plan.seed)
        network = NETWORKS[plan.network]()
        data = stacks(plan.slices, training, SIDE)
        before = memory_now()
        done = fit_stacks(network, data, plan.gmac, plan.seed, plan.rate)
        memory = memory_peak() - before
        spent = time.process_time() - begun
        begun = time.process_time()
        probability = {name: predict_stack(network, stack) for name, stack in tumours.items()}
        seconds = (time.process_time() - begun) / sum(map(len, tumours.values()))
        begun -= spent
        more = {
            "steps": done.steps,
            "slices": done.slices,
            "gmac": round(done.steps * done.gmac_a_step),
            "loss": [_short(np.mean(done.losses[:10])), _short(np.mean(done.losses[-10:]))],
            "memory_mb": round(memory),
            "ms_a_slice": round(1000 * seconds, 1),
            "parameters": sum(p.numel() for p in network.parameters()),
        }
    reference = {name: stack.reference for name, stack in tumours.items()}
    found = slice_scores({n: p > 0.5 for n, p in probability.items()}, reference)
    return {
        "data": plan.data,
        "network": plan.network,
        "seed": plan.seed,
        "rate": plan.rate,
        **more,
        "cpu_seconds": round(time.process_time() - begun),
        **scores(found),
    }


def scores(found) -> dict[str, object]:
    """The four Dice of a result and its patients' own, short enough for a file."""
    names = ("per_volume", "positive", "pooled", "per_slice", "accuracy")
    values = {name: round(getattr(found, name), 4) for name in names}
    return values | {"volumes": {n: round(d, 4) for n, d in found.volumes.items()}}


def _short(value: float) -> float:
    return float(f"{value:.3g}")


def run(plans: list[Plan], content: dict, path: Path) -> None:
    """Train what is not in the file yet, two at a time; each row is kept as soon as it is there."""
    todo = [plan for plan in plans if plan.name not in content["rows"]]
    say(f"{len(todo)} of {len(plans)} trainings to do")
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(2, context, max_tasks_per_child=1) as pool:
        begun = {pool.submit(train, plan): plan for plan in todo}
        for future in as_completed(begun):
            plan = begun[future]
            row = future.result()
            content["rows"][plan.name] = row
            save(content, path)
            say(f"{plan.name}: per volume {row['per_volume']:.3f}, {row['cpu_seconds']} s")


def save(content: dict, path: Path) -> None:
    """JSON with a line for each row, in the order of the plans."""
    order = [*NETWORKS, RECIPE]

    def place(item: tuple[str, dict]) -> tuple:
        row = item[1]
        return [*GMAC].index(row["data"]), row["seed"], order.index(row["network"]), row["rate"]

    ordered = sorted(content["rows"].items(), key=place)
    rows = ",\n".join(f"{json.dumps(name)}: {json.dumps(row)}" for name, row in ordered)
    head = {name: value for name, value in content.items() if name != "rows"}
    path.parent.mkdir(parents=True, exist_ok=True)
    write_text(path, f'{json.dumps(head, indent=1)[:-2]},\n"rows": {{\n{rows}\n}}}}\n')


def best_rates(rows: dict[str, dict], networks: list[str]) -> dict[str, float]:
    """Of each network the rate with the best mean Dice of the phantom validation patients."""
    tried = [row for row in rows.values() if row["data"] == "rates"]
    best = {}
    for network in networks:
        own = [row for row in tried if row["network"] == network]
        best[network] = max(own, key=lambda row: row["per_volume"])["rate"]
    return best


def kept(path: Path, about: dict) -> dict:
    """The file's content if it was made with the same settings, else a new one."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {"about": about, "baselines": {}, "rows": {}}
    same = content.get("about") == json.loads(json.dumps(about))
    return content if same else {"about": about, "baselines": {}, "rows": {}}


def described(few: bool, networks: list[str]) -> dict[str, object]:
    """What must be the same for rows to stand in one table."""
    return {
        "command": "make results",
        "machine": f"{platform.machine()}, {os.cpu_count()} cores, one thread a training",
        "versions": {
            "python": platform.python_version(),
            "torch": torch.__version__,
            "fastai": __import__("fastai").__version__,
            "gliomakit": gliomakit.__version__,
            "phantom": VERSION,
        },
        "side": SIDE,
        "gmac": {name: 20.0 for name in GMAC} if few else GMAC,
        "rates": RATES,
        "networks": networks,
        "not_measured": [name for name in NETWORKS if name not in networks],
        "phantoms": {part: len(seeds) for part, seeds in PARTS.items()},
    }


def costs(networks: list[str]) -> dict[str, dict[str, float]]:
    """Of each network: parameters, and GMAC to train on one slice."""
    found = {}
    for name in networks:
        network = NETWORKS[name]()
        deep = 32 if isinstance(network, UNet3d) else 1
        shape = (1, 3, SIDE, SIDE, *([deep] if deep > 1 else []))
        found[name] = {
            "parameters": sum(p.numel() for p in network.parameters()),
            "training_gmac": _short(training_gmac(network, shape) / deep),
        }
    return found


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--try", dest="trial", metavar="FOLDER", type=Path)
    trial = parser.parse_args().trial
    if not encoder_file().is_file():
        sys.exit("there is no encoder to begin with: make encoder")
    path = trial / "networks.json" if trial else SAVED
    networks = available()
    content = kept(path, described(bool(trial), networks))
    seeds, patients = ((0,), 4) if trial else (SEEDS, None)
    rates = RATES[1:2] if trial else RATES
    gmac = content["about"]["gmac"]
    every = [seed for part in PARTS.values() for seed in part]
    phantoms = str(write_slices(HERE.parent / "build" / "lgg" / f"v{VERSION}", every))
    content["costs"] = costs(networks)
    base = Plan("rates", "", 0, 0.0, gmac["rates"], phantoms, patients)
    plans = [replace(base, network=n, rate=rate) for n in networks for rate in rates]
    run(plans, content, path)
    content["best_rates"] = best = best_rates(content["rows"], networks)
    base = replace(base, data="phantoms", gmac=gmac["phantoms"])
    plans = [replace(base, network=n, rate=best[n], seed=s) for s in seeds for n in networks]
    run(plans, content, path)
    content["baselines"]["phantoms"] = baselines(*_volumes(base), scores)
    save(content, path)
    if root := os.environ.get("GLIOMAKIT_REAL_DATA"):
        with tempfile.TemporaryDirectory() as real:
            unpack = Path(root) / "lgg" / "unpack.py"
            subprocess.run([sys.executable, unpack, unpack.parent, real], check=True)
            base = replace(base, data="lgg", gmac=gmac["lgg"], slices=real)
            content["baselines"]["lgg"] = baselines(*_volumes(base), scores)
            plans = [
                replace(base, network=n, rate=best.get(n, 5e-3), seed=s)
                for s in seeds
                for n in (*networks, RECIPE)
            ]
            run(plans, content, path)
    here = trial or HERE
    figure = drawn(content)
    small(figure, here / "pictures" / "lgg.png", 150_000)
    write_text(here / "lgg.md", markdown(content, figure.alt))


def _volumes(plan: Plan):
    """Images and masks of both parts, as large as they are."""
    training, scored = parts_of(plan)
    return (stacks(plan.slices, names, 256) for names in (training, scored))


if __name__ == "__main__":
    main()
