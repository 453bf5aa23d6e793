"""`torch.compile`: the same numbers, or a line that says why not."""

from __future__ import annotations

import shutil

import pytest
import torch
from torch import nn

from gliomakit import device
from gliomakit._learner import Learner
from gliomakit.errors import GliomakitError
from gliomakit.inference import sliding_window
from gliomakit.training import Fit
from tests.test_training import TINY, prepared

COMPILER = any(shutil.which(name) for name in ("g++", "c++", "clang++"))


def small():
    """A whole U-Net takes minutes to compile."""
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv3d(4, 4, 3, padding=1), nn.ReLU(), nn.Conv3d(4, 3, 1))


def test_a_compiled_network_says_and_learns_the_same(monkeypatch):
    network, image = small(), torch.randn(4, 20, 16, 16)
    plain = sliding_window(network, image, 16)
    if not COMPILER:
        with pytest.raises(GliomakitError, match="cannot compile the network here"):
            sliding_window(network, image, 16, compile=True)
        return
    assert torch.allclose(sliding_window(network, image, 16, compile=True), plain, atol=1e-5)
    monkeypatch.setattr(Fit, "make_network", lambda self: small())
    losses = []
    for compile in (False, True):
        learner = Learner([prepared(0)], Fit(**TINY, compile=compile), torch.device("cpu"))
        losses.append([float(learner.step(number)[0]) for number in range(2)])
        assert not any("_orig_mod" in name for name in learner.network.state_dict())
    assert losses[0] == pytest.approx(losses[1], abs=1e-4)


def test_what_cannot_be_compiled_is_said_in_one_line(monkeypatch):
    failure = type("InductorError", (RuntimeError,), {"__module__": "torch._inductor.exc"})

    def broken(network):
        def call(x):
            raise failure("no C++ compiler\nand a hundred lines more") if x.any() else ValueError(1)

        return call

    monkeypatch.setattr(torch, "compile", broken)
    with pytest.raises(GliomakitError, match="here: no C.. compiler.*go on without compile"):
        device.compiled(torch.nn.Identity())(torch.ones(1))
    with pytest.raises(ValueError):  # the network's own mistakes stay what they are
        device.compiled(torch.nn.Identity())(torch.zeros(1))
