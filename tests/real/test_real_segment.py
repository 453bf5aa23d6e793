"""Every real patient by the command line: segmented with the shipped weights, then scored.

The figures are development figures (see the README beside the data). The table is printed: run
with `-s` to see it.
"""

import json
import os
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from gliomakit.cli import main
from gliomakit.weights import SHIPPED

DATA = Path(os.environ.get("GLIOMAKIT_REAL_DATA") or "missing")
pytestmark = [
    pytest.mark.real,
    pytest.mark.skipif(
        not (DATA / "brats2021").is_dir(),
        reason="needs real patients: GLIOMAKIT_REAL_DATA names no folder with brats2021/",
    ),
    pytest.mark.skipif(not SHIPPED.is_file(), reason="there are no shipped weights"),
]

BRATS2013 = ("0001", "0003", "0004", "0006")


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    """Measures of all eleven patients by group, and the folder of their labels."""
    out = tmp_path_factory.mktemp("real")

    def command(*words):
        assert main([str(word) for word in words]) == 0, words

    def scored(name, *words):
        table = out / f"{name}.csv"
        command("evaluate", *words, "--csv", table)
        rows = [line.split(",") for line in table.read_text().splitlines()]
        return [dict(zip(rows[0], row, strict=True)) for row in rows[1:]]

    found = {}
    command("segment", DATA / "brats2021", "--no-mirror", "--out", out / "brats2021")
    found["BraTS 2021"] = scored("2021", out / "brats2021", DATA / "brats2021")

    command("segment", DATA / "msd_partial", "--no-mirror", "--out", out / "msd")
    line = (out / "msd", DATA / "msd_partial", "--within", DATA / "msd_partial")
    found["MSD slabs"] = scored("msd", *line)

    found["BraTS 2013"] = []
    for number in BRATS2013:
        case = DATA / "brats2013" / f"brats_2013_pat{number}_1"
        label = out / "brats2013" / f"{case.name}.nii.gz"
        files = ("--flair", case / "Flair_subtrMeanDivStd.nii.gz")
        files += ("--t1ce", case / "T1c_subtrMeanDivStd.nii.gz")
        mask = ("--brain-mask", case / "brainmask.nii.gz")
        command("segment", *files, *mask, "--no-mirror", "--out", label)
        line = (label, case / "OTMultiClass.nii.gz", "--convention", "brats2015")
        found["BraTS 2013"] += scored(case.name, *line)
    return found, out


def table(found):
    """Dice of each case, of each group and of all."""
    lines, everything = [f"{'':24}   WT    TC    ET"], []
    for group, rows in found.items():
        cases = {}
        for row in rows:
            cases.setdefault(row["case"], {})[row["region"]] = float(row["dice"])
        for case, dice in cases.items():
            lines.append(f"{case:24} {dice['wt']:.3f} {dice['tc']:.3f} {dice['et']:.3f}")
        values = np.array([[d[r] for r in ("wt", "tc", "et")] for d in cases.values()])
        everything.append(values)
        lines.append(f"{'mean of ' + group:24} " + " ".join(f"{v:.3f}" for v in values.mean(0)))
    means = np.concatenate(everything).mean(0)
    lines.append(f"{'mean of all':24} " + " ".join(f"{v:.3f}" for v in means))
    return "\n".join(lines), means, sum(map(len, everything))


def test_whole_tumours_of_all_eleven(results, capsys):
    text, means, n = table(results[0])
    with capsys.disabled():
        print(f"\nDice of real patients (development figures), shipped weights\n{text}")
    assert n == 11
    assert means[0] >= 0.89, text


def test_labels_lie_on_the_patients_own_grids(results):
    _, out = results
    written = {
        out / "brats2021" / "BraTS2021_00006.nii.gz": (
            DATA / "brats2021" / "BraTS2021_00006" / "BraTS2021_00006_seg.nii.gz",
            {0, 1, 2, 4},
        ),
        out / "msd" / "BRATS_009.nii.gz": (
            DATA / "msd_partial" / "labelsTr" / "BRATS_009.nii.gz",
            {0, 1, 2, 3},
        ),
        out / "brats2013" / "brats_2013_pat0001_1.nii.gz": (
            DATA / "brats2013" / "brats_2013_pat0001_1" / "OTMultiClass.nii.gz",
            {0, 1, 2, 4},
        ),
    }
    for path, (reference, values) in written.items():
        label, ref = nib.load(path), nib.load(reference)
        assert label.shape == ref.shape and np.allclose(label.affine, ref.affine)
        assert label.get_data_dtype() == np.uint8
        assert set(np.unique(label.dataobj)) <= values
        told = json.loads(path.with_name(path.name.replace(".nii.gz", ".json")).read_text())
        ml = np.count_nonzero(label.dataobj) * np.prod(label.header.get_zooms()) / 1000
        assert told["volumes_ml"]["wt"] == pytest.approx(ml, abs=1e-3)


def test_an_exam_as_a_scanner_gives_it(tmp_path):
    """Sequences on different grids, with skull: refused, until a grid is chosen."""
    case = DATA / "native" / "TCGA-FG-6692"
    line = ["segment", "--out", str(tmp_path / "x.nii.gz")]
    for name in ("flair", "t1", "t1ce", "t2"):
        line += [f"--{name}", str(case / f"{name}.nii.gz")]
    assert main(line) == 2 and not any(tmp_path.iterdir())
    assert main([*line, "--resample-to", "flair"]) == 0
    assert nib.load(tmp_path / "x.nii.gz").shape == nib.load(case / "flair.nii.gz").shape
