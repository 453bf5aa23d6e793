"""The sliding window against MONAI's, and a whole case from image to regions."""

from __future__ import annotations

from dataclasses import replace
from itertools import product

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from monai.inferers import sliding_window_inference
from torch import Tensor, nn

from gliomakit.cases import Case, Grid
from gliomakit.device import autocast, fast_precision
from gliomakit.errors import GliomakitError
from gliomakit.inference import postprocess, segment, sliding_window
from gliomakit.metrics import volume_ml
from gliomakit.model import Model, Settings
from gliomakit.preprocess import prepare, restore
from gliomakit.regions import SEQUENCES
from gliomakit.unet import UNet3d

few = settings(max_examples=12, deadline=None)


@pytest.fixture(autouse=True)
def one_thread():
    """Networks this small gain nothing from threads, and lose much on a busy machine."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


class Small(nn.Module):
    """Knows where in the window a voxel is (padding), and cares about direction: no two windows,
    flips or positions give the same."""

    def __init__(self, channels: int = 4, out: int = 3):
        super().__init__()
        torch.manual_seed(0)
        self.one = nn.Conv3d(channels, 5, 3, padding=1)
        self.two = nn.Conv3d(5, out, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        return 3 * self.two(self.one(x).tanh())


def monai(network, image: Tensor, size, overlap: float, activation: str = "sigmoid") -> Tensor:
    def predict(x: Tensor) -> Tensor:
        y = network(x).float()
        return y.sigmoid() if activation == "sigmoid" else y.softmax(1)

    size = (size,) * 3 if isinstance(size, int) else size
    with torch.no_grad():
        return sliding_window_inference(
            image[None], size, 1, predict, overlap, mode="gaussian", sigma_scale=0.125
        )[0]


@few
@given(
    shape=st.tuples(*[st.integers(3, 15)] * 3),
    size=st.one_of(st.integers(5, 10), st.tuples(*[st.integers(5, 10)] * 3)),
    overlap=st.sampled_from([0.0, 0.25, 0.5, 0.6]),
    batch=st.sampled_from([1, 3]),
    activation=st.sampled_from(["sigmoid", "softmax"]),
)
def test_equal_to_monai_whatever_the_shapes(shape, size, overlap, batch, activation):
    network = Small().eval()
    image = torch.randn(4, *shape, generator=torch.Generator().manual_seed(0))
    got = sliding_window(network, image, size, overlap, activation, batch=batch)
    expected = monai(network, image, size, overlap, activation)
    assert got.dtype == torch.float32 and got.shape == (3, *shape)
    torch.testing.assert_close(got, expected, atol=1e-5, rtol=0)


def unet(out: int = 3, norm: str = "instance") -> UNet3d:
    torch.manual_seed(0)
    return UNet3d(4, out, base_filters=2, norm=norm).eval()


@pytest.mark.parametrize("norm", ["instance", "batch", "paper"])
def test_equal_to_monai_with_the_network(norm):
    network, image = unet(norm=norm), torch.randn(4, 24, 37, 12)
    got = sliding_window(network, image, 16)
    torch.testing.assert_close(got, monai(network, image, 16, 0.5), atol=1e-4, rtol=0)


def test_equal_to_monai_in_reduced_precision():
    """Not to 1e-4: the order of sums in bf16 depends on the memory's layout."""
    network, image = unet(), torch.randn(4, 24, 24, 16)
    exact = sliding_window(network, image, 16)
    got = sliding_window(network, image, 16, precision="bf16")
    with autocast("cpu", "bf16"):
        expected = monai(network, image, 16, 0.5)
    assert (got - expected).abs().mean() < 0.02
    assert (got - exact).abs().mean() < 0.02
    fastest = sliding_window(network, image, 16, precision=None)
    assert torch.equal(fastest, got if fast_precision("cpu") == "bf16" else exact)


def test_windows_without_brain_change_nothing_inside_it():
    network = Small().eval()
    image = torch.randn(4, 40, 20, 20)
    brain = torch.zeros(40, 20, 20, dtype=torch.bool)
    brain[1:5, 2:9, 3:9] = True
    calls = []
    whole = sliding_window(network, image, 8)
    got = sliding_window(network, image, 8, skip=brain, progress=lambda *n: calls.append(n))
    torch.testing.assert_close(got[:, brain], whole[:, brain], atol=0, rtol=0)
    assert not got[:, 12:].any()
    assert calls[-1] == (len(calls), len(calls)) and len(calls) < 20
    with pytest.raises(ValueError, match="no brain in any window"):
        sliding_window(network, image, 8, skip=torch.zeros_like(brain))
    # a mask of an image smaller than the window is padded along with it
    small = sliding_window(network, image[:, :3, :3, :3], 8, skip=brain[1:4, 2:5, 3:6])
    torch.testing.assert_close(small, sliding_window(network, image[:, :3, :3, :3], 8))


def test_mirroring_is_the_mean_of_eight():
    network, image = Small().eval(), torch.randn(4, 8, 8, 8)
    total = torch.zeros(3, 8, 8, 8)
    for view in product((0, 1), repeat=3):
        axes = [i + 1 for i in range(3) if view[i]]
        with torch.no_grad():
            total += network(image.flip(axes)[None])[0].sigmoid().flip(axes) / 8
    got = sliding_window(network, image, 8, mirror=True)
    torch.testing.assert_close(got, total, atol=1e-6, rtol=0)
    # so a mirrored image gives the mirrored answer
    mirrored = sliding_window(network, image.flip(1), 8, mirror=True).flip(1)
    torch.testing.assert_close(mirrored, got, atol=1e-6, rtol=0)


def test_logits_and_any_callable():
    image = torch.randn(2, 9, 7, 5)
    got = sliding_window(lambda x: x * 3, image, 4, activation=None)
    torch.testing.assert_close(got, image * 3)
    with pytest.raises(ValueError, match="activation 'tanh'"):
        sliding_window(lambda x: x, image, 4, activation="tanh")


def test_the_networks_mode_is_left_as_it_was():
    network = unet(norm="batch").train()
    before = {n: b.clone() for n, b in network.named_buffers()}
    sliding_window(network, torch.randn(4, 16, 16, 16), 16)
    assert network.training
    assert all(torch.equal(b, before[n]) for n, b in network.named_buffers())

    class Broken(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            raise RuntimeError

    broken = Broken().train()
    with pytest.raises(RuntimeError):
        sliding_window(broken, torch.zeros(4, 8, 8, 8), 8)
    assert broken.training


def test_a_gradient_is_not_recorded():
    assert not sliding_window(Small(), torch.zeros(4, 8, 8, 8), 8).requires_grad


def test_a_bar_only_for_a_terminal(capsys):
    sliding_window(Small(), torch.zeros(4, 8, 8, 8), 8, progress=True)
    assert capsys.readouterr() == ("", "")


# ---- a whole case -----------------------------------------------------------------------------


def make_case(shape=(26, 30, 22), spacing=(1.0, 1.0, 1.0), present=SEQUENCES) -> Case:
    random = np.random.default_rng(0)
    axes = np.meshgrid(*[np.linspace(-1.2, 1.2, n) for n in shape], indexing="ij")
    brain = sum(a**2 for a in axes) <= 1
    image = np.zeros((4, *shape), np.float32)
    for sequence in present:
        image[SEQUENCES.index(sequence), brain] = random.uniform(50, 99, int(brain.sum()))
    affine = np.diag([*spacing, 1.0])
    return Case("case", image, present, affine, Grid(shape, affine))


def test_mirroring_along_named_axes():
    torch.manual_seed(0)
    network = nn.Conv3d(4, 3, 3, padding=1)
    image = torch.randn(4, 8, 8, 8)
    views = [(), (1,), (3,), (1, 3)]
    each = [sliding_window(network, image.flip(v), 8).flip(v) for v in views]
    got = sliding_window(network, image, 8, mirror="xz")
    torch.testing.assert_close(got, torch.stack(each).mean(0), atol=1e-6, rtol=0)
    assert torch.equal(sliding_window(network, image, 8, mirror=""), each[0])


@pytest.mark.parametrize("spacing", [None, (2.0, 2.0, 2.0)])
@pytest.mark.parametrize("mirror", [False, True])
def test_segment_is_prepare_monai_restore(spacing, mirror):
    case = make_case()
    network = Small().eval()
    model = Model(network, Settings(spacing=spacing, patch=(16, 16, 16)))
    prepared = prepare(case, spacing)

    def predict(x: Tensor) -> Tensor:
        views = [[i + 2 for i in range(3) if v[i]] for v in product((0, 1), repeat=3)]
        views = views if mirror else [[]]
        return torch.stack([network(x.flip(v)).sigmoid().flip(v) for v in views]).mean(0)

    with torch.no_grad():
        probability = sliding_window_inference(
            torch.from_numpy(prepared.image)[None], (16,) * 3, 1, predict, 0.5, mode="gaussian"
        )[0]
    expected = restore(probability.numpy(), prepared.frame)
    got = segment(case, model, device="cpu", mirror=mirror, skip=False)
    np.testing.assert_allclose(got.probability, expected, atol=1e-4)
    if spacing is None:
        inside = restore(prepared.brain, prepared.frame)
        skipped = segment(case, model, device="cpu", mirror=mirror)
        np.testing.assert_allclose(skipped.probability[:, inside], expected[:, inside], atol=1e-4)
    wt, tc, et = got.regions
    assert (wt >= tc).all() and (tc >= et).all()
    np.testing.assert_array_equal(et, got.probability[2] >= 0.5)
    np.testing.assert_array_equal(wt, (got.probability >= 0.5).any(0))


def test_a_network_of_one_region_by_softmax():
    case = make_case()
    model = Model(
        unet(out=2), Settings(output="classes", regions=("wt",), spacing=None, patch=(16,) * 3)
    )
    got = segment(case, model, device="cpu")
    prepared = prepare(case)
    p = sliding_window(model.network, torch.from_numpy(prepared.image), 16, activation="softmax")
    inside = restore(prepared.brain, prepared.frame)
    np.testing.assert_allclose(
        got.probability[0][inside], restore(p[1].numpy(), prepared.frame)[inside], atol=1e-5
    )
    assert got.regions_known == ("wt",) and list(got.volumes_ml) == ["wt"]
    assert not got.probability[1:].any() and not got.regions[1:].any()


def test_nested_classes_and_other_choices_of_regions():
    """Class k is what is in region k and no further in."""
    case = make_case()

    def answer(channels: int):
        class Fixed(nn.Module):
            def forward(self, x: Tensor) -> Tensor:
                logits = torch.arange(channels).float().reshape(1, -1, 1, 1, 1)
                return logits.expand(len(x), -1, *x.shape[2:])

        return Fixed()

    classes = Settings(output="classes", spacing=None, patch=(16,) * 3)
    got = segment(case, Model(answer(4), classes), device="cpu", skip=False)
    p = torch.arange(4).float().softmax(0)
    middle = got.probability[:, 13, 15, 11]
    np.testing.assert_allclose(middle, [p[1:].sum(), p[2:].sum(), p[3]], atol=1e-5)
    settings_ = Settings(regions=("tc",), spacing=None, patch=(16,) * 3)
    got = segment(case, Model(answer(1), settings_), device="cpu", skip=False)
    assert got.regions_known == ("tc",) and list(got.volumes_ml) == ["tc"]
    np.testing.assert_allclose(got.probability[:, 13, 15, 11], [0, 0.5, 0])
    np.testing.assert_array_equal(got.regions[0], got.regions[1])  # nested all the same


def test_sequences_by_name():
    """A network of two sequences gets just those, and needs at least one of them."""
    two = Settings(sequences=("flair", "t1ce"), spacing=None, patch=(16,) * 3)
    model = Model(Small(channels=2).eval(), two)
    case = make_case()
    other = replace(case, image=case.image.copy())
    other.image[[1, 3]] = other.image[[3, 1]]
    first, second = segment(case, model, "cpu"), segment(other, model, "cpu")
    np.testing.assert_array_equal(first.probability, second.probability)
    segment(make_case(present=("t1", "t1ce")), model, "cpu")
    with pytest.raises(GliomakitError, match="case: the case has only t1, t2; .* flair, t1ce"):
        segment(make_case(present=("t1", "t2")), model, "cpu")


def test_a_larger_window_than_the_patch():
    case = make_case()
    model = Model(Small().eval(), Settings(spacing=None, patch=(8,) * 3, window=(32,) * 3))
    calls: list[tuple[int, int]] = []
    segment(case, model, "cpu", progress=lambda *n: calls.append(n))
    assert calls == [(1, 1)]


def test_volumes_follow_the_affine():
    turn = np.linalg.qr(np.random.default_rng(0).normal(size=(3, 3)))[0]
    case = make_case(spacing=(1.0, 2.0, 1.5))
    case.affine[:3, :3] = turn @ np.diag([1.0, 2.0, 1.5])
    case = replace(case, label=np.full(case.image.shape[1:], 99, np.uint8), convention="msd")
    model = Model(Small().eval(), Settings(spacing=None, patch=(16,) * 3))
    got = segment(case, model, "cpu")  # a label, even a bad one, plays no part
    for region, mask in zip(("wt", "tc", "et"), got.regions, strict=True):
        assert got.volumes_ml[region] == pytest.approx(volume_ml(mask, (1.0, 2.0, 1.5)))
        assert got.volumes_ml[region] == pytest.approx(mask.sum() * 3e-3)
    label = got.label("brats2017")
    assert label.dtype == np.uint8 and (label == 4).sum() == got.regions[2].sum()


def test_postprocessing_is_off_unless_asked_for():
    random = np.random.default_rng(0)
    wt = random.random((12, 12, 12)) > 0.9
    regions = np.stack([wt, wt & (random.random(wt.shape) > 0.3), np.zeros_like(wt)])
    regions[2] = regions[1] & (random.random(wt.shape) > 0.5)
    before = regions.copy()
    np.testing.assert_array_equal(postprocess(regions, 0.001), before)
    np.testing.assert_array_equal(regions, before)
    assert not postprocess(regions, 0.001, min_wt_ml=1e9).any()
    no_et = postprocess(regions, 0.001, min_et_ml=1e9)
    assert not no_et[2].any() and (no_et[:2] == before[:2]).all()
    assert not postprocess(np.zeros_like(regions), 0.001, 1, 1).any()


def test_small_pieces_go_with_all_that_is_in_them():
    regions = np.zeros((3, 20, 20, 20), bool)
    regions[:, 2:8, 2:8, 2:8] = True  # 216 voxels
    regions[:, 8, 8, 8] = True  # touches with a corner
    regions[:, 12:14, 12:14, 12:14] = True  # 8 voxels
    got = postprocess(regions, voxel_ml=0.001, min_wt_ml=0.01)
    assert got.sum((1, 2, 3)).tolist() == [217] * 3
    assert postprocess(regions, 0.001, min_wt_ml=0.008).sum() == regions.sum()
    got = postprocess(regions, voxel_ml=0.001, min_wt_share=0.04)
    assert got.sum((1, 2, 3)).tolist() == [217] * 3
    assert postprocess(regions, 0.001, min_wt_share=0.03).sum() == regions.sum()
    assert not postprocess(np.zeros_like(regions), 0.001, min_wt_share=0.5).any()
    model_settings = Settings(min_wt_ml=1e6, spacing=None, patch=(16,) * 3)
    found = segment(make_case(), Model(Small().eval(), model_settings), "cpu")
    assert found.volumes_ml == {"wt": 0, "tc": 0, "et": 0} and found.probability.any()
