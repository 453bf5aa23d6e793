"""Slices in the LGG layout: read, refused, stacked again; and phantoms written in it."""

import numpy as np
import pytest
from PIL import Image

from gliomakit import slices
from gliomakit.errors import GliomakitError
from gliomakit.phantom.slices import MISSING, make_slices, write_slices


def write(folder, name="TCGA_1", n=3, side=16, seed=0):
    dice = np.random.default_rng(seed)
    (folder / name).mkdir(parents=True)
    for k in range(1, n + 1):
        image = dice.integers(0, 255, (side, side, 3), dtype=np.uint8)
        Image.fromarray(image).save(folder / name / f"{name}_{k}.tif")
        mask = np.zeros((side, side), np.uint8)
        mask[:k, 0] = 255
        Image.fromarray(mask).save(folder / name / f"{name}_{k}_mask.tif")
    return folder / name


def save(path, array):
    Image.fromarray(array).save(path)


def test_patients_are_found_and_read_in_numeric_order(tmp_path):
    write(tmp_path / "kaggle_3m", "TCGA_B", n=11)
    write(tmp_path / "kaggle_3m", "TCGA_A")
    (tmp_path / "kaggle_3m" / "data.csv").write_text("Patient")
    found = slices.find_patients(tmp_path)
    assert [patient.name for patient in found] == ["TCGA_A", "TCGA_B"]
    assert found == slices.find_patients(tmp_path / "kaggle_3m")
    patient = found[1]
    assert [slices.slice_of(p)[1] for p in patient.images] == list(range(1, 12))
    assert [slices.mask_of(p) for p in patient.images] == list(patient.masks)
    images, masks = slices.read_patient(patient)
    assert images.shape == (11, 16, 16, 3) and images.dtype == np.uint8
    assert masks.sum((1, 2)).tolist() == list(range(1, 12)) and masks.dtype == bool


def missing_mask(folder):
    (folder / "TCGA_1_2_mask.tif").unlink()


def missing_image(folder):
    (folder / "TCGA_1_2.tif").unlink()


def gap(folder):
    missing_mask(folder)
    missing_image(folder)


def other_size(folder):
    save(folder / "TCGA_1_2.tif", np.zeros((8, 16, 3), np.uint8))


def other_mask_size(folder):
    save(folder / "TCGA_1_3_mask.tif", np.zeros((16, 8), np.uint8))


def colour_mask(folder):
    save(folder / "TCGA_1_2_mask.tif", np.zeros((16, 16, 3), np.uint8))


def grey_mask(folder):
    save(folder / "TCGA_1_2_mask.tif", np.arange(256, dtype=np.uint8).reshape(16, 16))


def sixteen_bits(folder):
    save(folder / "TCGA_1_2.tif", np.full((16, 16), 300, np.uint16))


def greyscale(folder):
    save(folder / "TCGA_1_2.tif", np.zeros((16, 16), np.uint8))


def fourth_channel(folder):
    save(folder / "TCGA_1_2.tif", np.zeros((16, 16, 4), np.uint8))


def broken(folder):
    (folder / "TCGA_1_2.tif").write_bytes(b"II*\0 not a picture")


def cut_off(folder):
    path = folder / "TCGA_1_2.tif"
    path.write_bytes(path.read_bytes()[:300])


def huge(folder):
    Image.new("1", (5000, 10)).save(folder / "TCGA_1_2_mask.tif")


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (missing_mask, "there is no mask beside this file"),
        (missing_image, "there is no image beside this file"),
        (gap, "slice 2 is missing: 2 slices, the last is number 3"),
        (other_size, "is 8 × 16, the patient's first slice 16 × 16"),
        (other_mask_size, "is 16 × 8, the patient's first slice 16 × 16"),
        (colour_mask, "a mask has one channel of 8 bits, not Pillow's mode RGB"),
        (grey_mask, "a mask is 0 and 255, this one has 256 values up to 255"),
        (sixteen_bits, "three channels of 8 bits in the LGG data set, not Pillow's mode I;16"),
        (greyscale, "not Pillow's mode L; store pre-contrast"),
        (fourth_channel, "not Pillow's mode RGBA"),
        (broken, "cannot be read as a TIFF; it is broken or cut off; download it again"),
        (cut_off, "cannot be read as a TIFF"),
        (huge, "too large for a slice"),
    ],
)
def test_what_is_wrong_is_said_in_one_line(tmp_path, damage, said):
    damage(write(tmp_path))
    with pytest.raises(GliomakitError) as error:
        [slices.read_patient(patient) for patient in slices.find_patients(tmp_path)]
    assert said in str(error.value) and "\n" not in str(error.value)
    assert "TCGA_1" in str(error.value)


def test_an_empty_folder_and_none(tmp_path):
    with pytest.raises(GliomakitError, match="no slices in the LGG layout; gliomakit download lgg"):
        slices.find_patients(tmp_path)
    with pytest.raises(GliomakitError, match="there is no such folder"):
        slices.find_patients(tmp_path / "missing")


def test_slices_are_stacked_by_number_not_by_text():
    paths = sorted(f"TCGA_1_{n}_mask.tif" for n in range(1, 13))
    assert paths[0].endswith("_10_mask.tif")
    given = [np.full((2, 2), slices.slice_of(path)[1]) for path in paths]
    volume = slices.stack(paths, given)["TCGA_1"]
    assert volume[:, 0, 0].tolist() == list(range(1, 13))


@pytest.mark.parametrize(
    ("paths", "said"),
    [
        (["a_1.tif", "a_1_mask.tif"], "slice 1 of a is there twice"),
        (["a_1.tif", "a_3.tif"], "slice 2 of a is missing"),
        (["a_1.tif"], "2 slices for 1 names"),
        (["a.tif", "a_1.tif"], "is no slice's name"),
    ],
)
def test_what_cannot_be_stacked(paths, said):
    with pytest.raises(GliomakitError, match=said):
        slices.stack(paths, [np.zeros((2, 2))] * 2)


def test_slices_of_two_sizes_are_not_stacked():
    with pytest.raises(GliomakitError, match="differ in size"):
        slices.stack(["a_1.tif", "a_2.tif"], [np.zeros((2, 2)), np.zeros((2, 3))])


def test_a_patient_on_both_sides_of_a_split_is_refused():
    with pytest.raises(GliomakitError, match="patient a and 1 more has slices in training and in"):
        slices.check_split(["a_1.tif", "b_1.tif", "c_1.tif"], ["a_2.tif", "b_2.tif", "d_1.tif"])
    slices.check_split(["a_1.tif"], ["b_1.tif"])


# --- phantoms -------------------------------------------------------------------------------------


def test_phantoms_look_like_the_data_set(tmp_path):
    seed = 203  # neither pre-contrast nor post-contrast was taken
    assert MISSING[seed] == (0, 2)
    write_slices(tmp_path, [seed], progress=False, workers=1)
    before = (tmp_path / "kaggle_3m" / "phantom_00203").stat().st_mtime_ns
    write_slices(tmp_path, [seed], progress=False, workers=1)
    assert (tmp_path / "kaggle_3m" / "phantom_00203").stat().st_mtime_ns == before
    (patient,) = slices.find_patients(tmp_path)
    images, masks = slices.read_patient(patient)
    again, again_masks = make_slices(seed)
    assert np.array_equal(images, again) and np.array_equal(masks, again_masks)
    assert images.shape[1:] == (256, 256, 3) and 15 <= len(images) <= 40
    assert np.array_equal(images[..., 0], images[..., 1])
    assert np.array_equal(images[..., 2], images[..., 1])
    assert masks.any() and not masks.all((1, 2)).any()


def test_a_head_has_skull_scalp_and_noise_outside():
    images, masks = make_slices(200, side=128)
    flair = images[len(images) // 2, :, :, 1].astype(float)
    corner = images[:, :10, :10].astype(float)
    assert 0 < corner.mean() < 20 and corner.std() > 0
    row = flair[64]
    head = np.flatnonzero(row > 40)
    rim = row[head[0] + 2 : head[0] + 16]
    assert rim.min() < 0.6 * rim[:4].max(), "from outside: a bright scalp, then a dark skull"
    bright = np.stack([images[..., 1][masks].mean(), images[..., 1][~masks].mean()])
    assert bright[0] > 2 * bright[1], "the mask is where FLAIR is bright"
