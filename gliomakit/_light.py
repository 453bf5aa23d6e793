"""A 3-D U-Net that is cheap on a processor: the one whose weights ship with gliomakit.

More than half of what `unet.UNet3d` computes, it computes at full resolution. This network halves
the image in its first convolution, works at half resolution and below, and gives the lost factor of
two back in its last layer, where each coarse voxel says what its eight fine ones are (a transposed
convolution of side 2, step 2: sub-pixel convolution, Shi et al. 2016, arXiv:1609.05158). Skips are
added, not laid beside, which halves the decoder. With 24 base filters a patch of 64³ costs 3.1 GMAC
where `UNet3d(base_filters=8)` takes 15.5, and it has more than twice its parameters, deep down
where they are cheap.
"""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional as F

from ._layers import InstanceNorm3d, check_image, initialise
from .errors import GliomakitError

LEVELS = 4
"""Half, quarter, eighth and sixteenth of the image's side."""


class LightUNet3d(nn.Module):
    """(b, in_channels, x, y, z) to logits (b, out_channels, x, y, z).

    in_channels:  sequences.
    out_channels: classes (softmax) or nested regions (sigmoid).
    base_filters: channels at half resolution; they double at each of the three levels below.

    Every 3³ convolution is followed by instance norm and a leaky ReLU. Sides must be multiples of
    `LightUNet3d.stride` (16); anything else raises `GliomakitError`.
    `LightUNet3d(**network.config)` makes the same network again. Both memory formats work; channels
    last is the faster one.

    >>> LightUNet3d(base_filters=4)(torch.zeros(1, 4, 16, 16, 32)).shape
    torch.Size([1, 3, 16, 16, 32])
    """

    stride = 2**LEVELS

    def __init__(self, in_channels: int = 4, out_channels: int = 3, base_filters: int = 24):
        super().__init__()
        self.config = {
            "in_channels": in_channels,
            "out_channels": out_channels,
            "base_filters": base_filters,
        }
        if min(self.config.values()) < 1:
            raise GliomakitError("a network needs at least one channel in, one out, one filter")
        width = [base_filters * 2**level for level in range(LEVELS)]
        self.down = nn.ModuleList()
        for entering, leaving in zip([in_channels, *width], width):
            self.down.append(nn.Sequential(Step(entering, leaving, 2), Residual(leaving, 1)))
        self.up, self.join = nn.ModuleList(), nn.ModuleList()
        for below, here in zip(width[:0:-1], width[-2::-1]):
            self.up.append(nn.ConvTranspose3d(below, here, 2, stride=2))
            self.join.append(Residual(here, 2))
        self.out = nn.ConvTranspose3d(base_filters, out_channels, 2, stride=2)
        self.apply(initialise)

    @property
    def last(self) -> nn.Module:
        """The layer that gives the logits."""
        return self.out

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        """An image (batch, in_channels, *sides), any float type, to its logits."""
        check_image(image, self.config["in_channels"], 3, LEVELS, lone=False)
        x, skips = image.to(self.out.weight.dtype), []
        for block in self.down:
            x = block(x)
            skips.append(x)
        skips.pop()
        for up, join in zip(self.up, self.join):
            x = join(up(x) + skips.pop())
        return self.out(x)


class Residual(nn.Sequential):
    """What some steps add to what they are given (He et al. 2016): gradients reach every level."""

    def __init__(self, channels: int, steps: int):
        super().__init__(*(Step(channels, channels) for _ in range(steps)))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + super().forward(x)


class Step(nn.Module):
    """3³ convolution (stride 1 or 2), instance norm, leaky ReLU."""

    def __init__(self, entering: int, leaving: int, stride: int = 1):
        super().__init__()
        self.conv = nn.Conv3d(entering, leaving, 3, stride=stride, padding=1, bias=False)
        self.norm = InstanceNorm3d(leaving, affine=True)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return F.leaky_relu(self.norm(self.conv(x)), 0.01)
