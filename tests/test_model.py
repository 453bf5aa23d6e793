"""Weights files: what is saved is what is loaded, and nothing else is."""

from __future__ import annotations

import errno
import json
import pickle
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from gliomakit import model as module
from gliomakit import weights
from gliomakit.errors import GliomakitError
from gliomakit.model import Model, Settings, load_model, save_model
from gliomakit.unet import UNet3d

SIZE = 16


@pytest.fixture(autouse=True)
def one_thread():
    """Networks this small gain nothing from threads, and lose much on a busy machine."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def make_model(norm: str = "batch", **settings: object) -> Model:
    torch.manual_seed(0)
    told = Settings(**settings)
    network = UNet3d(len(told.sequences), told.channels, base_filters=2, norm=norm)
    for name, buffer in network.named_buffers():  # running averages, as if it had been trained
        if "running" in name:
            buffer.uniform_(0.5, 2)
    return Model(network.eval(), told)


def metadata(path: Path) -> dict:
    with safe_open(path, "pt") as file:
        return json.loads(file.metadata()["gliomakit"])


def rewrite(path: Path, about: object, tensors: dict | None = None) -> None:
    """The file with another description or other weights."""
    tensors = load_file(path) if tensors is None else tensors
    save_file(tensors, path, {"gliomakit": about if isinstance(about, str) else json.dumps(about)})


@pytest.mark.parametrize("norm", ["paper", "batch", "instance", "none"])
@pytest.mark.parametrize("dtype", ["fp32", "fp16", torch.float16])
def test_a_model_comes_back(tmp_path, norm, dtype):
    model = make_model(norm, spacing=None, note="é", sequences=("flair", "t1ce"))
    path = save_model(model, tmp_path / "model.safetensors", dtype)
    loaded = load_model(path)
    assert loaded.settings == model.settings and loaded.source == path
    assert loaded.network.config == model.network.config and not loaded.network.training
    x = torch.randn(1, 2, SIZE, SIZE, SIZE)
    before, after = model.network(x), loaded.network(x)
    assert after.dtype == torch.float32
    torch.testing.assert_close(after, before, atol=0 if dtype == "fp32" else 0.05, rtol=0)
    for name, tensor in model.network.state_dict().items():
        assert loaded.network.state_dict()[name].dtype == tensor.dtype
    assert [p.name for p in tmp_path.iterdir()] == ["model.safetensors"]
    assert all(p.requires_grad for p in loaded.network.parameters())  # it can be trained on


def test_fp16_halves_the_file(tmp_path):
    model = make_model()
    full = save_model(model, tmp_path / "full").stat().st_size
    half = save_model(model, tmp_path / "half", "fp16").stat().st_size
    weights = sum(p.numel() for p in model.network.parameters())
    assert full - half == pytest.approx(2 * weights, rel=0.05)


def test_the_memory_format_does_not_matter(tmp_path):
    model = make_model()
    model.network.to(memory_format=torch.channels_last_3d)
    loaded = load_model(save_model(model, tmp_path / "model"))
    for name, tensor in model.network.state_dict().items():
        assert torch.equal(loaded.network.state_dict()[name], tensor)


def test_loading_leaves_the_random_numbers_alone(tmp_path):
    path = save_model(make_model(), tmp_path / "model")
    torch.manual_seed(3)
    expected = torch.rand(1)
    torch.manual_seed(3)
    load_model(path)
    assert torch.equal(torch.rand(1), expected)


def test_a_loaded_model_does_not_depend_on_its_file(tmp_path):
    path = save_model(make_model(), tmp_path / "model")
    loaded = load_model(path)
    before = {n: t.clone() for n, t in loaded.network.state_dict().items()}
    with open(path, "r+b") as file:
        file.truncate(0)
    assert all(torch.equal(t, before[n]) for n, t in loaded.network.state_dict().items())


def test_files_of_other_kinds(tmp_path):
    path = tmp_path / "model.safetensors"
    refused = "is no weights file of gliomakit, or was cut off"
    with pytest.raises(GliomakitError, match="there is no such weights file"):
        load_model(path)
    with pytest.raises(GliomakitError, match="there is no such weights file"):
        load_model(tmp_path)
    good = save_model(make_model(), tmp_path / "good").read_bytes()
    contents = [b"", b"<!DOCTYPE html><html></html>", b"\x80\x04", bytes(1000), b"\xff" * 1000]
    contents += [good[:n] for n in (4, 8, 100, len(good) // 2, len(good) - 1)] + [good + b"x"]
    contents += [good.replace(b"de1_out", b"de1_cut")]
    for content in contents:
        path.write_bytes(content)
        with pytest.raises(GliomakitError, match=refused) as caught:
            load_model(path)
        assert str(path) in str(caught.value) and "\n" not in str(caught.value)
    save_file({"a": torch.zeros(3)}, path)
    with pytest.raises(GliomakitError, match=f"{refused}.*nothing in it is addressed to glioma"):
        load_model(path)


class Trap:
    def __reduce__(self) -> tuple:
        return (Path.touch, (Path("trap"),))


def test_nothing_is_unpickled(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("a.safetensors").write_bytes(pickle.dumps(Trap()))
    torch.save({"network": Trap()}, "b.pt")
    for name in ("a.safetensors", "b.pt"):
        with pytest.raises(GliomakitError):
            load_model(name)
    assert not Path("trap").exists()


def test_a_newer_format_says_so(tmp_path):
    path = save_model(make_model(), tmp_path / "model")
    rewrite(path, metadata(path) | {"format": 2, "network": "Later", "more": 1})
    with pytest.raises(GliomakitError, match="written by a newer gliomakit.*update gliomakit"):
        load_model(path)


@pytest.mark.parametrize(
    "change",
    [
        {"format": "1"},
        {"format": None},
        {"network": "Module"},
        {"network": ["UNet3d"]},
        {"config": None},
        {"config": {"base_filters": 10**9}},
        {"config": {"base_filters": 1024}},
        {"config": {"base_filters": -1}},
        {"config": {"base_filters": 2.5}},
        {"config": {"base_filters": "2"}},
        {"config": {"base_filters": True}},
        {"config": {"norm": "x" * 10**6}},
        {"config": {"unknown": 1}},
        {"config": {"in_channels": 3}},
        {"settings": {}},
        {"settings": {"unknown": 1}},
        {"settings": {"regions": ["wt"]}},
        {"settings": {"regions": "wt"}},
        {"settings": {"threshold": "x"}},
        {"settings": {"patch": [64, 64]}},
        {"settings": {"patch": [10**9] * 3}},
        {"settings": {"spacing": [0, 1, 1]}},
        {"settings": {"spacing": [float("nan"), 1, 1]}},
    ],
    ids=lambda change: str(change)[:50],
)
def test_descriptions_that_make_no_sense(tmp_path, change):
    path = save_model(make_model(regions=("wt", "tc")), tmp_path / "model")
    about = metadata(path)
    for key, value in change.items():
        nested = isinstance(value, dict) and value
        about[key] = about[key] | value if nested else value
    rewrite(path, about)
    with pytest.raises(GliomakitError, match="is no weights file") as caught:
        load_model(path)
    assert len(str(caught.value)) < 600


@pytest.mark.parametrize("text", ["", "[]", "3", "{", "[" * 100_000, "null"])
def test_descriptions_that_are_none(tmp_path, text):
    path = save_model(make_model(), tmp_path / "model")
    rewrite(path, text)
    with pytest.raises(GliomakitError, match="is no weights file"):
        load_model(path)


def test_weights_that_do_not_fit(tmp_path):
    path = save_model(make_model(), tmp_path / "model")
    about, tensors = metadata(path), load_file(path)
    name = "de1_out.weight"
    for other in (tensors[name][:, :1], tensors[name].flatten()):
        rewrite(path, about, tensors | {name: other.contiguous()})
        with pytest.raises(GliomakitError, match=f"{name} is .*the network needs"):
            load_model(path)
    rewrite(path, about, tensors | {"extra": torch.zeros(1)})
    with pytest.raises(GliomakitError, match="extra is .*the network needs None"):
        load_model(path)
    rewrite(path, about, {n: t for n, t in tensors.items() if n != name})
    with pytest.raises(GliomakitError, match=f"{name} is None"):
        load_model(path)
    rewrite(path, about, tensors | {name: torch.full_like(tensors[name], float("nan"))})
    with pytest.raises(GliomakitError, match=f"{name} holds numbers that are infinite or none"):
        load_model(path)


def test_what_cannot_be_saved(tmp_path):
    model = make_model()
    path = tmp_path / "model"
    with torch.no_grad():
        model.network.de1_out.weight[0, 0] = 1e6
    save_model(model, path)
    with pytest.raises(GliomakitError, match="infinite or none in fp16"):
        save_model(model, path, "fp16")
    with pytest.raises(GliomakitError, match="a Conv3d cannot be saved; known are UNet3d"):
        save_model(Model(torch.nn.Conv3d(4, 3, 1), Settings()), path)
    with pytest.raises(GliomakitError, match="out_channels"):
        Model(model.network, replace(model.settings, regions=("wt",)))
    with pytest.raises(GliomakitError, match="in_channels"):
        Model(model.network, replace(model.settings, sequences=("flair",)))


def test_a_failed_write_keeps_the_old_file(tmp_path, monkeypatch):
    path = save_model(make_model(), tmp_path / "model")
    before = path.read_bytes()

    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(module.os, "fsync", full)
    with pytest.raises(GliomakitError, match="cannot be written .No space left"):
        save_model(make_model("none"), path)
    assert path.read_bytes() == before and len(list(tmp_path.iterdir())) == 1
    monkeypatch.undo()
    with pytest.raises(GliomakitError, match="cannot be written"):
        save_model(make_model(), tmp_path / "missing" / "model")


def test_settings_that_make_no_sense():
    for bad in (
        {"output": "labels"},
        {"regions": ()},
        {"regions": ("tc", "wt")},
        {"regions": ("wt", "wt")},
        {"sequences": ("flair", "dwi")},
        {"clip": (99, 1)},
        {"window": (64.0, 64, 64)},
        {"threshold": 0.0},
        {"mirror": "yx"},
        {"mirror": "w"},
        {"threshold": (0.5, 0.5)},
        {"threshold": (0.5, 0.5, 2)},
        {"min_et_ml": -1},
        {"min_wt_share": 1.5},
        {"subset_dice": {"dwi": (0.5, 0.5, 0.5)}},
        {"subset_dice": {"t1+flair": (0.5, 0.5, 0.5)}},
        {"subset_dice": {"flair+t1": (0.5, 0.5)}},
        {"subset_dice": {"flair+t1": (0.5, 0.5, 1.5)}},
        {"note": None},
    ):
        with pytest.raises(GliomakitError, match=f"a network's {next(iter(bad))} cannot be"):
            Settings(**bad)


def test_thresholds_and_subsets_come_back(tmp_path):
    settings = Settings(
        threshold=(0.4, 0.5, 0.6),
        mirror="xy",
        subset_dice={"flair": (0.8, 0.5, 0.1), "flair+t1ce": (0.9, 0.7, 0.7)},
    )
    model = load_model(save_model(Model(UNet3d(4, 3, 2), settings), tmp_path / "model"))
    assert model.settings.threshold == (0.4, 0.5, 0.6)
    assert model.settings.mirror == "xy"
    assert model.settings.weak(("flair",)) == {"tc": 0.5, "et": 0.1}
    assert model.settings.weak(("t1ce", "flair")) == {}
    assert model.settings.weak(("t1",)) == {}, "nobody measured"


def test_the_shipped_weights(tmp_path, monkeypatch):
    path = save_model(make_model(), tmp_path / "mine.safetensors")
    assert weights.load(path).source == path
    monkeypatch.setattr(weights, "SHIPPED", path)
    assert weights.load().settings == Settings()
    monkeypatch.setattr(weights, "SHIPPED", tmp_path / "phantom.safetensors")
    with pytest.raises(GliomakitError, match="phantom.safetensors: .*`make weights`"):
        weights.load()
