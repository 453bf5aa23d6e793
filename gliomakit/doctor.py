"""What this machine can do: `gliomakit doctor`, and the line that every lesson begins with."""

from __future__ import annotations

import json
import os
import platform
import re
import shutil
import time
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, requires, version
from importlib.util import find_spec

import torch

from . import __version__
from .device import PRECISIONS, describe, fast_precision, pick_device
from .errors import GliomakitError
from .paths import cache_folder, data_folder
from .project import shipped

PACKAGES = (
    "torch", "torchvision", "numpy", "nibabel", "scipy", "safetensors", "fastai", "nilearn",
    "monai", "matplotlib", "ipywidgets", "jupyterlab", "neptune",
)  # fmt: skip
"""Whose versions are worth knowing when something does not work."""

Report = dict[str, object]


def collect() -> Report:
    """Everything that `gliomakit doctor` says, as it is printed with --json. Takes some seconds.

    Nothing leaves the machine, and nothing is written.

    >>> sorted(collect())[:5]
    ['cache', 'cores', 'data', 'device', 'gflops']
    """
    device = describe()
    report: Report = {
        "gliomakit": __version__,
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.machine()}",
        "device": device,
        "cores": cores(),
        "gflops": gflops(str(device["device"])),
        "versions": {name: installed(name) for name in PACKAGES},
        "torchvision": torchvision_state(),
        "neptune": find_spec("neptune") is not None,
        "data": own_data(),
        "cache": cache_state(),
    }
    report["slow"] = slow(report)
    return report


def one_line() -> str:
    """The machine in one line, for the set-up cell of a lesson.

    >>> one_line().startswith("gliomakit ")
    True
    """
    found = describe()
    kind = "GPU" if str(found["device"]).startswith("cuda") else str(found["device"]).upper()
    memory = f", {found['memory_gb']:g} GB" if found["memory_gb"] else ""
    return f"gliomakit {__version__} on {kind}: {found['name']}{memory}, {found['precision']}."


def cores() -> int:
    """Processor cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def gflops(name: str, side: int = 1024, repeats: int = 5) -> float:
    """GFLOP/s of a product of two matrices in the precision that networks use on this device.

    The best of `repeats`, after one for warming up: what the arithmetic can reach, not what a
    network does, which spends much of its time moving memory.
    """
    device = pick_device(name)
    a = torch.ones(side, side, device=device, dtype=PRECISIONS[fast_precision(device)])
    best = float("inf")
    for _ in range(repeats + 1):
        start = time.perf_counter()
        (a @ a)[0, 0].item()  # asking for a number waits for the device
        best = min(best, time.perf_counter() - start)
    return round(2 * side**3 / best / 1e9, 1)


def installed(name: str) -> str | None:
    """A package's version; None if it is not installed. Nothing is imported."""
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def torchvision_state() -> Report:
    """Does torchvision fit PyTorch? `state` is missing, fine, mended or broken; `note` says why."""
    if installed("torchvision") is None:
        return {"state": "missing", "note": "lessons with fastai need it"}
    from ._torchvision import import_torchvision, mended

    wanted = wanted_torch(requires("torchvision") or [])
    has = torch.__version__.partition("+")[0]
    pair = f"torchvision {version('torchvision')} is built for PyTorch {wanted}, here is {has}"
    try:
        import_torchvision()
    except GliomakitError as error:
        return {"state": "broken", "note": pair if wanted not in (None, has) else str(error)}
    if mended():
        note = (
            "PyTorch and torchvision are builds of different kinds (one for CPUs, one for CUDA): "
            "torchvision's compiled operators cannot be loaded. gliomakit declares the two that "
            "its import asks for, and networks and fastai work; box operators do not"
        )
        return {"state": "mended", "note": note}
    return {"state": "fine", "note": pair if wanted not in (None, has) else ""}


def wanted_torch(requirements: list[str]) -> str | None:
    """The one version of torch that a package's requirements name; None if they leave it open.

    >>> wanted_torch(["numpy", "torch (==2.13.0)"]), wanted_torch(["torch>=2"])
    ('2.13.0', None)
    """
    lines = (re.fullmatch(r"torch\s*\(?==\s*([\d.]+)\)?.*", line) for line in requirements)
    return next((line[1] for line in lines if line), None)


def own_data() -> Report:
    """What GLIOMAKIT_DATA names and what is recognised in it."""
    folder = data_folder()
    if folder is None:
        return {"folder": None, "found": "GLIOMAKIT_DATA names no folder: lessons use phantoms"}
    if any(folder.glob("TCGA_*")) or any(folder.glob("kaggle_3m/TCGA_*")):
        return {"folder": str(folder), "found": "LGG MRI Segmentation"}
    from .cases import find_cases

    try:
        cases = find_cases(folder)
    except GliomakitError as error:
        return {"folder": str(folder), "found": f"nothing ({error})"}
    labelled = sum(case.label is not None for case in cases)
    return {"folder": str(folder), "found": f"{len(cases)} cases, {labelled} of them with a label"}


def cache_state() -> Report:
    """Where caches go, the room there, and whether the embedded phantoms are made."""
    folder = cache_folder()
    there = next(p for p in (folder, *folder.parents) if p.is_dir())
    made = 0
    for file in folder.glob("phantoms/*/*/dataset.json"):
        # A damaged one counts as none: a report must not end at what it could report.
        with suppress(OSError, ValueError, AttributeError, TypeError):
            made += len(json.loads(file.read_text(encoding="utf-8")).get("training", []))
    free = round(shutil.disk_usage(there).free / 1e9, 1)
    return {"folder": str(folder), "free_gb": free, "phantoms": made}


def slow(report: Report) -> list[str]:
    """What will be slow on this machine, each with its reason; [] if nothing stands out."""
    device, cache = report["device"], report["cache"]
    papers = json.loads(shipped("papers.json").read_text(encoding="utf-8"))
    eflop = papers["shaukat2022"]["training_cost"]["eflop"]
    days = eflop * 1e9 / report["gflops"] / 86400
    found = []
    if device["device"] == "cpu":
        found.append(
            "Training: there is no GPU, so lessons run small. The first paper's training "
            f"({eflop} EFLOP) would take {days:,.0f} days if all of this machine's "
            f"{report['gflops']:,.0f} GFLOP/s went into it."
        )
    if device["device"] == "cpu" and device["precision"] == "fp32":
        found.append(
            "Networks: this processor has no bf16 arithmetic, which makes them two to three times "
            "faster elsewhere."
        )
    if report["cores"] < 4:
        found.append(
            f"Making phantoms and caches: they are made in parallel, here on {report['cores']} "
            f"core{'s' if report['cores'] > 1 else ''}."
        )
    if device["memory_gb"] and device["memory_gb"] < 8:
        found.append(
            f"Whole patients at 1 mm: {device['memory_gb']:g} GB of memory is little; run one "
            "lesson at a time, and close what else is open."
        )
    if cache["free_gb"] < 3:
        found.append(
            f"Caches: {cache['free_gb']:g} GB are free in {cache['folder']}; name another place "
            "with GLIOMAKIT_CACHE."
        )
    return found


def render(report: Report) -> str:
    """The report as text for a terminal."""
    device, cache, vision = report["device"], report["cache"], report["torchvision"]
    gb = f"{device['memory_gb']:g} GB" if device["memory_gb"] else "size unknown"
    free = f", {device['free_gb']:g} GB free" if device["free_gb"] else ""
    has = ", ".join(f"{name} {v}" for name, v in report["versions"].items() if v)
    lacks = ", ".join(name for name, v in report["versions"].items() if not v)
    rows = [
        ("gliomakit", f"{report['gliomakit']}, Python {report['python']}, {report['system']}"),
        ("device", f"{device['device']}: {device['name']}"),
        (
            "precision",
            f"{device['precision']}, {report['gflops']:,.0f} GFLOP/s in a matrix product",
        ),
        ("memory", gb + free),
        ("cores", f"{report['cores']}, PyTorch uses {device['threads']}"),
        ("versions", has),
        ("missing", lacks),
        (
            "torchvision",
            " ".join(f"{vision['state']}. {vision['note']}".split()).rstrip(". ") + ".",
        ),
        ("Neptune", "installed; lessons use it offline only" if report["neptune"] else "missing"),
        ("your data", ": ".join(filter(None, (report["data"]["folder"], report["data"]["found"])))),
        ("caches", f"{cache['folder']}, {cache['free_gb']:g} GB free"),
        ("phantoms", f"{cache['phantoms']} patients made" if cache["phantoms"] else "not made yet"),
    ]
    lines = [f"{name:12} {said}" for name, said in rows if said]
    remarks = report["slow"] or ["Nothing stands out."]
    return "\n".join([*lines, "", "What will be slow:", *(f"- {remark}" for remark in remarks)])
