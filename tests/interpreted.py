"""Kernels on a processor: a program of the tests under Triton's interpreter.

The interpreter must be chosen before Triton is imported, so it takes a process of its own.
"""

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent

needs_triton = pytest.mark.skipif(
    importlib.util.find_spec("triton") is None, reason="Triton is not installed"
)


def said(program: str, *asked: object) -> str:
    """What `python -m program asked …` prints; it must end well."""
    run = subprocess.run(
        [sys.executable, "-m", program, *map(str, asked)],
        cwd=ROOT,
        env=os.environ | {"TRITON_INTERPRET": "1", "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
    )
    assert run.returncode == 0, run.stdout + run.stderr
    return run.stdout.strip()
