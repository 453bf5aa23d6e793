"""What a dashboard shows, as plain data: runs, their fields, curves that were thinned, pictures."""

from __future__ import annotations

import base64
import math
from collections.abc import Sequence

from ..reader import Record, seconds
from ..tables import HIDDEN

MOST_POINTS = 240
"""Points of a curve on a page: more than a chart has pixels for."""

PICTURE_BYTES = 1_500_000
"""Of pictures on a page, all runs together; the last ones of each run go first."""


def page_data(records: Sequence[Record], points: int = MOST_POINTS) -> dict[str, object]:
    """Everything that a page needs, ready for JSON: text, finite numbers, None.

    points: a curve of more is thinned (`thin`); the page gets smaller with many runs.
    """
    pictures = _pictures(records)
    return {
        "runs": [
            {
                "id": record.id,
                "name": record.name,
                "state": record.state,
                "created": record.created,
                "seconds": round(seconds(record), 1),
                "tags": record.tags,
                "fields": {
                    path: _shown(value)
                    for path, value in sorted(record.fields.items())
                    if not path.startswith(HIDDEN)
                },
                "series": {
                    path: _curve(series.steps, series.values, points)
                    for path, series in sorted(record.series.items())
                    if _numbers(series.values)
                },
                "last": {
                    path: _shown(series.values[-1])
                    for path, series in sorted(record.series.items())
                    if series.values and not path.startswith(HIDDEN)
                },
                "images": pictures[number],
                "events": len(record.events),
                "problems": dict(record.problems),
            }
            for number, record in enumerate(records)
        ]
    }


def thin(
    steps: Sequence[float], values: Sequence[float], most: int = MOST_POINTS
) -> tuple[list[float], list[float]]:
    """At most so many points of a curve, with the lowest and the highest value of every stretch.

    The first and the last point stay; so does every peak, which a mean or every tenth point would
    lose. Values that are no numbers are gaps: they stay too, as far as there is room.

    >>> thin([0, 1, 2, 3, 4, 5, 6, 7], [0, 9, 0, 0, 0, 0, -5, 1], most=6)
    ([0, 1, 2, 4, 6, 7], [0, 9, 0, 0, -5, 1])
    """
    n = len(steps)
    if n <= most:
        return list(steps), list(values)
    stretches = max(1, (most - 2) // 2)
    kept = {0, n - 1}
    for k in range(stretches):
        low, high = 1 + k * (n - 2) // stretches, 1 + (k + 1) * (n - 2) // stretches
        inside = [i for i in range(low, high) if math.isfinite(values[i])]
        if inside:
            kept |= {min(inside, key=values.__getitem__), max(inside, key=values.__getitem__)}
        elif low < high:
            kept.add(low)
    order = sorted(kept)
    return [steps[i] for i in order], [values[i] for i in order]


def _curve(steps: Sequence[float], values: Sequence[float], points: int) -> list[list[object]]:
    steps, values = thin(steps, values, points)
    return [[_short(s) for s in steps], [_short(v) for v in values]]


def _short(value: float) -> float | int | None:
    """Five figures are more than a chart shows; what is no number is a gap."""
    if not math.isfinite(value):
        return None
    if value == int(value) and abs(value) < 1e9:
        return int(value)
    return float(f"{value:.5g}")


def _numbers(values: Sequence[object]) -> bool:
    return bool(values) and not isinstance(values[0], str)


def _shown(value: object) -> object:
    if isinstance(value, float):
        return value if math.isfinite(value) else str(value)
    if isinstance(value, bool | int | str):
        return value
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)


def _pictures(records: Sequence[Record]) -> list[dict[str, list[list[object]]]]:
    """Series of pictures of each run, as far as there is room."""
    every = [
        (rank, number, path, step, png)
        for number, record in enumerate(records)
        for path, pictures in record.images.items()
        for rank, (step, _, png) in enumerate(reversed(pictures))
    ]
    found: list[dict[str, list[list[object]]]] = [{} for _ in records]
    room = PICTURE_BYTES
    for _, number, path, step, png in sorted(every, key=lambda one: one[:4]):
        if png.startswith(b"\x89PNG\r\n\x1a\n") and len(png) <= room:
            room -= len(png)
            text = base64.b64encode(png).decode()
            found[number].setdefault(path, []).append([_short(float(step)), text])
    for pictures in found:
        for series in pictures.values():
            series.sort(key=lambda one: one[0])
    return found
