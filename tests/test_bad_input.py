"""Bad input by the command line: one line that names the file, exit 2, nothing half-written."""

import gzip
import json
import os
import pickle
import subprocess
import sys

import nibabel as nib
import numpy as np
import pytest

from gliomakit.cli import main

SHAPE = (18, 16, 14)
LPS = np.array([[-1.0, 0, 0, 9], [0, -1, 0, 9], [0, 0, 1, -4], [0, 0, 0, 1]])
SEQUENCES = ("flair", "t1", "t1ce", "t2")
MODALITY = {"0": "FLAIR", "1": "T1w", "2": "t1gd", "3": "T2w"}
LABELS = {"0": "background", "1": "edema", "2": "non-enhancing tumor", "3": "enhancing tumour"}


def head(seed, dtype=np.int16):
    """A ball of noise in air."""
    place = np.indices(SHAPE) - np.reshape([n / 2 for n in SHAPE], (3, 1, 1, 1))
    noise = np.random.default_rng(seed).normal(200, 20, SHAPE)
    return np.where((place**2).sum(0) < 36, noise, 0).astype(dtype)


def label(*values):
    array = np.zeros(SHAPE, np.uint8)
    for n, value in enumerate(values):
        array[5 + n : 12 - n, 5 + n : 11 - n, 4 + n : 10 - n] = value
    return array


def save(path, array, affine=LPS):
    path.parent.mkdir(parents=True, exist_ok=True)
    nib.save(nib.Nifti1Image(array, affine), path)
    return path


@pytest.fixture
def case(tmp_path):
    """A BraTS case folder."""
    for seed, name in enumerate(SEQUENCES):
        save(tmp_path / "case" / f"case_{name}.nii.gz", head(seed))
    return tmp_path / "case"


@pytest.fixture
def msd(tmp_path):
    """An MSD data set of one case."""
    root = tmp_path / "msd"
    save(root / "imagesTr" / "a.nii.gz", np.stack([head(seed) for seed in range(4)], -1))
    save(root / "labelsTr" / "a.nii.gz", label(1, 2, 3))
    pairs = [{"image": "./imagesTr/a.nii.gz", "label": "./labelsTr/a.nii.gz"}]
    about = {"modality": MODALITY, "labels": LABELS, "training": pairs, "test": []}
    (root / "dataset.json").write_text(json.dumps(about))
    return root


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    import torch

    from gliomakit.model import Model, Settings, save_model
    from gliomakit.unet import UNet3d

    torch.manual_seed(0)
    network = UNet3d(4, 3, base_filters=2, norm="instance")
    path = tmp_path_factory.mktemp("weights") / "tiny.safetensors"
    return save_model(Model(network, Settings(patch=(16, 16, 16))), path)


def one_line(code, out, err, words):
    assert code == 2 and out == "", (code, out, err)
    assert err.startswith("gliomakit: error: ") and err.endswith("\n") and err.count("\n") == 1, err
    assert all(str(word) in err for word in words), err


@pytest.fixture
def refused(capsys, tmp_path):
    """Run a command line that must be refused, and leave the output folder `tmp_path/out` empty."""

    def call(*line, words):
        code = main([str(word) for word in line])
        one_line(code, *capsys.readouterr(), words)
        left = [
            p for p in (tmp_path / "out").rglob("*") if p.is_file() and p.parent.name != "index"
        ]
        assert not left, left

    return call


@pytest.fixture
def segment(refused, weights, tmp_path):
    """`gliomakit segment …`, which must be refused."""

    def call(*line, words):
        out = tmp_path / "out" / "x.nii.gz"
        refused("segment", *line, "--out", out, "--weights", weights, words=words)

    return call


@pytest.fixture
def prepare(refused, tmp_path):
    """`gliomakit prepare DATA`, which must be refused."""

    def call(data, words):
        cache = tmp_path / "out"
        refused("prepare", data, "--cache", cache, "--workers", 1, words=words)

    return call


@pytest.fixture
def evaluate(refused):
    """`gliomakit evaluate PRED REF`, which must be refused."""

    def call(*line, words):
        refused("evaluate", *line, words=words)

    return call


# ---- files that are no images ------------------------------------------------------------------


@pytest.mark.parametrize("share", [0.0, 0.001, 0.3, 0.999])
def test_truncated_file(case, msd, segment, prepare, evaluate, share):
    for path in (case / "case_t1.nii.gz", msd / "imagesTr" / "a.nii.gz"):
        whole = path.read_bytes()
        path.write_bytes(whole[: int(len(whole) * share)])
    segment(case, words=["case_t1.nii.gz"])
    segment(msd, words=["a.nii.gz"])
    prepare(msd, words=["a.nii.gz"])
    evaluate(path, msd / "labelsTr" / "a.nii.gz", words=["imagesTr"])


@pytest.mark.parametrize(
    ("content", "word"),
    [
        (b"<!DOCTYPE html><html><body>404 Not Found</body></html>", "HTML"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:4d\n", "text"),
        (gzip.compress(b"<html>log in first</html>" * 30, mtime=0), "HTML"),
        (b"\x1f\x8b" + bytes(400), ""),
        (bytes(range(256)) * 4, ""),
    ],
)
def test_text_called_nifti(case, msd, segment, evaluate, content, word):
    (case / "case_flair.nii.gz").write_bytes(content)
    segment(case, words=["case_flair.nii.gz", word])
    segment("--flair", case / "case_flair.nii.gz", words=["case_flair.nii.gz", word])
    (msd / "labelsTr" / "a.nii.gz").write_bytes(content)
    evaluate(msd / "labelsTr", msd, words=["a.nii.gz", word])


@pytest.mark.parametrize("end", [".nii", ".nii.gz"])
def test_header_that_claims_terabytes(case, segment, end):
    header = nib.Nifti1Header()
    header.set_data_dtype(np.float64)
    header["dim"][:4] = 3, 32767, 32767, 32767
    header["magic"], header["vox_offset"] = b"n+1", 352
    raw = header.binaryblock + bytes(4096)
    path = case / f"huge{end}"
    path.write_bytes(gzip.compress(raw) if end == ".nii.gz" else raw)
    segment("--flair", path, words=[path, "TB"])


def test_missing_file(case, msd, segment, evaluate, prepare, refused, tmp_path):
    gone = tmp_path / "gone.nii.gz"
    segment("--flair", gone, words=[gone])
    segment(gone, words=[gone])
    evaluate(gone, msd, words=[gone])
    evaluate(msd, gone, words=[gone])
    evaluate(msd, msd, "--within", gone, words=[gone])
    prepare(tmp_path / "nowhere", words=["nowhere"])
    refused("train", tmp_path / "nowhere", "--out", tmp_path / "out", words=["nowhere"])
    (msd / "imagesTr" / "a.nii.gz").unlink()
    segment(msd, words=["a.nii.gz"])
    prepare(msd, words=["a.nii.gz"])


# ---- images that cannot be used ----------------------------------------------------------------


def test_three_axes_where_four_are_meant_and_the_reverse(case, msd, segment, prepare):
    save(msd / "imagesTr" / "a.nii.gz", head(0))
    for refuse in (segment, prepare):
        refuse(msd, words=["a.nii.gz", "3-D", "4"])
    four = save(case / "case_t1.nii.gz", np.stack([head(0), head(1)], -1))
    segment(case, words=[four, "4-D", "3-D"])
    segment("--flair", four, words=[four, "4-D"])
    segment(save(case.parent / "alone.nii.gz", head(0)), words=["alone.nii.gz", "3-D"])


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_voxels_that_are_no_numbers(case, msd, segment, prepare, evaluate, value):
    image = head(0, np.float32)
    image[9, 8, 7] = value
    save(case / "case_t2.nii.gz", image)
    segment(case, words=["case_t2.nii.gz", "t2", "NaN or infinite"])
    save(msd / "imagesTr" / "a.nii.gz", np.stack([head(0), head(1), image, head(3)], -1))
    prepare(msd, words=["a.nii.gz", "t1ce", "NaN or infinite"])
    seg = label(2, 1, 4).astype(np.float32)
    seg[0, 0, 0] = value
    path = save(case / "case_seg.nii.gz", seg)
    evaluate(path, path, words=[path, "NaN or infinite"])


def test_image_of_zeros(case, msd, segment, prepare):
    save(case / "case_t1.nii.gz", np.zeros(SHAPE, np.int16))
    segment(case, words=["case_t1.nii.gz", "t1", "0"])
    save(msd / "imagesTr" / "a.nii.gz", np.zeros((*SHAPE, 4), np.int16))
    for refuse in (segment, prepare):
        refuse(msd, words=["a.nii.gz", "all voxels are 0"])


def test_sequence_given_twice(case, msd, segment, prepare):
    flair, t1 = case / "case_flair.nii.gz", case / "case_t1.nii.gz"
    segment("--flair", flair, "--flair", t1, words=["--flair is given twice", flair, t1])
    segment("--flair", flair, "--t1", flair, words=["given twice", flair, "t1"])
    save(case / "case_t1n.nii.gz", head(1))
    segment(case, words=["case_t1.nii.gz", "case_t1n.nii.gz", "twice"])
    about = json.loads((msd / "dataset.json").read_text())
    about["modality"]["3"] = "t1gd"
    (msd / "dataset.json").write_text(json.dumps(about))
    for refuse in (segment, prepare):
        refuse(msd, words=["dataset.json", "t1ce", "twice"])


def test_mask_that_is_an_image(case, segment):
    flair = case / "case_flair.nii.gz"
    segment("--flair", flair, "--brain-mask", case / "case_t1.nii.gz", words=["case_t1", "mask"])
    empty = save(case.parent / "mask.nii.gz", np.zeros(SHAPE, np.uint8))
    segment("--flair", flair, "--brain-mask", empty, words=["mask"])


# ---- labels ------------------------------------------------------------------------------------


@pytest.mark.parametrize("what", ["shape", "affine"])
def test_label_on_another_grid_than_the_image(msd, prepare, evaluate, refused, tmp_path, what):
    path = msd / "labelsTr" / "a.nii.gz"
    right = save(tmp_path / "a.nii.gz", label(1, 2, 3))
    if what == "shape":
        save(path, label(1, 2, 3)[:-1])
        words = [path, "17 x 16 x 14", "18 x 16 x 14"]
    else:
        save(path, label(1, 2, 3), LPS + np.eye(4, k=3))
        words = [path, "affines", "1 mm"]
    prepare(msd, words=words)
    line = ("train", msd, "--out", tmp_path / "out", "--cache", tmp_path / "cache")
    refused(*line, "--validation", 0, words=words)
    evaluate(right, path, "--convention", "msd", words=[right, *words])


def test_unknown_label_value(msd, prepare, evaluate, tmp_path):
    path = msd / "labelsTr" / "a.nii.gz"
    save(path, label(1, 2, 7))
    prepare(msd, words=[path, "7", "msd"])
    evaluate(path, path, words=[path, "7", "msd"])
    save(path, label(1, 2, 4))
    evaluate(path, path, words=[path, "4", "msd", "--convention", "brats2017"])
    odd = save(tmp_path / "odd.nii.gz", label(1, 2, 7))
    evaluate(odd, odd, words=[odd, "7", "no known convention"])
    evaluate(odd, odd, "--convention", "brats", words=["brats", "brats2017"])


def test_label_that_names_do_not_decide_is_asked_about(evaluate, tmp_path):
    path = save(tmp_path / "x.nii.gz", label(1, 2, 3))
    evaluate(path, path, words=[path, "msd", "brats2023", "--convention"])


def test_label_that_is_not_whole_numbers(msd, prepare, evaluate):
    path = save(msd / "labelsTr" / "a.nii.gz", label(1, 2, 3).astype(np.float32) * 0.75)
    prepare(msd, words=[path, "whole numbers", "1.5"])
    evaluate(path, path, words=[path, "whole numbers"])


# ---- places that cannot be written -------------------------------------------------------------


def test_output_that_cannot_be_written(case, msd, weights, refused, tmp_path):
    file = tmp_path / "file"
    file.write_text("here")
    inside = file / "inside"
    refused("segment", case, "--weights", weights, "--out", inside / "x.nii.gz", words=[file])
    refused("segment", case, "--weights", weights, "--out", inside, words=[file])
    refused("prepare", msd, "--cache", inside, "--workers", 1, words=[file])
    refused("phantoms", inside, "--cases", 1, "--spacing", 4, "--workers", 1, words=[file])
    refused("train", msd, "--out", inside, "--cache", tmp_path / "cache", words=[file])
    labels = msd / "labelsTr"
    refused("evaluate", labels, msd, "--csv", inside / "t.csv", words=[file])
    assert file.read_text() == "here"


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="/proc is Linux's")
def test_output_where_nobody_may_write(case, weights, refused):
    out = "/proc/gliomakit"
    refused("segment", case, "--weights", weights, "--out", out, words=["/proc/"])


def test_output_folder_without_permission(case, weights, refused, tmp_path, monkeypatch):
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o500)
    if os.access(closed, os.W_OK):  # root may write everywhere
        monkeypatch.setattr(os, "access", lambda _, mode: not mode & os.W_OK)
    out = closed / "x.nii.gz"
    refused("segment", case, "--weights", weights, "--out", out, words=[closed])


LIMITED = """
import resource, sys
limit = int(sys.argv.pop(1))
resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
from gliomakit.cli import main
sys.exit(main())
"""


@pytest.mark.skipif(sys.platform == "win32", reason="no limit of file sizes there")
@pytest.mark.parametrize("workers", [1, 2])
def test_full_disk_while_caching(msd, tmp_path, workers):
    """No file may be larger than a kilobyte: writing ends as on a full disk, at once."""
    about = json.loads((msd / "dataset.json").read_text())
    about["training"] += [{"image": "./imagesTr/b.nii.gz", "label": "./labelsTr/b.nii.gz"}]
    (msd / "dataset.json").write_text(json.dumps(about))
    for folder in ("imagesTr", "labelsTr"):
        (msd / folder / "b.nii.gz").write_bytes((msd / folder / "a.nii.gz").read_bytes() + b"\0")
    cache = tmp_path / "cache"
    line = ["prepare", msd, "--cache", cache, "--workers", workers]
    done = limited(1000, *line)
    one_line(done.returncode, done.stdout, done.stderr, [cache, "room"])
    assert {p.name for p in cache.iterdir()} <= {"index"}


@pytest.mark.skipif(sys.platform == "win32", reason="no limit of file sizes there")
def test_full_disk_while_writing_a_label(case, weights, tmp_path):
    out = tmp_path / "out"
    done = limited(100, "segment", case, "--weights", weights, "--out", out / "x.nii.gz")
    one_line(done.returncode, done.stdout, done.stderr, [out])
    assert not list(out.iterdir())


def limited(size, *line):
    """Run a command line in a process that may write files of at most `size` bytes."""
    return subprocess.run(
        [sys.executable, "-c", LIMITED, str(size), *map(str, line)],
        capture_output=True,
        text=True,
        timeout=120,
    )


# ---- weights -----------------------------------------------------------------------------------


class Bomb:
    """Pickled, it writes a file when it is loaded."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return open, (str(self.path), "w")


def test_weights_that_are_none(case, weights, refused, tmp_path):
    import torch
    from safetensors.torch import save_file

    whole, bad = weights.read_bytes(), tmp_path / "bad.safetensors"
    line = ("segment", case, "--out", tmp_path / "out" / "x.nii.gz", "--weights", bad)

    def refuse():
        refused(*line, words=[bad])

    refuse()  # missing
    for content in (b"", b"<html></html>", whole[:5], whole[:200], whole[:-1], whole + b"0"):
        bad.write_bytes(content)
        refuse()
    bomb, went_off = Bomb(tmp_path / "went_off"), tmp_path / "went_off"
    bad.write_bytes(pickle.dumps(bomb))
    refuse()
    torch.save({"state": bomb}, bad)
    refuse()
    assert not went_off.exists()
    save_file({"conv.weight": torch.zeros(2, 2)}, bad)
    refuse()
    bad.unlink()
    bad.mkdir()
    refuse()


def test_device_that_is_not_there(case, weights, segment):
    segment(case, "--device", "tpu", words=["tpu", "cpu, cuda"])
