"""Where to compute, and how precisely: CUDA, Apple's MPS or the processor.

Numbers of half the size are three to seven times faster where the hardware multiplies them
natively, and slower than fp32 where it does not. bf16 has fp32's range and three digits; fp16 has
four digits, but overflows beyond 65,504, so training with it needs a gradient scaler.
"""

from __future__ import annotations

import os
import platform
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from functools import cache
from pathlib import Path

import numpy as np
import torch
from torch.nn import functional as F

from .errors import GliomakitError

PRECISIONS = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
"""What a network may compute in. Weights and results are fp32 in any case."""


def pick_device(name: str | torch.device | None = None) -> torch.device:
    """The device of that name; None takes the fastest that works: CUDA, then MPS, then the CPU.

    Raises `GliomakitError` if the named device is not there or cannot run a 3-D network.

    >>> pick_device("cpu")
    device(type='cpu')
    >>> pick_device("tpu")
    Traceback (most recent call last):
    gliomakit.errors.GliomakitError: there is no device 'tpu'; known are cpu, cuda and mps
    """
    if name is None:
        return next(torch.device(kind) for kind in ("cuda", "mps", "cpu") if not _fault(kind))
    kind = str(name).partition(":")[0]
    try:
        if kind not in ("cpu", "cuda", "mps"):
            raise ValueError
        device = torch.device(name)
    except (RuntimeError, ValueError):
        raise GliomakitError(
            f"there is no device {str(name)!r}", todo="known are cpu, cuda and mps"
        ) from None
    fault = _fault(str(device))
    if fault:
        raise GliomakitError(f"device {device} cannot be used: {fault}", todo="use --device cpu")
    return device


def fast_precision(device: torch.device | str) -> str:
    """The fastest precision that the device has natively: "bf16", "fp16" or "fp32".

    bf16 on GPUs from compute capability 8.0 on and on processors with AVX512-BF16 or AMX; fp16 on
    older GPUs; fp32 elsewhere.

    >>> fast_precision("cpu") in ("bf16", "fp32")
    True
    """
    device = torch.device(device)
    if device.type == "cuda":
        return "bf16" if torch.cuda.get_device_capability(device)[0] >= 8 else "fp16"
    if device.type == "cpu" and _features() & {"avx512_bf16", "amx_bf16"}:
        return "bf16"
    return "fp32"


def autocast(
    device: torch.device | str, precision: str | None = None
) -> AbstractContextManager[object]:
    """A context in which networks compute in `precision`; None is `fast_precision(device)`.

    >>> with autocast("cpu", "bf16"):
    ...     torch.nn.Linear(2, 2)(torch.zeros(1, 2)).dtype
    torch.bfloat16
    """
    device = torch.device(device)
    precision = precision or fast_precision(device)
    if precision not in PRECISIONS:
        raise GliomakitError(
            f"there is no precision {precision!r}", todo=f"known are {', '.join(PRECISIONS)}"
        )
    if precision == "fp32":
        return nullcontext()
    return torch.autocast(device.type, PRECISIONS[precision])


def compiled(network: Callable[[torch.Tensor], torch.Tensor]) -> Callable[..., torch.Tensor]:
    """The network as one program that `torch.compile` makes at the first call.

    That takes a minute or two, and again for another shape of input; after it, loops over numbers
    that a network does one after the other are done in one. It pays in long runs. It needs a C++
    compiler on a processor, Triton on a GPU; `GliomakitError` at the first call where it fails.
    """
    program = torch.compile(network)

    def call(*inputs: torch.Tensor) -> torch.Tensor:
        try:
            return program(*inputs)
        except Exception as error:
            if not type(error).__module__.startswith(("torch._dynamo", "torch._inductor")):
                raise
            said = str(error).strip().partition("\n")[0]
            raise GliomakitError(
                f"PyTorch cannot compile the network here: {said}", todo="go on without compile"
            ) from error

    return call


def sent(
    array: np.ndarray | torch.Tensor, device: torch.device, dtype: torch.dtype | None = None
) -> torch.Tensor:
    """An array on the device, by default of its own type.

    A GPU takes it from pinned memory while it works on: an ordinary copy waits until all that the
    GPU was given before is done, and meanwhile nobody can give it more.

    >>> sent(np.array([1.0, 2.0]), torch.device("cpu"), torch.float32)
    tensor([1., 2.])
    """
    tensor = torch.as_tensor(array, dtype=dtype)
    if device.type != "cuda" or tensor.is_cuda:
        return tensor.to(device)
    return tensor.pin_memory().to(device, non_blocking=True)


def empty(
    shape: Sequence[int], dtype: torch.dtype = torch.float32, device: torch.device | str = "cpu"
) -> torch.Tensor:
    """A tensor whose numbers are still to be written, as `torch.empty` makes it.

    On a processor NumPy does: it asks Linux for pages of 2 MB where PyTorch takes those of 4 KB,
    and a batch of 64 MB is there in a fifth of the time.

    >>> empty((2, 3), torch.uint8).dtype
    torch.uint8
    """
    if torch.device(device).type != "cpu":
        return torch.empty(tuple(shape), dtype=dtype, device=device)
    return torch.from_numpy(np.empty(shape, torch.empty(0, dtype=dtype).numpy().dtype))


def memory_format(device: torch.device | str, precision: str) -> torch.memory_format:
    """How 3-D images and weights best lie in memory.

    Channels last on a processor (in fp32 `UNet3d` takes a third less time by it on one with AVX2,
    in bf16 on one with AMX less than half), and on GPUs in half precision; elsewhere PyTorch's own
    order.

    >>> memory_format("cpu", "fp32"), memory_format("mps", "fp32")
    (torch.channels_last_3d, torch.contiguous_format)
    """
    kind = torch.device(device).type
    last = kind == "cpu" or (kind == "cuda" and precision != "fp32")
    return torch.channels_last_3d if last else torch.contiguous_format


def memory(device: torch.device | str) -> tuple[int | None, int | None]:
    """Free and total memory of the device in bytes; None where it cannot be told.

    >>> free, total = memory("cpu")
    >>> free is None or total is None or 0 < free <= total
    True
    """
    device = torch.device(device)
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)
    free, total = _meminfo("MemAvailable"), _meminfo("MemTotal")
    if total is None and hasattr(os, "sysconf") and "SC_PHYS_PAGES" in os.sysconf_names:
        total = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    limit = _limit()  # a container may be allowed less than the machine has
    if limit is not None:
        total = limit if total is None else min(limit, total)
        free = None if free is None else min(free, limit)
    return free, total


def describe(name: str | torch.device | None = None) -> dict[str, object]:
    """What `gliomakit doctor` says of a device (memory in GB, None where unknown).

    >>> sorted(describe("cpu"))
    ['device', 'free_gb', 'memory_gb', 'name', 'precision', 'threads', 'torch']
    """
    device = pick_device(name)
    free, total = memory(device)
    gpu = device.type == "cuda"
    return {
        "device": str(device),
        "name": torch.cuda.get_device_name(device) if gpu else _processor(),
        "precision": fast_precision(device),
        "memory_gb": None if total is None else round(total / 1e9, 1),
        "free_gb": None if free is None else round(free / 1e9, 1),
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
    }


@cache
def _fault(name: str) -> str | None:
    """What keeps a device from running a 3-D network; None if nothing does."""
    device = torch.device(name)
    if device.type == "cpu":
        return None
    if device.type == "cuda" and not torch.cuda.is_available():
        return "PyTorch finds no NVIDIA GPU, or was installed without CUDA"
    if device.type == "mps" and not torch.backends.mps.is_available():
        return "PyTorch finds no Apple GPU"
    try:  # old GPUs lack kernels, and older MPS versions lack 3-D layers
        x = torch.zeros(1, 1, 4, 4, 4, device=device)
        kernel = torch.zeros(1, 1, 2, 2, 2, device=device)
        x = F.max_pool3d(F.conv3d(x, kernel, padding=1), 2)
        F.conv_transpose3d(x, kernel, stride=2).sum().item()
    except (RuntimeError, NotImplementedError) as error:
        return str(error).strip().partition("\n")[0]
    return None


@cache
def _features() -> frozenset[str]:
    """Instruction sets of the processor, in PyTorch's names or the kernel's."""
    ask = getattr(torch.cpu, "get_capabilities", None)  # PyTorch 2.11 and later
    if ask is not None:
        try:
            return frozenset(name for name, value in ask().items() if value is True)
        except RuntimeError:
            pass
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return frozenset()
    lines = (line.partition(":") for line in text.splitlines())
    return frozenset(
        word
        for key, _, value in lines
        if key.strip() in ("flags", "Features")
        for word in value.split()
    )


def _meminfo(key: str) -> int | None:
    try:
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
    except OSError:
        return None
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith(key + ":")), None)


def _limit() -> int | None:
    for file in ("memory.max", "memory/memory.limit_in_bytes"):
        try:
            return int((Path("/sys/fs/cgroup") / file).read_text(encoding="ascii"))
        except (OSError, ValueError):  # no such file, or "max"
            continue
    return None


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        lines = []
    named = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(named, platform.processor() or platform.machine())
