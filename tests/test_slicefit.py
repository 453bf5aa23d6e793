"""Training on stacked slices: what is read, what is counted, that networks learn."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from gliomakit.errors import GliomakitError
from gliomakit.phantom.slices import write_slices
from gliomakit.slicefit import (
    BATCH,
    Stack,
    dimensions,
    fit_stacks,
    predict_stack,
    read_stack,
    slices_batch,
    stack_batch,
    training_gmac,
)
from gliomakit.slices import find_patients, read_patient
from gliomakit.unet import ClassicalUNet, UNet3d


def bright(n=9, side=16, large=32, seed=0):
    """A bright square on each slice but the first: anything learns it."""
    rng = np.random.default_rng(seed)
    images = rng.integers(20, 60, (n, side, side, 3)).astype(np.uint8)
    masks = np.zeros((n, side, side), bool)
    masks[1:, 4:9, 6:12] = True
    images[masks] = 230
    reference = masks.repeat(large // side, 1).repeat(large // side, 2)
    return Stack(images, masks, reference)


@pytest.fixture(scope="module")
def patient(tmp_path_factory):
    return find_patients(write_slices(tmp_path_factory.mktemp("slices"), [200], progress=False))[0]


def test_a_stack_is_read_by_means(patient):
    images, masks = read_patient(patient)
    stack = read_stack(patient, 64)
    assert stack.images.shape == (len(patient), 64, 64, 3) and stack.images.dtype == np.uint8
    block = images[5, 40:44, 80:84].reshape(-1, 3).mean(0)
    assert np.abs(stack.images[5, 10, 20] - block).max() <= 0.5
    assert np.array_equal(stack.reference, masks) and stack.masks.any()
    share = masks[:, 40:44, 80:84].mean((1, 2))
    assert np.array_equal(stack.masks[:, 10, 20], share >= 0.5)
    whole = read_stack(patient, 256)
    assert np.array_equal(whole.images, images) and np.array_equal(whole.masks, masks)


@pytest.mark.parametrize("side", [0, -64, 100, 512])
def test_a_side_that_does_not_divide_is_refused(patient, side):
    with pytest.raises(GliomakitError, match="by whole steps"):
        read_stack(patient, side)


def test_work_is_counted_as_by_hand():
    layer = nn.Conv2d(3, 5, 3, padding=1)
    forward = 9 * 3 * 5 * 16 * 16
    # Back: as much again for the weights; none for the image, which needs no gradient.
    assert training_gmac(layer, (1, 3, 16, 16)) == pytest.approx(2 * forward / 1e9)
    two = nn.Sequential(layer, nn.Conv2d(5, 2, 1))
    last = 5 * 2 * 16 * 16
    assert training_gmac(two, (1, 3, 16, 16)) == pytest.approx((2 * forward + 3 * last) / 1e9)
    layer.requires_grad_(False)
    assert training_gmac(two, (1, 3, 16, 16)) == pytest.approx((forward + 2 * last) / 1e9)


def test_counting_leaves_the_network_as_it_was():
    network = ClassicalUNet(3, 2, 2, norm="batch").train()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    training_gmac(network, (1, 3, 16, 16))
    assert network.training and all(p.grad is None for p in network.parameters())
    assert all(torch.equal(before[name], v) for name, v in network.state_dict().items())


@pytest.mark.parametrize("kind", ["flat", "deep"])
def test_networks_of_both_kinds_learn_and_are_repeatable(kind):
    torch.manual_seed(0)  # not where the tests are collected: their number would decide
    network = ClassicalUNet(3, 2, 8) if kind == "flat" else UNet3d(3, 2, 4, norm="instance")
    start = {name: value.clone() for name, value in network.state_dict().items()}
    stacks = {"a": bright(), "b": bright(n=12, seed=1)}
    shape = (1, 3, 16, 16) if dimensions(network) == 2 else (1, 3, 16, 16, 8)
    step = training_gmac(network, shape) * (BATCH if dimensions(network) == 2 else 1)
    found = []
    for _ in range(2):
        network.load_state_dict(start)
        done = fit_stacks(network, stacks, gmac=60 * step, seed=3, rate=3e-3)
        found.append((done.losses, predict_stack(network, stacks["a"])))
    assert done.steps == 60 and done.gmac_a_step == pytest.approx(step)
    assert found[0][0] == found[1][0] and np.array_equal(found[0][1], found[1][1])
    assert found[0][0][-1] < 0.3 * found[0][0][0]
    probability = found[0][1]
    reference = stacks["a"].reference
    assert probability.shape == reference.shape and probability.dtype == np.float32
    overlap = 2 * ((probability > 0.5) & reference).sum()
    assert overlap / ((probability > 0.5).sum() + reference.sum()) > 0.8


def test_a_small_purse_still_pays_for_a_step_and_nobody_is_refused(monkeypatch):
    network = ClassicalUNet(3, 2, 2)
    assert fit_stacks(network, {"a": bright()}, gmac=1e-9, seed=0).steps == 1
    monkeypatch.setenv("GLIOMAKIT_SMOKE", "1")
    assert fit_stacks(network, {"a": bright()}, gmac=1e9, seed=0).steps == 2
    with pytest.raises(GliomakitError, match="nobody"):
        fit_stacks(network, {}, gmac=1, seed=0)
    with pytest.raises(GliomakitError, match="no convolution"):
        dimensions(nn.Linear(2, 2))


@settings(max_examples=20, deadline=None)
@given(n=st.integers(1, 40), depth=st.sampled_from([8, 16, 32]), seed=st.integers(0, 99))
def test_a_block_of_neighbours_keeps_its_masks(n, depth, seed):
    stack = bright(n=n)
    image, mask = stack_batch(stack, depth, np.random.default_rng(seed))
    assert image.shape == (1, 3, 16, 16, depth) and mask.shape == (1, 16, 16, depth)
    # Wherever the mask says tumour the image is brighter than anywhere else.
    inside, outside = image[0, 0][mask[0] == 1], image[0, 0][mask[0] == 0]
    if len(inside):
        assert inside.min() > outside[outside != 0].max()
    assert not mask[..., n:].any() and not image[..., n:].any()


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 999))
def test_slices_are_mirrored_with_their_masks(seed):
    stacks = {"a": bright()}
    chosen = [("a", i) for i in (0, 3, 5, 8)]
    image, mask = slices_batch(stacks, chosen, np.random.default_rng(seed))
    assert image.shape == (4, 3, 16, 16) and mask.dtype == torch.int64
    assert not mask[0].any()
    for x, y in zip(image[1:], mask[1:], strict=True):
        assert x[0][y == 1].min() > x[0][y == 0].max()


def test_a_prediction_of_any_number_of_slices():
    deep, flat = UNet3d(3, 2, 2, norm="instance"), ClassicalUNet(3, 2, 2)
    for n in (1, 7, 8, 17):
        for network in (deep, flat):
            found = predict_stack(network, bright(n=n))
            assert found.shape == (n, 32, 32) and ((found >= 0) & (found <= 1)).all()
