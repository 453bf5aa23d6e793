"""Pictures of lesson 07: scores of many cases, surfaces, uncertainty."""

from __future__ import annotations

import sys

import numpy as np
import pytest
from matplotlib.collections import PathCollection, PolyCollection

from gliomakit import plots
from gliomakit._angles import _ends, surface
from gliomakit._picture import Picture
from gliomakit.cases import Case, Grid
from gliomakit.errors import GliomakitError
from gliomakit.regions import SEQUENCES

SCORES = {
    "Dice": {"wt": [0.9, 0.8, 0.95, float("nan")], "et": [0.1, 0.2, 0.3, 0.4]},
    "HD95, mm": {"wt": [3, 4, 5, 60.0]},
}


def ball(shape=(30, 30, 30), centre=(15, 15, 15), radius=8):
    grid = np.indices(shape) - np.reshape(centre, (3, 1, 1, 1))
    return (grid**2).sum(0) <= radius**2


REGIONS = np.stack([ball(radius=8), ball(radius=5), ball(radius=3)])


# ---- box plot --------------------------------------------------------------------------------


def test_every_case_is_a_point_and_measures_have_their_axis():
    figure = plots.box_plot(SCORES, {"Dice": {"wt": (0.8, 0.95)}})
    assert isinstance(figure, Picture)
    dice, distance = figure.axes
    points = [c.get_offsets()[:, 1] for c in dice.collections if isinstance(c, PathCollection)]
    assert [sorted(p) for p in points[::2]] == [[0.8, 0.9, 0.95], [0.1, 0.2, 0.3, 0.4]]
    assert points[1][0] == pytest.approx(np.mean([0.9, 0.8, 0.95]))  # the diamond
    assert dice.get_ylim() == (0, 1.02) and distance.get_ylim()[1] > 60
    assert [t.get_text() for t in dice.get_xticklabels()] == ["WT\nn = 3", "ET\nn = 4"]
    assert "Dice WT median 0.9" in figure.alt
    bars = [line for line in dice.lines if list(line.get_ydata()) == [0.8, 0.95]]
    assert len(bars) == 1


def test_the_same_scores_give_the_same_picture():
    assert plots.box_plot(SCORES).png() == plots.box_plot(SCORES).png()


def test_boxes_without_values_and_on_a_given_figure():
    figure = plots.box_plot(SCORES)
    again = plots.box_plot({"Dice": {"wt": [float("nan")]}}, figure=figure)
    assert again is figure and "nothing to show" in figure.alt
    for nothing in ({}, {"Dice": {}}):
        with pytest.raises(GliomakitError, match="no scores"):
            plots.box_plot(nothing)


# ---- angles ----------------------------------------------------------------------------------


def test_a_surface_lies_where_its_mask_lies():
    for spacing, mm in (((1, 1, 1), 1.0), ((1, 1, 1), 2.0), ((2, 1, 3), 2.0)):
        triangles, normals = surface(REGIONS[0], spacing, mm)
        middle = triangles.reshape(-1, 3).mean(0)
        assert np.allclose(middle, 15.5 * np.array(spacing), atol=0.8 * max(spacing))
        outward = ((triangles.mean(1) - middle) * normals).sum(1)
        assert (outward > 0).mean() > 0.97
        wide = np.ptp(triangles.reshape(-1, 3), axis=0)
        assert np.allclose(wide, 17 * np.array(spacing), atol=2.5 * max(spacing))


def test_no_voxel_is_lost_and_nothing_has_no_surface():
    lone = np.zeros((9, 9, 9), bool)
    lone[4, 4, 4] = lone[0, 0, 0] = True
    triangles, _ = surface(lone, (2, 2, 2), 2.0)
    near = [np.abs(triangles.mean(1) - at).max(1).min() for at in ((9, 9, 9), (1, 1, 1))]
    assert max(near) < 1.5
    assert surface(np.zeros((4, 4, 4), bool), (1, 1, 1), 2.0) is None
    assert _ends([None]).shape == (2, 3)


def test_rows_are_versions_and_columns_are_views():
    named = {"reference": REGIONS, "prediction": np.roll(REGIONS, 2, 1)}
    figure = plots.angles(named, (2, 2, 2), brain=ball(radius=13))
    assert isinstance(figure, Picture) and len(figure.axes) == 6
    assert [p.get_title() for p in figure.axes[:3]] == ["from the front", "from the right",
                                                        "from above"]  # fmt: skip
    counts = [sum(isinstance(c, PolyCollection) for c in p.collections) for p in figure.axes]
    assert counts == [4] * 6  # brain and three regions
    assert "reference, prediction" in figure.alt
    assert plots.angles({"one": REGIONS}, (2, 2, 2), views=("from above",), figure=figure) is figure
    assert len(figure.axes) == 1


def test_the_patients_right_is_on_the_left_when_seen_from_the_front():
    regions = np.stack([ball(centre=(24, 15, 15), radius=4)] * 3)  # far to the patient's right
    figure = plots.angles(
        {"one": regions}, (1, 1, 1), brain=ball(radius=14), views=("from the front", "from above")
    )
    front, above = figure.axes

    def middle(panel):
        paths = panel.collections[-1].get_paths()
        return np.mean([p.vertices[:3].mean(0) for p in paths], axis=0)[0] - np.mean(
            panel.get_xlim()
        )

    assert middle(front) < -3 and middle(above) > 3


def test_empty_regions_are_drawn_as_nothing():
    figure = plots.angles({"none": np.zeros_like(REGIONS)}, (1, 1, 1))
    assert all(not panel.collections for panel in figure.axes)


def test_what_has_no_surface(monkeypatch):
    with pytest.raises(GliomakitError, match="no label"):
        plots.angles({}, (1, 1, 1))
    with pytest.raises(GliomakitError, match="WT, TC and ET"):
        plots.angles({"one": REGIONS, "two": REGIONS[:, 1:]}, (1, 1, 1))
    with pytest.raises(GliomakitError, match="from the front"):
        plots.angles({"one": REGIONS}, (1, 1, 1), views=("from below",))
    monkeypatch.setitem(sys.modules, "skimage.measure", None)
    with pytest.raises(GliomakitError, match="pip install scikit-image"):
        plots.angles({"one": REGIONS}, (1, 1, 1))


# ---- uncertainty -----------------------------------------------------------------------------


def case():
    image = np.random.default_rng(0).uniform(1, 2, (4, 30, 30, 30)).astype(np.float32)
    image[:, ~ball(radius=14)] = 0
    return Case("one", image, SEQUENCES, np.eye(4), Grid((30, 30, 30), np.eye(4)))


def test_unsure_beside_wrong():
    reference, predicted = REGIONS[0], np.roll(REGIONS[0], 3, 0)
    unsure = (reference != predicted).astype(float)
    figure = plots.uncertainty(case(), unsure, predicted, reference)
    assert isinstance(figure, Picture)
    assert [p.get_title() for p in figure.axes[:3]] == ["FLAIR", "entropy, bits", "right and wrong"]
    assert len(figure.axes[2].images) == 4  # the image, found, missed, false alarm
    assert "false alarm" in figure.alt and "slice 15" in figure.alt
    assert plots.uncertainty(case(), unsure, predicted, reference, figure=figure) is figure
    with pytest.raises(GliomakitError, match="does not fit one"):
        plots.uncertainty(case(), unsure[1:], predicted, reference)
