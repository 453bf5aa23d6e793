"""Which patients a network is trained on, and which are kept to validate it."""

from __future__ import annotations

import json
import random
import re
from collections.abc import Sequence
from pathlib import Path

from ..errors import GliomakitError

Split = tuple[list[str], list[str]]
"""Names of cases: training, validation."""

_VISIT = re.compile(r"(BraTS-[A-Za-z]+-\d+)-\d+")


def patient(case: str) -> str:
    """The patient of a case: from 2023 on BraTS has several scans of some.

    >>> patient("BraTS-GLI-00005-101"), patient("BRATS_001")
    ('BraTS-GLI-00005', 'BRATS_001')
    """
    match = _VISIT.fullmatch(case)
    return match[1] if match else case


def random_split(cases: Sequence[str], share: float, seed: int) -> Split:
    """Keep a share of the *patients* for validation: at least one, unless there is only one.

    The same names, share and seed give the same split.

    >>> random_split(["a", "b", "c", "d"], share=0.25, seed=0)
    (['a', 'b', 'c'], ['d'])
    """
    if not 0 <= share < 1:
        raise GliomakitError(f"the share of validation is {share:g}; it is from 0 to below 1")
    patients = sorted({patient(case) for case in cases})
    n = min(max(round(share * len(patients)), 1), len(patients) - 1) if share else 0
    kept = set(random.Random(seed).sample(patients, n))
    return (
        sorted(case for case in cases if patient(case) not in kept),
        sorted(case for case in cases if patient(case) in kept),
    )


def from_file(path: Path) -> Split:
    """The split that a JSON file names: ``{"training": […], "validation": […]}``, or the same under
    ``"patients"``.

    Raises `GliomakitError` if the file says something else, or names one patient for both.
    """
    try:
        content = json.loads(path.read_text("utf-8"))
        content = content.get("patients", content)
        training, validation = content["training"], content.get("validation", [])
        if not all(isinstance(name, str) for name in (*training, *validation)):
            raise TypeError("names are text")
    except FileNotFoundError:
        raise GliomakitError("there is no such file", where=path) from None
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise GliomakitError(
            f"does not name patients for training and validation ({error})", where=path
        ) from None
    both = {patient(case) for case in training} & {patient(case) for case in validation}
    if both:
        raise GliomakitError(
            f"{sorted(both)[0]} is in training and in validation",
            where=path,
            todo="keep each patient in one of them",
        )
    return list(training), list(validation)
