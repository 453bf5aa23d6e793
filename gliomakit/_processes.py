"""Several processes that train one network, started by torchrun: who this one is, and what they do
together. In a process that nobody else started with, `rank` is 0, `world` 1, and nothing happens.
"""

from __future__ import annotations

import atexit
import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta

import torch
import torch.distributed as dist
from torch import Tensor

PATIENCE = timedelta(hours=2)
"""How long a process waits for the others: one of them validates or prepares cases meanwhile."""


def join(device: torch.device) -> torch.device:
    """Meet the other processes, if torchrun started some; the device that is this one's.

    On GPUs each process has its own, by its number on the machine, and they talk by NCCL; on
    processors by gloo.
    """
    told = all(name in os.environ for name in ("RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT"))
    if not told or int(os.environ["WORLD_SIZE"]) < 2 or not dist.is_available():
        return device
    if device.type == "cuda":
        device = torch.device("cuda", int(os.environ.get("LOCAL_RANK", 0)))
        torch.cuda.set_device(device)
    if not dist.is_initialized():
        dist.init_process_group("nccl" if device.type == "cuda" else "gloo", timeout=PATIENCE)
        atexit.register(dist.destroy_process_group)
    return device


def rank() -> int:
    """This process's number, from 0."""
    return dist.get_rank() if world() > 1 else 0


def world() -> int:
    """How many processes there are."""
    return dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1


def wait() -> None:
    """Wait until all processes have come here."""
    if world() > 1:
        dist.barrier()


@contextmanager
def first_alone() -> Iterator[None]:
    """The first process does it before the others: they find what it has written."""
    if rank() > 0:
        wait()
    yield
    if rank() == 0:
        wait()


def summed(x: Tensor) -> Tensor:
    """The sum over all processes, with its gradient."""
    if world() == 1:
        return x
    from torch.distributed.nn.functional import all_reduce

    return all_reduce(x)
