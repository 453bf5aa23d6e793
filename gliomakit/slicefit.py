"""Train networks of two and of three dimensions on the same stacked slices, at the same cost.

    stacks = {p.name: read_stack(p, side=64) for p in slices.find_patients(folder)}
    network = ClassicalUNet(base_filters=16)
    done = fit_stacks(network, stacks, gmac=500, seed=0)     # as many steps as 500 GMAC pay for
    predicted = {name: predict_stack(network, stack) for name, stack in stacks.items()}
    slice_scores(predicted, {name: stack.reference for name, stack in stacks.items()})

Only the network differs: slices, loss (cross-entropy, the mean over pixels), optimiser, schedule
and augmentation are the same for all. "Cost" is the multiply-adds of the way forward and back,
which PyTorch counts; a network that needs fewer for a slice sees more slices.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.flop_counter import FlopCounterMode
from tqdm import tqdm

from .errors import GliomakitError
from .slices import SlicePatient, read_patient
from .training import SMOKE_STEPS, smoke

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
"""ImageNet's, of images in [0, 1]: what pretrained encoders expect."""

BATCH = 4
"""Slices of a step in two dimensions. In three it is one stack, at most `DEPTH` slices of it."""

DEPTH = 32
MULTIPLE = 8
"""Slices of a stack that a three-dimensional network takes: a multiple of this."""


@dataclass(frozen=True)
class Stack:
    """One patient.

    images:    (n, side, side, 3), uint8, made smaller by means.
    masks:     (n, side, side), bool: where at least half of what became a pixel is tumour.
    reference: (n, rows, columns), bool, as it was: scores are computed on this.
    """

    images: NDArray[np.uint8]
    masks: NDArray[np.bool_]
    reference: NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.images)


@dataclass(frozen=True)
class Done:
    """What a training did: steps, GMAC of one, slices seen, the loss of each step."""

    steps: int
    gmac_a_step: float
    slices: int
    losses: list[float]


def read_stack(patient: SlicePatient, side: int) -> Stack:
    """A patient's slices at `side` pixels. `side` divides the slices' own sides."""
    images, reference = read_patient(patient)
    n, rows, columns = reference.shape
    if side < 1 or rows % side or columns % side:
        raise GliomakitError(f"{rows} × {columns} pixels do not become {side} by whole steps")

    def smaller(values: NDArray) -> NDArray:
        return values.reshape(n, side, rows // side, side, columns // side, -1).mean((2, 4))

    masks = smaller(reference.astype(np.float32))[..., 0] >= 0.5
    return Stack(smaller(images).round().astype(np.uint8), masks, reference)


def dimensions(network: nn.Module) -> int:
    """2 or 3: what the network's first convolution works on."""
    for layer in network.modules():
        if isinstance(layer, nn.Conv2d | nn.Conv3d):
            return 3 if isinstance(layer, nn.Conv3d) else 2
    raise GliomakitError(f"{type(network).__name__} has no convolution")


def training_gmac(network: nn.Module, shape: tuple[int, ...]) -> float:
    """Billions of multiply-adds to train on one input (1, channels, …): forward and back.

    Counts convolutions, as PyTorch's `FlopCounterMode` does (a multiply-add is two of its
    operations). Frozen layers cost less. Weights and running averages stay as they are.
    """
    was = network.training
    network.eval()
    with FlopCounterMode(display=False) as counter:
        network(torch.zeros(shape, device=next(network.parameters()).device)).sum().backward()
    network.train(was)
    network.zero_grad()
    return counter.get_total_flops() / 2e9


def fit_stacks(
    network: nn.Module,
    stacks: dict[str, Stack],
    gmac: float,
    seed: int,
    rate: float = 1e-3,
    progress: bool = False,
) -> Done:
    """Train a network (two classes as logits) until `gmac` are spent; at least one step.

    AdamW with a one-cycle schedule up to `rate`, gradients clipped to norm 1, mean cross-entropy.
    The same seed draws the same slices, mirrored and brightened the same way. Runs on the
    network's device.
    """
    if not stacks:
        raise GliomakitError("there is nobody to train on")
    draw = np.random.default_rng(seed)
    flat = dimensions(network) == 2
    everything = [(name, i) for name in sorted(stacks) for i in range(len(stacks[name]))]
    side = next(iter(stacks.values())).images.shape[1]
    deepest = max(len(stack) for stack in stacks.values())
    depth = min(DEPTH, max(deepest // MULTIPLE * MULTIPLE, MULTIPLE))
    once = (1, 3, side, side) if flat else (1, 3, side, side, depth)
    device = next(network.parameters()).device
    cost = training_gmac(network, once) * (BATCH if flat else 1)
    steps = SMOKE_STEPS if smoke() else max(1, round(gmac / cost))
    optimiser = torch.optim.AdamW(network.parameters(), weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, rate, total_steps=max(steps, 2))
    network.train()
    losses, queue = [], []
    for _ in tqdm(range(steps), disable=not progress, unit="step"):
        if flat:
            if len(queue) < BATCH:
                queue += [everything[i] for i in draw.permutation(len(everything))]
            chosen, queue = queue[:BATCH], queue[BATCH:]
            image, mask = slices_batch(stacks, chosen, draw)
        else:
            if not queue:
                queue = [sorted(stacks)[i] for i in draw.permutation(len(stacks))]
            image, mask = stack_batch(stacks[queue.pop()], depth, draw)
        loss = F.cross_entropy(network(image.to(device)), mask.to(device))
        optimiser.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimiser.step()
        schedule.step()
        losses.append(loss.item())
    return Done(steps, cost, steps * (BATCH if flat else depth), losses)


def slices_batch(
    stacks: dict[str, Stack], chosen: list[tuple[str, int]], draw: np.random.Generator
) -> tuple[Tensor, Tensor]:
    """Slices by patient and number, as (n, 3, side, side), each mirrored or not; their masks."""
    images = [_varied(_input(stacks[name].images[i]), draw) for name, i in chosen]
    turned = [bool(draw.random() < 0.5) for _ in chosen]
    masks = [torch.from_numpy(stacks[name].masks[i]).long() for name, i in chosen]
    return (
        torch.stack([x.flip(-1) if t else x for x, t in zip(images, turned, strict=True)]),
        torch.stack([y.flip(-1) if t else y for y, t in zip(masks, turned, strict=True)]),
    )


def stack_batch(stack: Stack, depth: int, draw: np.random.Generator) -> tuple[Tensor, Tensor]:
    """`depth` neighbouring slices as (1, 3, side, side, depth), mirrored or not; their mask.
    Where the patient has fewer, ones of an even grey and without tumour are added above."""
    first = int(draw.integers(0, max(len(stack) - depth, 0) + 1))
    image = _varied(_input(stack.images[first : first + depth]), draw)
    mask = torch.from_numpy(stack.masks[first : first + depth]).long()
    if draw.random() < 0.5:
        image, mask = image.flip(-1), mask.flip(-1)
    image, mask = image.permute(1, 2, 3, 0)[None], mask.permute(1, 2, 0)[None]
    lack = depth - mask.shape[-1]
    return F.pad(image, (0, lack)), F.pad(mask, (0, lack))


@torch.inference_mode()
def predict_stack(network: nn.Module, stack: Stack) -> NDArray[np.float32]:
    """The probability of tumour in each pixel of the patient's slices, as large as `reference`."""
    network.eval()
    images = _input(stack.images).to(next(network.parameters()).device)
    if dimensions(network) == 2:
        logits = torch.cat([network(part) for part in images.split(16)])
    else:
        image = images.permute(1, 2, 3, 0)[None]
        padded = F.pad(image, (0, -len(stack) % MULTIPLE))
        logits = network(padded)[0].permute(3, 0, 1, 2)[: len(stack)]
    probability = logits.softmax(1)[:, 1:]
    large = F.interpolate(probability, stack.reference.shape[1:], mode="bilinear")
    return large[:, 0].cpu().numpy()


def _input(images: NDArray[np.uint8]) -> Tensor:
    """(…, side, side, 3) of 0 to 255 as (…, 3, side, side), scaled."""
    scaled = (torch.from_numpy(images).float() / 255 - torch.tensor(MEAN)) / torch.tensor(STD)
    return scaled.movedim(-1, -3)


def _varied(image: Tensor, draw: np.random.Generator) -> Tensor:
    """A little brighter or darker, with more or less contrast."""
    return image * float(draw.uniform(0.8, 1.2)) + float(draw.uniform(-0.2, 0.2))
