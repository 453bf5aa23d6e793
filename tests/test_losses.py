"""The weighted Dice with its pathologies, and the plain losses, against MONAI and by hand."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from monai.losses import DiceLoss, GeneralizedDiceLoss
from torch.nn import functional as F

from gliomakit import _fused_dice
from gliomakit.errors import GliomakitError
from gliomakit.losses import (
    LOSSES,
    CrossEntropyLoss,
    DiceCrossEntropyLoss,
    RegionLoss,
    SoftDiceLoss,
    WeightedDiceLoss,
    from_name,
)
from tests.interpreted import needs_triton, said

SIDE = 64
OURS = [("square", "skip"), ("square", "paper"), ("square", "largest")]
OURS += [("simple", "skip"), ("uniform", "skip")]
# tumour voxels, probability in the tumour, elsewhere; ours in the order above; MONAI's square,
# simple, uniform. Worked out in float64 before this package was written.
ROWS = {
    "typical": (5242, 0.9, 0.02, [0.0158, 0.0158, 0.0158, 0.0080, 0.0006, 0.3635, 0.2267, 0.0216]),
    "empty, quiet": (0, 0, 0.001, [0.0, 1.0, 0.0, 0.0, 0.0, 0.0004, 0.0010, 0.0010]),
    "empty, false alarm": (0, 0, 0.05, [0.0013, 1.0, 0.0026, 0.0013, 0.0013, 0.0216, 0.05, 0.05]),
    "sliver missed": (10, 0, 0.001, [0.9999, 0.9999, 0.9999, 0.3393, 0.0, 1.0, 0.9316, 0.0010]),
    "sliver found": (10, 1, 0.01, [0.5672, 0.5672, 0.5672, 0.3971, 0.0001, 0.9924, 0.985, 0.01]),
    "all tumour": (SIDE**3, 0.9, 0, [0.0055, 1.0, 0.011, 0.0055, 0.0055, 0.0433, 0.1, 0.1]),
    "half, right": (SIDE**3 // 2, 1, 0, [0.0] * 8),
}


def patch(area, p, q, side=SIDE):
    """Reference (1, side³) with `area` tumour voxels, probabilities (1, 2, side³), float64."""
    target = torch.zeros(side**3, dtype=torch.long)
    target[:area] = 1
    tumour = torch.where(target == 1, float(p), float(q)).double()
    shape = (side, side, side)
    return target.view(1, *shape), torch.stack([1 - tumour, tumour]).view(1, 2, *shape)


def one_hot(target, classes=2):
    return F.one_hot(target, classes).movedim(-1, 1)


def random_patch(classes=3, seed=0, batch=2, side=4):
    generator = torch.Generator().manual_seed(seed)
    logits = torch.randn(batch, classes, side, side, side, generator=generator).double()
    target = torch.randint(classes, (batch, side, side, side), generator=generator)
    return logits, target


@pytest.mark.parametrize("name", ROWS)
def test_table_of_pathologies(name):
    area, p, q, expected = ROWS[name]
    target, probability = patch(area, p, q)
    ours = [WeightedDiceLoss(*kind, from_logits=False)(probability, target) for kind in OURS]
    monai = [
        GeneralizedDiceLoss(w_type=kind)(probability, one_hot(target))
        for kind in ("square", "simple", "uniform")
    ]
    assert [round(float(v), 4) + 0.0 for v in ours + monai] == expected
    # The same through logits and in float32, as training has it.
    logits = probability.clamp(1e-30).log().float()
    for kind, value in zip(OURS[:3], ours, strict=False):
        torch.testing.assert_close(
            WeightedDiceLoss(*kind)(logits, target), value.float(), atol=1e-5, rtol=1e-4
        )


def test_eq_1_and_2_written_out():
    logits, target = random_patch()
    y, t = logits.softmax(1), one_hot(target, 3)
    losses = []
    for b in range(2):
        w = [1 / float(t[b, k].sum()) ** 2 for k in range(3)]
        above = sum(w[k] * float((y[b, k] * t[b, k]).sum()) for k in range(3))
        below = sum(w[k] * float((y[b, k] ** 2 + t[b, k] ** 2).sum()) for k in range(3))
        losses.append(1 - 2 * above / below)
    assert WeightedDiceLoss()(logits, target).item() == pytest.approx(sum(losses) / 2, rel=1e-12)
    assert WeightedDiceLoss()(logits, t).item() == WeightedDiceLoss()(logits, target).item()


def with_monai(probability, target, weight):
    """Values and gradients by the probabilities, ours with `largest` and MONAI's, smoothings 0."""
    values = []
    ours = WeightedDiceLoss(weight, "largest", from_logits=False)
    theirs = GeneralizedDiceLoss(w_type=weight, smooth_nr=0, smooth_dr=0)
    for loss in (ours, theirs):
        y = probability.clone().requires_grad_()
        value = loss(y, one_hot(target, y.shape[1]))
        value.backward()
        values.append((value.detach(), y.grad))
    return values


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10**6), st.sampled_from(["square", "simple", "uniform"]), st.integers(2, 4))
def test_hard_predictions_equal_monai_s_in_value_and_gradient(seed, weight, classes):
    # On 0 and 1 the square below changes nothing. Its slope does: Y² has 2 Y where Y has 1. So the
    # gradients differ by N w (2 Y - 1) / D², which is N = 2 Σ w Y T above and D below the line.
    logits, target = random_patch(classes, seed, batch=1)
    target[target == classes - 1] = 0  # one class is always absent
    y = one_hot(logits.argmax(1), classes).double()
    (value, gradient), (monai, monai_gradient) = with_monai(y, target, weight)
    assert value.item() == pytest.approx(monai.item(), abs=1e-6)
    t = one_hot(target, classes).double()
    area = t.flatten(2).sum(2)
    power = {"square": 2, "simple": 1, "uniform": 0}[weight]
    w = torch.where(area > 0, 1 / area.clamp(min=1) ** power, 0)
    w = torch.where(area > 0, w, w.max()).view(1, classes, 1, 1, 1)
    above, below = 2 * (w * y * t).sum(), (w * (y + t)).sum()
    shift = above * w * (2 * y - 1) / below**2
    torch.testing.assert_close(gradient, monai_gradient + shift, rtol=1e-5, atol=1e-7)


def test_a_prediction_all_wrong_has_monai_s_gradient():
    # Without overlap N is 0, so here even the gradients coincide.
    _, target = random_patch(2, batch=1)
    (value, gradient), (monai, expected) = with_monai(
        one_hot(1 - target).double(), target, "square"
    )
    assert value.item() == monai.item() == 1
    torch.testing.assert_close(gradient, expected, rtol=1e-5, atol=1e-9)


@pytest.mark.parametrize("name", LOSSES)
def test_gradients(name):
    loss = from_name(name)
    logits, target = random_patch(3, side=2)
    if loss.output == "regions":
        target = one_hot(target, 3)
    else:
        target[1] = 0  # a sample that lacks two classes
    assert torch.autograd.gradcheck(lambda x: loss(x, target), logits.requires_grad_(), atol=1e-7)


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last_3d])
@pytest.mark.parametrize("piece", [1, 20, 150, 1 << 18])
def test_in_pieces_the_fused_loss_is_autograds(layout, piece, monkeypatch):
    monkeypatch.setattr(_fused_dice, "PIECE", piece)
    draw = torch.Generator().manual_seed(piece)
    logits = torch.randn(3, 4, 5, 6, 7, dtype=torch.float64, generator=draw)
    target = torch.randint(4, (3, 5, 6, 7), generator=draw)
    target[1] = 0
    found = []
    for fused in (True, False):
        x = logits.clone(memory_format=layout).requires_grad_()
        loss = WeightedDiceLoss(fused=fused)(x, target)
        loss.backward(retain_graph=True)
        once = x.grad.clone()
        loss.backward()  # the softmax is gone by now
        torch.testing.assert_close(x.grad, 2 * once)
        found.append((loss.detach(), once))
    for fused, plain in zip(*found):
        torch.testing.assert_close(fused, plain, rtol=1e-10, atol=1e-12)


@needs_triton
def test_the_kernels_agree_in_tritons_interpreter():
    assert said("tests.dice_check", 60) == "60 losses equal"


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_on_a_gpu_the_kernels_are_used_and_agree():
    from tests.dice_check import difference

    assert _fused_dice._kernels() is not None
    assert max(difference(seed) for seed in range(60)) < 1e-4


def test_soft_references_are_squared_below():
    logits, _ = random_patch(2)
    y, t = logits.softmax(1), logits.flip(0).softmax(1)
    above, below = 2 * (y * t).flatten(1).sum(1), (y**2 + t**2).flatten(1).sum(1)
    value = WeightedDiceLoss("uniform")(logits, t)
    assert value.item() == pytest.approx((1 - above / below).mean().item(), rel=1e-12)


def test_an_empty_patch_teaches_nothing_under_paper():
    target, _ = patch(0, 0, 0)
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(1, 2, SIDE, SIDE, SIDE, generator=generator, requires_grad=True)
    loss = WeightedDiceLoss(absent="paper")(logits, target)
    loss.backward()
    assert loss.item() == 1
    assert logits.grad.abs().sum() <= 1e-10
    logits.grad = None
    WeightedDiceLoss(absent="skip")(logits, target).backward()
    assert logits.grad.abs().sum() > 1e-3


@pytest.mark.parametrize("absent", ["skip", "largest", "paper"])
def test_no_class_at_all(absent):
    # A reference of zeros has no class, not even background: nothing may become nan.
    logits = torch.randn(2, 3, 4, 4, 4, requires_grad=True)
    target = torch.zeros(2, 3, 4, 4, 4)
    target[0, 0] = 1
    loss = WeightedDiceLoss(absent=absent)(logits, target)
    loss.backward()
    assert loss.isfinite() and logits.grad.isfinite().all()
    assert not logits.grad[1].any()


@pytest.mark.parametrize("name", LOSSES)
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_is_computed_in_float32(name, dtype):
    loss = from_name(name)
    logits, target = random_patch(2, batch=1, side=48)  # 110,592 voxels: the area overflows float16
    logits = (4 * logits).to(dtype)
    target = one_hot(target) if loss.output == "regions" else target
    full = loss(logits.float(), target)
    with torch.autocast("cpu", torch.bfloat16):
        half = loss(logits.requires_grad_(), target)
    half.backward()
    assert half.dtype == torch.float32 and half.item() == full.item()
    assert logits.grad.dtype == dtype and logits.grad.isfinite().all()
    if loss.output == "classes":
        as_half = one_hot(target).to(dtype)
        assert loss(logits, as_half).item() == pytest.approx(full.item(), rel=1e-6)


@pytest.mark.parametrize("background", [True, False])
def test_soft_dice_is_monai_s(background):
    logits, target = random_patch()
    monai = DiceLoss(softmax=True, include_background=background)
    assert SoftDiceLoss(background)(logits, target).item() == pytest.approx(
        monai(logits, one_hot(target, 3)).item(), rel=1e-9
    )


@pytest.mark.parametrize("batch", [True, False])
def test_region_loss_is_dice_plus_cross_entropy(batch):
    logits, target = random_patch()
    target = one_hot(target, 3).double()
    monai = DiceLoss(sigmoid=True, batch=batch, smooth_nr=10, smooth_dr=10)(logits, target)
    cross_entropy = F.binary_cross_entropy_with_logits(logits, target)
    assert RegionLoss(batch)(logits, target).item() == pytest.approx(
        (monai + cross_entropy).item(), rel=1e-9
    )
    assert RegionLoss(batch, dice=0)(logits, target).item() == cross_entropy.item()
    assert (
        RegionLoss(batch)(logits, target.bool()).item() == RegionLoss(batch)(logits, target).item()
    )


def test_region_loss_on_an_absent_region():
    # Predicting nothing is right; a false alarm costs, and its gradient points down.
    quiet, alarm = (torch.full((2, 1, 8, 8, 8), v, requires_grad=True) for v in (-15.0, 0.0))
    nothing = torch.zeros(2, 1, 8, 8, 8)
    loss = RegionLoss()
    assert loss(quiet, nothing) < 1e-3 < 0.5 < loss(alarm, nothing)
    loss(alarm, nothing).backward()
    assert (alarm.grad > 0).all()


def test_cross_entropy_and_its_sum_with_dice():
    logits, target = random_patch()
    by_hand = -logits.log_softmax(1).gather(1, target.unsqueeze(1)).mean()
    assert CrossEntropyLoss()(logits, target).item() == pytest.approx(by_hand.item())
    assert CrossEntropyLoss()(logits, one_hot(target, 3)).item() == pytest.approx(by_hand.item())
    both = SoftDiceLoss()(logits, target) + by_hand
    assert DiceCrossEntropyLoss()(logits, target).item() == pytest.approx(both.item())


@pytest.mark.parametrize("name", LOSSES)
def test_right_is_best_and_training_gets_there(name):
    loss = from_name(name)
    _, target = random_patch(2, side=6)
    target = one_hot(target) if loss.output == "regions" else target
    logits = torch.zeros(2, 2, 6, 6, 6, requires_grad=True)
    optimizer = torch.optim.Adam([logits], lr=1.0)
    first = loss(logits, target).item()
    for _ in range(30):
        optimizer.zero_grad()
        loss(logits, target).backward()
        optimizer.step()
    assert loss(logits, target).item() < 0.05 < first


def test_in_two_dimensions_too():
    logits, target = torch.randn(2, 3, 8, 8), torch.randint(3, (2, 8, 8))
    assert WeightedDiceLoss()(logits, target) == WeightedDiceLoss()(
        logits[..., None], target[..., None]
    )


@pytest.mark.parametrize("name", LOSSES)
def test_shapes_that_do_not_belong_together(name):
    loss, logits = from_name(name), torch.zeros(2, 3, 4, 4, 4)
    with pytest.raises(GliomakitError, match="do not belong together"):
        loss(logits, torch.zeros(2, 4, 4, 5).long())
    with pytest.raises(GliomakitError, match="do not belong together"):
        loss(logits, torch.zeros(2, 4, 4, 4))
    if loss.output == "classes":
        for wrong in (3, -1):
            with pytest.raises(GliomakitError, match=f"class {wrong}, .* classes 0 to 2"):
                loss(logits, torch.full((2, 4, 4, 4), wrong))


def test_unknown_names():
    with pytest.raises(GliomakitError, match="no loss 'focal'; known are weighted-dice, .*regions"):
        from_name("focal")
    with pytest.raises(GliomakitError, match="known are square, simple, uniform"):
        WeightedDiceLoss("cubic")
    with pytest.raises(GliomakitError, match="known are skip, paper, largest"):
        WeightedDiceLoss(absent="ignore")
