"""A lesson's source, read: `notebooks/src/NN_name.py`, jupytext's percent format with marks.

A mark is a line `# +++ kind [name]`. It stands first in a cell and says what the cell is:

| kind | cell | becomes |
|---|---|---|
| `title` | markdown | the lesson's heading and its picture |
| `objectives`, `prerequisites`, `minutes`, `remember`, `next` | markdown | the same text |
| `picture` | markdown | the words beside the picture of the code cell above |
| `setup` | code | the set-up cell, identical in every lesson |
| `exercise 00.name` | code | the learner's stub, or the solution |
| `quiz 00.name` | markdown | the question, folded feedback, and a cell with buttons |

In an exercise, `# +++ solution` opens the answer and `# +++ end` closes it (or the cell's end).
`# +++ stub` before the end gives the lines that stand in the answer's place; without it a comment
and ``raise NotImplementedError`` do.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from pathlib import Path

from ..errors import GliomakitError
from . import quiz
from .colab import SETUP_CELL

FORMAT = "1"
"""Counted up when the build makes other cells of the same source: then all is stale."""

TEXT_PARTS = ("title", "objectives", "prerequisites", "minutes", "picture", "remember", "next")
CODE_PARTS = ("setup", "exercise")
_MARK = re.compile(r"^[ \t]*(?:# )?\+\+\+[ \t]*(\w*)[ \t]*(.*?)[ \t]*$")
_NAME = re.compile(r"^(\d\d)_[a-z0-9_]+$")


@dataclass(frozen=True)
class Exercise:
    """An exercise's code in three pieces, and what stands for the middle one in the stub."""

    before: tuple[str, ...]
    answer: tuple[str, ...]
    stub: tuple[str, ...]
    after: tuple[str, ...]

    def text(self, variant: str) -> str:
        middle = self.answer if variant == "solutions" else self.stub
        return "\n".join((*self.before, *middle, *self.after)).strip("\n")


@dataclass(frozen=True)
class Part:
    """One cell of the source. `part` is its mark's kind, "" without a mark."""

    kind: str  # "markdown" or "code"
    text: str
    part: str = ""
    name: str = ""
    exercise: Exercise | None = None
    question: quiz.Question | None = None


@dataclass(frozen=True)
class Lesson:
    """A source, read. `digest` changes with whatever changes the built notebooks' cells."""

    name: str
    title: str
    parts: tuple[Part, ...]
    digest: str
    path: Path

    @property
    def number(self) -> str:
        return self.name[:2]

    @property
    def questions(self) -> list[quiz.Question]:
        return [p.question for p in self.parts if p.question]


def sources(folder: Path) -> list[Path]:
    """The lessons' sources in `notebooks/src`, in their order."""
    return sorted(p for p in folder.glob("*.py") if _NAME.match(p.stem))


def read(path: Path) -> Lesson:
    """Read one source. Raises `GliomakitError` that names the cell whose marks are wrong."""
    import jupytext

    if not _NAME.match(path.stem):
        raise GliomakitError("a lesson is named like 03_patches.py", where=path)
    text = path.read_text(encoding="utf-8")
    cells = jupytext.reads(text, fmt="py:percent").cells
    parts: list[Part] = []
    for index, cell in enumerate(cells, start=1):
        try:
            parts.append(_part(cell.cell_type, cell.source, path.stem[:2]))
        except GliomakitError as error:
            raise GliomakitError(str(error), where=f"{path}, cell {index}") from None
    names = [p.name for p in parts if p.name]
    for name in names:
        if names.count(name) > 1:
            raise GliomakitError(f"the name {name} is used twice", where=path)
    heading = next((re.match(r"# (.+)", p.text) for p in parts if p.part == "title"), None)
    if heading is None:
        raise GliomakitError(
            "no cell is marked `+++ title` and begins with a `# ` heading", where=path
        )
    digest = hashlib.sha256("\0".join((FORMAT, SETUP_CELL, text)).encode()).hexdigest()
    return Lesson(path.stem, heading[1].strip(), tuple(parts), digest, path)


def _part(kind: str, text: str, number: str) -> Part:
    """One cell with its mark taken off."""
    lines = text.split("\n")
    marks = [(i, *m.groups()) for i, line in enumerate(lines) if (m := _MARK.match(line))]
    if not marks:
        return Part(kind, text)
    (first, part, name), inner = marks[0], marks[1:]
    if any(line.strip() for line in lines[:first]):
        raise GliomakitError(f"the mark `+++ {part}` does not stand first in its cell")
    body = lines[first + 1 :]
    if inner and part != "exercise":
        raise GliomakitError(f"`+++ {inner[0][1]}` has no place in a cell marked `+++ {part}`")
    if part in ("exercise", "quiz") and not name.startswith(f"{number}."):
        raise GliomakitError(f"`+++ {part} {name}`: its name begins with {number}.")
    if part not in ("exercise", "quiz") and name:
        raise GliomakitError(f"`+++ {part}` takes no name, not {name!r}")
    wanted = "markdown" if part in (*TEXT_PARTS, "quiz") else "code"
    if part not in (*TEXT_PARTS, *CODE_PARTS, "quiz"):
        raise GliomakitError(f"there is no mark `+++ {part}`")
    if kind != wanted:
        raise GliomakitError(f"`+++ {part}` belongs in a {wanted} cell")
    rest = "\n".join(body).strip("\n")
    if part == "exercise":
        return Part(kind, "", part, name, exercise=_exercise(body, name))
    if part == "quiz":
        return Part(kind, "", part, name, question=quiz.parse(name, rest))
    if part == "setup":
        if rest.strip():
            raise GliomakitError("the set-up cell is filled in by the build; leave it empty")
        rest = SETUP_CELL.strip("\n")
    return Part(kind, rest, part)


def _exercise(lines: list[str], name: str) -> Exercise:
    """Cut an exercise's code at its inner marks."""
    pieces: dict[str, list[str]] = {"before": []}
    now, indent = "before", ""
    for line in lines:
        mark = _MARK.match(line)
        if not mark:
            pieces[now].append(line)
            continue
        now = mark[1]
        if now in pieces or now not in ("solution", "stub", "end"):
            raise GliomakitError(f"exercise {name}: the mark `+++ {now}` is not expected there")
        pieces[now] = []
        if now == "solution":
            indent = line[: len(line) - len(line.lstrip())]
    if not any(line.strip() for line in pieces.get("solution", [])):
        raise GliomakitError(f"exercise {name}: no `# +++ solution`, or nothing after it")
    if "stub" not in pieces and not indent:
        raise GliomakitError(
            f"exercise {name}: its answer is not inside a function; "
            "give its stand-in after `# +++ stub`"
        )
    default = [
        f"{indent}# Your answer goes here, in place of the next line.",
        f"{indent}raise NotImplementedError",
    ]
    return Exercise(
        before=tuple(pieces["before"]),
        answer=tuple(pieces["solution"]),
        stub=tuple(pieces.get("stub", default)),
        after=tuple(pieces.get("end", [])),
    )
