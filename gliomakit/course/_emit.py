"""A lesson's figures, shown to the reader and handed to the tests."""

from __future__ import annotations

import math
import numbers

MIME = "application/vnd.gliomakit+json"
"""The output type in which lessons hand over figures and results of checks."""


def emit(figure: str | None = None, **values: object) -> None:
    """Show a lesson's figures, and hand them to whoever executed the lesson.

    figure: the lesson's main figure in words, for the table of `gliomakit course`.
    values: numbers, bools, texts, or lists of them, by name; NaN and infinite are handed over as
            null, for JSON knows neither.

    >>> emit("Dice of the whole tumour 0.91", dice_wt=0.9123)
    Main result: Dice of the whole tumour 0.91
    """
    bundle: dict[str, object] = {"figures": {name: _plain(v, name) for name, v in values.items()}}
    text = ", ".join(f"{name} = {_short(v)}" for name, v in bundle["figures"].items())
    if figure is not None:
        bundle["figure"] = figure
        text = f"Main result: {figure}"
    shell = _shell()
    if shell is None:
        print(text)
        return
    from IPython.display import display

    # In a lesson bare numbers would repeat what its cells have shown.
    display({MIME: bundle, "text/plain": text if figure is not None else ""}, raw=True)


def _shell():
    """The running IPython shell, or None: a script has nobody to hand figures to."""
    try:
        from IPython import get_ipython
    except ImportError:
        return None
    return get_ipython()


def _plain(value: object, name: str) -> object:
    """`value` as JSON has it."""
    if hasattr(value, "tolist"):  # arrays, tensors, and their scalars
        value = value.tolist()
    if isinstance(value, (list, tuple)):
        return [_plain(v, name) for v in value]
    if value is None or isinstance(value, (bool, str)):
        return value
    if isinstance(value, numbers.Integral):
        return int(value)
    if isinstance(value, numbers.Real):
        return float(value) if math.isfinite(value) else None
    raise TypeError(f"emit: {name} is a {type(value).__name__}; give numbers, texts or lists")


def _short(value: object) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
