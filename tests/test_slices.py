"""torchvision's import is mended where it has to be, and left alone where it works."""

import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent


def python(code, folder=None):
    """Run code in a process of its own, with `folder` first on the path; its output."""
    path = [str(folder)] if folder else []
    lines = [f"import sys; sys.path[:0] = {[*path, str(ROOT)]!r}", code]
    run = subprocess.run([sys.executable, "-c", "\n".join(lines)], capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    return run.stdout.strip()


IMPORT = """
from gliomakit.errors import GliomakitError
from gliomakit.slices import import_torchvision, mended
try:
    print(import_torchvision().RESULT, mended())
except (GliomakitError, RuntimeError) as error:
    print(type(error).__name__, error, mended())
"""


def fake(tmp_path, text):
    package = tmp_path / "torchvision"
    package.mkdir()
    (package / "half.py").write_text("import torch\nOPERATOR = torch.ops.torchvision.nms\n")
    (package / "__init__.py").write_text(text)
    return tmp_path


def test_a_working_torchvision_is_left_alone(tmp_path):
    assert python(IMPORT, fake(tmp_path, "RESULT = 'whole'")) == "whole False"


def test_a_build_of_another_kind_is_mended(tmp_path):
    """As in torchvision's own code, a submodule registers for an operator that nobody declared."""
    text = """
import sys
first = "torchvision.seen" not in sys.modules
import torch
from torchvision import seen
torch.library.register_fake("torchvision::nms", lambda *a: None)
RESULT = "mended, nothing left from the first try" if first else "half-imported"
"""
    folder = fake(tmp_path, text)
    (folder / "torchvision" / "seen.py").write_text("")
    said = python(IMPORT, folder)
    assert said == "mended, nothing left from the first try True"


def test_another_error_is_not_hidden(tmp_path):
    said = python(IMPORT, fake(tmp_path, "raise RuntimeError('out of memory')"))
    assert said == "RuntimeError out of memory False"


def test_what_the_mend_does_not_help_is_said(tmp_path):
    text = "raise RuntimeError('operator torchvision::other does not exist')"
    said = python(IMPORT, fake(tmp_path, text))
    assert said.startswith("GliomakitError torchvision does not fit this PyTorch (operator torch")
    assert "constraints.txt" in said


def test_a_missing_torchvision_is_said(tmp_path):
    hide = "import sys; sys.modules['torchvision'] = None\n"
    said = python(hide + IMPORT)
    assert (
        said.startswith("GliomakitError there is no torchvision; pip install")
        and "None" not in said
    )


@pytest.mark.skipif(not find_spec("fastai"), reason="fastai is not installed")
def test_the_real_pair_makes_networks():
    code = """
from gliomakit.slices import import_torchvision
import torch
network = import_torchvision().models.resnet18(weights=None).eval()
print(tuple(network(torch.zeros(1, 3, 64, 64)).shape))
from fastai.vision.all import unet_learner
print(unet_learner.__name__)
"""
    assert python(code).split("\n") == ["(1, 1000)", "unet_learner"]
