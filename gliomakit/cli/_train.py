"""`gliomakit train`: a network from a data set."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import MISSING, fields, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NamedTuple

import typer
from typer.core import TyperCommand

from ..errors import GliomakitError
from ._common import (
    Cache,
    Convention,
    Device,
    Spacing,
    Workers,
    check_writable,
    remark,
    say,
    spacing_of,
)
from ._split import Split, from_file, random_split

if TYPE_CHECKING:
    from ..cases import CaseFiles
    from ..training import Fit

FIELDS = {"filters": "base_filters"}
"""Options that are called otherwise than the field of `training.Fit` that they set."""

OPTIONS = (
    "regions loss filters norm patch batch foreground steps rate schedule optimiser sequences "
    "precision compile seed validate_every"
).split()
"""The options that set a field of `training.Fit`, whose defaults are theirs."""


class TrainCommand(TyperCommand):
    """Its help shows `training.Fit`'s defaults, read from there when help is asked for."""

    def format_help(self, *arguments: object) -> None:
        from ..training import Fit

        defaults = {f.name: f.default for f in fields(Fit) if f.default is not MISSING}
        for option in self.params:
            value = defaults.get(FIELDS.get(option.name, option.name))
            if option.name in OPTIONS and value is not None:
                shown = ",".join(value) if isinstance(value, tuple) else value
                option.help = f"{option.help.rstrip('.')} (default: {shown})."
        super().format_help(*arguments)


def train(
    context: typer.Context,
    data: Annotated[
        Path, typer.Argument(metavar="DATA", help="An MSD data set, or BraTS case folders.")
    ],
    out: Annotated[
        Path, typer.Option(metavar="DIR", help="A folder for the network and its checkpoint.")
    ],
    regions: Annotated[
        str | None, typer.Option(metavar="wt|wt,tc,et", help="What to find.")
    ] = None,
    loss: Annotated[
        str | None, typer.Option(help="As named in losses.LOSSES; it decides sigmoid or softmax.")
    ] = None,
    filters: Annotated[int | None, typer.Option(help="Of the first layer.")] = None,
    norm: Annotated[str | None, typer.Option(help="instance, batch, paper or none.")] = None,
    patch: Annotated[int | None, typer.Option(help="Side in voxels, a multiple of 8.")] = None,
    batch: Annotated[int | None, typer.Option(help="Patches a step.")] = None,
    foreground: Annotated[
        float | None, typer.Option(help="Probability that a patch is put around tumour.")
    ] = None,
    steps: Annotated[int | None, typer.Option(help="How many.")] = None,
    rate: Annotated[float | None, typer.Option(help="Learning rate at its top.")] = None,
    schedule: Annotated[
        str | None, typer.Option(help="one-cycle, cosine, step or constant.")
    ] = None,
    optimiser: Annotated[str | None, typer.Option(help="adamw or adam.")] = None,
    sequences: Annotated[
        str | None, typer.Option(metavar="flair,t1ce,…", help="What the network looks at.")
    ] = None,
    precision: Annotated[str | None, typer.Option(help="fp32, bf16 or fp16.")] = None,
    compile: Annotated[
        bool | None, typer.Option("--compile", help="By torch.compile: a slow start, faster steps.")
    ] = None,
    seed: Annotated[int | None, typer.Option(help="Decides everything random.")] = None,
    validate_every: Annotated[int | None, typer.Option(help="Steps between validations.")] = None,
    paper: Annotated[
        bool, typer.Option("--paper", help="Begin with the first paper's settings instead.")
    ] = False,
    validation: Annotated[
        float, typer.Option(metavar="SHARE", help="Share of patients kept for validation.")
    ] = 0.125,
    split: Annotated[
        Path | None,
        typer.Option(metavar="F", help="JSON that names the patients of training and validation."),
    ] = None,
    spacing: Spacing = None,
    convention: Convention = None,
    device: Device = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on with the run in DIR, with its settings.")
    ] = False,
    workers: Workers = None,
    cache: Cache = None,
) -> None:
    """Train a network on a data set.

    Writes DIR/model.safetensors, for `segment --weights`. Validation patients are chosen at random
    by seed and kept apart by patient, never by scan. A run that was stopped goes on with --resume.
    What happens is logged in DIR, for `gliomakit dashboard DIR`. On several GPUs:
    torchrun --nproc-per-node 2 -m gliomakit train …, with --batch patches on each.
    """
    from .._processes import first_alone, join, rank
    from ..cases import find_cases
    from ..device import pick_device
    from ..preprocess import prepare_all
    from ..tracking import start_run
    from ..tracking.callbacks import FitLog
    from ..training import MODEL, Fit, fit

    check_writable(out)
    earlier = _earlier(out) if resume else None
    mm = spacing_of(spacing)
    if earlier is not None:
        mm = earlier.spacing if spacing is None else mm
        convention = convention or earlier.settings.convention
        _check_same(earlier, mm, convention, out)
    found = _labelled(find_cases(data, "training", convention), data)
    given = _given(context) | {"convention": convention}
    base = Fit.paper(cases=len(found)) if paper else Fit()
    if earlier is not None:
        base, names = earlier.settings, earlier.names
    elif split is not None:
        names = from_file(split)
    else:
        names = random_split(list(found), validation, given.get("seed", base.seed))
    chosen = [_chosen(found, part, data) for part in names]
    settings = _settings(base, given, f"{len(chosen[0])} cases of {data.resolve().name}")
    join(pick_device(device))
    with first_alone():
        prepared = prepare_all(chosen[0] + chosen[1], cache, mm, settings.clip, workers)
    head, tail = prepared[: len(chosen[0])], prepared[len(chosen[0]) :]
    if rank() == 0:
        counted = f"{len(head)} cases for training, {len(tail)} for validation"
        remark(f"{counted}, {settings.steps} steps")
    tags = ["train", "resumed"] if earlier is not None else ["train"]
    with ExitStack() as stack:
        # Started when training starts: a call that is refused leaves no run behind.
        run = partial(start_run, out.resolve().name, out, tags)
        log = FitLog(lambda: stack.enter_context(run()), head, tail)
        shown = sys.stderr.isatty()
        fitted = fit(head, tail, settings, out, device, resume, progress=shown, callback=log)
    if rank() > 0:  # the first process speaks for all
        return
    for region, dice in fitted.dice.items():
        say(f"{region.upper() if region != 'mean' else region}: Dice {dice:.3f}")
    if fitted.skipped:
        remark(f"{fitted.skipped} steps were left out: their gradient was not finite")
    say(str(out / MODEL))


def _given(context: typer.Context) -> dict[str, object]:
    """The fields of `Fit` that the user set; lists come as text with commas."""
    given = {}
    for name in OPTIONS:
        value = context.params[name]
        if value is not None:
            lists = name in ("regions", "sequences")
            words = [word.strip().lower() for word in str(value).split(",")]
            given[FIELDS.get(name, name)] = tuple(words) if lists else value
    return given


def _settings(base: Fit, given: dict[str, object], trained_on: str) -> Fit:
    """The settings of the run: a loss decides between sigmoid and softmax."""
    from ..losses import LOSSES

    if given.get("loss") in LOSSES:
        given = given | {"output": LOSSES[given["loss"]]().output}
    return replace(base, **given, trained_on=base.trained_on or trained_on)


class _Earlier(NamedTuple):
    """How a run began."""

    settings: Fit
    names: Split
    spacing: tuple[float, float, float] | None


def _earlier(out: Path) -> _Earlier | None:
    """How the run in a folder began; None if none began there."""
    from ..training import SETTINGS, Fit

    path = out / SETTINGS
    try:
        about = json.loads(path.read_text("utf-8"))
        names, spacing = about["cases"], about["spacing"]
        return _Earlier(
            Fit(**about["settings"]),
            (names["training"], names["validation"]),
            None if spacing is None else tuple(spacing),
        )
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise GliomakitError(f"does not say how the run began ({error})", where=path) from None


def _check_same(
    earlier: _Earlier, spacing: tuple[float, ...] | None, convention: str | None, out: Path
) -> None:
    """Raise `GliomakitError` if a run would go on with other voxels or labels: before the cases
    are prepared, which may take long."""
    for option, before, now in (
        ("--spacing", earlier.spacing, spacing),
        ("--convention", earlier.settings.convention, convention),
    ):
        if before != now:
            raise GliomakitError(
                f"the run in this folder was begun with another {option}",
                where=out,
                todo="leave the option out, or name another folder",
            )


def _labelled(cases: Sequence[CaseFiles], data: Path) -> dict[str, CaseFiles]:
    """The cases with a label by name. Raises `GliomakitError` for none, or two of one name."""
    found: dict[str, CaseFiles] = {}
    for files in cases:
        if files.label is not None and found.setdefault(files.name, files) is not files:
            raise GliomakitError(f"two cases have the name {files.name}", where=data)
    if not found:
        raise GliomakitError("there is no case with a label to train on", where=data)
    return found


def _chosen(found: dict[str, CaseFiles], names: Sequence[str], data: Path) -> list[CaseFiles]:
    missing = [name for name in names if name not in found]
    if missing:
        some = ", ".join(missing[:3]) + (", …" if len(missing) > 3 else "")
        raise GliomakitError(f"has no labelled case {some}", where=data)
    return [found[name] for name in names]
