"""The U-Net, in three dimensions (the first paper's) and in two (the classical one).

A U-Net is two convolutions again and again. Going down, each pair of convolutions sees the image
at half the side of the one before and knows more *what* is there and less *where*. Going up, a
transposed convolution doubles the side, and the features kept on the way down (the skips) are laid
beside it, because they still know where.

Layers are named as in the first paper: ``en1`` to ``en3`` go down, ``de4`` is the bottom, ``de3``
to ``de1`` go up, ``de1_out`` gives one number a voxel and class. That number is a logit: put
softmax (classes) or sigmoid (nested regions) after it.

Sources: Shaukat et al., BMC Bioinformatics 23:251 (2022); Çiçek et al., MICCAI 2016
(arXiv:1606.06650); Ronneberger et al., MICCAI 2015 (arXiv:1505.04597).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ._layers import InstanceNorm3d, Row, Table, check_image, count_parameters, initialise, table
from ._light import LightUNet3d
from .errors import GliomakitError

__all__ = [
    "NORMS",
    "ClassicalUNet",
    "LightUNet3d",
    "Row",
    "Table",
    "UNet3d",
    "cicek",
    "count_parameters",
    "table",
]

NORMS = ("paper", "first", "batch", "instance", "none")
"""Where normalisation stands: see `UNet3d`."""


_LAYERS = {
    2: (nn.Conv2d, nn.ConvTranspose2d, nn.BatchNorm2d, nn.InstanceNorm2d, F.max_pool2d),
    3: (nn.Conv3d, nn.ConvTranspose3d, nn.BatchNorm3d, InstanceNorm3d, F.max_pool3d),
}


class _UNet(nn.Module):
    """What both networks share: built from a table of channels, run down and up again.

    blocks: for each pair of convolutions the channels that enter, those after the first and those
            after the second; in the order in which they run.
    """

    dims: int
    stride: int
    config: dict

    def _build(self, blocks: dict[str, tuple[int, int, int]], halve: bool) -> None:
        if self.config["norm"] not in NORMS:
            raise GliomakitError(
                f"there is no norm {self.config['norm']!r}", todo=f"known are {', '.join(NORMS)}"
            )
        if min(self.config[k] for k in ("in_channels", "out_channels", "base_filters")) < 1:
            raise GliomakitError("a network needs at least one channel in, one out, one filter")
        self.encoders = [name for name in blocks if name.startswith("en")]
        self.decoders = [name for name in blocks if name.startswith("de")]
        conv, up = _LAYERS[self.dims][:2]
        padding = 1 if self.config.get("padding", True) else 0
        for name, (entering, middle, leaving) in blocks.items():
            for i, (a, b) in enumerate([(entering, middle), (middle, leaving)], start=1):
                self.add_module(f"{name}_conv{i}", conv(a, b, 3, padding=padding))
                if norm := self._norm(name, i, b):
                    self.add_module(self._norm_name(name, i), norm)
            if name.startswith("de") and name != "de1":
                above = leaving // 2 if halve else leaving
                bias = self.config.get("up_bias", True)
                self.add_module(f"{name}_up", up(leaving, above, 2, stride=2, bias=bias))
        self.de1_out = conv(blocks["de1"][2], self.config["out_channels"], 1)
        self.apply(initialise)

    def _norm(self, name: str, i: int, channels: int) -> nn.Module | None:
        """The normalisation after convolution `i` of block `name`, if there is one."""
        kind = self.config["norm"]
        batch, instance = _LAYERS[self.dims][2:4]
        if kind == "instance":
            return instance(channels, affine=True)
        there = {"paper": i == 1 and name.startswith("en"), "first": i == 1, "batch": True}
        return batch(channels) if there.get(kind) else None

    def _norm_name(self, name: str, i: int) -> str:
        single = i == 1 and self.config["norm"] in ("paper", "first")
        return f"{name}_bn" if single else f"{name}_norm{i}"

    @property
    def last(self) -> nn.Module:
        """The layer that gives the logits."""
        return self.de1_out

    def forward(self, image: Tensor) -> Tensor:
        """An image (batch, in_channels, *sides), any float type, to its logits."""
        check_image(
            image,
            self.config["in_channels"],
            self.dims,
            len(self.encoders),
            padding=self.config.get("padding", True),
            lone=self.config["norm"] != "instance",
        )
        pool = _LAYERS[self.dims][4]
        x, skips = image.to(self.de1_out.weight.dtype), []
        for name in self.encoders:
            x = self.convolve(name, x)
            skips.append(x)
            x = pool(x, 2)
        for name in self.decoders:
            x = self.convolve(name, x)
            if name != "de1":
                x = getattr(self, f"{name}_up")(x)
                x = torch.cat([_centre(skips.pop(), x), x], dim=1)
        return self.de1_out(x)

    def convolve(self, name: str, x: Tensor) -> Tensor:
        """One block: two times convolution, normalisation (where there is one), ReLU."""
        for i in (1, 2):
            x = getattr(self, f"{name}_conv{i}")(x)
            norm = getattr(self, self._norm_name(name, i), None)
            x = F.relu(x if norm is None else norm(x))
        return x


class UNet3d(_UNet):
    """The first paper's 3-D U-Net: (b, in_channels, x, y, z) to logits (b, out_channels, x, y, z).

    in_channels:  sequences, 4 in the paper.
    out_channels: classes (softmax, the paper's 2) or nested regions (sigmoid).
    base_filters: channels after the first convolution; all others follow from it.
    norm:         "paper": batch norm after the first convolution of each encoder, nowhere else;
                  "first": batch norm after the first convolution of every block;
                  "batch", "instance": after every 3³ convolution. Instance norm (affine, no running
                  averages) behaves the same in training and in use: take it for small batches;
                  "none": nowhere.
    padding:      False gives Çiçek's unpadded convolutions, whose output is smaller: see `cicek`.
    up_bias:      whether the transposed convolutions have a bias.

    Sides must be multiples of `UNet3d.stride` (8); anything else raises `GliomakitError`.
    `UNet3d(**network.config)` makes the same network again. Weights start from He's normal
    distribution, biases from 0. Both memory formats work.

    >>> network = UNet3d()
    >>> count_parameters(network)
    19072098
    >>> UNet3d(base_filters=4)(torch.zeros(1, 4, 16, 16, 24)).shape
    torch.Size([1, 2, 16, 16, 24])
    """

    dims, stride = 3, 8

    def __init__(
        self,
        in_channels: int = 4,
        out_channels: int = 2,
        base_filters: int = 32,
        norm: str = "paper",
        padding: bool = True,
        up_bias: bool = True,
    ):
        super().__init__()
        self.config = {
            "in_channels": in_channels,
            "out_channels": out_channels,
            "base_filters": base_filters,
            "norm": norm,
            "padding": padding,
            "up_bias": up_bias,
        }
        f = base_filters
        blocks = {
            "en1": (in_channels, f, 2 * f),
            "en2": (2 * f, 2 * f, 4 * f),
            "en3": (4 * f, 4 * f, 8 * f),
            "de4": (8 * f, 8 * f, 16 * f),
            "de3": (8 * f + 16 * f, 8 * f, 8 * f),
            "de2": (4 * f + 8 * f, 4 * f, 4 * f),
            "de1": (2 * f + 4 * f, 2 * f, 2 * f),
        }
        self._build(blocks, halve=False)


def cicek() -> UNet3d:
    """The original 3-D U-Net: 3 channels, 3 classes, batch norm everywhere, no padding.

    Its paper gives 19,069,955 parameters. That number comes out when batch norm's own parameters
    are left out and the transposed convolutions have no bias: ``count_parameters(cicek(),
    norm=False)``. Without padding 132 × 132 × 116 voxels become 44 × 44 × 28.

    >>> count_parameters(cicek(), norm=False)
    19069955
    """
    return UNet3d(3, 3, 32, norm="batch", padding=False, up_bias=False)


class ClassicalUNet(_UNet):
    """The classical 2-D U-Net, padded: (b, in_channels, x, y) to logits (b, out_channels, x, y).

    Four poolings, so sides must be multiples of 16. Unlike the 3-D networks it doubles the channels
    after a pooling, not before, and halves them in the transposed convolution. Arguments as for
    `UNet3d`; the original has no normalisation. dropout: share of the numbers that training sets
    to 0 at the end of the way down (``en4`` and ``de5``), 0.5 in the original's code.

    >>> count_parameters(ClassicalUNet(in_channels=1))
    31030658
    """

    dims, stride = 2, 16

    def __init__(
        self,
        in_channels: int = 3,
        out_channels: int = 2,
        base_filters: int = 64,
        norm: str = "none",
        dropout: float = 0.0,
    ):
        super().__init__()
        sizes = dict(in_channels=in_channels, out_channels=out_channels, base_filters=base_filters)
        self.config = sizes | {"norm": norm, "dropout": dropout}
        c = [in_channels, *(base_filters * 2**level for level in range(5))]
        down = {f"en{k}": (c[k - 1], c[k], c[k]) for k in (1, 2, 3, 4)}
        up = {f"de{k}": (2 * c[k], c[k], c[k]) for k in (4, 3, 2, 1)}
        self._build({**down, "de5": (c[4], c[5], c[5]), **up}, halve=True)

    def convolve(self, name: str, x: Tensor) -> Tensor:
        x = super().convolve(name, x)
        return F.dropout(x, self.config["dropout"] * (name in ("en4", "de5")), self.training)


def _centre(skip: Tensor, x: Tensor) -> Tensor:
    """The middle of `skip`, as large as `x`; all of it when the convolutions are padded."""
    if skip.shape[2:] == x.shape[2:]:
        return skip
    corner = [(s - t) // 2 for s, t in zip(skip.shape[2:], x.shape[2:], strict=True)]
    cut = [slice(c, c + t) for c, t in zip(corner, x.shape[2:], strict=True)]
    return skip[(slice(None), slice(None), *cut)]
