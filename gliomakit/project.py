"""What the package knows of its own project: the public address, and the facts in `data/`."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, metadata
from pathlib import Path

from .errors import GliomakitError
from .paths import checkout


def shipped(name: str) -> Path:
    """A file of the project's `data/` folder, in a checkout as in an installed wheel.

    Raises `GliomakitError` if there is no such file.

    >>> shipped("sources.json").name
    'sources.json'
    """
    root = checkout()
    folder = root / "data" if root else Path(__file__).resolve().parent / "_data"
    if not (folder / name).exists():
        raise GliomakitError(
            "is not among the package's files", where=name, todo="install gliomakit again"
        )
    return folder / name


def repository() -> str | None:
    """The project's public address: [project.urls] Repository of pyproject.toml; None until set.

    In a checkout the file itself is read, so that a change counts before the next installation.
    """
    root = checkout()
    if root:
        import tomllib

        project = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))["project"]
        return project.get("urls", {}).get("Repository")
    try:
        named = metadata("gliomakit").get_all("Project-URL") or []
    except PackageNotFoundError:
        return None
    return dict(line.split(", ", 1) for line in named).get("Repository")
