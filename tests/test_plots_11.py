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
    return [one for panel in figure.axes for one in panel.get_children()]


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
        grey = plate.values
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
        shown.append([p.values for p in figure.stage.plates])
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


# --- losses ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("radius", [0, 6])
def test_pulls_and_losses_are_those_of_losses(radius):
    import torch

    from gliomakit import losses
    from gliomakit._pulling import CLASSES, pull, toy

    reference, probability = toy(radius, shift=(3, -2), grow=2, sure=0.8)
    assert set(CLASSES) == set(losses.LOSSES) - {"regions"}
    for name in CLASSES:
        logits = torch.zeros(1, 2, *reference.shape, dtype=torch.float64)
        logits[0, 1] = torch.logit(torch.from_numpy(probability))
        logits.requires_grad_()
        loss = losses.from_name(name)(logits, torch.from_numpy(reference)[None].long())
        loss.backward()
        value, ways = pull(name, probability, reference)
        assert value == pytest.approx(loss.item())
        np.testing.assert_allclose(ways, -logits.grad[0, 1].numpy(), atol=1e-15)


def test_the_toy_is_moved_grown_and_erased():
    from gliomakit._pulling import toy

    reference, probability = toy(5, sure=0.9)
    assert np.array_equal(probability > 0.5, reference)
    assert np.unique(probability) == pytest.approx([0.1, 0.9])
    _, moved = toy(5, shift=(4, 1))
    assert np.array_equal(moved > 0.5, np.roll(reference, (1, 4), (0, 1)))
    assert (toy(5, grow=2)[1] > 0.5).sum() > reference.sum() > (toy(5, grow=-2)[1] > 0.5).sum()
    assert not (toy(5, erased=True)[1] > 0.5).any() and not toy(0)[0].any()
    with pytest.raises(GliomakitError, match="below 0"):
        toy(-1)


def test_pulling_shows_pulls_and_moves():
    from gliomakit._pulling import CLASSES, pull, toy

    reference, probability = toy(6, (2, 0))
    figure = plots.pulling(probability, reference)
    before = artists(figure)
    reference, probability = toy(3, (1, 1), erased=True)
    shown = ("cross-entropy", "dice", "weighted-dice-uniform")
    assert plots.pulling(probability, reference, shown, figure=figure) is figure
    assert artists(figure) == before
    for drawn, name in zip(figure.stage.maps[1:], shown):
        assert np.array_equal(np.asarray(drawn.get_array()), pull(name, probability, reference)[1])
    said = [text.get_text() for text in figure.stage.values]
    expected = [f"{pull(name, probability, reference)[0]:.3f}" for name in CLASSES]
    assert said == expected
    words = [text.get_text() for text in figure.stage.panels[4].texts]
    assert words[: len(CLASSES)] == list(CLASSES), "each loss is named in its row"
    titles = [panel.get_title() for panel in figure.stage.panels[:4]]
    assert titles == ["probability of tumour", *shown]
    for wrong, words in (
        ((probability[:3], reference), "the same for both"),
        ((np.where(reference, 1.0, 0.5), reference), "neither included"),
        ((np.full_like(probability, np.nan), reference), "neither included"),
    ):
        with pytest.raises(GliomakitError, match=words):
            plots.pulling(*wrong)
    with pytest.raises(GliomakitError, match="no loss 'hinge'"):
        plots.pulling(probability, reference, ("hinge", "dice", "dice-ce"))
    with pytest.raises(GliomakitError, match="1 losses"):
        plots.pulling(probability, reference, ("dice",))


# --- thresholds -----------------------------------------------------------------------------------


def blurred(spacing=(1.0, 1.0, 2.0)):
    """A case with a tumour, and smooth probabilities with a false piece beside it."""
    from scipy.ndimage import gaussian_filter

    label = np.zeros((20, 22, 12), np.uint8)
    label[5:13, 6:15, 3:9] = 1
    label[7:11, 8:13, 4:8] = 2
    label[8:10, 9:12, 5:7] = 3
    image = np.random.default_rng(0).random((4, *label.shape), np.float32)
    affine = np.diag([*spacing, 1.0])
    case = Case("soft", image, SEQUENCES, affine, Grid(label.shape, affine), label, "msd")
    probability = np.stack([gaussian_filter(m.astype(np.float32), 1.2) for m in case.regions()])
    probability[0, 16:19, 17:20, 3:8] = 0.7
    return case, np.clip(probability, 0, 1)


@pytest.mark.parametrize("region", ["wt", "tc", "et"])
@pytest.mark.parametrize("limits", [(0, 0, 0), (0.01, 0.5, 0.03), (0, 1.0, 9.0)])
def test_scores_are_those_of_metrics_on_the_whole_volume(region, limits):
    from gliomakit.inference import postprocess
    from gliomakit.metrics import dice, hd95
    from gliomakit.regions import REGIONS, nest

    case, probability = blurred()
    wt_ml, wt_share, et_ml = limits
    i, figure = REGIONS.index(region), None
    for threshold in (0.3, 0.6):
        options = {"min_wt_ml": wt_ml, "min_wt_share": wt_share, "min_et_ml": et_ml}
        figure = plots.choosing(case, probability, threshold, region, figure=figure, **options)
        found = postprocess(nest(probability >= threshold), 0.002, wt_ml, et_ml, wt_share)[i]
        reference = case.regions()[i]
        expected = dice(found, reference), hd95(found, reference, case.spacing)
        points = [point.get_ydata()[0] for _, point in figure.stage.curves]
        assert points == pytest.approx(expected)
        assert f"Dice {expected[0]:.3f}, HD95 {expected[1]:.1f} mm" in figure.alt
    curve = figure.stage.curves[0][0]
    at = list(curve.get_xdata()).index(0.3)
    plain = nest(probability >= 0.3)[i]
    assert curve.get_ydata()[at] == pytest.approx(dice(plain, reference))


def test_the_largest_piece_alone_is_kept():
    case, probability = blurred()
    all_, one = (plots.choosing(case, probability, min_wt_share=s) for s in (0.0, 1.0))
    assert len(all_.stage.lines["prediction"].get_segments()) == 2
    assert len(one.stage.lines["prediction"].get_segments()) == 1
    before = artists(one)
    plots.choosing(case, probability, 0.4, figure=one)
    assert artists(one) == before


def test_bad_thresholds_are_explained():
    case, probability = blurred()
    for wrong, said in (
        ((case, probability[:2]), "do not fit soft"),
        ((case, probability * np.nan), "between 0 and 1"),
        ((case, probability, 0.0), "threshold"),
        ((case, probability, 0.5, "ct"), "no region"),
    ):
        with pytest.raises(GliomakitError, match=said):
            plots.choosing(*wrong)
    case.label = None
    with pytest.raises(GliomakitError, match="no label"):
        plots.choosing(case, probability)


def test_nothing_found_costs_the_diagonal():
    from gliomakit.metrics import diagonal_mm

    case, probability = blurred()
    figure = plots.choosing(case, probability * 0, 0.5)
    assert f"HD95 {diagonal_mm((20, 22, 12), case.spacing):.1f} mm" in figure.alt


# --- patches --------------------------------------------------------------------------------------


def head(shape=(30, 26, 20)):
    from gliomakit.preprocess import prepare

    case, _ = blurred((1.0, 1.0, 1.0))
    image, label = np.zeros((4, *shape), np.float32), np.zeros(shape, np.uint8)
    image[:, 2:-2, 2:-2, 2:-2] = np.random.default_rng(1).random((4, *(n - 4 for n in shape)))
    label[5:9, 6:10, 7:12] = 2
    affine = np.eye(4)
    return prepare(Case("head", image, SEQUENCES, affine, Grid(shape, affine), label, "msd"))


@pytest.mark.parametrize("size", [4, 9, 40])
@pytest.mark.parametrize("foreground", [0.0, 0.5])
def test_empty_patches_are_counted_as_by_hand(size, foreground):
    from gliomakit.patches import PatchSampler

    prepared = head()
    figure = plots.cutting(prepared, size, foreground, number=30, seed=3)
    sampler = PatchSampler(prepared, size=size, foreground=foreground, seed=3)
    empty, tumour = 0, 0
    for x, y, z in sampler.plan(30).origin:
        inside = tuple(slice(max(o, 0), max(o + size, 0)) for o in (x, y, z))
        empty += not prepared.regions[inside].any()
        tumour += (prepared.regions[inside] > 0).sum()
    assert f"{empty} of 30 patches are empty" in figure.alt
    assert f"tumour fills {100 * tumour / (30 * size**3):.2g} %" in figure.alt
    drawn = sum(len(lines.get_segments()) for lines in figure.stage.squares.values())
    assert f"{drawn} of them cross" in figure.alt


def test_patches_are_the_samplers_and_change_with_it():
    from gliomakit._axial import axial
    from gliomakit.patches import PatchSampler

    prepared = head()
    figure = plots.cutting(prepared, 8, 1.0, turned=True, seed=2)
    before, shown = artists(figure), [np.asarray(g.get_array()) for g in figure.stage.greys]
    batch = PatchSampler(prepared, size=8, foreground=1.0, seed=2).batch(6, step=1)
    for place, found in enumerate(shown):
        slices = [axial(batch.image[place, 0].numpy(), z) for z in range(8)]
        assert any(np.allclose(found[found > found.min()], s[s > found.min()]) for s in slices
                   if (s > found.min()).sum() == (found > found.min()).sum())  # fmt: skip
    plots.cutting(prepared, 8, 1.0, turned=True, intensity=True, seed=2, figure=figure)
    assert artists(figure) == before
    assert not np.allclose(shown[0], np.asarray(figure.stage.greys[0].get_array()))
    curve = figure.stage.curves[0].get_ydata()
    assert curve[-1] == 0 and curve[0] > 50, "all around tumour: none is empty"


def test_bad_patches_are_explained():
    from dataclasses import replace

    prepared = head()
    with pytest.raises(GliomakitError, match="above 0"):
        plots.cutting(prepared, 0)
    with pytest.raises(GliomakitError, match="share from 0 to 1"):
        plots.cutting(prepared, foreground=1.5)
    with pytest.raises(GliomakitError, match="give a label"):
        plots.cutting(replace(prepared, regions=None))
    image = prepared.image.copy()
    image[0, 5, 5, 5] = np.nan
    with pytest.raises(GliomakitError, match="no numbers"):
        plots.cutting(replace(prepared, image=image))
