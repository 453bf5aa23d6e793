"""Ways into the course without an installation: the lessons' set-up cell, and the zip for Colab.

    python -m gliomakit.course.colab build      or `make colab`: build/gliomakit-colab.zip

The set-up cell can use nothing of the package, which it may have to install first: it is text,
kept here, that the build writes into every lesson.
"""

from __future__ import annotations

import html
import os
import re
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

from .. import __version__
from ..errors import GliomakitError
from ..paths import checkout
from ..project import repository

_CELL = """\
# Set-up, the same in every lesson. Where gliomakit is installed it only says what the machine can
# do; on Colab it installs it, with the runtime's own versions as constraints: nothing is replaced.
import contextlib, importlib.metadata, importlib.util, pathlib, re, subprocess, sys, tempfile

ADDRESS = <address>
PLACES = [".", "/content", "/content/drive/MyDrive"]


def find_wheel():
    wheels = [w for place in PLACES for depth in ("", "*/", "*/*/")
              for w in pathlib.Path(place).glob(f"{depth}gliomakit-*.whl")]
    return max(wheels, key=lambda w: w.stat().st_mtime).resolve().as_uri() if wheels else None


def install(source):
    pip = [sys.executable, "-m", "pip"]
    freeze = subprocess.run([*pip, "freeze", "--all"], capture_output=True, text=True).stdout
    pins = [re.sub(r"^(\\S+) @ .*", lambda m: f"{m[1]}=={importlib.metadata.version(m[1])}", line)
            for line in freeze.splitlines()]
    constraints = pathlib.Path(tempfile.mkdtemp(), "constraints.txt")
    constraints.write_text("\\n".join(p for p in pins if re.fullmatch(r"[\\w.-]+==[\\w.+!-]+", p)))
    wanted = f"gliomakit[lessons] @ {source}"
    if subprocess.run([*pip, "install", "--quiet", "-c", str(constraints), wanted]).returncode:
        raise SystemExit("pip could not install gliomakit: its reason stands above.")


if not importlib.util.find_spec("gliomakit"):
    if "google.colab" not in sys.modules:
        raise SystemExit("This kernel lacks gliomakit: open the lessons with `make lab`.")
    if not (source := find_wheel() or ADDRESS):
        from google.colab import drive

        with contextlib.suppress(Exception):  # whoever says no to Drive reads the sentence below
            drive.mount("/content/drive")
        if not (source := find_wheel()):
            raise SystemExit("<sentence>")
    install(source)
    importlib.invalidate_caches()  # else this Python may not see what pip has just written

from gliomakit.doctor import one_line

print(one_line())
"""

NOTHING_FOUND = "Put the unzipped folder gliomakit-colab into your Drive and run this cell again."
"""What the set-up cell says on Colab when there is neither a wheel nor a public address."""


def setup_cell(address: str | None) -> str:
    """The set-up cell's text.

    address: the project's public address, as `project.repository` gives it; None if it has none.

    >>> print(setup_cell("https://host/gliomakit").splitlines()[4])
    ADDRESS = "git+https://host/gliomakit"
    >>> print(setup_cell(None).splitlines()[4])
    ADDRESS = None
    """
    source = f'"git+{address.removeprefix("git+")}"' if address else "None"
    return _CELL.replace("<address>", source).replace("<sentence>", NOTHING_FOUND)


SETUP_CELL = setup_cell(repository())
"""The cell that stands in every lesson."""


def build(out: Path | None = None) -> Path:
    """Write the zip for Colab: the wheel, the notebooks with their solutions, START_HERE.html.

    out: the file; default build/gliomakit-colab.zip in the checkout.

    The notebooks differ from those in the checkout: see `standing_alone`.
    The same sources give the same zip, byte for byte, but for the wheel's own bytes and its time,
    by which the set-up cell knows the newest of several. Raises `GliomakitError` outside a
    checkout, or if the wheel cannot be built.
    """
    root = checkout()
    if root is None:
        raise GliomakitError("this is no checkout of gliomakit", todo="call it in the project")
    out = out or root / "build" / "gliomakit-colab.zip"
    notebooks = [*(root / "notebooks").glob("*.ipynb")]
    notebooks += (root / "notebooks" / "solutions").glob("*.ipynb")
    out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        wheel = build_wheel(root, Path(folder))
        content = {wheel.name: wheel.read_bytes()}
        for path in notebooks:
            name = path.relative_to(root / "notebooks").as_posix()
            content[name] = standing_alone(path, root / "notebooks").encode()
        content["glossary.md"] = (root / "notebooks" / "glossary.md").read_bytes()
        names = sorted(path.name for path in notebooks if path.parent.name == "notebooks")
        content["START_HERE.html"] = start_page(names).encode()
        for name in ("LICENSE", "LICENSE-lessons", "data/README.md"):
            content[name] = (root / name).read_bytes()
        part = out.with_name(out.name + ".part")
        with zipfile.ZipFile(part, "w", zipfile.ZIP_DEFLATED) as archive:
            for name in sorted(content):
                # A fixed date: a zip of the same files is the same zip.
                date = time.localtime()[:6] if name == wheel.name else (2026, 1, 1, 0, 0, 0)
                entry = zipfile.ZipInfo(f"gliomakit-colab/{name}", date)
                entry.compress_type, entry.external_attr = zipfile.ZIP_DEFLATED, 0o644 << 16
                archive.writestr(entry, content[name])
        os.replace(part, out)
    return out


def standing_alone(path: Path, notebooks: Path) -> str:
    """A notebook's text with its pictures inside, and files named where it would link to them.

    notebooks: the folder of the pictures. Colab opens a notebook from Drive without its folder: no
    relative address in it leads anywhere.
    """
    import nbformat  # here, as `page` below: lessons read SETUP_CELL without either

    from .page import with_pictures

    notebook = nbformat.read(path, as_version=nbformat.NO_CONVERT)
    for cell in notebook.cells:
        if cell.cell_type == "markdown":
            cell.source = _FILE.sub(r"\1 (file `\2`)", with_pictures(cell.source, notebooks))
    return nbformat.writes(notebook).rstrip("\n") + "\n"


_FILE = re.compile(
    r"(?<!!)\[([^\]]+)\]\((?!https?:)(?:[^)\s]*/)?([\w.-]+\.(?:ipynb|md))(?:#[^)]*)?\)"
)
"""A link to a lesson or the glossary: its words, the file's name."""


def build_wheel(root: Path, folder: Path) -> Path:
    """Build the package's wheel from `root` into `folder` with pip.

    Needs no network where hatchling is installed (the extra `test` brings it); else pip fetches it.
    """
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir"]
    command += [str(folder), str(root)]
    if find_spec("hatchling"):
        command += ["--no-build-isolation", "--no-index"]
    run = subprocess.run(command, capture_output=True, text=True)
    wheels = sorted(folder.glob("gliomakit-*.whl"))
    if run.returncode or not wheels:
        reason = (run.stderr.strip().splitlines() or ["pip gave no reason"])[-1]
        raise GliomakitError("the wheel could not be built", where=root, todo=f"pip says: {reason}")
    return wheels[-1]


def start_page(lessons: Sequence[str]) -> str:
    """The page that lies in the zip: upload, unzip, run. `lessons` are the notebooks' file names.

    It stands for itself: no script, no font or picture from elsewhere.
    """
    items = "\n".join(f"<li><code>{html.escape(name)}</code></li>" for name in lessons)
    return _PAGE.format(version=__version__, lessons=items)


_PAGE = """\
<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>gliomakit on Colab: start here</title>
<style>
body {{ font: 18px/1.5 system-ui, sans-serif; max-width: 42rem; margin: 3rem auto; padding: 0 1rem;
        color: #1b1b1b; background: #fff; }}
code {{ background: #eef1f4; padding: .1em .3em; border-radius: .2em; }}
li {{ margin: .4em 0; }}
</style>
<h1>The course on Google Colab</h1>
<p>You need a Google account and a browser. Nothing is installed on your computer.</p>
<ol>
<li><b>Unzip</b> <code>gliomakit-colab.zip</code> on your computer (you have, if you read this page
from the folder <code>gliomakit-colab</code>).</li>
<li><b>Upload</b> the whole folder <code>gliomakit-colab</code> to
<a href="https://drive.google.com">Google Drive</a>: drag it into <i>My Drive</i>.</li>
<li><b>Run</b>: in Drive, open the folder, double-click the first lesson
(<i>Open with → Google Colaboratory</i>), then <i>Runtime → Run all</i>. Colab asks whether the
notebook may see your Drive, where the package lies: say yes. The first cell takes a minute or two
and then says what the machine can do.</li>
</ol>
<p>For a GPU, choose <i>Runtime → Change runtime type → T4 GPU</i> first. The lessons run without
one, smaller.</p>
<p>The lessons:</p>
<ul>
{lessons}
</ul>
<p>The same with the exercises solved: folder <code>solutions</code>.</p>
<p>gliomakit {version}. For teaching and research; not a medical device. Code: Apache-2.0 (file
<code>LICENSE</code>). Lessons: CC BY 4.0 (file <code>LICENSE-lessons</code>).</p>
</html>
"""


def main(arguments: Sequence[str]) -> int:
    if list(arguments) not in ([], ["build"]):
        print("use: python -m gliomakit.course.colab build", file=sys.stderr)
        return 2
    try:
        out = build()
    except GliomakitError as error:
        print(f"gliomakit: error: {error}", file=sys.stderr)
        return 2
    print(f"{out} ({out.stat().st_size / 1e6:.1f} MB)")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
