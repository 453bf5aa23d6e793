"""The 3-D view with ipyniivue, and the still picture without it."""

import gzip
import sys

import nibabel
import numpy as np
import pytest

from gliomakit._picture import Picture
from gliomakit.cases import Case, Grid
from gliomakit.course.view3d import SENTENCE, view_3d
from gliomakit.errors import GliomakitError
from gliomakit.regions import SEQUENCES, TISSUE_COLOURS, to_label

AFFINE = np.diag([1.0, 2.0, 3.0, 1.0])
AFFINE[:3, 3] = 5, -6, 7


@pytest.fixture
def case():
    image = np.zeros((4, 14, 13, 12), np.float32)
    image[:, 1:13, 1:12, 1:11] = np.random.default_rng(0).uniform(50, 90, (4, 12, 11, 10))
    return Case("<b>$x$", image, SEQUENCES, AFFINE, Grid((14, 13, 12), AFFINE))


@pytest.fixture
def regions():
    found = np.zeros((3, 14, 13, 12), bool)
    for region, size in zip(found, (4, 3, 2)):
        region[7 - size : 7 + size, 6 - size : 6 + size, 6 - size : 6 + size] = True
    return found


def volumes(view):
    """What the browser gets, read by nibabel."""
    return [nibabel.Nifti1Image.from_bytes(unpacked(one)) for one in view.volumes]


def unpacked(volume):
    assert volume.name.endswith(".nii.gz")
    return gzip.decompress(volume.data)


def test_the_browser_gets_the_case_and_the_label_on_one_grid(case, regions):
    view = view_3d(case, regions)
    assert type(view).__module__.startswith("ipyniivue")
    head, label = volumes(view)
    for one in (head, label):
        assert np.allclose(one.affine, AFFINE) and one.get_data_dtype() == np.uint8
    assert np.array_equal(np.asarray(label.dataobj), to_label(regions, "brats2017"))
    grey, brain = np.asarray(head.dataobj), case.image[0] != 0
    assert np.array_equal(grey > 0, brain)
    order = case.image[0][brain].argsort()
    assert (np.diff(grey[brain][order].astype(int)) >= 0).all() and np.ptp(grey[brain]) == 254
    table = np.reshape(view.volumes[1].colormap_label.lut, (-1, 4))
    assert table[0, 3] == 0 and view.volumes[1].colormap_label.max == len(table) - 1
    for value, tissue in ((2, "edema"), (1, "core"), (4, "enhancing")):
        assert "#" + bytes(table[value, :3].tolist()).hex().upper() == TISSUE_COLOURS[tissue]
        assert view.volumes[1].colormap_label.labels[value] == tissue and table[value, 3] > 0
    assert case.name not in str([one.name for one in view.volumes])
    view.close()


def test_the_reference_is_shown_without_a_prediction(case, regions):
    case.label, case.convention = to_label(regions, "msd"), "msd"
    view = view_3d(case)
    assert np.array_equal(np.asarray(volumes(view)[1].dataobj), to_label(regions, "brats2017"))
    view.close()


def test_without_ipyniivue_there_is_a_still_picture(case, regions, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "ipyniivue", None)
    picture = view_3d(case, regions)
    assert isinstance(picture, Picture) and "prediction" in picture.alt
    assert capsys.readouterr().out == SENTENCE + "\n" and "gliomakit[view3d]" in SENTENCE
    view_3d(case, np.zeros_like(regions))  # nothing found is no error


@pytest.mark.parametrize("there", [True, False])
def test_what_cannot_be_shown_is_said(case, regions, monkeypatch, there):
    if not there:
        monkeypatch.setitem(sys.modules, "ipyniivue", None)
    with pytest.raises(GliomakitError, match="has no label"):
        view_3d(case)
    with pytest.raises(GliomakitError, match="the prediction is"):
        view_3d(case, regions[:, 1:])
    with pytest.raises(GliomakitError, match="has no sequence pet"):
        view_3d(case, regions, "pet")


def test_an_image_of_no_numbers_is_refused(case, regions):
    case.image[0, 5, 5, 5] = np.nan
    with pytest.raises(GliomakitError, match="no numbers"):
        view_3d(case, regions)
