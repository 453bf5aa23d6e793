"""The search for settings: a study is drawn, stopped early, gone on with, and shared."""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
import torch

from gliomakit import Fit, plots, tuning
from gliomakit.course.playground import FIXED
from gliomakit.errors import GliomakitError
from gliomakit.preprocess import prepare
from gliomakit.tracking import read_runs
from tests.test_widgets import a_case

optuna = pytest.importorskip("optuna")

BASE = FIXED | {
    "network": "LightUNet3d",
    "base_filters": 2,
    "patch": 32,
    "batch": 1,
    "intensity": False,
    "steps": 4,
    "validate_every": 2,
    "precision": "fp32",
}
SPACE = {"rate": (1e-4, 1e-1, "log"), "loss": ["dice", "weighted-dice"]}


@pytest.fixture(scope="module")
def cases():
    """A box of a brain, to train on and to validate on."""
    made = prepare(a_case(shape=(24, 30, 9), spacing=(4.0, 4.0, 4.0)), spacing=4.0)
    return [made], [replace(made, name="other")]


def search(cases, folder, trials, space=SPACE, base=BASE, **more):
    return tuning.search(*cases, base, space, folder, trials, device="cpu", **more)


def states(study):
    return [trial.state.name for trial in study.trials]


def test_each_trial_is_a_run_with_its_settings(cases, tmp_path):
    told = []
    study = search(cases, tmp_path, 3, tell=told.append)
    assert states(study) == ["COMPLETE"] * 3 and [t.number for t in told] == [0, 1, 2]
    runs = {run.folders[0].name: run for run in read_runs(tmp_path / "runs")}
    for trial in study.trials:
        run = runs[trial.user_attrs["run"]]
        assert run.state == "finished" and run.name == f"trial {trial.number}"
        assert run.fields["parameters/rate"] == pytest.approx(trial.params["rate"])
        assert run.fields["parameters/loss"] == trial.params["loss"]
        assert run.fields["parameters/seed"] == trial.number
        assert run.series["metrics/valid/dice_mean"].values[-1] == pytest.approx(trial.value)
        assert trial.intermediate_values[4] == trial.value
    winner = tuning.best(study)
    assert winner.value == max(trial.value for trial in study.trials)


def test_a_search_is_gone_on_with_and_can_be_repeated(cases, tmp_path):
    first = list(search(cases, tmp_path / "a", 2).trials)
    again = search(cases, tmp_path / "a", 4)
    assert [t.params for t in again.trials[:2]] == [t.params for t in first]
    assert len(again.trials) == 4 == len({t.params["rate"] for t in again.trials})
    assert len(search(cases, tmp_path / "a", 3).trials) == 4  # there are enough already
    other = search(cases, tmp_path / "b", 2)
    assert [(t.params, t.value) for t in other.trials] == [(t.params, t.value) for t in first]


def test_another_study_in_the_folder_is_not_gone_on_with(cases, tmp_path):
    search(cases, tmp_path, 1)
    with pytest.raises(GliomakitError, match="had other settings"):
        search(cases, tmp_path, 2, base=BASE | {"steps": 5})
    with pytest.raises(GliomakitError, match="had other space"):
        search(cases, tmp_path, 2, space={"rate": (1e-3, 1e-1, "log")})
    with pytest.raises(GliomakitError, match="had other training"):
        search(([*cases[0], cases[1][0]], cases[1]), tmp_path, 2)


def test_a_trial_that_falls_behind_is_stopped(cases, tmp_path, monkeypatch):
    """The score is set by hand: trial n has 1 − n / 100 at each validation."""
    from gliomakit._learner import Learner

    monkeypatch.setattr(Learner, "dice", lambda self, case: {"wt": 1 - self.settings.seed / 100})
    study = search(cases, tmp_path, 8)
    assert states(study) == ["COMPLETE"] * tuning.FIRST + ["PRUNED"] * 3
    assert all(list(t.intermediate_values) == [2] for t in study.trials[tuning.FIRST :])
    assert tuning.best(study).number == 0
    ended = {run.name: run for run in read_runs(tmp_path / "runs")}
    assert ended["trial 6"].fields["study/ended"] == "pruned"
    assert ended["trial 6"].state == "finished"


def test_a_trial_that_fails_counts_and_says_why(cases, tmp_path):
    study = search(cases, tmp_path, 3, space={"patch": [16]}, base=without(BASE, "patch"))
    assert states(study) == ["FAIL"] * 3
    assert "single voxel" in study.trials[0].user_attrs["error"]
    with pytest.raises(GliomakitError, match="no trial came to its end"):
        tuning.best(study)
    with pytest.raises(GliomakitError, match="at least two trials"):
        tuning.importance(study)


def without(settings, name):
    return {key: value for key, value in settings.items() if key != name}


@pytest.mark.parametrize(
    ("space", "message"),
    [
        ({}, "nothing to search"),
        ({"speed": [1]}, "no setting 'speed'"),
        ({"steps": [3]}, "searched and given at once"),
        ({"rate": []}, "rate is to be searched in"),
        ({"rate": (1e-2, 1e-3)}, "rate is to be searched in"),
        ({"rate": (0, 1e-3, "log")}, "rate is to be searched in"),
        ({"rate": (1e-3, 1e-2, "linear")}, "rate is to be searched in"),
        ({"rate": (1e-3, math.inf)}, "rate is to be searched in"),
        ({"rate": (1e-3,)}, "rate is to be searched in"),
        ({"rate": 1e-3}, "rate is to be searched in"),
        ({"flip": (False, True)}, "flip is to be searched in"),
        ({"trained_on": [[32, 32]]}, "trained_on is to be searched in"),
    ],
)
def test_a_space_that_makes_no_sense_is_refused(cases, tmp_path, space, message):
    with pytest.raises(GliomakitError, match=message):
        search(cases, tmp_path, 1, space=space)
    assert not list(tmp_path.iterdir())


def test_bad_input_is_refused(cases, tmp_path):
    with pytest.raises(GliomakitError, match="0 trials"):
        search(cases, tmp_path, 0)
    with pytest.raises(GliomakitError, match="cases to validate on"):
        search((cases[0], []), tmp_path, 1)
    (tmp_path / tuning.JOURNAL).write_bytes(b"\x80\x04K\x01.not json\n")
    with pytest.raises(GliomakitError, match="not the file of a study"):
        search(cases, tmp_path, 1)
    (tmp_path / "file").write_text("")
    with pytest.raises(GliomakitError, match="no study can be kept here"):
        search(cases, tmp_path / "file", 1)


def test_without_optuna_it_says_so(cases, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "optuna", None)
    with pytest.raises(GliomakitError, match="needs Optuna"):
        search(cases, tmp_path, 1)


WORKER = """
import sys
from gliomakit import tuning
from tests.test_tuning import BASE, SPACE
from tests.test_widgets import a_case
from gliomakit.preprocess import prepare
made = prepare(a_case(shape=(24, 30, 9), spacing=(4.0, 4.0, 4.0)), spacing=4.0)
print("ready", flush=True)
sys.stdin.readline()
tell = lambda trial: print(trial.number, flush=True)
tuning.search([made], [made], BASE, SPACE, sys.argv[1], 12, seed=int(sys.argv[2]),
              device="cpu", tell=tell)
"""


def test_two_processes_share_a_study(tmp_path):
    """Both do trials, none is done twice, and both see all of them."""
    from pathlib import Path

    here = Path(__file__).resolve().parents[1]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(here)}
    workers = [
        subprocess.Popen(
            [sys.executable, "-c", WORKER, str(tmp_path), str(seed)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd=here,
            env=environment,
        )  # fmt: skip
        for seed in (0, 100)
    ]
    for worker in workers:
        assert worker.stdout.readline() == "ready\n"
    for worker in workers:
        worker.stdin.write("go\n")
        worker.stdin.flush()
    ends = [worker.communicate(timeout=240) for worker in workers]
    assert [worker.returncode for worker in workers] == [0, 0], ends
    done = [[int(n) for n in out.split()] for out, _ in ends]
    assert all(done), "each of the two did trials"
    study = tuning.open_study(tmp_path)
    numbers = sorted(done[0] + done[1])
    assert numbers == [t.number for t in study.trials] == list(range(len(numbers)))
    assert len(numbers) in (12, 13)
    assert len({t.params["rate"] for t in study.trials}) == len(numbers), "none is done twice"
    assert len(read_runs(tmp_path / "runs")) == len(numbers)


def made_study(trials=40):
    """A study whose score depends on the rate alone, with a little noise."""
    draw = np.random.default_rng(0)
    rows = []
    for number in range(trials):
        rate, loss = 10 ** draw.uniform(-4, -1), ["dice", "weighted-dice"][number % 2]
        value = 0.6 - 0.1 * (math.log10(rate) + 2.5) ** 2 + 0.01 * draw.standard_normal()
        pruned = number % 5 == 4
        rows.append(
            {
                "number": number,
                "state": "pruned" if pruned else "complete",
                "value": value,
                "params": {"rate": rate, "loss": loss},
                "values": {"2": value},
                "seconds": 1.0,
            }
        )
    rows.append(rows[0] | {"state": "fail", "value": None, "number": trials})
    return tuning.from_rows(rows, SPACE), rows


@pytest.mark.parametrize("by", ["ped-anova", "fanova"])
def test_importance_finds_what_matters(by):
    shares = tuning.importance(made_study()[0], by)
    assert next(iter(shares)) == "rate" and shares["rate"] > 0.7
    assert sum(shares.values()) == pytest.approx(1)
    with pytest.raises(GliomakitError, match="no importance 'luck'"):
        tuning.importance(made_study()[0], "luck")


def test_trials_survive_json():
    study, rows = made_study()
    kept = json.loads(json.dumps(tuning.as_rows(study)))
    again = tuning.from_rows(kept, SPACE)
    assert states(again) == states(study)
    assert [t.params for t in again.trials] == [row["params"] for row in rows]
    assert tuning.best(again).number == tuning.best(study).number


def test_judge_scores_what_fit_made(cases):
    settings = Fit(**BASE, seed=3)
    torch.set_num_threads(1)
    found = tuning.judge(cases[0], {"a": cases[1], "b": cases[0]}, settings, device="cpu")
    from gliomakit import fit

    fitted = fit(cases[0], cases[1], settings, device="cpu", progress=False)
    assert found["a"] == pytest.approx([fitted.dice["mean"]], abs=1e-6)
    assert found["a"] == found["b"]  # the same images


# --- pictures -------------------------------------------------------------------------------------


def test_the_course_of_a_search():
    picture = plots.searched([0.2, 0.9, 0.5, float("nan"), 0.6], [False, True, False, False, False])
    best = picture.axes[0].lines[0].get_ydata()
    np.testing.assert_allclose(best, [0.2, 0.2, 0.5, 0.5, 0.6])
    assert "1 of them stopped early" in picture.alt and "0.600 at trial 4" in picture.alt
    assert plots.searched([0.1], figure=picture) is picture
    for bad in ([], [float("nan")]):
        with pytest.raises(GliomakitError, match="came to its end"):
            plots.searched(bad)
    with pytest.raises(GliomakitError):
        plots.searched([0.5, 0.6], [True])


def test_importance_is_drawn_by_evaluator():
    picture = plots.importance({"one": {"rate": 0.9, "loss": 0.1}, "other": {"rate": 1.0}})
    widths = sorted(round(bar.get_width(), 3) for bar in picture.axes[0].patches)
    assert widths == [0.0, 0.1, 0.9, 1.0] and "rate 0.90, loss 0.10" in picture.alt
    assert len({bar.get_hatch() for bar in picture.axes[0].patches}) == 2
    with pytest.raises(GliomakitError, match="no importance"):
        plots.importance({"one": {}})


def test_luck_is_drawn_from_the_mean():
    picture = plots.luck({"same": ([0.1, 0.5, 0.3], [0.5, 0.6, 0.7])})
    lines = [line.get_ydata() for line in picture.axes[0].lines[:3]]
    np.testing.assert_allclose(lines, [[-0.2, -0.1], [0.2, 0.0], [0.0, 0.1]])
    assert picture.axes[0].lines[1].get_linewidth() > 3
    assert "leads by +0.200, by +0.000 on test" in picture.alt
    for bad in ({}, {"a": ([0.1], [0.2])}, {"a": ([0.1, 0.2], [0.2])}):
        with pytest.raises(GliomakitError, match="at least two runs"):
            plots.luck(bad)


def test_parallel_takes_the_looks_of_a_search():
    study, _ = made_study(6)
    rows = {str(t.number): t.params | {"Dice": t.value} for t in study.trials if t.value}
    looks = plots.shaded({name: row["Dice"] for name, row in rows.items()})
    picture = plots.parallel(rows, ["rate", "loss", "Dice"], looks)
    best = max(rows, key=lambda name: rows[name]["Dice"])
    (line,) = [one for one in picture.axes[0].lines if one.get_linestyle() == "--"]
    assert line.get_label() == best


def test_running_moves_its_lines():
    rows = [{"step": s, "loss": 1 / s} for s in range(1, 11)] + [{"step": 10, "dice_mean": 0.5}]
    picture = plots.running({"a": rows[:4]}, 20)
    line = picture.stage.lines["a", 0]
    assert plots.running({"a": rows}, 20, figure=picture) is picture
    assert picture.stage.lines["a", 0] is line and line.get_xdata()[-1] == 10
    assert picture.axes[0].get_xlim() == (0, 20) and "10 steps, Dice 0.500" in picture.alt
    many = {str(i): rows for i in range(12)}
    plots.running(many, figure=picture)
    assert picture.stage.shown == list(many)[-8:]
    with pytest.raises(GliomakitError, match="make no curve"):
        plots.running({}, 0)
