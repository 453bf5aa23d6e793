"""The widgets' own tests, in an environment with the ipywidgets that Colab ships."""

import importlib.util
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
spec = importlib.util.spec_from_file_location("colab_widgets", ROOT / "tools" / "colab_widgets.py")
tool = importlib.util.module_from_spec(spec)
spec.loader.exec_module(tool)


def test_the_versions_are_those_that_colab_ships():
    from tests.test_packaging import FREEZES, pins

    for freeze in FREEZES:
        ships = pins(freeze)
        assert {name: ships[name] for name in tool.VERSIONS if name in ships}.items() <= (
            tool.VERSIONS.items()
        )
    assert "ipywidgets" in pins(FREEZES[0])


def test_widgets_work_with_colabs_versions():
    """GLIOMAKIT_COLAB_WIDGETS=required makes it a failure if there is no such environment."""
    command = [sys.executable, str(ROOT / "tools" / "colab_widgets.py")]
    run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=900)
    if run.returncode == tool.NOT_MADE:
        assert not os.environ.get("GLIOMAKIT_COLAB_WIDGETS"), run.stdout
        pytest.skip(run.stdout.strip())
    assert run.returncode == 0, run.stdout[-3000:] + run.stderr[-1000:]
    passed = re.search(r"(\d+) passed", run.stdout)
    assert passed and int(passed[1]) >= 35 and "skipped" not in run.stdout, run.stdout[-500:]


def test_without_a_registry_it_says_so(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(tool, "FOLDER", tmp_path / "environment")
    monkeypatch.setattr(tool, "VERSIONS", {"ipywidgets": "7.7.1"})
    monkeypatch.setattr(sys, "argv", ["colab_widgets.py"])
    for name in ("PIP_INDEX_URL", "PIP_CONFIG_FILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    assert tool.main() == tool.NOT_MADE
    said = capsys.readouterr().out
    assert said.startswith("no environment with Colab's widgets could be made: ")
    assert said.count("\n") == 1 and not (tmp_path / "environment").exists()
