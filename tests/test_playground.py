"""The training playground: its buttons pressed without a browser."""

from __future__ import annotations

import threading
import time
from dataclasses import replace

import pytest

from gliomakit.course.playground import LOSSES, WEIGHTS, playground, table
from gliomakit.errors import GliomakitError
from gliomakit.losses import LOSSES as KNOWN
from gliomakit.preprocess import prepare
from gliomakit.tracking import read_runs
from tests.test_widgets import a_case

pytest.importorskip("ipywidgets")


@pytest.fixture(scope="module")
def cases():
    made = prepare(a_case(shape=(24, 30, 9), spacing=(4.0, 4.0, 4.0)), spacing=4.0)
    return [made], [replace(made, name="other")]


@pytest.fixture
def play(cases, tmp_path):
    made = playground(*cases, tmp_path / "runs", device="cpu")
    made.set(base_filters=2, steps=5, batch=1, intensity=False)
    yield made
    made.close()
    assert not made.busy


def until(holds, seconds=60):
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end, "it takes too long"
        time.sleep(0.005)


def test_train_is_a_real_training_and_a_run(play, tmp_path):
    play.set(rate=1e-3, t2=False)
    drawn = bytes(play.image.value)
    play.button.click()
    assert play.busy and play.button.disabled and not play.halt.disabled
    done = play.wait(60)
    assert done.state == "finished" and done.steps == 5 and 0 <= done.dice <= 1
    assert not play.button.disabled and play.halt.disabled
    assert bytes(play.image.value) != drawn and "5 steps" in play.picture.alt
    assert "✔ run 1 finished after 5 steps, Dice" in play.status.value
    (run,) = read_runs(tmp_path / "runs")
    assert run.state == "finished" and run.fields["parameters/rate"] == pytest.approx(1e-3)
    assert len(run.series["metrics/train/loss"].values) == 5
    assert done.settings.sequences == ("flair", "t1", "t1ce")
    losses = [row["loss"] for row in done.rows if "loss" in row]
    assert losses == pytest.approx(run.series["metrics/train/loss"].values)


def test_stop_ends_within_a_step_or_two(play, tmp_path):
    play.set(steps=400)
    play.button.click()
    until(lambda: play.runs[-1].steps >= 3)
    play.halt.click()
    asked = play.runs[-1].steps
    done = play.wait(30)
    assert done.state == "stopped" and asked <= done.steps <= asked + 2
    assert "■ run 1 stopped" in play.status.value and not play.button.disabled
    (run,) = read_runs(tmp_path / "runs")
    assert run.state == "interrupted"
    play.set(steps=5)
    play.button.click()
    assert play.wait(60).state == "finished"


def test_the_kernel_is_free_while_it_trains(play):
    """The click comes back at once, and another click does not start a second training."""
    play.set(steps=400)
    begun = time.monotonic()
    play.button.click()
    assert time.monotonic() - begun < 2
    play.train()
    assert "stop it first" in play.status.value and len(play.runs) == 1
    names = [t for t in threading.enumerate() if t is play._thread]
    assert len(names) == 1 and names[0].daemon


def test_a_fault_in_the_run_is_one_line(play):
    play.set(patch=16)
    play.button.click()
    done = play.wait(60)
    assert done.state == "failed" and play.status.value.count("✘") == 1
    assert "single voxel" in play.status.value and "Traceback" not in play.status.value
    assert not play.button.disabled


def test_any_other_fault_too(play, monkeypatch):
    from gliomakit.course import playground as module

    monkeypatch.setattr(module, "fit", lambda *a, **k: {}["<b>"])
    play.button.click()
    assert play.wait(60).state == "failed" and "&lt;b&gt;" in play.status.value
    assert "KeyError" in play.status.value


def test_bad_values_are_refused_before_anything_runs(play):
    play.set(flair=False, t1=False, t1ce=False, t2=False)
    play.button.click()
    assert "no sequence is ticked" in play.status.value and not play.runs and not play.busy
    play.set(flair=True)
    play.controls["network"].value = "UNet3d"
    play.controls["base_filters"].min = -5
    play.controls["base_filters"].value = -2
    play.button.click()
    assert "base_filters is -2" in play.status.value and not play.runs
    play.stop()  # nothing to stop: nothing happens


def test_a_folder_that_cannot_be_written_is_said(cases, tmp_path):
    (tmp_path / "file").write_text("")
    play = playground(*cases, tmp_path / "file", device="cpu")
    play.button.click()
    assert play.wait(60).state == "failed" and "no run can be written" in play.status.value
    play.close()


def test_weights_belong_to_the_weighted_loss(play):
    assert set(WEIGHTS.values()) <= set(KNOWN) and set(LOSSES) <= set(KNOWN)
    play.set(weights="weighted-dice-simple")
    assert play.settings().loss == "weighted-dice-simple"
    play.set(loss="dice-ce")
    assert play.settings().loss == "dice-ce" and play.controls["weights"].disabled
    play.set(loss="weighted-dice")
    assert not play.controls["weights"].disabled


def test_runs_stand_beside_one_another(play):
    for rate in (1e-3, 1e-2):
        play.set(rate=rate)
        play.train()
        play.wait(60)
    shown = play.table.value
    assert shown.count("★") >= 1 and "0.001" in shown and "0.01" in shown
    assert "base_filters" not in shown, "what does not differ is not shown"
    assert table([]) == "" and list(play.curves()) == ["run 1", "run 2"]


def test_every_control_has_a_name_and_there_is_a_sentence(play):
    assert all(c.description for c in (*play.controls.values(), play.button, play.halt))
    assert "Run this cell" in play._repr_mimebundle_()["text/html"]
    assert bytes(play.image.value).startswith(b"\x89PNG") and "No run yet" in play.picture.alt


def test_it_needs_cases_and_widgets(cases, tmp_path, monkeypatch):
    with pytest.raises(GliomakitError, match="cases to train on"):
        playground([], cases[1], tmp_path)
    monkeypatch.setitem(__import__("sys").modules, "ipywidgets", None)
    with pytest.raises(GliomakitError, match="needs ipywidgets"):
        playground(*cases, tmp_path)
