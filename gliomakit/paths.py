"""Where files go that no user names: caches, phantoms, the user's own data.

Three environment variables decide; without them a checkout keeps everything in its own `data/`
(git ignores what is made there), an installed package in the user's cache folder.
"""

from __future__ import annotations

import os
from pathlib import Path


def checkout() -> Path | None:
    """The root of the repository that this package is run from; None for an installed package.

    >>> root = checkout()
    >>> root is None or (root / "gliomakit" / "paths.py").is_file()
    True
    """
    root = Path(__file__).resolve().parents[1]
    project = root / "pyproject.toml"
    try:
        return root if 'name = "gliomakit"' in project.read_text(encoding="utf-8") else None
    except OSError:
        return None


def cache_folder() -> Path:
    """The folder for whatever can be made again: ``phantoms/`` and ``cache/`` lie in it.

    `GLIOMAKIT_CACHE` if it is set, else ``data`` in a checkout, else the user's cache folder.
    It need not exist yet.
    """
    named = os.environ.get("GLIOMAKIT_CACHE")
    if named:
        return Path(named).expanduser()
    root = checkout()
    if root is not None:
        return root / "data"
    import pooch  # here, so that `import gliomakit` stays cheap

    return Path(pooch.os_cache("gliomakit"))


def prepared_folder() -> Path:
    """The folder of prepared cases (`preprocess.cached`).

    >>> prepared_folder().name
    'cache'
    """
    return cache_folder() / "cache"


def data_folder() -> Path | None:
    """The learner's own data (`GLIOMAKIT_DATA`); None if nothing is named."""
    named = os.environ.get("GLIOMAKIT_DATA")
    return Path(named).expanduser() if named else None
