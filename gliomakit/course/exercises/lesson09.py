"""Checkers of lesson 09, *Classical or Dynamic?*"""

from __future__ import annotations

import numpy as np

from ._core import Answer, checker
from ._expect import Hint, close, number, tensor

# ---- 09.block --------------------------------------------------------------------------------


@checker(
    "09.block",
    call="double(entering, leaving)",
    praise="two convolutions that keep the side, each with a ReLU behind it",
)
def block(answer: Answer) -> None:
    """`double(entering, leaving)`: a module of two padded 3 × 3 convolutions with ReLUs."""
    import torch
    from torch import nn

    made = answer(5, 7)
    if made is None:
        raise Hint("your function returns nothing: return the module")
    if isinstance(made, type) or not isinstance(made, nn.Module):
        raise Hint(f"your function returns {type(made).__name__}; a torch module is wanted")
    layers = [m for m in made.modules() if isinstance(m, nn.Conv2d)]
    if len(layers) != 2:
        raise Hint(f"{len(layers)} two-dimensional convolutions stand in your module, not two")
    order: list[nn.Module] = []  # as they run: a module may define them in another order
    hooks = [layer.register_forward_hook(lambda m, i, o: order.append(m)) for layer in layers]
    try:
        made(torch.zeros(1, 5, 16, 16))
    except RuntimeError:
        order = layers  # channels that do not fit: the hints below say how
    for hook in hooks:
        hook.remove()
    if sorted(map(id, order)) != sorted(map(id, layers)):
        raise Hint("each of the two convolutions is used once; yours are not")
    layers = order
    for layer in layers:
        if tuple(layer.dilation) != (1, 1) or tuple(layer.stride) != (1, 1):
            raise Hint("plain convolutions are wanted, without stride or dilation")
        if tuple(layer.kernel_size) != (3, 3):
            raise Hint(f"a kernel is {tuple(layer.kernel_size)}; 3 × 3 is wanted")
    channels = [(layer.in_channels, layer.out_channels) for layer in layers]
    if channels[0] == (5, 5):
        raise Hint("the first convolution changes the channels already: from 5 to 7")
    if channels[1] == (5, 7) or channels[0] == (7, 7):
        raise Hint("is the order right? The first convolution takes what enters")
    if channels != [(5, 7), (7, 7)]:
        raise Hint(f"channels go {channels}; wanted is from 5 to 7, then from 7 to 7")
    if any(layer.bias is None for layer in layers):
        raise Hint("the convolutions have no bias; the original's have one")
    torch.manual_seed(0)
    image = 100 * torch.randn(2, 5, 8, 12)  # large, so that a clipped ReLU shows
    found = made(image)
    if isinstance(found, torch.Tensor) and found.shape[2:] in ((4, 8), (6, 10)):
        raise Hint("the sides shrink: padding=1 is missing in a convolution")
    found = tensor(found, (2, 7, 8, 12)).detach()
    if (found < 0).any():
        raise Hint("numbers below 0 come out: a ReLU is missing behind the second convolution")
    with torch.no_grad():
        plain = layers[1](layers[0](image)).relu()
        right = layers[1](layers[0](image).relu()).relu()
    if not torch.equal(plain, right) and torch.allclose(found, plain, atol=1e-3):
        raise Hint("a ReLU is missing between the convolutions: without it they are as one")
    if not torch.allclose(found, right, atol=1e-3):
        raise Hint("something else than convolution, ReLU, convolution, ReLU is computed")


# ---- 09.macs ---------------------------------------------------------------------------------


@checker(
    "09.macs",
    call="multiply_adds(kernel, entering, leaving, rows, columns)",
    praise="the kernel's weights, once for each pixel that comes out",
)
def macs(answer: Answer) -> None:
    """`multiply_adds(kernel, entering, leaving, rows, columns)`: of one 2-D convolution."""
    k, a, b, rows, columns = 3, 5, 7, 16, 24
    right = k**2 * a * b * rows * columns
    close(
        number(answer(k, a, b, rows, columns)),
        right,
        mistakes=[
            (k**2 * a * b, "that is the number of weights: each is used at every pixel"),
            (k**2 * a * b + b, "that is the number of parameters: each is used at every pixel"),
            (2 * right, "a multiplication and its addition count as one"),
            (k**3 * a * b * rows * columns, "the kernel is flat here: kernel × kernel"),
            (k * a * b * rows * columns, "the kernel has kernel × kernel weights a channel"),
            (k**2 * b * rows * columns, "each channel that leaves looks at all that enter"),
            (k**2 * a * rows * columns, "each channel that leaves has weights of its own"),
            (a * b * rows * columns, "the kernel is missing"),
            (k**2 * a * b * rows**2, "rows and columns may differ"),
            (k**2 * (a + b) * rows * columns, "channels in and out are multiplied"),
            ((k**2 * a * b + b) * rows * columns, "the bias is no multiplication: leave it out"),
            (right / 1e9, "leave it in multiply-adds here; we turn it into billions later"),
        ],
        rtol=0,
        what="for a kernel of 3, 5 channels in, 7 out and 16 × 24 pixels the multiply-adds",
    )
    close(number(answer(1, 64, 2, 10, 10)), 12800, rtol=0, what="of a 1 × 1 convolution, 64 to 2,")


# ---- 09.paired -------------------------------------------------------------------------------

FIRST = {"anna": 0.90, "bela": 0.50, "cara": 0.70, "dora": 0.20}
SECOND = {"cara": 0.60, "dora": 0.55, "anna": 0.70, "bela": 0.45}
"""The same patients in another order."""


@checker(
    "09.paired",
    call="differences(first, second)",
    praise="each patient is compared with itself, whatever the order",
)
def paired(answer: Answer) -> None:
    """`differences(first, second)`: patient by patient, the first score less the second."""
    found = answer(dict(FIRST), dict(SECOND))
    if isinstance(found, dict):
        raise Hint("a dict comes back; a list of the differences is wanted")
    if found is None or isinstance(found, (str, bytes)) or not hasattr(found, "__len__"):
        raise Hint(f"your function returns {type(found).__name__}; a list of numbers is wanted")
    if not isinstance(found, (list, tuple)) and not hasattr(found, "dtype"):
        raise Hint(f"your function returns {type(found).__name__}; a list of numbers is wanted")
    if len(found) != len(FIRST):
        raise Hint(f"{len(found)} values come back for {len(FIRST)} patients")
    values = np.sort([number(one) for one in found])
    right = np.sort([FIRST[name] - SECOND[name] for name in FIRST])
    by_place = np.sort(np.subtract(list(FIRST.values()), list(SECOND.values())))
    by_score = np.sort(np.sort(list(FIRST.values())) - np.sort(list(SECOND.values())))
    mistakes = [
        (by_place, "the dicts have another order: take each patient's two scores by name"),
        (by_score, "scores were sorted: then different patients stand beside one another"),
        (-right[::-1], "the other way about: the first less the second"),
        (np.abs(right), "the sign is lost: which of the two is better?"),
    ]
    for wrong, hint in mistakes:
        if np.allclose(values, np.sort(wrong)) and not np.allclose(wrong, right):
            raise Hint(hint)
    if not np.allclose(values, right):
        raise Hint("the differences are not those of the patients' two scores")
