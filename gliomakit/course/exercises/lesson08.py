"""Checkers of lesson 08, *The Dynamic U-Net in fastai*."""

from __future__ import annotations

from itertools import islice
from pathlib import Path

import numpy as np
import torch

from ._core import Answer, checker
from ._expect import Hint, close, number, tensor

# ---- 08.mask ---------------------------------------------------------------------------------


@checker(
    "08.mask",
    call="mask_path(image)",
    praise="the name changes at its end, the folder stays, whatever either is called",
)
def mask(answer: Answer) -> None:
    """`mask_path(image)`: the mask's file beside an image's."""
    name = "TCGA_CS_4942_19970222"
    given = (
        (f"kaggle_3m/{name}/{name}_1.tif", "_1_mask.tif"),
        (f"kaggle_3m/{name}/{name}_10.tif", "_10_mask.tif"),
    )
    for image, end in given:
        _same_file(answer(Path(image)), Path(image), Path(image).with_name(name + end))
    odd = Path("slices.tif/kaggle_3m/a_1_b/a_1_b_1.tif")
    found = answer(odd)
    wanted = odd.with_name("a_1_b_1_mask.tif")
    if _path(found) == Path(str(odd).replace(".tif", "_mask.tif")):
        raise Hint(
            "you replace `.tif` wherever it stands, also in a folder's name (slices.tif/…): change "
            "the file's name only, with `image.stem` and `image.with_name`"
        )
    _same_file(found, odd, wanted)


def _path(value: object) -> Path:
    if value is None:
        raise Hint("your function returns None: does it end with `return`?")
    if not isinstance(value, (str, Path)):
        raise Hint(f"your function returns a {type(value).__name__}; a path is wanted")
    return Path(value)


def _same_file(value: object, image: Path, wanted: Path) -> None:
    found = _path(value)
    if found == wanted:
        return
    if found == image:
        raise Hint("that is the image itself: its mask has `_mask` before `.tif`")
    if found.name == wanted.name:
        raise Hint(f"the name is right, the folder is lost: {wanted} is right")
    if found == image.with_name(f"{image.name}_mask.tif"):
        raise Hint("`image.name` still has its `.tif`: take `image.stem`")
    if found == wanted.with_suffix(""):
        raise Hint("the ending is missing: the mask's name ends with `.tif` too")
    if found.name == f"{image.parent.name}_mask.tif" or found.name == f"mask_{image.name}":
        raise Hint(f"a mask's name is the image's with `_mask` at its end: {wanted.name}")
    raise Hint(f"for {image.name} the mask is {wanted.name}, you return {found.name[:80]}")


# ---- 08.rates --------------------------------------------------------------------------------


@checker(
    "08.rates",
    call="rates(low, high, groups)",
    praise="each group learns by the same factor faster than the one before it",
)
def rates(answer: Answer) -> None:
    """`rates(low, high, groups)`: a geometric series, as fastai's `even_mults`."""
    low, high = 1e-5, 1e-3
    right = _series(low, high, 3)
    _rates(
        answer(low, high, 3),
        right,
        [
            (right[::-1], "the first group, the one near the image, gets the lowest rate"),
            (
                np.linspace(low, high, 3),
                "you add the same amount each time; multiply by the same factor",
            ),
            (_series(low, high, 4)[:3], "the last group gets `high` itself: groups − 1 steps"),
            (_series(low, high, 4)[1:], "the first group gets `low` itself"),
            (np.log10(right), "those are the exponents; wanted are the rates"),
            (right[:1].repeat(3), "all are equal: multiply group by group"),
            (right[-1:].repeat(3), "all are equal: multiply group by group"),
        ],
        "from 1e-5 to 1e-3 in three groups",
    )
    _rates(answer(2e-4, 5e-3, 4), _series(2e-4, 5e-3, 4), [], "from 2e-4 to 5e-3 in four groups")
    _rates(answer(1e-3, 1e-3, 2), [1e-3, 1e-3], [], "where both ends are equal")
    _rates(
        answer(low, high, 1),
        [high],
        [([low], "with a single group there is one rate, the higher one, as in fastai")],
        "of a single group",
    )


def _series(low: float, high: float, groups: int) -> np.ndarray:
    return low * (high / low) ** (np.arange(groups) / (groups - 1))


def _rates(value: object, right, mistakes, what: str) -> None:
    if value is None:
        raise Hint("your function returns None: does it end with `return`?")
    if isinstance(value, (str, bytes, dict)) or not hasattr(value, "__iter__"):
        if len(right) == 1:
            raise Hint("with a single group return a list of one rate")
        raise Hint("return a list: one rate a group")
    found = [number(each) for each in islice(iter(value), len(right) + 1)]
    if len(found) != len(right):
        count = "more" if len(found) > len(right) else len(found)
        raise Hint(f"{what}: {len(right)} rates are wanted, you return {count}")
    close(np.array(found), np.array(right), mistakes, rtol=1e-5, atol=0, what=f"{what}, the answer")


# ---- 08.decay --------------------------------------------------------------------------------


@checker(
    "08.decay",
    call="first_step(weight, gradient, rate, decay, decoupled)",
    praise="decoupled, the decay is a share of the weight; in the gradient, Adam divides it away",
)
def decay(answer: Answer) -> None:
    """`first_step(weight, gradient, rate, decay, decoupled)`: Adam's first step."""
    weight = torch.tensor([2.0, -1.0, 0.5, -3.0], dtype=torch.float64)
    gradient = torch.tensor([0.3, 0.02, -0.004, -5.0], dtype=torch.float64)
    rate, share = 0.1, 0.5
    plain = weight - rate * gradient.sign()
    right = plain - rate * share * weight
    mixed = gradient + share * weight
    l2 = weight - rate * mixed.sign()
    _step(
        answer(weight, gradient, rate, share, True),
        right,
        [
            (plain, "with `decoupled` true nothing decays: take rate × decay × weight off"),
            (l2, "that is L2: with `decoupled` true the gradient stays as it is"),
            (plain - share * weight, "the decay is multiplied by the rate: rate × decay × weight"),
            (plain + rate * share * weight, "your decay makes the weights larger"),
            (
                weight + rate * gradient.sign() - rate * share * weight,
                "a step goes against the gradient: minus",
            ),
            (
                weight * (1 - rate * share) - rate * gradient,
                "that is a step without Adam: divide the gradient by its size, |g| + 1e-8",
            ),
            (
                plain * (1 - rate * share),
                "you take the decay of the weight after the step; take it of the weight before",
            ),
        ],
        "with decoupled decay, the new weight",
    )
    _step(
        answer(weight, gradient, rate, share, False),
        l2,
        [
            (right, "without `decoupled` the decay is added to the gradient, before the division"),
            (plain, "without `decoupled` you leave the decay out: add decay × weight to g"),
            (
                weight - rate * (gradient.sign() + share * weight),
                "you add decay × weight after the division: add it to the gradient first",
            ),
            (weight - rate * mixed, "that is a step without Adam: divide by |g| + 1e-8"),
            (
                weight - rate * (gradient - share * weight).sign(),
                "add decay × weight to the gradient; you take it off",
            ),
            (
                weight - rate * mixed / (gradient.abs() + 1e-8),
                "divide by the size of the gradient *with* the decay in it",
            ),
        ],
        "with L2 in the gradient, the new weight",
    )
    still = torch.zeros(2, dtype=torch.float64)
    found = answer(torch.ones(2, dtype=torch.float64), still, 0.1, 0.0, True)
    if isinstance(found, torch.Tensor) and bool(found.isnan().any()):
        raise Hint("where the gradient is 0 you divide 0 by 0: divide by |g| + 1e-8")
    _step(found, torch.ones(2), [], "without gradient and decay, the weight")


def _step(value: object, right, mistakes, what: str) -> None:
    close(tensor(value, right.shape), right, mistakes, rtol=1e-4, atol=1e-6, what=what)
