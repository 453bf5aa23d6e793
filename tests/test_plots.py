"""Pictures: the right slice, the right way round, the right colours, small files."""

from __future__ import annotations

import io
import sys

import numpy as np
import pytest
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from PIL import Image

from gliomakit import plots
from gliomakit._axial import View, axial, window
from gliomakit.cases import Case, Grid
from gliomakit.errors import GliomakitError
from gliomakit.metrics import calibration
from gliomakit.regions import SEQUENCES, TISSUE_COLOURS


@pytest.fixture
def case() -> Case:
    """A box of a brain with a tumour at its right front, largest in slice 5; 1 × 1 × 3 mm."""
    draw = np.random.default_rng(0)
    image = np.zeros((4, 24, 30, 9), np.float32)
    image[:, 4:20, 5:27, 1:8] = draw.uniform(50, 100, (4, 16, 22, 7))
    label = np.zeros(image.shape[1:], np.uint8)
    label[12:18, 18:25, 3:7] = 1
    label[13:17, 19:24, 4:6] = 2
    label[11:18, 17:25, 5] = 1
    label[13:17, 19:24, 5] = 2
    label[14:16, 20:23, 5] = 3
    affine = np.diag([1.0, 1.0, 3.0, 1.0])
    return Case("box", image, SEQUENCES, affine, Grid(label.shape, affine), label, "msd")


def test_sequences_shows_four_panels_of_the_largest_slice(case):
    figure = plots.sequences(case)
    assert isinstance(figure, Figure)
    assert [a.get_title() for a in figure.axes] == ["FLAIR", "T1", "T1ce", "T2"]
    words = " ".join(t.get_text() for t in figure.texts)
    assert "box" in words and "slice 5" in words and "1 × 1 × 3 mm" in words
    assert {t.get_text() for t in figure.legends[0].get_texts()} == {
        "whole tumour", "tumour core", "enhancing tumour"
    }  # fmt: skip
    assert "slice 5 of box" in figure.alt


def test_compare_shows_both_and_the_dice_of_the_volume(case):
    reference = case.regions()
    prediction = reference.copy()
    prediction[2] = False
    figure = plots.compare(case, reference, prediction)
    assert [a.get_title() for a in figure.axes if a.get_title()] == ["Reference", "Prediction"]
    words = " ".join(t.get_text() for t in figure.texts)
    assert "WT 1.00" in words and "TC 1.00" in words and "ET 0.00" in words
    assert "ET 0.00" in figure.alt


def test_a_sheet_shows_a_slice_of_every_case(case):
    figure = plots.sheet([case, flat()])
    assert len(figure.axes) == 8
    words = [t.get_text() for t in figure.axes[0].texts]
    assert "FLAIR" in words and {"R", "L"} <= set(words)
    assert "box, slice 5" in figure.axes[0].get_title(loc="left")
    assert "flat" in figure.axes[4].get_title(loc="left")
    outlined = [bool(a.collections) for a in figure.axes]
    assert outlined == [True, False, True, False] + [False] * 4
    assert "2 cases" in figure.alt and "outlined on FLAIR and T1ce" in figure.alt


def test_a_sheet_has_one_scale_and_as_many_columns_as_are_wanted(case):
    figure = plots.sheet([case, flat()] * 4)
    assert len({a.get_position().x0.round(6) for a in figure.axes}) == 8
    assert len({(np.ptp(a.get_xlim()), np.ptp(a.get_ylim())) for a in figure.axes}) == 1
    figure = plots.sheet([case, flat()], [None, None], columns=1)
    assert len({a.get_position().x0.round(6) for a in figure.axes}) == 4
    case.present = ("flair", "t2")
    assert [len(a.images) for a in plots.sheet([case]).axes] == [1, 0, 0, 1]


def test_a_sheet_draws_the_regions_that_are_given(case):
    regions = np.zeros((3, *case.image.shape[1:]), bool)
    regions[0, 6:12, 8:14, 2] = True
    assert "slice 2" in plots.sheet([case], [regions]).axes[0].get_title(loc="left")


def test_reliability_shows_bins_voxels_and_ece():
    table = calibration([0.05, 0.15, 0.95, 0.95], [0, 0, 1, 0])
    figure = plots.reliability({"wt": table, "et": table})
    assert [a.get_title() for a in figure.axes[:2]] == ["whole tumour", "enhancing tumour"]
    line = figure.axes[0].lines[1]
    assert line.get_xdata() == pytest.approx([0.05, 0.15, 0.95])
    assert line.get_ydata() == pytest.approx([0, 0, 0.5])
    said = [t.get_text() for t in figure.axes[0].get_legend().get_texts()]
    assert f"ECE {table['ece']:.3f}" in said and table["ece"] == pytest.approx(0.275)
    assert [bar.get_height() for bar in figure.axes[2].patches] == table["n"]
    assert "ET 0.275" in figure.alt
    assert plots.reliability({"tc": calibration([], [])}).axes


def test_the_patients_right_is_on_the_left_and_the_face_is_up():
    volume = np.zeros((5, 7, 3))
    volume[4, 6, 1] = 1  # right, front
    shown = axial(volume, 1)
    assert shown.shape == (7, 5) and shown[0, 0] == 1
    texts = {t.get_text(): t.get_position()[0] for t in plots.sequences(flat()).axes[0].texts}
    assert texts["R"] < texts["L"]


def flat() -> Case:
    image = np.ones((4, 6, 6, 3), np.float32)
    return Case("flat", image, SEQUENCES, np.eye(4), Grid((6, 6, 3), np.eye(4)))


def test_distances_are_true(case):
    case.affine = np.diag([1.0, 2.0, 3.0, 1.0])
    panel = plots.sequences(case).axes[0]
    (left, right), (bottom, top) = panel.get_xlim(), panel.get_ylim()
    view = View.of(case, case.regions(), None)
    rows, columns = view.cut(case.image[0]).shape
    assert right - left == pytest.approx(columns) and bottom - top == pytest.approx(2 * rows)
    assert panel.get_aspect() == 1


def test_the_view_is_cut_to_the_brain(case):
    view = View.of(case, None, 4)
    rows, columns = view.cut(case.image[0]).shape
    assert 22 <= rows <= 26 and 16 <= columns <= 20


def test_a_case_without_label_or_with_missing_sequences_is_drawn(case):
    case.label = None
    case.present = ("flair", "t2")
    figure = plots.sequences(case)
    assert not figure.legends and "outlined" not in figure.alt
    assert [len(a.images) for a in figure.axes] == [1, 0, 0, 1]
    assert "not given" in [t.get_text() for t in figure.axes[1].texts]
    regions = np.zeros((3, 24, 30, 9), bool)
    assert plots.compare(case, regions, regions).axes
    assert plots.sequences(flat()).axes


def test_a_given_figure_is_drawn_on_again(case):
    figure = plots.sequences(case)
    size = len(figure.axes)
    assert plots.sequences(case, slice=4, figure=figure) is figure
    assert len(figure.axes) == size and "slice 4" in figure.alt
    assert plots.sheet([case, case], figure=figure) is figure and len(figure.axes) == 8
    table = calibration([0.2], [1])
    assert plots.reliability({"wt": table}, figure=figure) is figure and len(figure.axes) == 2
    plain = Figure()
    assert plots.compare(case, case.regions(), case.regions(), figure=plain) is plain


def test_nothing_is_kept_alive(case):
    plots.sequences(case)
    pyplot = sys.modules.get("matplotlib.pyplot")
    assert pyplot is None or not pyplot.get_fignums()


def test_bad_input_is_explained(case):
    with pytest.raises(GliomakitError, match="do not fit box"):
        plots.compare(case, np.zeros((3, 2, 2, 2)), case.regions())
    with pytest.raises(GliomakitError, match="no slice 9; it has 0 to 8"):
        plots.sequences(case, slice=9)
    with pytest.raises(GliomakitError, match="1 regions for 2 cases make no sheet"):
        plots.sheet([case, case], [case.regions()])
    with pytest.raises(GliomakitError, match="make no sheet"):
        plots.sheet([])
    with pytest.raises(GliomakitError, match="no table"):
        plots.reliability({})


def test_window_leaves_the_background_out():
    volume = np.full((20, 20, 20), -7.0)
    volume[5:15, 5:15, 5:15] = np.linspace(0, 1, 1000).reshape(10, 10, 10)
    low, high = window(volume)
    assert low == -7 and 0.98 < high < 1


def test_a_picture_shows_itself_small_with_words(case):
    figure = plots.compare(case, case.regions(), case.regions())
    data, metadata = figure._repr_mimebundle_()
    assert data["image/png"][:4] == b"\x89PNG" and len(data["image/png"]) < 150_000
    assert data["text/plain"] == figure.alt == metadata["image/png"]["alt"]


def test_the_small_file_keeps_the_tissues_colours(case, tmp_path):
    figure = plots.compare(case, case.regions(), case.regions())
    exact = np.asarray(Image.open(io.BytesIO(figure.png(palette=False))).convert("RGB"), int)
    small = np.asarray(Image.open(figure.save(tmp_path / "a" / "b.png")).convert("RGB"), int)
    assert np.abs(exact - small).mean() < 1.5
    for colour in TISSUE_COLOURS.values():
        wanted = np.round(np.array(to_rgb(colour)) * 255)
        assert (small == wanted).all(-1).sum() >= 0.9 * (exact == wanted).all(-1).sum() > 0
