"""`gliomakit check` on real patients: as they are, and with deliberate mistakes.

Thresholds were set beside these patients, so this is no proof of how often the check is right; the
table with phantoms beside is in results/checks.md.
"""

import json
import os
from dataclasses import replace
from itertools import combinations
from pathlib import Path

import pytest

from gliomakit._contrast import SURE, likely_order
from gliomakit._look import look
from gliomakit.cases import find_cases, loose
from gliomakit.checks import check, read
from gliomakit.cli import main
from gliomakit.regions import SEQUENCES, to_label

DATA = Path(os.environ.get("GLIOMAKIT_REAL_DATA") or "missing")
pytestmark = [
    pytest.mark.real,
    pytest.mark.skipif(
        not (DATA / "brats2021").is_dir(),
        reason="needs real patients: GLIOMAKIT_REAL_DATA names no folder with brats2021/",
    ),
]

CUT = {  # sides that all sequences lack, sequences that end early
    "BRATS_009": (["bottom", "top"], ["FLAIR ends early at the back"]),
    "BRATS_119": (["bottom", "top"], []),
    "brats_2013_pat0003_1": (["back", "front"], []),
    "brats_2013_pat0006_1": (["back"], []),
}


def sources():
    if not DATA.is_dir():
        return []
    found = [*find_cases(DATA / "brats2021"), *find_cases(DATA / "msd_partial")]
    for folder in sorted((DATA / "brats2013").iterdir()):
        files = {"flair": folder / "Flair_subtrMeanDivStd.nii.gz"}
        files |= {"t1ce": folder / "T1c_subtrMeanDivStd.nii.gz"}
        files |= {"label": folder / "OTMultiClass.nii.gz"}
        files |= {"brain_mask": folder / "brainmask.nii.gz"}
        found.append(loose(**files, name=folder.name, convention="brats2015"))
    return found


@pytest.fixture(params=sources(), ids=lambda files: files.name)
def case(request):
    return request.param.read()


def test_as_they_are_and_with_mistakes(case):
    found = check(case)
    codes = {f.code for f in found if f.level == "warning"}
    sides, early = CUT.get(case.name, ([], []))
    wanted = {"cut"} if sides else set()
    wanted |= {"orientation"} if case.name.startswith("BRATS_") else set()
    assert codes == wanted
    said = " ".join(f.text for f in found if f.code == "cut")
    assert all(words in said for words in [*sides, *early])
    constant = any(f.code == "background" for f in found)
    assert constant == case.name.startswith("brats_2013")

    seen = look(case)
    for a, b in combinations(range(len(seen.names)), 2):
        order = list(range(len(seen.names)))
        order[a], order[b] = b, a
        mixed = replace(seen, image=seen.image[order], covered=seen.covered[order])
        likely, gain = likely_order(mixed)
        assert gain >= SURE and likely == tuple(seen.names[i] for i in order)

    other = "msd" if case.convention != "msd" else "brats2023"
    label = to_label(case.regions(), "msd" if other == "brats2023" else "brats2023")
    found = check(replace(case, label=label, convention=other))
    assert "convention" in [f.code for f in found]


def test_an_exam_as_a_scanner_gives_it(capsys):
    """On different grids, with skull, in thick slices: all of it is said, nothing else."""
    folder = DATA / "native" / "TCGA-FG-6692"
    files = loose(**{name: folder / f"{name}.nii.gz" for name in SEQUENCES})
    case, found = read(files)
    found += check(case)
    codes = [f.code for f in found if f.level == "warning"]
    assert sorted(codes) == ["grid", "skull", "spacing"]
    line = ["check", "--json"]
    for name in SEQUENCES:
        line += [f"--{name}", str(folder / f"{name}.nii.gz")]
    assert main(line) == 1
    told = json.loads(capsys.readouterr().out)["cases"][0]["findings"]
    assert [f["code"] for f in told if f["level"] == "warning"] == ["grid", "skull", "spacing"]
