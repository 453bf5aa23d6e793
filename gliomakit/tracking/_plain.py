"""The same JSON lines as Neptune's client writes, for where it cannot be imported."""

from __future__ import annotations

import base64
import json
import os
import secrets
import shutil
import time
import uuid
from datetime import UTC, datetime
from pathlib import Path

from ._ending import Ending
from ._handlers import Keeping
from ._keeper import Keeper, Scalar

ASSIGN = {
    bool: "AssignBool",
    int: "AssignInt",
    float: "AssignFloat",
    str: "AssignString",
    datetime: "AssignDatetime",
}
LARGEST_PART = 64 * 2**20
"""Bytes of a log after which a new file begins, as Neptune does it."""


class PlainHandler(Keeping):
    """A field of a run."""

    def __init__(self, run: PlainRun, path: str):
        self._run, self._path = run, path

    @property
    def _keeper(self) -> Keeper:
        return self._run._keeper

    def __getitem__(self, path: str) -> PlainHandler:
        return PlainHandler(self._run, f"{self._path}/{path}")


class _Base:
    def stop(self, *, seconds: float | None = None) -> None:
        self._log.close()


class PlainRun(Ending, _Base):
    """A run with the part of Neptune's API that the course uses, stored in Neptune's format."""

    def __init__(self, folder: Path, name: str):
        one = str(uuid.uuid4())
        random = secrets.token_hex(4)
        self.folder = folder.resolve() / "offline" / f"run__{one}__{os.getpid()}__{random}"
        self._log = PlainStore(self.folder, one)
        self._keeper = Keeper(self._log)
        self["sys/name"] = name
        self["sys/failed"] = False
        self._begin()

    def __getitem__(self, path: str) -> PlainHandler:
        return PlainHandler(self, path)

    def __setitem__(self, key: str, value: object) -> None:
        self._keeper.assign(key, value)

    def __delitem__(self, key: str) -> None:
        self._keeper.remove(key)

    def exists(self, path: str) -> bool:
        return path in self._keeper.kinds

    def wait(self, *, disk_only: bool = False) -> None:
        self._keeper.flush()

    def sync(self, *, wait: bool = True) -> None:
        self._keeper.flush()


class PlainStore:
    """A `Store` that writes operations as lines: {"obj": …, "version": n, "at": seconds}."""

    def __init__(self, folder: Path, container: str):
        folder.mkdir(parents=True)
        (folder / "upload_path").mkdir()
        about = {
            "mode": "offline",
            "containerId": container,
            "containerType": "run",
            "structureVersion": 3,
            "createdAt": datetime.now(UTC).isoformat(),
            "writer": "gliomakit",
        }
        (folder / "metadata.json").write_text(json.dumps(about, indent=2))
        self.folder, self.version, self.size = folder, 0, 0
        self.file = open(folder / "data-1.log", "a", encoding="utf-8")

    def put(self, kind: str, path: str, **fields: object) -> None:
        parts = [part for part in path.split("/") if part]
        operation = {"type": kind, "path": parts, **fields}
        line = json.dumps({"obj": operation, "version": self.version + 1, "at": time.time()})
        if self.size + len(line) > LARGEST_PART:
            self.file.close()
            self.file = open(self.folder / f"data-{self.version + 1}.log", "a", encoding="utf-8")
            self.size = 0
        self.file.write(line + "\n")
        self.version += 1
        self.size += len(line) + 1

    def assign(self, path: str, value: Scalar) -> None:
        kind = type(value)
        if kind is datetime:
            value = int(value.timestamp() * 1000)
        self.put(ASSIGN[kind], path, value=value)

    def append(self, path: str, value: float | str, step: float | None, at: float | None) -> None:
        kind = "LogStrings" if isinstance(value, str) else "LogFloats"
        point = {"value": value, "step": step, "ts": time.time() if at is None else at}
        self.put(kind, path, values=[point])

    def image(self, path: str, png: bytes, step: float | None) -> None:
        data = {"data": base64.b64encode(png).decode(), "name": None, "description": None}
        point = {"value": data, "step": step, "ts": time.time()}
        self.put("LogImages", path, values=[point])

    def upload(self, path: str, content: bytes, extension: str) -> None:
        name = f"{secrets.token_hex(8)}.{extension}"
        target = self.folder / "upload_path" / name
        partial = target.with_suffix(".part")
        partial.write_bytes(content)
        shutil.move(partial, target)
        self.put(
            "UploadFile",
            path,
            ext=extension,
            file_path=None,
            tmp_file_name=name,
            clean_after_upload=True,
        )

    def add(self, path: str, values: list[str]) -> None:
        self.put("AddStrings", path, values=values)

    def remove(self, path: str) -> None:
        self.put("DeleteAttribute", path)

    def flush(self) -> None:
        self.file.flush()

    def close(self) -> None:
        self.file.close()
