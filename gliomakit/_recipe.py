"""The settings of a training run, and the learning rate that follows from them.

Everything here is a function of the settings and the step: nothing has to be saved to go on.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from types import MappingProxyType

from .errors import GliomakitError
from .losses import LOSSES
from .regions import CONVENTIONS, REGIONS, SEQUENCES
from .unet import NORMS, LightUNet3d, UNet3d

SCHEDULES = ("one-cycle", "cosine", "step", "constant")
"""How the learning rate changes: see `Fit.schedule`."""

OPTIMISERS = ("adamw", "adam")

KINDS = MappingProxyType({"UNet3d": UNet3d, "LightUNet3d": LightUNet3d})
"""The networks that can be trained."""

LEVELS = MappingProxyType({region: level for level, region in enumerate(REGIONS, start=1)})
"""A voxel of the nested code belongs to a region if its code is at least this."""

STEP_FACTOR, STEP_EPOCHS = 0.95, 5
"""The paper's step schedule: the rate times 0.95 every 5 epochs."""

WARM_UP, START, END = 0.25, 25.0, 1e4
"""One-cycle: share of the steps that rise; the rate begins at 1/25 of its top and ends at 1/1e4
of its beginning."""


@dataclass(frozen=True)
class Fit:
    """How a network is trained. The defaults are what `gliomakit train` uses.

    What is learned
        output:       "regions": each region its own yes or no (sigmoid); "classes": background and
                      one class a region (softmax), a voxel's the innermost region that it is in.
                      With regions=("wt",) these are the paper's two classes.
        regions:      which of wt, tc, et, in this order.
        sequences:    which of flair, t1, t1ce, t2 the network looks at, in this order.
        loss:         a name of `losses.LOSSES`; None is "regions" or "weighted-dice", as the output
                      has it.
    The network
        network:      "UNet3d", the paper's, or "LightUNet3d", cheap on a processor.
        base_filters: the network's; `UNet3d`'s 16 are 4.8 million parameters.
        norm:         `UNet3d`'s; instance norm learns well from batches of two. `LightUNet3d` has
                      no other.
    The batch
        patch:        side in voxels, one number or three; a multiple of the network's stride (8;
                      `LightUNet3d`'s is 16).
        batch:        patches a step.
        foreground:   probability that a patch is put around a tumour voxel.
        balance:      choose that voxel's tissue first, so that small tissues are seen as often.
        flip, rotate: along all axes, or those that are named ("x" is left and right, which heads
                      have alike); by quarter turns in the x–y plane.
        intensity:    random gain, offset, gamma, noise (`patches.augment_intensity`).
        alone:        share of patches that keep FLAIR and T1ce only.
        drop:         probability of every sequence to be left out of any other patch.
    The steps
        steps:        how many.
        optimiser:    "adamw" or "adam".
        rate:         learning rate: the top of "one-cycle", the beginning of "cosine" and "step".
        schedule:     "one-cycle" rises for a quarter of the steps and falls to almost nothing
                      (Smith and Topin 2019, with cosines); "cosine" falls from the first step;
                      "step" is the paper's, × 0.95 every 5 epochs; "constant".
        epoch:        steps an epoch has; only "step" asks.
        weight_decay: of AdamW (of Adam: added to the gradient).
        clip_gradient: largest norm of the whole gradient; 0 does not clip.
        average:      decay of the running average of the weights, which is what is validated and
                      kept; 0 keeps the last weights.
        precision:    "fp32", "bf16", "fp16"; None takes what the device does natively.
        compile:      by `torch.compile`: a slow first step, faster ones after it.
        seed:         first weights, patches, everything random.
    The run
        validate_every:   steps between validations on whole volumes; the last step always is one.
        overlap:          of the windows in validation.
        checkpoint_every: steps between checkpoints.
    For the record (the first two are kept in the model)
        clip:         percentiles that the cases were prepared with (`preprocess.prepare`).
        trained_on:   what the cases are, in words.
        convention:   what the user said that their labels' numbers mean; None: they tell it.

    Raises `GliomakitError` for a value that makes no sense.

    >>> Fit(steps=10, schedule="constant").rate_at(3)
    0.003
    >>> Fit(regions=("wt", "xt"))
    Traceback (most recent call last):
    gliomakit.errors.GliomakitError: regions are wt, xt; give one or more of wt, tc, et, in this \
order
    """

    output: str = "regions"
    regions: tuple[str, ...] = REGIONS
    sequences: tuple[str, ...] = SEQUENCES
    loss: str | None = None
    network: str = "UNet3d"
    base_filters: int = 16
    norm: str = "instance"
    patch: int | tuple[int, int, int] = 64
    batch: int = 2
    foreground: float = 0.5
    balance: bool = False
    flip: bool | str = True
    rotate: bool = True
    intensity: bool = True
    alone: float = 0.25
    drop: float = 0.1
    steps: int = 1000
    optimiser: str = "adamw"
    rate: float = 3e-3
    schedule: str = "one-cycle"
    epoch: int = 100
    weight_decay: float = 0.01
    clip_gradient: float = 1.0
    average: float = 0.99
    precision: str | None = None
    compile: bool = False
    seed: int = 0
    validate_every: int = 250
    overlap: float = 0.25
    checkpoint_every: int = 100
    clip: tuple[float, float] | None = (0.5, 99.5)
    trained_on: str = ""
    convention: str | None = None

    @classmethod
    def paper(cls, cases: int = 400, epochs: int = 100, **changes: object) -> Fit:
        """The first paper's settings: 19 million parameters, two classes, weighted Dice.

        16 patches of 64³ from every case an epoch, in batches of 8, drawn anywhere; reflection and
        rotation; Adam at 5e-4, × 0.95 every 5 epochs; fp32, no averaging, no clipping.

        >>> Fit.paper().steps, Fit.paper().rate_at(5 * 800)
        (80000, 0.000475)
        """
        epoch = math.ceil(cases * 16 / 8)
        settings = {
            "output": "classes",
            "regions": ("wt",),
            "loss": "weighted-dice-paper",
            "base_filters": 32,
            "norm": "paper",
            "patch": 64,
            "batch": 8,
            "foreground": 0.0,
            "intensity": False,
            "alone": 0.0,
            "drop": 0.0,
            "steps": epochs * epoch,
            "optimiser": "adam",
            "rate": 5e-4,
            "schedule": "step",
            "epoch": epoch,
            "weight_decay": 0.0,
            "clip_gradient": 0.0,
            "average": 0.0,
            "precision": "fp32",
            "validate_every": epoch,
            "checkpoint_every": epoch,
            "clip": None,
        }
        return cls(**(settings | changes))

    def __post_init__(self) -> None:
        # From JSON and from the command line come lists.
        for name in ("regions", "sequences", "patch", "clip"):
            value = getattr(self, name)
            if isinstance(value, list):
                object.__setattr__(self, name, tuple(value))
        self._check_names()
        self._check_numbers()

    @property
    def size(self) -> tuple[int, int, int]:
        """The patch's three sides in voxels."""
        return (self.patch,) * 3 if isinstance(self.patch, int) else self.patch

    @property
    def loss_name(self) -> str:
        """The name of the loss, chosen by the output if none is given."""
        return self.loss or ("regions" if self.output == "regions" else "weighted-dice")

    @property
    def channels(self) -> int:
        """Channels that the network gives: one a region, and one for background among classes."""
        return len(self.regions) + (self.output == "classes")

    @property
    def indices(self) -> list[int]:
        """Where the sequences that are looked at stand among all four."""
        return [SEQUENCES.index(name) for name in self.sequences]

    def rate_at(self, step: int) -> float:
        """The learning rate of a step, counted from 0.

        >>> settings = Fit(steps=100)
        >>> [round(settings.rate_at(step), 6) for step in (0, 24, 99)]
        [0.00012, 0.003, 0.0]
        """
        if self.schedule == "constant":
            return self.rate
        if self.schedule == "step":
            return self.rate * STEP_FACTOR ** (step // self.epoch // STEP_EPOCHS)
        if self.schedule == "cosine":
            return _between(self.rate, 0, step / self.steps)
        low, top = self.rate / START, max(WARM_UP * self.steps - 1, 0)
        if step < top:
            return _between(low, self.rate, step / top)
        return _between(self.rate, low / END, (step - top) / max(self.steps - 1 - top, 1))

    def average_at(self, step: int) -> float:
        """The decay of the weight average at a step: less at first, so that the first weights are
        soon forgotten.

        >>> [round(Fit(average=0.99).average_at(step), 3) for step in (0, 10, 2000)]
        [0.1, 0.55, 0.99]
        """
        return min(self.average, (1 + step) / (10 + step))

    def make_network(self) -> UNet3d | LightUNet3d:
        """The network, with fresh weights from PyTorch's generator."""
        norm = {"norm": self.norm} if self.network == "UNet3d" else {}
        shape = (len(self.sequences), self.channels, self.base_filters)
        return KINDS[self.network](*shape, **norm)

    def as_json(self) -> dict[str, object]:
        """The settings as JSON can hold them; ``Fit(**settings.as_json())`` is the same again."""
        return {k: list(v) if isinstance(v, tuple) else v for k, v in asdict(self).items()}

    def _check_names(self) -> None:
        known = {
            "output": ("regions", "classes"),
            "schedule": SCHEDULES,
            "optimiser": OPTIMISERS,
            "network": tuple(KINDS),
            "norm": NORMS,
            "precision": (None, "fp32", "bf16", "fp16"),
            "loss": (None, *LOSSES),
            "convention": (None, *CONVENTIONS),
            "flip": (False, True, "x", "y", "z", "xy", "xz", "yz", "xyz"),
        }
        for name, values in known.items():
            if getattr(self, name) not in values:
                accepted = ", ".join(str(v) for v in values if v)
                raise GliomakitError(
                    f"there is no {name} {getattr(self, name)!r}", todo=f"known are {accepted}"
                )
        for name, known in (("regions", REGIONS), ("sequences", SEQUENCES)):
            given = getattr(self, name)
            if not given or given != tuple(v for v in known if v in given):
                raise GliomakitError(
                    f"{name} are {', '.join(given) or 'none'}",
                    todo=f"give one or more of {', '.join(known)}, in this order",
                )
        made_for = LOSSES[self.loss_name]().output
        if made_for != self.output:
            raise GliomakitError(
                f"the loss {self.loss!r} is for {made_for}, the output is {self.output}",
                todo=f"known for {self.output} are "
                + ", ".join(n for n in LOSSES if LOSSES[n]().output == self.output),
            )

    def _check_numbers(self) -> None:
        stride = KINDS[self.network].stride
        if len(self.size) != 3 or any(s < 1 or s % stride for s in self.size):
            times = {8: "three", 16: "four"}[stride]
            raise GliomakitError(
                f"a patch of {self.patch} voxels cannot be halved {times} times",
                todo=f"give a multiple of {stride}, or three",
            )
        counts = ("base_filters", "batch", "steps", "epoch", "validate_every", "checkpoint_every")
        for name in counts:
            if getattr(self, name) < 1:
                raise GliomakitError(f"{name} is {getattr(self, name)}; it must be 1 or more")
        for name in ("foreground", "alone", "drop", "overlap", "average"):
            below_one = name in ("overlap", "average", "drop")
            value = getattr(self, name)
            if not 0 <= value <= 1 or (below_one and value == 1):
                limit = "below 1" if below_one else "to 1"
                raise GliomakitError(f"{name} is {value}; it is a share, from 0 {limit}")
        if not 0 < self.rate < math.inf:
            raise GliomakitError(f"rate is {self.rate}; a learning rate is above 0")
        for name in ("weight_decay", "clip_gradient"):
            if not 0 <= getattr(self, name) < math.inf:
                raise GliomakitError(f"{name} is {getattr(self, name)}; it must be 0 or more")


def _between(start: float, end: float, share: float) -> float:
    """From start to end along half a cosine."""
    return end + (start - end) * (1 + math.cos(math.pi * min(share, 1.0))) / 2
