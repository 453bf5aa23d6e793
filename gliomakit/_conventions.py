"""What a label's numbers mean: decided by what the user says, by names, by values, in that order.

The same numbers mean other tissues in other data sets (`regions.CONVENTIONS`), so {0, 1, 2, 3} that
no name decides is asked about, never guessed.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from ._layouts import (
    BRATS_2017,
    BRATS_2023,
    NAME,
    DataSet,
    find_dataset,
    is_nifti_name,
    names_hint,
    read_dataset,
    role,
    stem,
)
from .errors import GliomakitError
from .regions import CONVENTIONS, SEQUENCES, check_values, convention, fitting


def label_hint(path: Path) -> str | None:
    """The convention that a label file's surroundings suggest, strongest first: the JSON that
    `write_label` puts beside it, its data set's `dataset.json`, the names of the images beside it,
    its own name.

    Raises `GliomakitError` if `dataset.json` names tissues that fit no known convention.
    """
    beside = path.with_name(f"{stem(path)}.json")
    if beside.name != "dataset.json" and beside.is_file():
        try:
            written = json.loads(beside.read_text("utf-8"))
        except (OSError, ValueError, RecursionError):
            written = None  # some other program's file: it decides nothing
        name = written.get("convention") if isinstance(written, dict) else None
        if isinstance(name, str) and name in CONVENTIONS:
            return name
    if source := find_dataset(path):
        try:
            content = read_dataset(source)
        except GliomakitError:
            content = None  # a dataset.json of another kind: it decides nothing
        if content and content.labels is not None:
            return data_set_convention(content)
    match = NAME.fullmatch(stem(path))
    if match and match.lastgroup == "label" and path.parent.is_dir():
        case = match["case"] + match["sep"]
        names = [p for p in path.parent.iterdir() if is_nifti_name(p) and p.name.startswith(case)]
        if any(role(p) in SEQUENCES for p in names):
            return names_hint(names)
    if BRATS_2023.match(path.name):
        return "brats2023"
    return "brats2017" if BRATS_2017.match(path.name) else None


def decide_convention(
    values: Iterable[int],
    hint: str | None = None,
    given: str | None = None,
    where: str | Path | None = None,
) -> str:
    """The convention of a label with these values.

    given: what the user said; it decides. hint: what names suggest (`names_hint`, `dataset.json`);
    it decides if the values fit, and `brats2023` with a value 4 is `brats2024`. Without either,
    4 without 3 is BraTS 2017 to 2021, an empty label is taken as the same, and anything else is an
    error that asks.

    Raises `GliomakitError` if the values do not fit, or nothing decides.

    >>> decide_convention([0, 1, 2, 4]), decide_convention([0, 1, 2, 3], hint="msd")
    ('brats2017', 'msd')
    >>> decide_convention([0, 1, 2, 3, 4], hint="brats2023")
    'brats2024'
    >>> decide_convention([0, 1, 2, 3])
    Traceback (most recent call last):
    gliomakit.errors.GliomakitError: label values 0, 1, 2, 3 fit msd, brats2015, brats2023 and \
brats2024, which mean different tissues by them; say which with --convention
    """
    values = frozenset(int(v) for v in values)
    name = convention(given or hint).name if given or hint else None
    if name == "brats2023" and not given and 4 in values:
        name = "brats2024"
    fits = fitting(values)
    if name is None and "brats2017" in fits and (4 in values or values <= {0}):
        name = "brats2017"
    if name is not None:
        check_values(np.array(sorted(values), np.int64), name, where)
        return name
    known = ", ".join(map(str, sorted(values)[:8])) + (", …" if len(values) > 8 else "")
    if not fits:
        raise GliomakitError(
            f"label values {known} fit no known convention",
            where=where,
            todo=f"known are {', '.join(CONVENTIONS)}",
        )
    raise GliomakitError(
        f"label values {known} fit {', '.join(fits[:-1])} and {fits[-1]}, which mean different "
        "tissues by them",
        where=where,
        todo="say which with --convention",
    )


def tissue(name: str) -> str | None:
    """The tissue that a data set's own words name, None for any other words.

    >>> [tissue(n) for n in ("edema", "non-enhancing tumor", "enhancing tumour", "liver")]
    ['edema', 'core', 'enhancing', None]
    """
    word = re.sub("[^a-z]", "", name.lower())
    for found, pattern in (
        ("background", "background"),
        ("cavity", "cavity|resection|^rc$"),
        ("edema", "o?edema|^ed$|^snfh$|hyperintensity"),
        ("core", "non.*enhanc|necro|^ncr|^netc?$|core"),
        ("enhancing", "enhanc|^et$|^at$"),
    ):
        if re.search(pattern, word):
            return found
    return None


def data_set_convention(data_set: DataSet) -> str | None:
    """The convention whose tissues are the ones that `dataset.json` names in `labels`; None if it
    names none.

    Raises `GliomakitError` if they fit no convention.
    """
    labels = data_set.labels
    if labels is None:
        return None
    named = {value: tissue(name) for value, name in labels.items()} | {0: "background"}
    for known in CONVENTIONS.values():
        if named == {value: known.tissue(value) for value in known.values}:
            return known.name
    words = ", ".join(f"{value} {name}" for value, name in sorted(labels.items()))
    raise GliomakitError(
        f"its labels ({words}) fit no known convention",
        where=data_set.path,
        todo="say which one with --convention",
    )
