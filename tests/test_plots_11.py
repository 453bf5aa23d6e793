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
