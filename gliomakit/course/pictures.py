"""The picture at the top of a lesson, drawn from phantoms: `notebooks/images/NN_name.png`.

Drawn by the build when it is missing, and kept in the tree; delete the file to have it drawn anew.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable
from pathlib import Path

from matplotlib.figure import Figure

from ..errors import GliomakitError
from .source import Lesson

_LINK = re.compile(r"!\[[^\]]*\]\(\.\./images/(\w+)\.png\)")


PATIENT = 3
"""Of the test patients, as in lesson 00: one slice of it shows edema, core and enhancing tumour."""


def start_here() -> Figure:
    """A phantom of the test set beside what the shipped network makes of it."""
    from .. import plots, weights
    from ..cases import find_cases
    from ..inference import segment
    from ..phantom import embedded
    from ..phantom.dataset import embedded_names

    name = embedded_names("test")[PATIENT]
    (case,) = [files.read() for files in find_cases(embedded()) if files.name == name]
    return plots.compare(case, case.regions(), segment(case, weights.load()).regions)


THRESHOLD = 0.75
"""Of the FLAIR z-score, as lesson 02 finds it when it looks inside the label's box only."""


def preprocess_boxes() -> Figure:
    """A threshold's prediction in one phantom, with the boxes of its brain and of its label."""
    from .. import plots, preprocess
    from ..cases import find_cases
    from ..phantom import embedded
    from ..phantom.dataset import embedded_names
    from .worked import crop_box

    name = embedded_names("test")[2]
    (case,) = [files.read() for files in find_cases(embedded()) if files.name == name]
    prepared, reference = preprocess.prepare(case), case.regions()[0]
    predicted = preprocess.restore(prepared.image[0] > THRESHOLD, prepared.frame)
    boxes = {
        "brain": crop_box(preprocess.brain_mask(case.image), case.spacing, 5.0),
        "label": crop_box(reference, case.spacing),
    }
    return plots.boxes(case, boxes, reference, predicted)


def unet3d_by_hand() -> Figure:
    """The first paper's network: its layers as a U, their parameters and work below."""
    from .. import plots
    from ..unet import UNet3d, table

    return plots.account(table(UNet3d()))


def explore_the_data() -> Figure:
    """A label read by two conventions, on T1ce: one puts edema inside the enhancing rim."""
    from .. import plots
    from ..cases import find_cases
    from ..phantom import embedded
    from ..phantom.dataset import embedded_names
    from ..regions import to_regions

    name = embedded_names("training")[12]
    (case,) = [files.read() for files in find_cases(embedded()) if files.name == name]
    names = {"read as MSD": "msd", "read as BraTS 2023": "brats2023"}
    return plots.readings(case, {read: to_regions(case.label, n) for read, n in names.items()})


def patches() -> Figure:
    """Forty patches drawn anywhere, and forty of which half lie around the tumour, at 1 mm."""
    from .. import plots
    from ..cases import find_cases
    from ..patches import PatchSampler
    from ..phantom import embedded
    from ..phantom.dataset import embedded_names
    from ..preprocess import prepare

    name = embedded_names("fine")[1]
    (case,) = [prepare(f.read()) for f in find_cases(embedded(fine=True)) if f.name == name]
    titles = {"anywhere": 0.0, "half of them around the tumour": 0.5}
    origins = {
        title: PatchSampler(case, size=64, foreground=share, seed=0).plan(40).origin
        for title, share in titles.items()
    }
    return plots.positions(case, origins, size=64)


def weighted_dice() -> Figure:
    """What three losses ask of each voxel: a tumour half found, a false alarm."""
    import torch

    from .. import plots
    from ..losses import from_name

    reference = torch.zeros(8, 8).long()
    reference[2:5, 2:5] = 1
    probability = torch.full((8, 8), 0.05)
    probability[2:5, 2:4], probability[2:5, 4], probability[6, 6] = 0.7, 0.001, 0.8
    names = {
        "cross-entropy": "cross-entropy",
        "soft Dice": "dice",
        "weighted Dice": "weighted-dice",
    }
    pulls = {}
    for title, name in names.items():
        tumour = torch.logit(probability.double()).requires_grad_()
        logits = torch.stack([torch.zeros_like(tumour), tumour])[None]
        from_name(name)(logits, reference[None]).backward()
        pulls[title] = -tumour.grad
    return plots.gradients(probability, pulls, reference == 1)


def evaluate() -> Figure:
    """A phantom of the test set and the shipped network's answer, as surfaces from three sides."""
    from .. import plots, preprocess, weights
    from ..cases import find_cases
    from ..inference import segment
    from ..phantom import embedded
    from ..phantom.dataset import embedded_names

    name = embedded_names("test")[6]
    (case,) = [files.read() for files in find_cases(embedded()) if files.name == name]
    turned = {"reference": case.regions(), "prediction": segment(case, weights.load()).regions}
    return plots.angles(turned, case.spacing, preprocess.brain_mask(case.image))


def train() -> Figure:
    """Seen and unseen phantoms in three saved runs: under- and overfitting, and neither."""
    from .. import plots
    from .saved import saved

    curves, looks = {}, {}
    for number, (title, found) in enumerate(saved("06_runs")["fits"]["runs"].items()):
        for group, part, dash in (("seen", "training", 0), ("unseen", "validation", 7)):
            name = f"{title}, {group}"
            looks[name] = plots.look(number + dash)
            curves[name] = {
                what: (found["step"], found[f"{part} {key}"])
                for key, what in (("dice", "Dice"), ("loss", "loss"))
            }
    return plots.curves(curves, looks=looks)


def fastai_dynamic_unet() -> Figure:
    """Saved trainings on slices and the laziest answer: Dice per slice and per volume, and loss."""
    from .. import plots
    from .saved import saved

    kept = saved("08_runs")
    titles = {"per_slice": "Dice per slice", "per_volume": "Dice per volume"}
    titles |= {"validation_loss": "validation loss"}
    short = {name: run for name, run in kept["runs"].items() if len(run["epoch"]) <= 5}
    lines = {
        name: {title: (run["epoch"], run[key]) for key, title in titles.items()}
        for name, run in short.items()
    }
    ends = [1, max(max(run["epoch"]) for run in short.values())]
    share = 1 - kept["about"]["nothing"]["accuracy"]
    loss = -share * math.log(share) - (1 - share) * math.log(1 - share)
    level = kept["about"]["nothing"] | {"validation_loss": loss}
    nothing = {title: (ends, [level[key]] * 2) for key, title in titles.items()}
    looks = {name: plots.look(number) for number, name in enumerate(lines)}
    return plots.curves(
        lines | {"nothing": nothing},
        looks=looks | {"nothing": plots.look(len(lines) + 7)},
        across="epoch",
        logarithmic=["validation loss"],
    )


def neptune_dashboards() -> Figure:
    """Curves of five short trainings, as lesson 10 makes them: four learn, one is too hot."""
    from .. import Fit, fit, plots
    from ..paths import prepared_folder
    from ..phantom.prepared import prepared_phantoms

    training = prepared_phantoms(prepared_folder(), range(10), spacing=4.0)
    validation = prepared_phantoms(prepared_folder(), range(50, 53), spacing=4.0)
    every = {"network": "LightUNet3d", "base_filters": 8, "regions": ("wt",), "patch": 32}
    every |= {"steps": 60, "validate_every": 20, "alone": 0.0, "drop": 0.0}
    runs = {
        "steady": {"rate": 3e-2},
        "careful": {"rate": 3e-3},
        "hot": {"rate": 30.0},
        "copied": {"rate": 2e-2},
        "wide": {"rate": 3e-2, "base_filters": 12},
    }
    names = {"loss": "loss", "rate": "learning rate", "dice_wt": "validation, mean Dice"}
    curves = {}
    for run, differs in runs.items():
        rows = fit(training, validation, Fit(**(every | differs)), progress=False).history
        curves[run] = {
            shown: ([r["step"] for r in rows if name in r], [r[name] for r in rows if name in r])
            for name, shown in names.items()
        }
    return plots.curves(curves, smooth=0.6, logarithmic=True)


def classical_or_dynamic() -> Figure:
    """Networks that cost the same to train, patient by patient, from what `make results` kept."""
    from .. import plots
    from .saved import saved

    titles = {"phantoms": "phantoms", "lgg": "real slices"}
    groups: dict[str, dict[str, list[float]]] = {}
    kept = saved("09_networks")
    rows = [row for row in kept["rows"].values() if row["network"] in kept["about"]["networks"]]
    for data, network in dict.fromkeys((r["data"], r["network"]) for r in rows):
        if data in titles:
            own = [r["volumes"] for r in rows if (r["data"], r["network"]) == (data, network)]
            means = [sum(v[name] for v in own) / len(own) for name in own[0]]
            groups.setdefault(titles[data], {})[network] = means
    return plots.compared(groups, across="Dice of a patient's volume")


def tune() -> Figure:
    """Runs that differ by their seed alone, on validation and on test, of lesson 11's study."""
    import numpy as np

    from .. import plots
    from .saved import saved

    return plots.luck(
        {
            title: tuple([np.mean(run[part]) for run in runs] for part in ("validation", "test"))
            for title, runs in saved("11_study")["repeats"].items()
        }
    )


def read_the_papers() -> Figure:
    """What predicting nothing and copying score, and what two papers' numbers may mean."""
    from .. import plots
    from ..project import shipped
    from .worked_papers import positive_range

    papers = json.loads(shipped("papers.json").read_text(encoding="utf-8"))
    lgg, note = papers["lgg"], papers["public_notebook"]
    nothing = note["predicting_nothing"]["dice"]
    said = papers["fastai_paper"]["claimed"]
    reported = {
        "the fastai paper, table": max(said["table1"]["dice"]),
        "the fastai paper, text": said["accuracy_above"],
    }
    bars = {
        "knows nothing": {
            "predict nothing": nothing,
            "copy the nearest slice": lgg["copy_nearest_slice"]["dice_per_slice"],
        },
        "published": reported,
        "the same, on slices with tumour": {
            name: positive_range(value, nothing) for name, value in reported.items()
        },
    }
    return plots.scores(bars)


def open_anywhere() -> Figure:
    """What a person sees on the page: three planes of a phantom, what the network found on them."""
    from dataclasses import replace

    from .. import inference, plots, weights
    from ..phantom import make_case
    from ..phantom.dataset import EMBEDDED

    case = make_case(EMBEDDED["test"][0])
    found = inference.segment(case, weights.load())
    return plots.planes(replace(case, label=None), prediction=found.regions)


DRAWN: dict[str, Callable[[], Figure]] = {
    "00_start_here": start_here,
    "01_explore_the_data": explore_the_data,
    "02_preprocess": preprocess_boxes,
    "03_patches": patches,
    "04_unet3d_by_hand": unet3d_by_hand,
    "05_weighted_dice": weighted_dice,
    "06_train": train,
    "07_evaluate": evaluate,
    "08_fastai_dynamic_unet": fastai_dynamic_unet,
    "09_classical_or_dynamic": classical_or_dynamic,
    "10_neptune_dashboards": neptune_dashboards,
    "11_tune": tune,
    "12_read_the_papers": read_the_papers,
    "13_open_anywhere": open_anywhere,
}
"""Name of the picture -> what draws it."""


def draw_missing(lesson: Lesson, notebooks: Path) -> list[Path]:
    """Draw the pictures that the lesson's words show and that are not there yet."""
    drawn = []
    for part in lesson.parts:
        for name in _LINK.findall(part.text):
            path = notebooks / "images" / f"{name}.png"
            if path.is_file():
                continue
            if name not in DRAWN:
                raise GliomakitError(
                    "nothing draws this picture",
                    where=path,
                    todo="add it to gliomakit.course.pictures.DRAWN",
                )
            drawn.append(DRAWN[name]().save(path))
    return drawn
