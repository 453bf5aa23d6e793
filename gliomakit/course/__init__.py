"""The course: what lessons call (`emit`, `choose_size`, exercises, quiz), and what builds and
executes them (`build`, `run`)."""

from ._emit import MIME, emit
from ._size import choose_size

__all__ = ["MIME", "choose_size", "emit"]
