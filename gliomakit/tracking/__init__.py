"""Neptune runs that are never lost, and what reads them back.

Neptune's hosted service closed in March 2026; its client lives on offline. `start_run` gives
Neptune's own run, always offline; `runs_table` and `series` read its files without it;
`tracking.dashboard` shows them.
"""

from __future__ import annotations

import importlib

_WHERE = {
    "start_run": "run",
    "Record": "reader",
    "Series": "reader",
    "find_runs": "reader",
    "read_run": "reader",
    "read_runs": "reader",
    "push": "_push",
    "export_csv": "tables",
    "runs_table": "tables",
    "series": "tables",
    "to_tensorboard": "tensorboard",
}

__all__ = list(_WHERE)


def __getattr__(name: str) -> object:
    if name not in _WHERE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f".{_WHERE[name]}", __name__), name)
