"""Pictures of lesson 12: published figures, drawn so that they are not taken for more."""

from __future__ import annotations

import pytest
from matplotlib.figure import Figure

from gliomakit import plots
from gliomakit._picture import Picture
from gliomakit.course.pictures import read_the_papers
from gliomakit.errors import GliomakitError

GROUPS = {"set of 2013": {"A": (0.94, 0.94), "B": (0.81, 0.84)}, "set of 2019": {"C": (0.9, 0.9)}}


def names(panel):
    return [text.get_text() for text in panel.get_yticklabels()]


def test_ranges_keep_data_sets_apart_and_sort_nothing():
    figure = plots.ranges(GROUPS, computed=["C"])
    assert isinstance(figure, Picture)
    (panel,) = figure.axes
    assert names(panel) == ["A", "B", "C"]
    assert [t.get_text() for t in panel.texts] == list(GROUPS)
    marks = [line for line in panel.lines if line.get_marker() == "o"]
    assert [tuple(line.get_xdata()) for line in marks] == [(0.94, 0.94), (0.81, 0.84), (0.9, 0.9)]
    hollow = [line.get_markerfacecolor() != line.get_color() for line in marks]
    assert hollow == [False, False, True]
    assert len({line.get_color() for line in marks}) == 2
    rows = [line.get_ydata()[0] for line in marks]
    assert rows == sorted(rows) and len(panel.patches) == 2
    assert "2 fields" in figure.alt and "B 0.81 to 0.84" in figure.alt


def test_undone_shows_both_and_how_far_rounding_goes():
    printed, own = {"x": [0.03, 28.0, 3.0]}, {"x": [0.03, 30.0, 0.1]}
    figure = plots.undone(printed, own, {"x": 0.2})
    (panel,) = figure.axes
    assert panel.get_yscale() == "log" and panel.get_title() == "x"
    assert list(panel.lines[0].get_ydata()) == printed["x"]
    assert list(panel.containers[0].lines[0].get_ydata()) == own["x"]
    (bars,) = panel.containers[0].lines[2]
    low, high = bars.get_segments()[2][:, 1]
    assert 0 < low < 0.1 and high == pytest.approx(0.3)  # an axis of logarithms has no 0
    assert [t.get_text() for t in figure.legends[0].get_texts()] == [
        "as printed",
        "the epoch's own",
    ]
    assert "own 0.03, 30, 0.1" in figure.alt
    below = plots.undone({"x": [1.0, 0.1]}, {"x": [1.0, -0.02]}, {"x": 0.01})
    assert min(below.axes[0].containers[0].lines[0].get_ydata()) > 0
    assert len(plots.undone(printed | {"y": [1.0]}, own | {"y": [1.0]}, {"x": 0, "y": 0}).axes) == 2


def test_scores_are_bars_by_group_and_ranges_have_a_line():
    figure = plots.scores({"dull": {"nothing": 0.668}, "said": {"paper": (0.6, 1.0)}})
    (panel,) = figure.axes
    assert [bar.get_width() for bar in panel.patches] == [0.668, 0.6]
    assert [t.get_text() for t in panel.texts] == ["0.668", "0.600 to 1.000"]
    assert [t.get_text() for t in figure.legends[0].get_texts()] == [
        "dull",
        "said",
        "may be as high as",
    ]
    assert names(panel) == ["nothing", "paper"] and "paper 0.600 to 1.000" in figure.alt
    plain = plots.scores({"dull": {"nothing": 0.668}})
    assert len(plain.legends[0].get_texts()) == 1


def test_a_given_figure_is_drawn_on():
    figure = Figure()
    assert plots.ranges(GROUPS, figure=figure) is figure
    assert plots.undone({"x": [1.0]}, {"x": [1.0]}, {"x": 0.1}, figure=figure) is figure
    assert plots.scores({"a": {"b": 1.0}}, figure=figure) is figure and len(figure.axes) == 1


def test_what_cannot_be_drawn():
    with pytest.raises(GliomakitError, match="no result"):
        plots.ranges({"empty": {}})
    with pytest.raises(GliomakitError, match="no result"):
        plots.scores({})
    with pytest.raises(GliomakitError, match="same sources"):
        plots.undone({"x": [1.0]}, {"y": [1.0]}, {"x": 0.1})


def test_the_title_picture_says_what_it_shows():
    figure = read_the_papers()
    assert "predict nothing 0.668" in figure.alt and "0.855" in figure.alt
    assert "text 0.608 to 1.000" in figure.alt and figure.png()[:4] == b"\x89PNG"
