"""Pictures of lesson 02: boxes, histograms, fields, versions of a label."""

from __future__ import annotations

import sys

import numpy as np
import pytest
from matplotlib.patches import Rectangle

from gliomakit import plots
from gliomakit._picture import Picture
from gliomakit.cases import Case, Grid
from gliomakit.course.widgets import slide
from gliomakit.course.worked import crop_box
from gliomakit.errors import GliomakitError
from gliomakit.preprocess import brain_mask
from gliomakit.regions import SEQUENCES


@pytest.fixture
def case() -> Case:
    """A box of a brain with a tumour, largest in slice 5; voxels of 1 × 2 × 3 mm."""
    draw = np.random.default_rng(0)
    image = np.zeros((4, 24, 30, 9), np.float32)
    image[:, 4:20, 5:27, 1:8] = draw.uniform(50, 100, (4, 16, 22, 7))
    label = np.zeros(image.shape[1:], np.uint8)
    label[12:18, 18:25, 3:7] = 1
    label[11:18, 17:25, 5] = 1
    label[14:16, 20:23, 5] = 3
    affine = np.diag([1.0, 2.0, 3.0, 1.0])
    return Case("box", image, SEQUENCES, affine, Grid(label.shape, affine), label, "msd")


def drawn(panel) -> list[tuple[float, ...]]:
    found = [p for p in panel.patches if isinstance(p, Rectangle)]
    return [(*p.get_xy(), p.get_width(), p.get_height()) for p in found]


def test_boxes_lie_where_the_index_says(case):
    brain = crop_box(brain_mask(case.image), case.spacing)
    figure = plots.boxes(case, {"brain": brain, "label": np.s_[12:18, 18:25, 3:7]}, slice=5)
    assert isinstance(figure, Picture) and len(figure.axes) == 1
    panel = figure.axes[0]
    assert panel.get_xlim() == (0, 24) and panel.get_ylim() == (60, 0)  # the air too
    # Seen from the feet, face up: x and y run to the left and up; mm.
    assert drawn(panel) == [(4, 6, 16, 44), (6, 10, 6, 14)]
    assert "brain 16 × 44 × 21 mm" in figure.alt and "label 6 × 14 × 12 mm" in figure.alt
    # A slice without the label's box shows the other alone.
    assert (
        len(drawn(plots.boxes(case, {"brain": brain, "label": np.s_[:, :, 3:5]}, slice=6).axes[0]))
        == 1
    )


def test_boxes_show_what_was_found_missed_and_falsely_predicted(case):
    reference = case.regions()[0]
    predicted = np.roll(reference, 3, axis=0)
    box = {"label": crop_box(reference, case.spacing)}
    figure = plots.boxes(case, box, reference, predicted)
    assert len(figure.axes) == 2 and "slice 5" in figure.alt
    assert len(figure.axes[1].images) == 4  # the image, and three veils
    said = {t.get_text() for one in figure.legends for t in one.get_texts()}
    assert said == {"label", "found", "missed", "false alarm"}
    assert len(plots.boxes(case, box, reference, reference).axes[1].images) == 2


def test_boxes_refuse_none_and_too_many(case):
    with pytest.raises(GliomakitError, match="one to 3 boxes"):
        plots.boxes(case, {})
    with pytest.raises(GliomakitError, match="not 4"):
        plots.boxes(case, dict.fromkeys("abcd", np.s_[:, :, :]))


def test_histograms_have_an_area_of_1_and_one_colour_a_patient():
    draw = np.random.default_rng(0)
    one, other = draw.normal(0, 1, 4000), draw.normal(3, 1, 4000)
    figure = plots.histograms({"first": {"a": one, "b": other}, "second": {"b": one}})
    assert [axis.get_title() for axis in figure.axes] == ["first", "second"]
    for axis in figure.axes:
        for line in axis.lines:
            assert np.trapezoid(line.get_ydata(), line.get_xdata()) == pytest.approx(1, abs=0.05)
    first, second = figure.axes
    assert first.lines[1].get_color() == second.lines[0].get_color() != first.lines[0].get_color()
    assert [t.get_text() for t in figure.legends[0].get_texts()] == ["a", "b"]
    assert "2 patients" in figure.alt
    assert plots.histograms({"flat": {"a": np.ones(5)}}).axes
    with pytest.raises(GliomakitError):
        plots.histograms({})


def test_fields_share_one_scale(case):
    inside = brain_mask(case.image)
    strong = np.where(inside, 1.2, 1.0)
    figure = plots.fields(case, "t1", {"true": strong, "none": np.ones_like(strong)}, inside)
    assert [a.get_title() for a in figure.axes[:3]] == ["T1", "true", "none"]
    limits = {figure.axes[i].images[0].get_clim() for i in (1, 2)}
    (low, high), = limits  # fmt: skip
    assert -low == high == pytest.approx(20)
    assert "20 per cent" in figure.alt and "slice 4" in figure.alt
    with pytest.raises(GliomakitError):
        plots.fields(case, "t1", {}, inside)


def test_variants_are_cut_to_the_tumour(case):
    regions = case.regions()
    coarse = regions.copy()
    coarse[2] = False
    figure = plots.variants(case, {"stored": regions, "coarse": coarse})
    assert [a.get_title() for a in figure.axes] == ["stored", "coarse"]
    assert [len(a.images) for a in figure.axes] == [4, 4]
    wide = figure.axes[0].get_xlim()[1]
    assert 7 < wide < 24 and "slice 5" in figure.alt and "stored, coarse" in figure.alt
    assert plots.variants(case, {"nothing": np.zeros_like(regions)}).axes
    with pytest.raises(GliomakitError):
        plots.variants(case, {})


def test_a_given_figure_is_drawn_on(case):
    figure = plots.boxes(case, {"all": np.s_[:, :, :]})
    assert plots.variants(case, {"stored": case.regions()}, figure=figure) is figure
    assert figure.png()[:4] == b"\x89PNG"


def test_a_slider_draws_what_it_says():
    drawn = []

    def draw(value):
        drawn.append(value)
        return plots.histograms({"values": {"a": np.array([0.0, value])}})

    browser = slide(draw, "value", low=0.0, high=2.0, step=0.5, start=1.0)
    slider, image = browser.controls["value"], browser.image
    assert drawn == [1.0] and bytes(image.value[:4]) == b"\x89PNG"
    before = image.value
    slider.value = 2.0
    assert drawn == [1.0, 2.0] and image.value != before


def test_without_widgets_there_is_the_picture_alone(monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "ipywidgets", None)
    found = slide(lambda value: value, "value", low=0.0, high=2.0, step=0.5, start=1.0)
    assert found == 1.0 and "not installed" in capsys.readouterr().out
