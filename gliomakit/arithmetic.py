"""A network of convolutions on paper: parameters, sides, what one voxel sees; memory, measured.

Lesson 04 derives the first three; `saved_bytes` is the measurement beside its estimate. Everything
is per axis, for cubes: kernel 3 is 3 × 3 × 3.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

import torch
from torch import Tensor, nn
from torch.nn.modules.conv import _ConvNd

from .errors import GliomakitError
from .unet import cicek

Convolution = tuple[int, int, int, bool]
"""Kernel's side, channels that enter, channels that leave, whether there is a bias."""


def conv_parameters(kernel: int, entering: int, leaving: int, bias: bool = True) -> int:
    """Parameters of a 3-D convolution, transposed or not, with a cubic kernel.

    >>> conv_parameters(3, 4, 32)
    3488
    """
    return kernel**3 * entering * leaving + (leaving if bias else 0)


def side_after(kind: str, side: int, kernel: int, stride: int = 1, padding: int = 0) -> int:
    """The side, in voxels, after a layer: "conv", "pool" or "up" (transposed convolution).

    >>> side_after("conv", 64, 3, padding=1), side_after("pool", 64, 2, 2)
    (64, 32)
    >>> side_after("up", 32, 2, 2)
    64
    """
    if kind not in ("conv", "pool", "up"):
        raise GliomakitError(f"there is no layer {kind!r}", todo="known are conv, pool, up")
    if kind == "up":
        return (side - 1) * stride + kernel - 2 * padding
    return (side + 2 * padding - kernel) // stride + 1


def seen_range(path: Sequence[str], voxel: int) -> tuple[int, int]:
    """First and last input voxel, along one axis, that an output voxel depends on.

    path: the layers in the order in which they run: "conv" (kernel 3, padded), "pool" and "up"
          (both 2, step 2). The range may reach beyond the image, where only padding lies.

    >>> seen_range(["conv", "pool"], 10)
    (19, 22)
    """
    first = last = voxel
    for kind in reversed(path):
        if kind == "conv":
            first, last = first - 1, last + 1
        elif kind == "pool":
            first, last = 2 * first, 2 * last + 1
        elif kind == "up":
            first, last = first // 2, last // 2
        else:
            raise GliomakitError(f"there is no layer {kind!r}", todo="known are conv, pool, up")
    return first, last


def cicek_layers() -> list[Convolution]:
    """The convolutions of Çiçek's 3-D U-Net, in the order in which they run.

    >>> sum(conv_parameters(*layer) for layer in cicek_layers())
    19069955
    """
    with torch.device("meta"):
        layers = [m for m in cicek().modules() if isinstance(m, _ConvNd)]
    return [(m.kernel_size[0], m.in_channels, m.out_channels, m.bias is not None) for m in layers]


def saved_bytes(network: nn.Module, image: Tensor) -> int:
    """Bytes that a forward pass keeps for the backward pass, beside image and parameters.

    Counted by autograd's own hooks, each piece of memory once, so it is the same on every device;
    on "meta" nothing is computed or allocated. What a device needs on top (workspace, gradients,
    the loss) is not in it.

    >>> relu = nn.ReLU()
    >>> saved_bytes(relu, torch.zeros(10, requires_grad=True))
    40
    """
    own = {_storage(t) for t in (image, *network.parameters(), *network.buffers())}
    kept: dict[int, Tensor] = {}

    def note(tensor: Tensor) -> Tensor:
        # Held until the end: a freed piece of memory could be given out, and counted, again.
        kept.setdefault(_storage(tensor), tensor)
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
        network(image)
    return sum(t.untyped_storage().nbytes() for at, t in kept.items() if at not in own)


def _storage(tensor: Tensor) -> int:
    return tensor.untyped_storage()._cdata


def batch_mib(n: int, channels: int, sides: Sequence[int], bytes_each: int = 4) -> float:
    """MiB that the numbers of n patches take: so many channels, sides in voxels.

    >>> batch_mib(8, 4, (64, 64, 64))
    32.0
    """
    return n * channels * prod(sides) * bytes_each / 2**20
