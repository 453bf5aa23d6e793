"""Lesson 01's checkers: right answers pass, each wrong one gets its own hint."""

from __future__ import annotations

from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from gliomakit import regions
from gliomakit.course import source
from gliomakit.course.exercises import check
from gliomakit.regions import CONVENTIONS

LESSON = source.read(
    Path(__file__).resolve().parent.parent / "notebooks" / "src" / "01_explore_the_data.py"
)
EXERCISES = {p.name: p.exercise for p in LESSON.parts if p.exercise}
CALLED = {
    "01.millimetres": "voxel_to_mm",
    "01.nested": "nested_regions",
    "01.shares": "tissue_shares",
}


def written(name, variant="solutions"):
    """The function that the lesson's own cell defines."""
    names = {"np": np, "check": lambda *_: None}
    exec(EXERCISES[name].text(variant), names)
    return names[CALLED[name]]


def test_these_are_the_exercises():
    assert set(EXERCISES) == set(CALLED)


@pytest.mark.parametrize("name", CALLED)
def test_the_stub_is_not_done_yet_and_the_solution_passes(name):
    assert check(name, written(name, "stubs")).status == "not yet"
    assert check(name, written(name)).passed


# ---- millimetres -----------------------------------------------------------------------------


def homogeneous(affine, voxel):
    return (affine @ np.append(voxel, 1))[:3]


def by_hand(affine, voxel):
    i, j, k = voxel
    return [float(row[0] * i + row[1] * j + row[2] * k + row[3]) for row in affine[:3]]


@pytest.mark.parametrize("right", [homogeneous, by_hand, nib.affines.apply_affine])
def test_millimetres_accepts_right_answers(right):
    assert check("01.millimetres", right).passed


def sides(affine):
    return nib.affines.voxel_sizes(affine)


@pytest.mark.parametrize(
    ("wrong", "hint"),
    [
        (lambda a, v: a[:3, :3] @ v, "last column"),
        (lambda a, v: a[:3, :3] @ v - a[:3, 3], "added, not taken away"),
        (lambda a, v: a[:3, :3] @ (np.array(v) + a[:3, 3]), "after turning"),
        (lambda a, v: np.array(v) * sides(a), "spacing only"),
        (lambda a, v: np.array(v) * sides(a) + a[:3, 3], "spacing and the last column"),
        (lambda a, v: np.diag(a)[:3] * v + a[:3, 3], "diagonal only"),
        (lambda a, v: v @ a[:3, :3] + a[:3, 3], "rows as columns"),
        (lambda a, v: homogeneous(a.T, v), "rows as columns"),
        (lambda a, v: homogeneous(np.linalg.inv(a), v), "do not invert"),
        (lambda a, v: a @ np.append(v, 1), "four numbers"),
        (lambda a, v: a * np.append(v, 1), "use @"),
        (lambda a, v: homogeneous(a, np.array(v, int)), "cut to integers"),
        (lambda a, v: None, "None"),
    ],
)
def test_millimetres_names_the_mistake(wrong, hint):
    result = check("01.millimetres", wrong)
    assert result.status == "wrong" and hint in result.message, result


def test_the_lessons_millimetres_are_nibabels(seed=0):
    draw = np.random.default_rng(seed)
    for _ in range(10):
        affine = np.vstack([draw.normal(size=(3, 4)), [0, 0, 0, 1]])
        voxel = draw.uniform(0, 99, 3)
        expected = nib.affines.apply_affine(affine, voxel)
        np.testing.assert_allclose(written("01.millimetres")(affine, voxel), expected)


# ---- nested ----------------------------------------------------------------------------------


def tissues(label, c):
    return label == c.edema, np.isin(label, c.core), label == c.enhancing


def side_by_side(label, c):
    return np.stack(tissues(label, c))


def smallest_first(label, c):
    return regions.to_regions(label, c)[::-1]


def core_without_et(label, c):
    edema, core, et = tissues(label, c)
    return np.stack([edema | core | et, core, et])


def first_core_only(label, c):
    edema, et, core = label == c.edema, label == c.enhancing, label == c.core[0]
    return np.stack([edema | core | et, core | et, et])


def all_but_background(label, c):
    _, tc, et = regions.to_regions(label, c)
    return np.stack([label > 0, tc, et])


def fixed_msd(label, c):
    return np.stack([label > 0, (label == 2) | (label == 3), label == 3])


def fixed_brats(label, c):
    return np.stack([label > 0, (label == 1) | (label == 4), label == 4])


def core_and_edema(label, c):
    wt, _, et = regions.to_regions(label, c)
    return np.stack([wt, (label == c.edema) | et, et])


def core_as_one_number(label, c):
    tc = (label == c.core) | (label == c.enhancing)
    return np.stack([tc | (label == c.edema), tc, label == c.enhancing])


@pytest.mark.parametrize(
    ("wrong", "hint"),
    [
        (side_by_side, "tissues side by side"),
        (smallest_first, "the largest first"),
        (core_without_et, "TC contains what enhances"),
        (first_core_only, "np.isin"),
        (all_but_background, "a cavity is no tumour"),
        (fixed_msd, "fixed"),
        (fixed_brats, "fixed"),
        (core_and_edema, "without edema"),
        (lambda label, c: regions.to_regions(label, c).astype(np.uint8), "bool is wanted"),
        (lambda label, c: np.moveaxis(regions.to_regions(label, c), 0, -1), "axes exchanged"),
        (lambda label, c: list(regions.to_regions(label, c)), "a NumPy array is wanted"),
        (core_as_one_number, "your function stopped"),
    ],
)
def test_nested_names_the_mistake(wrong, hint):
    result = check("01.nested", wrong)
    assert result.status == "wrong" and hint in result.message, result


def by_loops(label, c):
    found = np.zeros((3, *label.shape), bool)
    for place in np.ndindex(label.shape):
        value = label[place]
        found[0][place] = value != 0 and value != c.cavity
        found[1][place] = value in c.core or value == c.enhancing
        found[2][place] = value == c.enhancing
    return found


@pytest.mark.parametrize("right", [by_loops, regions.to_regions])
def test_nested_accepts_right_answers(right):
    assert check("01.nested", right).passed


def test_the_lessons_regions_are_the_packages(seed=0):
    draw = np.random.default_rng(seed)
    for known in CONVENTIONS.values():
        label = draw.choice(sorted(known.values), (5, 6, 7)).astype(np.uint8)
        assert (written("01.nested")(label, known) == regions.to_regions(label, known)).all()


# ---- shares ----------------------------------------------------------------------------------


def over(values, n, label):
    return {int(v): (label == v).sum() / n for v in values}


def counted(label, brain):
    return {int(v): int((label[brain] == v).sum()) for v in np.unique(label)}


def of_the_tumour(label, brain):
    counts = counted(label, brain)
    return {v: c / (label[brain] > 0).sum() for v, c in counts.items()}


@pytest.mark.parametrize(
    ("wrong", "hint"),
    [
        (counted, "these are counts"),
        (lambda lab, b: {v: 100 * c / b.sum() for v, c in counted(lab, b).items()}, "per cent"),
        (lambda lab, b: {v: c / lab.size for v, c in counted(lab, b).items()}, "all voxels of the"),
        (lambda lab, b: over(np.unique(lab), lab.size, lab), "whole file"),
        (lambda lab, b: over(np.unique(lab), b.sum(), lab), "outside of the brain"),
        (of_the_tumour, "not by the brain's"),
        (lambda lab, b: {v: (lab[b] == v).mean() for v in range(4)}, "the number 4"),
        (lambda lab, b: {v: (lab[b] == v).mean() for v in (1, 2, 4)}, "healthy brain"),
        (lambda lab, b: [(lab[b] == v).mean() for v in np.unique(lab)], "a dictionary"),
        (lambda lab, b: None, "return"),
    ],
)
def test_shares_names_the_mistake(wrong, hint):
    result = check("01.shares", wrong)
    assert result.status == "wrong" and hint in result.message, result


def with_bincount(label, brain):
    counts = np.bincount(label[brain])
    return dict(enumerate(counts / counts.sum()))  # a share of 0 for what does not occur


@pytest.mark.parametrize("right", [with_bincount, regions.shares])
def test_shares_accepts_right_answers(right):
    assert check("01.shares", right).passed


def test_the_lessons_shares_are_the_packages(seed=0):
    draw = np.random.default_rng(seed)
    label, brain = draw.integers(0, 5, (6, 7, 8)).astype(np.uint8), draw.random((6, 7, 8)) < 0.6
    ours, theirs = written("01.shares")(label, brain), regions.shares(label, brain)
    assert ours == pytest.approx(theirs) and sum(theirs.values()) == pytest.approx(1)
