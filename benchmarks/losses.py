"""Weighted Dice, forward and backward: time, and the most memory a process needs for it."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator

import torch
from monai.losses import GeneralizedDiceLoss

from gliomakit.losses import WeightedDiceLoss

from .compare import Comparison, compare


def kinds():
    """Ours, ours by autograd, MONAI's."""
    monai = GeneralizedDiceLoss(softmax=True, to_onehot_y=True)
    return {
        "ours": WeightedDiceLoss(absent="largest"),
        "ours by autograd": WeightedDiceLoss(absent="largest", fused=False),
        "MONAI": lambda logits, target: monai(logits, target[:, None]),
    }


def given(side: int, batch: int = 8) -> tuple[torch.Tensor, torch.Tensor]:
    torch.manual_seed(0)
    target = (torch.rand(batch, *[side] * 3) < 0.1).long()
    return torch.randn(batch, 2, *[side] * 3, requires_grad=True), target


def both_ways(function, logits, target) -> torch.Tensor:
    logits.grad = None
    loss = function(logits, target)
    loss.backward()
    return loss.detach()


def rows(quick: bool = False) -> Iterator[Comparison]:
    logits, target = given(64)
    runs = {name: lambda f=f: both_ways(f, logits, target) for name, f in kinds().items()}
    assert torch.allclose(runs["ours"](), runs["ours by autograd"](), rtol=1e-5)
    softmax = torch.empty_like(logits)
    # The least there is to move: logits to softmax, softmax to gradient.
    bound = ("both copied", lambda: (softmax.copy_(logits.detach()), softmax.clone()))
    for peer, floor in (("ours by autograd", None), ("MONAI", 1)):
        name = "MONAI GeneralizedDiceLoss" if peer == "MONAI" else peer
        work = "weighted Dice and gradient, 8 × 2 × 64³"
        yield compare(work, runs["ours"], name, runs[peer], floor=floor, bound=bound)


def facts(quick: bool = False) -> Iterator[str]:
    """Peak memory, each in a process of its own, beside what it held with the logits made."""
    if sys.platform != "linux":
        yield "| peak memory of the loss | not measured: it is read from Linux's /proc | |"
        return
    found = {}
    for name in kinds():
        command = [sys.executable, "-m", "benchmarks.losses", name]
        run = subprocess.run(command, env=os.environ, capture_output=True, text=True, check=True)
        found[name] = float(run.stdout)
    for name, share in found.items():
        limit = f"{found['MONAI'] / 2:.1f} ×, half of MONAI's" if name == "ours" else ""
        yield f"| peak memory of the loss, {name} | {share:.1f} × the logits | {limit} |"


def _most() -> int:
    with open("/proc/self/status", encoding="ascii") as lines:
        return next(1024 * int(line.split()[1]) for line in lines if line.startswith("VmHWM"))


if __name__ == "__main__":
    loss = kinds()[sys.argv[1]]
    both_ways(loss, *given(4))
    logits, target = given(96, batch=4)
    before = _most()
    both_ways(loss, logits, target)
    print((_most() - before) / (4 * logits.numel()))
