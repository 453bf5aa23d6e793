"""Do our version ranges resolve? A dry run for every supported Python, nothing is installed.

    python tools/resolve.py            all rows
    python tools/resolve.py colab      only the rows whose name begins so

Rows: the tested versions (constraints.txt) with everything installed; Colab's own freeze with what
a lesson needs; the newest releases; the lowest versions that pyproject.toml admits. Wheels only:
what would have to be compiled counts as not resolving. Needs uv (`pip install uv`) and a network.
Exits with 1 if a row that must resolve does not.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PYTHONS = ("3.11", "3.12", "3.13", "3.14")
EVERYTHING = ("course", "app", "view3d", "bench", "fast", "test")

# name, pythons, extras, constraints, uv options, must it resolve?
ROWS = (
    ("tested", PYTHONS, EVERYTHING, "constraints.txt", (), True),
    ("tested, macOS", PYTHONS, ("course", "test"), "constraints.txt",
     ("--python-platform", "aarch64-apple-darwin"), True),
    ("tested, Windows", PYTHONS, ("course", "test"), "constraints.txt",
     ("--python-platform", "x86_64-pc-windows-msvc"), True),
    # Colab runs 3.13 (its pinned runtime 3.12). Its own versions have no wheels for every other
    # Python: these rows show that it is they, not our ranges, that stand in the way.
    ("colab", ("3.12", "3.13"), ("lessons",), "tests/colab_freeze.txt", (), True),
    ("colab 2026.02", ("3.12",), ("lessons",), "tests/colab_freeze_2026_02.txt", (), True),
    ("colab, other", ("3.11", "3.14"), ("lessons",), "tests/colab_freeze.txt", (), False),
    ("newest", PYTHONS, EVERYTHING, None, (), True),
    ("lowest", ("3.11",), ("course",), None, ("--resolution", "lowest-direct"), True),
)  # fmt: skip


def resolve(
    python: str, extras: tuple[str, ...], constraints: str | None, options: tuple[str, ...]
) -> tuple[bool, str]:
    """One dry run: (resolved?, how many packages, or uv's reason)."""
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "resolved.txt"
        command = [uv(), "pip", "compile", "pyproject.toml", "--python-version", python]
        command += ["--quiet", "--no-header", "--no-annotate", "--output-file", str(out)]
        command += ["--only-binary", ":all:", *options]
        for extra in extras:
            command += ["--extra", extra]
        if constraints:
            # Lines with an address and local versions (+cu128) are in no package index.
            lines = (ROOT / constraints).read_text(encoding="utf-8").splitlines()
            plain = [re.sub(r"\+\w+$", "", line) for line in lines if " @ " not in line]
            file = Path(folder) / "constraints.txt"
            file.write_text("\n".join(plain), encoding="utf-8")
            command += ["--constraint", str(file)]
        # PyTorch's wheels for Macs ask for macOS 14.
        mac = {**os.environ, "MACOSX_DEPLOYMENT_TARGET": "14.0"}
        run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, env=mac)
        if run.returncode:
            return False, " ".join(run.stderr.split())
        lines = out.read_text(encoding="utf-8").splitlines()
    packages = [line for line in lines if "==" in line]
    shown = [p for p in packages if p.split("==")[0] in ("torch", "numpy", "nilearn", "ipywidgets")]
    return True, f"{len(packages)} packages: {', '.join(shown)}"


def uv() -> str:
    """uv's executable: beside this Python, or on the path."""
    found = shutil.which("uv", path=str(Path(sys.executable).parent)) or shutil.which("uv")
    if not found:
        sys.exit("resolve: error: uv is missing; pip install uv")
    return found


def main(only: str = "") -> int:
    failed = 0
    print(f"{'row':16} {'python':7} result")
    for name, pythons, extras, constraints, options, must in ROWS:
        if not name.startswith(only):
            continue
        for python in pythons:
            good, said = resolve(python, extras, constraints, options)
            failed += must and not good
            mark = "ok" if good else ("FAILS" if must else "does not resolve (need not)")
            print(f"{name:16} {python:7} {mark}: {said[: 300 if good or not must else 2000]}")
            sys.stdout.flush()
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:2]))
