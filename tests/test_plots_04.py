"""Pictures of lesson 04: a network's account, and what a voxel sees."""

from __future__ import annotations

import numpy as np
import pytest
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from gliomakit import plots
from gliomakit.errors import GliomakitError
from gliomakit.unet import ClassicalUNet, UNet3d, table


def test_account_has_a_box_and_two_bars_for_each_layer():
    rows = table(UNet3d(base_filters=2), side=16)
    figure = plots.account(rows)
    u, parameters, work = figure.axes
    boxes = [p for p in u.patches if isinstance(p, Rectangle)]
    assert len(boxes) == len(parameters.patches) == len(work.patches) == 18
    layers = [row for row in rows if "norm" not in row.kind]
    assert [b.get_height() for b in work.patches] == [row.gmac for row in layers]
    assert [b.get_height() * 1e6 for b in parameters.patches] == pytest.approx(
        [row.parameters for row in layers]
    )
    assert len([p for p in u.patches if not isinstance(p, Rectangle)]) == 3  # skips
    assert "most parameters lie in de3_conv1" in figure.alt
    assert "most work in de1_conv1" in figure.alt
    sides = [t.get_text() for t in u.texts if "side" in t.get_text()]
    assert sides == ["side 2", "side 4", "side 8", "side 16"]


def test_account_draws_the_classical_network_too():
    figure = plots.account(table(ClassicalUNet(base_filters=2), side=32))
    assert len(figure.axes[1].patches) == 23


def test_account_wants_a_u_net():
    with pytest.raises(GliomakitError, match="rows of a U-Net"):
        plots.account(table(UNet3d(base_filters=1), side=16)[:0])


@pytest.fixture
def gradient():
    x = np.abs(np.arange(40) - 20)
    near = np.exp(-np.maximum.outer(x, x)[:, :, None] * np.ones(4) / 4)
    near[:5] = near[36:] = 0
    return near


def test_receptive_shows_box_patch_and_voxel(gradient):
    figure = plots.receptive(gradient, (20, 20, 2), [(5, 35), (5, 35)], patch=16)
    assert isinstance(figure, Figure)
    left, right = figure.axes
    box, patch = left.patches
    assert (box.get_x(), box.get_width()) == (4.5, 31)
    assert (patch.get_x(), patch.get_width()) == (11.5, 16)
    assert sorted(line.get_xdata()[0] for line in right.lines[1:]) == [4.5, 11.5, 27.5, 35.5]
    assert "not zero from 5 to 35; computed were 5 to 35" in figure.alt


def test_receptive_hides_what_is_small(gradient):
    shown = [
        np.isfinite(plots.receptive(gradient, (20, 20, 2), [(5, 35)] * 2, None, floor)
                    .axes[1].lines[0].get_ydata()).sum()
        for floor in (1e-5, 1e-1)
    ]  # fmt: skip
    assert shown[0] == 31 and shown[1] < 25


def test_receptive_draws_on_a_given_figure(gradient):
    given = plots.Picture()
    assert plots.receptive(gradient, (20, 20, 2), [(5, 35)] * 2, figure=given) is given
    with pytest.raises(GliomakitError, match="somewhere above 0"):
        plots.receptive(gradient * 0, (20, 20, 2), [(5, 35)] * 2)
