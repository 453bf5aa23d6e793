"""`gliomakit doctor` and `gliomakit course`: what this machine can do, and the lessons."""

from __future__ import annotations

from typing import Annotated

import typer

from ._common import Json, say, say_json


def doctor(as_json: Json = False) -> None:
    """Say what this machine can do.

    Device, precision, memory, versions, data found, and what will be slow and why.
    """
    from ..doctor import collect, render

    found = collect()
    if as_json:
        say_json(found)
    else:
        say(render(found))


def course(
    lessons: Annotated[
        list[str] | None, typer.Argument(metavar="LESSON", help="Numbers or names (all).")
    ] = None,
    size: Annotated[
        str | None,
        typer.Option(
            metavar="laptop|gpu|paper", help="How much is run (GLIOMAKIT_SIZE, else laptop)."
        ),
    ] = None,
    jobs: Annotated[int, typer.Option(min=1, metavar="N", help="Lessons at once.")] = 1,
) -> None:
    """Execute the lessons of the course.

    Writes build/course/index.html. A lesson that was run before and has not changed is not run
    again. Exit 1 if a lesson failed.
    """
    from ..course.run import main

    raise typer.Exit(main(lessons or None, size, jobs))
