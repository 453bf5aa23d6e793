"""What all networks share: a norm, first weights; and a network counted, layer by layer."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.modules.conv import _ConvNd

from .errors import GliomakitError


class InstanceNorm3d(nn.InstanceNorm3d):
    """PyTorch's instance norm, on processors one sample at a time through its batch norm.

    The values are the same, and a channels-last tensor stays one: PyTorch's own copies it, which
    costs a training step a quarter more time, and (in 2.13) gives wrong gradients for a single
    channels-last sample.
    """

    def forward(self, x: Tensor) -> Tensor:
        if (
            x.device.type != "cpu"
            or torch.compiler.is_compiling()
            or torch.onnx.is_in_onnx_export()
        ):
            return super().forward(x)
        samples = [
            F.batch_norm(one, None, None, self.weight, self.bias, True, 0.0, self.eps)
            for one in x.split(1)
        ]
        return samples[0] if len(samples) == 1 else torch.cat(samples)


def check_image(
    image: Tensor, channels: int, dims: int, levels: int, padding: bool = True, lone: bool = True
) -> None:
    """Raise `GliomakitError` for an image that a U-Net of so many levels cannot take.

    channels: that the network takes; dims: 2 or 3; levels: how often sides are halved; padding:
    whether convolutions keep the sides; lone: whether one voxel may be left at the bottom.
    """
    sides, stride = tuple(image.shape[2:]), 2**levels
    if image.ndim != dims + 2 or image.shape[1] != channels:
        raise GliomakitError(
            f"the network needs an image of shape (batch, {channels}, "
            f"{', '.join('xyz'[:dims])}), not {tuple(image.shape)}"
        )
    if not padding:
        if any(s % stride != 4 or s < 92 for s in sides):
            raise GliomakitError(
                f"without padding no image of sides {sides} passes",
                todo=f"sides must be 92 or more, and 4 more than a multiple of {stride}",
            )
    elif any(s % stride or s == 0 for s in sides):
        raise GliomakitError(
            f"sides {sides} cannot be halved {levels} times",
            todo=f"pad or crop them to multiples of {stride}",
        )
    elif not lone and all(s == stride for s in sides):
        # Instance norm: the variance of a single voxel is zero, whatever the image.
        raise GliomakitError(
            f"sides {sides} leave instance norm a single voxel",
            todo=f"at least one side must be {2 * stride} or more",
        )


def initialise(layer: nn.Module) -> None:
    """Weights that keep the variance through a ReLU: standard deviation √(2 / inputs)."""
    if not isinstance(layer, _ConvNd):
        return
    # A voxel after the transposed convolution (side 2, step 2) is reached by one weight a channel.
    inputs = layer.in_channels if layer.transposed else layer.weight[0].numel()
    nn.init.normal_(layer.weight, std=(2 / inputs) ** 0.5)
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)


def count_parameters(model: nn.Module, norm: bool = True) -> int:
    """How many numbers training changes; `norm=False` leaves those of normalisation layers out.

    >>> count_parameters(nn.Conv3d(4, 32, 3))
    3488
    """
    kept = [m for m in model.modules() if norm or "Norm" not in type(m).__name__]
    return sum(p.numel() for m in kept for p in m.parameters(recurse=False))


@dataclass(frozen=True)
class Row:
    """One layer of a network: channels and side after it, parameters, multiplications in 10⁹."""

    layer: str
    kind: str
    channels: int
    side: int
    parameters: int
    gmac: float | None


class Table(list[Row]):
    """A network's layers; prints as a Markdown table with the sums below."""

    @property
    def parameters(self) -> int:
        return sum(row.parameters for row in self)

    @property
    def gmac(self) -> float:
        return sum(row.gmac or 0.0 for row in self)

    def __str__(self) -> str:
        lines = [
            "| layer | kind | channels | side | parameters | GMAC |",
            "|---|---|---|---|---|---|",
        ]
        for r in self:
            work = "" if r.gmac is None else f"{r.gmac:.2f}"
            cells = f"{r.kind} | {r.channels} | {r.side} | {r.parameters:,} | {work}"
            lines.append(f"| `{r.layer}` | {cells} |")
        lines.append(f"| **sum** | | | | **{self.parameters:,}** | **{self.gmac:.2f}** |")
        return "\n".join(lines).replace("|  |", "| |")


@torch.no_grad()
def table(model: nn.Module, side: int = 64) -> Table:
    """The layers of a network as it runs on one cube (or square) of that side, in voxels.

    A GMAC is 10⁹ multiplications with their additions. Nothing is computed: the network is run on
    the "meta" device, which knows shapes only. Works for any network of convolutions.

    >>> two = nn.Sequential(nn.Conv3d(4, 32, 3, padding=1), nn.ConvTranspose3d(32, 8, 2, stride=2))
    >>> print(table(two))
    | layer | kind | channels | side | parameters | GMAC |
    |---|---|---|---|---|---|
    | `0` | conv 3³ | 32 | 64 | 3,488 | 0.91 |
    | `1` | transposed conv 2³ | 8 | 128 | 2,056 | 0.54 |
    | **sum** | | | | **5,544** | **1.44** |
    """
    rows = Table()
    ghost = copy.deepcopy(model).to("meta").eval()
    leaves = {n: m for n, m in ghost.named_modules() if list(m.parameters(recurse=False))}
    for name, layer in leaves.items():
        layer.register_forward_hook(partial(_note, rows, name))
    first = next(m for m in leaves.values() if isinstance(m, _ConvNd))
    ghost(torch.zeros(1, first.in_channels, *[side] * len(first.kernel_size), device="meta"))
    return rows


def _note(
    rows: Table, name: str, layer: nn.Module, inputs: tuple[Tensor, ...], output: Tensor
) -> None:
    """A forward hook: write down one layer, just after it has run."""
    kind, gmac = type(layer).__name__, None
    if isinstance(layer, _ConvNd):
        kind = f"conv {layer.kernel_size[0]}{'¹²³'[len(layer.kernel_size) - 1]}"
        # Every weight meets every voxel once: of the output, or, when transposed, of the input.
        voxels = (inputs[0] if layer.transposed else output)[:, 0].numel()
        gmac = layer.weight.numel() * voxels / 1e9
        if layer.transposed:
            kind = f"transposed {kind}"
        elif rows and rows[-1].channels != layer.in_channels:
            kind = f"{kind} ({layer.in_channels} in)"  # a skip was laid beside
    elif "Norm" in kind:
        kind = "batch norm" if kind.startswith("Batch") else "instance norm"
    size = sum(p.numel() for p in layer.parameters())
    rows.append(Row(name, kind, output.shape[1], output.shape[2], size, gmac))
