"""The checkers of lesson 11: which mistake gets which hint, and that right answers pass."""

from __future__ import annotations

import itertools
import json
import math
import statistics

import numpy as np
import pytest
import torch

from gliomakit import Fit, tuning
from gliomakit.course import build
from gliomakit.course.exercises import check
from gliomakit.course.saved import saved
from gliomakit.course.worked_tuning import expected_lead, falls_behind, rate_between

(LESSON,) = [one for one in build.select(build.here(), None) if one.name == "11_tune"]
FUNCTIONS = {
    "11.rate": "rate_between",
    "11.median": "falls_behind",
    "11.lead": "expected_lead",
}


def of_the_lesson(name: str, variant: str = "solutions"):
    """The learner's function of an exercise's cell."""
    (part,) = [p for p in LESSON.parts if p.exercise and p.name == name]
    space: dict[str, object] = {"check": check, "np": np}
    exec(compile(part.exercise.text(variant), f"<{name}>", "exec"), space)
    return space[FUNCTIONS[name]]


@pytest.mark.parametrize("name", FUNCTIONS)
def test_a_stub_is_not_yet_and_the_solution_passes(name):
    assert check(name, of_the_lesson(name, "stubs")).status == "not yet"
    assert check(name, of_the_lesson(name)).passed


@pytest.mark.parametrize("name", FUNCTIONS)
@pytest.mark.parametrize(
    "nonsense",
    [
        lambda: None,
        lambda *a: None,
        lambda *a: "x",
        lambda *a: float("nan"),
        lambda *a: 1 / 0,
        lambda *a: np.zeros(3),
        "rate_between",
    ],
)
def test_nonsense_gets_a_hint(name, nonsense):
    result = check(name, nonsense)
    assert result.status == "wrong" and len(result.message) > 10


# ---- 11.rate ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("wrong", "hint"),
    [
        (lambda s, low, high: low + s * (high - low), "plain scale"),
        (lambda s, low, high: high * (low / high) ** s, "share 0 is the lowest"),
        (lambda s, low, high: low * 10**s, "only one decade"),
        (lambda s, low, high: math.log10(low) + s * math.log10(high / low), "raise 10 to it"),
        (lambda s, low, high: math.exp(math.log10(low) + s * math.log10(high / low)), "10 **"),
        (lambda s, low, high: 10 ** (math.log(low) + s * math.log(high / low)), "math.exp"),
        (lambda s, low, high: (high / low) ** s, "multiply it by low"),
        (lambda s, low, high: 1e-4 * 1000**s, "half way from 2 to 8"),
        (lambda s, low, high: low, "would be right"),
    ],
)
def test_rate_between_names_the_mistake(wrong, hint):
    result = check("11.rate", wrong)
    assert result.status == "wrong" and hint in result.message, result


@pytest.mark.parametrize(
    "right",
    [
        rate_between,
        lambda s, low, high: 10 ** (math.log10(low) + s * (math.log10(high) - math.log10(low))),
        lambda s, low, high: np.exp(np.interp(s, [0, 1], np.log([low, high]))),
        lambda s, low, high: torch.tensor(low ** (1 - s) * high**s, dtype=torch.float64),
    ],
)
def test_rate_between_accepts_right_answers(right):
    assert check("11.rate", right).passed


# ---- 11.median -------------------------------------------------------------------------------


def at_least(n, holds):
    return lambda score, others: len(others) >= n and bool(holds(score, others))


@pytest.mark.parametrize(
    ("wrong", "hint"),
    [
        (at_least(5, lambda s, o: s > statistics.median(o)), "below all others"),
        (at_least(5, lambda s, o: s < statistics.mean(o)), "the mean is 0.54"),
        (at_least(5, lambda s, o: s < o[len(o) // 2]), "says"),
        (at_least(5, lambda s, o: s <= statistics.median(o)), "equal to the median"),
        (at_least(5, lambda s, o: s < min(o)), "unsorted"),
        (at_least(5, lambda s, o: s < max(o)), "above the median"),
        (at_least(4, lambda s, o: s < statistics.median(o)), "five at least"),
        (at_least(1, lambda s, o: s < statistics.median(o)), "five at least"),
        (at_least(5, lambda s, o: s < sorted(o)[(len(o) - 1) // 2]), "half way"),
        (at_least(5, lambda s, o: s < sorted(o)[len(o) // 2]), "half way"),
        (lambda s, o: s < statistics.median(o) if o else None, "five at least"),
        (lambda s, o: 1, "True or False is wanted"),
    ],
)
def test_falls_behind_names_the_mistake(wrong, hint):
    result = check("11.median", wrong)
    assert result.status == "wrong" and hint in result.message, result


@pytest.mark.parametrize(
    "right",
    [
        falls_behind,
        lambda s, o: len(o) > 4 and s < np.median(o),
        lambda s, o: False if len(o) < 5 else bool(np.quantile(o, 0.5) > s),
    ],
)
def test_falls_behind_accepts_right_answers(right):
    assert check("11.median", right).passed


def test_the_rule_is_optunas_where_scores_only_rise():
    """Optuna compares a trial's best score so far; here each has one."""
    optuna = pytest.importorskip("optuna")
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    draw = np.random.default_rng(0)
    for _ in range(20):
        study = optuna.create_study(
            direction="maximize", pruner=optuna.pruners.MedianPruner(5, n_min_trials=5)
        )
        others = draw.random(draw.integers(3, 9)).tolist()
        for score in others:
            study.add_trial(
                optuna.trial.create_trial(value=score, intermediate_values={1: score}, params={})
            )
        trial, score = study.ask(), float(draw.random())
        trial.report(score, 1)
        assert trial.should_prune() == falls_behind(score, others)


# ---- 11.lead ---------------------------------------------------------------------------------


def simulated(draws, what=lambda d, s: d.max(1).mean() - s.mean(), **how):
    def lead(scores, tries):
        generator = np.random.default_rng(1)
        if how:
            drawn = np.stack([generator.choice(scores, tries, **how) for _ in range(draws)])
        else:
            drawn = generator.choice(scores, (draws, tries))
        return what(drawn, scores)

    return lead


@pytest.mark.parametrize(
    ("wrong", "hint"),
    [
        (simulated(5000, lambda d, s: d.max(1).mean()), "above the mean"),
        (lambda s, k: s.max() - s.mean(), "draw `tries` of them"),
        (simulated(5000, lambda d, s: d.mean(1).mean() - s.mean()), "not the best of them"),
        (simulated(5000, lambda d, s: s.mean() - d.max(1).mean()), "the sign"),
        (simulated(3000, replace=False), "with replacement"),
        (simulated(1), "10,000"),
        (lambda s, k: s.std() * (k - 1), "would be right"),
        (simulated(5000, lambda d, s: d.max() - s.mean()), "draw `tries` of them"),
    ],
)
def test_expected_lead_names_the_mistake(wrong, hint):
    result = check("11.lead", wrong)
    assert result.status == "wrong" and hint in result.message, result


@pytest.mark.parametrize("right", [expected_lead, simulated(10_000), simulated(3000)])
def test_expected_lead_accepts_right_answers(right):
    assert check("11.lead", right).passed


def test_the_lead_is_exact():
    """Beside all ways to draw, counted out."""
    scores = [0.1, 0.4, 0.45, 0.9]
    for tries in (1, 2, 3, 5):
        best = [max(one) for one in itertools.product(scores, repeat=tries)]
        expected = np.mean(best) - np.mean(scores)
        assert expected_lead(scores, tries) == pytest.approx(expected, abs=1e-12)


# ---- what is saved ---------------------------------------------------------------------------


def test_the_saved_study_is_whole():
    kept = saved("11_study")
    assert kept["command"] == "make tune-runs" and kept["seconds"] > 0
    assert {"python", "torch", "optuna", "gliomakit", "phantom"} <= set(kept["versions"])
    assert [row["number"] for row in kept["trials"]] == list(range(len(kept["trials"])))
    assert len(kept["trials"]) >= 40 and len(json.dumps(kept)) < 40_000
    winner = kept["trials"][kept["winner"]]
    complete = [row["value"] for row in kept["trials"] if row["state"] == "complete"]
    assert winner["state"] == "complete" and winner["value"] == max(complete)
    for row in kept["trials"]:
        Fit(**(kept["base"] | row["params"] | {"seed": row["number"]}))
    sizes = kept["cases"]
    for runs in kept["repeats"].values():
        assert len({run["seed"] for run in runs}) == len(runs) >= 12
        for run in runs:
            assert len(run["validation"]) == sizes["validation"]
            assert len(run["test"]) == sizes["test"]
    # The winner's first repetition is the network that won, trained again.
    first = kept["repeats"]["the winner"][0]
    assert first["seed"] == kept["winner"]
    assert np.mean(first["validation"]) == pytest.approx(winner["value"], abs=1e-3)


def test_the_saved_study_can_be_asked():
    pytest.importorskip("optuna")
    kept = saved("11_study")
    space = {k: tuple(v) if k in kept["ranges"] else v for k, v in kept["space"].items()}
    study = tuning.from_rows(kept["trials"], space)
    assert tuning.best(study).number == kept["winner"]
    for by in ("ped-anova", "fanova"):
        shares = tuning.importance(study, by)
        assert sum(shares.values()) == pytest.approx(1) and set(shares) <= set(space)
