"""Send runs to a server that speaks Neptune's protocol, for those who have one.

Neptune's own service is closed, and nothing in the course needs a server. Where a laboratory runs
one, `push` sends what was logged: copies, for Neptune's client deletes what it has sent.
"""

from __future__ import annotations

import base64
import binascii
import ipaddress
import json
import logging
import os
import shutil
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

from ..errors import GliomakitError
from .reader import CUT_OFF, RUNNING, SENDING, UNKNOWN, Record, read_runs

TOKEN, PROJECT = "NEPTUNE_API_TOKEN", "NEPTUNE_PROJECT"

SENT = "sent.json"
"""Beside a run's lines: where it was sent."""

BATCH = 500
"""Operations in one request."""

SECONDS = 60
"""How long one request may take."""


def push(
    folder: str | Path, ask: bool = True, say: Callable[[str], None] = print
) -> dict[str, str]:
    """Send the runs below `folder`; returns what was done with each, by its name and id.

    The token and the project ("workspace/project") come from the environment variables
    NEPTUNE_API_TOKEN and NEPTUNE_PROJECT and nowhere else; of the server only the host is printed.
    ask: False does not ask before sending. say: gets the lines.

    Only runs that have ended are sent, each once: `SENT` beside its lines says where to. A call
    that was cut off goes on where it was; after a failure in the middle of a request its operations
    (500 at most) may reach the server twice. Your files stay as they are.

    Raises `GliomakitError` if a variable is missing, for a token that is none, for hosts of
    neptune.ai, for plain http to another machine, and if the server does not answer or refuses.
    """
    token, project, host = _asked()
    records = read_runs(folder)
    done: dict[str, str] = {}
    todo: list[Record] = []
    for record in records:
        name = f"{record.name} ({record.id[:8]})"
        if record.state in (RUNNING, CUT_OFF, UNKNOWN):
            done[name] = f"left: {record.state}"
        elif _sent_to(record) == [host, project]:
            done[name] = "sent before"
        else:
            todo.append(record)
    say(f"{len(todo)} of {len(records)} runs to send to {host}, project {project}")
    if not todo:
        return done
    if ask and not _agreed():
        raise GliomakitError("nothing was sent", todo="answer y, or call push(folder, ask=False)")
    with _quiet(host):
        server = _Server(token, project)
        for record in todo:
            trouble = server.send(record, Path(folder) / SENDING / record.id)
            _write(record.folders[0] / SENT, {"host": host, "project": project})
            shutil.rmtree(Path(folder) / SENDING / record.id, ignore_errors=True)
            what = "sent" + (f", the server left out {trouble} values" if trouble else "")
            done[f"{record.name} ({record.id[:8]})"] = what
            say(f"{record.name}: {what}")
    shutil.rmtree(Path(folder) / SENDING, ignore_errors=True)
    return done


class _Server:
    """Neptune's own client for its server, called directly: nothing is renamed or deleted but in
    the copies."""

    def __init__(self, token: str, project: str):
        from neptune.internal.backends.hosted_neptune_backend import HostedNeptuneBackend
        from neptune.internal.credentials import Credentials

        self.backend = HostedNeptuneBackend(Credentials.from_token(token))
        # The server says where its parts are: they must not be anywhere else, nor in plain text.
        _allowed(self.backend._client_config.api_url)
        self.project = self.backend.get_project(project).id

    def send(self, record: Record, spool: Path) -> int:
        """Send one run from a copy; how many values the server did not take."""
        if not spool.is_dir():  # copied whole, or not there
            partial = spool.with_suffix(".part")
            shutil.rmtree(partial, ignore_errors=True)
            for one in record.folders:
                shutil.copytree(one, partial / one.name)
            partial.rename(spool)
        known = spool / "experiment.json"
        if not known.is_file():
            # Named by its own id: a server that was asked before gives the same run again.
            made = self.backend.create_run(self.project, custom_run_id=record.id)
            _write(known, {"id": made.id})
        experiment = json.loads(known.read_text(encoding="utf-8"))["id"]
        return sum(self._operations(one, experiment) for one in sorted(spool.glob("run__*")))

    def _operations(self, copy: Path, experiment: str) -> int:
        from neptune.core.components.operation_storage import OperationStorage
        from neptune.core.components.queue.disk_queue import DiskQueue
        from neptune.internal.container_type import ContainerType
        from neptune.internal.operation import Operation

        trouble, storage = 0, OperationStorage(copy)
        lock = threading.RLock()
        with DiskQueue(copy, lambda one: one.to_dict(), Operation.from_dict, lock) as queue:
            while batch := queue.get_batch(BATCH):
                todo = [element.obj for element in batch]
                while todo:
                    count, errors = self.backend.execute_operations(
                        experiment, ContainerType.RUN, todo, storage
                    )
                    trouble += len(errors)
                    todo = todo[count:]
                queue.ack(batch[-1].ver)
        return trouble


def _asked() -> tuple[str, str, str]:
    """Token, project and host, from the environment."""
    token, project = (os.environ.get(name, "").strip() for name in (TOKEN, PROJECT))
    for name, value in ((TOKEN, token), (PROJECT, project)):
        if not value:
            raise GliomakitError(f"the environment variable {name} is not set")
    try:
        said = json.loads(base64.b64decode(token, validate=True))
        places = [said["api_address"], *([said["api_url"]] if said.get("api_url") else [])]
        hosts = [_allowed(place) for place in places]
    except (binascii.Error, ValueError, TypeError, KeyError):
        raise GliomakitError(f"{TOKEN} holds no token of Neptune's form") from None
    return token, project, hosts[-1]


def _allowed(address: str) -> str:
    """The host of an address, if something may be sent there."""
    parts = urlsplit(address)
    host = (parts.hostname or "").rstrip(".").lower()
    if not host:
        raise ValueError("an address without a host")
    if host == "neptune.ai" or host.endswith(".neptune.ai"):
        raise GliomakitError(
            "Neptune's own service was closed on March 5, 2026",
            where=host,
            todo="your runs are whole on this disk: gliomakit dashboard runs",
        )
    if parts.scheme != "https" and not (parts.scheme == "http" and _loopback(host)):
        raise GliomakitError(
            "only https is used to reach another machine", where=host, todo="ask for an https token"
        )
    return host


def _loopback(host: str) -> bool:
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _agreed() -> bool:
    if not sys.stdin or not (sys.stdin.isatty() or "ipykernel" in sys.modules):
        return False
    return input("Send them? [y/N] ").strip().lower() in ("y", "yes")


def _sent_to(record: Record) -> list[str] | None:
    try:
        said = json.loads((record.folders[0] / SENT).read_text(encoding="utf-8"))
        return [said["host"], said["project"]]
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _write(path: Path, content: dict[str, str]) -> None:
    partial = path.with_suffix(".part")
    partial.write_text(json.dumps(content) + "\n", encoding="utf-8")
    partial.replace(path)


@contextmanager
def _quiet(host: str) -> Iterator[None]:
    """Neptune's words and errors as one line that names the host; no token in any of them."""
    try:
        from neptune.common import exceptions as common
        from neptune.exceptions import ProjectNotFound
        from neptune.internal.backends.hosted_client import DEFAULT_REQUEST_KWARGS
    except ImportError as error:
        raise GliomakitError("Neptune's client is not installed", todo="pip install neptune") from (
            error
        )
    options, logger = DEFAULT_REQUEST_KWARGS["_request_options"], logging.getLogger("neptune")
    before = options["timeout"], logger.level, os.environ.get("OAUTHLIB_INSECURE_TRANSPORT")
    options["timeout"] = SECONDS
    logger.setLevel(logging.CRITICAL)
    if _loopback(host):
        os.environ["OAUTHLIB_INSECURE_TRANSPORT"] = "1"  # plain http, on this machine
    refused = (
        common.NeptuneInvalidApiTokenException,
        common.Unauthorized,
        common.Forbidden,
        common.NeptuneAuthTokenExpired,
    )
    try:
        yield
    except GliomakitError:
        raise
    except refused:
        raise GliomakitError("the server does not accept the token", where=host) from None
    except ProjectNotFound:
        raise GliomakitError(
            f"the server has no such project: {os.environ[PROJECT]}", where=host
        ) from None
    except Exception as error:
        raise GliomakitError(
            f"the server did not answer as expected ({type(error).__name__})",
            where=host,
            todo="call push again later: it goes on where it was",
        ) from None
    finally:
        options["timeout"] = before[0]
        logger.setLevel(before[1])
        if before[2] is None:
            os.environ.pop("OAUTHLIB_INSECURE_TRANSPORT", None)
