"""A checker calls a learner's function and turns whatever goes wrong into a hint."""

from __future__ import annotations

import copy
import html
import importlib.util
import inspect
import linecache
import re
import traceback
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

from .._emit import MIME
from ._expect import Hint, same
from ._limit import TimeUp, limited

SECONDS = 10.0
"""How long a check may take. Checkers use small arrays: a right answer needs milliseconds."""


Status = Literal["passed", "not yet", "wrong"]
_SIGNS = {"passed": "✔", "not yet": "…", "wrong": "✘"}
_COLOURS = {"passed": "#009E73", "not yet": "#888888", "wrong": "#D55E00"}


@dataclass(frozen=True)
class Result:
    """What a check found. `message` is the hint, or what was right."""

    name: str
    status: Status
    message: str

    @property
    def passed(self) -> bool:
        return self.status == "passed"

    def __repr__(self) -> str:
        return f"{_SIGNS[self.status]} {self.name}, {self.status}: {self.message}"

    def _repr_mimebundle_(self, include=None, exclude=None) -> dict[str, object]:
        said = self.message
        if not re.match(r"\w+[(_]", said):  # the name of a function stays as it is
            said = said[:1].upper() + said[1:]
        said += "" if said.endswith((".", "?", "!")) else "."
        said += " Now run the cells below." if self.passed else ""
        border = f"border-left: 4px solid {_COLOURS[self.status]}; padding: 0.3em 0.8em"
        return {
            "text/plain": repr(self),
            "text/html": f'<div style="{border}"><b>{_SIGNS[self.status]} Exercise {self.name}, '
            f"{self.status}.</b> {html.escape(said)}</div>",
            MIME: {"exercise": self.name, "status": self.status},
        }


class Answer:
    """A learner's function. Called, it gives what the function gives, or raises `Hint`.

    The function gets copies of the arguments; one that changes them gets a hint, because in a
    lesson it would spoil the data of the cells that follow.
    """

    def __init__(self, function: Callable[..., object], call: str = ""):
        self.function, self.call = function, call

    def __call__(self, *arguments: object) -> object:
        self._must_accept(arguments)
        given = copy.deepcopy(arguments)
        try:
            value = self.function(*given)
        except (NotImplementedError, Hint, TimeUp):
            raise
        except RecursionError:
            raise Hint("your function calls itself without end") from None
        except BaseException as error:
            raise Hint(self._describe(error)) from None
        if not same(given, arguments):
            raise Hint("your function changes its input; work on a copy, or on a new array")
        return value

    def _must_accept(self, arguments: tuple[object, ...]) -> None:
        try:
            inspect.signature(self.function).bind(*arguments)
        except TypeError as error:
            wanted = f"it is called as {self.call}" if self.call else "see the exercise's text"
            raise Hint(f"your function does not take these arguments ({error}); {wanted}") from None
        except ValueError:
            pass  # some functions written in C tell nothing of their arguments

    def _describe(self, error: BaseException) -> str:
        """The error, and the learner's own line that led to it."""
        text = " ".join(f"{type(error).__name__}: {_text(error)}".split())[:300].rstrip(": ")
        own = getattr(getattr(self.function, "__code__", None), "co_filename", None)
        frames = [f for f in traceback.extract_tb(error.__traceback__) if f.filename == own]
        line = linecache.getline(own, frames[-1].lineno).strip() if frames else ""
        return f"your function stopped with {text}" + (f", in the line `{line}`" if line else "")


@dataclass(frozen=True)
class Exercise:
    """A registered checker. `call` shows how the learner's function is called."""

    name: str
    call: str
    praise: str
    checker: Callable[[Answer], None] = field(repr=False)


_exercises: dict[str, Exercise] = {}
_checked: dict[str, tuple[object, Result]] = {}


def checker(name: str, call: str, praise: str) -> Callable:
    """Register the decorated function as the checker of exercise `name`, such as "00.volume".

    It gets an `Answer`, calls it, and raises `Hint` for what is wrong. Returning means passed, and
    `praise` is then shown.
    """

    def register(function: Callable[[Answer], None]) -> Callable[[Answer], None]:
        _exercises[name] = Exercise(name, call, praise, function)
        return function

    return register


def find(name: str) -> Exercise | None:
    """The exercise of that name, from `lessonNN.py`; None if there is none."""
    if name not in _exercises:
        number = str(name).partition(".")[0]
        module = f"{__package__}.lesson{number}"
        if number.isalnum() and importlib.util.find_spec(module):
            importlib.import_module(module)
    return _exercises.get(name)


def check(name: str, function: object) -> Result:
    """Try the learner's `function`, and say what is wrong with it. Never raises, whatever it does.

    >>> check("00.volume", lambda label, spacing: None)
    ✘ 00.volume, wrong: your function returns None: does it end with `return`?
    """
    result = _judge(name, function)
    _checked[name] = (function, result)
    return result


def _judge(name: str, function: object) -> Result:
    exercise = find(name)
    if exercise is None:
        known = ", ".join(sorted(_exercises)) or "none"
        return Result(str(name), "wrong", f"there is no such exercise here; there are: {known}")
    if not callable(function):
        own = exercise.call.partition("(")[0]
        return Result(
            name,
            "wrong",
            f'give check the function itself, without calling it: check("{name}", {own})',
        )
    try:
        limited(lambda: exercise.checker(Answer(function, exercise.call)), SECONDS)
    except NotImplementedError:
        return Result(name, "not yet", "write your answer in this cell, and run it again")
    except Hint as hint:
        return Result(name, "wrong", str(hint))
    except TimeUp:
        return Result(
            name, "wrong", f"no answer after {SECONDS:g} s: is there a loop that never ends?"
        )
    except KeyboardInterrupt:
        return Result(name, "wrong", "stopped before it had an answer")
    except BaseException as error:
        # A value may raise from anywhere, from its own __eq__ for example.
        kind, said = type(error).__name__, _text(error)
        return Result(
            name, "wrong", f"what your function returns cannot be judged ({kind}: {said})"
        )
    return Result(name, "passed", exercise.praise)


def use(name: str, learner: Callable, package: Callable) -> Callable:
    """The learner's function if its check passed, else the package's. Prints which."""
    function, result = _checked.get(name, (None, None))
    if result is None or function is not learner:
        result = check(name, learner)
    if result.passed:
        print(f"Exercise {name} passed: the lesson goes on with your own function.")
        return learner
    origin = f"{package.__module__}.{package.__qualname__}"
    print(f"Exercise {name} {_pending(result)}: the lesson goes on with {origin}.")
    return package


def _pending(result: Result) -> str:
    return "is not done yet" if result.status == "not yet" else "has not passed"


def _text(error: BaseException) -> str:
    try:
        return str(error)
    except Exception:  # an error whose own text fails
        return ""
