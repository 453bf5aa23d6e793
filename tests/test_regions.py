"""Label conventions and nested regions."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from gliomakit.errors import GliomakitError
from gliomakit.regions import (
    CONVENTIONS,
    REGION_COLOURS,
    REGION_NAMES,
    REGIONS,
    SEQUENCE_NAMES,
    SEQUENCES,
    TISSUE_COLOURS,
    check_values,
    convention,
    convert,
    distinct,
    fitting,
    nest,
    to_label,
    to_regions,
)

# What the data sets themselves say (FACTS §3): value -> tissue.
PUBLISHED = {
    "msd": {1: "edema", 2: "core", 3: "enhancing"},
    "brats2015": {1: "core", 2: "edema", 3: "core", 4: "enhancing"},
    "brats2017": {1: "core", 2: "edema", 4: "enhancing"},
    "brats2023": {1: "core", 2: "edema", 3: "enhancing"},
    "brats2024": {1: "core", 2: "edema", 3: "enhancing", 4: "cavity"},
}
INSIDE = {
    "background": (0, 0, 0),
    "edema": (1, 0, 0),
    "core": (1, 1, 0),
    "enhancing": (1, 1, 1),
    "cavity": (0, 0, 0),
}

names = st.sampled_from(sorted(CONVENTIONS))
shapes = hnp.array_shapes(min_dims=3, max_dims=3, max_side=5)


def labels(name):
    return shapes.flatmap(
        lambda shape: hnp.arrays(
            np.uint8, shape, elements=st.sampled_from(sorted(convention(name).values))
        )
    )


def test_every_convention_is_the_published_one():
    assert set(CONVENTIONS) == set(PUBLISHED)
    for name, tissues in PUBLISHED.items():
        assert convention(name).values == {0, *tissues}
        for value, tissue in ({0: "background"} | tissues).items():
            assert convention(name).tissue(value) == tissue
            regions = to_regions(np.array([value], np.uint8), name)[:, 0]
            assert tuple(regions.astype(int)) == INSIDE[tissue]
        assert convention(name).tissue(9) == "unknown"


@given(data=st.data(), name=names)
@settings(max_examples=40, deadline=None)
def test_regions_are_nested_and_come_back_as_the_same_label(data, name):
    label = data.draw(labels(name))
    regions = to_regions(label, name)
    assert regions.dtype == bool and regions.shape == (3, *label.shape)
    assert (regions[0] >= regions[1]).all() and (regions[1] >= regions[2]).all()
    back = to_label(regions, name)
    assert back.dtype == np.uint8
    assert np.array_equal(to_regions(back, name), regions)
    if name in ("msd", "brats2017", "brats2023"):  # one value a tissue: nothing is lost
        assert np.array_equal(back, label)


@given(data=st.data(), source=names, target=names)
@settings(max_examples=40, deadline=None)
def test_another_convention_has_the_same_regions(data, source, target):
    label = data.draw(labels(source))
    there = convert(label, source, target)
    assert np.array_equal(to_regions(there, target), to_regions(label, source))
    assert np.array_equal(convert(there, target, target), there)


@given(hnp.arrays(bool, (3, 3, 2, 2)))
@settings(max_examples=30, deadline=None)
def test_nest_only_adds_and_is_done_once(regions):
    nested = nest(regions)
    assert (nested >= regions).all()
    assert (nested[0] >= nested[1]).all() and (nested[1] >= nested[2]).all()
    assert np.array_equal(nest(nested), nested)
    assert np.array_equal(nested[2], regions[2])
    assert np.array_equal(to_regions(to_label(regions, "msd"), "msd"), nested)


def test_1_and_2_are_exchanged_between_msd_and_brats():
    label = np.array([1, 2, 3], np.uint8)
    assert (to_regions(label, "msd")[1] != to_regions(label, "brats2023")[1]).sum() == 2


@given(
    hnp.arrays(
        st.sampled_from([np.uint8, np.int16, np.float32]),
        shapes,
        elements=st.integers(0, 100),
    )
)
@settings(max_examples=30, deadline=None)
def test_distinct_is_numpys_unique(label):
    assert distinct(label) == {int(v) for v in np.unique(label)}


def test_fitting_is_every_convention_that_has_the_values():
    assert fitting([0]) == list(CONVENTIONS)
    assert fitting([0, 4]) == ["brats2015", "brats2017", "brats2024"]
    assert fitting([0, 1, 2, 3, 4]) == ["brats2015", "brats2024"]
    assert fitting([0, 7]) == []


@pytest.mark.parametrize(
    ("values", "name", "words"),
    [
        ([0, 4], "msd", ["label value 4 is not in", "brats2015, brats2017 or brats2024"]),
        ([3], "brats2017", ["label value 3", "msd, brats2015, brats2023 or brats2024"]),
        ([5, 9], "msd", ["label values 5, 9 are not in", "no known convention fits"]),
    ],
)
def test_an_unknown_value_says_what_would_fit(values, name, words):
    label = np.array(values, np.uint8)
    for refuse in (lambda: check_values(label, name, "seg.nii"), lambda: to_regions(label, name)):
        with pytest.raises(GliomakitError) as caught:
            refuse()
        assert all(word in str(caught.value) for word in words)
    with pytest.raises(GliomakitError, match=r"^seg\.nii: "):
        check_values(label, name, "seg.nii")


def test_an_unknown_convention_names_the_known_ones():
    with pytest.raises(GliomakitError, match="'brats1999'; known are msd, brats2015"):
        to_regions(np.zeros((1, 1, 1), np.uint8), "brats1999")
    assert convention(CONVENTIONS["msd"]) is CONVENTIONS["msd"]


def test_names_and_colours_are_there_for_all():
    assert set(SEQUENCE_NAMES) == set(SEQUENCES) and set(REGION_NAMES) == set(REGIONS)
    assert set(REGION_COLOURS) == set(REGIONS) and len(set(TISSUE_COLOURS.values())) == 3
