"""The part of Neptune's API that lessons write, over a `Keeper`: the same for Neptune's client and
for the writer that takes over where it cannot be imported."""

from __future__ import annotations

from collections.abc import Iterable

from ._keeper import Keeper


class Keeping:
    """`run["a/b"]` and what can be said to it. Its class has `_keeper` and `_path`."""

    _keeper: Keeper
    _path: str

    def assign(self, value: object, *, wait: bool = False) -> None:
        self._keeper.assign(self._path, value)
        self._wait(wait)

    def append(
        self,
        value: object,
        *,
        step: float | None = None,
        timestamp: float | None = None,
        wait: bool = False,
        **_: object,
    ) -> None:
        self._keeper.append(self._path, value, step, timestamp)
        self._wait(wait)

    def extend(
        self,
        values: Iterable[object],
        *,
        steps: Iterable[float] | None = None,
        timestamps: Iterable[float] | None = None,
        wait: bool = False,
        **_: object,
    ) -> None:
        if hasattr(values, "items"):
            for name, one in values.items():
                below = self[name]
                below.extend(one, steps=steps, timestamps=timestamps)
        else:
            values = list(values)
            steps = [None] * len(values) if steps is None else list(steps)
            times = [None] * len(values) if timestamps is None else list(timestamps)
            for value, step, time in zip(values, steps, times, strict=True):
                self._keeper.append(self._path, value, step, time)
        self._wait(wait)

    def log(self, value: object, *, step: float | None = None, **more: object) -> None:
        self.append(value, step=step, **more)

    def upload(
        self, value: object, *, extension: str | None = None, wait: bool = False, **_: object
    ) -> None:
        self._keeper.upload(self._path, value, extension)
        self._wait(wait)

    def add(self, values: str | Iterable[str], *, wait: bool = False) -> None:
        self._keeper.add(self._path, values)
        self._wait(wait)

    def pop(self, path: str | None = None, *, wait: bool = False) -> None:
        self._keeper.remove(f"{self._path}/{path}" if path else self._path)
        self._wait(wait)

    def __setitem__(self, key: str, value: object) -> None:
        self[key].assign(value)

    def __delitem__(self, key: str) -> None:
        self.pop(key)

    def _wait(self, wait: bool) -> None:
        if wait:
            self._keeper.flush()
