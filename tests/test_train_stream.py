"""The training whose phantoms are made while it runs, in small."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

from gliomakit.model import load_model

TOOL = Path(__file__).parents[1] / "tools" / "train_stream.py"
SMALL = ["--minutes", "0.05", "--begin", "2", "--workers", "1", "--filters", "4", "--batch", "1"]


def run(*words: object) -> subprocess.CompletedProcess:
    command = [sys.executable, TOOL, *SMALL, "--patch", "32", "--device", "cpu", *words]
    env = os.environ | {"OMP_NUM_THREADS": "1"}
    return subprocess.run(list(map(str, command)), env=env, capture_output=True, text=True)


def test_a_streamed_training_leaves_a_network_and_no_process(tmp_path):
    done = run("--out", tmp_path / "out", "--made", tmp_path / "made")
    assert done.returncode == 0, done.stderr
    model = load_model(tmp_path / "out" / "model.safetensors")
    assert model.network.config["base_filters"] == 4
    assert "versions 6, made during the training; no patient" in model.settings.trained_on
    about = json.loads((tmp_path / "out" / "history.json").read_text())
    assert about["arguments"]["batch"] == "1"
    processes = subprocess.run(["ps", "-eo", "args"], capture_output=True, text=True, check=True)
    assert str(tmp_path / "made") not in processes.stdout


def test_a_generator_that_is_no_checkout_is_refused(tmp_path):
    done = run("--out", tmp_path / "out", "--made", tmp_path / "made", "--generators", tmp_path)
    assert done.returncode == 2
    assert str(tmp_path) in done.stderr and "Traceback" not in done.stderr
    assert not (tmp_path / "out").exists()
