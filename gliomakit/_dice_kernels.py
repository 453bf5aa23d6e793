"""The weighted Dice loss in two Triton kernels, for GPUs: see `_fused_dice` for the formulas.

One kernel reads logits and target once and leaves the sums of each block of voxels; the other reads
them again and writes the gradient. The softmax is made anew in both, in the processor's registers,
so beside the gradient nothing is kept that is as large as the logits. Importing this needs Triton.
"""

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

BLOCK = 1024
"""Voxels of a program."""


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
def _differentiate(
    logits, target, gradient,  # as large as the logits, with the same strides
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
    r = tl.load(shares + sample)
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
        tl.store(gradient + offset + k * stride_k, y * (slope - inner), mask=inside)


def sums(logits: Tensor, target: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Σ T, Σ Y T and Σ Y² of each sample and class, (b, K) float32 each."""
    logits, steps = _laid(logits)
    samples, classes = logits.shape[:2]
    voxels = target[0].numel()
    blocks = triton.cdiv(voxels, BLOCK)
    parts = torch.empty(samples, blocks, classes, 3, device=logits.device)
    _sum[(blocks, samples)](logits, _whole(target), parts, voxels, *steps, K=classes, BLOCK=BLOCK)
    return parts.sum(1).unbind(-1)


def gradient(logits: Tensor, target: Tensor, slopes: Tensor, shares: Tensor) -> Tensor:
    """The gradient by the logits, in their type, from c (b, K) and r (b,)."""
    logits, steps = _laid(logits)
    samples, classes = logits.shape[:2]
    voxels, found = target[0].numel(), torch.empty_like(logits)
    _differentiate[(triton.cdiv(voxels, BLOCK), samples)](
        logits, _whole(target), found, slopes.contiguous(), shares.contiguous(),
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
