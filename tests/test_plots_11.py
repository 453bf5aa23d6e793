"""Pictures that sliders move: they show what they should, and move instead of being drawn anew."""

from __future__ import annotations

import io

import nibabel as nib
import numpy as np
import pytest
from PIL import Image

from gliomakit import plots
from gliomakit._picture import Picture
from gliomakit._upright import PLANES, Upright
from gliomakit.cases import Case, Grid, loose
from gliomakit.errors import GliomakitError
from gliomakit.regions import SEQUENCES


def artists(figure):
    return [id(one) for panel in figure.axes for one in panel.get_children()]


def pixels(packed):
    return np.asarray(Image.open(io.BytesIO(packed)).convert("RGB"), int)


# --- planes ---------------------------------------------------------------------------------------

TURNS = {
    "RAS": np.diag([1.0, 1.2, 3.0, 1.0]),
    "LPS": np.diag([-1.0, -1.2, 3.0, 1.0]),
    "LAS": np.diag([-1.0, 1.2, 3.0, 1.0]),
    "PIR": np.array([[0, 0, 3.0, 5], [-1.0, 0, 0, 4], [0, -1.2, 0, 3], [0, 0, 0, 1]]),
    "oblique": np.array([[0.98, -0.24, 0, 0], [0.2, 1.17, 0, 0], [0, 0, 3.0, 0], [0, 0, 0, 1]]),
}


def marked(affine, shape=(12, 14, 10)) -> Case:
    """A dim box with one bright voxel near a corner."""
    image = np.zeros((4, *shape), np.float32)
    image[0, 2:-2, 2:-2, 2:-2] = 1
    image[0, 3:4, 4:5, 6:7] = 9
    return Case("turned", image, ("flair",), affine, Grid(shape, affine))


@pytest.mark.parametrize("name", TURNS)
def test_letters_say_where_the_patient_is(name):
    """The bright voxel is nearer to the edge with the letter of the side that it is on in space."""
    affine = TURNS[name]
    case = marked(affine)
    codes = nib.aff2axcodes(affine)
    at = (3, 4, 6)
    sides = set()
    for code, index, length in zip(codes, at, case.image.shape[1:]):
        low = {"R": "L", "L": "R", "A": "P", "P": "A", "S": "I", "I": "S"}[code]
        sides.add(code if index > (length - 1) / 2 else low)
    figure = plots.planes(case, at=at)
    for plate in figure.stage.plates:
        grey = np.asarray(plate.grey.get_array())
        row, column = (int(i[0]) for i in np.nonzero(grey == 9))
        rows, columns = grey.shape
        words = {t.get_text(): t.get_position() for t in plate.panel.texts}
        wide, high = plate.size
        edges = {
            "left": [w for w, (x, _) in words.items() if x < 0],
            "right": [w for w, (x, _) in words.items() if x > wide and len(w) == 1],
            "top": [w for w, (_, y) in words.items() if y < 0],
            "bottom": [w for w, (_, y) in words.items() if y > high and len(w) == 1],
        }
        across = edges["left"] if column < (columns - 1) / 2 else edges["right"]
        upward = edges["top"] if row < (rows - 1) / 2 else edges["bottom"]
        assert set(across) <= sides and set(upward) <= sides and across and upward
        assert edges["left"] == (["A"] if plate.plane == "sagittal" else ["R"])


def test_a_file_whose_axes_are_flipped_is_shown_alike(tmp_path):
    """The same voxels in space, stored RAS and stored LPS."""
    case = marked(TURNS["RAS"])
    shown = []
    for name, (affine, step) in {
        "ras": (TURNS["RAS"], 1),
        "lps": (np.array([[-1, 0, 0, 11], [0, -1.2, 0, 15.6], [0, 0, 3, 0], [0, 0, 0, 1.0]]), -1),
    }.items():
        path = tmp_path / f"{name}_flair.nii.gz"
        nib.save(nib.Nifti1Image(case.image[0][::step, ::step], affine), path)
        figure = plots.planes(loose(flair=path).read(), at=(3, 4, 6))
        shown.append([np.asarray(p.grey.get_array()) for p in figure.stage.plates])
    for ours, theirs in zip(*shown):
        assert np.array_equal(ours, theirs)


@pytest.mark.parametrize("spacing", [(1, 1, 1), (1, 1, 6), (0.5, 2, 1)])
def test_planes_have_true_distances(spacing):
    case = marked(np.diag([*spacing, 1.0]))
    figure = plots.planes(case)
    box = np.ptp([(s.start, s.stop) for s in figure.stage.view.box], axis=1) * spacing
    wide, high = figure.get_size_inches()
    scales = []
    for plate in figure.stage.plates:
        across, up, _ = PLANES[plate.plane]
        assert plate.size == pytest.approx((box[across], box[up]))
        place = plate.panel.get_position()
        scales += [place.width * wide / box[across], place.height * high / box[up]]
    assert scales == pytest.approx([scales[0]] * 6), "one scale for all planes and both ways"


def test_a_slice_alone_and_a_flat_image_are_drawn():
    case = marked(np.eye(4), (12, 14, 1))
    case.image[0, 4:8, 4:8, 0] = 2
    case.label = np.zeros((12, 14, 1), np.uint8)
    case.label[5:7, 5:7] = 1
    case.convention = "msd"
    figure = plots.planes(case)
    assert "z 0" in figure.alt and "reference WT" in figure.alt
    assert pixels(figure.quick()).std() > 0
    case.image[:] = 0
    assert plots.planes(case).quick()


def test_a_picture_that_is_moved_is_the_picture_drawn_at_once():
    draw = np.random.default_rng(1)
    case = Case("noise", draw.random((4, 12, 14, 10), np.float32), SEQUENCES, np.eye(4),
                Grid((12, 14, 10), np.eye(4)))  # fmt: skip
    moved = plots.planes(case, at=(1, 2, 3))
    moved.quick()
    before = artists(moved)
    assert plots.planes(case, at=(5, 6, 7), sequence="t2", figure=moved) is moved
    assert artists(moved) == before
    at_once = plots.planes(case, at=(5, 6, 7), sequence="t2")
    assert np.array_equal(pixels(moved.quick()), pixels(at_once.quick()))
    assert moved.alt == at_once.alt
    # What is saved holds the moved artists too.
    saved = pixels(moved.png(palette=False))
    assert saved.shape == pixels(moved.quick()).shape
    assert np.abs(saved - pixels(moved.quick())).mean() < 1


def test_a_figure_of_something_else_is_drawn_anew():
    case = marked(np.eye(4))
    figure = plots.planes(case)
    before = artists(figure)
    assert plots.planes(marked(np.eye(4), (20, 10, 8)), figure=figure) is figure
    assert not set(before) & set(artists(figure)) and "turned" in figure.alt
    plots.sequences(case, figure=figure)
    assert len(plots.planes(case, figure=figure).axes) == 3
    figure.clear()
    assert len(plots.planes(case, figure=figure).axes) == 3
    assert isinstance(plots.planes(case), Picture)


def test_bad_planes_are_explained():
    case = marked(np.eye(4))
    for wrong, said in (
        ({"at": (12, 0, 0)}, "no voxel"),
        ({"at": (1, 2)}, "no voxel"),
        ({"sequence": "t2"}, "no sequence t2"),
        ({"shades": (1.0, 0.0)}, "shows nothing"),
        ({"shades": (float("nan"), 1.0)}, "shows nothing"),
        ({"styles": {"reference": "dots"}}, "no style 'dots'"),
        ({"opacity": {"wt": 1.5}}, "from 0 to 1"),
        ({"prediction": np.zeros((3, 1, 1, 1))}, "do not fit"),
    ):
        with pytest.raises(GliomakitError, match=said):
            plots.planes(case, **wrong)
    case.present = ()
    with pytest.raises(GliomakitError, match="no sequence to show"):
        plots.planes(case)


def test_spans_are_those_of_the_cases_own_axes():
    case = marked(TURNS["PIR"])
    (x, _), (y, _), (z, _) = Upright(case).spans
    assert (x, y, z) == (0, 0, 0)
    case = marked(np.diag([-1.0, 1, 1, 1]), (30, 14, 10))
    case.image[0, :20] = 0
    assert Upright(case).spans[0] == (16, 29), "the box ends beyond the brain, not the other way"


# --- schedules ------------------------------------------------------------------------------------


def test_rates_are_those_of_fit_and_of_pytorch():
    import torch
    from torch.optim.lr_scheduler import OneCycleLR

    from gliomakit._schedules import momenta, rates
    from gliomakit.training import Fit

    fit = {"rate": 2e-3, "steps": 120, "epoch": 4}
    for name in ("one-cycle", "step", "constant"):
        expected = [Fit(schedule=name, **fit).rate_at(i) for i in range(120)]
        np.testing.assert_allclose(rates(name, 120, 2e-3, every=5 * 4), expected, rtol=1e-9)
    optimiser = torch.optim.AdamW([torch.nn.Parameter(torch.zeros(1))], lr=1)
    options = {"pct_start": 0.4, "base_momentum": 0.8, "max_momentum": 0.9}
    schedule = OneCycleLR(optimiser, 2e-3, total_steps=120, **options)
    expected = []
    for _ in range(120):
        group = optimiser.param_groups[0]
        expected.append((group["lr"], group["betas"][0]))
        optimiser.step()
        schedule.step()
    ours = rates("one-cycle", 120, 2e-3, 0.4), momenta("one-cycle", 120, 0.4, (0.9, 0.8))
    np.testing.assert_allclose(np.transpose(ours), expected, rtol=1e-6, atol=1e-11)


def test_suggestions_are_fastais():
    schedule = pytest.importorskip("fastai.callback.schedule")
    import torch

    from gliomakit._range_test import suggestions
    from gliomakit.course.explorers import toy_finder

    for seed in range(3):
        lrs, losses = toy_finder(seed)
        found = suggestions(lrs, losses)
        n = len(lrs)
        given = torch.tensor(lrs[n // 10 : -5]), torch.tensor(losses[n // 10 : -5])
        for name, at in found.suggested.items():
            expected = getattr(schedule, name)(*given, n)[0]
            assert at == pytest.approx(float(expected), rel=1e-4), name


def test_schedules_are_drawn_and_moved():
    from gliomakit._schedules import rates
    from gliomakit.course.explorers import toy_finder

    finder = toy_finder()
    figure = plots.schedules(finder=finder)
    assert len(figure.axes) == 3 and "lr_find suggests valley" in figure.alt
    figure.quick()
    before = artists(figure.stage.panels[2].figure)
    lines = {name: id(line) for name, line in figure.stage.lines.items()}
    assert plots.schedules(steps=200, rate=0.01, rise=0.5, finder=finder, figure=figure) is figure
    assert {n: id(line) for n, line in figure.stage.lines.items()} == lines
    assert len(artists(figure)) == len(before)
    line = figure.stage.lines["one-cycle", 0]
    np.testing.assert_allclose(line.get_ydata(), rates("one-cycle", 200, 0.01, 0.5))
    assert figure.stage.mark.get_xdata() == [0.01, 0.01]
    at_once = plots.schedules(steps=200, rate=0.01, rise=0.5, finder=finder)
    assert np.array_equal(pixels(figure.quick()), pixels(at_once.quick()))
    assert len({line.get_linestyle() for line in figure.stage.lines.values()}) == 3
    assert len(plots.schedules().axes) == 2


def test_bad_schedules_are_explained():
    from gliomakit._schedules import rates

    good = list(np.geomspace(1e-5, 1, 40)), [1.0] * 40
    for wrong, said in (
        ({"steps": 0}, "must be 1 or more"),
        ({"rate": -1.0}, "above 0"),
        ({"rise": 2.0}, "shares"),
        ({"cycle": (0.9, 1.0)}, "momentum"),
        ({"finder": ([], [])}, "make no curve"),
        ({"finder": (good[0], good[1][:-1])}, "make no curve"),
        ({"finder": (good[0][::-1], good[1])}, "rise from above 0"),
        ({"finder": (good[0], [np.nan] * 40)}, "too few"),
    ):
        with pytest.raises(GliomakitError, match=said):
            plots.schedules(**wrong)
    with pytest.raises(GliomakitError, match="no schedule 'linear'"):
        rates("linear", 5, 1.0)
