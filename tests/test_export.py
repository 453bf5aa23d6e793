"""Networks for other programs: they answer as the original, and a label comes without PyTorch."""

import json
import subprocess
import sys

import numpy as np
import pytest

from gliomakit import inference, weights
from gliomakit._nifti import encode, write_files
from gliomakit._tiles import gaussian, tiles
from gliomakit.cases import Case, Grid, open_label
from gliomakit.cli import main
from gliomakit.errors import GliomakitError
from gliomakit.export import CLOSE, to_torch
from gliomakit.lean import gaussian as lean_gaussian
from gliomakit.lean import segment, windows
from gliomakit.phantom import make_case
from gliomakit.regions import SEQUENCES

pytest.importorskip("onnxruntime")
pytest.importorskip("onnxscript")


@pytest.fixture(scope="module")
def onnx(tmp_path_factory):
    path = tmp_path_factory.mktemp("export") / "network.onnx"
    assert main(["export", "--to", "onnx", "--out", str(path)]) == 0
    return path


def test_a_label_without_pytorch_is_that_with_it(onnx, tmp_path):
    whole = make_case(3, 4.0)
    cut = np.s_[:, 14:46, 14:46, 4:36]  # one window: the whole head would take minutes
    image = np.ascontiguousarray(whole.image[cut])
    grid = Grid(image.shape[1:], whole.affine)
    case = Case("x", image, SEQUENCES, whole.affine, grid)
    folder = tmp_path / "case"
    for name, volume in zip(SEQUENCES, case.image):
        content = encode(volume.astype(np.int16), grid, packed=False)
        write_files({folder / f"x_{name}.nii": content})
    command = [sys.executable, "-m", "gliomakit.lean", onnx, folder, tmp_path / "label.nii.gz"]
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True, check=True)
    assert json.loads(done.stdout)["torch"] is False
    wanted = inference.segment(case, weights.load()).label("brats2017")
    found = open_label(tmp_path / "label.nii.gz").array
    assert found.any() and np.count_nonzero(found != wanted) <= 3  # rounding at the threshold


def test_torch_export_answers_as_the_original(tmp_path):
    assert to_torch(weights.load(), tmp_path / "network.pt2") <= CLOSE
    assert [path.name for path in tmp_path.iterdir()] == ["network.pt2"]


def test_a_copy_that_is_off_is_not_written(tmp_path, monkeypatch):
    monkeypatch.setattr("gliomakit.export.CLOSE", -1.0)
    with pytest.raises(GliomakitError, match="differs from the original"):
        to_torch(weights.load(), tmp_path / "network.pt2")
    assert not list(tmp_path.iterdir())


def test_what_is_no_network_of_ours_is_refused(tmp_path):
    (tmp_path / "a.onnx").write_bytes(b"no network")
    case = Case(
        "a", np.zeros((4, 8, 8, 8), np.float32), SEQUENCES, np.eye(4), Grid((8, 8, 8), np.eye(4))
    )
    with pytest.raises(GliomakitError, match="no network that gliomakit exported"):
        segment(case, tmp_path / "a.onnx")


@pytest.mark.parametrize("shape", [(64, 70, 100), (65, 64, 97)])
def test_windows_and_weights_are_those_of_the_package(shape):
    size = (64, 32, 48)
    assert windows(shape, size, 0.5) == tiles(shape, size, 0.5)
    assert np.allclose(lean_gaussian(size), gaussian(size).numpy(), atol=1e-6)
