"""The kernels of the weighted Dice loss against autograd, on random logits.

`test_losses.py` runs this as a program under Triton's interpreter, which must be chosen before
Triton is imported; on a GPU it can be run as it is.
"""

import sys

import torch

from gliomakit import _dice_kernels, _fused_dice
from gliomakit.losses import WeightedDiceLoss

LAYOUTS = torch.contiguous_format, torch.channels_last_3d
DEVICE = "cuda" if torch.cuda.is_available() else "cpu"


def difference(seed: int) -> float:
    """How far value and gradient lie apart, in the gradient's largest number."""
    draw = torch.Generator().manual_seed(seed)

    def whole(low: int, high: int) -> int:
        return int(torch.randint(low, high, (), generator=draw))

    b, classes, size = whole(1, 4), whole(2, 6), [whole(1, 15) for _ in range(3)]
    dtype = (torch.float32, torch.float16, torch.bfloat16)[seed % 3]
    logits = (3 * torch.randn(b, classes, *size, generator=draw)).to(DEVICE, dtype)
    target = torch.randint(classes, (b, *size), generator=draw).to(DEVICE)
    target[0] = 0
    if seed % 5 == 0:  # voxels that do not lie one behind the other
        logits, target = logits[..., ::2], target[..., ::2]
    if seed % 7 == 0:  # other whole numbers than int64
        target = target.to((torch.uint8, torch.int32)[seed % 2])
        target = target > 0 if classes == 2 else target
    weight = ("square", "simple", "uniform")[seed % 3]
    absent = ("skip", "largest", "paper")[seed // 3 % 3]
    found = []
    for fused in (True, False):
        x = logits.clone(memory_format=LAYOUTS[seed // 2 % 2]) if seed % 5 else logits.detach()
        x.requires_grad_().grad = None
        loss = WeightedDiceLoss(weight, absent=absent, fused=fused)(x, target)
        loss.backward()
        found.append((loss.detach().float(), x.grad.float().clone()))
        assert x.grad.dtype == dtype and loss.isfinite()
    (value, gradient), (expected, by_autograd) = found
    largest = max(float(by_autograd.abs().max()), 1e-6)
    of_type = 1 if dtype == torch.float32 else 1e-5 / torch.finfo(dtype).eps
    gap = float((gradient - by_autograd).abs().max()) / largest * of_type
    return max(float((value - expected).abs()) * of_type, gap)


if __name__ == "__main__":
    _fused_dice._kernels_for = lambda logits: _dice_kernels
    number = int(sys.argv[1])
    worst = max(difference(seed) for seed in range(number))
    assert worst < 1e-4, worst
    print(f"{number} losses equal")
