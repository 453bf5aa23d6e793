"""Where to compute and how precisely."""

from __future__ import annotations

import pytest
import torch

from gliomakit import device as module
from gliomakit.device import autocast, describe, fast_precision, memory, memory_format, pick_device
from gliomakit.errors import GliomakitError


@pytest.fixture(autouse=True)
def forget():
    """Faults and features are remembered: forget them, so that tests may pretend."""
    module._fault.cache_clear()
    module._features.cache_clear()
    yield
    module._fault.cache_clear()
    module._features.cache_clear()


def test_the_cpu_is_there_always(monkeypatch):
    assert pick_device("cpu") == torch.device("cpu") == pick_device(torch.device("cpu"))
    monkeypatch.setattr(module, "_fault", lambda name: None if name == "cpu" else "broken")
    assert pick_device() == torch.device("cpu")


def test_the_fastest_that_works_is_taken(monkeypatch):
    monkeypatch.setattr(module, "_fault", lambda name: "no" if name == "cuda" else None)
    assert pick_device().type == "mps"
    monkeypatch.setattr(module, "_fault", lambda name: None)
    assert pick_device().type == "cuda"


def test_a_device_that_is_not_there(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    with pytest.raises(GliomakitError, match="cuda cannot be used: PyTorch finds no NVIDIA GPU"):
        pick_device("cuda")
    with pytest.raises(GliomakitError, match="mps cannot be used: PyTorch finds no Apple GPU"):
        pick_device("mps")
    for name in ("gpu", "", "cuda:x", "cpu:-2", "meta", "xpu"):
        with pytest.raises(GliomakitError, match="known are cpu, cuda and mps"):
            pick_device(name)


def test_a_gpu_without_3d_layers_is_passed_over(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)

    def zeros(*_: object, **__: object) -> None:
        raise RuntimeError("ConvTranspose 3D is not supported on MPS\nand more")

    monkeypatch.setattr(torch, "zeros", zeros)
    assert pick_device() == torch.device("cpu")
    with pytest.raises(GliomakitError, match="mps cannot be used: ConvTranspose 3D is not supp"):
        pick_device("mps")


@pytest.mark.parametrize(
    ("capability", "expected"), [((7, 5), "fp16"), ((8, 0), "bf16"), ((9, 0), "bf16")]
)
def test_precision_of_gpus(monkeypatch, capability, expected):
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda _: capability)
    assert fast_precision("cuda") == expected


@pytest.mark.parametrize(
    ("features", "expected"),
    [
        ({"avx2": True, "avx512_bf16": False}, "fp32"),
        ({"avx512_bf16": True}, "bf16"),
        ({"amx_bf16": True}, "bf16"),
        ({"bf16": True, "architecture": "aarch64"}, "fp32"),  # native, but not faster in 3-D
    ],
)
def test_precision_of_processors(monkeypatch, features, expected):
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: features, raising=False)
    assert fast_precision("cpu") == expected
    assert fast_precision("mps") == "fp32"


def test_older_pytorch_asks_the_kernel(monkeypatch, tmp_path):
    monkeypatch.delattr(torch.cpu, "get_capabilities", raising=False)
    info = tmp_path / "cpuinfo"
    info.write_text("model name\t: Some bf16 name\nflags\t\t: fpu avx512_bf16 amx_tile\n")
    monkeypatch.setattr(module, "Path", lambda _: info)
    assert fast_precision("cpu") == "bf16"
    module._features.cache_clear()
    info.unlink()
    assert fast_precision("cpu") == "fp32"


@pytest.mark.parametrize("precision", ["fp32", "bf16", None])
def test_autocast(precision):
    with autocast("cpu", precision):
        product = torch.ones(2, 2) @ torch.ones(2, 2)
    assert product.dtype == module.PRECISIONS[precision or fast_precision("cpu")]
    assert (torch.ones(2, 2) @ torch.ones(2, 2)).dtype == torch.float32
    with pytest.raises(GliomakitError, match="there is no precision 'fp8'; known are fp32"):
        autocast("cpu", "fp8")


def test_memory_formats():
    assert memory_format("cpu", "bf16") == torch.channels_last_3d
    assert memory_format("cpu", "fp32") == torch.channels_last_3d
    assert memory_format("cuda", "fp32") == torch.contiguous_format
    assert memory_format("cuda", "fp16") == torch.channels_last_3d
    assert memory_format("mps", "fp16") == torch.contiguous_format


def test_memory_respects_a_containers_limit(monkeypatch):
    monkeypatch.setattr(module, "_limit", lambda: 10**6)
    free, total = memory("cpu")
    assert total == 10**6 and (free is None or free <= total)
    monkeypatch.setattr(module, "_limit", lambda: None)
    assert memory("cpu")[1] > 10**6


def test_describe():
    found = describe("cpu")
    assert found["device"] == "cpu" and found["precision"] == fast_precision("cpu")
    assert found["name"] and found["threads"] >= 1
