"""Patches and tiles: against a plain reference, against MONAI, and by counting."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binomtest

from gliomakit.errors import GliomakitError
from gliomakit.patches import (
    PatchSampler,
    Plan,
    augment_intensity,
    blend,
    cut,
    drop_sequences,
    gaussian,
    generator,
    tiles,
)
from gliomakit.regions import SEQUENCES
from tests.interpreted import needs_triton, said


@dataclass
class Prepared:
    """What a sampler needs of `preprocess.Prepared`."""

    image: np.ndarray
    regions: np.ndarray | None
    present: tuple[str, ...] = field(default=SEQUENCES)


def volume(shape, seed=0, tumour=None, present=SEQUENCES):
    """A case whose voxels all differ, so that a patch says where it came from."""
    rng = np.random.default_rng(seed)
    image = rng.permutation(4 * np.prod(shape)).reshape(4, *shape).astype(np.float32) + 1
    code = np.zeros(shape, np.uint8)
    for voxel, value in (tumour or {}).items():
        code[voxel] = value
    return Prepared(image, code, present)


def _cut_reference(volume, origin, size, turns, flip):
    """What a patch is, said plainly: cut with zeros around, turn in the x–y plane, flip."""
    lead = volume.ndim - 3
    padded = np.pad(volume, [(0, 0)] * lead + [(s, s) for s in size])
    at = tuple(slice(o + s, o + 2 * s) for o, s in zip(origin, size, strict=True))
    patch = np.rot90(padded[(..., *at)], turns, axes=(lead, lead + 1))
    return np.flip(patch, [lead + a for a in range(3) if flip[a]])


def interval(k, n):
    """Wide enough (1 in 10,000 outside) that a fixed seed never fails by chance."""
    return binomtest(k, n).proportion_ci(0.9999)


# ---------------------------------------------------------------- sampler


@settings(max_examples=40, deadline=None)
@given(
    shape=st.tuples(*[st.integers(1, 12)] * 3),
    size=st.one_of(st.integers(1, 9), st.tuples(*[st.integers(1, 9)] * 3)),
    foreground=st.sampled_from([0.0, 0.5, 1.0]),
    seed=st.integers(0, 2**40),
    step=st.integers(0, 2**40),
)
def test_patch_equals_the_plain_reference(shape, size, foreground, seed, step):
    case = volume(shape)
    case.regions[tuple(s // 3 for s in shape)] = 2
    sampler = PatchSampler(case, size, foreground, seed=seed)
    batch = sampler.batch(4, step)
    plan = batch.plan
    for i in range(4):
        at = (plan.origin[i], sampler.size, plan.turns[i], plan.flip[i])
        np.testing.assert_array_equal(batch.image[i].numpy(), _cut_reference(case.image, *at))
        np.testing.assert_array_equal(batch.code[i].numpy(), _cut_reference(case.regions, *at))
        if foreground == 1:
            assert batch.code[i].max() == 2
    assert batch.image.dtype == torch.float32 and batch.code.dtype == torch.uint8


def test_every_turn_and_flip_occurs_equally_and_the_label_moves_along():
    case = volume((8, 8, 8))
    case.regions[:] = (case.image[0] % 4).astype(np.uint8)
    sampler = PatchSampler(case, 8, foreground=0.0, seed=3)
    seen = {}
    n = 1600
    batch = sampler.batch(n)
    for i in range(n):
        key = (int(batch.plan.turns[i]), *map(bool, batch.plan.flip[i]))
        seen[key] = seen.get(key, 0) + 1
    assert len(seen) == 4 * 2**3
    for count in seen.values():
        low, high = interval(count, n)
        assert low <= 1 / 32 <= high
    np.testing.assert_array_equal(batch.code.numpy(), batch.image[:, 0].numpy() % 4)
    # As pictures, turns and flips overlap: there are 8 ways to lay a square, times 2 for z.
    assert len({batch.image[i].numpy().tobytes() for i in range(n)}) == 16


def test_options_switch_off_and_unequal_sides_turn_by_halves():
    case = volume((6, 6, 6))
    plain = PatchSampler(case, 6, 0.0, flip=False, rotate=False).batch(20)
    np.testing.assert_array_equal(plain.image.numpy(), np.stack([case.image] * 20))
    sides = PatchSampler(case, 6, 0.0, flip="x", rotate=False).batch(20)
    assert set(sides.plan.flip[:, 0]) == {True, False} and not sides.plan.flip[:, 1:].any()
    turned = PatchSampler(case, 6, 0.0, flip=False).batch(50)
    assert not turned.plan.flip.any() and set(turned.plan.turns) == {0, 1, 2, 3}
    slab = PatchSampler(case, (6, 4, 2), 0.0).batch(50)
    assert slab.image.shape == (50, 4, 6, 4, 2) and set(slab.plan.turns) == {0, 2}


@pytest.mark.parametrize("foreground", [0.0, 0.3, 1.0])
def test_foreground_is_a_probability(foreground):
    # Tumour in one corner: a patch that was drawn anywhere seldom touches it.
    case = volume((40, 40, 40), tumour={(39, 39, 39): 3})
    sampler = PatchSampler(case, 8, foreground, seed=11)
    n = 3000
    batches = [sampler.plan(300, step) for step in range(10)]
    around = np.concatenate([b.foreground for b in batches])
    low, high = interval(int(around.sum()), n)
    assert low <= foreground <= high
    holds = np.concatenate([(b.origin == 32).all(1) for b in batches])
    assert holds[around].all()
    assert holds[~around].sum() <= 0.01 * n


def test_positions_without_foreground_are_uniform():
    case = volume((9, 7, 5))
    plan = PatchSampler(case, (7, 7, 2), 0.0, seed=5).plan(3000)
    assert (plan.origin[:, 1] == 0).all()
    for axis, positions in ((0, 3), (2, 4)):
        counts = np.bincount(plan.origin[:, axis], minlength=positions)
        assert len(counts) == positions
        for count in counts:
            low, high = interval(int(count), 3000)
            assert low <= 1 / positions <= high


def test_foreground_voxels_are_uniform_and_balance_makes_tissues_equal():
    tumour = {(2, 2, z): 1 for z in range(9)} | {(20, 20, 20): 2, (30, 5, 5): 3, (30, 6, 5): 3}
    case = volume((40, 40, 40), tumour=tumour)
    n = 2400
    plan = PatchSampler(case, 1, 1.0, seed=2).plan(n)
    at = [tuple(int(v) for v in o) for o in plan.origin]
    for voxel in tumour:
        low, high = interval(at.count(voxel), n)
        assert low <= 1 / 12 <= high
    codes = case.regions[tuple(PatchSampler(case, 1, 1.0, balance=True).plan(n).origin.T)]
    for tissue in (1, 2, 3):
        low, high = interval(int((codes == tissue).sum()), n)
        assert low <= 1 / 3 <= high


@pytest.mark.parametrize("corner", [(0, 0, 0), (0, 11, 0), (11, 0, 11), (11, 11, 11)])
def test_one_voxel_in_a_corner_is_always_in_the_patch(corner):
    case = volume((12, 12, 12), tumour={corner: 1})
    batch = PatchSampler(case, 5, 1.0).batch(20)
    assert (batch.code.flatten(1).sum(1) == 1).all()
    assert ((batch.origin >= 0) & (batch.origin <= 7)).all()


def test_no_tumour_or_no_label_falls_back_to_anywhere():
    healthy, unlabelled = volume((12, 12, 12)), volume((12, 12, 12))
    unlabelled.regions = None
    for case in (healthy, unlabelled):
        batch = PatchSampler(case, 5, 1.0).batch(200)
        assert not batch.code.any() and not batch.plan.foreground.any()
        assert len(np.unique(batch.origin, axis=0)) > 100


def test_a_volume_smaller_than_the_patch_lies_in_the_middle_of_zeros():
    case = volume((3, 20, 4), tumour={(1, 19, 0): 2})
    batch = PatchSampler(case, 8, 1.0, flip=False, rotate=False).batch(5)
    assert (batch.origin == (-2, 12, -2)).all()
    assert (batch.centre == (2, 16, 2)).all()
    np.testing.assert_array_equal(batch.image[0, :, 2:5, :, 2:6].numpy(), case.image[:, :, 12:])
    assert int((batch.image[0] != 0).sum()) == 4 * 3 * 8 * 4


def test_a_batch_is_a_function_of_seed_and_step_and_cases_are_drawn_alike():
    cases = [volume((10, 11, 12), seed=i, tumour={(3, 3, 3): 1}) for i in range(3)]
    one, same = PatchSampler(cases, 6, seed=4), PatchSampler(cases, 6, seed=4)
    same.batch(3, 0)
    a, b = one.batch(8, 17), same.batch(8, 17)
    assert torch.equal(a.image, b.image) and torch.equal(a.code, b.code)
    assert not torch.equal(a.image, one.batch(8, 18).image)
    assert not torch.equal(a.image, PatchSampler(cases, 6, seed=5).batch(8, 17).image)
    counts = np.bincount(one.plan(1500).case)
    for count in counts:
        low, high = interval(int(count), 1500)
        assert low <= 1 / 3 <= high


def test_batches_of_several_steps_lie_one_behind_the_other():
    cases = [volume((9, 9, 9), seed=i, tumour={(i, 2, 2): 1}) for i in range(3)]
    cases[1].present = ("t1", "flair")
    sampler, room = PatchSampler(cases, 6, seed=4), None
    for steps in (range(4), range(7, 11)):
        room = many = sampler.batch(3, steps, out=room)
        each = [sampler.batch(3, step) for step in steps]
        for name in ("image", "code", "present"):
            assert torch.equal(getattr(many, name), torch.cat([getattr(b, name) for b in each]))
        for name in ("case", "origin", "turns", "flip", "foreground"):
            expected = np.concatenate([getattr(b.plan, name) for b in each])
            np.testing.assert_array_equal(getattr(many.plan, name), expected)
        for step, part in zip(steps, each):
            augment_intensity(part.image, seed=1, step=step, blur=1.0, share=0.7)
            drop_sequences(part.image, part.present, seed=1, step=step)
        augment_intensity(many.image, seed=1, step=steps, blur=1.0, share=0.7)
        drop_sequences(many.image, many.present, seed=1, step=steps)
        assert torch.equal(many.image, torch.cat([b.image for b in each]))
        assert torch.equal(many.present, torch.cat([b.present for b in each]))


@pytest.mark.parametrize("steps", [range(0), range(0, 4, 2), range(3, 1, -1)])
def test_steps_that_do_not_follow_one_another_are_refused(steps):
    sampler = PatchSampler(volume((6, 6, 6)), 4)
    batch = sampler.batch(4)
    for make in (
        lambda: sampler.batch(2, steps),
        lambda: augment_intensity(batch.image, seed=0, step=steps),
        lambda: drop_sequences(batch.image, batch.present, seed=0, step=steps),
    ):
        with pytest.raises(GliomakitError, match="one after the other"):
            make()
    with pytest.raises(GliomakitError, match="4 patches are not as many for each of 3 steps"):
        augment_intensity(batch.image, seed=0, step=range(3))


def test_present_follows_the_case():
    cases = [volume((6, 6, 6)), volume((6, 6, 6), present=("flair", "t1ce"))]
    batch = PatchSampler(cases, 4, 0.0).batch(30)
    for i, case in enumerate(batch.case):
        assert batch.present[i].tolist() == ([True] * 4, [True, False, True, False])[case]


def test_tensors_that_stay_on_the_device_are_cut_alike():
    # What a CUDA device does, on the CPU: volumes kept as tensors, cut and turned plainly.
    cases = [volume((20, 9, 12), seed=i, tumour={(3, 3, 3): 1}) for i in range(2)]
    cases.append(volume((20, 9, 12)))
    cases[-1].regions = None
    sampler = PatchSampler(cases, 10, seed=2)
    expected = sampler.batch(24, 3)
    for way in ("plain", "views"):
        sampler = PatchSampler(cases, 10, seed=2, stored="float32", way=way)
        there = sampler.batch(24, 3)
        assert torch.equal(there.image, expected.image) and torch.equal(there.code, expected.code)
        assert all(isinstance(v.image, torch.Tensor) for v in sampler._volumes.values())
        assert len(sampler._volumes) == 3


def test_take_gives_single_patches():
    case = volume((12, 12, 12), tumour={(6, 6, 6): 1})
    sampler = PatchSampler(case, 4, 0.5, seed=1)
    patches = list(sampler.take(5))
    assert [p.image.shape for p in patches] == [(4, 4, 4, 4)] * 5
    assert patches[3].origin == tuple(sampler.batch(1, 3).origin[0])
    assert torch.equal(patches[3].label, sampler.batch(1, 3).code[0])
    assert patches[0].case == 0


def test_memory_of_an_earlier_batch_can_be_used_again():
    case = volume((12, 5, 12), tumour={(6, 3, 6): 1})
    sampler = PatchSampler(case, 8, seed=1)
    first = sampler.batch(4, 0)
    fresh = sampler.batch(4, 1)
    again = sampler.batch(4, 1, out=first)
    assert again.image.data_ptr() == first.image.data_ptr()
    assert torch.equal(again.image, fresh.image) and torch.equal(again.code, fresh.code)
    assert len(sampler.batch(2, 1, out=first)) == 2


def test_memory_mapped_volumes_are_only_read_where_the_patch_lies(tmp_path):
    case = volume((12, 12, 12), tumour={(6, 6, 6): 1})
    np.save(tmp_path / "image.npy", case.image)
    mapped = Prepared(np.load(tmp_path / "image.npy", mmap_mode="r"), case.regions)
    sampler = PatchSampler(mapped, 4, 0.5, seed=1)
    assert torch.equal(sampler.batch(6).image, PatchSampler(case, 4, 0.5, seed=1).batch(6).image)
    window = sampler.cases[0].image[:, 0:4]
    assert isinstance(window, np.memmap) and not window.flags.owndata


@pytest.mark.parametrize(
    "bad", [{"size": 0}, {"size": (4, 4)}, {"foreground": 1.5}, {"foreground": -0.1}]
)
def test_bad_settings_are_refused(bad):
    with pytest.raises(GliomakitError):
        PatchSampler(volume((6, 6, 6)), **({"size": 4} | bad))
    with pytest.raises(GliomakitError):
        PatchSampler([])


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_on_a_gpu_the_batch_is_the_same():
    cases = [volume((20, 9, 12), seed=i, tumour={(3, 3, 3): 1}) for i in range(2)]
    cases.append(volume((20, 9, 12)))
    cases[-1].regions = None
    on_gpu, on_cpu = PatchSampler(cases, 10, seed=2, device="cuda"), PatchSampler(cases, 10, seed=2)
    for step in (3, 4, 5, 6):  # the last are drawn there
        there, here = on_gpu.batch(12, step), on_cpu.batch(12, step)
        assert there.image.device.type == "cuda" and isinstance(there.plan, Plan)
        for name in ("image", "code", "present"):
            assert torch.equal(getattr(there, name).cpu(), getattr(here, name))


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_on_a_gpu_no_batch_waits_for_the_work_before_it():
    sampler = PatchSampler(volume((40, 40, 40), tumour={(9, 9, 9): 1}), 16, device="cuda")
    scanner = {"uneven_by": 0.2, "blur": 1.0, "coarse": 2.0}
    augment_intensity(sampler.batch(4, 0).image, seed=0, step=0)  # the kernels are compiled
    torch.cuda.set_sync_debug_mode("error")
    try:
        for step in range(1, 4):
            batch = sampler.batch(4, step)
            augment_intensity(batch.image, seed=0, step=step)
            augment_intensity(batch.image, seed=0, step=step, **scanner)
            drop_sequences(batch.image, batch.present, seed=0, step=step)
    finally:
        torch.cuda.set_sync_debug_mode("default")


# ---------------------------------------------------------------- intensities, dropout


def test_intensity_augmentation_keeps_zeros_and_depends_on_seed_and_step():
    torch.manual_seed(0)
    image = torch.randn(3, 4, 6, 6, 6)
    image[:, :, :2] = 0
    image[1, 3] = 0
    a = augment_intensity(image.clone(), seed=1, step=5, share=0.5)
    assert torch.equal(a, augment_intensity(image.clone(), seed=1, step=5, share=0.5))
    assert not torch.equal(a, augment_intensity(image.clone(), seed=1, step=6, share=0.5))
    assert torch.equal(a == 0, image == 0) and torch.isfinite(a).all()
    assert not torch.equal(a, image)


@needs_triton
def test_intensities_are_changed_alike_in_tritons_interpreter():
    assert said("tests.intensity_check", 60) == "60 batches equal"


def test_intensity_augmentation_parts():
    image = torch.rand(2, 4, 5, 5, 5) + 0.5
    off = {"gain": 0.0, "offset": 0.0, "gamma": 0.0, "noise": 0.0, "seed": 0, "step": 0}
    torch.testing.assert_close(augment_intensity(image.clone(), **off), image)
    # Gain alone multiplies a sequence by one number, an offset alone adds one.
    ratio = augment_intensity(image.clone(), **(off | {"gain": 0.3})) / image
    shift = augment_intensity(image.clone(), **(off | {"offset": 0.3})) - image
    for part in (ratio, shift):
        flat = part.flatten(2)
        torch.testing.assert_close(flat, flat[..., :1].expand_as(flat), rtol=1e-4, atol=1e-4)
        assert flat[..., 0].unique().numel() == 8
    # Gamma keeps the range and the order of a sequence's values.
    bent = augment_intensity(image.clone(), **(off | {"gamma": 0.5, "share": 1.0}))
    torch.testing.assert_close(bent.flatten(2).amin(2), image.flatten(2).amin(2))
    torch.testing.assert_close(bent.flatten(2).amax(2), image.flatten(2).amax(2))
    assert torch.equal(bent[0, 0].flatten().argsort(), image[0, 0].flatten().argsort())
    assert not torch.allclose(bent, image, atol=1e-2)
    noisy = augment_intensity(image.clone(), **(off | {"noise": 0.4, "share": 1.0})) - image
    assert (noisy.flatten(2).std(2) < 0.5).all() and (noisy.flatten(2).std(2) > 0).all()


def test_a_flat_sequence_survives_gamma():
    image = torch.full((1, 4, 3, 3, 3), 2.0)
    changed = augment_intensity(image, seed=0, step=0, gamma=1.0, share=1.0)
    assert torch.isfinite(changed).all()


def test_dropped_sequences_are_zero_and_something_always_stays():
    had = torch.ones(400, 4, dtype=torch.bool)
    had[:100] = torch.tensor([False, True, False, False])
    had[100:200] = torch.tensor([False, True, False, True])
    image = torch.ones(400, 4, 2, 2, 2) * had[:, :, None, None, None]
    changed, present = drop_sequences(
        image.clone(), had.clone(), seed=0, step=1, share=0.5, probability=0.5
    )
    assert torch.equal(changed.flatten(2).any(2), present)
    assert torch.equal(changed.flatten(2).all(2), present)
    assert present.any(1).all() and not (present & ~had).any()
    assert torch.equal(present[:100], had[:100])
    # T1 or T2 alone stays where FLAIR and T1ce were meant to stay but are not there.
    assert {tuple(p) for p in present[100:200].tolist()} >= {
        (False, True, False, False),
        (False, False, False, True),
    }


def test_dropout_share_and_probability():
    n = 2000

    def dropped(**options):
        present = torch.ones(n, 4, dtype=torch.bool)
        return drop_sequences(torch.ones(n, 4, 1, 1, 1), present, seed=3, step=0, **options)[1]

    alone = torch.tensor([True, False, True, False])
    pair = int((dropped(share=0.25, probability=0.0) == alone).all(1).sum())
    low, high = interval(pair, n)
    assert low <= 0.25 <= high
    for count in (~dropped(share=0.0, probability=0.1)).sum(0):
        low, high = interval(int(count), n)
        assert low <= 0.1 <= high
    assert dropped(share=0.0, probability=0.0).all()
    assert (dropped(share=1.0, alone=("t1",)) == torch.tensor([False, True, False, False])).all()


def test_generator_streams_differ():
    draws = {float(generator(s, t, k).random()) for s in (0, 1) for t in (0, 1) for k in (0, 1)}
    assert len(draws) == 8
    assert generator(-1, 0).random() != generator(1, 0).random()


# ---------------------------------------------------------------- tiles

shapes = st.tuples(*[st.integers(1, 30)] * 3)
sizes = st.tuples(*[st.integers(1, 24)] * 3)
overlaps = st.sampled_from([0.0, 0.1, 0.25, 0.5, 0.6, 0.75, 0.9])


@settings(max_examples=150, deadline=None)
@given(shape=shapes, size=sizes, overlap=overlaps)
def test_tiles_are_where_monai_puts_them(shape, size, overlap):
    utils = pytest.importorskip("monai.inferers.utils")
    step = utils._get_scan_interval(shape, size, 3, (overlap,) * 3)
    assert tiles(shape, size, overlap) == utils.dense_patch_slices(shape, size, step)


@settings(max_examples=25, deadline=None)
@given(size=sizes, scale=st.sampled_from([0.125, 0.25, 0.05]))
def test_gaussian_is_monais(size, scale):
    data = pytest.importorskip("monai.data.utils")
    expected = data.compute_importance_map(size, mode="gaussian", sigma_scale=scale)
    torch.testing.assert_close(gaussian(size, scale), expected, rtol=1e-6, atol=0)


@settings(max_examples=60, deadline=None)
@given(
    shape=st.lists(st.integers(1, 14), min_size=1, max_size=3),
    data=st.data(),
    overlap=overlaps,
    weighted=st.booleans(),
    kind=st.sampled_from(["numpy", "torch", "channels"]),
)
def test_cutting_and_blending_back_is_the_identity(shape, data, overlap, weighted, kind):
    size = [data.draw(st.integers(1, 16)) for _ in shape]
    grid = tiles(shape, size, overlap)
    array = np.random.default_rng(0).standard_normal((2, *shape) if kind == "channels" else shape)
    array = array if kind == "numpy" else torch.from_numpy(array).float()
    patches = cut(array, grid)
    assert len(patches) == len(grid) and patches.dtype == array.dtype
    window = tuple(patches.shape[-len(shape) :])
    weight = gaussian(window) if weighted else None
    back = blend(patches, grid, shape, weight)
    assert type(back) is type(array) and back.dtype == array.dtype
    np.testing.assert_allclose(np.asarray(back), np.asarray(array), rtol=2e-6, atol=1e-6)


def test_blending_whole_numbers_and_refusals():
    grid = tiles((6,), 4)
    assert blend(cut(np.arange(6), grid), grid, (6,)).dtype == np.float32
    with pytest.raises(GliomakitError, match="cover"):
        blend(np.ones((1, 4)), grid[:1], (6,))
    with pytest.raises(GliomakitError, match="fit"):
        blend(np.ones((2, 4)), grid, (6,), gaussian((3,)))
    for bad in ((6, 4, 1.0), (6, 4, -0.1), (6, 0, 0.5), (6, (4, 4), 0.5)):
        with pytest.raises(GliomakitError):
            tiles((bad[0],), *bad[1:])
