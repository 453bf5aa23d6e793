"""Read runs back, without Neptune: whatever state their files are in.

A run is one folder or several (a process each) of JSON lines, one an operation. Lines that are
torn, cut, repeated or unknown are left out, counted, and said.
"""

from __future__ import annotations

import base64
import binascii
import json
import os
import re
import time
from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from ..errors import GliomakitError
from ._ending import RUNNING, STATE
from ._keeper import EVENTS

CUT_OFF, UNKNOWN = "cut off", "unknown"

SENDING = ".sending"
"""Copies of runs that `push` is sending, in the folder of the runs: no runs of their own."""

FOLDER = re.compile(r"run__(?P<id>.+?)__(?P<pid>\d+)__\w+$")

POINT = re.compile(
    rb'\{"obj": \{"type": "LogFloats", "path": (\[[^\]]*\]), "values": '
    rb'\[\{"value": (-?[\d.eE+-]+|NaN|-?Infinity), "step": (-?[\d.eE+-]+|null), '
    rb'"ts": ([\d.eE+]+)\}\]\}, "version": (\d+), "at": [\d.eE+]+\}'
)
"""What nearly every line is, read without building what JSON would build."""


@dataclass
class Series:
    """Numbers or texts over steps, as they were logged."""

    steps: list[float] = field(default_factory=list)
    values: list[float | str] = field(default_factory=list)
    times: list[float] = field(default_factory=list)

    def add(self, step: float | None, value: float | str, at: float) -> None:
        if step is None:  # a running index, as Neptune shows it
            step = self.steps[-1] + 1 if self.steps else 0
        self.steps.append(step)
        self.values.append(value)
        self.times.append(at)


@dataclass
class Record:
    """One run, read.

    id:       Neptune's own; folders: where it lies, one a process.
    fields:   single values by path; sets as sorted lists.
    series:   `Series` by path; what was no number stands in it as NaN or infinity.
    images:   by path, (step, time, PNG as bytes) each.
    files:    by path, where the content lies.
    events:   what was logged that is no number: path, value, step.
    created, changed: seconds since 1970, of the first and the last line.
    state:    finished, failed, interrupted, running, "cut off" (its process is gone) or "unknown"
              (of a client that does not say).
    problems: how many lines were left out, by reason.
    """

    id: str
    folders: list[Path]
    fields: dict[str, object] = field(default_factory=dict)
    series: dict[str, Series] = field(default_factory=dict)
    images: dict[str, list[tuple[float, float, bytes]]] = field(default_factory=dict, repr=False)
    files: dict[str, Path] = field(default_factory=dict)
    events: list[dict] = field(default_factory=list)
    created: float = 0.0
    changed: float = 0.0
    problems: Counter[str] = field(default_factory=Counter)
    pids: list[int] = field(default_factory=list)

    @property
    def name(self) -> str:
        return str(self.fields.get("sys/name") or "Untitled")

    @property
    def tags(self) -> list[str]:
        return list(self.fields.get("sys/tags", []))

    @property
    def state(self) -> str:
        said = self.fields.get(STATE, UNKNOWN)
        if said == RUNNING and not any(_alive(pid) for pid in self.pids):
            return CUT_OFF
        return str(said)


def find_runs(folder: str | Path) -> dict[str, list[Path]]:
    """Run folders below `folder`, by id. Raises `GliomakitError` if there is no such folder."""
    folder = Path(folder)
    if not folder.is_dir():
        raise GliomakitError("there is no such folder", where=folder)
    found: dict[str, list[Path]] = {}
    for place, below, _ in os.walk(folder):
        for name in sorted(below):
            if match := FOLDER.match(name):
                found.setdefault(match["id"], []).append(Path(place) / name)
        below[:] = [name for name in below if not FOLDER.match(name) and name != SENDING]
    return found


def read_runs(folder: str | Path) -> list[Record]:
    """All runs below a folder, the oldest first; what vanishes while it is read is left out."""
    records = [read_run(*folders) for folders in find_runs(folder).values()]
    return sorted((r for r in records if r.created), key=lambda r: (r.created, r.id))


def read_run(*folders: str | Path) -> Record:
    """One run from its folder, or from the folders of its processes."""
    paths = [Path(folder) for folder in folders]
    match = FOLDER.match(paths[0].name)
    record = Record(match["id"] if match else paths[0].name, paths)
    for path in paths:
        match = FOLDER.match(path.name)
        record.pids += [int(match["pid"])] if match else []
        _Replay(record, path).run()
    _place_events(record)
    return record


class _Replay:
    """The operations of one folder, applied to a record in their order."""

    def __init__(self, record: Record, folder: Path):
        self.record, self.folder = record, folder
        self.seen: set[int] = set()
        self.known: dict[bytes, Series] = {}

    def run(self) -> None:
        parts = sorted(self.folder.glob("data-*.log"), key=_first_version)
        for part in parts:
            try:
                content = part.read_bytes()
            except OSError:
                continue
            lines = content.split(b"\n")
            torn = lines.pop()
            if torn and not self._line(torn, quiet=True):
                self.record.problems["torn last line"] += 1
            for line in lines:
                if found := POINT.fullmatch(line):
                    self._point(*found.groups())
                elif line:
                    self._line(line)
                    self.known.clear()  # it may have removed a series

    def _line(self, line: bytes, quiet: bool = False) -> bool:
        """Apply one line; whether it was a whole one."""
        if found := POINT.fullmatch(line):
            return self._point(*found.groups())
        try:
            read = json.loads(line)
            operation, version, at = read["obj"], int(read["version"]), float(read["at"])
            kind, path = operation["type"], "/".join(map(str, operation["path"]))
        except (ValueError, KeyError, TypeError):
            self.record.problems["not readable"] += not quiet
            # On a full disk a line was cut, and the next one followed on it.
            start = line.rfind(b'{"obj": ')
            return start > 0 and self._line(line[start:], quiet=True)
        if not self._new(version, at):
            return True
        action = ACTIONS.get(kind)
        if action is None:
            self.record.problems[f"unknown operation {str(kind)[:40]}"] += 1
            return True
        try:
            action(self, path, operation, at)
        except (ValueError, KeyError, TypeError, AttributeError, binascii.Error):
            self.record.problems[f"malformed {kind}"] += 1
        return True

    def _point(self, path: bytes, value: bytes, step: bytes, ts: bytes, version: bytes) -> bool:
        # Half a million of these are read before a dashboard opens: as little as can be for each.
        at = float(ts)
        if self._new(int(version), at):
            series = self.known.get(path)
            if series is None:
                name = "/".join(json.loads(path))
                series = self.known[path] = self.record.series.setdefault(name, Series())
            if step == b"null":
                series.add(None, float(value), at)
            else:
                series.steps.append(float(step))
                series.values.append(float(value))
                series.times.append(at)
        return True

    def _new(self, version: int, at: float) -> bool:
        if version in self.seen:
            self.record.problems["repeated"] += 1
            return False
        self.seen.add(version)
        record = self.record
        if at < record.created or not record.created:
            record.created = at
        if at > record.changed:
            record.changed = at
        return True

    def assign(self, path: str, operation: dict, at: float) -> None:
        value = operation["value"]
        if operation["type"] == "AssignDatetime":
            value = datetime.fromtimestamp(value / 1000, UTC)
        self.record.fields[path] = value

    def log(self, path: str, operation: dict, at: float) -> None:
        series = self.record.series.setdefault(path, Series())
        text = operation["type"] == "LogStrings"
        for point in operation["values"]:
            value = str(point["value"]) if text else float(point["value"])
            series.add(point.get("step"), value, float(point.get("ts") or at))

    def images(self, path: str, operation: dict, at: float) -> None:
        pictures = self.record.images.setdefault(path, [])
        for point in operation["values"]:
            step = point.get("step")
            step = len(pictures) if step is None else step
            png = base64.b64decode(point["value"]["data"], validate=True)
            pictures.append((step, float(point.get("ts") or at), png))

    def upload(self, path: str, operation: dict, at: float) -> None:
        name = operation.get("tmp_file_name")
        place = self.folder / "upload_path" / name if name else Path(operation["file_path"])
        inside = place.resolve().is_relative_to((self.folder / "upload_path").resolve())
        if not inside:
            self.record.problems["file that was not kept"] += 1
            return
        self.record.files[path] = place

    def add(self, path: str, operation: dict, at: float) -> None:
        words = set(self.record.fields.get(path, [])) | set(map(str, operation["values"]))
        self.record.fields[path] = sorted(words)

    def take(self, path: str, operation: dict, at: float) -> None:
        words = set(self.record.fields.get(path, [])) - set(map(str, operation["values"]))
        self.record.fields[path] = sorted(words)

    def delete(self, path: str, operation: dict, at: float) -> None:
        record = self.record
        for held in (record.fields, record.series, record.images, record.files):
            held.pop(path, None)

    def clear(self, path: str, operation: dict, at: float) -> None:
        record = self.record
        if path in record.series:
            record.series[path] = Series()
        if path in record.images:
            record.images[path] = []
        if isinstance(record.fields.get(path), list):
            record.fields[path] = []

    def ignore(self, path: str, operation: dict, at: float) -> None:
        pass


ACTIONS = {
    **{f"Assign{kind}": _Replay.assign for kind in ("Float", "Int", "Bool", "String", "Datetime")},
    "LogFloats": _Replay.log,
    "LogStrings": _Replay.log,
    "LogImages": _Replay.images,
    "UploadFile": _Replay.upload,
    "AddStrings": _Replay.add,
    "RemoveStrings": _Replay.take,
    "DeleteAttribute": _Replay.delete,
    "ClearFloatLog": _Replay.clear,
    "ClearStringLog": _Replay.clear,
    "ClearImageLog": _Replay.clear,
    "ClearStringSet": _Replay.clear,
    # They hold nothing that this reader shows.
    "ConfigFloatSeries": _Replay.ignore,
    "UploadFileSet": _Replay.ignore,
    "DeleteFiles": _Replay.ignore,
    "TrackFilesToArtifact": _Replay.ignore,
    "ClearArtifact": _Replay.ignore,
}


def _place_events(record: Record) -> None:
    """What was no number takes its place in the series that it was logged to."""
    events = record.series.get(EVENTS)
    touched = set()
    for text, at in zip(events.values, events.times) if events else ():
        try:
            event = json.loads(text)
            path, value, step = event["path"], str(event["value"]), event.get("step")
        except (ValueError, KeyError, TypeError):
            record.problems["malformed event"] += 1
            continue
        record.events.append({"path": path, "value": value, "step": step})
        if path in record.fields or value not in ("nan", "inf", "-inf"):
            continue
        series = record.series.setdefault(path, Series())
        series.add(step, float(value), at)
        touched.add(path)
    for path in touched:
        series = record.series[path]
        order = sorted(range(len(series.times)), key=series.times.__getitem__)
        for name in ("steps", "values", "times"):
            held = getattr(series, name)
            setattr(series, name, [held[i] for i in order])


def _first_version(path: Path) -> int:
    digits = path.stem.removeprefix("data-")
    return int(digits) if digits.isdigit() else 0


def _alive(pid: int) -> bool:
    """Whether a process of this number runs here."""
    if os.name != "posix":  # elsewhere a signal of 0 is no mere question
        return False
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    return True


def seconds(record: Record) -> float:
    """How long a run has lasted, or lasts."""
    end = time.time() if record.state == RUNNING else record.changed
    return max(end - record.created, 0.0)
