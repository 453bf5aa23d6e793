"""The weighted Dice loss in three Triton kernels, for GPUs: see `_fused_dice` for the formulas.

One kernel reads logits and target once and leaves the sums of each block of voxels; one makes
losses of the sums, a program a sample; the last reads the logits again and writes the gradient. The
softmax is made anew in the first and the last, in the processor's registers, so beside the gradient
nothing is kept that is as large as the logits. Importing this needs Triton.
"""

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

BLOCK = 1024
"""Voxels of a program."""

CHUNK = 256
"""Blocks whose sums are added at once."""


@triton.jit
def _softmax(first, stride_k, inside, K: tl.constexpr, BLOCK: tl.constexpr):
    """The largest logit of each voxel, and the sum of the exponentials measured from it."""
    top = tl.full((BLOCK,), float("-inf"), tl.float32)
    for k in tl.static_range(K):
        x = tl.load(first + k * stride_k, mask=inside, other=0).to(tl.float32)
        top = tl.maximum(top, x)
    total = tl.zeros((BLOCK,), tl.float32)
    for k in tl.static_range(K):
        x = tl.load(first + k * stride_k, mask=inside, other=0).to(tl.float32)
        total += tl.exp(x - top)
    return top, total


@triton.jit
def _sum(
    logits,  # (b, K, M) by its strides, any float type
    target,  # (b, M), whole numbers
    sums,  # (b, blocks, K, 3) float32: Σ T, Σ Y T, Σ Y²
    M, stride_n, stride_k, stride_m,
    K: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    sample = tl.program_id(1).to(tl.int64)
    voxel = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    inside = voxel < M
    first = logits + sample * stride_n + voxel * stride_m
    label = tl.load(target + sample * M + voxel, mask=inside, other=-1)
    top, total = _softmax(first, stride_k, inside, K, BLOCK)
    place = sums + (sample * tl.num_programs(0) + tl.program_id(0)) * K * 3
    for k in tl.static_range(K):
        x = tl.load(first + k * stride_k, mask=inside, other=0).to(tl.float32)
        y = tl.where(inside, tl.exp(x - top) / total, 0.0)
        t = tl.where(inside & (label == k), 1.0, 0.0)
        tl.store(place + 3 * k, tl.sum(t))
        tl.store(place + 3 * k + 1, tl.sum(y * t))
        tl.store(place + 3 * k + 2, tl.sum(y * y))


@triton.jit
def _finish(
    sums,  # (b, blocks, K, 3) float32
    losses, shares,  # (b,) float32: the loss, and r
    slopes,  # (b, K) float32: c without the gradient of the mean
    blocks,
    POWER: tl.constexpr,  # how the weight falls with the area
    ABSENT: tl.constexpr,  # what a class without area weighs: see `losses.WeightedDiceLoss`
    TINY: tl.constexpr,
    K: tl.constexpr,
    LANES: tl.constexpr,  # a power of two, at least K
    CHUNK: tl.constexpr,
):  # fmt: skip
    sample = tl.program_id(0).to(tl.int64)
    k = tl.arange(0, LANES)
    area, both = tl.zeros((LANES,), tl.float32), tl.zeros((LANES,), tl.float32)
    squares = tl.zeros((LANES,), tl.float32)
    for first in range(0, blocks, CHUNK):
        block = first + tl.arange(0, CHUNK)
        there = (block < blocks)[:, None] & (k < K)[None, :]
        place = sums + ((sample * blocks + block)[:, None] * K + k[None, :]) * 3
        area += tl.sum(tl.load(place, mask=there, other=0), axis=0)
        both += tl.sum(tl.load(place + 1, mask=there, other=0), axis=0)
        squares += tl.sum(tl.load(place + 2, mask=there, other=0), axis=0)
    divisor = tl.full((LANES,), 1.0, tl.float32)
    for _ in tl.static_range(POWER):
        divisor *= area
    if ABSENT == "paper":
        w = tl.where(k < K, 1 / tl.maximum(divisor, TINY), 0.0)
    else:
        w = tl.where(area > 0, 1 / tl.where(area > 0, divisor, 1.0), 0.0)
        if ABSENT == "largest":
            w = tl.where((area > 0) | (k >= K), w, tl.max(w))
    above, below = 2 * tl.sum(w * both), tl.sum(w * (squares + area))
    # A sample in which no class counts has loss 0, and no gradient.
    divisible = tl.where(below > 0, below, 1.0)
    tl.store(losses + sample, tl.where(below > 0, 1 - above / divisible, 0.0))
    tl.store(shares + sample, above / divisible)
    tl.store(slopes + sample * K + k, 2 * w / divisible / tl.num_programs(0), mask=k < K)


@triton.jit
def _differentiate(
    logits, target, gradient,  # as large as the logits, with the same strides
    outer,  # a number: the gradient by the loss
    slopes,  # c, (b, K) float32
    shares,  # r, (b,) float32
    M, stride_n, stride_k, stride_m,
    K: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    sample = tl.program_id(1).to(tl.int64)
    voxel = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    inside = voxel < M
    offset = sample * stride_n + voxel * stride_m
    label = tl.load(target + sample * M + voxel, mask=inside, other=-1)
    top, total = _softmax(logits + offset, stride_k, inside, K, BLOCK)
    r, of_loss = tl.load(shares + sample), tl.load(outer).to(tl.float32)
    inner = tl.zeros((BLOCK,), tl.float32)
    for k in tl.static_range(K):
        x = tl.load(logits + offset + k * stride_k, mask=inside, other=0).to(tl.float32)
        y = tl.exp(x - top) / total
        t = tl.where(label == k, 1.0, 0.0)
        inner += y * tl.load(slopes + sample * K + k) * (r * y - t)
    for k in tl.static_range(K):
        x = tl.load(logits + offset + k * stride_k, mask=inside, other=0).to(tl.float32)
        y = tl.exp(x - top) / total
        t = tl.where(label == k, 1.0, 0.0)
        slope = tl.load(slopes + sample * K + k) * (r * y - t)
        value = of_loss * y * (slope - inner)
        tl.store(gradient + offset + k * stride_k, value, mask=inside)


def losses(
    logits: Tensor, target: Tensor, power: int, absent: str, tiny: float
) -> tuple[Tensor, Tensor, Tensor]:
    """Each sample's loss and r, (b,) float32, and c (b, K) for a mean whose gradient is 1. The
    weights are 1 / area to that power, of absent classes as `losses.WeightedDiceLoss` says."""
    logits, steps = _laid(logits)
    samples, classes = logits.shape[:2]
    voxels = target[0].numel()
    blocks = triton.cdiv(voxels, BLOCK)
    sums = torch.empty(samples, blocks, classes, 3, device=logits.device)
    _sum[(blocks, samples)](logits, _whole(target), sums, voxels, *steps, K=classes, BLOCK=BLOCK)
    found, shares, slopes = (
        torch.empty(size, device=logits.device) for size in (samples, samples, (samples, classes))
    )
    _finish[(samples,)](
        sums, found, shares, slopes, blocks, POWER=power, ABSENT=absent, TINY=tiny,
        K=classes, LANES=triton.next_power_of_2(classes), CHUNK=CHUNK,
    )  # fmt: skip
    return found, shares, slopes


def gradient(
    logits: Tensor, target: Tensor, outer: Tensor, slopes: Tensor, shares: Tensor
) -> Tensor:
    """The gradient by the logits, in their type, from that by the loss (a number), c and r."""
    logits, steps = _laid(logits)
    samples, classes = logits.shape[:2]
    voxels, found = target[0].numel(), torch.empty_like(logits)
    _differentiate[(triton.cdiv(voxels, BLOCK), samples)](
        logits, _whole(target), found, outer, slopes, shares,
        voxels, *steps, K=classes, BLOCK=BLOCK,
    )  # fmt: skip
    return found


def _laid(logits: Tensor) -> tuple[Tensor, tuple[int, int, int]]:
    """Logits whose voxels lie one behind the other, and the steps of samples, classes, voxels."""
    samples, classes = logits.shape[:2]
    voxels = logits[0, 0].numel()
    if logits.is_contiguous():
        return logits, (classes * voxels, voxels, 1)
    if logits.movedim(1, -1).is_contiguous():
        return logits, (classes * voxels, 1, classes)
    return logits.contiguous(), (classes * voxels, voxels, 1)


def _whole(target: Tensor) -> Tensor:
    """Class indices, contiguous; true and false as 1 and 0."""
    return (target.view(torch.uint8) if target.dtype == torch.bool else target).contiguous()
