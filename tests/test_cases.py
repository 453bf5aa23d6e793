"""Cases: found, read in one form, and a label written back. Oracles: nibabel, SimpleITK."""

import itertools
import json
import os
import pickle
from contextlib import contextmanager

import nibabel as nib
import numpy as np
import pytest
import SimpleITK as sitk

from gliomakit.cases import (
    Case,
    Grid,
    find_cases,
    loose,
    open_label,
    read_label,
    write_label,
)
from gliomakit.errors import GliomakitError
from gliomakit.regions import SEQUENCES

SHAPE = (5, 6, 7)
LPS = np.array([[-1.0, 0, 0, 2], [0, -1, 0, 9], [0, 0, 2, 1], [0, 0, 0, 1]])
YEARS = {
    "brats2017": ("_", ".nii.gz", dict(flair="flair", t1="t1", t1ce="t1ce", t2="t2")),
    "brats2018": ("_", ".nii", dict(flair="FLAIR", t1="T1", t1ce="t1Gd", t2="T2")),
    "brats2023": ("-", ".nii.gz", dict(flair="t2f", t1="t1n", t1ce="t1c", t2="t2w")),
    "capital": ("-", ".nii", dict(flair="t2f", t1="t1n", t1ce="t1c", t2="t2W")),
}
MODALITY = {"0": "FLAIR", "1": "T1w", "2": "t1gd", "3": "T2w"}
LABELS = {"0": "background", "1": "edema", "2": "non-enhancing tumor", "3": "enhancing tumour"}


@contextmanager
def refused(*words):
    """What is done inside must end in one line that holds all words."""
    with pytest.raises(GliomakitError) as caught:
        yield
    text = str(caught.value)
    assert "\n" not in text and all(str(word) in text for word in words), text


def voxels(number, shape=SHAPE):
    """An image that is told apart from others."""
    return np.random.default_rng(number).integers(1, 100, shape).astype(np.int16) + 100 * number


def tumour(*values, shape=SHAPE):
    """A label in which these values occur, without any symmetry."""
    label = np.zeros(shape, np.uint8)
    for n, value in enumerate(values):
        label[n, 1 : 3 + n, 2:4] = value
    return label


def save(path, array, affine=LPS):
    path.parent.mkdir(parents=True, exist_ok=True)
    nib.save(nib.Nifti1Image(array, affine), path)
    return path


def brats(folder, year="brats2017", label=(1, 2, 4), leave_out=(), affine=LPS):
    between, end, names = YEARS[year]
    for n, sequence in enumerate(SEQUENCES):
        if sequence not in leave_out:
            save(folder / f"{folder.name}{between}{names[sequence]}{end}", voxels(n), affine)
    if label:
        save(folder / f"{folder.name}{between}seg{end}", tumour(*label), affine)
    return folder


def msd(folder, modality=MODALITY, labels=LABELS, order=None, values=(1, 2, 3)):
    """An MSD data set of one training and one test image; order: of `voxels` in the 4-D file."""
    stack = np.stack([voxels(n) for n in order or range(len(modality))], axis=-1)
    save(folder / "imagesTr" / "A.nii.gz", stack)
    save(folder / "labelsTr" / "A.nii.gz", tumour(*values))
    save(folder / "imagesTs" / "B.nii.gz", stack)
    content = {
        "modality": modality,
        "labels": labels,
        "training": [{"image": "./imagesTr/A.nii.gz", "label": "./labelsTr/A.nii.gz"}],
        "test": ["./imagesTs/B.nii.gz"],
    }
    (folder / "dataset.json").write_text(json.dumps(content))
    return folder


def ras(array, affine=LPS):
    """nibabel's canonical array of a stored one."""
    return np.asarray(nib.as_closest_canonical(nib.Nifti1Image(array, affine)).dataobj)


def moved(mm):
    """The grid's affine, moved to the right."""
    affine = LPS.copy()
    affine[0, 3] += mm
    return affine


# ---- BraTS folders ---------------------------------------------------------------------------


@pytest.mark.parametrize("year", YEARS)
def test_brats_folder_of_any_year(year, tmp_path):
    new = year in ("brats2023", "capital")
    values = (1, 2, 3) if new else (1, 2, 4)
    (files,) = find_cases(brats(tmp_path / "P1", year, values))
    case = files.read()
    assert (files.name, files.kind, case.name) == ("P1", "brats", "P1")
    assert case.present == SEQUENCES and case.image.dtype == np.float32
    assert case.image.flags.c_contiguous and case.image.shape == (4, *SHAPE)
    for n, sequence in enumerate(SEQUENCES):
        assert np.array_equal(case.sequence(sequence), ras(voxels(n)))
    assert case.label.dtype == np.uint8 and np.array_equal(case.label, ras(tumour(*values)))
    assert case.convention == ("brats2023" if new else "brats2017")
    assert case.spacing == (1, 1, 2) and case.grid.axes == "LPS" and case.grid.shape == SHAPE
    assert np.allclose(
        case.affine, nib.as_closest_canonical(nib.Nifti1Image(voxels(0), LPS)).affine
    )
    assert case.regions().sum(axis=(1, 2, 3)).tolist() == [18, 12, 8]


def test_brats_2024_is_2023_with_a_cavity(tmp_path):
    (files,) = find_cases(brats(tmp_path / "P1", "brats2023", (1, 2, 3, 4)))
    assert files.read().convention == "brats2024"
    assert files.hint == "brats2023" and files.read(label=False).convention == "brats2023"


@pytest.mark.parametrize("missing", [("t1",), ("flair", "t2"), ("t1", "t1ce", "t2")])
def test_missing_sequences_are_recorded(missing, tmp_path):
    case = find_cases(brats(tmp_path / "P1", leave_out=missing))[0].read()
    assert case.present == tuple(s for s in SEQUENCES if s not in missing)
    for n, sequence in enumerate(SEQUENCES):
        assert case.image[n].any() == (sequence not in missing)
    with refused("case P1 has no sequence", missing[0]):
        case.sequence(missing[0])


def test_folders_of_case_folders_and_splits(tmp_path):
    brats(tmp_path / "HGG" / "P2")
    brats(tmp_path / "LGG" / "P1", label=None)
    msd(tmp_path / "Task01")
    (tmp_path / ".hidden").mkdir()
    names = {split: [f.name for f in find_cases(tmp_path, split)] for split in ("training", "test")}
    assert names == {"training": ["P2", "A"], "test": ["P1", "B"]}
    assert [f.name for f in find_cases(tmp_path)] == ["P2", "P1", "A", "B"]
    assert find_cases(tmp_path / "LGG", "training") == []
    with refused("no split 'val'"):
        find_cases(tmp_path, "val")


def test_nothing_there(tmp_path):
    (tmp_path / "notes.txt").touch()
    with refused(tmp_path, "no case was found here", "--flair"):
        find_cases(tmp_path)
    with refused(tmp_path / "none", "there is no such file"):
        find_cases(tmp_path / "none")
    save(tmp_path / "P1" / "P1_seg.nii.gz", tumour(1, 2, 4))
    with refused("no case was found here"):
        find_cases(tmp_path / "P1")


def test_a_sequence_twice(tmp_path):
    folder = brats(tmp_path / "P1")
    save(folder / "P1_t1gd.nii", voxels(7))
    with refused(folder, "P1_t1ce.nii.gz and P1_t1gd.nii are both t1ce", "given twice"):
        find_cases(folder)
    path = folder / "P1_t1.nii.gz"
    with refused("P1_t1.nii.gz: the same file is given twice, as flair and t1ce"):
        loose(flair=path, t1ce=folder / ".." / "P1" / "P1_t1.nii.gz")
    with refused("given twice, as t1 and label"):
        loose(t1=path, label=path)


# ---- MSD -------------------------------------------------------------------------------------


def test_msd_data_set(tmp_path):
    files, test = find_cases(msd(tmp_path))
    case = files.read()
    assert (files.kind, files.name, test.label) == ("msd", "A", None)
    assert np.array_equal(case.image, np.stack([ras(voxels(n)) for n in range(4)]))
    assert case.convention == "msd" == test.read().convention and test.read().label is None
    assert np.array_equal(case.label, ras(tumour(1, 2, 3)))
    assert case.grid.shape == SHAPE and case.mask is None
    assert pickle.loads(pickle.dumps(case)).grid.difference(case.grid) is None


def test_msd_sequences_by_name_in_any_order(tmp_path):
    for n, order in enumerate(itertools.islice(itertools.permutations(range(4)), 0, 24, 5)):
        modality = {str(place): MODALITY[str(which)] for place, which in enumerate(order)}
        folder = msd(tmp_path / str(n), modality, order=order)
        case = find_cases(folder, "training")[0].read()
        assert np.array_equal(case.image, np.stack([ras(voxels(n)) for n in range(4)]))


def test_msd_with_fewer_or_other_volumes(tmp_path):
    modality = {"0": "ADC", "1": "T2w", "2": "T1w"}
    case = find_cases(msd(tmp_path / "a", modality))[0].read()
    assert case.present == ("t1", "t2")
    assert np.array_equal(case.sequence("t1"), ras(voxels(2)))
    case = find_cases(msd(tmp_path / "b", {"0": "FLAIR"}))[0].read()
    assert case.present == ("flair",) and np.array_equal(case.image[0], ras(voxels(0)))


def test_msd_volume_of_zeros_is_a_missing_sequence(tmp_path):
    folder = msd(tmp_path)
    stack = np.stack([voxels(n) * (n != 2) for n in range(4)], axis=-1)
    save(folder / "imagesTr" / "A.nii.gz", stack)
    assert find_cases(folder)[0].read().present == ("flair", "t1", "t2")
    save(folder / "imagesTr" / "A.nii.gz", stack * 0)
    with refused("A.nii.gz: all voxels are 0"):
        find_cases(folder)[0].read()


def test_one_msd_image(tmp_path):
    folder = msd(tmp_path / "set")
    (files,) = find_cases(folder / "imagesTr" / "A.nii.gz")
    assert files.label == folder / "labelsTr" / "A.nii.gz" and files.read().convention == "msd"
    other = save(folder / "imagesTr" / "C.nii.gz", np.stack([voxels(n) for n in range(4)], -1))
    (files,) = find_cases(other)
    assert files.label is None and files.read().present == SEQUENCES
    alone = tmp_path / "D.nii.gz"
    other.rename(alone)
    with refused(alone, "nothing says which of its volumes", "dataset.json"):
        find_cases(alone)
    with refused("is a 3-D image where a case", "--flair"):
        find_cases(save(tmp_path / "E.nii.gz", voxels(0)))


def test_3d_where_4d_is_meant_and_the_reverse(tmp_path):
    folder = msd(tmp_path / "set")
    save(folder / "imagesTr" / "A.nii.gz", voxels(0))
    with refused("A.nii.gz: is a 3-D image (5 x 6 x 7)", "4 sequences", "4-D"):
        find_cases(folder)[0].read()
    save(folder / "imagesTr" / "A.nii.gz", np.stack([voxels(0)] * 3, -1))
    with refused("is a 4-D image (5 x 6 x 7 x 3)", "4 sequences"):
        find_cases(folder)[0].read()
    four = save(tmp_path / "x_flair.nii.gz", np.stack([voxels(n) for n in range(4)], -1))
    with refused("x_flair.nii.gz: is a 4-D image (5 x 6 x 7 x 4) where one sequence, 3-D"):
        loose(flair=four).read()
    with refused("where a label, 3-D, is meant"):
        read_label(four)
    plane = save(tmp_path / "plane.nii.gz", np.ones((4, 5), np.int16))
    with refused("is 2-D"):
        loose(t1=plane).read()


def test_msd_labels_mean_what_their_names_say(tmp_path):
    swapped = {"1": "necrotic core", "2": "edema", "3": "enhancing"}
    assert find_cases(msd(tmp_path / "a", labels=swapped))[0].read().convention == "brats2023"
    files = find_cases(msd(tmp_path / "b", labels={"1": "liver", "2": "spleen", "3": "enhancing"}))
    assert files[0].read(label=False).present == SEQUENCES  # an image needs no convention
    with refused("dataset.json", "1 liver, 2 spleen", "--convention"):
        files[0].read()
    folder = msd(tmp_path / "c", labels=None)
    with refused("labelsTr", "A.nii.gz", "0, 1, 2, 3 fit msd", "--convention"):
        find_cases(folder)[0].read()
    assert find_cases(folder, convention="brats2023")[0].read().convention == "brats2023"


def test_msd_paths_that_leave_the_folder_and_files_that_are_not_there(tmp_path):
    folder = msd(tmp_path / "set")
    save(tmp_path / "secret.nii.gz", voxels(1))
    content = json.loads((folder / "dataset.json").read_text())
    (folder / "dataset.json").write_text(json.dumps(content | {"test": ["../secret.nii.gz"]}))
    with refused(folder / "dataset.json", "'../secret.nii.gz' leaves the data set's folder"):
        find_cases(folder)
    (folder / "dataset.json").write_text(json.dumps(content | {"test": ["imagesTs/Z.nii.gz"]}))
    with refused(folder / "imagesTs" / "Z.nii.gz", "there is no such file"):
        find_cases(folder)[1].read()
    (folder / "dataset.json").write_text("{")
    with refused(folder / "dataset.json", "not sound JSON"):
        find_cases(folder)


# ---- loose files, grids ----------------------------------------------------------------------


def test_loose_files_with_label_and_mask(tmp_path):
    folder = brats(tmp_path / "P1")
    inside = (voxels(9) > 940).astype(np.uint8)
    mask = save(tmp_path / "mask.nii.gz", inside * 255)
    files = loose(
        flair=folder / "P1_flair.nii.gz",
        t1ce=str(folder / "P1_t1ce.nii.gz"),
        label=folder / "P1_seg.nii.gz",
        brain_mask=mask,
    )
    case = files.read()
    assert files.name == "P1" and case.present == ("flair", "t1ce")
    assert case.mask.dtype == bool and np.array_equal(case.mask, ras(inside))
    assert case.convention == "brats2017" and case.label.any()
    assert loose(t1=tmp_path / "scan.nii.gz").name == "scan"
    assert loose(t1=folder / "a.nii", t2=folder / "b.nii").name == "P1"
    assert loose(t1=folder / "a.nii", name="me").name == "me"
    with refused("no sequence is given", "--flair"):
        loose(label=folder / "P1_seg.nii.gz")
    with refused("case X has no sequence"):
        type(files)("X", {}).read()


def test_a_mask_that_is_none(tmp_path):
    image = save(tmp_path / "t1.nii.gz", voxels(0))
    for array in (voxels(1), np.zeros(SHAPE, np.uint8), np.ones(SHAPE, np.uint8)):
        mask = save(tmp_path / "mask.nii.gz", array)
        with refused("mask.nii.gz: is not a brain mask"):
            loose(t1=image, brain_mask=mask).read()


@pytest.mark.parametrize("what", ["t1ce", "seg"])
@pytest.mark.parametrize("how", ["shape", "affine"])
def test_different_grids_are_refused_and_named(what, how, tmp_path):
    folder = brats(tmp_path / "P1")
    path = folder / f"P1_{what}.nii.gz"
    affine = moved(-3 * (how == "affine"))
    shape = (5, 6, 8) if how == "shape" else SHAPE
    save(path, tumour(1, 2, 4, shape=shape) if what == "seg" else voxels(1, shape), affine)
    name = "label" if what == "seg" else what
    difference = "5 x 6 x 7 and 5 x 6 x 8" if how == "shape" else "3 mm apart"
    with refused(path, f"{name} is not on the grid of flair (P1_flair.nii.gz)", difference):
        find_cases(folder)[0].read()
    with refused("--resample-to flair"):
        find_cases(folder)[0].read()
    case = find_cases(folder)[0].read(resample_to="flair")
    assert case.present == SEQUENCES and case.image.shape == (4, *SHAPE) and case.label.any()


def test_the_same_grid_stored_in_another_order_is_the_same(tmp_path):
    folder = brats(tmp_path / "P1")
    canonical = nib.as_closest_canonical(nib.load(folder / "P1_t1.nii.gz"))
    nib.save(canonical, folder / "P1_t1.nii.gz")
    assert np.array_equal(find_cases(folder)[0].read().sequence("t1"), ras(voxels(1)))


def smooth(shape, spacing, origin):
    """A linear ramp over the patient's space, which linear interpolation keeps exactly."""
    x, y, z = (np.arange(n) * s + o for n, s, o in zip(shape, spacing, origin))
    ramp = 2 * x[:, None, None] + 3 * y[:, None] - z + 50
    affine = np.diag([*spacing, 1.0])
    affine[:3, 3] = origin
    return ramp.astype(np.float32), affine


def test_resample_to_a_sequence_or_a_file(tmp_path):
    coarse, coarse_affine = smooth((12, 10, 8), (1.0, 1.5, 2.0), (-3.0, -4.0, -5.0))
    fine, fine_affine = smooth((11, 12, 13), (0.8, 1.0, 0.9), (-2.0, -3.0, -4.0))
    t1 = save(tmp_path / "t1.nii.gz", coarse, coarse_affine)
    t2 = save(tmp_path / "t2.nii.gz", fine[::-1], fine_affine @ flip(fine.shape))
    labelled = np.zeros(coarse.shape, np.uint8)
    labelled[3:7, 3:7, 2:6] = 4
    label = save(tmp_path / "x_seg.nii.gz", labelled, coarse_affine)
    mask = save(tmp_path / "mask.nii.gz", (labelled > 0).astype(np.uint8), coarse_affine)
    files = loose(t1=t1, t2=t2, label=label, brain_mask=mask)
    with refused("t2 is not on"):
        files.read()
    case = files.read(resample_to="t2")
    assert case.grid.axes == "LAS" and case.grid.shape == fine.shape
    assert np.array_equal(case.sequence("t2"), fine)
    assert np.allclose(case.sequence("t1"), fine, atol=1e-3)
    assert set(np.unique(case.label)) == {0, 4} and np.array_equal(case.mask, case.label > 0)
    image = sitk.Resample(sitk.ReadImage(label), sitk.ReadImage(t2), sitk.Transform(), 1)
    expected = sitk.GetArrayFromImage(image).transpose(2, 1, 0)[::-1]
    assert np.array_equal(case.label, expected)

    onto_file = files.read(resample_to=t1)
    onto_name = files.read(resample_to="t1")
    assert np.array_equal(onto_file.image, onto_name.image)
    assert np.array_equal(onto_file.sequence("t1"), coarse)
    inside = onto_file.sequence("t2")[2:9, 1:7, 1:6]
    assert np.allclose(inside, coarse[2:9, 1:7, 1:6], atol=1e-3)
    assert files.read(resample_to=str(t1)).grid.difference(onto_name.grid) is None
    with refused("case", "has no sequence flair to resample to", "t1, t2"):
        files.read(resample_to="flair")
    with refused("elsewhere.nii", "there is no such file"):
        files.read(resample_to="elsewhere.nii")


def flip(shape):
    """To the affine of an array whose first axis is turned round."""
    turn = np.diag([-1.0, 1, 1, 1])
    turn[0, 3] = shape[0] - 1
    return turn


def test_resampling_something_that_lies_elsewhere(tmp_path):
    t1 = save(tmp_path / "t1.nii", voxels(0))
    t2 = save(tmp_path / "t2.nii", voxels(1), moved(300))
    with refused("t2.nii: nothing of it lies on the grid of t1.nii"):
        loose(t1=t1, t2=t2).read(resample_to="t1")


def test_every_orientation_is_read_as_simpleitk_reads_it_and_written_back(tmp_path):
    for order in itertools.permutations(range(3)):
        for signs in itertools.product((1, -1), repeat=3):
            affine = np.eye(4)
            affine[:3, :3] = np.eye(3)[:, order] * signs * [1.0, 2.0, 3.0]
            affine[:3, 3] = 4, -5, 6
            stored = tumour(1, 2, 4)
            image = save(tmp_path / "a_t1.nii", voxels(1), affine)
            label = save(tmp_path / "a_seg.nii", stored, affine)
            case = loose(t1=image, label=label).read()
            turned = sitk.DICOMOrient(sitk.ReadImage(image), "RAS")
            assert np.array_equal(
                case.sequence("t1"), sitk.GetArrayFromImage(turned).transpose(2, 1, 0)
            )
            assert np.allclose(case.spacing, turned.GetSpacing())
            write_label(case.label, case, tmp_path / "out.nii.gz")
            written = nib.load(tmp_path / "out.nii.gz")
            assert np.array_equal(written.dataobj, stored)
            assert np.array_equal(written.affine, affine)
            assert np.array_equal(read_label(tmp_path / "out.nii.gz")[0], case.label)


# ---- voxels ----------------------------------------------------------------------------------


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf, 1e300])
def test_nan_and_infinite_voxels(bad, tmp_path):
    array = voxels(0).astype(np.float64)
    array[1, 2, 3] = array[0, 0, 0] = bad
    path = save(tmp_path / "t1.nii.gz", array)
    with refused(path, "t1 has 2 voxels that are NaN or infinite"):
        loose(t1=path).read()


@pytest.mark.parametrize("value", [0, 7])
def test_an_image_without_contrast(value, tmp_path):
    path = save(tmp_path / "t1.nii.gz", np.full(SHAPE, value, np.int16))
    with refused(path, f"all voxels of t1 are {value}"):
        loose(t1=path).read()


def test_a_label_of_floats_that_are_whole(tmp_path):
    path = save(tmp_path / "a_seg.nii.gz", tumour(1, 2, 4).astype(np.float32) - 4e-4)
    label = open_label(path)
    assert label.convention == "brats2017" and label.array.dtype == np.uint8
    assert np.array_equal(label.array, ras(tumour(1, 2, 4)))
    assert label.grid.axes == "LPS"


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (0.5, "must hold whole numbers, but it holds 1.5"),
        (np.nan, "a label with NaN"),
        (np.inf, "a label with NaN or infinite"),
        (1e30, "fit no known convention"),
        (-2, "fit no known convention"),
        (300, "label values 0, 2, 4, 301 fit no known convention"),
        (6, "label values 0, 2, 4, 7 fit no known convention"),
    ],
)
def test_a_label_that_is_none(change, words, tmp_path):
    array = tumour(1, 2, 4).astype(np.float64)
    array[array == 1] += change
    with refused("a.nii.gz: ", words):
        read_label(save(tmp_path / "a.nii.gz", array))


def test_a_label_that_needs_asking(tmp_path):
    path = save(tmp_path / "a.nii.gz", tumour(1, 2, 3))
    with refused(path, "0, 1, 2, 3 fit msd, brats2015, brats2023 and brats2024", "--convention"):
        read_label(path)
    assert read_label(path, "msd")[1] == read_label(path, names_hint="msd")[1] == "msd"
    with refused(path, "value 3 is not in the convention brats2017", "would fit --convention msd"):
        read_label(path, "brats2017")
    folder = brats(tmp_path / "P1", label=(1, 2, 3))
    with refused("P1_seg.nii.gz", "value 3 is not in the convention brats2017", "--convention msd"):
        find_cases(folder)[0].read()
    assert find_cases(folder, convention="msd")[0].read().convention == "msd"
    assert not read_label(save(tmp_path / "b.nii", tumour()))[0].any()


# ---- writing ---------------------------------------------------------------------------------


def made(convention="msd"):
    """A case made in memory."""
    grid = Grid(SHAPE, LPS)
    image = np.stack([ras(voxels(n)) for n in range(4)]).astype(np.float32)
    return Case("made", image, SEQUENCES, grid.ras.affine, grid, convention=convention)


def test_a_label_and_its_json(tmp_path):
    case, label = made(), ras(tumour(1, 2, 3))
    path = tmp_path / "out" / "made.nii.gz"
    extra = {"volumes_ml": {"wt": np.float32(1.5)}, "weights": path, "shape": np.arange(3)}
    write_label(label, case, path, extra)
    content = json.loads((tmp_path / "out" / "made.json").read_text())
    assert content == {
        "case": "made",
        "label": "made.nii.gz",
        "convention": "msd",
        "volumes_ml": {"wt": 1.5},
        "weights": str(path),
        "shape": [0, 1, 2],
    }
    written = nib.load(path)
    assert written.get_data_dtype() == np.uint8 and np.array_equal(written.affine, LPS)
    assert np.array_equal(written.dataobj, tumour(1, 2, 3))
    array, convention = read_label(path)  # the JSON beside it decides
    assert convention == "msd" and np.array_equal(array, label)
    write_label(label, case, path, {"convention": "brats2023"})
    assert read_label(path)[1] == "brats2023"
    assert sorted(os.listdir(path.parent)) == ["made.json", "made.nii.gz"]


@pytest.mark.parametrize("dtype", [bool, np.int64, np.float32])
def test_other_types_of_whole_numbers(dtype, tmp_path):
    write_label(np.ones(SHAPE, dtype), made(), tmp_path / "a.nii")
    assert nib.load(tmp_path / "a.nii").get_data_dtype() == np.uint8
    assert np.array_equal(nib.load(tmp_path / "a.nii").dataobj, np.ones(SHAPE))


def test_labels_that_are_not_written(tmp_path):
    label = ras(tumour(1, 2, 3))
    (tmp_path / "folder.nii").mkdir()
    (tmp_path / "file").touch()
    for wrong, path, words in (
        (label, "a.txt", "its name should end in .nii.gz"),
        (label, "folder.nii", "is a folder"),
        (label, "file/a.nii.gz", "cannot be written"),
        (label[:-1], "a.nii", "4 x 6 x 7 voxels does not fit case made of 5 x 6 x 7"),
        (label + 0.5, "a.nii", "must hold whole numbers"),
        (label * 3, "a.nii", "label values 6, 9 are not in the convention msd"),
    ):
        with refused(tmp_path / path, words):
            write_label(wrong, made(), tmp_path / path)
    with refused("must lie in 0 to 255"):
        write_label(label.astype(int) * 100, made(None), tmp_path / "a.nii")
    assert sorted(os.listdir(tmp_path)) == ["file", "folder.nii"]


def test_a_full_disk_keeps_the_older_label(tmp_path, monkeypatch):
    path = tmp_path / "a.nii.gz"
    write_label(ras(tumour(1)), made(), path)
    before = {p: p.read_bytes() for p in tmp_path.iterdir()}

    def full(_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with refused("cannot be written: No space left on device"):
        write_label(ras(tumour(1, 2, 3)), made(), path)
    assert {p: p.read_bytes() for p in tmp_path.iterdir()} == before


def test_a_case_without_label_has_no_regions():
    with refused("case made has no label"):
        made().regions()
