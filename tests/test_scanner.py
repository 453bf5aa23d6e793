"""Intensities of a whole batch at once, each effect against a plain version of one sequence."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.polynomial import legendre
from scipy import ndimage
from torch.nn import functional as F

from gliomakit._scanner import DEGREE, bend, blurred, coarsened, uneven
from gliomakit.patches import augment_intensity

shapes = st.tuples(*[st.integers(1, 9)] * 3)


def sequences(seed, m, shape):
    torch.manual_seed(seed)
    image = torch.randn(m, *shape, dtype=torch.float64)
    image[:, : shape[0] // 3] = 0
    return image


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 2**30), m=st.integers(1, 4), shape=shapes)
def test_gamma(seed, m, shape):
    image = sequences(seed, m, shape)
    exponent = torch.rand(m, dtype=torch.float64) + 0.5
    for i, got in enumerate(bend(image, image != 0, exponent)):
        brain = image[i][image[i] != 0]
        low, high = float(brain.min()), float(image[i].max())
        if high - low > 1e-3:
            share = np.clip((image[i].numpy() - low) / (high - low), 0, 1)
            expected = share ** float(exponent[i]) * (high - low) + low
            np.testing.assert_allclose(got.numpy(), expected, rtol=1e-9, atol=1e-9)


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 2**30), m=st.integers(1, 4), shape=shapes)
def test_blur_is_scipys(seed, m, shape):
    image = sequences(seed, m, shape)
    sigma = torch.rand(m, dtype=torch.float64) * 2
    sigma[0] = 0
    got = blurred(image, sigma)
    assert torch.equal(got[0], image[0])
    options = {"mode": "constant", "truncate": 40.0}
    for i in range(1, m):
        s = max(float(sigma[i]), 1e-3)
        above = ndimage.gaussian_filter(image[i].numpy(), s, **options)
        below = ndimage.gaussian_filter(np.ones(shape), s, **options)
        np.testing.assert_allclose(got[i].numpy(), above / below, atol=1e-8)


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 2**30), m=st.integers(1, 4), shape=shapes)
def test_larger_voxels_are_averaged_and_interpolated(seed, m, shape):
    image = sequences(seed, m, shape)
    factors = np.random.default_rng(seed).uniform(1, 4, m).tolist()
    got = coarsened(image, factors)
    for i, factor in enumerate(factors):
        fewer = [max(round(side / factor), 1) for side in shape]
        small = F.interpolate(image[i][None, None], size=fewer, mode="area")
        expected = F.interpolate(small, size=shape, mode="trilinear")[0, 0]
        torch.testing.assert_close(got[i], expected, rtol=1e-5, atol=1e-5)
    assert torch.allclose(coarsened(image, [1.0] * m), image)


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 2**30), m=st.integers(1, 4), shape=st.tuples(*[st.integers(2, 9)] * 3))
def test_uneven_sensitivity_is_a_polynomial(seed, m, shape):
    image = sequences(seed, m, shape)
    powers = torch.randn(m, *[DEGREE + 1] * 3, dtype=torch.float64) / 10
    got = uneven(image.clone(), powers)
    axes = [np.linspace(-1, 1, n) for n in shape]
    for i in range(m):
        field = np.exp(legendre.leggrid3d(*axes, powers[i].numpy()))
        np.testing.assert_allclose(got[i].numpy(), image[i].numpy() * field, rtol=1e-9, atol=1e-12)


def test_the_defaults_give_what_they_gave():
    # Sums of the version that changed one sequence after the other; saved runs rest on it.
    found = []
    for seed in range(4):
        rng = np.random.default_rng(seed)
        image = rng.standard_normal((2, 4, 16, 12, 8)).astype(np.float32)
        image[:, :, :3] = image[1, 2] = 0
        changed = augment_intensity(torch.from_numpy(image), seed=seed, step=seed + 1, share=0.5)
        found.append(round(float(changed.double().abs().sum()), 3))
    assert found == EXPECTED


EXPECTED = [7302.839, 7077.143, 6972.925, 8405.609]


@pytest.mark.parametrize("effect", [{"uneven_by": 0.2}, {"blur": 1.5}, {"coarse": 3.0}])
def test_an_effect_leaves_all_else_as_it_was(effect):
    def changed(**options):
        torch.manual_seed(0)
        image = torch.randn(3, 4, 12, 12, 12)
        image[:, :, :4] = 0
        return augment_intensity(image, seed=1, step=5, **options)

    plain, other = changed(), changed(**effect)
    assert torch.equal(plain == 0, other == 0)
    same = (plain == other).flatten(2).all(2)
    assert 0 < int((~same).sum()) < same.numel()
    assert torch.equal(changed(**effect), other)
    everything = changed(**effect, share=1.0)
    # A sigma far below a voxel changes no bit.
    assert (changed(share=1.0) == everything).flatten(2).all(2).sum() <= 1
