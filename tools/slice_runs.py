"""Train fastai's U-Net in several ways, longer than a lesson can, and keep what lesson 08 shows.

    make slice-runs                                     # what can be had is run: 5 runs, 20 minutes
    make slice-runs ARGS="--only random hot"            # some of them; the others stay in the file
    make slice-runs ARGS="--only hot --epochs 1 --out build/try.json"

All runs see the same slices of the same phantoms, those of the lesson at 64² pixels.
Runs that begin with ImageNet's weights, or with those of `make encoder`, are left out where these
are missing. After each run notebooks/saved/08_runs.json is written anew.
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
from gliomakit._checkpoint import write_text
from gliomakit.encoders import best_start, encoder_file, load_encoder
from gliomakit.phantom.dataset import VERSION
from gliomakit.phantom.slices import embedded_slices, slice_names
from gliomakit.slices import find_patients, import_torchvision, mask_of, read_mask, slice_of, stack
from gliomakit.slicewise import predict_nothing, slice_scores

import_torchvision()
from fastai.callback.core import Callback  # noqa: E402 (after torchvision is mended)
from fastai.callback.schedule import fit_one_cycle  # noqa: E402, F401 (gives Learner the method)
from fastai.data.block import DataBlock  # noqa: E402
from fastai.data.transforms import IndexSplitter, IntToFloatTensor, Normalize  # noqa: E402
from fastai.torch_core import set_seed  # noqa: E402
from fastai.vision.all import (  # noqa: E402
    ImageBlock,
    MaskBlock,
    Resize,
    aug_transforms,
    imagenet_stats,
    resnet34,
    unet_learner,
)

TARGET = Path(__file__).parents[1] / "notebooks" / "saved" / "08_runs.json"
SETTINGS = {"side": 64, "each": 8, "batch": 8, "wd": 0.1, "seed": 0}
"""each: slices of a training patient, evenly spaced."""

RUNS = {
    "phantoms, frozen": {"start": "phantoms", "frozen": True, "epochs": 5, "rate": [5e-3]},
    "random": {"start": "random", "frozen": False, "epochs": 5, "rate": [5e-3]},
    "hot": {"start": "random", "frozen": False, "epochs": 5, "rate": [0.5]},
    "phantoms, unfrozen": {
        "start": "phantoms",
        "frozen": False,
        "epochs": 5,
        "rate": [5e-4, 5e-3],
    },
    "imagenet, frozen": {"start": "imagenet", "frozen": True, "epochs": 5, "rate": [5e-3]},
    "imagenet, unfrozen": {
        "start": "imagenet",
        "frozen": False,
        "epochs": 5,
        "rate": [5e-4, 5e-3],
    },
    "20 epochs": {"start": "phantoms", "frozen": True, "epochs": 20, "rate": [2e-4, 2e-3]},
}
"""rate: the highest of fit_one_cycle, one for all groups of layers or the lowest and the highest.
The 20 epochs are at `slice(2e-3)`, for which fastai writes the range from a tenth."""


class Scores(Callback):
    """After each epoch the scores of the validation patients, stacked to volumes again."""

    def __init__(self, paths: list[Path], reference: dict[str, np.ndarray]):
        super().__init__()
        self.paths, self.reference, self.rows = paths, reference, []

    def before_validate(self):
        self.found = []

    def after_pred(self):
        if not self.training:
            self.found += list((self.learn.pred.argmax(1) > 0).cpu().numpy())

    def after_epoch(self):
        found = stack(self.paths, self.found)
        scores = slice_scores(found, self.reference)
        true = sum(int(v.sum()) for v in self.reference.values())
        values = [float(self.recorder.log[i]) for i in (1, 2)]
        row = {"training_loss": values[0], "validation_loss": values[1]}
        row |= {n: getattr(scores, n) for n in ("per_slice", "positive", "pooled", "per_volume")}
        row["found"] = sum(int(v.sum()) for v in found.values()) / true
        self.rows.append({name: round(value, 4) for name, value in row.items()})
        print(self.rows[-1], flush=True)


def one(loaders, validation: list[Path], plan: dict[str, object]) -> dict[str, object]:
    """One run: the rows of its epochs, and the loss of each step."""
    set_seed(SETTINGS["seed"], reproducible=True)
    learn = unet_learner(
        loaders,
        resnet34,
        pretrained=plan["start"] == "imagenet",
        normalize=False,
        wd=SETTINGS["wd"],
    )
    if plan["start"] == "phantoms":
        load_encoder(learn.model)
    learn.freeze() if plan["frozen"] else learn.unfreeze()
    scores = Scores(validation, references(validation))
    rate = plan["rate"][0] if len(plan["rate"]) == 1 else slice(*plan["rate"])
    begun = time.process_time()
    with learn.no_bar(), learn.no_logging():
        learn.fit_one_cycle(plan["epochs"], rate, cbs=scores)
    return plan | {
        "cpu_seconds": round(time.process_time() - begun),
        "epoch": list(range(1, len(scores.rows) + 1)),
        **{name: [row[name] for row in scores.rows] for name in scores.rows[0]},
        "losses": [float(f"{float(loss):.4g}") for loss in learn.recorder.losses],
    }


def references(paths: list[Path]) -> dict[str, np.ndarray]:
    """The masks of these slices at the networks' size, as `Resize` makes them."""
    from PIL import Image

    size = (SETTINGS["side"], SETTINGS["side"])
    small = [
        np.array(Image.fromarray(read_mask(mask_of(p)).astype(np.uint8)).resize(size, 0))
        for p in paths
    ]
    return stack(paths, small)


def chosen() -> tuple[list[Path], list[Path]]:
    """Some slices of each training patient, all of each validation patient."""
    patients = {p.name: p for p in find_patients(embedded_slices())}
    training = [
        path
        for name in slice_names("training")
        for path in evenly(patients[name].images, SETTINGS["each"])
    ]
    return training, [p for name in slice_names("validation") for p in patients[name].images]


def evenly(paths, each: int) -> list[Path]:
    """That many of them, from the first to the last."""
    return [paths[i] for i in np.linspace(0, len(paths) - 1, min(each, len(paths))).astype(int)]


def loaders(training: list[Path], validation: list[Path]):
    """The lesson's `DataBlock`."""
    block = DataBlock(
        blocks=(ImageBlock, MaskBlock(["background", "tumour"])),
        get_y=mask_of,
        splitter=IndexSplitter(range(len(training), len(training) + len(validation))),
        item_tfms=Resize(SETTINGS["side"], method="squish"),
        batch_tfms=[
            IntToFloatTensor(div_mask=255),
            *aug_transforms(),
            Normalize.from_stats(*imagenet_stats),
        ],
    )
    return block.dataloaders([*training, *validation], bs=SETTINGS["batch"], num_workers=0)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", nargs="+", choices=RUNS, default=list(RUNS))
    parser.add_argument("--epochs", type=int, help="another number of epochs, to try")
    parser.add_argument("--out", type=Path, default=TARGET)
    arguments = parser.parse_args()
    torch.set_num_threads(1)  # another number of threads gives other last digits
    training, validation = chosen()
    reference = references(validation)
    nothing = slice_scores(predict_nothing(reference), reference)
    have = {"random"} | ({"phantoms"} if encoder_file().is_file() else set())
    have |= {"imagenet"} & {best_start().name}
    about = {
        "command": "make slice-runs",
        "machine": f"{platform.machine()}, one thread",
        "versions": {
            "python": platform.python_version(),
            "torch": torch.__version__,
            "fastai": __import__("fastai").__version__,
            "gliomakit": gliomakit.__version__,
            "phantom": VERSION,
        },
        "settings": SETTINGS,
        "training": len(training),
        "validation": sorted({slice_of(path)[0] for path in validation}),
        "nothing": {
            n: round(getattr(nothing, n), 4)
            for n in ("per_slice", "pooled", "per_volume", "accuracy", "slices")
        },
    }
    runs = kept(arguments.out, about)
    for name in arguments.only:
        plan = RUNS[name] | ({"epochs": arguments.epochs} if arguments.epochs else {})
        if plan["start"] not in have:
            print(f"{name}: left out, there are no weights of {plan['start']}")
            continue
        runs[name] = one(loaders(training, validation), validation, plan)
        save(arguments.out, about, {n: runs[n] for n in RUNS if n in runs})
        print(f"{name}: {runs[name]['cpu_seconds']} s, kept in {arguments.out.name}", flush=True)


def kept(path: Path, about: dict[str, object]) -> dict[str, object]:
    """The runs of an earlier call, if they were made with the same settings and versions."""
    try:
        before = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return before["runs"] if before.get("about") == json.loads(json.dumps(about)) else {}


def save(path: Path, about: dict[str, object], runs: dict[str, object]) -> None:
    lines = ",\n  ".join(f"{json.dumps(name)}: {json.dumps(run)}" for name, run in runs.items())
    path.parent.mkdir(parents=True, exist_ok=True)
    text = f'{{"about": {json.dumps(about, indent=1)},\n"runs": {{\n  {lines}\n}}}}\n'
    write_text(path, text)


if __name__ == "__main__":
    main()
