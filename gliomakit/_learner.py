"""A network that learns: one step at a time, and measured on whole volumes."""

from __future__ import annotations

import copy
import math
from collections.abc import Sequence

import numpy as np
import torch

from . import losses
from ._processes import rank, world
from ._recipe import KINDS, LEVELS, Fit
from .device import autocast, compiled, fast_precision, memory_format
from .errors import GliomakitError
from .inference import sliding_window
from .metrics import counts, dice
from .model import Model, Settings
from .patches import PatchSampler, augment_intensity, drop_sequences
from .preprocess import Prepared
from .regions import SEQUENCES

FEWEST_BF16 = 3
"""Voxels of a patch's side that are left at the network's bottom. With two, PyTorch 2.13 (oneDNN
3.12) on processors with AVX512-BF16 makes gradients out of memory that nobody has written: numbers
that differ from run to run, up to 1e30, or none. With three or more they are right."""


AT_ONCE = 1 << 22
"""Voxels of the batches that a GPU makes at once: small batches for several steps, to save
launches; of a large one the network takes so long that they do not matter."""


class Learner:
    """Network, averaged weights, optimiser and patches of a training run.

    The first weights come from PyTorch's generator, all else that is random from seed and step.
    `step` keeps the device busy and waits for nothing, but on MPS for the norm of the gradient.
    """

    def __init__(self, cases: Sequence[Prepared], settings: Fit, device: torch.device):
        s = self.settings = settings
        self.device, self.spacing = device, cases[0].frame.target
        self.precision = s.precision or fast_precision(device)
        few = min(s.size) // KINDS[s.network].stride < FEWEST_BF16
        if device.type == "cpu" and self.precision == "bf16" and few:
            self.precision = "fp32"
        self.layout = memory_format(device, self.precision)
        self.network = s.make_network().to(device, memory_format=self.layout)
        self.engine = self.network
        if world() > 1:
            if device.type == "cuda":  # statistics over the patches of all processes
                self.network = torch.nn.SyncBatchNorm.convert_sync_batchnorm(self.network)
            self.engine = torch.nn.parallel.DistributedDataParallel(self.network)
        if s.compile:
            self.engine = compiled(self.engine)
        self.parameters = list(self.network.parameters())
        self.average = copy.deepcopy(self.network).eval() if s.average else self.network
        self.loss = losses.from_name(s.loss_name)
        optimiser = torch.optim.AdamW if s.optimiser == "adamw" else torch.optim.Adam
        self.optimiser = optimiser(
            self.parameters,
            lr=s.rate,
            weight_decay=s.weight_decay,
            fused=device.type in ("cpu", "cuda"),
        )
        self.scaler = gradient_scaler(device, self.precision)
        self.sampler = PatchSampler(
            cases,
            s.size,
            s.foreground,
            flip=s.flip,
            rotate=s.rotate,
            seed=s.seed,
            device=device,
            balance=s.balance,
        )
        # A launch takes a GPU's processor as long for one step's patches as for eight steps'.
        small = AT_ONCE // (s.batch * world() * math.prod(s.size))
        self.at_once = min(max(small, 1), 8) if device.type == "cuda" else 1
        self._made: dict[int, tuple[torch.Tensor, torch.Tensor]] = {}
        levels = torch.tensor([LEVELS[region] for region in s.regions], dtype=torch.uint8)
        self.levels = levels.view(1, -1, 1, 1, 1).to(device)
        self.channels = torch.tensor(s.indices, device=device)
        self.looked_at = torch.tensor([name in s.sequences for name in SEQUENCES], device=device)

    def step(self, number: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Learn from batch `number`; its loss and the norm of its gradient, on the device.

        If the gradient is not finite, nothing is learned.
        """
        s = self.settings
        image, target = self._batch_of(number)
        self.network.train()
        with autocast(self.device, self.precision):
            logits = self.engine(image)
        loss = self.loss(logits, target)
        self.scaler.scale(loss).backward()
        self.scaler.unscale_(self.optimiser)
        norm = torch.nn.utils.get_total_norm([p.grad for p in self.parameters])
        if s.clip_gradient:
            torch.nn.utils.clip_grads_with_norm_(self.parameters, s.clip_gradient, norm)
        self.optimiser.param_groups[0]["lr"] = s.rate_at(number)
        if self.scaler.is_enabled() or norm.isfinite():
            self.scaler.step(self.optimiser)
        self.scaler.update()
        self.optimiser.zero_grad(set_to_none=True)
        if self.average is not self.network:
            _move_average(self.average, self.network, s.average_at(number))
        return loss.detach(), norm

    def _batch_of(self, number: int) -> tuple[torch.Tensor, torch.Tensor]:
        """The batch of a step. Small ones are made several at once on a GPU."""
        if self.at_once == 1:
            return self.batch(number)
        if number not in self._made:
            steps = range(number, number + self.at_once)
            self._made = dict(zip(steps, self.batches(steps)))
        return self._made.pop(number)

    def batch(self, number: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Image (n, sequences, x, y, z) and target of a step: (n, regions, x, y, z) bool, or
        classes (n, x, y, z) int64. A function of seed and number.

        Of several processes each makes the batch of all, and takes its part: so together they learn
        what one process with a batch as many times larger learns.
        """
        return self.batches(range(number, number + 1))[0]

    def batches(self, steps: range) -> list[tuple[torch.Tensor, torch.Tensor]]:
        """The batches of several steps, one behind the other: the same as one by one."""
        s = self.settings
        batch = self.sampler.batch(s.batch * world(), steps)
        image, present = batch.image, batch.present & self.looked_at
        if s.intensity:
            augment_intensity(image, seed=s.seed, step=steps)
        if s.alone or s.drop:
            drop_sequences(
                image, present, seed=s.seed, step=steps, share=s.alone, probability=s.drop
            )
        code = batch.code
        if world() > 1:
            part = slice(rank() * s.batch, (rank() + 1) * s.batch)
            image, code = (_each(x, len(steps))[:, part].flatten(0, 1) for x in (image, code))
        target = code[:, None] >= self.levels
        if s.output == "classes":
            # A voxel's class counts the regions that it lies in: 0 is background.
            target = target.sum(1)
        if len(s.indices) < len(SEQUENCES):
            image = image[:, self.channels]
        image = image.to(memory_format=self.layout)
        return list(zip(image.split(s.batch), target.split(s.batch)))

    def find(self, case: Prepared) -> np.ndarray:
        """The regions of a whole volume, bool (regions, x, y, z), by the averaged weights."""
        s = self.settings
        probability = sliding_window(
            self.average,
            torch.from_numpy(np.array(case.image[s.indices])),
            s.size,
            overlap=s.overlap,
            activation="sigmoid" if s.output == "regions" else "softmax",
            skip=torch.from_numpy(np.array(case.brain)),
            device=self.device,
            precision=self.precision,
        )
        if s.output == "classes":
            # A region is its own class and all classes further in.
            probability = probability[1:].flip(0).cumsum(0).flip(0)
        return (probability > 0.5).numpy()

    def dice(self, case: Prepared) -> dict[str, float]:
        """Dice of every region of a whole volume, by the averaged weights."""
        found = zip(self.settings.regions, self.find(case), strict=True)
        return {name: dice(counts(mask, case.regions >= LEVELS[name])) for name, mask in found}

    def model(self) -> Model:
        """The averaged weights as a model, on the CPU."""
        s = self.settings
        network = type(self.network)(**self.network.config)
        network.load_state_dict(self.average.state_dict())
        settings = Settings(
            output=s.output,
            regions=s.regions,
            sequences=s.sequences,
            spacing=self.spacing,
            clip=s.clip,
            patch=s.size,
            trained_on=s.trained_on,
        )
        return Model(network.eval(), settings)


def gradient_scaler(device: torch.device, precision: str) -> torch.amp.GradScaler:
    """What leaves out a step whose gradient is not finite, without the device having to be asked.

    Only fp16 needs scaling; elsewhere the scale is 1. On MPS older versions of PyTorch lack the
    arithmetic for it, so there it is disabled where nothing is to be scaled.

    >>> gradient_scaler(torch.device("mps"), "fp32").is_enabled()
    False
    """
    scale = {} if precision == "fp16" else {"init_scale": 1.0, "growth_interval": 2**30}
    enabled = device.type != "mps" or precision == "fp16"
    return torch.amp.GradScaler(device.type, **scale, enabled=enabled)


def check_cases(
    training: Sequence[Prepared], validation: Sequence[Prepared], settings: Fit
) -> None:
    """Raise `GliomakitError` for cases that cannot be learned from, or not together."""
    if not training:
        raise GliomakitError("there are no training cases")
    target = training[0].frame.target
    for case in (*training, *validation):
        if case.regions is None:
            raise GliomakitError(
                "this case has no label", where=case.name, todo="leave it out of training"
            )
        if not set(case.present) & set(settings.sequences):
            raise GliomakitError(
                f"this case has none of {', '.join(settings.sequences)}", where=case.name
            )
        if case.frame.target != target:
            raise GliomakitError(
                f"this case was prepared with spacing {case.frame.target}, the first with {target}",
                where=case.name,
                todo="prepare all cases alike",
            )


def _each(x: torch.Tensor, steps: int) -> torch.Tensor:
    """Batches one behind the other as (steps, n, …)."""
    return x.view(steps, -1, *x.shape[1:])


@torch.no_grad()
def _move_average(average: torch.nn.Module, network: torch.nn.Module, decay: float) -> None:
    """Move the averaged weights toward the network's; whole numbers (counters) are copied."""
    ours, theirs = list(average.state_dict().values()), list(network.state_dict().values())
    real = [i for i, value in enumerate(ours) if value.is_floating_point()]
    torch._foreach_lerp_([ours[i] for i in real], [theirs[i] for i in real], 1 - decay)
    for value, new in zip(ours, theirs, strict=True):
        if not value.is_floating_point():
            value.copy_(new)
