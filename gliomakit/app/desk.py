"""The desk: lives in the server, gives each page its folder, and one worker the pages' jobs.

A page's kernel holds one connection to it, on 127.0.0.1, as long as it lives. Each side sends lines
of JSON:

    page: {"secret": …}             desk: {"folder": …}        the page's own, gone when it is
    page: {"job": {…}}              desk: {"ahead": n}         how many jobs come first
                                          {"done": i, "of": n} windows
                                          {"result": {…}} or {"error": "…"}
    page: {"stop": true}            desk: {"stopped": true}

When the connection ends, for whatever reason, its job is dropped and its folder removed.
"""

from __future__ import annotations

import asyncio
import hmac
import json
import os
import secrets
import shutil
import socket
import sys
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from .line import STOP

LINE = 1 << 20
"""Bytes of a line at most."""

GONE = "the process that segments has ended, perhaps for lack of memory; try again"


class Visit:
    """One page: its folder, the way to it, its job if it has one."""

    def __init__(self, folder: Path, writer: asyncio.StreamWriter):
        self.folder, self.writer = folder, writer
        self.job: Mapping[str, object] | None = None

    def tell(self, **message: object) -> None:
        if not self.writer.is_closing():
            self.writer.write(json.dumps(message).encode() + b"\n")


class Desk:
    """Folders below `folder`, a queue, a worker that is started with the first job.

    command: what starts the worker. The socket listens at once, jobs are done after `open`.
    """

    def __init__(self, folder: Path, command: Sequence[str]):
        self.folder, self.command = folder, list(command)
        self.secret = secrets.token_hex(32)
        self.socket = socket.create_server(("127.0.0.1", 0))
        self.visits: list[Visit] = []
        self.waiting: list[Visit] = []
        self.running: Visit | None = None
        self.process: asyncio.subprocess.Process | None = None
        self.more = asyncio.Event()

    @property
    def where(self) -> str:
        """What a kernel needs to know to get here."""
        return json.dumps({"port": self.socket.getsockname()[1], "secret": self.secret})

    async def open(self) -> None:
        """Begin; needs a running loop."""
        self.server = await asyncio.start_server(self._visit, sock=self.socket, limit=LINE)
        self.work = asyncio.create_task(self._work())

    def close(self) -> None:
        """End the worker."""
        if self.process is not None:
            with suppress(ProcessLookupError):
                self.process.kill()

    async def _visit(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            hello = json.loads(await asyncio.wait_for(reader.readline(), 10))
            known = hmac.compare_digest(str(hello["secret"]).encode(), self.secret.encode())
        except (ValueError, KeyError, TypeError, TimeoutError, OSError):
            known = False
        if not known:
            writer.close()
            return
        visit = Visit(Path(tempfile.mkdtemp(dir=self.folder)), writer)
        self.visits.append(visit)
        try:
            visit.tell(folder=str(visit.folder))
            while line := await reader.readline():
                message = json.loads(line)
                if "job" in message and visit.job is None:
                    self._add(visit, message["job"])
                elif "stop" in message:
                    self._stop(visit)
        except (ValueError, OSError):
            pass
        finally:
            self._stop(visit)
            self.visits.remove(visit)
            self._clear()
            writer.close()

    def _clear(self) -> None:
        """Remove the folders of all pages that are gone; also of earlier ones, into which a worker
        may have written once more."""
        owned = {visit.folder for visit in self.visits}
        with suppress(FileNotFoundError):  # the server has ended
            for folder in set(self.folder.iterdir()) - owned:
                shutil.rmtree(folder, ignore_errors=True)

    def _add(self, visit: Visit, job: Mapping[str, object]) -> None:
        (visit.folder / STOP).unlink(missing_ok=True)
        visit.job = job
        self.waiting.append(visit)
        self.more.set()
        self._tell_places()

    def _stop(self, visit: Visit) -> None:
        if visit in self.waiting:
            self.waiting.remove(visit)
            visit.job = None
            visit.tell(stopped=True)
            self._tell_places()
        elif visit is self.running:
            with suppress(OSError):
                (visit.folder / STOP).touch()

    def _tell_places(self) -> None:
        for place, visit in enumerate(self.waiting):
            visit.tell(ahead=place + (self.running is not None))

    async def _work(self) -> None:
        while True:
            while not self.waiting:
                self.more.clear()
                await self.more.wait()
            visit = self.running = self.waiting.pop(0)
            self._tell_places()
            try:
                await self._one(visit)
            except Exception as error:  # one bad job must not end all others'
                visit.tell(error=f"{type(error).__name__}: {error}")
            self.running, visit.job = None, None
            self._clear()

    async def _one(self, visit: Visit) -> None:
        """Hand one job to the worker and what it says of it to the page."""
        if self.process is None or self.process.returncode is not None:
            self.process = await asyncio.create_subprocess_exec(
                *self.command,
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                limit=LINE,
            )
        task = json.dumps({**visit.job, "folder": str(visit.folder)})
        with suppress(ConnectionError):  # a worker that has just died: seen below
            self.process.stdin.write(task.encode() + b"\n")
            await self.process.stdin.drain()
        while line := await self.process.stdout.readline():
            message = json.loads(line)
            visit.tell(**message)
            if "done" not in message:
                return
        await self.process.wait()
        visit.tell(error=GONE)


def room(prefix: str = "gliomakit_app_") -> tempfile.TemporaryDirectory:
    """A folder for all pages' folders, readable by this user alone. Those that an earlier server
    left behind, because it was killed, are removed first."""
    old = Path(tempfile.gettempdir()).glob(f"{prefix}*_*") if os.name == "posix" else ()
    for left in old:
        pid = left.name.removeprefix(prefix).partition("_")[0]
        with suppress(OSError, ValueError):
            if left.stat().st_uid == os.getuid() and not _alive(int(pid)):
                shutil.rmtree(left, ignore_errors=True)
    return tempfile.TemporaryDirectory(prefix=f"{prefix}{os.getpid()}_", ignore_cleanup_errors=True)


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def worker_command(weights: Path | None, device: str | None) -> list[str]:
    """What starts a worker with these weights on this device."""
    options = {"--weights": weights and str(Path(weights).resolve()), "--device": device}
    given = [word for name, value in options.items() if value for word in (name, value)]
    return [sys.executable, "-m", "gliomakit.app.worker", *given]
