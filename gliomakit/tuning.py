"""Search settings of a training by trying them: Optuna's study over `training.fit`.

    study = search(training, validation, {"steps": 60}, SPACE, "runs/study", trials=20)
    best(study), importance(study)

A trial is a short training. Its score is the mean Dice of the validation cases; a trial that falls
behind the others is stopped early; each is a run of its own (`tracking`). The study is a file: call
`search` again to go on, or call it at the same time from other processes or machines that see the
same folder.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ._recipe import Fit
from ._record import Callback
from ._space import SPACE, Space, check_space, distributions
from .errors import GliomakitError
from .preprocess import Prepared
from .training import fit

if TYPE_CHECKING:
    import optuna

JOURNAL, RUNS = "study.journal", "runs"

__all__ = [
    "SPACE",
    "Enough",
    "as_rows",
    "best",
    "both",
    "from_rows",
    "importance",
    "judge",
    "open_study",
    "search",
]

NAME = "gliomakit"
"""A study's name within its file."""

FIRST, PATIENCE = 5, 1
"""Trials that come to their end before one is stopped, and validations that each one has."""


class Enough(KeyboardInterrupt):
    """Raised by a callback of `fit` to end a run. (An `Exception` would only be reported.)"""


def search(
    training: Sequence[Prepared],
    validation: Sequence[Prepared],
    base: Mapping[str, object],
    space: Space,
    folder: str | Path,
    trials: int,
    seed: int = 0,
    device: str | None = None,
    tell: Callable[[optuna.trial.FrozenTrial], object] | None = None,
) -> optuna.Study:
    """Try settings until the study has so many trials that have ended; the study.

    base:   settings of `Fit` that are the same for all trials; `validate_every` says how often a
            trial is compared with the others.
    space:  what is tried, see `SPACE`.
    folder: for the study's file and the runs, one a trial. What it holds is gone on with.
    trials: in all, those of earlier calls and of other processes included; when several work at
            once, each may end one more. Trials that failed count too.
    seed:   of the search, and of the first trial's training; the next ones count on from it. A
            search that one process did without a break can be repeated.
    tell:   called with each trial when it has ended.

    A trial whose training fails (a rate so high that nothing is a number, a network that the patch
    does not fit) counts as failed, its message in ``trial.user_attrs["error"]``.

    Raises `GliomakitError` for a space that makes no sense, cases without labels, and a folder that
    holds a study of another space, other settings or other cases.
    """
    optuna = _optuna()
    check_space(space, base)
    if trials < 1:
        raise GliomakitError(f"{trials} trials search nothing")
    if not training or not validation:
        raise GliomakitError("a search needs cases to train on and cases to validate on")
    study = open_study(folder, seed)
    _same_study(study, training, validation, base, space)
    ended = [s for s in optuna.trial.TrialState if s.is_finished()]
    while len(study.get_trials(deepcopy=False, states=ended)) < trials:
        trial = study.ask(distributions(space))
        _try(trial, study, training, validation, base, Path(folder), seed, device)
        if tell is not None:
            tell(study.trials[trial.number])
    return study


def open_study(folder: str | Path, seed: int = 0) -> optuna.Study:
    """The study in a folder, or a new one there.

    Several processes may hold it open at once. Each draws other settings, for each begins to draw
    where the study stands. Raises `GliomakitError` if the folder cannot be written, or its file is
    no study.
    """
    optuna = _optuna()
    from optuna.storages import JournalStorage
    from optuna.storages.journal import JournalFileBackend, JournalFileOpenLock

    path = Path(folder) / JOURNAL
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        # This lock is a file that is made anew; a symbolic link, the default, Windows may refuse.
        storage = JournalStorage(
            JournalFileBackend(str(path), lock_obj=JournalFileOpenLock(str(path)))
        )
        study = optuna.create_study(
            study_name=NAME,
            storage=storage,
            direction="maximize",
            load_if_exists=True,
            pruner=optuna.pruners.MedianPruner(FIRST, n_min_trials=FIRST),
        )
        started = len(study.get_trials(deepcopy=False))
    except OSError as error:
        why = error.strerror or error
        raise GliomakitError(
            f"no study can be kept here ({why})", where=path, todo="give another folder"
        ) from error
    except (ValueError, KeyError, TypeError, AssertionError) as error:
        raise GliomakitError(
            "is not the file of a study, or is damaged", where=path, todo="give another folder"
        ) from error
    study.sampler = optuna.samplers.TPESampler(seed=seed + 1000 * started, n_startup_trials=10)
    return study


def best(study: optuna.Study) -> optuna.trial.FrozenTrial:
    """The trial with the highest score of those that came to their end.

    Raises `GliomakitError` if none did.
    """
    try:
        return study.best_trial
    except ValueError as error:
        raise GliomakitError("no trial came to its end") from error


def importance(study: optuna.Study, by: str = "ped-anova") -> dict[str, float]:
    """How much of the differences between trials each setting explains, the largest first.

    by: "ped-anova" (Watanabe et al. 2023: what tells good trials from the rest) or "fanova" (Hutter
        et al. 2014: a forest is fitted, and its variance taken apart). Only trials that came to
        their end count. Raises `GliomakitError` if they are fewer than two, or all alike.
    """
    optuna = _optuna()
    known = {
        "ped-anova": optuna.importance.PedAnovaImportanceEvaluator,
        "fanova": lambda: optuna.importance.FanovaImportanceEvaluator(seed=0),
    }
    if by not in known:
        raise GliomakitError(f"there is no importance {by!r}", todo=f"known are {', '.join(known)}")
    scores = {t.value for t in study.trials if t.state == optuna.trial.TrialState.COMPLETE}
    if len(scores) < 2:
        raise GliomakitError("importance needs at least two trials with different scores")
    return dict(optuna.importance.get_param_importances(study, evaluator=known[by]()))


def as_rows(study: optuna.Study) -> list[dict[str, object]]:
    """The trials that have ended, as JSON can hold them: number, state ("complete", "pruned",
    "fail"), value, params, values (validation's Dice by step), seconds."""
    return [
        {
            "number": trial.number,
            "state": trial.state.name.lower(),
            "value": None if trial.value is None else round(trial.value, 4),
            "params": dict(trial.params),
            "values": {str(s): round(v, 4) for s, v in trial.intermediate_values.items()},
            "seconds": trial.user_attrs.get("seconds"),
        }
        for trial in study.trials
        if trial.state.is_finished()
    ]


def from_rows(rows: Sequence[Mapping[str, object]], space: Space) -> optuna.Study:
    """A study in memory of trials that `as_rows` gave, for plots and importance."""
    optuna = _optuna()
    study, made = optuna.create_study(direction="maximize"), distributions(space)
    for row in rows:
        failed = row["state"] == "fail"
        study.add_trial(
            optuna.trial.create_trial(
                state=optuna.trial.TrialState[row["state"].upper()],
                value=None if failed else row["value"],
                params=row["params"],
                distributions={name: made[name] for name in row["params"]},
                intermediate_values={int(s): v for s, v in row["values"].items()},
                user_attrs={"seconds": row["seconds"]},
            )
        )
    return study


def judge(
    training: Sequence[Prepared],
    groups: Mapping[str, Sequence[Prepared]],
    settings: Fit,
    device: str | None = None,
) -> dict[str, list[float]]:
    """Train with these settings once, and give each case's mean Dice, group by group."""
    cases = [case for group in groups.values() for case in group]
    found: dict[str, dict[str, float]] = {}

    def look(event: str, **info: object) -> None:
        if event == "validation":
            found.update(info["cases"])

    once = Fit(**(settings.as_json() | {"validate_every": settings.steps}))
    fit(training, cases, once, device=device, callback=look, progress=False)
    return {
        name: [sum(found[c.name].values()) / len(found[c.name]) for c in group]
        for name, group in groups.items()
    }


def _try(trial, study, training, validation, base, folder, seed, device) -> None:
    """Train with what the study asks for; tell it the score, or how it ended otherwise."""
    optuna = _optuna()
    from .tracking import start_run
    from .tracking.callbacks import FitLog

    state, begun = optuna.trial.TrialState, time.monotonic()

    def report(event: str, **info: object) -> None:
        if event == "validation":
            trial.report(info["dice_mean"], info["step"])
            if info["step"] < settings.steps and trial.should_prune():
                raise Enough

    score, ending = None, state.FAIL
    with start_run(f"trial {trial.number}", folder / RUNS, tags=["study"]) as run:
        trial.set_user_attr("run", run.folder.name)
        log = FitLog(run, training, validation, figures=0)
        try:
            settings = Fit(**{**base, **trial.params, "seed": seed + trial.number})
            done = fit(
                training, validation, settings,
                device=device, callback=both(log, report), progress=False,
            )  # fmt: skip
            score, ending = done.dice["mean"], state.COMPLETE
        except Enough:
            score, ending = None, state.PRUNED
        except GliomakitError as error:
            trial.set_user_attr("error", str(error))
            run["study/error"] = str(error)
        run["study"] = {"trial": trial.number, "ended": ending.name.lower()}
    trial.set_user_attr("seconds", round(time.monotonic() - begun, 1))
    study.tell(trial, score, ending)


def both(*callbacks: Callback) -> Callback:
    """One callback that calls several; one that fails keeps none of the others from being told."""

    def tell(event: str, **info: object) -> None:
        failed = None
        for callback in callbacks:
            try:
                callback(event, **info)
            except Exception as error:
                failed = failed or error
        if failed is not None:
            raise failed

    return tell


def _same_study(study, training, validation, base, space) -> None:
    """Write down what the study is about, or refuse to go on with another one."""
    from .tracking.callbacks import described

    about = {
        "settings": dict(base),
        "space": {name: list(given) for name, given in space.items()},
        "training": described(training)["digest"],
        "validation": described(validation)["digest"],
    }
    about = json.loads(json.dumps(about))
    kept = study.user_attrs.get("about")
    if kept is None:
        study.set_user_attr("about", about)
        return
    differs = [name for name, value in about.items() if kept.get(name) != value]
    if differs:
        raise GliomakitError(
            f"the study in this folder had other {', '.join(differs)}",
            todo="give the same again, or another folder",
        )


def _optuna():
    """Optuna, quiet; or an error that says how to install it."""
    try:
        import optuna
    except ImportError as error:
        raise GliomakitError(
            "a search needs Optuna, which is not installed", todo="pip install optuna"
        ) from error
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    return optuna


def version() -> str:
    """Optuna's version, for the record of a study."""
    return _optuna().__version__
