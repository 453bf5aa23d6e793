"""Lesson 08's system on stacked slices: fastai's `unet_learner`, frozen, one cycle at 5e-3."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from gliomakit.encoders import load_encoder
from gliomakit.slicefit import Stack, predict_stack
from gliomakit.slices import SlicePatient, import_torchvision, mask_of

from ._memory import memory_now, memory_peak

EACH = 16
"""Slices of a training patient, evenly from the first to the last."""


def recipe(
    training: list[SlicePatient], scored: dict[str, Stack], side: int, seed: int, epochs: int
) -> tuple[dict[str, NDArray[np.float32]], dict[str, object]]:
    """Probabilities of the scored patients, and what the training was.

    The paper's settings as far as they are known: encoder frozen, weight decay .1, default
    augmentation, mean cross-entropy. Batches of 16.
    """
    import_torchvision()
    from fastai.callback.core import Callback, CancelValidException
    from fastai.callback.schedule import fit_one_cycle  # noqa: F401 (gives Learner the method)
    from fastai.data.block import DataBlock
    from fastai.data.transforms import IndexSplitter, IntToFloatTensor, Normalize
    from fastai.torch_core import set_seed
    from fastai.vision.all import (
        ImageBlock,
        MaskBlock,
        Resize,
        aug_transforms,
        imagenet_stats,
        resnet34,
        unet_learner,
    )

    class NoValidation(Callback):
        """The scored patients are looked at once, after the training."""

        def before_validate(self):
            raise CancelValidException

    def evenly(patient: SlicePatient) -> list[Path]:
        at = np.linspace(0, len(patient) - 1, min(EACH, len(patient))).astype(int)
        return [patient.images[i] for i in at]

    paths = [path for patient in training for path in evenly(patient)]
    set_seed(seed, reproducible=True)
    block = DataBlock(
        blocks=(ImageBlock, MaskBlock(["background", "tumour"])),
        get_y=mask_of,
        splitter=IndexSplitter([len(paths)]),  # fastai wants one; nobody looks at it
        item_tfms=Resize(side, method="squish"),
        batch_tfms=[
            IntToFloatTensor(div_mask=255),
            *aug_transforms(),
            Normalize.from_stats(*imagenet_stats),
        ],
    )
    loaders = block.dataloaders([*paths, paths[0]], bs=16, num_workers=0)
    learn = unet_learner(loaders, resnet34, pretrained=False, normalize=False, wd=0.1)
    load_encoder(learn.model)
    learn.freeze()
    before = memory_now()
    with learn.no_bar(), learn.no_logging():
        learn.fit_one_cycle(epochs, 5e-3, cbs=NoValidation())
    memory = memory_peak() - before
    losses = [float(loss) for loss in learn.recorder.losses]
    found = {name: _plain(predict_stack(learn.model, stack)) for name, stack in scored.items()}
    return found, {
        "steps": len(losses),
        "slices": epochs * len(paths),
        "loss": [float(f"{np.mean(losses[:5]):.3g}"), float(f"{np.mean(losses[-5:]):.3g}")],
        "memory_mb": round(memory),
        "parameters": sum(p.numel() for p in learn.model.parameters()),
    }


def _plain(values: NDArray | Tensor) -> NDArray[np.float32]:
    """fastai's model may give a tensor of its own kind."""
    return np.asarray(values, np.float32)
