"""Pictures of lesson 05: what a loss asks of each voxel."""

from __future__ import annotations

import numpy as np
import pytest
from matplotlib.collections import LineCollection

from gliomakit import plots
from gliomakit._picture import Picture
from gliomakit.errors import GliomakitError

PROBABILITY = np.array([[0.1, 0.2, 0.9], [0.3, 0.8, 0.05]])
REFERENCE = np.array([[0, 0, 1], [0, 1, 0]], bool)
PULL = np.array([[-1e-3, 0, 5e-3], [0, 2e-3, -4e-3]])


def words(panel):
    return [t.get_text() for t in panel.texts]


def test_pulls_are_signed_and_numbered():
    figure = plots.gradients(PROBABILITY, {"one": PULL, "none": 0 * PULL}, REFERENCE)
    assert isinstance(figure, Picture) and len(figure.axes) == 3
    assert words(figure.axes[0]) == ["0.10", "0.20", "0.90", "0.30", "0.80", "0.05"]
    assert words(figure.axes[1]) == ["−1.0", "0", "+5.0", "0", "+2.0", "−4.0"]
    assert figure.axes[1].get_title() == "one\nlargest 5.0 × $10^{-3}$"
    assert figure.axes[2].get_title() == "none\nno pull at all"
    assert "2 × 3 voxels" in figure.alt and "one (largest 5.0e-03)" in figure.alt
    red, green, blue, _ = np.moveaxis(figure.axes[1].images[0].to_rgba(PULL / 1e-3), -1, 0)
    assert red[0, 2] > blue[0, 2] and blue[1, 2] > red[1, 2]  # orange toward, blue away
    assert max(red[0, 1], blue[0, 1]) < 0.2  # nothing is dark


def test_each_panel_has_its_own_scale_unless_they_share_one():
    pulls = {"strong": PULL, "weak": PULL * 1e-9}
    own = plots.gradients(PROBABILITY, pulls, REFERENCE)
    shared = plots.gradients(PROBABILITY, pulls, REFERENCE, common=True)

    def brightest(figure, panel):
        image = figure.axes[panel].images[0]
        return image.to_rgba(image.get_array())[..., :3].max()

    assert brightest(own, 2) == pytest.approx(brightest(own, 1))
    assert brightest(shared, 1) == pytest.approx(brightest(own, 1))
    assert brightest(shared, 2) < 0.2
    assert shared.axes[2].get_title() == "weak\nlargest 5.0 × $10^{-12}$"


def test_the_reference_is_outlined():
    figure = plots.gradients(PROBABILITY, {"one": PULL}, REFERENCE)
    for panel in figure.axes:
        lines = [c for c in panel.collections if isinstance(c, LineCollection)]
        assert [len(c.get_segments()) for c in lines] == [8, 8]  # four edges a voxel
    labels = [t.get_text() for t in figure.legends[0].get_texts()]
    assert labels[-1] == "reference"
    empty = plots.gradients(PROBABILITY, {"one": PULL}, np.zeros_like(REFERENCE))
    assert len(empty.legends[0].get_texts()) == 2


def test_large_grids_have_no_numbers_and_a_figure_is_drawn_on():
    large = np.linspace(0, 1, 144).reshape(12, 12)
    figure = plots.gradients(PROBABILITY, {"one": PULL}, REFERENCE)
    assert plots.gradients(large, {"one": large - 0.5}, large > 0.5, figure=figure) is figure
    assert all(not panel.texts for panel in figure.axes)
    assert figure.png()[:4] == b"\x89PNG"


def test_what_cannot_be_drawn():
    with pytest.raises(GliomakitError, match="no gradient"):
        plots.gradients(PROBABILITY, {}, REFERENCE)
    with pytest.raises(GliomakitError, match=r"one has the shape \(3, 2\)"):
        plots.gradients(PROBABILITY, {"one": PULL.T}, REFERENCE)
    with pytest.raises(GliomakitError, match="one slice"):
        plots.gradients(PROBABILITY[None], {"one": PULL[None]}, REFERENCE[None])
