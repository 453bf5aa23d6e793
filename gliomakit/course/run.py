"""`gliomakit course`: execute the lessons, report, and write the page that shows them."""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from importlib.metadata import version
from itertools import islice
from pathlib import Path

import nbformat
from nbformat import NotebookNode
from tqdm import tqdm

from ..errors import GliomakitError
from ..paths import cache_folder, data_folder
from . import page
from ._kernel import LessonFailed, emitted, execute, tidy
from ._size import SIZES
from .build import Places, here, load, notebook, select, text_of
from .source import Lesson, sources

SECONDS = {"laptop": 1800.0, "gpu": 3600.0, "paper": None}
"""Limit of one cell. It ends a lesson that hangs; it is no measure of speed."""


@dataclass
class Outcome:
    """One executed lesson. `fresh` is False if its outputs are of an earlier run."""

    name: str
    title: str
    notebook: NotebookNode
    seconds: float
    fresh: bool = True
    error: LessonFailed | None = None
    figure: str | None = None
    figures: dict[str, object] = field(default_factory=dict)
    exercises: dict[str, str] = field(default_factory=dict)


def run(
    lessons: Sequence[str] | None = None,
    size: str | None = "laptop",
    jobs: int = 1,
    variant: str = "solutions",
    out: Path | None = None,
    places: Places | None = None,
    smoke: bool = False,
) -> list[Outcome]:
    """Execute lessons (numbers or names; all by default), each in its own kernel.

    size:    "laptop", "gpu" or "paper"; None takes `GLIOMAKIT_SIZE`, else "laptop".
    jobs:    lessons at once.
    variant: "solutions", or "stubs" as a learner opens them.
    out:     folder of the pages (default: build/course in the checkout).
    smoke:   training cells stop after two steps (tests).

    A lesson is not run again while its source, the package with its weights, Python and torch, the
    size and the learner's data are what they were (of the data: names, sizes and times, two levels
    deep). A failed lesson has its `error`; the others run all the same.

    The index also lists the lessons that an earlier call ran to their end.
    """
    places = places or here()
    size = size or os.environ.get("GLIOMAKIT_SIZE") or "laptop"
    if size not in SIZES:
        raise GliomakitError(f"there is no size {size!r}", todo=f"known are {', '.join(SIZES)}")
    if jobs < 1:
        raise GliomakitError(f"{jobs} lessons at once cannot be", todo="--jobs 1 or more")
    chosen = select(places, lessons)
    out = out or places.notebooks.parent / "build" / "course"
    store = out / "executed"
    store.mkdir(parents=True, exist_ok=True)
    around = (package_digest(), surroundings(), size, variant, str(smoke))
    keys = {lesson.name: _key(lesson, around) for lesson in chosen}
    done = {n: o for n in keys if (o := _kept(store, n, variant, keys[n])) is not None}
    todo = [lesson for lesson in chosen if lesson.name not in done]
    if todo:
        make_phantoms()
        settings = {"GLIOMAKIT_SIZE": size, "GLIOMAKIT_SMOKE": "1" if smoke else ""}
        fresh = asyncio.run(_all(todo, variant, out / "work", settings, jobs, SECONDS[size]))
        for outcome in fresh:
            done[outcome.name] = outcome
            if outcome.error is None:
                _keep(store, outcome, variant, keys[outcome.name])
            else:  # its page shows the failure now
                _place(store, outcome.name, variant).unlink(missing_ok=True)
    names = [path.stem for path in sources(places.sources)]
    shown = [o for n in names if (o := done.get(n) or _kept(store, n, variant)) is not None]
    page.write_lessons(shown, out, places.notebooks)
    return [done[lesson.name] for lesson in chosen]


def make_phantoms() -> None:
    """Make the embedded data set, unless it is there: a lesson's minutes do not include it."""
    from ..phantom import embedded

    embedded(progress=True)
    embedded(fine=True, progress=True)


async def _all(
    lessons: list[Lesson],
    variant: str,
    folder: Path,
    settings: dict[str, str],
    jobs: int,
    limit: float | None,
) -> list[Outcome]:
    folder.mkdir(parents=True, exist_ok=True)
    notebooks = [notebook(lesson, variant) for lesson in lessons]
    cells = sum(len(n.cells) for n in notebooks)
    gate = asyncio.Semaphore(jobs)
    threads = max(1, (os.cpu_count() or 1) // jobs) if jobs > 1 else None
    # None: quiet when stderr is no terminal.
    with tqdm(total=cells, unit="cell", desc="lessons", file=sys.stderr, disable=None) as bar:

        async def one(lesson: Lesson, built: NotebookNode) -> Outcome:
            outcome = Outcome(lesson.name, lesson.title, built, 0.0)
            async with gate:
                bar.set_description(lesson.name)
                start = time.perf_counter()
                try:
                    await execute(built, folder, lesson.name, settings, threads, limit, bar.update)
                except LessonFailed as failure:
                    outcome.error = failure
                    bar.write(f"\n{failure.block}\n", file=sys.stderr)
                outcome.seconds = time.perf_counter() - start
            outcome.notebook = tidy(built)
            for name, value in emitted(built).items():
                setattr(outcome, name, value)
            return outcome

        return list(await asyncio.gather(*map(one, lessons, notebooks)))


def execute_for_build(built: NotebookNode) -> NotebookNode:
    """The notebook with the outputs that are kept in the tree: laptop size, phantoms only."""
    make_phantoms()
    settings = {"GLIOMAKIT_SIZE": "laptop", "GLIOMAKIT_DATA": "", "GLIOMAKIT_SMOKE": ""}
    name = built.metadata["gliomakit"]["lesson"]
    with tempfile.TemporaryDirectory(prefix="lesson-") as folder:
        asyncio.run(execute(built, Path(folder), name, settings, seconds=SECONDS["laptop"]))
        cache = cache_folder().resolve()
        hide = {
            str(Path(folder).resolve()): ".",
            str(cache): "<cache>",
            str(Path(__file__).resolve().parents[2]): "<gliomakit>",
            sys.prefix: "<python>",
            str(Path.home()): "~",
        }
    return tidy(built, {k: v for k, v in hide.items() if len(k) > 3})


def package_digest() -> str:
    """Digest of the package's own files: a lesson runs again after any of them changed."""
    root = Path(__file__).resolve().parents[1]
    digest = hashlib.sha256()
    for path in sorted(root.rglob("*")):
        inside = path.relative_to(root)
        if path.is_file() and path.suffix in (".py", ".json", ".safetensors"):
            digest.update(f"{inside.as_posix()}\0".encode())
            digest.update(hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()


def surroundings() -> str:
    """Digest of what else a lesson's figures hang on: Python, torch, the cache's place, own data.

    Of the data folder it takes each entry's name, size and time, two levels deep, at most 10,000.
    """
    facts = [sys.version, version("torch"), os.environ.get("GLIOMAKIT_CACHE", "")]
    folder = data_folder()
    if folder is not None:
        facts += [str(folder.absolute()), *islice(_entries(folder), 10_000)]
    return hashlib.sha256("\0".join(facts).encode(errors="surrogateescape")).hexdigest()


def _entries(place: Path, inside: str = ".", levels: int = 2) -> Iterator[str]:
    """An entry, and those below it: name, size and time; of one that cannot be read the name."""
    below: list[str] = []
    try:
        facts = place.stat()
        yield f"{inside}|{facts.st_size}|{facts.st_mtime_ns}"
        if levels and place.is_dir():
            below = sorted(os.listdir(place))
    except OSError:
        yield inside
    for name in below:
        yield from _entries(place / name, f"{inside}/{name}", levels - 1)


def _key(lesson: Lesson, around: Sequence[str]) -> str:
    return hashlib.sha256("\0".join((lesson.digest, *around)).encode()).hexdigest()


def _place(store: Path, name: str, variant: str) -> Path:
    return store / f"{name}.{variant}.ipynb"


def _keep(store: Path, outcome: Outcome, variant: str, key: str) -> None:
    """Remember an executed lesson beside its key."""
    record = {
        "key": key,
        "seconds": outcome.seconds,
        "figure": outcome.figure,
        "figures": outcome.figures,
        "exercises": outcome.exercises,
    }
    outcome.notebook.metadata["gliomakit"]["run"] = record
    path = _place(store, outcome.name, variant)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    temporary.write_text(text_of(outcome.notebook), encoding="utf-8")
    os.replace(temporary, path)


def _kept(store: Path, name: str, variant: str, key: str | None = None) -> Outcome | None:
    """What an earlier run of the same key (None: of any) left; None if there is none."""
    built = load(_place(store, name, variant))
    record = built.metadata.get("gliomakit", {}).get("run", {}) if built is not None else {}
    if not record or key not in (None, record.get("key")):
        return None
    title = built.metadata["gliomakit"]["title"]
    plain = json.loads(json.dumps(record))  # nbformat's nodes become plain dictionaries
    return Outcome(
        name,
        title,
        nbformat.from_dict(built),
        plain["seconds"],
        False,
        None,
        plain["figure"],
        plain["figures"],
        plain["exercises"],
    )


def table(outcomes: Sequence[Outcome]) -> str:
    """Lesson, seconds and main figure, one line each."""
    width = max(len(o.name) for o in outcomes)
    lines = [f"{'lesson':<{width}}  seconds  main figure"]
    for o in outcomes:
        told = "FAILED" if o.error else o.figure or "none"
        earlier = "" if o.fresh else "  (as run before)"
        lines.append(f"{o.name:<{width}}  {o.seconds:7.1f}  {told}{earlier}")
    total = sum(o.seconds for o in outcomes)
    lines.append(f"{'in all':<{width}}  {total:7.1f}")
    return "\n".join(lines)


def main(lessons: Sequence[str] | None = None, size: str | None = None, jobs: int = 1) -> int:
    """What the command does: run, print the table and the page's path. 1 if a lesson failed."""
    outcomes = run(lessons, size, jobs)
    print(table(outcomes))
    print(here().notebooks.parent / "build" / "course" / "index.html")
    return 1 if any(o.error for o in outcomes) else 0
