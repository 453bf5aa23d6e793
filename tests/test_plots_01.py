"""Lesson 01's pictures: a label read in several ways, volumes of many patients, the browser."""

from __future__ import annotations

import numpy as np
import pytest
from matplotlib.colors import to_rgb

from gliomakit import plots
from gliomakit.cases import Case, Grid
from gliomakit.errors import GliomakitError
from gliomakit.regions import SEQUENCES, TISSUE_COLOURS, to_regions


@pytest.fixture
def case() -> Case:
    """A box of a brain with core inside edema, largest in slice 5."""
    image = np.zeros((4, 24, 30, 9), np.float32)
    image[:, 4:20, 5:27, 1:8] = np.random.default_rng(0).uniform(50, 100, (4, 16, 22, 7))
    label = np.zeros(image.shape[1:], np.uint8)
    label[9:18, 12:25, 5] = 1
    label[11:16, 15:22, 5] = 2
    affine = np.eye(4)
    return Case("box", image, SEQUENCES, affine, Grid(label.shape, affine), label, "msd")


def both(case):
    return {f"as {n}": to_regions(case.label, n) for n in ("msd", "brats2023")}


def test_readings_shows_the_image_alone_and_then_each_reading(case):
    figure = plots.readings(case, both(case))
    assert [a.get_title() for a in figure.axes] == ["T1ce", "as msd", "as brats2023"]
    assert "slice 5 of box" in figure.alt and "as brats2023" in figure.alt
    assert {t.get_text() for t in figure.legends[0].get_texts()} == {
        "edema", "core", "enhancing tumour"
    }  # fmt: skip


def test_two_readings_exchange_the_colours_of_edema_and_core(case):
    _, msd, brats = plots.readings(case, both(case)).axes

    def areas(panel):
        """Drawn area of each tissue, by its colour."""
        found = {}
        for drawn in panel.collections:
            colour = tuple(np.round(drawn.get_facecolor()[0][:3], 3))
            extent = drawn.get_paths()[0].get_extents()
            found[colour] = extent.width * extent.height
        return found

    edema, core = (tuple(np.round(to_rgb(TISSUE_COLOURS[t]), 3)) for t in ("edema", "core"))
    assert areas(msd)[edema] > areas(msd)[core]
    assert areas(brats)[core] == areas(msd)[edema] and areas(brats)[edema] == areas(msd)[core]


def test_readings_draws_on_a_given_figure_and_refuses_what_does_not_fit(case):
    figure = plots.Picture()
    assert plots.readings(case, both(case), sequence="flair", slice=3, figure=figure) is figure
    assert figure.axes[0].get_title() == "FLAIR" and "slice 3" in figure.alt
    with pytest.raises(GliomakitError, match="no reading"):
        plots.readings(case, {})
    with pytest.raises(GliomakitError, match="do not fit"):
        plots.readings(case, {"other": np.zeros((3, 2, 2, 2), bool)})


def test_volumes_has_one_bar_a_patient_the_largest_first():
    figure = plots.volumes({"small": (10, 4, 1), "large": (90, 30, 20), "plain": (50, 20, 0)})
    (panel,) = figure.axes
    assert [t.get_text() for t in panel.get_xticklabels()] == ["large", "plain", "small"]
    heights = [bar.get_height() for bar in panel.patches]
    assert heights == [90, 50, 10, 30, 20, 4, 20, 0, 1]
    assert [t.get_text() for t in panel.texts] == ["no ET"]
    assert "3 patients" in figure.alt and "1 have no" in figure.alt
    with pytest.raises(GliomakitError, match="no patient"):
        plots.volumes({})


def test_a_browser_draws_anew_when_a_control_is_moved(case):
    widgets = pytest.importorskip("ipywidgets")
    from gliomakit.course.widgets import Browser

    asked = []

    def draw(z):
        asked.append(z)
        return plots.sequences(case, slice=z)

    browser = Browser(draw, z=widgets.IntSlider(value=5, max=8))
    first = bytes(browser.image.value)
    browser.controls["z"].value = 2
    assert asked == [5, 2]
    second = bytes(browser.image.value)
    assert second.startswith(b"\x89PNG") and second != first
    shown = browser._repr_mimebundle_()
    assert "Run this cell" in shown["text/html"]
    assert shown["application/vnd.jupyter.widget-view+json"]["model_id"] == browser.box.model_id
