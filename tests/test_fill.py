"""Three ways to cut a batch of patches: the same bits from all of them."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from gliomakit import _fill
from gliomakit._fill import Stored, fill, pick_way, store
from gliomakit.errors import GliomakitError
from gliomakit.patches import PatchSampler, Plan
from tests.fill_check import differences, filled
from tests.interpreted import needs_triton, said
from tests.test_patches import _cut_reference, volume


@settings(max_examples=150, deadline=None)
@given(seed=st.integers(0, 2**40))
def test_views_and_plain_agree_bit_by_bit(seed):
    assert differences(seed, "views") == []


@needs_triton
@pytest.mark.parametrize("what, count", [("fill", 240), ("draw", 14)])
def test_the_kernels_agree_in_tritons_interpreter(what, count):
    assert said("tests.fill_check", what, "triton", count) == f"{what}, triton: {count} equal"


@pytest.mark.parametrize("turns", range(4))
@pytest.mark.parametrize("flip", range(8))
@pytest.mark.parametrize("way", ["plain", "views"])
def test_each_turn_and_flip_is_numpys(way, turns, flip):
    rng = np.random.default_rng(0)
    image = rng.random((4, 7, 9, 6), np.float32)
    label = rng.integers(0, 4, (7, 9, 6)).astype(np.uint8)
    axes = np.array([[flip & 1, flip & 2, flip & 4]], bool)
    for origin in ((1, 2, 0), (-2, 6, 3)):
        plan = Plan(np.zeros(1, int), np.array([origin]), np.array([turns]), axes, axes[:, 0])
        kept = [store(image, label)]
        got, code = filled(way, kept, plan, (5, 5, 4), torch.contiguous_format)
        at = (origin, (5, 5, 4), turns, axes[0])
        np.testing.assert_array_equal(got[0].numpy(), _cut_reference(image, *at))
        np.testing.assert_array_equal(code[0].numpy(), _cut_reference(label, *at))


def test_threads_write_the_same():
    case, before, batches = volume((40, 36, 40), tumour={(9, 9, 9): 2}), torch.get_num_threads(), []
    try:
        for number in (1, 3):  # 32³ voxels are enough for PyTorch to share them out
            torch.set_num_threads(number)
            batches.append(PatchSampler(case, 32, seed=3).batch(9))
    finally:
        torch.set_num_threads(before)
    one, three = batches
    assert torch.equal(one.image, three.image) and torch.equal(one.code, three.code)


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 2**30), size=st.floats(1e-6, 1e6))
def test_what_half_the_memory_costs(seed, size):
    rng = np.random.default_rng(seed)
    image = (size * rng.standard_normal((4, 3, 4, 5))).astype(np.float32)
    image[rng.random(image.shape) < 0.3] = 0
    image[1] = 0
    image[2, 0, 0, 0] = size * 1e-9  # not zero: brain
    kept = store(image, None, "int16")
    back = kept.image.float() * kept.scale[:, None, None, None]
    error = (back - torch.from_numpy(image)).abs().amax((1, 2, 3))
    # Half a step; a whole one where the rounding to 0 is forbidden; and float32's own rounding.
    assert (error <= 1.0001 * kept.scale).all() and kept.image.dtype == torch.int16
    plain = torch.from_numpy(image)
    scale = kept.scale[:, None, None, None]
    large = plain.abs() > scale
    # float32's own rounding of the product: 2⁻²⁴ of up to 32,767 steps.
    assert ((back - plain).abs() <= 0.503 * scale)[large].all()
    assert torch.equal(kept.image == 0, torch.from_numpy(image) == 0)
    half = store(image / size, None, "float16").image.float()
    assert torch.allclose(half, torch.from_numpy(image / size), rtol=2**-11, atol=2**-25)


@pytest.mark.parametrize("stored", ["int16", "float16", "float32"])
@pytest.mark.parametrize("way", ["plain", "views"])
def test_a_sampler_of_stored_volumes(stored, way):
    case = volume((9, 20, 11), tumour={(3, 3, 3): 1})
    exact = PatchSampler(case, 10, seed=2).batch(6, 3)
    batch = PatchSampler(case, 10, seed=2, stored=stored, way=way).batch(6, 3)
    error = {"int16": case.image.max() / 32767, "float16": case.image.max() / 2048, "float32": 0}
    assert batch.image.dtype == torch.float32
    assert float((batch.image - exact.image).abs().max()) <= error[stored]
    assert torch.equal(batch.code, exact.code)


def test_a_read_only_volume_is_cut_without_a_word():
    case = volume((6, 6, 6))
    case.image.flags.writeable = case.regions.flags.writeable = False
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        PatchSampler(case, 4).batch(2)
        PatchSampler(case, 4, stored="int16").batch(2)


def test_unknown_names_are_refused():
    with pytest.raises(GliomakitError, match="known are plain, views, triton"):
        PatchSampler(volume((6, 6, 6)), 4, way="fast")
    with pytest.raises(GliomakitError, match="known are float32, float16, int16"):
        store(np.zeros((4, 2, 2, 2), np.float32), None, "int8")


def test_without_triton_one_line_says_why(monkeypatch):
    monkeypatch.setattr(_fill, "triton_fault", lambda kind: "it is not installed")
    with pytest.warns(UserWarning, match="^patches are cut without Triton, slower: it is not"):
        assert pick_way(torch.device("cuda")) == "plain"
    assert pick_way(torch.device("cpu")) == "views"


def test_why_triton_cannot_be_used_is_said_in_a_line():
    _fill.triton_fault.cache_clear()
    reason = _fill.triton_fault("mps")
    assert reason == "it has no kernels for mps"
    # Here it is a processor's PyTorch that is asked for a GPU.
    if not torch.cuda.is_available():
        reason = _fill.triton_fault("cuda")
        assert reason and "\n" not in reason


def test_any_of_the_ways_takes_a_label_that_is_not_there():
    kept = [Stored(torch.ones(4, 3, 3, 3), None)]
    zero, origin = np.zeros(1, int), np.zeros((1, 3), int)
    plan = Plan(zero, origin, zero, origin > 0, zero > 0)
    for way in ("plain", "views"):
        image, code = torch.empty(1, 4, 3, 3, 3), torch.full((1, 3, 3, 3), 9, dtype=torch.uint8)
        fill(image, code, kept, plan, way)
        assert image.unique().tolist() == [1.0] and code.unique().tolist() == [0]
