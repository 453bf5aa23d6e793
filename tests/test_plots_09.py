"""The picture of lesson 09: methods on the same patients."""

import numpy as np
import pytest

from gliomakit import plots
from gliomakit._picture import Picture
from gliomakit.errors import GliomakitError
from gliomakit.metrics import bootstrap_interval

GROUPS = {
    "phantoms": {"flat": [0.2, 0.4, 0.9], "deep": [0.5, 0.6, 0.7]},
    "real": {"flat": [0.1, 0.3], "other": [0.8, 0.6]},
}


def test_each_patient_is_a_point_and_means_are_marked():
    figure = plots.compared(GROUPS)
    assert isinstance(figure, Picture) and len(figure.axes) == 2
    left, right = figure.axes
    assert [t.get_text() for t in left.get_yticklabels()] == ["flat", "deep", "other"]
    assert left.get_title() == "phantoms, n = 3" and right.get_title() == "real, n = 2"
    means = [float(line.get_xdata()[0]) for line in left.lines if line.get_marker() == "D"]
    assert means == pytest.approx([0.5, 0.6])
    points = [line for line in left.lines if line.get_marker() == "o"]
    assert [list(line.get_xdata()) for line in points] == [[0.2, 0.4, 0.9], [0.5, 0.6, 0.7]]
    bars = [list(line.get_xdata()) for line in left.lines if line.get_linewidth() == 4]
    assert bars[0] == pytest.approx(bootstrap_interval([0.2, 0.4, 0.9]))
    rows = {round(np.mean(line.get_ydata())) for line in right.lines}
    assert rows == {0, 2}, "a method that a group lacks leaves its row empty"
    assert "phantoms, flat: 0.50" in figure.alt and "real, other: 0.70" in figure.alt


def test_a_figure_is_drawn_anew_and_nothing_is_refused():
    figure = plots.compared(GROUPS)
    assert plots.compared({"one": {"a": [0.5]}}, figure=figure) is figure
    assert len(figure.axes) == 1
    for bad in ({}, {"a": {}}, {"a": {"b": []}}):
        with pytest.raises(GliomakitError, match="no scores"):
            plots.compared(bad)
