"""From one source to two notebooks: `python -m gliomakit.course.build`, or `make notebooks`.

`notebooks/src/NN_name.py` gives `notebooks/NN_name.ipynb` (stubs, with the outputs of an execution,
so that a code host shows the pictures) and `notebooks/solutions/NN_name.ipynb` (solutions, without
outputs), and `gliomakit/course/quizzes/NN_name.json`. The same source always gives the same cells.
Nobody edits a built file: the next build would overwrite it, and a test would fail before.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import re
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import nbformat
from nbformat import NotebookNode

from ..errors import GliomakitError
from ..paths import checkout
from . import quiz
from .source import Lesson, Part, read, sources

VARIANTS = ("stubs", "solutions")
LARGEST = 1_500_000
"""Bytes that a built notebook may have."""


@dataclass(frozen=True)
class Places:
    """Where a course's files lie: `notebooks` holds src/ and solutions/."""

    notebooks: Path
    quizzes: Path = quiz.FOLDER

    @property
    def sources(self) -> Path:
        return self.notebooks / "src"

    def built(self, name: str, variant: str) -> Path:
        folder = self.notebooks / "solutions" if variant == "solutions" else self.notebooks
        return folder / f"{name}.ipynb"


def here() -> Places:
    """The course of this checkout. Raises `GliomakitError` where there is none."""
    for root in (checkout(), Path.cwd()):
        if root is not None and (root / "notebooks" / "src").is_dir():
            return Places(root / "notebooks")
    raise GliomakitError(
        "there are no lessons here",
        where=Path.cwd(),
        todo="call it in a checkout of gliomakit, where notebooks/src is",
    )


def notebook(lesson: Lesson, variant: str) -> NotebookNode:
    """The lesson as a notebook without outputs; `variant` is "stubs" or "solutions"."""
    if variant not in VARIANTS:
        raise ValueError(f"variant {variant!r}; known are {VARIANTS}")
    cells: list[NotebookNode] = []
    asked = 0
    for part in lesson.parts:
        if part.question:
            asked += 1
            cells.append(_markdown(quiz.to_markdown(part.question, asked), part, variant))
            code = f'from gliomakit.course.quiz import ask\n\nask("{part.name}")'
            cells.append(_code(code, Part("code", code, "answer", part.name)))
        elif part.kind == "markdown":
            cells.append(_markdown(part.text, part, variant))
        else:
            text = part.exercise.text(variant) if part.exercise else part.text
            cells.append(_code(text, part))
    seen: dict[str, int] = {}
    for cell in cells:
        mark = f"{lesson.name}\0{cell.cell_type}\0{cell.source}"
        seen[mark] = seen.get(mark, 0) + 1
        cell.id = hashlib.sha256(f"{mark}\0{seen[mark]}".encode()).hexdigest()[:12]
    built = nbformat.v4.new_notebook(cells=cells)
    built.nbformat_minor = 5
    built.metadata = nbformat.from_dict(
        {
            "colab": {"provenance": [], "toc_visible": True},
            "gliomakit": {
                "edit": f"notebooks/src/{lesson.name}.py (this file is built: `make notebooks`)",
                "lesson": lesson.name,
                "source": lesson.digest,
                "title": lesson.title,
                "variant": variant,
            },
            "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
            "language_info": {"name": "python"},
        }
    )
    return built


def _markdown(text: str, part: Part, variant: str) -> NotebookNode:
    if variant == "stubs":  # one folder above src/ and solutions/, whose links are the same
        text = re.sub(r"(\]\()\.\./", r"\1", text)
    return nbformat.v4.new_markdown_cell(text, metadata=_metadata(part))


def _code(text: str, part: Part) -> NotebookNode:
    cell = nbformat.v4.new_code_cell(text, metadata=_metadata(part))
    if text.startswith("emit("):  # for the tests: of a reader it asks nothing
        cell.metadata["jupyter"] = {"source_hidden": True}
    return cell


def _metadata(part: Part) -> dict[str, object]:
    if not part.part:
        return {}
    mark = {"part": part.part}
    if part.name:
        mark["name"] = part.name
    return {"gliomakit": mark}


def text_of(built: NotebookNode) -> str:
    """The notebook as it is written: keys sorted, one newline at the end."""
    return nbformat.writes(built).rstrip("\n") + "\n"


def without_outputs(built: NotebookNode) -> NotebookNode:
    """A copy whose code cells were never run."""
    bare = nbformat.from_dict(built)
    for cell in bare.cells:
        if cell.cell_type == "code":
            cell.outputs, cell.execution_count = [], None
    return bare


def load(path: Path) -> NotebookNode | None:
    """A built notebook; None if it is not there or cannot be read."""
    try:
        return nbformat.read(path, as_version=4)
    except Exception:  # whatever is wrong with it, it will be built anew
        return None


def stale(lesson: Lesson, places: Places) -> list[Path]:
    """The lesson's built files that are missing, or not what its source gives."""
    found = []
    for variant in VARIANTS:
        path = places.built(lesson.name, variant)
        old = load(path)
        if old is None or text_of(without_outputs(old)) != text_of(notebook(lesson, variant)):
            found.append(path)
        elif variant == "stubs" and not executed(old):
            found.append(path)
    path = places.quizzes / f"{lesson.name}.json"
    if not path.is_file() or path.read_text(encoding="utf-8") != quiz.to_json(lesson.questions):
        found.append(path)
    return found


def executed(built: NotebookNode) -> bool:
    """Whether every code cell has been run."""
    return all(c.execution_count for c in built.cells if c.cell_type == "code" and c.source.strip())


def build(
    lesson: Lesson,
    places: Places,
    execute: Callable[[NotebookNode], NotebookNode] | None = None,
    force: bool = False,
) -> list[Path]:
    """Write what is stale of a lesson; returns the files that changed.

    execute: gives the notebook with outputs; called only if a code cell is not what it was, for
             otherwise the outputs that are there still belong to it. None leaves them out.
    force:   execute in any case.
    """
    changed = []
    text = quiz.to_json(lesson.questions)  # first: an executed lesson asks its questions
    changed += _replace(places.quizzes / f"{lesson.name}.json", text)
    solution = places.built(lesson.name, "solutions")
    changed += _replace(solution, text_of(notebook(lesson, "solutions")))
    stub = notebook(lesson, "stubs")
    path = places.built(lesson.name, "stubs")
    old = load(path)
    if old is not None and executed(old) and _code_of(old) == _code_of(stub) and not force:
        stub = _with_outputs_of(old, stub)
    elif execute is not None:
        stub = execute(stub)
    text = text_of(stub)
    if len(text.encode()) > LARGEST:
        raise GliomakitError(
            f"the built notebook has {len(text.encode()) / 1e6:.1f} MB",
            where=path,
            todo=f"its pictures must shrink: {LARGEST / 1e6} MB at most",
        )
    return changed + _replace(path, text)


def _code_of(built: NotebookNode) -> list[str]:
    return [c.source for c in built.cells if c.cell_type == "code"]


def _with_outputs_of(old: NotebookNode, new: NotebookNode) -> NotebookNode:
    before = iter([c for c in old.cells if c.cell_type == "code"])
    for cell in new.cells:
        if cell.cell_type == "code":
            source = next(before)
            cell.outputs, cell.execution_count = source.outputs, source.execution_count
    return new


def _replace(path: Path, text: str) -> list[Path]:
    """Write a file, by renaming; [path] if its text was another."""
    if path.is_file() and path.read_text(encoding="utf-8") == text:
        return []
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    temporary.write_text(text, encoding="utf-8", newline="\n")
    os.replace(temporary, path)
    return [path]


def main(arguments: Sequence[str] | None = None) -> int:
    """Build and execute the lessons whose source changed; with --check only say which."""
    options = argparse.ArgumentParser(description=main.__doc__)
    options.add_argument("lessons", nargs="*", help="numbers or names; all by default")
    options.add_argument("--check", action="store_true", help="exit with 1 if a file is stale")
    options.add_argument("--no-execute", action="store_true", help="leave the outputs out")
    options.add_argument("--force", action="store_true", help="execute even if no code changed")
    chosen = options.parse_args(arguments)
    places = here()
    lessons = select(places, chosen.lessons)
    if chosen.check:
        late = [path for lesson in lessons for path in stale(lesson, places)]
        for path in late:
            print(f"stale: {path.relative_to(places.notebooks.parent)}")
        return 1 if late else 0
    from . import pictures
    from .run import execute_for_build

    for lesson in lessons:
        pictures.draw_missing(lesson, places.notebooks)
        execute = None if chosen.no_execute else execute_for_build
        changed = build(lesson, places, execute, chosen.force)
        names = ", ".join(str(p.relative_to(places.notebooks.parent)) for p in changed)
        print(f"{lesson.name}: {names or 'up to date'}")
    return 0


def select(places: Places, names: Sequence[str] | None) -> list[Lesson]:
    """The lessons of those numbers or names ("3", "03", "03_patches"); all without names."""
    paths = sources(places.sources)
    if names:
        known = {}
        for path in paths:
            known |= dict.fromkeys(
                (path.stem, path.stem[:2], path.stem[:2].lstrip("0") or "0"), path
            )
        unknown = [n for n in names if n not in known]
        if unknown:
            raise GliomakitError(
                f"there is no lesson {unknown[0]!r}",
                todo=f"there are {', '.join(p.stem for p in paths)}",
            )
        paths = sorted({known[n] for n in names})
    if not paths:
        raise GliomakitError("there are no lessons", where=places.sources)
    return [read(path) for path in paths]


if __name__ == "__main__":
    try:
        sys.exit(main())
    except GliomakitError as error:
        print(getattr(error, "block", ""), file=sys.stderr)
        print(f"gliomakit: error: {error}", file=sys.stderr)
        sys.exit(2)
