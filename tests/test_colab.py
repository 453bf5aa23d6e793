"""The set-up cell against Colab's freeze, and the zip that carries the course there."""

import importlib
import importlib.metadata
import importlib.util
import os
import re
import subprocess
import sys
import time
import types
import zipfile
from html.parser import HTMLParser
from pathlib import Path

import nbformat
import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from gliomakit.course import colab
from gliomakit.course.colab import NOTHING_FOUND, SETUP_CELL, build, setup_cell, start_page
from gliomakit.project import repository
from tests.test_packaging import FREEZES, read, requirements

ROOT = Path(__file__).resolve().parent.parent
ODD_LINES = """\
# Editable install with no version control (somewhere==0.1)
-e git+https://host/else.git@abc#egg=else
google-colab @ file:///colabtools/dist/google_colab-1.0.0.tar.gz
torchao @ https://host/whl/torchao-0.10.0-py3-none-any.whl
jupyter_kernel_gateway @ git+https://host/kernel_gateway@b134e99
distro-info===1.1build1
"""
ODD = {
    "google-colab": "1.0.0",
    "torchao": "0.10.0",
    "jupyter_kernel_gateway": "3.0.0",
    "cucim-cu12": "26.2.0",
    "en_core_web_sm": "3.8.0",
}
"""Versions of what stands in a freeze with an address, as the installed packages tell them."""


class Colab:
    """A machine like Colab's, in a folder: no gliomakit, pip replaced, `google.colab` there."""

    def __init__(self, folder, monkeypatch):
        self.content = folder / "content"
        self.beside = folder / "beside"
        self.drive = self.content / "drive" / "MyDrive"
        for place in (self.content, self.beside):
            place.mkdir()
        self.installed = self.constraints = None
        self.fails = self.refused = False
        self.mounts = 0
        monkeypatch.chdir(self.beside)
        find = importlib.util.find_spec
        monkeypatch.setattr(
            importlib.util,
            "find_spec",
            lambda name: None if name == "gliomakit" and not self.installed else find(name),
        )
        self.freeze = read(FREEZES[0]) + ODD_LINES
        real = importlib.metadata.version
        version = lambda name: ODD.get(name) or real(name)  # noqa: E731
        monkeypatch.setattr(importlib.metadata, "version", version)
        self.run_really = subprocess.run
        monkeypatch.setattr(subprocess, "run", self.run)
        module = types.ModuleType("google.colab")
        module.drive = types.SimpleNamespace(mount=self.mount)
        monkeypatch.setitem(sys.modules, "google", types.ModuleType("google"))
        monkeypatch.setitem(sys.modules, "google.colab", module)
        self.set_up = lambda cell=None: exec(
            (cell or setup_cell(None)).replace("/content", str(self.content)), {}
        )

    def mount(self, place):
        self.mounts += 1
        if self.refused:
            raise ValueError("mount failed")
        self.drive.mkdir(parents=True, exist_ok=True)
        assert place == str(self.content / "drive")

    def run(self, command, **options):
        if command[:3] != [sys.executable, "-m", "pip"]:
            return self.run_really(command, **options)
        if command[3] == "freeze":
            return subprocess.CompletedProcess(command, 0, stdout=self.freeze)
        assert command[3] == "install" and "--upgrade" not in command
        self.constraints = Path(command[command.index("-c") + 1]).read_text().splitlines()
        self.installed = None if self.fails else command[-1]
        return subprocess.CompletedProcess(command, int(self.fails))


@pytest.fixture
def machine(tmp_path, monkeypatch):
    return Colab(tmp_path, monkeypatch)


WHEEL = "gliomakit-0.1.0-py3-none-any.whl"


@pytest.mark.parametrize(
    "place", ["beside", "content", "content/gliomakit-colab", "content/a b/gliomakit-colab"]
)
def test_a_wheel_is_found_and_installed(machine, tmp_path, capsys, place):
    wheel = tmp_path / place / WHEEL
    wheel.parent.mkdir(parents=True, exist_ok=True)
    wheel.touch()
    machine.set_up()
    source = wheel.resolve().as_uri()
    assert machine.installed == f"gliomakit[lessons] @ {source}"
    assert machine.mounts == 0  # Drive is asked for only if it is needed
    assert capsys.readouterr().out.startswith("gliomakit ")


def test_a_wheel_in_drive_is_found_after_asking(machine, monkeypatch):
    mount = machine.mount

    def mount_with_wheel(place):
        mount(place)
        folder = machine.drive / "gliomakit-colab"
        folder.mkdir()
        (folder / WHEEL).touch()

    sys.modules["google.colab"].drive.mount = mount_with_wheel
    machine.set_up()
    assert "MyDrive/gliomakit-colab/gliomakit-0.1.0" in machine.installed and machine.mounts == 1


@pytest.mark.parametrize("later", [0, 1])
def test_of_two_wheels_the_newest_is_installed(machine, later):
    wheels = []
    for number, place in enumerate([machine.beside, machine.content / "gliomakit-colab"]):
        place.mkdir(exist_ok=True)
        wheels.append(place / f"gliomakit-0.{number}.0-py3-none-any.whl")
        wheels[-1].touch()
        os.utime(wheels[-1], (2000, 2000 if number == later else 1000))
    machine.set_up()
    assert machine.installed == f"gliomakit[lessons] @ {wheels[later].resolve().as_uri()}"


def test_python_looks_again_for_what_pip_has_installed(machine, monkeypatch):
    (machine.content / WHEEL).touch()
    seen = []
    monkeypatch.setattr(importlib, "invalidate_caches", lambda: seen.append(machine.installed))
    machine.set_up()
    assert seen == [machine.installed] and machine.installed


def test_the_search_in_drive_is_bounded(machine):
    deep = machine.drive / "one" / "two" / "three"
    deep.mkdir(parents=True)
    (deep / WHEEL).touch()
    with pytest.raises(SystemExit):
        machine.set_up()


def test_the_public_address_is_used_where_there_is_no_wheel(machine):
    machine.set_up(setup_cell("https://host/gliomakit"))
    assert machine.installed == "gliomakit[lessons] @ git+https://host/gliomakit"
    assert machine.mounts == 0


@pytest.mark.parametrize("refused", [False, True])
def test_one_sentence_when_nothing_is_found(machine, refused):
    machine.refused = refused
    with pytest.raises(SystemExit) as stop:
        machine.set_up()
    assert str(stop.value) == NOTHING_FOUND
    assert machine.installed is None and NOTHING_FOUND.count(".") == 1


@pytest.mark.parametrize("freeze", FREEZES)
def test_the_runtimes_own_versions_are_the_constraints(machine, freeze):
    """All of them, those that were installed from an address too; and our ranges admit them, or
    pip would refuse, or replace what Colab ships.
    """
    machine.freeze = read(freeze) + ODD_LINES
    (machine.content / WHEEL).touch()
    machine.set_up()
    lines = [line for line in machine.freeze.splitlines() if not line.startswith(("#", "-e"))]
    names = {re.split(r" @ |==", line)[0] for line in lines} - {"distro-info"}
    kept = {Requirement(line).name: Requirement(line) for line in machine.constraints}
    assert set(kept) == names
    assert str(kept["google-colab"].specifier) == "==1.0.0"
    assert not [one for one in kept.values() if one.url]
    kept = {canonicalize_name(name): str(one.specifier)[2:] for name, one in kept.items()}
    for one in requirements("lessons"):
        version = kept.get(canonicalize_name(one.name))
        assert version is None or one.specifier.contains(version), one


def test_a_failed_installation_is_said_once(machine):
    (machine.content / WHEEL).touch()
    machine.fails = True
    with pytest.raises(SystemExit, match="pip could not install gliomakit"):
        machine.set_up()


def test_the_cell_can_be_run_twice(machine, capsys):
    (machine.content / WHEEL).touch()
    machine.set_up()
    machine.constraints = None
    machine.set_up()
    assert machine.constraints is None
    assert capsys.readouterr().out.count("gliomakit ") == 2


def test_elsewhere_a_kernel_without_the_package_is_told_what_to_do(machine, monkeypatch):
    monkeypatch.delitem(sys.modules, "google.colab")
    with pytest.raises(SystemExit, match="This kernel lacks gliomakit: .* `make lab`"):
        machine.set_up()


def test_locally_the_cell_does_nothing_but_speak(machine, capsys):
    machine.installed = "already"
    machine.set_up(SETUP_CELL)
    assert capsys.readouterr().out.startswith("gliomakit ")
    assert machine.installed == "already" and machine.constraints is None and not machine.mounts


def test_the_cell_is_short_and_needs_only_python():
    lines = [line for line in SETUP_CELL.splitlines() if line.strip() and line.lstrip()[0] != "#"]
    assert len(lines) <= 30
    names = re.findall(r"^ *import (.+)$|^ *from (\S+) import", SETUP_CELL, re.MULTILINE)
    roots = {
        n.strip().split(".")[0] for pair in names for n in ",".join(pair).split(",") if n.strip()
    }
    assert roots <= sys.stdlib_module_names | {"google", "gliomakit"}
    assert setup_cell(repository()) == SETUP_CELL


# --- the zip --------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def archive(tmp_path_factory):
    out = tmp_path_factory.mktemp("colab") / "gliomakit-colab.zip"
    assert build(out) == out
    assert os.listdir(out.parent) == [out.name]
    with zipfile.ZipFile(out) as found:
        yield found


def test_the_zip_holds_wheel_notebooks_and_page(archive):
    names = {name.removeprefix("gliomakit-colab/") for name in archive.namelist()}
    lessons = {path.name for path in (ROOT / "notebooks").glob("*.ipynb")}
    assert lessons <= names and {f"solutions/{name}" for name in lessons} <= names
    assert {"START_HERE.html", "LICENSE", "LICENSE-lessons", "data/README.md"} <= names
    assert {"glossary.md", "00_start_here.ipynb"} <= names
    assert (
        len([name for name in names if re.fullmatch(r"gliomakit-[\d.]+-py3-none-any.whl", name)])
        == 1
    )
    assert all(name.startswith("gliomakit-colab/") for name in archive.namelist())


def test_no_notebook_in_the_zip_needs_a_file_beside_it(archive):
    """Opened from Drive it has none: pictures are inside, other files are named, not linked."""
    names = [name for name in archive.namelist() if name.endswith(".ipynb")]
    assert names
    for name in names:
        notebook = nbformat.reads(archive.read(name).decode(), as_version=4)
        nbformat.validate(notebook)
        original = nbformat.read(
            ROOT / "notebooks" / name.removeprefix("gliomakit-colab/"), as_version=4
        )
        text = "\n".join(cell.source for cell in notebook.cells if cell.cell_type == "markdown")
        links = re.findall(
            r"\]\(\s*([^)\s]+)|<(?:img|a)\b[^>]*(?:src|href)=[\"']?([^\"'>\s]+)", text
        )
        links = ["".join(one) for one in links]
        assert [one[:60] for one in links if not re.match(r"data:image/|https?:", one)] == [], name
        assert any(one.startswith("data:image/png;base64,") for one in links)
        assert "glossary (file `glossary.md`)" in text
        for cell, old in zip(notebook.cells, original.cells, strict=True):
            assert cell.id == old.id and (cell.cell_type == "markdown" or cell == old)


def test_the_wheel_keeps_its_time(archive):
    """The zip's other dates are fixed; wheels of two zips must tell which is the newer."""
    dates = {entry.filename[-4:] == ".whl": entry.date_time for entry in archive.infolist()}
    assert dates[False] == (2026, 1, 1, 0, 0, 0)
    assert time.time() - 3600 < time.mktime((*dates[True], 0, 0, -1)) <= time.time() + 2


def test_links_to_files_become_words(tmp_path):
    text = (
        "[words](../glossary.md#dice), [next](08_more.ipynb), [home](https://host/a.md), "
        "`f[x](y)` ![a](../images/a.png)"
    )
    (tmp_path / "images").mkdir()
    (tmp_path / "images" / "a.png").write_bytes(b"png")
    cells = [nbformat.v4.new_markdown_cell(text), nbformat.v4.new_code_cell("[a](b.md)")]
    nbformat.write(nbformat.v4.new_notebook(cells=cells), tmp_path / "a.ipynb")
    alone = nbformat.reads(colab.standing_alone(tmp_path / "a.ipynb", tmp_path), as_version=4)
    assert alone.cells[0].source == (
        "words (file `glossary.md`), next (file `08_more.ipynb`), [home](https://host/a.md), "
        "`f[x](y)` ![a](data:image/png;base64,cG5n)"
    )
    assert alone.cells[1].source == "[a](b.md)"


def test_the_wheel_has_everything_the_package_reads(archive, tmp_path):
    wheel = next(name for name in archive.namelist() if name.endswith(".whl"))
    with zipfile.ZipFile(archive.extract(wheel, tmp_path)) as found:
        names = set(found.namelist())
        metadata = next(name for name in names if name.endswith("METADATA"))
        text = found.read(metadata).decode()
        entry = next(name for name in names if name.endswith("entry_points.txt"))
        assert "gliomakit = gliomakit.cli:main" in found.read(entry).decode()
    tracked = {
        path.relative_to(ROOT).as_posix()
        for path in (ROOT / "gliomakit").rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert tracked <= names  # modules, weights, cards, templates
    for name in (
        "lgg_slices.json",
        "papers.json",
        "sources.json",
        "README.md",
        "splits/lgg.json",
        "splits/phantoms.json",
        "saved/05_losses.json",
        "saved/06_runs.json",
        "saved/06_wt.safetensors",
    ):
        assert f"gliomakit/_data/{name}" in names
    top = {name.split("/")[0] for name in names}
    assert top == {"gliomakit", metadata.split("/")[0]}
    assert "Requires-Python: <3.15,>=3.11" in text
    assert "License-File: LICENSE" in text and "License-File: LICENSE-lessons" in text


def test_an_installed_wheel_finds_its_files(archive, tmp_path):
    """Unpacked far from the checkout, as pip would do it."""
    wheel = next(name for name in archive.namelist() if name.endswith(".whl"))
    with zipfile.ZipFile(archive.extract(wheel, tmp_path)) as found:
        found.extractall(tmp_path / "site")
    code = (
        "import gliomakit, gliomakit.project as p, gliomakit.paths as q\n"
        "print(p.shipped('papers.json').is_file(), q.checkout(), p.repository())\n"
        "print(gliomakit.__file__)"
    )
    environment = {**os.environ, "PYTHONPATH": str(tmp_path / "site")}
    run = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    said = run.stdout.split()
    assert said[:2] == ["True", "None"] and said[3].startswith(str(tmp_path))
    assert said[2] == str(repository())


class Page(HTMLParser):
    def __init__(self):
        super().__init__()
        self.tags, self.words, self.loads = [], [], []

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        self.loads += [value for name, value in attributes if name == "src"]

    def handle_data(self, data):
        self.words += data.split()


def test_the_page_says_upload_unzip_run_and_loads_nothing():
    page = Page()
    page.feed(start_page(["00_start_here.ipynb", "<b>.ipynb"]))
    assert not page.loads and "script" not in page.tags
    words = " ".join(page.words)
    assert words.index("Unzip") < words.index("Upload") < words.index("Run")
    assert "00_start_here.ipynb" in words and "<b>.ipynb" in words
    assert "not a medical device" in words


def test_bad_usage_is_one_line(capsys):
    assert colab.main(["buidl"]) == 2
    assert capsys.readouterr().err == "use: python -m gliomakit.course.colab build\n"
