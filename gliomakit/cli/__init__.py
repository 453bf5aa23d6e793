"""The command line: `gliomakit COMMAND`, also `python -m gliomakit COMMAND`.

Results go to stdout, progress and errors to stderr. Exit codes: 0 done, 1 a check said no, 2 bad
input or usage (one line, ``gliomakit: error: …``), 130 interrupted, 141 the reader of stdout went
away. A command imports what it needs when it is called: ``--help`` loads no PyTorch.
"""

from __future__ import annotations

import logging
import os
import sys
import traceback
import warnings
from collections.abc import Sequence
from typing import Annotated

import typer
from typer.main import get_command

from ..errors import GliomakitError
from . import _about, _app, _audit, _check, _data, _evaluate, _export, _runs, _segment, _train
from ._common import explain, remark, say, version

BAD_INPUT, INTERRUPTED, READER_GONE = 2, 130, 141

app = typer.Typer(
    name="gliomakit",
    help="Glioma segmentation in MR images: segment, score, train, and a course that explains it. "
    "Not a medical device.",
    add_completion=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)


@app.callback(invoke_without_command=True)
def _global(
    context: typer.Context,
    show_version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False,
    debug: Annotated[
        bool, typer.Option("--debug", help="Show the traceback of an error, and warnings.")
    ] = False,
) -> None:
    # `debug` stands here for the help text; `main` takes it out of the arguments, so that it may
    # stand anywhere in the line.
    if show_version:
        say(f"gliomakit {version()}")
    elif context.invoked_subcommand is None:
        say(context.get_help())


app.command("doctor")(_about.doctor)
app.command("check")(_check.check)
app.command("phantoms")(_data.phantoms)
app.command("download")(_data.download)
app.command("prepare")(_data.prepare)
app.command("train", cls=_train.TrainCommand)(_train.train)
app.command("segment")(_segment.segment)
app.command("evaluate")(_evaluate.evaluate)
app.command("audit")(_audit.audit)
app.command("dashboard")(_runs.dashboard)
app.command("app")(_app.app)
app.command("export")(_export.export)
app.command("course")(_about.course)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command line (default: the process's own) and return its exit code.

    >>> main(["--version"])  # doctest: +ELLIPSIS
    gliomakit ...
    0
    """
    line = list(sys.argv[1:] if arguments is None else arguments)
    debug = "--debug" in line
    line = [word for word in line if word != "--debug"]
    with warnings.catch_warnings():
        if not debug:
            _quiet()
        try:
            code = get_command(app).main(line, prog_name="gliomakit", standalone_mode=False)
            sys.stdout.flush()
        except KeyboardInterrupt:
            code = INTERRUPTED
        except SystemExit as stop:
            # The command-line library leaves like this, with 1, when a pipe's reader went away.
            code = READER_GONE if stop.code == 1 else stop.code
        except BrokenPipeError:
            code = READER_GONE
        except Exception as error:
            code = _report(error, debug)
    if code == INTERRUPTED:
        print("gliomakit: interrupted", file=sys.stderr)
    if code == READER_GONE:
        # What is still buffered has no reader; without this Python complains at its exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return code if isinstance(code, int) else 0


def _quiet() -> None:
    """Keep other libraries' remarks from standing beside our one line; ours become one line."""
    warnings.simplefilter("ignore")
    warnings.filterwarnings("default", module=r"gliomakit\.")
    warnings.showwarning = lambda message, *_: remark(f"warning: {' '.join(str(message).split())}")
    logging.getLogger("nibabel.global").setLevel(logging.CRITICAL + 1)


def _report(error: Exception, debug: bool) -> int:
    """Print an error as one line on stderr (the traceback before it if asked); the exit code."""
    if isinstance(error, typer.Abort):
        return INTERRUPTED
    if debug:
        traceback.print_exception(error, file=sys.stderr)
    print(f"gliomakit: error: {explain(error)}", file=sys.stderr)
    return BAD_INPUT


__all__ = ["GliomakitError", "app", "main"]
