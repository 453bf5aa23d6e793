"""Which file is which sequence, and what a label's numbers mean."""

import json
from pathlib import Path

import pytest

from gliomakit._conventions import data_set_convention, label_hint, tissue
from gliomakit._layouts import names_hint, read_dataset, role, sort_folder
from gliomakit.cases import decide_convention
from gliomakit.errors import GliomakitError

MSD = {
    "name": "BRATS",
    "modality": {"0": "FLAIR", "1": "T1w", "2": "t1gd", "3": "T2w"},
    "labels": {
        "0": "background",
        "1": "edema",
        "2": "non-enhancing tumor",
        "3": "enhancing tumour",
    },
    "training": [{"image": "./imagesTr/A.nii.gz", "label": "./labelsTr/A.nii.gz"}],
    "test": ["./imagesTs/B.nii.gz"],
}


def dataset(folder: Path, **changes) -> Path:
    content = {key: value for key, value in (MSD | changes).items() if value is not None}
    path = folder / "dataset.json"
    path.write_text(json.dumps(content))
    return path


@pytest.mark.parametrize(
    ("names", "hint"),
    [
        ("X_flair X_t1 X_t1ce X_t2", "brats2017"),
        ("X_t1Gd X_T2", "brats2017"),
        ("BraTS-GLI-1-t2f BraTS-GLI-1-t1n BraTS-GLI-1-t1c BraTS-GLI-1-t2w", "brats2023"),
        ("X-t1c X-t2W", "brats2023"),
        ("BraTS-SSA-1-t1n", "brats2023"),
        ("BraTS-PED-1-t1n BraTS-PED-1-t2f", None),
        ("BraTS-MEN-RT-1-t1c", None),
        ("flair t1 t1ce t2", None),
        ("X_flair X-t1n", None),
    ],
)
@pytest.mark.parametrize("end", [".nii", ".nii.gz", ".NII.GZ"])
def test_names_of_every_year(names, hint, end, tmp_path):
    for name in names.split():
        (tmp_path / (name + end)).touch()
    (tmp_path / f"._X_t1{end}").touch()  # macOS leaves such beside real files
    (tmp_path / f"X_adc{end}").touch()
    found = sort_folder(tmp_path)
    assert found.hint == hint
    assert len(found.images) == len(names.split()) and found.label is None
    assert [role(name + end) for name in names.split()] == [
        role(path) for path in (tmp_path / (n + end) for n in names.split())
    ]


@pytest.mark.parametrize(
    ("name", "what"),
    [("a_flair", "flair"), ("a-t2f", "flair"), ("a_T2-FLAIR", "flair"), ("T2_FLAIR", "flair")]
    + [("a_t1", "t1"), ("a-t1n", "t1"), ("a_T1w", "t1"), ("t1", "t1")]
    + [("a_t1ce", "t1ce"), ("a-t1c", "t1ce"), ("a_t1gd", "t1ce"), ("a_t1Gd", "t1ce")]
    + [("a_t2", "t2"), ("a-t2w", "t2"), ("a-t2W", "t2"), ("a.T2", "t2")]
    + [("a_seg", "label"), ("a-seg", "label"), ("W39_1998.09.19_Segm", "label")]
    + [("a_brainmask", "mask"), ("a_brain_mask", "mask"), ("a_mask", None), ("at1", None)],
)
def test_role_of_a_name(name, what):
    assert role(f"{name}.nii.gz") == role(f"{name}.nii") == what


@pytest.mark.parametrize("pair", ["X_t1ce X_t1gd", "X_flair X-t2f", "X_seg X-seg"])
def test_a_sequence_given_twice_in_a_folder(pair, tmp_path):
    for name in ["X_t2", *pair.split()]:
        (tmp_path / f"{name}.nii.gz").touch()
    with pytest.raises(GliomakitError, match="given twice") as caught:
        sort_folder(tmp_path)
    assert all(f"{name}.nii.gz" in str(caught.value) for name in pair.split())


def test_the_same_name_packed_and_not_is_twice(tmp_path):
    (tmp_path / "X_t2.nii").touch()
    (tmp_path / "X_t2.nii.gz").touch()
    with pytest.raises(GliomakitError, match="X_t2.nii and X_t2.nii.gz are both t2"):
        sort_folder(tmp_path)


@pytest.mark.parametrize(
    ("values", "hint", "given", "found"),
    [
        ([0, 1, 2, 4], None, None, "brats2017"),
        ([0, 1, 2, 4], "brats2017", None, "brats2017"),
        ([0, 1, 2], "brats2017", None, "brats2017"),
        ([0, 1, 2, 3], "msd", None, "msd"),
        ([0, 1, 2, 3], "brats2023", None, "brats2023"),
        ([0, 1, 2, 3, 4], "brats2023", None, "brats2024"),
        ([0, 1, 2, 4], "brats2023", None, "brats2024"),
        ([0, 1, 2, 3], "msd", "brats2023", "brats2023"),
        ([0, 1, 2, 3, 4], None, "brats2015", "brats2015"),
        ([0], None, None, "brats2017"),
        ([0], "msd", None, "msd"),
    ],
)
def test_what_decides(values, hint, given, found):
    assert decide_convention(values, hint, given) == found


@pytest.mark.parametrize(
    ("values", "hint", "given", "words"),
    [
        ([0, 1, 2, 3], None, None, ["msd, brats2015, brats2023 and brats2024", "--convention"]),
        ([0, 1, 2], None, None, ["--convention"]),
        ([0, 1], None, None, ["--convention"]),
        ([0, 1, 2, 3, 4], None, None, ["brats2015 and brats2024", "--convention"]),
        ([0, 1, 2, 3], "brats2017", None, ["value 3 is not in", "--convention msd"]),
        ([0, 1, 2, 4], "msd", None, ["value 4 is not in", "brats2017"]),
        ([0, 1, 2, 4], None, "brats2023", ["value 4 is not in", "brats2024"]),
        ([0, 9], None, None, ["fit no known convention"]),
        ([0, 9], "msd", None, ["value 9 is not in", "no known convention fits"]),
        ([0, -1], None, None, ["fit no known convention"]),
        ([0], None, "brats99", ["no label convention 'brats99'", "msd"]),
    ],
)
def test_what_is_asked_or_refused(values, hint, given, words):
    with pytest.raises(GliomakitError) as caught:
        decide_convention(values, hint, given, "seg.nii.gz")
    assert all(word in str(caught.value) for word in words), str(caught.value)


def test_surroundings_of_a_label(tmp_path):
    label = tmp_path / "set" / "labelsTr" / "BRATS_001.nii.gz"
    label.parent.mkdir(parents=True)
    assert label_hint(label) is None
    dataset(tmp_path / "set")
    assert label_hint(label) == "msd"
    (label.parent / "BRATS_001.json").write_text('{"convention": "brats2017"}')
    assert label_hint(label) == "brats2017"  # what we wrote ourselves is stronger
    for other in ('{"convention": "mine"}', '{"convention": []}', "[1]", "{", "[" * 100_000):
        (label.parent / "BRATS_001.json").write_text(other)
        assert label_hint(label) == "msd"
    dataset(tmp_path / "set", labels={"1": "liver"})
    with pytest.raises(GliomakitError, match="1 liver"):
        label_hint(label)
    dataset(tmp_path / "set", modality=None)  # another program's dataset.json
    assert label_hint(label) is None


def test_images_beside_a_label(tmp_path):
    for name, hint in (("A_flair A_t1", "brats2017"), ("B-t2f B-t1n", "brats2023")):
        for image in name.split():
            (tmp_path / f"{image}.nii.gz").touch()
        assert label_hint(tmp_path / f"{image[0]}{image[1]}seg.nii.gz") == hint
    assert label_hint(tmp_path / "C_seg.nii.gz") is None  # another patient's images do not count
    assert label_hint(tmp_path / "BraTS-GLI-00001-000.nii.gz") == "brats2023"
    assert label_hint(tmp_path / "BraTS-PED-00001-000.nii.gz") is None
    assert label_hint(tmp_path / "BraTS2021_00006_seg.nii.gz") == "brats2017"
    assert names_hint([]) is None


@pytest.mark.parametrize(
    ("labels", "found"),
    [
        (MSD["labels"], "msd"),
        ({"1": "Oedema", "2": "necrosis", "3": "ET"}, "msd"),
        ({"0": "x", "1": "NCR", "2": "ED", "4": "ET"}, "brats2017"),
        ({"1": "NCR", "2": "edema", "3": "GD-enhancing tumor"}, "brats2023"),
        ({"1": "NETC", "2": "SNFH", "3": "ET", "4": "RC"}, "brats2024"),
        ({"1": "necrosis", "2": "edema", "3": "nonenhancing", "4": "enhancing"}, "brats2015"),
        (None, None),
    ],
)
def test_dataset_labels_decide_by_their_names(labels, found, tmp_path):
    assert data_set_convention(read_dataset(dataset(tmp_path, labels=labels))) == found


def test_dataset_labels_that_fit_nothing(tmp_path):
    path = dataset(tmp_path, labels={"1": "enhancing", "2": "edema", "4": "core"})
    with pytest.raises(GliomakitError, match="1 enhancing, 2 edema, 4 core.*--convention"):
        data_set_convention(read_dataset(path))
    assert tissue("liver") is None


def test_sequences_by_name_in_any_order(tmp_path):
    order = {"0": "T2-weighted", "3": "flair", "1": "T1gd", "2": "ADC"}
    content = read_dataset(dataset(tmp_path, modality=order))
    assert content.channels == {"flair": 3, "t1ce": 1, "t2": 0} and content.volumes == 4
    assert list(content.channels) == ["flair", "t1ce", "t2"]
    assert content.training == [
        (tmp_path / "imagesTr" / "A.nii.gz", tmp_path / "labelsTr" / "A.nii.gz")
    ]
    assert content.test == [tmp_path / "imagesTs" / "B.nii.gz"]


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"modality": None}, "it lacks the entry 'modality'"),
        ({"modality": {"0": "CT"}}, "does not name the sequences"),
        ({"modality": {"0": "T1w", "1": "t1"}}, "t1 is given twice"),
        ({"modality": {"0": "T1w", "2": "t2"}}, "does not name the sequences"),
        ({"modality": {"a": "T1w"}}, "is not an MSD data set's"),
        ({"modality": ["T1w"]}, "is not an MSD data set's"),
        ({"training": [{"image": "a.nii"}]}, "it lacks the entry 'label'"),
        ({"training": [3]}, "is not an MSD data set's"),
        ({"training": 3}, "is not an MSD data set's"),
        ({"labels": {"edema": [1]}}, "is not an MSD data set's"),
        ({"test": [None]}, "leaves the data set's folder"),
        ({"test": ["../../etc/x.nii"]}, "leaves the data set's folder"),
        ({"test": ["a/../../x.nii"]}, "leaves the data set's folder"),
        ({"test": ["a\\..\\..\\x.nii"]}, "leaves the data set's folder"),
        ({"test": ["/etc/x.nii"]}, "leaves the data set's folder"),
        ({"test": ["C:\\x.nii"]}, "leaves the data set's folder"),
        ({"training": [{"image": "a.nii", "label": "../b.nii"}]}, "leaves the data set's folder"),
    ],
)
def test_a_broken_dataset_json(changes, words, tmp_path):
    path = dataset(tmp_path, **changes)
    with pytest.raises(GliomakitError) as caught:
        read_dataset(path)
    assert words in str(caught.value) and str(path) in str(caught.value)


@pytest.mark.parametrize("text", ["", "{", "[]", "3", '"a"', "[" * 100_000, "\x00"])
def test_no_dataset_json_at_all(text, tmp_path):
    path = tmp_path / "dataset.json"
    path.write_text(text)
    with pytest.raises(GliomakitError, match="dataset.json: "):
        read_dataset(path)
    path.write_bytes(b"\xff\xfe{")
    with pytest.raises(GliomakitError, match="not sound JSON"):
        read_dataset(path)
