"""Runs: what is logged, what is on the disk when, what is read back; and whatever goes wrong."""

import base64
import json
import os
import random
import signal
import socket
import subprocess
import sys
import textwrap
import time
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch

from gliomakit.errors import GliomakitError
from gliomakit.tracking import export_csv, read_run, read_runs, runs_table, series, start_run
from gliomakit.tracking import run as run_module
from gliomakit.tracking._plain import PlainRun

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(params=["neptune", "plain"])
def kind(request, monkeypatch):
    """Neptune's client, and the writer that takes over."""
    if request.param == "plain":
        monkeypatch.setattr(run_module, "run_class", lambda: PlainRun)
    else:
        pytest.importorskip("neptune")
    return request.param


def only(folder):
    (record,) = read_runs(folder)
    return record


def child(code, folder, **environment):
    """Another process that logs to `folder`."""
    head = "import os, sys, time\nfrom gliomakit.tracking import start_run\n"
    return subprocess.Popen(
        [sys.executable, "-W", "ignore", "-c", head + textwrap.dedent(code)],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": str(ROOT)} | environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_a_run_is_neptunes_own_and_comes_back(tmp_path, kind):
    with start_run("first", tmp_path, tags=["a", "b"], rate=1e-3, size=(64, 64)) as run:
        if kind == "neptune":
            import neptune

            assert isinstance(run, neptune.Run)
        for epoch in range(3):
            run["metrics/valid/dice"].append(epoch / 2, step=epoch)
            run["metrics"]["both"].append({"x": epoch, "y": 2 * epoch}, step=10 * epoch)
        run["metrics/more"].extend([1, 2, 3], steps=[2, 4, 6])
        run["notes"].append("began")
    record = only(tmp_path)
    assert (record.name, record.state, record.tags) == ("first", "finished", ["a", "b"])
    assert record.fields["parameters/rate"] == 1e-3
    assert json.loads(record.fields["parameters/size"]) == [64, 64]
    assert not record.problems and not record.events
    table = series(record, "metrics/valid/dice")
    assert table[["step", "value"]].values.tolist() == [[0, 0], [1, 0.5], [2, 1]]
    assert record.series["metrics/both/y"].steps == [0, 10, 20]
    assert record.series["metrics/more"].values == [1, 2, 3]
    assert record.series["notes"].values == ["began"]


@pytest.mark.parametrize(
    ("value", "back"),
    [
        (float("nan"), "nan"),
        (np.float32("inf"), "inf"),
        (torch.tensor(-float("inf")), "-inf"),
        (np.int64(7), 7),
        (np.float32(0.5), 0.5),
        (torch.tensor(3), 3),
        (np.bool_(True), True),
        (2**40, str(2**40)),
        (None, "None"),
        ([1, None, float("nan"), Path("/a/b")], '[1, "None", "nan", "b"]'),
        ({1, 2}, "[1, 2]"),
        ({}, "{}"),
        (Path("/data/secret/case.nii"), "case.nii"),
        ("/data/secret/case.nii", "case.nii"),
        (Path("a/b"), "a/b"),
        (np.zeros((2, 3)), "ndarray(2, 3)"),
        (torch.nn.Linear(1, 1), "Linear"),
        (len, "len"),
        ("ä <script>", "ä <script>"),
        ("", ""),
    ],
)
def test_values_that_neptune_would_lose(tmp_path, kind, value, back):
    with start_run("r", tmp_path) as run:
        run["parameters/x"] = value
    record = only(tmp_path)
    assert record.fields["parameters/x"] == back
    assert type(record.fields["parameters/x"]) is type(back)


@pytest.mark.parametrize("bad", [float("nan"), np.float32("nan"), torch.tensor(float("nan"))])
def test_a_series_keeps_its_place_for_what_is_no_number(tmp_path, kind, bad):
    with start_run("r", tmp_path) as run:
        for step, value in enumerate([1.0, bad, 3.0]):
            run["loss"].append(value, step=step)
    found = only(tmp_path)
    assert found.events == [{"path": "loss", "value": "nan", "step": 1}]
    assert found.series["loss"].steps == [0, 1, 2]
    np.testing.assert_array_equal(found.series["loss"].values, [1, np.nan, 3])


def test_types_may_change_and_texts_may_be_long(tmp_path, kind):
    with start_run("r", tmp_path) as run:
        run["a"] = 1
        run["a"] = 0.5
        run["b"] = "text"
        run["b"] = False
        run["c"] = "x" * 50_000
        run["d"].append("y" * 2500, step=1)
    record = only(tmp_path)
    assert record.fields["a"] == 0.5 and record.fields["b"] is False
    assert record.files["c"].read_text() == "x" * 50_000
    assert "".join(record.series["d"].values) == "y" * 2500


def test_pictures_and_files_are_kept_by_content(tmp_path, kind):
    plt = pytest.importorskip("matplotlib.pyplot")
    figure = plt.figure(figsize=(1, 1))
    (tmp_path / "note.txt").write_text("by content")
    with start_run("r", tmp_path / "runs") as run:
        run["figure"] = figure
        run["figures"].append(figure, step=3)
        run["note"].upload(str(tmp_path / "note.txt"))
    plt.close(figure)
    (tmp_path / "note.txt").unlink()
    record = only(tmp_path / "runs")
    assert record.files["note"].read_text() == "by content"
    assert record.files["figure"].read_bytes().startswith(b"\x89PNG")
    ((step, _, png),) = record.images["figures"]
    assert step == 3 and png.startswith(b"\x89PNG")


@pytest.mark.parametrize(
    "name", ["a/b", "with space", "größe", "<script>alert(1)</script>", "a//b"]
)
def test_names_of_fields(tmp_path, kind, name):
    with start_run(name, tmp_path) as run:
        run[f"x/{name}"] = 1
        run[f"y/{name}"].append(2.0)
    record = only(tmp_path)
    clean = "/".join(part for part in name.split("/") if part)
    assert record.name == name
    assert record.fields[f"x/{clean}"] == 1 and record.series[f"y/{clean}"].values == [2]


# --- how a run ends -------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("error", "state"), [(ValueError, "failed"), (KeyboardInterrupt, "interrupted")]
)
def test_a_run_says_how_it_ended(tmp_path, kind, error, state):
    with pytest.raises(error), start_run("r", tmp_path):
        raise error("/home/somebody/secret")
    record = only(tmp_path)
    assert record.state == state and record.fields["run/error"] == error.__name__
    everything = "".join(p.read_text() for p in tmp_path.rglob("*.log"))
    assert "secret" not in everything


@pytest.mark.parametrize(("end", "state"), [("", "finished"), ("1 / 0", "failed")])
def test_a_script_that_ends_ends_its_run(tmp_path, end, state):
    code = f"run = start_run('r', 'runs')\nrun['a'].append(1.0)\n{end}\n"
    process = child(code, tmp_path)
    process.communicate(timeout=60)
    record = only(tmp_path)
    assert record.state == state and record.series["a"].values == [1]


def test_what_was_flushed_survives_a_kill(tmp_path):
    process = child(
        """
        run = start_run("r", "runs")
        for i in range(20):
            run["a"].append(i, step=i)
        run.wait()
        print("ready", flush=True)
        time.sleep(60)
        """,
        tmp_path,
    )
    assert process.stdout.readline() == "ready\n"
    assert only(tmp_path).state == "running"
    process.send_signal(signal.SIGKILL)
    process.communicate()
    record = only(tmp_path)
    assert record.state == "cut off" and record.series["a"].values == list(range(20))


def test_two_runs_at_once_and_a_changed_folder(tmp_path, kind, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "elsewhere").mkdir()
    one, two = start_run("one", "runs"), start_run("two", "runs")
    monkeypatch.chdir(tmp_path / "elsewhere")
    for i in range(5):
        one["a"].append(i)
        two["a"].append(-i)
    one["long"] = "x" * 20_000
    one.stop()
    two.stop()
    first, second = read_runs(tmp_path / "runs")
    assert first.series["a"].values == [0, 1, 2, 3, 4]
    assert second.series["a"].values == [0, -1, -2, -3, -4]
    assert first.files["long"].read_text() == "x" * 20_000
    assert list((tmp_path / "elsewhere").iterdir()) == []


class Numbers(torch.utils.data.Dataset):
    def __len__(self):
        return 8

    def __getitem__(self, i):
        return i


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_forked_workers_write_nothing_twice(tmp_path, kind):
    with start_run("r", tmp_path) as run:
        for epoch in range(2):
            run["a"].append(epoch, step=epoch)
            loader = torch.utils.data.DataLoader(
                Numbers(), num_workers=2, multiprocessing_context="fork"
            )
            for i, _ in enumerate(loader):
                run["b"].append(i, step=8 * epoch + i)
    record = only(tmp_path)
    assert record.series["a"].values == [0, 1]
    assert record.series["b"].steps == list(range(16))
    assert not record.problems


def test_a_full_disk_does_not_stop_the_training(tmp_path, kind, monkeypatch):
    run = start_run("r", tmp_path)
    run["a"].append(1.0, step=0)
    run.wait()

    def full(*_, **__):
        raise OSError(28, "No space left on device")

    store = type(run._keeper.store)
    with monkeypatch.context() as patch, pytest.warns(UserWarning, match="No space left") as said:
        patch.setattr(store, "append", full)
        for step in range(1, 10):
            run["a"].append(1.0, step=step)
    assert len(said) == 1
    run["a"].append(2.0, step=10)
    run.stop()
    record = only(tmp_path)
    assert record.series["a"].steps == [0, 10] and record.state == "finished"


@pytest.mark.skipif(os.name != "posix" or os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_that_cannot_be_written(tmp_path, kind):
    tmp_path.chmod(0o500)
    with pytest.raises(GliomakitError, match="no run can be written here"):
        start_run("r", tmp_path / "runs")


def test_a_folder_that_is_a_file(tmp_path, kind):
    (tmp_path / "runs").write_text("")
    with pytest.raises(GliomakitError, match="no run can be written here"):
        start_run("r", tmp_path / "runs")


def test_no_home_and_no_neptune(tmp_path):
    hidden = "import sys; sys.modules['neptune'] = None\n"
    for before in ("", hidden):
        code = before + "with start_run('r', 'runs') as run:\n    run['a'] = 1\n"
        environment = {k: v for k, v in os.environ.items() if k != "HOME"}
        process = subprocess.run(
            [sys.executable, "-c", "from gliomakit.tracking import start_run\n" + code],
            cwd=tmp_path,
            env=environment | {"PYTHONPATH": str(ROOT)},
            capture_output=True,
            text=True,
        )
        assert process.returncode == 0, process.stderr
        assert ("Neptune cannot be imported" in process.stderr) == bool(before)
    assert [r.fields["a"] for r in read_runs(tmp_path)] == [1, 1]


def test_a_run_tells_nothing_about_the_machine(tmp_path):
    token = "eyJ" + "".join(random.Random(0).choices("abcdef0123456789", k=40))
    process = child(
        """
        home = os.path.expanduser("~/x")
        run = start_run("r", os.path.abspath("runs"), where=os.getcwd(), home=home)
        run["a"] = f"from {os.getcwd()}/data"
        print("to the console")
        run.stop()
        """,
        tmp_path,
        NEPTUNE_API_TOKEN=token,
        HOME="/home/somebody",
    )
    out, error = process.communicate(timeout=60)
    assert process.returncode == 0, error
    written = b"".join(p.read_bytes() for p in tmp_path.rglob("*") if p.is_file())
    for secret in (token, socket.gethostname(), str(tmp_path), "somebody", "to the console"):
        assert secret.encode() not in written, secret
        assert secret == "to the console" or secret not in out + error
    assert b"diff --git" not in written


# --- reading what is damaged ----------------------------------------------------------------------
def lines(*operations, start=1):
    return "".join(
        json.dumps({"obj": one, "version": start + i, "at": 1.7e9 + i}) + "\n"
        for i, one in enumerate(operations)
    )


def floats(path, *values, step=None):
    points = [{"value": v, "step": step, "ts": 1.7e9} for v in values]
    return {"type": "LogFloats", "path": path.split("/"), "values": points}


def a_run(folder, text, name="run__11111111-1111__999999999__abcdefgh"):
    place = folder / "offline" / name
    (place / "upload_path").mkdir(parents=True, exist_ok=True)
    (place / "data-1.log").write_text(text)
    return place


def test_damaged_lines_are_left_out_and_counted(tmp_path):
    good = lines(floats("a", 1.0), floats("a", 2.0))
    unknown = lines({"type": "Invented", "path": ["x"]}, start=3)
    bad_picture = {"type": "LogImages", "path": ["i"], "values": [{"value": {"data": "§"}}]}
    text = good + "garbage\n" + unknown + lines(bad_picture, start=4) + '{"obj": {"type": "Assi'
    record = read_run(a_run(tmp_path, text))
    assert record.series["a"].values == [1, 2] and record.series["a"].steps == [0, 1]
    assert record.problems == {
        "not readable": 1,
        "unknown operation Invented": 1,
        "malformed LogImages": 1,
        "torn last line": 1,
    }
    assert record.state == "unknown"


def test_a_line_that_follows_on_a_torn_one_is_read(tmp_path):
    text = '{"obj": {"type": "LogFl' + lines(floats("a", 1.0))
    record = read_run(a_run(tmp_path, text))
    assert record.series["a"].values == [1] and record.problems == {"not readable": 1}


def test_parts_repeats_and_several_processes(tmp_path):
    first = lines(floats("a", 1.0), floats("a", 2.0))
    place = a_run(tmp_path, first + first)
    for start in (3, 10):
        (place / f"data-{start}.log").write_text(lines(floats("a", float(start)), start=start))
    other = a_run(tmp_path, lines(floats("b", 5.0)), name="run__11111111-1111__999999998__bbbbbbbb")
    record = only(tmp_path)
    assert record.series["a"].values == [1, 2, 3, 10]
    assert record.series["b"].values == [5] and set(record.folders) == {place, other}
    assert record.problems == {"repeated": 2}


def test_numbers_of_every_kind_and_a_step_twice(tmp_path):
    text = lines(floats("a", 1.0, step=3), floats("a", float("nan"), step=3), floats("a", -2e-8))
    record = read_run(a_run(tmp_path, text))
    np.testing.assert_array_equal(record.series["a"].values, [1, np.nan, -2e-8])
    assert record.series["a"].steps == [3, 3, 4]


def test_what_is_cleared_and_deleted_is_gone(tmp_path):
    path = {"path": ["a"]}
    text = lines(
        floats("a", 1.0),
        {"type": "ClearFloatLog", **path},
        floats("a", 2.0),
        {"type": "AssignInt", "path": ["n"], "value": 1},
        {"type": "DeleteAttribute", "path": ["n"]},
        {"type": "AddStrings", "path": ["t"], "values": ["x", "y"]},
        {"type": "RemoveStrings", "path": ["t"], "values": ["x"]},
        {"type": "AssignDatetime", "path": ["d"], "value": 0},
    )
    record = read_run(a_run(tmp_path, text))
    assert record.series["a"].values == [2] and "n" not in record.fields
    assert record.fields["t"] == ["y"] and record.fields["d"].year == 1970


def test_a_large_picture_and_a_file_from_outside(tmp_path):
    png = b"\x89PNG" + b"0" * 36_000_000
    picture = {"data": base64.b64encode(png).decode(), "name": None, "description": None}
    outside = {"file_path": None, "tmp_file_name": "../../../secret", "ext": "txt"}
    text = lines(
        {"type": "LogImages", "path": ["i"], "values": [{"value": picture, "step": 1, "ts": 1.0}]},
        {"type": "UploadFile", "path": ["f"], **outside},
    )
    record = read_run(a_run(tmp_path, text))
    assert record.images["i"][0][2] == png
    assert record.files == {} and record.problems == {"file that was not kept": 1}


def test_the_fast_way_reads_what_json_reads(tmp_path, kind, monkeypatch):
    rng = random.Random(0)
    with start_run("r", tmp_path) as run:
        for i in range(300):
            value = rng.choice([rng.random(), -rng.random() * 10 ** rng.randint(-12, 12), i, -0.0])
            run[f"a/{'xyz'[i % 3]}"].append(value, step=rng.choice([None, i, i + 0.5]))
    fast = only(tmp_path)
    from gliomakit.tracking import reader

    class Never:
        def fullmatch(self, line):
            return None

    used = sum(
        bool(reader.POINT.fullmatch(x))
        for p in tmp_path.rglob("*.log")
        for x in p.read_bytes().splitlines()
    )
    assert used == 300
    monkeypatch.setattr(reader, "POINT", Never())
    slow = only(tmp_path)
    assert fast.series == slow.series and len(fast.series) == 3


# --- tables ---------------------------------------------------------------------------------------


def test_a_table_of_runs_and_csv(tmp_path, kind):
    for i in range(3):
        with start_run(f"=run {i}", tmp_path / "runs", tags=["t"], rate=10.0**-i) as run:
            run["metrics/dice"].append(i / 4, step=1)
            run["metrics/dice"].append(i / 2, step=2)
    table = runs_table(tmp_path / "runs")
    assert list(table.columns[:5]) == ["name", "state", "created", "seconds", "tags"]
    assert table["parameters/rate"].tolist() == [1, 0.1, 0.01]
    assert table["metrics/dice"].tolist() == [0, 0.5, 1]
    written = export_csv(tmp_path / "runs", tmp_path / "csv")
    assert [p.name for p in written] == ["runs.csv", "series.csv"]
    import pandas as pd

    points = pd.read_csv(tmp_path / "csv" / "series.csv", index_col=0)
    assert points[points.path == "metrics/dice"].value.tolist() == [0, 0, 0.25, 0.5, 0.5, 1]
    assert set(points.run) == {f"'=run {i}" for i in range(3)}
    with pytest.raises(GliomakitError, match="no series 'metrics/no'; there are metrics/dice"):
        series(read_runs(tmp_path / "runs")[0], "metrics/no")
    with pytest.raises(GliomakitError, match="3 runs lie here"):
        series(tmp_path / "runs", "metrics/dice")


def test_an_empty_and_a_missing_folder(tmp_path):
    assert len(runs_table(tmp_path)) == 0
    with pytest.raises(GliomakitError, match="no such folder"):
        runs_table(tmp_path / "nowhere")
    a_run(tmp_path, "")
    assert len(runs_table(tmp_path)) == 0


def test_logging_warns_of_nothing_when_all_is_well(tmp_path, kind):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.filterwarnings("ignore", "jsonschema.RefResolver", DeprecationWarning)
        with start_run("r", tmp_path) as run:
            run["a"].append(time.time())


def test_tensorboard_reads_what_was_logged(tmp_path, kind):
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    from gliomakit.tracking import to_tensorboard

    plt = pytest.importorskip("matplotlib.pyplot")
    figure = plt.figure(figsize=(1, 1))
    with start_run("../a/b", tmp_path / "runs", rate=0.1) as run:
        for step in range(3):
            run["metrics/loss"].append(1 / (step + 1), step=step)
        run["metrics/loss"].append(float("nan"), step=3)
        run["figure"].append(figure, step=2)
    plt.close(figure)
    for _ in range(2):  # a second time writes the same again
        out = to_tensorboard(tmp_path / "runs")
    assert out == tmp_path / "runs" / "tensorboard"
    (place,) = out.iterdir()
    events = EventAccumulator(str(place)).Reload()
    scalars = events.Scalars("metrics/loss")
    assert [e.step for e in scalars] == [0, 1, 2, 3]
    assert [e.value for e in scalars][:3] == pytest.approx([1, 1 / 2, 1 / 3])
    assert np.isnan(scalars[3].value)
    assert [e.step for e in events.Images("figure")] == [2]
    with pytest.raises(GliomakitError, match="no run lies here"):
        to_tensorboard(tmp_path / "runs" / "tensorboard")


# --- the panel in a notebook ----------------------------------------------------------------------


def test_the_panel_shows_what_is_ticked(tmp_path):
    pytest.importorskip("ipywidgets")
    from gliomakit.tracking.dashboard import Panel, side_by_side

    hostile = "<svg onload=alert(1)>"
    for i in range(3):
        with start_run(hostile if i == 2 else f"run {i}", tmp_path, rate=10.0**-i, same=1) as run:
            for step in range(20):
                run["metrics/valid/dice"].append(step / 20 + i, step=step)
    panel = Panel(tmp_path)
    assert [r.name for r in panel.ticked] == ["run 0", "run 1", hostile]
    curves = panel._places["curves"]
    before = bytes(curves.value)
    assert before.startswith(b"\x89PNG")
    panel.smooth.value = 0.9
    smooth = bytes(curves.value)
    assert smooth != before
    panel._boxes[panel.records[1].id].value = False
    assert [r.name for r in panel.ticked] == ["run 0", hostile] and bytes(curves.value) != smooth
    panel.filter.value = "parameters/rate=0.1"
    assert panel.matching()["name"].tolist() == ["run 1"]
    panel.filter.value = ""
    panel.sort.value, panel.descending.value = "parameters/rate", False
    assert panel.matching()["parameters/rate"].tolist() == [0.01, 0.1, 1]
    shown = side_by_side(panel.records)
    assert "≠ parameters/rate" in shown and "parameters/same" not in shown
    assert hostile not in shown and "&lt;svg onload" in shown
    assert not any(
        hostile in getattr(w, "value", "")
        for row in panel._rows.children[1:]
        for w in row.children[1:]
    )
    import shutil

    shutil.rmtree(tmp_path)
    panel.update()  # the folder was deleted while the dashboard was open
    assert panel.records == [] and panel.ticked == []


def test_a_live_run_is_read_again_until_it_ends(tmp_path):
    pytest.importorskip("ipywidgets")
    import time

    from gliomakit.tracking.dashboard import Panel

    def comes(true):
        end = time.monotonic() + 20
        while not true() and time.monotonic() < end:
            time.sleep(0.05)
        return true()

    with start_run("live", tmp_path) as run:
        run["metrics/train/loss"].append(1.0, step=0)
        run.wait()
        panel = Panel(tmp_path, refresh=0.1)
        before = bytes(panel._places["curves"].value)
        assert panel.records[0].state == "running"
        run["metrics/train/loss"].append(0.5, step=1)
        run.wait()
        assert comes(lambda: len(panel.records[0].series["metrics/train/loss"].values) == 2)
        assert comes(lambda: bytes(panel._places["curves"].value) != before)
    assert comes(lambda: panel.records[0].state == "finished")
    assert comes(lambda: panel._timer is None or not panel._timer.is_alive())
    panel.close()
