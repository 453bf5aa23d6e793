"""How much a lesson runs: one name, the same cells."""

from __future__ import annotations

import os

from ..errors import GliomakitError

SIZES = ("laptop", "gpu", "paper")


def choose_size(
    size: str | None = None,
    hours: float | None = None,
    disk_gb: float | None = None,
    memory_gb: float | None = None,
) -> str:
    """The size at which a lesson runs; prints which and why.

    size: "laptop", "gpu" or "paper". None takes `GLIOMAKIT_SIZE`, else "gpu" where CUDA is found,
          else "laptop". "paper" is never taken by itself.
    hours, disk_gb, memory_gb: what "paper" would cost, printed before it is chosen.

    >>> choose_size("laptop")
    Size: laptop, as you asked.
    'laptop'
    """
    why = "as you asked"
    if size is None and os.environ.get("GLIOMAKIT_SIZE"):
        size, why = os.environ["GLIOMAKIT_SIZE"], "as GLIOMAKIT_SIZE says"
    if size is None:
        import torch

        found = torch.cuda.is_available()
        size, why = ("gpu", "CUDA was found") if found else ("laptop", "no CUDA here")
    if size not in SIZES:
        raise GliomakitError(f"there is no size {size!r}", todo=f"known are {', '.join(SIZES)}")
    print(f"Size: {size}, {why}.")
    costs = [(hours, "hours"), (disk_gb, "GB on disk"), (memory_gb, "GB of memory")]
    parts = [f"{amount:g} {unit}" for amount, unit in costs if amount is not None]
    if size == "paper" and parts:
        print(f"Expect about {', '.join(parts)}.")
    return size
