"""Widgets: controls that are moved without a browser, and what is drawn then."""

from __future__ import annotations

import gc
import sys
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from gliomakit import plots
from gliomakit.cases import Case, Grid, loose
from gliomakit.course.explorers import (
    loss_explorer,
    patch_explorer,
    rate_explorer,
    threshold_explorer,
)
from gliomakit.course.viewer import case_viewer
from gliomakit.errors import GliomakitError
from gliomakit.regions import SEQUENCES, to_regions
from tests.test_plots_11 import blurred, head

pytest.importorskip("ipywidgets")


def a_case(name="box", shape=(24, 30, 9), spacing=(1.0, 1.0, 3.0)) -> Case:
    """A box of a brain with a tumour at its right front, largest in slice 5."""
    draw = np.random.default_rng(0)
    image = np.zeros((4, *shape), np.float32)
    image[:, 4:20, 5:27, 1:8] = draw.uniform(50, 100, (4, 16, 22, 7))
    label = np.zeros(shape, np.uint8)
    label[12:18, 18:25, 3:7] = 1
    label[11:18, 17:25, 5] = 1
    label[13:17, 19:24, 4:6] = 2
    label[14:16, 20:23, 5] = 3
    affine = np.diag([*spacing, 1.0])
    return Case(name, image, SEQUENCES, affine, Grid(shape, affine), label, "msd")


@pytest.fixture
def case() -> Case:
    return a_case()


def value(viewer, *names):
    return [viewer.controls[name].value for name in names]


# --- the case viewer ------------------------------------------------------------------------------


def test_a_viewer_begins_at_the_largest_slice(case):
    viewer = case_viewer(case)
    assert viewer.controls["z"].value == plots.largest_slice(case.regions()) == 5
    assert bytes(viewer.image.value).startswith(b"\x89PNG")
    assert "reference ET" in viewer.picture.alt


def test_sliders_move_the_cross_in_all_planes(case):
    viewer = case_viewer(case)
    before, drawn = viewer.picture, bytes(viewer.image.value)
    artists = [artist for panel in viewer.picture.axes for artist in panel.get_children()]
    viewer.set(x=14, y=21, z=4)
    assert viewer.picture is before and bytes(viewer.image.value) != drawn
    after = [artist for panel in viewer.picture.axes for artist in panel.get_children()]
    assert [id(a) for a in after] == [id(a) for a in artists], "moved, not drawn anew"
    shown = [plate.values for plate in viewer.picture.stage.plates]
    view, volume = viewer.picture.stage.view, case.image[0]
    for found, expected in zip(shown, (volume[:, :, 4], volume[:, 21], volume[14])):
        inside = found[np.isin(found, expected)]
        assert inside.size == found.size and found.max() == expected.max()
    for plate in viewer.picture.stage.plates:
        x, y = view.point(plate.plane, (14, 21, 4))
        across = plate.cross.get_segments()[0]
        down = plate.cross.get_segments()[2]
        assert across[0][1] == pytest.approx(y) and down[0][0] == pytest.approx(x)
        row, column = int(y / plate.size[1] * 1e6), x / plate.size[0]
        grey = plate.values
        row, column = (int(s * n) for s, n in zip((y / plate.size[1], column), grey.shape))
        assert grey[row, column] == volume[14, 21, 4], "the cross is on the voxel"


def test_level_and_window_set_black_and_white(case):
    viewer = case_viewer(case)
    assert value(viewer, "level", "window") == pytest.approx(plots.levels(case, "flair"))
    viewer.set(level=70.0, window=20.0)
    for plate in viewer.picture.stage.plates:
        assert plate.shades == (60.0, 80.0)
        drawn = np.asarray(plate.grey.get_array(), float)
        expected = 255 * np.clip((plate.values - 60) / 20, 0, 1)
        assert np.abs(drawn - expected).max() <= 0.5 + 1e-3


def test_another_sequence_brings_its_own_level(case):
    case.image[2] *= 10
    viewer = case_viewer(case)
    viewer.controls["sequence"].value = "t1ce"
    assert value(viewer, "level", "window") == pytest.approx(plots.levels(case, "t1ce"))
    assert "T1ce" in viewer.picture.alt
    plate = viewer.picture.stage.plates[0]
    assert plate.values.max() == case.image[2][:, :, 5].max()


def test_styles_and_opacity(case):
    prediction = np.roll(case.regions(), 1, axis=2)
    viewer = case_viewer(case, [prediction])
    plate = viewer.picture.stage.plates[0]
    assert plate.lines["reference", "wt"].get_segments()
    assert plate.lines["prediction", "wt"].get_segments() and not plate.veil.get_visible()
    viewer.set(reference="fill", prediction="none", wt=0.4, et=0.0)
    assert not plate.lines["reference", "wt"].get_segments()
    assert not plate.lines["prediction", "wt"].get_segments() and plate.veil.get_visible()
    veil = np.asarray(plate.veil.get_array())
    slice_ = to_regions(case.label, "msd")[:, :, :, 5]
    assert (veil[..., 3] == round(0.4 * 255)).sum() == (slice_[0] & ~slice_[1]).sum()
    # ET has no opacity: its voxels are shown as what they are too, TC.
    assert (veil[..., 3] == 255).sum() == slice_[1].sum()
    assert not plate.names["et"].get_visible() and plate.names["wt"].get_visible()
    viewer.set(prediction="fill", reference="none")
    striped = np.asarray(plate.veil.get_array())[..., 3] > 0
    assert 0.3 < striped.sum() / prediction[0, :, :, 5].sum() < 0.7
    viewer.set(reference="outline", wt=0.25)
    assert plate.lines["reference", "wt"].get_alpha() == 0.25


def test_jump_goes_to_the_largest_slice(case):
    viewer = case_viewer(case)
    viewer.set(x=5, y=6, z=1)
    viewer.buttons[2].click()
    x, y, z = value(viewer, "x", "y", "z")
    assert z == plots.largest_slice(case.regions()) and case.label[x, y, z] > 0
    other = a_case()
    other.label[:] = 0
    empty = case_viewer(other)
    empty.jump()
    assert other.image[0][tuple(value(empty, "x", "y", "z"))] > 0


def test_cases_follow_each_other(case):
    second = a_case("wide", (40, 30, 12), (2.0, 1.0, 1.0))
    second.present = ("flair", "t2")
    second.label = None
    viewer = case_viewer([case, second])
    viewer.controls["sequence"].value = "t1"
    viewer.buttons[1].click()
    assert viewer.names.value == 1 and "of wide" in viewer.picture.alt
    assert [v for _, v in viewer.controls["sequence"].options] == ["flair", "t2"]
    assert "without reference" in viewer.picture.alt and viewer.controls["reference"].disabled
    viewer.buttons[1].click()
    assert "of box" in viewer.picture.alt
    viewer.buttons[0].click()
    viewer.names.value = 0
    assert "of box" in viewer.picture.alt and not viewer.controls["reference"].disabled


def test_cases_are_read_when_they_are_shown(tmp_path):
    first, second = tmp_path / "a_flair.nii.gz", tmp_path / "b_flair.nii.gz"
    nib.save(nib.Nifti1Image(a_case().image[0], np.eye(4)), first)
    second.write_bytes(b"no image")
    viewer = case_viewer([loose(flair=first), loose(flair=second)])
    viewer.step(1)
    assert "✘" in viewer.words.value and viewer.names.value == 0
    assert "of a" in viewer.picture.alt, "the present one stays"


def test_bad_cases_are_explained(case):
    with pytest.raises(GliomakitError, match="no case to look at"):
        case_viewer([])
    with pytest.raises(GliomakitError, match="do not fit box"):
        case_viewer(case, [np.zeros((3, 2, 2, 2))])
    with pytest.raises(GliomakitError, match="2 predictions for 1 cases"):
        case_viewer(case, [None, None])
    with pytest.raises(GliomakitError, match="no such case"):
        case_viewer(case, {"bax": case.regions()})
    case.image[1, 3, 3, 3] = np.nan
    with pytest.raises(GliomakitError, match="box: t1 has voxels that are no numbers"):
        case_viewer(case)


def test_what_goes_wrong_later_is_said_and_the_picture_stays(case):
    viewer = case_viewer(case)
    drawn = bytes(viewer.image.value)
    viewer.draw = lambda **_: (_ for _ in ()).throw(GliomakitError("a <b> fault"))
    viewer.controls["x"].value = 7
    assert "a &lt;b&gt; fault" in viewer.words.value and bytes(viewer.image.value) == drawn


def test_a_viewer_says_a_sentence_without_a_kernel(case):
    viewer = case_viewer(case)
    shown = viewer._repr_mimebundle_()
    assert "Run this cell" in shown["text/html"] and "Run this cell" in shown["text/plain"]
    assert shown["application/vnd.jupyter.widget-view+json"]["model_id"] == viewer.box.model_id


def test_without_widgets_there_is_the_picture(case, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "ipywidgets", None)
    picture = case_viewer(case)
    assert "FLAIR of box" in picture.alt and "not installed" in capsys.readouterr().out


def test_every_control_has_a_name(case):
    viewer = case_viewer(case)
    assert all(c.description for c in (*viewer.controls.values(), *viewer.buttons, viewer.names))


# --- explorers ------------------------------------------------------------------------------------


def test_the_rate_explorer_draws_as_sliders_move():
    from gliomakit._schedules import rates

    explorer = rate_explorer()
    drawn, picture = bytes(explorer.image.value), explorer.picture
    explorer.set(rise=0.5, factor=0.9, every=10, cycle=(0.8, 0.9))
    assert explorer.picture is picture and bytes(explorer.image.value) != drawn
    line = picture.stage.lines["step", 0]
    np.testing.assert_allclose(line.get_ydata(), rates("step", 1000, 3e-3, 0.5, 0.9, 10))
    assert picture.stage.lines["one-cycle", 1].get_ydata().min() == pytest.approx(0.8)
    with pytest.raises(GliomakitError, match="make no curve"):
        rate_explorer(([1e-3], [1.0]))


def test_the_loss_explorer_follows_its_controls():
    from gliomakit._pulling import pull, toy

    explorer = loss_explorer()
    explorer.set(radius=5, across=0, down=2, grow=1, sure=0.8, loss="weighted-dice-simple")
    reference, probability = toy(5, (0, 2), 1, 0.8)
    value = pull("weighted-dice-simple", probability, reference)[0]
    assert f"weighted-dice-simple {value:.3f}" in explorer.picture.alt
    explorer.set(erased=True, radius=0)
    assert "0 of them tumour" in explorer.picture.alt


def test_the_threshold_explorer_chooses_windows_region_and_size():
    case, first = blurred()
    explorer = threshold_explorer(case, {"a": first, "b": first * 0.5})
    said = explorer.picture.alt
    explorer.set(min_wt_share=1.0, region="tc")
    assert "tumour core at 0.50" in explorer.picture.alt != said
    picture = explorer.picture
    explorer.controls["windows"].value = "b"
    assert "Dice 0.000" in explorer.picture.alt and explorer.picture is picture
    with pytest.raises(GliomakitError, match="no probabilities"):
        threshold_explorer(case, {})


def test_windows_are_blended_as_segment_does(monkeypatch):
    import torch

    from gliomakit.course.windows import by_windows
    from gliomakit.inference import segment
    from gliomakit.model import Model, Settings
    from gliomakit.unet import LightUNet3d

    torch.manual_seed(0)
    network = LightUNet3d(4, 3, 4).eval()
    model = Model(network, Settings(patch=(32, 32, 32), trained_on="nothing"))
    case = a_case(spacing=(4.0, 4.0, 4.0))
    found = by_windows(case, model, overlaps=(0.5,))
    expected = segment(case, model, device="cpu", mirror=False, overlap=0.5, skip=False)
    np.testing.assert_allclose(found["overlap 0.5, Gaussian"], expected.probability, atol=1e-5)
    assert not np.allclose(found["overlap 0.5, mean"], expected.probability, atol=1e-5)
    with pytest.raises(GliomakitError, match="no blending"):
        by_windows(case, model, (0.5,), ("maximum",))


def test_the_patch_explorer_counts_anew():
    explorer = patch_explorer(head())
    explorer.set(size=8, foreground=1.0)
    assert "0 of 48 patches are empty" in explorer.picture.alt
    explorer.set(foreground=0.0, number=16, turned=True, intensity=True, seed=4)
    assert " of 16 patches are empty" in explorer.picture.alt


EXPLORERS = {
    "patch": lambda: patch_explorer(head()),
    "loss": lambda: loss_explorer(),
    "threshold": lambda: threshold_explorer(*blurred()),
    "rate": lambda: rate_explorer(),
}
MOVED = {"patch": "seed", "loss": "across", "threshold": "threshold", "rate": "rise"}


@pytest.mark.parametrize("name", EXPLORERS)
def test_an_explorer_has_names_and_a_sentence(name):
    explorer = EXPLORERS[name]()
    assert all(control.description for control in explorer.controls.values())
    assert "Run this cell" in explorer._repr_mimebundle_()["text/html"]
    assert bytes(explorer.image.value).startswith(b"\x89PNG") and explorer.picture.alt


@pytest.mark.parametrize("name", EXPLORERS)
def test_an_explorer_without_widgets_is_its_picture(name, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "ipywidgets", None)
    assert EXPLORERS[name]().png()[:4] == b"\x89PNG"
    assert "not installed" in capsys.readouterr().out


# --- nothing is kept ------------------------------------------------------------------------------


def kept_after(moves, redraw):
    """Objects, and bytes of the process's memory, that stay after so many redraws."""
    for i in range(40):
        redraw(i)

    def now():
        gc.collect()
        pages = Path("/proc/self/statm")
        held = int(pages.read_text().split()[1]) * 4096 if pages.exists() else 0
        return np.array([len(gc.get_objects()), held])

    before = now()
    for i in range(moves):
        redraw(i)
    return now() - before


def test_five_hundred_redraws_leave_nothing_behind(case):
    viewer = case_viewer(case, [np.roll(case.regions(), 1, axis=2)])
    viewer.picture.set_dpi(30)  # what is kept does not depend on it, what it takes does

    def redraw(i):
        viewer.set(x=5 + i % 10, z=2 + i % 5, reference=("fill", "outline")[i % 2])

    objects, held = kept_after(500, redraw)
    assert objects < 500 and held < 500 * len(viewer.image.value)
    pyplot = sys.modules.get("matplotlib.pyplot")
    assert pyplot is None or not pyplot.get_fignums()


def test_changing_cases_leaves_nothing_behind(case):
    viewer = case_viewer([case, a_case("other")])
    objects, _ = kept_after(20, lambda i: viewer.open(i % 2))
    assert objects < 500


@pytest.mark.parametrize("name", EXPLORERS)
def test_an_explorers_redraws_leave_nothing_behind(name):
    explorer = EXPLORERS[name]()
    explorer.picture.set_dpi(30)
    control = explorer.controls[MOVED[name]]
    low, high = control.min, control.max
    kind = int if isinstance(low, int) else float

    def redraw(i):
        control.value = kind(low + (0.2 + 0.06 * (i % 10)) * (high - low))

    objects, _ = kept_after(100, redraw)
    assert objects < 500
