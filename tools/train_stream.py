"""Train the shipped network on phantoms that are made while it trains: for a machine with a GPU.

    make weights ARGS="--stream --minutes 7.5"       # train, calibrate, write the shipped file
    python tools/train_stream.py --minutes 7.5 --out build/stream          # train, no more
    make weights ARGS="--stream --minutes 7.5 --patch 80 --generators . ../v5 ../v7"

Processes beside the training make phantom after phantom, each of a new seed; the sampler draws
from all that are there. With `--generators`, other checkouts of this repository make some of them:
older versions of the phantom look different, and a network that has seen several trusts none. The
rate follows the clock and not the number of steps, so that a lent machine's time is used up to its
end. Not reproducible to the bit: how many phantoms are ready at which step depends on the machine.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
import time
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import torch

DATASET = Path("gliomakit", "phantom", "dataset.py")
MODEL = "model.safetensors"
STEPS = 1_000_000
"""Of the schedule: a step's number is the share of the time that has passed, times this."""

FIRST_SEED, HEALTHY_EVERY, SPACING = 200_000, 20, 2.0
SAMPLED = ("foreground", "flip", "rotate", "seed", "balance")
KEPT_AT = (0.6, 0.8, 0.9)
"""Shares of the time at which the averaged weights are written too."""


@dataclass(eq=False)
class Made:
    """A prepared phantom on the device, its image in half precision."""

    image: torch.Tensor
    regions: np.ndarray
    code: torch.Tensor
    present: tuple[str, ...]


def main(words: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--minutes", type=float, default=7.0, help="of training")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--generators", type=Path, nargs="+", default=[Path(__file__).parents[1]])
    parser.add_argument("--workers", type=int, default=max(1, (os.cpu_count() or 2) - 2))
    parser.add_argument("--made", type=Path, default=Path("/dev/shm/gliomakit"), help="scratch")
    parser.add_argument("--begin", type=int, default=64, help="phantoms before the first step")
    parser.add_argument("--most", type=int, default=8000, help="phantoms on the device")
    parser.add_argument("--filters", type=int, default=24)
    parser.add_argument("--patch", type=int, default=64)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--rate", type=float, default=3e-3)
    parser.add_argument("--precision", help="fp32, bf16, fp16; by default the device's own")
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--make", type=int, nargs=2, metavar=("FIRST", "STRIDE"), help="a worker")
    arguments = parser.parse_args(words)
    for root in arguments.generators:
        if not (root / DATASET).is_file():
            parser.error(f"{root} is no checkout of this repository")
    if arguments.make:
        make(arguments.made, *arguments.make)
    else:
        train(arguments)


def make(folder: Path, first: int, stride: int) -> None:
    """Make phantoms until killed; each becomes a file by a rename, so that none is read by half."""
    from gliomakit.phantom.case import make_case
    from gliomakit.preprocess import prepare

    for i in count(first, stride):
        case = make_case(FIRST_SEED + i, SPACING, tumour=i // stride % HEALTHY_EVERY != 0)
        case = prepare(case, SPACING)
        part = folder / f"{i}.part"
        with part.open("wb") as file:
            np.savez(file, image=case.image.astype(np.float16), regions=case.regions)
        part.rename(folder / f"{i}.npz")


def versions(generators: list[Path]) -> str:
    """The versions of the phantom that these checkouts make, for people."""
    found = []
    for root in generators:
        text = (root / DATASET).read_text()
        found.append(int(re.search(r"^VERSION = (\d+)", text, re.MULTILINE)[1]))
    return ", ".join(map(str, sorted(found)))


def start_workers(arguments: argparse.Namespace) -> list[subprocess.Popen]:
    arguments.made.mkdir(parents=True, exist_ok=True)
    workers = []
    for k in range(arguments.workers):
        root = arguments.generators[k % len(arguments.generators)].resolve()
        env = os.environ | {"PYTHONPATH": f"{root}:{os.environ.get('PYTHONPATH', '')}"}
        env |= {"OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
        command = [sys.executable, __file__, "--out", str(arguments.out)]
        command += ["--made", str(arguments.made), "--make", str(k), str(arguments.workers)]
        workers.append(subprocess.Popen(command, env=env))
    return workers


def collect(folder: Path, device: torch.device) -> list[Made]:
    """The phantoms that have become ready; their files are gone afterwards."""
    from gliomakit.regions import SEQUENCES

    found = []
    for path in sorted(folder.glob("*.npz")):
        with np.load(path, allow_pickle=False) as arrays:
            image, regions = arrays["image"], arrays["regions"]
        path.unlink()
        image, code = (torch.from_numpy(a).to(device) for a in (image, regions))
        found.append(Made(image, regions, code, SEQUENCES))
    return found


def placeholder(made: Made) -> SimpleNamespace:
    """What a `Learner` asks of its first case, before it gets the sampler that grows."""
    image = np.zeros(made.image.shape, np.float32)
    frame = SimpleNamespace(target=(SPACING,) * 3)
    return SimpleNamespace(image=image, regions=made.regions, present=made.present, frame=frame)


def train(arguments: argparse.Namespace) -> None:
    from dataclasses import replace

    from train_weights import RECIPE

    from gliomakit._fill import Stored, pick_way
    from gliomakit._learner import Learner
    from gliomakit.model import save_model
    from gliomakit.patches import PatchSampler

    class Stream(PatchSampler):
        """A sampler whose cases lie on the device already, and become more."""

        def __init__(self, cases: list[Made], device: torch.device, **options):
            super().__init__(cases, **options)
            self.device, self._home, self.way = device, device, pick_way(device)

        def add(self, cases: list[Made]) -> None:
            self.cases += cases
            self._shapes = np.array([case.image.shape[1:] for case in self.cases])
            self._present = np.ones((len(self.cases), 4), bool)

        def _volume(self, index: int) -> Stored:
            return Stored(self.cases[index].image, self.cases[index].code)

    device = torch.device(arguments.device)
    torch.backends.cudnn.benchmark = True  # all batches have one size
    settings = replace(
        RECIPE,
        steps=STEPS,
        base_filters=arguments.filters,
        patch=arguments.patch,
        batch=arguments.batch,
        rate=arguments.rate,
        average=0.999,
        precision=arguments.precision,
        trained_on=f"phantoms at {SPACING:g} mm of versions {versions(arguments.generators)}, made "
        "during the training; no patient",
    )
    arguments.out.mkdir(parents=True, exist_ok=True)
    workers = start_workers(arguments)
    try:
        pool: list[Made] = []
        while len(pool) < arguments.begin:
            if any(worker.poll() is not None for worker in workers):
                raise SystemExit("a process that makes phantoms has ended")
            pool += collect(arguments.made, device)
            time.sleep(0.5)
        torch.manual_seed(settings.seed)
        learner = Learner([placeholder(pool[0])], settings, device)
        options = {name: getattr(settings, name) for name in SAMPLED}
        learner.sampler = Stream(pool, device, size=settings.size, **options)
        began, length = time.monotonic(), 60 * arguments.minutes
        number, steps, kept, history, recent = -1, 0, 0, [], []
        while True:
            share = (time.monotonic() - began) / length
            if share >= 1:
                break
            if kept < len(KEPT_AT) and share >= KEPT_AT[kept]:
                save_model(learner.model(), arguments.out / f"at_{KEPT_AT[kept]}.safetensors")
                kept += 1
            number = max(number + 1, int(share * STEPS))
            loss, norm = learner.step(number)
            recent.append(loss)
            steps += 1
            if steps % 100 == 0:
                if len(learner.sampler.cases) < arguments.most:
                    learner.sampler.add(collect(arguments.made, device))
                mean = float(torch.stack(recent).mean())
                recent.clear()
                row = {"step": steps, "seconds": round(share * length, 1), "loss": round(mean, 4)}
                row |= {"phantoms": len(learner.sampler.cases), "gradient": round(float(norm), 3)}
                history.append(row)
                if steps % 500 == 0:
                    print(json.dumps(row), flush=True)
        save_model(learner.model(), arguments.out / MODEL)
        about = {"arguments": {k: str(v) for k, v in vars(arguments).items()}}
        about |= {"steps": steps, "phantoms": len(learner.sampler.cases), "history": history}
        (arguments.out / "history.json").write_text(json.dumps(about))
        print(f"{steps} steps, {len(learner.sampler.cases)} phantoms")
    finally:
        for worker in workers:
            worker.kill()


if __name__ == "__main__":
    main()
