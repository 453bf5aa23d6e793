"""Dashboards of runs, from their files alone: a page, and a panel in a notebook."""

from __future__ import annotations

from importlib import import_module

_WHERE = {"Panel": "panel", "page": "page", "side_by_side": "panel", "write_page": "page"}

__all__ = ["Panel", "side_by_side", "write_page"]  # noqa: F822 (loaded by __getattr__)


def __getattr__(name: str) -> object:
    """The panel needs ipywidgets, the page does not."""
    if name not in _WHERE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module = import_module(f".{_WHERE[name]}", __name__)
    return module if name == _WHERE[name] else getattr(module, name)
