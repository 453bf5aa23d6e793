"""Counts and distances of tensors: what `metrics` says of the same arrays."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from gliomakit import metrics, tensor_metrics
from gliomakit.errors import GliomakitError
from tests.interpreted import needs_triton, said


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 2**30),
    shape=st.tuples(*[st.integers(1, 8)] * 3),
    batch=st.integers(0, 3),
    share=st.sampled_from([0.0, 0.02, 0.3, 1.0]),
)
def test_counts_and_distances_are_those_of_arrays(seed, shape, batch, share):
    rng = np.random.default_rng(seed)
    values = np.array([0, 1, 2, 4])
    pred, ref = (
        values[rng.integers(0, 4, (batch, *shape)) * (rng.random((batch, *shape)) < share)]
        for _ in range(2)
    )
    a, b = torch.from_numpy(pred), torch.from_numpy(ref).to(torch.uint8)
    expected = [metrics.region_counts(p, "brats2017", r, "brats2017") for p, r in zip(pred, ref)]
    assert tensor_metrics.region_counts(a, "brats2017", b, "brats2017") == expected
    spacing = (1.0, 0.5, 2.5)
    expected = [metrics.hd95(p > 0, r > 0, spacing) for p, r in zip(pred, ref)]
    np.testing.assert_allclose(tensor_metrics.hd95(a > 0, b > 0, spacing), expected, rtol=1e-6)


@needs_triton
def test_the_kernel_counts_alike_in_tritons_interpreter():
    assert said("tests.count_check", 40) == "40 counts equal"


def test_large_masks_are_compared_in_parts(monkeypatch):
    a = torch.zeros(1, 30, 30, 30, dtype=torch.bool)
    a[0, 3:20, 5:22, 4:25] = True
    b = a.roll((3, 0, 1), (1, 2, 3))
    whole = tensor_metrics.hd95(a, b, 1)
    monkeypatch.setattr(tensor_metrics, "PAIRS", 5000)
    assert tensor_metrics.hd95(a, b, 1) == whole
    assert whole == pytest.approx([metrics.hd95(a[0].numpy(), b[0].numpy(), 1)])


def test_what_does_not_belong_together_is_refused():
    label = torch.zeros(1, 3, 3, 3, dtype=torch.long)
    with pytest.raises(GliomakitError, match="shape"):
        tensor_metrics.region_counts(label, "msd", label[:, :2], "msd")
    with pytest.raises(GliomakitError, match="whole numbers"):
        tensor_metrics.region_counts(label.float(), "msd", label, "msd")
    for wrong in (4, 17, -1):
        with pytest.raises(GliomakitError):
            tensor_metrics.region_counts(label + wrong, "msd", label, "msd")
    with pytest.raises(GliomakitError, match="bool"):
        tensor_metrics.hd95(label, label, 1)
