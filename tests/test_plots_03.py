"""The pictures of lesson 03: patches where they lie, patches themselves, windows blended."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from gliomakit import plots
from gliomakit._windowing import EMPTY, FULL
from gliomakit.errors import GliomakitError
from gliomakit.patches import Patch


@pytest.fixture
def prepared():
    """A box of a brain, 20 × 24 × 10 voxels of 1 × 2 × 3 mm, with a tumour at its right front."""
    image = np.zeros((4, 20, 24, 10), np.float32)
    image[:, 1:19, 1:23, 1:9] = np.random.default_rng(0).normal(size=(4, 18, 22, 8))
    code = np.zeros(image.shape[1:], np.uint8)
    code[13:17, 15:20, 4:7] = 1
    code[14:16, 16:19, 5] = 3
    return SimpleNamespace(name="box", image=image, regions=code, spacing=(1.0, 2.0, 3.0))


def boxes(panel):
    return [p for p in panel.patches if isinstance(p, Rectangle)]


def test_positions_show_the_patches_that_cross_the_slice(prepared):
    origins = {"anywhere": np.array([[0, 0, 0], [12, 14, 2], [0, 0, 6]]), "none": np.zeros((0, 3))}
    figure = plots.positions(prepared, origins, size=4, slice=5)
    assert [a.get_title() for a in figure.axes] == ["anywhere", "none"]
    (shown,) = boxes(figure.axes[0])  # the first ends at slice 3, the last begins at 6
    assert to_hex(shown.get_edgecolor(), keep_alpha=False) == FULL.lower()
    # x = 12 to 15 of 20 lies 4 to 8 mm from the patient's right, y = 14 to 17 of 24 in front.
    assert (shown.get_xy(), shown.get_width(), shown.get_height()) == ((4.0, 12.0), 4.0, 8.0)
    assert "slice 5 of box" in figure.alt and "1 of 1 with tumour" in figure.alt


def test_a_patch_without_tumour_is_grey_and_dotted(prepared):
    figure = plots.positions(prepared, {"one": np.array([[0, 0, 4]])}, size=4)
    (shown,) = boxes(figure.axes[0])
    assert to_hex(shown.get_edgecolor(), keep_alpha=False) == EMPTY and shown.get_linestyle() == ":"
    assert "0 of 1 with tumour" in figure.alt


def patch(code, level=1.0):
    image = torch.full((4, 8, 8, 8), level)
    image[:, :2] = 0
    return Patch(image, torch.as_tensor(code), 0, (0, 0, 0))


def test_patches_share_one_grey_scale_and_carry_their_outlines():
    code = np.zeros((8, 8, 8), np.uint8)
    code[3:6, 3:6, 2] = 1
    drawn = [patch(code, 1.0), patch(np.zeros_like(code), 2.0)]
    figure = plots.patches(drawn, ["one", "other"])
    assert [a.get_title() for a in figure.axes] == ["one", "other"]
    assert len({a.images[0].get_clim() for a in figure.axes}) == 1
    assert [bool(a.collections) for a in figure.axes] == [True, False]
    means = [float(np.max(a.images[0].get_array())) for a in figure.axes]
    assert means == pytest.approx([1.0, 2.0])
    assert "2 patches" in figure.alt and "1 of them with tumour" in figure.alt
    assert "one, other" in figure.alt
    assert len(plots.patches(drawn * 3, columns=2).axes) == 6


def test_blending_shows_shares_that_add_up_to_one():
    figure = plots.blending((21, 30), size=8, overlap=0.5)
    one, curves, plane = figure.axes[:3]
    assert one.images[0].get_array().shape == (8, 8)
    assert plane.images[0].get_array().shape == (30, 21)
    *shares, total = [np.asarray(line.get_ydata(), float) for line in curves.lines]
    assert len(shares) == 5 and total == pytest.approx(np.ones(21))
    assert np.nansum(shares, axis=0) == pytest.approx(np.ones(21))
    assert len(boxes(plane)) == 5 * 7
    assert "add up to 1" in figure.alt and "35 windows" in figure.alt


@pytest.mark.parametrize("overlap", [0.0, 0.25, 0.75])
def test_blending_of_other_overlaps_and_of_a_short_axis(overlap):
    for shape in ((21, 30), (5, 30)):
        *_, total = plots.blending(shape, size=8, overlap=overlap).axes[1].lines
        assert total.get_ydata() == pytest.approx(np.ones(shape[0]))


def test_a_given_figure_is_drawn_on(prepared):
    code = np.zeros((8, 8, 8), np.uint8)
    figure = Figure()
    assert plots.positions(prepared, {"one": np.array([[0, 0, 4]])}, 4, figure=figure) is figure
    assert plots.patches([patch(code)], figure=figure) is figure and len(figure.axes) == 1
    assert plots.blending((9, 9), 4, figure=figure) is figure


def test_bad_input_is_explained(prepared):
    with pytest.raises(GliomakitError, match="a case with a label"):
        plots.positions(prepared, {})
    prepared.regions = None
    with pytest.raises(GliomakitError, match="a case with a label"):
        plots.positions(prepared, {"one": np.array([[0, 0, 4]])})
    with pytest.raises(GliomakitError, match="no picture"):
        plots.patches([])
    with pytest.raises(GliomakitError, match="1 patches and 2 titles"):
        plots.patches([patch(np.zeros((8, 8, 8), np.uint8))], ["one", "two"])
