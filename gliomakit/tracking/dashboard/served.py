"""The dashboard as a page that is alive: the notebook's panel, served by Voilà on this machine."""

from __future__ import annotations

import os
import secrets
import socket
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from ...errors import GliomakitError

PORT, TRIED = 8866, 50
"""Voilà's own port; if it is taken, the next free one of so many."""

HERE = "127.0.0.1"
RUNS = "GLIOMAKIT_DASHBOARD_RUNS"
"""The environment variable that tells the page's kernel where the runs lie."""

CELL = f"""
import os
from gliomakit.tracking.dashboard import Panel
Panel(os.environ["{RUNS}"], refresh=5.0)
"""

PAGE = {
    "template": "gliomakit",
    "strip_sources": True,
    # What draws widgets; other extensions of JupyterLab miss the Lab around them.
    "extension_allowlist": [
        "@jupyter-widgets/jupyterlab-manager",
        "@voila-dashboards/widgets-manager7",
        "@voila-dashboards/widgets-manager8",
        "anywidget",
    ],
    "file_allowlist": [],  # no file, not even pictures
}

LIMITS = {
    # A tab that is closed leaves its kernel behind: ended after five idle minutes.
    "MappingKernelManager": {"cull_interval": 60, "cull_idle_timeout": 300},
}


def serve(
    folder: str | Path,
    port: int | None = None,
    show: bool = True,
    say: Callable[[str], None] = print,
) -> None:
    """Serve the runs below `folder` on 127.0.0.1 until Ctrl-C.

    port: by default 8866, or the next free one. show: open a browser. say: gets the address, once.

    The address holds a token made for this call: other users of this machine do not get in without
    it. Nothing below `folder` is served, only what the panel draws. Raises `GliomakitError` if
    Voilà is not installed or the port is taken.
    """
    try:
        from tornado.ioloop import IOLoop
        from traitlets.config import Config
        from voila.app import Voila
    except ImportError as error:
        raise GliomakitError("Voilà is not installed", todo="pip install voila") from error
    import nbformat

    port = _free(port)
    token = secrets.token_urlsafe(24)
    os.environ[RUNS] = str(Path(folder).resolve())
    _find_template()
    with tempfile.TemporaryDirectory(prefix="gliomakit_") as place:
        notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(CELL)])
        notebook.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3"}
        path = Path(place) / "runs.ipynb"
        nbformat.write(notebook, path)
        asked = {"ip": HERE, "port": port, "port_retries": 0, "open_browser": show, "token": token}
        config = Config(LIMITS)
        config.update(Config({"Voila": asked | {"log_level": "ERROR"}}))
        config.update(Config({"VoilaConfiguration": PAGE}))
        if os.name == "posix":  # the kernel is spoken to through a socket file, not through TCP
            config.update(Config({"KernelManager": {"transport": "ipc"}}))
        server = Voila(config=config)
        server.initialize([str(path)])
        # Said once it listens: whoever opens the address at once gets an answer.
        IOLoop.current().add_callback(say, f"http://{HERE}:{port}/?token={token}")
        server.start()


def _find_template() -> None:
    """Jupyter looks for templates along this variable, read anew each time."""
    ours = str(Path(__file__).parent / "jupyter")
    known = os.environ.get("JUPYTER_PATH")
    if ours not in (known or "").split(os.pathsep):
        os.environ["JUPYTER_PATH"] = ours + (os.pathsep + known if known else "")
    # The kernel is this very Python, also where another one comes first on the path.
    os.environ["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])


def _free(port: int | None) -> int:
    for tried in range(PORT, PORT + TRIED) if port is None else [port]:
        with socket.socket() as one:
            if os.name == "posix":  # as servers bind: a port just left is free
                one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                one.bind((HERE, tried))
            except OSError:
                continue
            return tried
    raise GliomakitError(
        f"port {port if port is not None else PORT} is taken", todo="give another one with --port"
    )
