"""Test the widgets with the versions that Colab ships: `make colab-widgets`.

Makes an environment beside the present one: ipywidgets 7.7.1 and what belongs to it are installed
there, all else (PyTorch among it) is looked up in the present one. Then runs the tests of the
widgets in it. Ends with 3, and a line that says why, if the environment could not be made.

    python tools/colab_widgets.py                     # build/colab-widgets, made once
    python tools/colab_widgets.py tests/test_quiz.py  # other tests, or pytest's options
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
import venv
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
FOLDER = ROOT / "build" / "colab-widgets"
TESTS = ("tests/test_widgets.py", "tests/test_playground.py", "-k", "not nothing_behind or rate")
"""Of the tests that draw hundreds of times, one."""

VERSIONS = {
    "ipywidgets": "7.7.1",
    "ipython": "7.34.0",
    "ipykernel": "6.17.1",
    "notebook": "6.5.7",
}
"""Of Colab's own list (tests/colab_freeze.txt). jupyterlab_widgets 3 is for ipywidgets 8."""

NOT_MADE = 3
"""How this ends if there is no environment to test in."""

CHECK = """
import importlib.metadata, torch
for name, wanted in {versions!r}.items():
    found = importlib.metadata.version(name)
    assert found == wanted, f"{{name}} is {{found}}, not {{wanted}}"
import ipywidgets
assert ipywidgets.__version__ == {versions!r}["ipywidgets"], ipywidgets.__file__
"""


def main() -> int:
    tests = sys.argv[1:] or list(TESTS)
    try:
        python = make(FOLDER)
    except (OSError, subprocess.SubprocessError) as error:
        said = getattr(error, "stderr", None) or str(error)
        last = [line for line in said.strip().splitlines() if line.strip()][-1:]
        print(f"no environment with Colab's widgets could be made: {''.join(last)}")
        return NOT_MADE
    command = [str(python), "-m", "pytest", "-q", "-p", "no:cacheprovider", *tests]
    return subprocess.run(command, cwd=ROOT, env=os.environ | {"PYTHONPATH": str(ROOT)}).returncode


def make(folder: Path) -> Path:
    """The environment's Python; made if it is not there, and anew if it is not as it should be."""
    python = folder / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    if python.is_file() and _good(python):
        return python
    shutil.rmtree(folder, ignore_errors=True)
    venv.create(folder, with_pip=True, symlinks=os.name != "nt")
    ask = [str(python), "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"]
    own = subprocess.run(ask, capture_output=True, text=True, check=True).stdout.strip()
    # Behind the environment's own packages: what it has itself comes first.
    paths = dict.fromkeys(sysconfig.get_path(kind) for kind in ("purelib", "platlib"))
    Path(own, "present-environment.pth").write_text("\n".join(paths) + "\n", encoding="utf-8")
    wanted = [f"{name}=={version}" for name, version in VERSIONS.items()]
    install = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    try:
        subprocess.run(
            [*install, *wanted, "jupyterlab_widgets<3"],
            capture_output=True, text=True, check=True, timeout=300,
        )  # fmt: skip
    except subprocess.SubprocessError:
        shutil.rmtree(folder, ignore_errors=True)
        raise
    if not _good(python):
        raise OSError("it has not the versions that were asked for")
    return python


def _good(python: Path) -> bool:
    code = CHECK.format(versions=VERSIONS)
    return subprocess.run([str(python), "-c", code], capture_output=True).returncode == 0


if __name__ == "__main__":
    sys.exit(main())
