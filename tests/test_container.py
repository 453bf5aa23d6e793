"""Containerfile: nothing here can build it, so what it says is checked, and its command is run."""

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import tomllib
import urllib.error
import urllib.request
import zipfile
from contextlib import closing
from fnmatch import fnmatchcase
from pathlib import PurePosixPath
from socket import socket

import pytest
from typer.main import get_command

from gliomakit.cli import app as commands
from tests.test_packaging import EXTRAS, PYTHONS, ROOT, load_install, read
from tests.test_structure import files


def instructions():
    """(name, argument) of each line, continued lines joined."""
    text = re.sub(r"\\\n", " ", read("Containerfile"))
    lines = [line.strip() for line in text.splitlines()]
    return [tuple(line.split(maxsplit=1)) for line in lines if line and line[0] != "#"]


def of(name):
    return [argument for one, argument in instructions() if one == name]


def let_in(path):
    """Does .dockerignore let a file in? The last line that matches it or a folder of it decides."""
    inside = True
    for line in read(".dockerignore").splitlines():
        if not line or line.startswith("#"):
            continue
        pattern = line.removeprefix("!").split("/")
        parts = PurePosixPath(path).parts
        starts = range(len(parts)) if pattern[0] == "**" else [0]
        pattern = [one for one in pattern if one != "**"]
        for start in starts:
            piece = parts[start : start + len(pattern)]
            if len(piece) == len(pattern) and all(map(fnmatchcase, piece, pattern)):
                inside = line.startswith("!")
    return inside


def command_line():
    (entry,), (words,) = of("ENTRYPOINT"), of("CMD")
    return json.loads(entry) + json.loads(words)


def test_the_image_stands_on_a_named_python_that_is_supported():
    (base,) = of("FROM")
    image, _, tag = base.rpartition(":")
    assert image == "docker.io/library/python" and tag.removesuffix("-slim") in PYTHONS


def test_it_does_not_run_as_root():
    names = [name for name, _ in instructions()]
    (user,) = of("USER")
    assert user not in ("root", "0") and not user.startswith("0:")
    assert f"useradd --create-home {user}" in of("RUN")
    assert names.index("USER") < names.index("ENTRYPOINT")
    assert "RUN" not in names[names.index("USER") :]


def test_it_installs_what_there_is():
    first, second = (shlex.split(line) for line in of("RUN") if line.startswith("pip "))
    assert first[first.index("--index-url") + 1] == load_install().CPU_INDEX
    assert first[-2:] == ["torch", "torchvision"] and "--no-deps" in first
    for line in (first, second):
        assert line[line.index("--constraint") + 1] == "constraints.txt"
    extras = re.fullmatch(r"\.\[(.+)\]", second[-1])[1].split(",")
    assert extras == ["app"] and set(extras) <= set(EXTRAS)


def test_it_starts_with_options_that_exist_on_the_port_that_it_names():
    program, name, *options = command_line()
    command = get_command(commands).commands[name]
    given = command.make_context(name, options).params  # an unknown option fails here
    assert program == "gliomakit" and of("EXPOSE") == [str(given["port"])]
    assert given["host"] == "0.0.0.0" and given["show"] is False


def test_no_secret_is_in_it():
    for name, argument in instructions():
        assert name != "ARG"
        assert not re.search("token|secret|password|credential|key", argument, re.IGNORECASE)


@pytest.mark.parametrize(
    "path",
    [
        ".git/config", ".venv/bin/python", "build/course/index.html", "runs/a/b", "dist/a.whl",
        "data/phantoms/a.nii.gz", "data/cache/a", "data/downloads/a.zip", "tests/test_app.py",
        "gliomakit/__pycache__/a.pyc", "gliomakit/app/.env", "mine.nii.gz", ".env",
    ],
)  # fmt: skip
def test_what_is_no_part_of_the_package_stays_out(path):
    assert not let_in(path)


def test_a_wheel_is_built_of_what_is_let_in(tmp_path):
    """With all that the page needs: its weights, its style, its script."""
    place = tmp_path / "build"
    copied = [line.split()[:-1] for line in of("COPY")]
    sources = [PurePosixPath(one) for line in copied for one in line]
    assert all((ROOT / one).exists() for one in sources)
    for path in files():
        name = PurePosixPath(path.relative_to(ROOT).as_posix())
        if let_in(name) and any(name.is_relative_to(one) for one in sources):
            (place / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(path, place / name)
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)]
    subprocess.run(command, cwd=place, check=True, capture_output=True, timeout=300)
    (wheel,) = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        inside = set(archive.namelist())
    assert {"gliomakit/app/page.js", "gliomakit/app/page.css"} <= inside
    ours = {f.relative_to(ROOT).as_posix() for f in files() if f.is_relative_to(ROOT / "gliomakit")}
    assert ours <= inside
    for source, target in tomllib.loads(read("pyproject.toml"))["tool"]["hatch"]["build"][
        "targets"
    ]["wheel"]["force-include"].items():
        assert (ROOT / source).exists() and any(name.startswith(target) for name in inside)


def test_its_command_serves_and_takes_the_token_of_the_environment():
    """The command line of the image, but for the port: 8866 may be taken here."""
    pytest.importorskip("voila")
    with closing(socket()) as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    words = command_line()[1:]
    words[words.index("--port") + 1] = port
    token = "t" * 16
    server = subprocess.Popen(
        [sys.executable, "-m", "gliomakit", *words],
        env=os.environ | {"GLIOMAKIT_TOKEN": token},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert server.stdout.readline().strip() == f"http://0.0.0.0:{port}/?token={token}"

        def seen(token):
            try:
                address = f"http://127.0.0.1:{port}/?token={token}"
                with urllib.request.urlopen(address, timeout=120) as answer:
                    return "login" not in answer.url
            except urllib.error.HTTPError:
                return False

        assert not seen("x" * 16) and seen(token)
    finally:
        server.terminate()
        _, said = server.communicate(timeout=60)
    assert "whoever has the address with its token can use this machine" in said
