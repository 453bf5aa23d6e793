"""The loss without a one-hot reference: the plain one's value and gradient, in less memory."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from gliomakit.errors import GliomakitError
from gliomakit.losses import ABSENT, WEIGHTS, WeightedDiceLoss

ROOT = Path(__file__).resolve().parent.parent
LAYOUTS = (torch.contiguous_format, torch.channels_last_3d)


def patch(seed, batch, classes, sides, kind, dtype=torch.float64):
    """Logits and class indices; in some samples some classes are absent."""
    torch.manual_seed(seed)
    logits = 3 * torch.randn(batch, classes, *sides, dtype=dtype)
    target = torch.randint(classes, (batch, *sides))
    if kind == "empty":
        target.zero_()
    elif kind == "one absent":
        target[0][target[0] == 1] = 0
    return logits, target


def value_and_gradient(logits, target, layout, fused, weight, absent):
    leaf = logits.clone(memory_format=layout).requires_grad_()
    loss = WeightedDiceLoss(weight, absent, fused=fused)(leaf, target)
    loss.backward()
    return loss.detach(), leaf.grad


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 2**30),
    batch=st.integers(1, 3),
    classes=st.integers(2, 5),
    sides=st.tuples(*[st.integers(1, 6)] * 3),
    kind=st.sampled_from(["full", "empty", "one absent"]),
    layout=st.sampled_from(LAYOUTS),
    weight=st.sampled_from(sorted(WEIGHTS)),
    absent=st.sampled_from(ABSENT),
)
def test_value_and_gradient_are_autograds(
    seed, batch, classes, sides, kind, layout, weight, absent
):
    logits, target = patch(seed, batch, classes, sides, kind)
    loss, gradient = value_and_gradient(logits, target, layout, True, weight, absent)
    plain, expected = value_and_gradient(logits, target, layout, False, weight, absent)
    torch.testing.assert_close(loss, plain, rtol=1e-10, atol=1e-12)
    torch.testing.assert_close(gradient, expected, rtol=1e-8, atol=1e-12)


@pytest.mark.parametrize("absent", ABSENT)
@pytest.mark.parametrize("layout", LAYOUTS)
def test_the_gradient_is_that_of_the_value(absent, layout):
    logits, target = patch(0, 2, 3, (3, 2, 4), "one absent")
    logits = logits.contiguous(memory_format=layout).requires_grad_()
    loss = WeightedDiceLoss(absent=absent)
    assert torch.autograd.gradcheck(lambda x: loss(x, target), logits, atol=1e-7)
    assert torch.autograd.gradcheck(lambda x: 3 * loss(x, target) ** 2, logits, atol=1e-7)


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_types_and_layouts_come_back(dtype, layout):
    logits, target = patch(1, 2, 2, (8, 8, 8), "full", dtype)
    loss, gradient = value_and_gradient(logits, target, layout, True, "square", "skip")
    exact = logits.double()
    plain, expected = value_and_gradient(exact, target, layout, False, "square", "skip")
    assert loss.dtype == torch.float32 and gradient.dtype == dtype
    assert gradient.is_contiguous(memory_format=layout)
    assert loss.item() == pytest.approx(plain.item(), rel=1e-5)
    error = (gradient.double() - expected).norm() / expected.norm()
    assert error < {torch.float32: 1e-5}.get(dtype, 1e-2)


def test_wrong_references_are_refused():
    logits, target = patch(0, 1, 2, (2, 2, 2), "full")
    for wrong in (target + 2, target - 3, target.double(), target[:, :1]):
        with pytest.raises(GliomakitError):
            WeightedDiceLoss()(logits, wrong)


MEASURE = """
import sys, torch
from pathlib import Path
from gliomakit.losses import WeightedDiceLoss

def most():  # not getrusage, whose figure begins with the parent's
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(1024 * int(line.split()[1]) for line in lines if line.startswith("VmHWM"))

torch.manual_seed(0)
logits = torch.randn(4, 2, 96, 96, 96)
if sys.argv[2] == "last":
    logits = logits.contiguous(memory_format=torch.channels_last_3d)
logits.requires_grad_()
target = (torch.rand(4, 96, 96, 96) < 0.1).long()
small = torch.randn(1, 2, 4, 4, 4, requires_grad=True)
loss = WeightedDiceLoss(fused=sys.argv[1] == "fused")
loss(small, target[:1, :4, :4, :4]).backward()
before = most()
loss(logits, target).backward()
print((most() - before) / (logits.numel() * 4))
"""


def grown(kind, layout):
    """How far the process grew by loss and gradient, in times the logits' size."""
    run = subprocess.run(
        [sys.executable, "-c", MEASURE, kind, layout],
        env=os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    return float(run.stdout)


@pytest.mark.skipif(sys.platform != "linux", reason="reads Linux's /proc")
@pytest.mark.parametrize("layout", ["first", "last"])
def test_beside_softmax_and_gradient_there_is_little(layout):
    # Softmax and gradient, and three arrays of one class of one sample of four: 3/8 of the logits.
    # The comparison of the class indices made a bool a voxel more in the plain one.
    assert grown("fused", layout) < 2.6
    assert grown("plain", layout) > 3.5
