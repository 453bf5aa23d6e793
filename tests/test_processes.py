"""Two processes on gloo that train one network: the weights of one process with twice the batch."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from gliomakit import _checkpoint, _processes
from gliomakit._learner import Learner
from gliomakit.training import Fit, fit
from tests.test_training import prepared, weights

ROOT = Path(__file__).resolve().parent.parent
SETTINGS = {
    "base_filters": 2, "patch": 16, "precision": "fp32", "steps": 4, "checkpoint_every": 2,
    "validate_every": 4, "norm": "none",
}  # fmt: skip
KINDS = {
    "regions": {},
    "classes": {"output": "classes", "regions": ("wt",), "loss": "weighted-dice"},
}
"""Without a norm: a bias before one has no gradient but rounding, which Adam makes large."""


@pytest.fixture
def double():
    """Adam divides a gradient by its size: a weight whose gradient is nearly zero would go where
    float32's rounding points."""
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


def launch(*arguments, **environment):
    """A program in two processes, as torchrun starts it."""
    return subprocess.run(
        [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2",
         *map(str, arguments)],
        cwd=ROOT, capture_output=True, text=True, timeout=600,
        env=os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"} | environment,
    )  # fmt: skip


def train(kind, out, batch, steps=4, **more):
    settings = Fit(**(SETTINGS | KINDS[kind] | {"steps": steps}), batch=batch)
    cases = [prepared(0), prepared(1)]
    events = []

    def heard(event, **_):
        events.append(event)

    fitted = fit(cases, cases[:1], settings, out, "cpu", progress=False, callback=heard, **more)
    return fitted, events


def die_at(step):
    """The second process is killed from outside in the middle of a training."""
    learn = Learner.step

    def killed(self, number, *args, **more):
        if number == step and _processes.rank() == 1:
            os.kill(os.getpid(), signal.SIGKILL)
        return learn(self, number, *args, **more)

    Learner.step = killed


if __name__ == "__main__":
    folder, dies, again = Path(sys.argv[1]), "--dies" in sys.argv, "--resume" in sys.argv
    torch.set_default_dtype(torch.float64)
    torch.set_num_threads(1)
    if dies or again:
        if dies:
            die_at(3)
        fitted, _ = train("regions", folder / "run", batch=1, resume=again)
        torch.save(weights(fitted.model), folder / f"weights{_processes.rank()}.pt")
        sys.exit()
    for kind in KINDS:
        fitted, events = train(kind, folder / kind, batch=1)
        told = {"events": events, "dice": fitted.dice, "weights": weights(fitted.model).tolist()}
        text = json.dumps(told | {"losses": [row.get("loss") for row in fitted.history]})
        (folder / f"{kind}{_processes.rank()}.json").write_text(text)


def test_two_processes_learn_what_one_with_twice_the_batch_learns(tmp_path, double):
    run = launch("-m", "tests.test_processes", tmp_path)
    assert run.returncode == 0, run.stderr
    for kind in KINDS:
        alone, events = train(kind, tmp_path / f"{kind} alone", batch=2)
        first, second = (json.loads((tmp_path / f"{kind}{r}.json").read_text()) for r in (0, 1))
        assert first["weights"] == second["weights"]
        found = torch.tensor(first["weights"], dtype=torch.float64)
        learned = weights(alone.model)
        assert float((found - learned).abs().max()) < 1e-5
        assert float((untrained(kind) - learned).abs().max()) > 1e-3
        # One process writes, validates and tells.
        assert first["events"] == events and second["events"] == []
        assert first["dice"] == pytest.approx(alone.dice, abs=1e-3) and second["dice"] == {}
        names = {path.name for path in (tmp_path / kind).iterdir()}
        assert names == {path.name for path in (tmp_path / f"{kind} alone").iterdir()}
        rows = (tmp_path / kind / "history.jsonl").read_text().splitlines()
        assert len(rows) == 5  # four steps, a validation


def test_a_lost_process_ends_the_run_and_it_goes_on(tmp_path, double):
    run = launch("-m", "tests.test_processes", tmp_path, "--dies")
    assert run.returncode != 0 and "Signal 9" in run.stderr, run.stderr
    assert "another process of this run was lost at step" in run.stderr, run.stderr
    assert "go on with --resume" in run.stderr
    assert (tmp_path / "run" / _checkpoint.NAME).exists()
    assert not list(tmp_path.glob("weights*"))
    run = launch("-m", "tests.test_processes", tmp_path, "--resume")
    assert run.returncode == 0, run.stderr
    alone, _ = train("regions", tmp_path / "alone", batch=2)
    found = torch.load(tmp_path / "weights0.pt", weights_only=True)
    assert float((found - weights(alone.model)).abs().max()) < 1e-5
    rows = (tmp_path / "run" / "history.jsonl").read_text().splitlines()
    steps = [row["step"] for row in map(json.loads, rows) if "loss" in row]
    assert steps == [1, 2, 3, 4], "each step stands there once"


def untrained(kind):
    torch.manual_seed(0)
    network = Fit(**(SETTINGS | KINDS[kind])).make_network()
    return torch.cat([value.flatten() for value in network.state_dict().values()])


def test_alone_nothing_is_joined(monkeypatch):
    device = torch.device("cpu")
    assert _processes.join(device) == device and _processes.world() == 1
    monkeypatch.setenv("WORLD_SIZE", "2")  # a cluster's own variable, no torchrun
    assert _processes.join(device) == device and _processes.world() == 1
    assert _processes.rank() == 0
    _processes.wait()
    with _processes.first_alone():
        pass
    x = torch.ones(2, requires_grad=True)
    assert _processes.summed(x) is x


def test_the_command_line_in_two_processes(tmp_path):
    from gliomakit.phantom.dataset import write_dataset

    data = write_dataset(tmp_path / "data", 2, spacing=4.0, workers=1, progress=False)
    words = ["train", data, "--out", tmp_path / "run", "--device", "cpu", "--filters", "2"]
    more = ["--patch", "16", "--batch", "1", "--precision", "fp32", "--validation", "0.5"]
    place = {"GLIOMAKIT_SMOKE": "1", "GLIOMAKIT_CACHE": str(tmp_path / "cache")}
    run = launch("-m", "gliomakit", *words, *more, **place)
    assert run.returncode == 0, run.stderr
    out = run.stdout.splitlines()
    assert sum(line.startswith("WT: Dice") for line in out) == 1
    assert run.stderr.count("for training") == 1
    steps = [json.loads(line) for line in (tmp_path / "run/history.jsonl").read_text().splitlines()]
    assert [row["step"] for row in steps if "loss" in row] == [1, 2]
    assert len(list((tmp_path / "cache").glob("**/manifest.json"))) == 2
