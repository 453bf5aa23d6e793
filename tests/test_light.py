"""The network whose weights ship: counted, both layouts, saved, trained, refused where it must."""

import pytest
import torch

from gliomakit.errors import GliomakitError
from gliomakit.model import Model, Settings, load_model, save_model
from gliomakit.training import Fit
from gliomakit.unet import LightUNet3d, UNet3d, count_parameters, table


def test_its_size_counted_by_hand():
    f = 24
    width = [f, 2 * f, 4 * f, 8 * f]
    down = sum(27 * a * b + 27 * b * b + 4 * b for a, b in zip([4, *width], width))
    up = sum(8 * 2 * b * b + b + 2 * (27 * b * b + 2 * b) for b in width[:3])
    assert count_parameters(LightUNet3d()) == down + up + 8 * f * 3 + 3 == 2_827_275
    light, paper = table(LightUNet3d()).gmac, table(UNet3d(base_filters=8)).gmac
    assert light == pytest.approx(3.13, abs=0.01) and paper == pytest.approx(15.48, abs=0.01)


def test_every_voxel_of_the_output_has_its_own_weights():
    # Where a coarse voxel's eight fine ones could not differ, a border would be a staircase.
    torch.manual_seed(0)
    found = LightUNet3d(base_filters=8)(torch.randn(1, 4, 32, 32, 32))
    fine = found.unfold(2, 2, 2).unfold(3, 2, 2).unfold(4, 2, 2).flatten(5)
    assert float(fine.detach().std(-1).mean()) > 0.1


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last_3d])
def test_layouts_agree_forward_and_backward(layout):
    torch.manual_seed(0)
    network = LightUNet3d(base_filters=4).double()
    image = torch.randn(2, 4, 32, 16, 16, dtype=torch.float64)
    network(image).square().mean().backward()
    wanted = [p.grad.clone() for p in network.parameters()]
    network.zero_grad()
    network.to(memory_format=layout)
    network(image.to(memory_format=layout)).square().mean().backward()
    for ours, theirs in zip((p.grad for p in network.parameters()), wanted, strict=True):
        assert torch.allclose(ours, theirs, atol=1e-10)


def test_it_reaches_across_its_patch():
    torch.manual_seed(0)
    image = torch.randn(1, 4, 64, 64, 64, requires_grad=True)
    LightUNet3d(base_filters=4)(image)[0, 0, 32, 32, 32].backward()
    seen = image.grad[0].abs().sum(0).amax((1, 2)).nonzero().ravel()
    assert int(seen.min()) == 0 and int(seen.max()) == 63


def test_saved_and_loaded_it_says_the_same(tmp_path):
    torch.manual_seed(0)
    network = LightUNet3d(base_filters=4).eval()
    path = save_model(Model(network, Settings()), tmp_path / "light.safetensors")
    image = torch.randn(1, 4, 32, 32, 32)
    with torch.no_grad():
        assert torch.equal(load_model(path).network(image), network(image))


@pytest.mark.parametrize("sides", [(24, 32, 32), (0, 32, 32), (16, 16, 16)])
def test_sides_that_do_not_fit(sides):
    with pytest.raises(GliomakitError, match=r"halved 4 times|single voxel"):
        LightUNet3d(base_filters=2)(torch.zeros(1, 4, *sides))


def test_other_bad_input():
    with pytest.raises(GliomakitError, match=r"shape \(batch, 4, x, y, z\)"):
        LightUNet3d(base_filters=2)(torch.zeros(1, 3, 32, 32, 32))
    with pytest.raises(GliomakitError, match="at least one channel"):
        LightUNet3d(0)
    with pytest.raises(GliomakitError, match="halved four times"):
        Fit(network="LightUNet3d", patch=24)
    with pytest.raises(GliomakitError, match="no network 'VNet'"):
        Fit(network="VNet")


def test_a_recipe_makes_it():
    made = Fit(network="LightUNet3d", base_filters=8, sequences=("flair", "t1ce")).make_network()
    assert type(made) is LightUNet3d
    assert made.config == {"in_channels": 2, "out_channels": 3, "base_filters": 8}
