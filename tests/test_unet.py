"""The paper's network: counted, run, rebuilt."""

import pytest
import torch

from gliomakit.errors import GliomakitError
from gliomakit.unet import (
    NORMS,
    ClassicalUNet,
    InstanceNorm3d,
    UNet3d,
    cicek,
    count_parameters,
    table,
)

# The counts of the first paper's network, layer by layer, worked out by hand from its text.
PAPER = """
| `en1_conv1` | conv 3³ | 32 | 64 | 3,488 | 0.91 |
| `en1_bn` | batch norm | 32 | 64 | 64 | |
| `en1_conv2` | conv 3³ | 64 | 64 | 55,360 | 14.50 |
| `en2_conv1` | conv 3³ | 64 | 32 | 110,656 | 3.62 |
| `en2_bn` | batch norm | 64 | 32 | 128 | |
| `en2_conv2` | conv 3³ | 128 | 32 | 221,312 | 7.25 |
| `en3_conv1` | conv 3³ | 128 | 16 | 442,496 | 1.81 |
| `en3_bn` | batch norm | 128 | 16 | 256 | |
| `en3_conv2` | conv 3³ | 256 | 16 | 884,992 | 3.62 |
| `de4_conv1` | conv 3³ | 256 | 8 | 1,769,728 | 0.91 |
| `de4_conv2` | conv 3³ | 512 | 8 | 3,539,456 | 1.81 |
| `de4_up` | transposed conv 2³ | 512 | 16 | 2,097,664 | 1.07 |
| `de3_conv1` | conv 3³ (768 in) | 256 | 16 | 5,308,672 | 21.74 |
| `de3_conv2` | conv 3³ | 256 | 16 | 1,769,728 | 7.25 |
| `de3_up` | transposed conv 2³ | 256 | 32 | 524,544 | 2.15 |
| `de2_conv1` | conv 3³ (384 in) | 128 | 32 | 1,327,232 | 43.49 |
| `de2_conv2` | conv 3³ | 128 | 32 | 442,496 | 14.50 |
| `de2_up` | transposed conv 2³ | 128 | 64 | 131,200 | 4.29 |
| `de1_conv1` | conv 3³ (192 in) | 64 | 64 | 331,840 | 86.97 |
| `de1_conv2` | conv 3³ | 64 | 64 | 110,656 | 28.99 |
| `de1_out` | conv 1³ | 2 | 64 | 130 | 0.03 |
| **sum** | | | | **19,072,098** | **244.91** |
""".strip()


def small(**changes):
    torch.manual_seed(0)
    return UNet3d(**{"base_filters": 2, "out_channels": 3, **changes})


def test_the_paper_s_network_row_by_row():
    network = UNet3d()
    rows = table(network)
    assert str(rows).split("\n")[2:] == PAPER.split("\n")
    assert rows.parameters == count_parameters(network) == 19_072_098
    assert round(rows.gmac, 2) == 244.91
    assert [r.layer for r in rows] == [name for name, _ in network.named_children()]


@pytest.mark.parametrize(
    ("norm", "parameters"), [("batch", 19_076_322), ("first", 19_073_506), ("instance", 19_076_322)]
)
def test_parameters_with_more_normalisation(norm, parameters):
    network = UNet3d(norm=norm)
    assert count_parameters(network) == parameters
    assert count_parameters(network, norm=False) == count_parameters(UNet3d(norm="none"))


def test_instance_norm_keeps_no_running_averages():
    assert not list(small(norm="instance").buffers())
    assert (
        sum(isinstance(m, torch.nn.InstanceNorm3d) for m in small(norm="instance").modules()) == 14
    )


def test_cicek_s_network():
    network = cicek()
    assert count_parameters(network, norm=False) == 19_069_955
    # The sizes that its paper prints: 132 × 132 × 116 in, 44 × 44 × 28 out.
    image = torch.zeros(1, 3, 132, 132, 116, device="meta")
    assert network.to("meta")(image).shape == (1, 3, 44, 44, 28)
    with pytest.raises(GliomakitError, match="4 more than a multiple of 8"):
        network(image[..., :112])


def test_without_padding_the_same_weights_give_the_same_middle():
    # An output voxel sees 44 voxels to each side. A border of 2 puts both networks' pooling on one
    # grid; then the padded one's middle is what the bare one gives, and nothing else is left.
    padded = small(base_filters=1, norm="none")
    bare = small(base_filters=1, norm="none", padding=False)
    for parameter in padded.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    bare.load_state_dict(padded.state_dict())
    image = torch.randn(1, 4, 92, 92, 92)
    with torch.no_grad():
        inner = bare(image)
        whole = padded(torch.nn.functional.pad(image, (2,) * 6))
    assert inner.shape[2:] == (4, 4, 4)
    torch.testing.assert_close(whole[..., 46:50, 46:50, 46:50], inner, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("norm", NORMS)
def test_shapes_gradients_and_rebuilding(norm):
    network = small(norm=norm)
    image = torch.randn(2, 4, 16, 24, 8)
    logits = network(image)
    assert logits.shape == (2, 3, 16, 24, 8) and logits.dtype == torch.float32
    logits.square().mean().backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in network.parameters())
    again = UNet3d(**network.config)
    again.load_state_dict(network.state_dict())
    assert torch.equal(again.eval()(image), network.eval()(image))


def test_channels_last_gives_the_same():
    network = small(norm="instance").double().eval()
    image = torch.randn(2, 4, 16, 16, 16, dtype=torch.float64)
    with torch.no_grad():
        plain = network(image)
        network = network.to(memory_format=torch.channels_last_3d)
        last = network(image.to(memory_format=torch.channels_last_3d))
    torch.testing.assert_close(plain, last)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_any_float_image_goes_in(dtype):
    image = torch.randn(1, 4, 16, 16, 16).to(dtype)
    network = small()
    assert torch.equal(network(image), network(image.float()))
    assert network.to(torch.bfloat16)(image).dtype == torch.bfloat16


def test_bfloat16_autocast_is_close():
    network, image = small(norm="instance"), torch.randn(1, 4, 16, 16, 16)
    with torch.no_grad():
        full = network(image)
        with torch.autocast("cpu", torch.bfloat16):
            half = network(image)
    assert half.dtype == torch.bfloat16
    assert (full - half).abs().mean() < 0.05 * full.std()


@pytest.mark.parametrize("norm", ["instance", "none"])
def test_he_s_start_keeps_the_signal_s_size(norm):
    torch.manual_seed(0)
    network = UNet3d(base_filters=8, norm=norm)
    with torch.no_grad():
        logits = network(torch.randn(1, 4, 32, 32, 32))
    assert 0.3 < logits.std() < 3
    assert all((p == 0).all() for n, p in network.named_parameters() if n.endswith("conv1.bias"))


@pytest.mark.parametrize(
    ("shape", "message"),
    [
        ((1, 4, 16, 16, 20), "multiples of 8"),
        ((1, 3, 16, 16, 16), r"\(batch, 4, x, y, z\)"),
        ((4, 16, 16, 16), r"\(batch, 4, x, y, z\)"),
        ((1, 4, 0, 16, 16), "multiples of 8"),
    ],
)
def test_bad_images(shape, message):
    with pytest.raises(GliomakitError, match=message):
        small()(torch.zeros(shape))


def test_bad_settings():
    with pytest.raises(GliomakitError, match="known are paper, first, batch, instance, none"):
        UNet3d(norm="group")
    with pytest.raises(GliomakitError, match="at least one"):
        UNet3d(out_channels=0)
    with pytest.raises(GliomakitError, match="16 or more"):
        small(norm="instance")(torch.zeros(1, 4, 8, 8, 8))


def test_classical_unet():
    network = ClassicalUNet(in_channels=1)
    # 31,030,658: the original's well-known count, one channel in, two classes out.
    assert count_parameters(network) == 31_030_658
    rows = {r.layer: r for r in table(network, side=256)}
    assert (rows["de5_conv2"].channels, rows["de5_conv2"].side) == (1024, 16)
    assert rows["de4_conv1"].kind == "conv 3² (1024 in)" and rows["de4_up"].channels == 256
    tiny = ClassicalUNet(base_filters=2, norm="batch")
    assert tiny(torch.zeros(2, 3, 32, 48)).shape == (2, 2, 32, 48)
    assert ClassicalUNet(**tiny.config).config == tiny.config
    with pytest.raises(GliomakitError, match="multiples of 16"):
        tiny(torch.zeros(2, 3, 24, 24))


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last_3d])
@pytest.mark.parametrize("batch", [1, 3])
def test_instance_norm_is_what_its_formula_says(layout, batch):
    # Against the formula, not against PyTorch's layer: of 2.13's on a processor the gradient of a
    # single channels-last sample is wrong (by 8 here, where values are about 1).
    torch.manual_seed(0)
    norm = InstanceNorm3d(6, affine=True)
    torch.nn.init.normal_(norm.weight)
    torch.nn.init.normal_(norm.bias)
    x = torch.randn(batch, 6, 8, 9, 10).to(memory_format=layout).requires_grad_()
    variance, mean = torch.var_mean(x, (2, 3, 4), correction=0, keepdim=True)
    weight, bias = (p[:, None, None, None] for p in (norm.weight, norm.bias))
    expected = (x - mean) / (variance + norm.eps).sqrt() * weight + bias
    found = norm(x)
    assert torch.allclose(found, expected, atol=1e-5)
    assert found.is_contiguous(memory_format=layout)
    upstream = torch.randn(x.shape).to(memory_format=layout)
    ours, formula = (torch.autograd.grad(y, x, upstream)[0] for y in (found, expected))
    assert torch.allclose(ours, formula, atol=1e-4)


def test_dropout_stands_at_the_end_of_the_way_down_and_only_in_training():
    plain, dropping = ClassicalUNet(base_filters=2), ClassicalUNet(base_filters=2, dropout=0.5)
    dropping.load_state_dict(plain.state_dict())  # it has no parameters
    seen = {}
    for name in ("en3", "en4", "de5", "de4"):
        x = torch.ones(1, getattr(dropping, f"{name}_conv1").in_channels, 8, 8)
        dropping.train()
        found = [dropping.convolve(name, x) for _ in range(2)]
        seen[name] = not torch.equal(*found)
        if seen[name]:
            whole = plain.convolve(name, x)
            assert torch.all((found[0] == 0) | torch.isclose(found[0], 2 * whole))
    assert seen == {"en3": False, "en4": True, "de5": True, "de4": False}
    image = torch.rand(1, 3, 32, 32)
    assert torch.equal(dropping.eval()(image), plain.eval()(image))
