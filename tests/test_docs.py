"""What docs/ tells people to run, runs: on phantoms put on four grids, as a scanner does."""

import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from typer.main import get_command

from gliomakit import find_cases, segment
from gliomakit.cli import app

sitk = pytest.importorskip("SimpleITK")

DOCS = Path(__file__).resolve().parent.parent / "docs"
SCANNER = (DOCS / "from-your-scanner.md").read_text(encoding="utf-8")


def scripts(text):
    """The Python blocks of a page that begin with the name of their file, by that name."""
    return dict(re.findall(r"```python\n# (\w+\.py)\n(.*?)```", text, re.DOTALL))


def commands(text):
    """The lines of a page's shell blocks."""
    blocks = re.findall(r"```bash\n(.*?)```", text, re.DOTALL)
    return [line for block in blocks for line in block.splitlines()]


@pytest.mark.parametrize("page", sorted(DOCS.glob("*.md")), ids=lambda page: page.name)
def test_commands_and_links_of_the_pages_are_there(page):
    text = page.read_text(encoding="utf-8")
    words = [line.split() for line in commands(text) if line.startswith("gliomakit ")]
    assert {word[1] for word in words} <= set(get_command(app).commands)
    for link in re.findall(r"\]\(([^)#:]+)\)", text):
        assert (page.parent / link).exists(), link


def image(array, affine):
    """An array (x, y, z) with its affine (RAS), as SimpleITK has it (z, y, x; LPS)."""
    found = sitk.GetImageFromArray(np.ascontiguousarray(array.transpose(2, 1, 0)))
    lps = np.diag([-1, -1, 1, 1]) @ affine
    spacing = np.linalg.norm(lps[:3, :3], axis=0)
    found.SetSpacing(spacing.tolist())
    found.SetDirection((lps[:3, :3] / spacing).ravel().tolist())
    found.SetOrigin(lps[:3, 3].tolist())
    return found


def scanned(head, spacing, tilt, turn, shift):
    """A head as one sequence has it: on a grid of its own, tilted, after the patient moved."""
    middle = [n / 2 for n in head.GetSize()]
    centre = np.array(head.TransformContinuousIndexToPhysicalPoint(middle))
    size = [round(n * mm / s) for n, mm, s in zip(head.GetSize(), head.GetSpacing(), spacing)]
    own = sitk.Image(size, sitk.sitkFloat32)
    own.SetSpacing(spacing)
    angle = sitk.Euler3DTransform()
    angle.SetRotation(*np.radians(tilt).tolist())
    axes = np.reshape(angle.GetMatrix(), (3, 3)) @ np.reshape(head.GetDirection(), (3, 3))
    own.SetDirection(axes.ravel().tolist())
    # The grid's middle is the head's.
    own.SetOrigin((centre - axes @ (np.array(spacing) * (np.array(size) - 1) / 2)).tolist())
    movement = sitk.Euler3DTransform()
    movement.SetCenter(centre.tolist())
    movement.SetRotation(*np.radians(turn).tolist())
    movement.SetTranslation(shift)
    return sitk.Resample(head, own, movement, sitk.sitkLinear, 0.0)


EXAM = {  # spacing in mm, tilt of the grid, turn of the head (degrees), its shift (mm)
    "flair": ((1.8, 1.8, 5.0), (15, 0, 0), (4, -3, 5), (3.0, -2.0, 4.0)),
    "t1": ((2.0, 2.0, 4.0), (0, 3, 0), (-3, 2, 4), (-2.0, 3.0, 1.0)),
    "t1ce": ((2.0, 2.0, 2.0), (0, 0, 0), (0, 0, 0), (0.0, 0.0, 0.0)),
    "t2": ((1.6, 1.6, 5.0), (10, 0, 2), (0, 3, -6), (4.0, 0.0, -3.0)),
}


@pytest.fixture(scope="module")
def exam(tmp_path_factory):
    """A folder with `register.py` and `mask.py` run as the page says; the phantom; T1ce's image."""
    from gliomakit.phantom import make_case

    folder = tmp_path_factory.mktemp("exam")
    (folder / "raw").mkdir()
    case = make_case(3, 2.0)
    brain = case.image.max(0) > 0
    heads = dict(zip(("flair", "t1", "t1ce", "t2"), case.image.astype(np.float32)))
    for name, (spacing, tilt, turn, shift) in EXAM.items():
        moved = scanned(image(heads[name], case.affine), spacing, tilt, turn, shift)
        sitk.WriteImage(moved, str(folder / "raw" / f"{name}.nii.gz"))
    sitk.WriteImage(image(brain.astype(np.uint8), case.affine), str(folder / "brain.nii.gz"))
    for name, text in scripts(SCANNER).items():
        (folder / name).write_text(text, encoding="utf-8")
    asked = [line for line in commands(SCANNER) if re.match(r"python \w+\.py", line)]
    assert asked[0] == "python register.py raw patient"
    assert asked[-1] == "python mask.py patient brain.nii.gz"
    for line in (asked[0], asked[-1]):
        done = subprocess.run(
            [sys.executable, *line.split()[1:]], cwd=folder, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stderr
        print(done.stdout)
    return folder, case


def on_grid(array, case, like):
    """The phantom's own array, laid on the grid that the script chose."""
    whole = sitk.Resample(image(array, case.affine), like, sitk.Transform(), sitk.sitkLinear, 0.0)
    return sitk.GetArrayFromImage(whole)


def test_four_grids_become_one_and_fit(exam):
    folder, case = exam
    found = {n: sitk.ReadImage(str(folder / "patient" / f"patient_{n}.nii.gz")) for n in EXAM}
    like = found["t1ce"]
    assert like.GetSpacing() == pytest.approx((1, 1, 1))
    for one in found.values():
        assert one.GetSize() == like.GetSize()
        assert one.GetOrigin() == pytest.approx(like.GetOrigin())
        assert one.GetDirection() == pytest.approx(like.GetDirection(), abs=1e-6)
    brain = on_grid((case.image.max(0) > 0).astype(np.float32), case, like) > 0.99
    for place, (name, one) in enumerate(found.items()):
        right = on_grid(case.image[place].astype(np.float32), case, like)
        as_scanned = sitk.ReadImage(str(folder / "raw" / f"{name}.nii.gz"), sitk.sitkFloat32)
        before = sitk.GetArrayFromImage(sitk.Resample(as_scanned, like))
        after = sitk.GetArrayFromImage(one)
        seen = brain & (after > 0)
        close = [np.corrcoef(a[seen], right[seen])[0, 1] for a in (before, after)]
        assert close[1] > 0.9 and (name == "t1ce" or close[1] > close[0] + 0.1), (name, close)
        assert not after[~(on_grid((case.image.max(0) > 0) * 1.0, case, like) > 0)].any()


def test_the_result_is_a_case_that_can_be_segmented(exam):
    import torch

    from gliomakit.model import Model, Settings
    from gliomakit.unet import UNet3d

    (files,) = find_cases(exam[0] / "patient")
    assert files.name == "patient" and list(files.images) == list(EXAM)
    case = files.read()
    assert case.spacing == pytest.approx((1, 1, 1))
    torch.manual_seed(0)
    network = UNet3d(4, 3, base_filters=2, norm="instance")
    settings = Settings(patch=(32, 32, 32), spacing=(4.0, 4.0, 4.0))
    label = segment(case, Model(network, settings), device="cpu")
    assert label.regions.shape[1:] == case.image.shape[1:]
