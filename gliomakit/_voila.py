"""A page that is alive: one cell of a notebook, served by Voilà until Ctrl-C.

Who opens the address gets a kernel, a Python process of his own, and only he reaches it. What is
here is what the dashboard and the segmenter share: the address with its token, what is served (no
file, no source), whose kernel is whose, and when a kernel ends.
"""

from __future__ import annotations

import os
import secrets
import socket
import sys
import tempfile
from collections.abc import Callable, Sequence
from contextvars import ContextVar
from pathlib import Path

from .errors import GliomakitError

PORT, TRIED = 8866, 50
"""Voilà's own port; if it is taken, the next free one of so many."""

HERE = "127.0.0.1"

SHORTEST = 16
"""Letters of a token that is given, not made."""

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

PROTOCOL = "v1.kernel.websocket.jupyter.org"
"""What browsers speak with kernels. Voilà reads the older way's binary messages as if they were of
this one, finds lengths in them that are none, and fills the memory: that way is closed."""

_WHO: ContextVar[str] = ContextVar("who")
"""Whose request is being answered."""


def serve(
    cell: str,
    name: str,
    host: str = HERE,
    port: int | None = None,
    token: str | None = None,
    show: bool = True,
    say: Callable[[str], None] = print,
    idle: int = 300,
    most: int = 30,
    beside: Sequence[Callable[[], object]] = (),
) -> None:
    """Serve what one cell shows, until Ctrl-C or SIGTERM.

    name:   of the page.
    host:   the address to listen at; another than 127.0.0.1 lets other machines in.
    port:   by default 8866, or the next free one.
    token:  who lacks it gets nothing; None makes one. show: open a browser. say: gets the address.
    idle:   seconds after which a kernel ends whose page went away without a word.
    most:   pages open at once; who comes later is told so.
    beside: called once the server's loop runs.

    Raises `GliomakitError` if Voilà is not installed, the port is taken or the token is short.
    """
    try:
        from tornado.ioloop import IOLoop
        from traitlets.config import Config

        server_class, kernels = _classes()
    except ImportError as error:
        raise GliomakitError("Voilà is not installed", todo="pip install voila") from error
    import nbformat

    token = secrets.token_urlsafe(24) if token is None else token
    if len(token) < SHORTEST:
        raise GliomakitError(f"the token has fewer than {SHORTEST} letters")
    port = _free(port, host)
    _find_template()
    with tempfile.TemporaryDirectory(prefix="gliomakit_") as place:
        notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell)])
        notebook.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3"}
        path = Path(place) / f"{name}.ipynb"
        nbformat.write(notebook, path)
        asked = {"ip": host, "port": port, "port_retries": 0, "open_browser": show, "token": token}
        config = Config(
            {
                "Voila": asked | {"log_level": "ERROR"},
                "VoilaConfiguration": PAGE,
                # The page says goodbye when its tab is closed; one that broke down does not.
                "MappingKernelManager": {
                    "cull_interval": max(min(60, idle // 2), 1),
                    "cull_idle_timeout": idle,
                },
            }
        )
        if os.name == "posix":  # the kernel is spoken to through a socket file, not through TCP
            config.update(Config({"KernelManager": {"transport": "ipc"}}))
        server = server_class(config=config)
        server.initialize([str(path)])
        kernels.most = most
        server.voila_configuration.multi_kernel_manager_class = kernels
        server.voila_configuration.prelaunch_hook = _enter
        loop = IOLoop.current()
        for work in beside:
            loop.add_callback(work)
        # Said once it listens: whoever opens the address at once gets an answer.
        loop.add_callback(say, f"http://{host}:{port}/?token={token}")
        server.start()


def _enter(handler: object, **_: object) -> None:
    """Before a kernel is started: know for whom, and give the page the cookie without which its
    goodbye would be refused."""
    _WHO.set(handler.current_user.username)
    handler.xsrf_token  # noqa: B018 (reading it sets the cookie)


def _classes() -> tuple[type, type]:
    """Voilà and its keeper of kernels, but that kernels are their owners' alone, and no more than
    `most` of them run."""
    from jupyter_server.services.kernels.handlers import KernelHandler
    from jupyter_server.services.kernels.kernelmanager import AsyncMappingKernelManager
    from tornado.web import HTTPError
    from voila.app import Voila
    from voila.shutdown_kernel_handler import VoilaShutdownKernelHandler
    from voila.tornado.handler import TornadoVoilaHandler
    from voila.tornado.kernel_websocket_handler import VoilaKernelWebsocketHandler

    class Kernels(AsyncMappingKernelManager):
        most = 30

        def __init__(self, **how):
            super().__init__(**how)
            self.owners, self.starting = {}, 0

        async def start_kernel(self, **how):
            if len(self) + self.starting >= self.most:
                raise HTTPError(503, reason="too many pages are open, try again later")
            self.starting += 1
            try:
                found = await super().start_kernel(**how)
            finally:
                self.starting -= 1
            self.owners[found] = _WHO.get()
            return found

    class Plain:
        """Errors as one line: Voilà lacks what Jupyter's page for them needs."""

        def write_error(self, status_code, **_):
            self.set_header("Content-Type", "text/plain")
            self.finish(f"{status_code} {self._reason}\n")

    class Front(Plain, TornadoVoilaHandler):
        pass

    def own(handler: type) -> type:
        class Own(Plain, handler):
            async def prepare(self):
                await super().prepare()
                name = self.path_kwargs.get("kernel_id") or (*self.path_args, "")[0]
                spoken = self.request.headers.get("Sec-WebSocket-Protocol", "")
                if handler is VoilaKernelWebsocketHandler and PROTOCOL not in spoken:
                    raise HTTPError(400)
                user = self.current_user
                if user and self.kernel_manager.owners.get(name.strip("/")) != user.username:
                    raise HTTPError(404)  # as if there were none

        return Own

    replaced = {
        handler: own(handler)
        for handler in (KernelHandler, VoilaKernelWebsocketHandler, VoilaShutdownKernelHandler)
    }
    replaced[TornadoVoilaHandler] = Front

    class Server(Voila):
        def init_handlers(self):
            return [
                (path, replaced.get(handler, handler), *rest)
                for path, handler, *rest in super().init_handlers()
            ]

    return Server, Kernels


def _find_template() -> None:
    """Jupyter looks for templates along this variable, read anew each time."""
    ours = str(Path(__file__).parent / "jupyter")
    known = os.environ.get("JUPYTER_PATH")
    if ours not in (known or "").split(os.pathsep):
        os.environ["JUPYTER_PATH"] = ours + (os.pathsep + known if known else "")
    # The kernel is this very Python, also where another one comes first on the path.
    os.environ["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])


def _free(port: int | None, host: str) -> int:
    for tried in range(PORT, PORT + TRIED) if port is None else [port]:
        with socket.socket() as one:
            if os.name == "posix":  # as servers bind: a port just left is free
                one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                one.bind((host, tried))
            except OSError:
                continue
            return tried
    raise GliomakitError(
        f"port {port if port is not None else PORT} is taken", todo="give another one with --port"
    )
