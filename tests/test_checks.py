"""The look before the leap: hand-made brains with textbook contrast, phantoms, and the command."""

import importlib.util
import json
import sys
from dataclasses import replace
from itertools import combinations
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from gliomakit._contrast import likely_order
from gliomakit._look import look
from gliomakit._sides import SIDES, cuts
from gliomakit._tissues import better, complaints
from gliomakit.cases import Case, Grid
from gliomakit.checks import Finding, check
from gliomakit.cli import main
from gliomakit.phantom import make_case
from gliomakit.regions import SEQUENCES

SPACING = 2.0
SHAPE = (76, 92, 72)
LPS = np.array([[-2.0, 0, 0, 75], [0, -2, 0, 91], [0, 0, 2, -71], [0, 0, 0, 1]])

TISSUES = {  # flair, t1, t1ce, t2
    "white": (0.85, 1.0, 1.0, 0.7),
    "grey": (1.0, 0.8, 0.85, 1.0),
    "csf": (0.3, 0.35, 0.35, 2.0),
    "vessel": (0.9, 0.8, 2.0, 0.8),
    "edema": (1.7, 0.75, 0.78, 1.5),
    "core": (1.3, 0.5, 0.5, 1.9),
    "enhancing": (1.4, 0.8, 1.9, 1.3),
}


def brain():
    """A brain with folds, ventricles, vessels and a tumour: image (4, x, y, z), label (MSD)."""
    rng = np.random.default_rng(7)

    def wrinkles(sigma):
        noise = ndimage.gaussian_filter(rng.normal(size=SHAPE), sigma)
        return noise / noise.std()

    def ball(centre, sides):
        place = np.indices(SHAPE) - np.reshape(centre, (3, 1, 1, 1))
        return np.sqrt(((place / np.reshape(sides, (3, 1, 1, 1))) ** 2).sum(0))

    middle = np.array(SHAPE) / 2
    r = ball(middle, (34, 42, 32))
    folds = wrinkles(2)
    tissue = np.where(r < 0.8 + 0.05 * folds, "white", "grey").astype("<U9")
    tissue[(r > 0.75) & (folds > 0.9)] = "csf"
    tissue[
        np.minimum(ball(middle - (6, 0, 0), (4, 13, 6)), ball(middle + (6, 0, 0), (4, 13, 6))) < 1
    ] = "csf"
    tissue[np.hypot(wrinkles(3), wrinkles(3)) < 0.07] = "vessel"
    tumour = ball(middle + (14, 12, 4), (1, 1, 1)) + 0.8 * wrinkles(2)
    tissue[tumour < 11] = "edema"
    tissue[tumour < 7] = "enhancing"
    tissue[tumour < 5] = "core"
    inside = r < 1
    image = np.zeros((4, *SHAPE), np.float32)
    for name, values in TISSUES.items():
        image += (inside & (tissue == name)) * np.reshape(np.float32(values), (4, 1, 1, 1))
    image = ndimage.gaussian_filter(image, (0, 0.5, 0.5, 0.5))
    image *= 1 + 0.03 * rng.normal(size=image.shape).astype(np.float32)
    image = np.where(inside, np.round(300 * image).clip(1), 0).astype(np.float32)
    label = np.zeros(SHAPE, np.uint8)
    for value, name in ((1, "edema"), (2, "core"), (3, "enhancing")):
        label[inside & (tissue == name)] = value
    return image, label


IMAGE, LABEL = brain()


def case(image=IMAGE, label=LABEL, present=SEQUENCES, affine=None, convention="msd", mask=None):
    grid = Grid(image.shape[1:], LPS)
    affine = np.diag([SPACING, SPACING, SPACING, 1]) if affine is None else affine
    return Case("hand", image, present, affine, grid, label, convention, mask)


def codes(found, level="warning"):
    return [finding.code for finding in found if finding.level == level]


def only(names):
    """The hand-made case with these sequences alone."""
    image = np.zeros_like(IMAGE)
    for name in names:
        image[SEQUENCES.index(name)] = IMAGE[SEQUENCES.index(name)]
    return case(image, present=tuple(s for s in SEQUENCES if s in names))


def exchanged(image, a, b):
    """Two sequences under each other's name."""
    order = list(range(4))
    i, j = SEQUENCES.index(a), SEQUENCES.index(b)
    order[i], order[j] = j, i
    return image[order]


# ---- what is right is left alone --------------------------------------------------------------


def test_nothing_is_wrong_with_a_good_case():
    found = check(case())
    assert codes(found) == [] and codes(found, "note") == ["orientation"]
    assert "LPS" in found[0].text


@pytest.mark.parametrize("names", [n for k in (1, 2, 3) for n in combinations(SEQUENCES, k)])
def test_nothing_is_wrong_with_fewer_sequences(names):
    assert codes(check(only(names))) == []


@pytest.mark.parametrize("seed", [3001, 3003])
def test_phantoms_have_no_skull_and_right_names_and_labels(seed):
    made = make_case(seed, 2.0)
    assert not {"skull", "exchanged", "convention", "twice", "values"} & set(codes(check(made)))
    order = exchanged(made.image, "flair", "t2")
    assert "exchanged" in codes(check(replace(made, image=order)))


@given(
    gain=st.floats(0.01, 1000),
    offset=st.floats(-1000, 1000),
    flip=st.sampled_from([None, 1, 2]),
)
@settings(max_examples=8, deadline=None)
def test_gain_offset_and_mirroring_change_nothing(gain, offset, flip):
    """Whatever the scanner's units, and z-scored data too, whose background is not 0."""
    image = IMAGE * np.float32(gain) + np.float32(offset)
    image = image if flip is None else np.flip(image, flip)
    assert codes(check(case(np.ascontiguousarray(image), label=None))) == []


# ---- exchanged sequences ----------------------------------------------------------------------


@pytest.mark.parametrize(("a", "b"), list(combinations(SEQUENCES, 2)))
def test_two_exchanged_of_four(a, b):
    found = check(case(exchanged(IMAGE, a, b), label=None))
    assert codes(found) == ["exchanged"]
    names = {"flair": "FLAIR", "t1": "T1", "t1ce": "T1ce", "t2": "T2"}
    assert f"{names[a]} and {names[b]} look exchanged" in found[0].text


@pytest.mark.parametrize("order", [(1, 2, 3, 0), (3, 0, 1, 2), (3, 2, 1, 0), (1, 0, 3, 2)])
def test_a_wrong_order_of_all_four_is_named(order):
    seen = look(case(IMAGE[list(order)]))
    assert likely_order(seen)[0] == tuple(SEQUENCES[i] for i in order)
    found = check(case(IMAGE[list(order)], label=None))
    assert codes(found) == ["exchanged"] and "in this order" in found[0].text


def test_flair_and_t2_alone_exchanged():
    two = only(("flair", "t2"))
    assert codes(check(replace(two, image=exchanged(two.image, "flair", "t2"), label=None))) == [
        "exchanged"
    ]


def test_one_sequence_given_twice():
    image = IMAGE.copy()
    image[2] = 3 * image[1] + 7
    found = check(case(image, label=None))
    assert codes(found)[0] == "twice" and "T1 and T1ce are the same image" in found[0].text
    assert "exchanged" not in codes(found)


# ---- skull, background, sides -----------------------------------------------------------------


def with_skull():
    """Bone and scalp around the hand-made brain, and noise in the air."""
    inside = (IMAGE != 0).any(0)
    depth = ndimage.distance_transform_edt(~inside, [SPACING] * 3)
    rng = np.random.default_rng(3)
    image = np.where(depth > 12, 0, np.where(depth > 6, 400, np.where(depth > 0, 40, IMAGE)))
    image = np.pad(image, [(0, 0), (6, 6), (6, 6), (6, 6)], mode="edge")
    return image + rng.integers(0, 9, image.shape).astype(np.float32)


def test_a_skull_is_seen_and_stops_the_rest():
    image = with_skull()
    found = check(case(exchanged(image, "flair", "t2"), label=None))
    assert codes(found) == ["skull"]
    assert "HD-BET" in found[0].todo and "mri_synthstrip" in found[0].todo


def test_with_a_brain_mask_a_skull_does_not_matter():
    image = with_skull()
    mask = np.pad((IMAGE != 0).any(0), 6)
    assert codes(check(case(image, label=None, mask=mask))) == []
    found = check(case(exchanged(image, "flair", "t2"), label=None, mask=mask))
    assert codes(found) == ["exchanged"]


def test_a_background_that_is_not_zero_is_a_note():
    image = IMAGE - np.float32([3, 0, 0, 5]).reshape(4, 1, 1, 1)
    found = check(case(image))
    assert codes(found) == [] and "background" in codes(found, "note")
    text = next(f for f in found if f.code == "background").text
    assert "FLAIR -3, T2 -5" in text and "T1" not in text.replace("T1ce", "T1")


def test_two_backgrounds_are_a_warning():
    image = IMAGE.copy()
    half = image[1, :30]
    half[half == 0] = 200
    found = check(case(image, label=None))
    assert codes(found) == ["background"] and "T1" in found[0].text


@pytest.mark.parametrize("side", list(SIDES))
def test_a_side_cut_off(side):
    axis, way = SIDES[side]
    image = IMAGE.copy()
    cut = [slice(None)] * 4
    cut[axis + 1] = slice(0, 22) if way < 0 else slice(image.shape[axis + 1] - 22, None)
    image[tuple(cut)] = 0
    found = check(case(image, label=None))
    assert codes(found) == ["cut"] and side in found[0].text
    image = IMAGE.copy()
    image[(1, *cut[1:])] = 0
    found = check(case(image, label=None))
    assert codes(found) == ["cut"] and f"T1 ends early at the {side}" in found[0].text


def test_an_oblique_cut():
    height = np.indices(SHAPE)[1] + 0.25 * np.indices(SHAPE)[2]
    found = cuts(look(case(IMAGE * (height > 40))))
    assert [c.side for c in found] == ["back"]


# ---- labels -----------------------------------------------------------------------------------


@pytest.mark.parametrize(("a", "b"), [(1, 2), (1, 3), (2, 3)])
def test_tissues_exchanged_in_a_label(a, b):
    table = np.arange(4, dtype=np.uint8)
    table[[a, b]] = b, a
    found = check(case(label=table[LABEL]))
    assert codes(found) == ["convention"]


def test_the_other_convention_is_proposed():
    found = check(case(convention="brats2023"))
    assert codes(found) == ["convention"] and "--convention msd" in found[0].todo
    voxels = (LABEL, "brats2023", IMAGE[2], (IMAGE != 0).any(0), (SPACING,) * 3)
    assert better(*voxels) == ["msd"] and len(complaints(*voxels)) == 1


@pytest.mark.parametrize("keep", [(), (1,), (2,), (3,)])
def test_a_label_of_one_tissue_cannot_contradict(keep):
    label = np.where(np.isin(LABEL, keep), LABEL, 0)
    assert codes(check(case(label=label.astype(np.uint8)))) == []


# ---- values, spacing, orientation -------------------------------------------------------------


def test_voxels_that_are_no_numbers_and_images_of_one_value():
    image = IMAGE.copy()
    image[0, 3, 3, 3] = np.nan
    image[3] = 5
    found = check(case(image, label=None))
    assert codes(found) == ["values", "values"]
    assert "FLAIR has 1 voxel" in found[0].text and "all voxels of T2 are 5" in found[1].text
    assert codes(check(case(np.zeros_like(IMAGE), label=None))) == ["values"] * 4


@pytest.mark.parametrize(
    ("spacing", "words"), [((0.9, 0.9, 5.5), "5.5 mm thick"), ((4, 4, 4), "coarse")]
)
def test_thick_slices_and_coarse_voxels(spacing, words):
    found = check(case(affine=np.diag([*spacing, 1])))
    assert words in next(f for f in found if f.code == "spacing").text


@pytest.mark.parametrize("affine", [np.eye(4), np.eye(4) + np.outer([0, 0, 40, 0], [0, 0, 0, 1])])
def test_an_identity_affine_does_not_say_which_side_is_left(affine):
    found = check(replace(case(), grid=Grid(SHAPE, affine)))
    assert codes(found) == ["orientation"] and "left and right" in found[0].text


@given(
    shape=st.tuples(*[st.integers(1, 12)] * 3),
    sequences=st.sets(st.sampled_from(SEQUENCES), min_size=1),
    seed=st.integers(0, 99),
)
@settings(max_examples=25, deadline=None)
def test_any_array_can_be_looked_at(shape, sequences, seed):
    rng = np.random.default_rng(seed)
    image = rng.choice([0, 1, 7, np.nan], (4, *shape), p=[0.6, 0.2, 0.19, 0.01])
    present = tuple(s for s in SEQUENCES if s in sequences)
    label = rng.integers(0, 4, shape).astype(np.uint8)
    spacing = rng.uniform(0.3, 6, 3)
    one = Case("a", image.astype(np.float32), present, np.diag([*spacing, 1]), Grid(shape, LPS))
    one.label, one.convention = label, "msd"
    for finding in check(one):
        assert isinstance(finding, Finding) and finding.text and "\n" not in str(finding)


# ---- the command ------------------------------------------------------------------------------


def save(path, array, affine=LPS):
    path.parent.mkdir(parents=True, exist_ok=True)
    # The arrays here are RAS, the files LPS.
    stored = array[::-1, ::-1] if affine is LPS else array
    nib.save(nib.Nifti1Image(stored.astype(np.int16), affine), path)
    return path


@pytest.fixture
def folder(tmp_path):
    """The hand-made case as a BraTS folder."""
    place = tmp_path / "case"
    for name, volume in zip(SEQUENCES, IMAGE):
        save(place / f"case_{name}.nii.gz", volume)
    save(place / "case_seg.nii.gz", np.uint8([0, 2, 1, 4])[LABEL])
    return place


@pytest.fixture
def run(capsys):
    def call(*words):
        code = main([str(word) for word in words])
        return code, *capsys.readouterr()

    return call


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    import torch

    from gliomakit.model import Model, Settings, save_model
    from gliomakit.unet import UNet3d

    torch.manual_seed(0)
    network = UNet3d(4, 3, base_filters=2, norm="instance")
    path = tmp_path_factory.mktemp("weights") / "tiny.safetensors"
    return save_model(Model(network, Settings(patch=(32, 32, 32), spacing=(4.0, 4.0, 4.0))), path)


def test_check_says_what_is_there(run, folder, weights):
    code, out, err = run("check", folder, "--weights", weights)
    assert (code, err) == (0, "") and out.splitlines()[0] == "case"
    for words in (
        "76 x 92 x 72",
        "LPS",
        "FLAIR, T1, T1ce, T2",
        "nothing looks wrong",
        "windows on",
    ):
        assert words in out
    code, out, _ = run("check", folder, "--weights", weights, "--json")
    one = json.loads(out)["cases"][0]
    assert code == 0 and one["estimate"]["windows"] > 0 and one["estimate"]["memory_mb"] > 10
    assert [f["level"] for f in one["findings"]] == ["note"]


def test_check_says_no_to_exchanged_files_and_labels(run, folder, weights):
    line = ["check", "--weights", weights]
    for name, file in zip(SEQUENCES, ("t2", "t1", "t1ce", "flair")):
        line += [f"--{name}", folder / f"case_{file}.nii.gz"]
    code, out, _ = run(*line)
    assert code == 1 and "FLAIR and T2 look exchanged" in out
    label = save(folder / "other.nii.gz", LABEL)
    line = [*line[:3], "--flair", folder / "case_flair.nii.gz", "--label", label]
    assert run(*line, "--convention", "msd")[0] == 0
    code, out, _ = run(*line, "--convention", "brats2023")
    assert code == 1 and "--convention msd" in out
    code, out, _ = run(*line)
    assert code == 1 and "label other.nii.gz cannot be used" in out and "--convention" in out


def test_different_grids_are_a_finding_and_the_rest_is_looked_at(run, folder, weights):
    thick = LPS @ np.diag([1, 1, 2, 1])
    stored = IMAGE[0, ::-1, ::-1, ::2].astype(np.int16)
    nib.save(nib.Nifti1Image(stored, thick), folder / "case_flair.nii.gz")
    line = ["check", folder, "--weights", weights]
    code, out, _ = run(*line)
    assert code == 1 and "not on the grid of FLAIR" in out and "--resample-to t1" in out
    assert run(*line, "--resample-to", "t1")[0] == 0
    code, out, _ = run(*line, "--resample-to", "flair")
    assert code == 1 and "4 mm thick" in out


def test_segment_warns_and_goes_on(run, folder, weights, tmp_path, monkeypatch):
    (folder / "case_seg.nii.gz").unlink()
    (folder / "case_flair.nii.gz").rename(folder / "x.nii.gz")
    (folder / "case_t2.nii.gz").rename(folder / "case_flair.nii.gz")
    (folder / "x.nii.gz").rename(folder / "case_t2.nii.gz")
    line = ["segment", folder, "--weights", weights, "--out", tmp_path / "out.nii.gz", "--json"]
    code, out, err = run(*line)
    assert code == 0 and err.startswith("gliomakit: warning: case: FLAIR and T2 look exchanged")
    assert err.count("\n") == 1
    told = json.loads(out)["cases"][0]["warnings"]
    assert [w["code"] for w in told] == ["exchanged"]
    assert json.loads((tmp_path / "out.json").read_text())["warnings"] == told
    code, out, err = run(*line, "--no-check")
    assert (code, err) == (0, "") and json.loads(out)["cases"][0]["warnings"] == []

    def fail(_):
        raise ZeroDivisionError

    monkeypatch.setattr("gliomakit.checks.check", fail)
    code, out, err = run(*line)
    assert (code, err) == (0, "") and json.loads(out)["cases"][0]["warnings"] == []


@pytest.mark.parametrize(
    ("line", "words"),
    [
        (["check"], ["nothing is given to check", "--flair"]),
        (["check", "missing"], ["missing"]),
        (["check", "--flair", "missing.nii.gz"], ["missing.nii.gz"]),
        (["check", "--flair", "words.nii.gz"], ["words.nii.gz"]),
        (["check", "--flair", "words.nii.gz", "case"], ["both"]),
        (["check", "case", "--label", "l.nii.gz"], ["--label"]),
        (["check", "case", "--weights", "none.safetensors"], ["none.safetensors"]),
        (["check", "case", "--convention", "brats"], ["brats2017"]),
        (["check", "case", "--resample-to", "t9"], ["t9"]),
        (["check", "broken"], ["broken_flair.nii.gz"]),
        (["check", "case", "--nonsense"], ["--nonsense", "gliomakit check --help"]),
    ],
)
def test_bad_input_is_one_line(run, folder, tmp_path, monkeypatch, weights, line, words):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "words.nii.gz").write_text("these are words")
    (tmp_path / "broken").mkdir()
    whole = (folder / "case_flair.nii.gz").read_bytes()
    (tmp_path / "broken" / "broken_flair.nii.gz").write_bytes(whole[: len(whole) // 2])
    code, out, err = run(*line, *([] if "--weights" in line else ["--weights", weights]))
    assert code == 2 and out == "" and err.count("\n") == 1, err
    assert err.startswith("gliomakit: error: ") and all(word in err for word in words)


def test_a_bad_case_among_others_is_said_at_the_end(run, folder, weights):
    bad = folder.parent / "zbad"
    bad.mkdir()
    (bad / "zbad_flair.nii.gz").write_text("these are words")
    code, out, err = run("check", folder.parent, "--weights", weights, "--json")
    told = json.loads(out)
    assert code == 2 and err.count("\n") == 1 and "zbad" in err
    assert [c["case"] for c in told["cases"]] == ["case"] and len(told["failed"]) == 1


# ---- the published table ----------------------------------------------------------------------


def test_the_table_says_what_the_results_say(monkeypatch):
    path = Path(__file__).parents[1] / "results" / "checks.py"
    spec = importlib.util.spec_from_file_location("checks_results", path)
    script = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, spec.name, script)  # where dataclasses look for their types
    spec.loader.exec_module(script)
    content = json.loads(path.with_suffix(".json").read_text())
    assert path.with_suffix(".md").read_text() == script.markdown(content)
