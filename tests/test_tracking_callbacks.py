"""What a training leaves in a run: `FitLog` for `gliomakit.fit`, `NeptuneLog` for fastai."""

import csv
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch

from gliomakit import Fit, fit, metrics
from gliomakit.slices import import_torchvision
from gliomakit.tracking import read_runs, start_run
from gliomakit.tracking.callbacks import FitLog, NeptuneLog, described
from tests.test_training import TINY, prepared


def only(folder):
    (record,) = read_runs(folder)
    return record


def test_fit_leaves_what_it_did(tmp_path):
    training, validation = [prepared(0), prepared(1)], [prepared(2)]
    with start_run("fit", tmp_path / "runs") as run:
        fitted = fit(
            training,
            validation,
            Fit(**TINY, validate_every=2),
            callback=FitLog(run, training, validation),
            device="cpu",
        )
    record = only(tmp_path / "runs")
    assert not record.problems
    rows = [row for row in fitted.history if "loss" in row]
    loss, rate = record.series["metrics/train/loss"], record.series["metrics/train/rate"]
    assert loss.steps == rate.steps == [1, 2, 3, 4]
    assert loss.values == [row["loss"] for row in rows]
    assert rate.values == [row["rate"] for row in rows]
    dice = record.series["metrics/valid/dice_mean"]
    assert dice.steps == [2, 4]
    assert dice.values[-1] == pytest.approx(fitted.dice["mean"], abs=1e-6)
    assert record.fields["parameters/steps"] == 4 and record.fields["parameters/patch"] == 16
    assert record.fields["data/training/cases"] == 2
    assert record.fields["data/validation/names"] == '["case2"]'
    assert record.fields["fit/last_step"] == 4 and record.fields["fit/skipped"] == 0
    assert record.fields["fit/peak_memory_mib"] > 0


def test_a_step_that_was_left_out_is_an_event(tmp_path):
    with start_run("fit", tmp_path) as run:
        log = FitLog(run)
        log("step", step=1, loss=None, rate=0.1, gradient=None, seconds=0.1)
        log("step", step=2, loss=0.5, rate=0.1, gradient=1.0, seconds=0.2)
    record = only(tmp_path)
    np.testing.assert_array_equal(record.series["metrics/train/loss"].values, [np.nan, 0.5])
    assert record.series["metrics/train/gradient"].steps == [2]


def test_the_digest_of_cases_notices_other_cases():
    one, two, other = prepared(0), prepared(0), replace(prepared(1), name="case0")
    assert described([one]) == described([two])
    assert described([one])["digest"] != described([other])["digest"]


def test_pictures_and_the_table_of_cases(tmp_path):
    training, validation = [prepared(0)], [prepared(1), prepared(2)]
    with start_run("fit", tmp_path / "runs") as run:
        settings = Fit(**TINY, validate_every=1, regions=("wt", "et"))
        log = FitLog(run, training, validation, figures=3)
        fitted = fit(training, validation, settings, callback=log, device="cpu")
    record = only(tmp_path / "runs")
    steps = [step for step, _, png in record.images["pictures/validation"] if png[1:4] == b"PNG"]
    assert steps == [1, 4]
    path = record.files["tables/validation"]
    rows = list(csv.DictReader(path.open()))
    assert path.suffix == ".csv" and [row["case"] for row in rows] == ["case1", "case2"]
    mean = np.mean([float(row["wt"]) for row in rows])
    assert mean == pytest.approx(fitted.dice["wt"], abs=1e-6) and "tc" not in rows[0]


# --- fastai ---------------------------------------------------------------------------------------

import_torchvision()
fastai = pytest.importorskip("fastai.basics")
pytest.importorskip("fastai.callback.all")  # fit_one_cycle, lr_find, no_bar come with it


@pytest.fixture
def learn(tmp_path):
    from fastai.data.core import Datasets
    from fastai.learner import Learner
    from fastai.metrics import mae

    xs = torch.from_numpy(np.random.default_rng(0).standard_normal((32, 4)).astype(np.float32))
    ys = (xs.sum(1, keepdim=True) > 0).float()
    splits = [list(range(24)), list(range(24, 32))]
    pairs = Datasets(range(32), [[xs.__getitem__], [ys.__getitem__]], splits=splits)
    learner = Learner(
        pairs.dataloaders(bs=8, num_workers=0, drop_last=True),
        torch.nn.Linear(4, 1),
        loss_func=torch.nn.BCEWithLogitsLoss(),
        metrics=mae,
        path=tmp_path,
    )
    with learner.no_bar(), learner.no_logging():
        yield learner


def test_fits_go_on_in_one_count_of_steps(learn, tmp_path):
    with start_run("two fits", tmp_path / "runs") as run:
        log = NeptuneLog(run)
        learn.add_cb(log)
        learn.fit_one_cycle(2, 1e-2)
        first = list(learn.recorder.lrs)
        last_valid = learn.recorder.values[-1][1]
        learn.lr_find(num_it=6, show_plot=False)
        learn.validate()
        learn.get_preds()
        learn.fit(1, 1e-3)
    record = only(tmp_path / "runs")
    train = record.series["metrics/train/loss"]
    assert train.steps == list(range(9)), "3 batches an epoch, 3 epochs; lr_find is no training"
    rates = record.series["metrics/train/rate"].values
    assert rates[:6] == pytest.approx(first) and rates[6:] == [1e-3] * 3
    valid = record.series["metrics/valid/loss"]
    assert valid.steps == [3, 6, 9] and valid.values[1] == pytest.approx(last_valid)
    assert record.series["metrics/valid/mae"].steps == [3, 6, 9]
    assert record.fields["fit/number"] == 2 and record.fields["lr_find/calls"] == 1
    assert record.fields["fit/1/state"] == record.fields["fit/2/state"] == "finished"
    assert record.fields["data/training/items"] == 24
    rows = list(csv.DictReader(record.files["tables/validation"].open()))
    assert [row["case"] for row in rows] == [f"item {i}" for i in range(8)]
    assert np.mean([float(row["loss"]) for row in rows]) == pytest.approx(valid.values[-1])
    assert not record.events and not record.problems


def test_an_epoch_has_two_steps_where_only_the_cells_are_tried(learn, tmp_path, monkeypatch):
    monkeypatch.setenv("GLIOMAKIT_SMOKE", "1")
    with start_run("smoke", tmp_path / "runs") as run:
        log = NeptuneLog(run)
        learn.add_cb(log)
        learn.lr_find(num_it=6, show_plot=False)
        assert len(learn.recorder.lrs) == 6, "lr_find has its steps"
        learn.fit(2, 1e-3)
    record = only(tmp_path / "runs")
    assert record.series["metrics/train/loss"].steps == [0, 1, 2, 3]
    assert record.series["metrics/valid/mae"].steps == [2, 4], "epochs end as always"
    assert [len(row) for row in learn.recorder.values] == [3, 3], "training loss in the table too"
    assert record.fields["fit/1/state"] == "finished"


def test_the_digest_of_files_notices_another_content(tmp_path):
    from gliomakit.tracking._fastai import digest

    (tmp_path / "a.tif").write_bytes(b"one")
    before = digest([tmp_path / "a.tif"])
    assert digest([tmp_path / "a.tif"]) == before
    (tmp_path / "a.tif").write_bytes(b"two")
    assert digest([tmp_path / "a.tif"]) != before
    assert digest([np.zeros(3)]) != digest([np.ones(3)])
    one, other = pd.DataFrame({"name": ["a", "b"]}), pd.DataFrame({"name": ["a", "c"]})
    assert digest(one) == digest(one.copy()) != digest(other)


def test_figures_that_cannot_be_drawn_are_said_once(learn, tmp_path):
    with start_run("figures", tmp_path / "runs") as run:
        learn.add_cb(NeptuneLog(run, figures=1))
        with pytest.warns(UserWarning, match="NeptuneLog failed in after_epoch") as said:
            learn.fit(2, 1e-3)
    assert len([w for w in said if "NeptuneLog" in str(w.message)]) == 1
    record = only(tmp_path / "runs")
    assert record.fields["fit/epochs"] == 2 and len(record.series["metrics/valid/mae"].steps) == 2


def slices_learner(folder, **changes):
    """Two patients of three slices to validate on, masks of two classes; one network, 1 × 1."""
    from fastai.data.core import Datasets
    from fastai.learner import Learner
    from fastai.losses import CrossEntropyLossFlat

    names = [folder / patient / f"{patient}_{n}.tif" for patient in "abc" for n in range(3)]
    dice = np.random.default_rng(0)
    image = {n: torch.from_numpy(dice.standard_normal((2, 8, 8)).astype(np.float32)) for n in names}
    mask = {n: (image[n][0] > 0.5).long() for n in names}
    splits = [list(range(3)), list(range(3, 9))]
    pairs = Datasets(names, [[lambda n: image[n]], [lambda n: mask[n]]], splits=splits)
    settings = {"loss_func": CrossEntropyLossFlat(axis=1)} | changes
    dls = pairs.dataloaders(bs=3, num_workers=0)
    return Learner(dls, torch.nn.Conv2d(2, 2, 1), path=folder, **settings), image, mask


def test_the_table_has_a_patients_slices_in_one_row(tmp_path):
    learner, image, mask = slices_learner(tmp_path)
    with learner.no_bar(), learner.no_logging(), start_run("table", tmp_path / "runs") as run:
        learner.add_cb(NeptuneLog(run, figures=0))
        learner.fit(2, 1e-1)
        learner.get_preds(ds_idx=0)
    record = only(tmp_path / "runs")
    rows = list(csv.DictReader(record.files["tables/validation"].open()))
    assert [(row["case"], row["items"]) for row in rows] == [("b", "3"), ("c", "3")]
    mean = np.mean([float(row["loss"]) for row in rows])
    assert mean == pytest.approx(record.series["metrics/valid/loss"].values[-1])
    for row in rows:
        own = [name for name in image if name.parent.name == row["case"]]
        with torch.no_grad():
            found = learner.model.cpu()(torch.stack([image[n] for n in own])).argmax(1).numpy() > 0
        expected = metrics.dice(found, np.stack([mask[n].numpy() > 0 for n in own]))
        assert float(row["dice"]) == pytest.approx(expected)


def test_a_loss_that_cannot_be_had_item_by_item_leaves_no_table(tmp_path):
    def own_loss(pred, target):
        return torch.nn.functional.cross_entropy(pred, target)

    learner, _, _ = slices_learner(tmp_path, loss_func=own_loss)
    with learner.no_bar(), learner.no_logging(), start_run("own", tmp_path / "runs") as run:
        learner.add_cb(NeptuneLog(run, figures=0))
        with pytest.warns(UserWarning, match="NeptuneLog failed in after_batch.*reduction") as said:
            learner.fit(2, 1e-1)
    assert len([w for w in said if "NeptuneLog" in str(w.message)]) == 1
    record = only(tmp_path / "runs")
    assert "tables/validation" not in record.files and record.fields["fit/1/state"] == "finished"
    assert record.series["metrics/valid/loss"].steps == [1, 2]


def test_a_learner_with_the_log_can_be_exported_and_loaded(learn, tmp_path):
    from fastai.learner import load_learner

    with start_run("export", tmp_path / "runs") as run:
        learn.add_cb(NeptuneLog(run))
        learn.fit(1, 1e-3)
        learn.export(tmp_path / "learner.pkl")
        learn.fit(1, 1e-3)
    assert only(tmp_path / "runs").fields["fit/number"] == 2, "still whole after export"
    loaded = load_learner(tmp_path / "learner.pkl")
    (log,) = [cb for cb in loaded.cbs if isinstance(cb, NeptuneLog)]
    assert log.tracked is None


def test_fine_tune_and_saving_models(learn, tmp_path):
    from fastai.callback.tracker import SaveModelCallback

    learn.model = torch.nn.Sequential(torch.nn.Linear(4, 4), torch.nn.Linear(4, 1))
    learn.splitter = lambda model: [list(one.parameters()) for one in model]
    with start_run("tune", tmp_path / "runs") as run:
        learn.add_cb(NeptuneLog(run))
        learn.fine_tune(2, 1e-3, freeze_epochs=1, cbs=SaveModelCallback(monitor="mae"))
    record = only(tmp_path / "runs")
    assert [record.fields[f"fit/{n}/phase"] for n in (1, 2)] == ["frozen", "unfrozen"]
    assert [record.fields[f"fit/{n}/state"] for n in (1, 2)] == ["finished"] * 2
    assert record.series["metrics/train/loss"].steps == list(range(9)), "one count of steps"
    assert record.series["metrics/valid/mae"].steps == [3, 6, 9]
    rates = record.series["metrics/train/rate"].values
    assert rates[3:] == pytest.approx(learn.recorder.lrs), "the rates that were used"


def test_a_fit_that_crashed_does_not_mix_into_the_next(learn, tmp_path):
    class Crash(fastai.Callback):
        def after_batch(self):
            if self.training and self.iter == 1:
                raise ValueError("on purpose")

    with start_run("crash", tmp_path / "runs") as run:
        learn.add_cb(NeptuneLog(run))
        with pytest.raises(ValueError, match="on purpose"):
            learn.fit(1, 1e-3, cbs=Crash())
        learn.fit(1, 1e-3)
    record = only(tmp_path / "runs")
    assert record.fields["fit/1/state"] == "failed"
    assert record.fields["fit/1/last_step"] == record.fields["fit/2/first_step"] == 1
    assert record.fields["fit/2/state"] == "finished"


def test_what_fails_in_the_log_does_not_stop_the_training(learn, tmp_path):
    class Broken:
        def __getitem__(self, path):
            raise RuntimeError("no run")

        def __setitem__(self, path, value):
            raise RuntimeError("no run")

        def wait(self):
            raise RuntimeError("no run")

    learn.add_cb(NeptuneLog(Broken()))
    with pytest.warns(UserWarning, match="NeptuneLog failed in before_train") as said:
        learn.fit(2, 1e-3)
    assert len([w for w in said if "NeptuneLog" in str(w.message)]) == 1
