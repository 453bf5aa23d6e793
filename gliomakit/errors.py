"""The one error that a user should ever see."""

from __future__ import annotations

from pathlib import Path


class GliomakitError(Exception):
    """Bad input or bad usage: what is wrong, where, and the way out, in one line.

    what:  what is wrong, in the user's words.
    where: the file or folder that it is about.
    todo:  what the user can do about it.

    The command line prints it as ``gliomakit: error: where: what; todo`` and exits with 2.

    >>> print(GliomakitError("label 7 is not in the convention msd", where="seg.nii.gz",
    ...                      todo="known are 0, 1, 2, 3"))
    seg.nii.gz: label 7 is not in the convention msd; known are 0, 1, 2, 3
    """

    def __init__(self, what: str, where: str | Path | None = None, todo: str | None = None):
        self.what, self.where, self.todo = what, where, todo
        line = f"{where}: {what}" if where is not None else what
        line = f"{line}; {todo}" if todo else line
        # One line is the promise: messages of other libraries may bring their own breaks.
        super().__init__(" ".join(line.split()))
