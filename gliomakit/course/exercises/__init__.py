"""Exercises: `check` says what is wrong with an answer, `use` goes on with it or without it.

In a lesson:

    check("00.volume", volume_ml)                                 # passed, not yet, or a hint
    volume_ml = use("00.volume", volume_ml, metrics.volume_ml)    # yours if it passed

The checkers of lesson NN stand in `lessonNN.py` beside this file; `_expect.py` holds what they
compare with, `_core.py` how an answer is called without harm.
"""

from ._core import Answer, Hint, Result, check, checker, find, use
from ._expect import array, close, number, tensor

__all__ = [
    "Answer",
    "Hint",
    "Result",
    "array",
    "check",
    "checker",
    "close",
    "find",
    "number",
    "tensor",
    "use",
]
