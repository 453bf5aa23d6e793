"""The phantom: deterministic, shaped like an exam, and hard to tell from MSD's files."""

import json
import subprocess
import sys
from dataclasses import replace
from functools import cache
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import torch

from gliomakit.cases import find_cases
from gliomakit.errors import GliomakitError
from gliomakit.phantom import dataset, make_case, write_dataset
from gliomakit.phantom._random import SPLINE, Dice, Grid, blur
from gliomakit.phantom.anatomy import Head
from gliomakit.phantom.artefacts import _moved, _slices, brightest, rician
from gliomakit.phantom.prepared import prepared_phantoms
from gliomakit.phantom.signal import draw_exam, inversion, plausible, spin_echo, spoiled_echo
from gliomakit.phantom.tumour import KINDS, Growth, _front, displacement
from gliomakit.preprocess import prepare
from gliomakit.regions import SEQUENCES, distinct

SPLITS = Path(__file__).parents[1] / "data" / "splits" / "phantoms.json"


@pytest.fixture(scope="module")
def cases():
    return [make_case(seed, spacing=4.0) for seed in range(6)]


def test_a_seed_decides_everything():
    first, again, other = (make_case(s, spacing=4.0) for s in (5, 5, 6))
    assert np.array_equal(first.image, again.image) and np.array_equal(first.label, again.label)
    assert np.array_equal(first.bias, again.bias)
    assert not np.array_equal(first.label, other.label)


def test_threads_do_not_change_a_case():
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(1)
        one = make_case(3, spacing=4.0)
        torch.set_num_threads(2)
        two = make_case(3, spacing=4.0)
    finally:
        torch.set_num_threads(before)
    assert np.array_equal(one.label, two.label)
    assert np.array_equal(one.image, two.image)


def test_the_same_patient_at_another_spacing():
    fine, coarse = make_case(4, spacing=2.0), make_case(4, spacing=4.0)
    assert fine.kind == coarse.kind
    volume = [(c.label > 0).sum() * np.prod(c.spacing) for c in (fine, coarse)]
    assert volume[0] == pytest.approx(volume[1], rel=0.15)
    for i in range(4):
        # Everything but the noise: bias field, gain, and where each sequence was cut.
        sparse = fine.bias[i, ::2, ::2, ::2]
        inside = (coarse.image[i] > 0) & (fine.image[i, ::2, ::2, ::2] > 0)
        assert np.corrcoef(sparse[inside], coarse.bias[i][inside])[0, 1] > 0.95
        seen = [(c.image[i] > 0).sum() * np.prod(c.spacing) for c in (fine, coarse)]
        assert seen[0] == pytest.approx(seen[1], rel=0.05)
        middle = [np.median(c.image[i][c.image[i] > 0]) for c in (fine, coarse)]
        assert middle[0] == pytest.approx(middle[1], rel=0.05)


def test_a_changed_generator_has_a_new_version():
    # Coarse facts of one patient, the same on every machine but for rounding. If they change, every
    # phantom does: raise dataset.VERSION, make weights and results anew, then put them here.
    case = make_case(7, spacing=4.0)
    facts = [int((case.label == k).sum()) for k in range(1, 4)]
    facts += [int(round(float(np.median(i[i > 0])))) for i in case.image]
    assert dataset.VERSION == 6
    assert facts == pytest.approx([656, 2445, 0, 175, 1111, 356, 403], rel=0.005, abs=1)


def test_an_exam_is_whole(cases):
    for case in cases:
        assert case.image.shape == (4, 60, 60, 39) and case.image.dtype == np.float32
        assert case.label.shape == case.image.shape[1:] and case.label.dtype == np.uint8
        assert case.present == SEQUENCES and case.convention == "msd"
        assert np.isfinite(case.image).all() and case.image.min() == 0
        assert np.array_equal(case.image, np.round(case.image)), "a scanner stores whole numbers"
        assert case.image.max() < 2**15
        assert distinct(case.label) <= {0, 1, 2, 3}
        wt, tc, et = case.regions()
        assert (wt >= tc).all() and (tc >= et).all() and wt.any()
        assert (case.image > 0).any(0)[wt].all(), "no tumour where nothing was measured"


@cache
def coarse(seed):
    """A case that several tests look at."""
    return make_case(seed, spacing=4.0)


def test_kinds_hold_what_they_say():
    seen = {}
    for seed in range(40, 62):
        seen.setdefault(coarse(seed).kind, []).append(coarse(seed))
    assert set(seen) == {"ring", "solid", "patchy", "low_grade"}
    assert all(not (c.label == 3).any() for c in seen["low_grade"])
    ml = [(c.label > 0).sum() * 0.064 for group in seen.values() for c in group]
    assert min(ml) < 40 < 120 < max(ml) < 260


def lobe(case):
    """Where in the head a tumour's middle lies, roughly: by thirds of the brain's own box."""
    inside = np.argwhere((case.image > 0).any(0))
    low, high = np.percentile(inside, (0.5, 99.5), axis=0)
    x, y, z = (np.argwhere(case.label > 0).mean(0) - low) / (high - low)
    side = "right" if x > 0.5 else "left"
    if y > 0.62:
        return f"{side} frontal"
    if y < 0.3:
        return f"{side} occipital"
    return f"{side} parietal" if z > 0.55 else f"{side} temporal"


def test_tumours_reach_every_lobe():
    parts = ("frontal", "parietal", "temporal", "occipital")
    missing = {f"{side} {part}" for side in ("left", "right") for part in parts}
    for seed in range(40, 112):
        missing.discard(lobe(coarse(seed)))
        if not missing:
            return
    raise AssertionError(f"no tumour in: {', '.join(sorted(missing))}")


def test_a_head_without_tumour():
    case = make_case(11, spacing=4.0, tumour=False)
    assert case.kind == "none" and not case.label.any() and (case.image > 0).any()
    assert case.present == SEQUENCES


def test_signal_equations_by_hand():
    # A tissue of PD 0.8, T1 1000 ms, T2 100 ms.
    pd, r1, r2 = (torch.tensor(v) for v in (0.8, 1 / 1000, 1 / 100))
    e = np.exp
    assert float(spin_echo(500, 10)(pd, r1, r2)) == pytest.approx(
        0.8 * (1 - e(-0.5)) * e(-0.1), rel=1e-5
    )
    flair = 0.8 * (1 - 2 * e(-2.3) + e(-9)) * e(-1.2)
    assert float(inversion(9000, 2300, 120)(pd, r1, r2)) == pytest.approx(flair, rel=1e-5)
    a, e1 = np.deg2rad(25), e(-0.02)
    ernst = 0.8 * np.sin(a) * (1 - e1) / (1 - e1 * np.cos(a))
    assert float(spoiled_echo(20, 25)(pd, r1, r2)) == pytest.approx(ernst, rel=1e-4)
    # Inverted and nulled: TI = T1 ln 2 with a long TR.
    null = inversion(1e6, 4000 * np.log(2), 100)
    assert float(null(pd, torch.tensor(1 / 4000), r2)) == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize("kind", [*KINDS, "none"])
def test_every_exam_that_is_drawn_is_plausible(kind):
    for seed in range(15):
        assert plausible(*draw_exam(Dice(seed), kind))


def test_thick_slices_and_ringing_keep_the_mean():
    volume = torch.rand(24, 20, 30, generator=torch.Generator().manual_seed(0))
    thick = _slices(volume, 2, 3.0)
    assert thick.shape == volume.shape
    assert float(thick.mean()) == pytest.approx(float(volume.mean()), rel=0.01)
    assert float(thick.diff(dim=2).abs().mean()) < 0.4 * float(volume.diff(dim=2).abs().mean())
    changed = 0
    for seed in range(40):
        moved = _moved(Dice(seed), volume, 2.0)
        assert float(moved.mean()) == pytest.approx(float(volume.mean()), rel=0.02)
        changed += not torch.equal(moved, volume)
    assert 1 <= changed <= 20, "about a fifth"


def test_brightest_is_a_percentile():
    assert brightest(torch.arange(1.0, 101.0), 0.9) == 90


def test_an_exam_shows_its_lesion():
    # 35 is a patient whose field of view, as it was drawn first, left the tumour out.
    for seed in (32, 35):
        case = make_case(seed, spacing=4.0)
        assert (case.label > 0).sum() * 0.064 > 4


def test_enhancement_and_edema_are_seen(cases):
    brighter = 0
    for case in cases:
        flair, _, t1ce, _ = case.image
        healthy = (case.label == 0) & (case.image > 0).all(0)
        edema = (case.label == 1) & (flair > 0)
        if edema.sum() > 20:
            brighter += flair[edema].mean() > flair[healthy].mean()
        enhancing = (case.label == 3) & (t1ce > 0)
        if enhancing.sum() > 20:
            assert t1ce[enhancing].mean() > t1ce[healthy].mean()
    assert brighter >= 4


def test_bias_is_the_field_that_was_applied(cases):
    for case in cases:
        assert case.bias.shape == case.image.shape and (case.bias > 0).all()
        inside = (case.image > 0).all(0)
        spread = np.log(case.bias[:, inside]).std(axis=1)
        assert (spread < 0.5).all() and spread.max() > 0.005


def test_rician_noise_has_the_mean_of_its_formula():
    # Of no signal at all, the magnitude's mean is sigma * sqrt(pi / 2).
    noisy = rician(Dice(0), torch.zeros(40, 40, 40), 0.1)
    assert float(noisy.mean()) == pytest.approx(0.1 * np.sqrt(np.pi / 2), rel=0.01)


def spot(shape, *where):
    start = torch.zeros(shape, dtype=torch.bool)
    start[where] = True
    return start


def test_front_in_open_space_arrives_after_distance_over_speed():
    start, inside = spot((31, 31, 31), 15, 15, 15), torch.ones(31, 31, 31, dtype=torch.bool)
    time, limit = _front(torch.full((31, 31, 31), 2.0), start, 3.0, inside, 29_000)
    axes = torch.stack(torch.meshgrid(*[torch.arange(31.0)] * 3, indexing="ij"), -1)
    exact = (axes - 15).norm(dim=-1) * 3.0 / 2.0
    assert float((time - exact).abs().max()) < 3.0, "first-order scheme: within two voxels' time"
    assert float(time[30, 15, 15]) == pytest.approx(22.5)
    assert int((time <= limit).sum()) == pytest.approx(29_000, abs=60)


def test_front_is_faster_along_the_fast_road():
    speed = torch.full((21, 21, 21), 0.2)
    speed[:, 10, 10] = 1.0
    everywhere = torch.ones(21, 21, 21, dtype=torch.bool)
    time, _ = _front(speed, spot((21, 21, 21), 0, 10, 10), 1.0, everywhere, 9_000)
    assert float(time[20, 10, 10]) < float(time[0, 20, 10])


def test_a_front_that_ends_early_has_the_same_times_up_to_its_limit():
    generator = torch.Generator().manual_seed(0)
    speed = torch.rand(25, 25, 25, generator=generator) + 0.1
    start, inside = spot((25, 25, 25), 12, 12, 12), torch.ones(25, 25, 25, dtype=torch.bool)
    early, limit = _front(speed, start, 1.0, inside, 2_000)
    late, _ = _front(speed, start, 1.0, inside, 15_000)
    near = late <= limit
    assert near.sum() >= 2_000
    assert float((early[near] - late[near]).abs().max()) < 0.02 * limit


def test_what_a_core_pushes_away_keeps_its_volume():
    # A ball of 20 mm of which half is new: what is now at 30 mm was at (27000 - 4000)^(1/3).
    grid = Grid((41, 41, 41), 3.0)
    growth = Growth("ring", None, None, torch.zeros(3), 20.0, 0.5, torch.ones(41, 41, 41))
    shift = displacement(growth, grid)
    moved = 30 - (30**3 - 0.5 * 20**3) ** (1 / 3)
    assert float(shift[30, 20, 20, 0]) == pytest.approx(-moved * np.exp(-0.25), rel=1e-4)
    assert float(shift[20, 20, 20].norm()) < 1e-3
    assert not displacement(replace(growth, free=torch.zeros(41, 41, 41)), grid).any()


def test_a_smooth_field_is_the_same_on_every_grid():
    coarse, fine = Grid((20, 20, 20), 4.0), Grid((40, 40, 40), 2.0)
    first, second = (Dice(5).field(grid, 20.0) for grid in (coarse, fine))
    mean = torch.nn.functional.avg_pool3d(second[None], 2)[0]
    assert float((first - mean).abs().max()) < 0.1
    many = torch.stack([Dice(seed).field(coarse, 9.0) for seed in range(12)])
    assert float(many.std()) == pytest.approx(1.0, abs=0.15)


@pytest.mark.parametrize("scale", [5.0, 13.0])
def test_splines_agree_with_scipy(scale):
    from scipy.interpolate import BSpline

    field = Dice(1).coarse((30.0, 30.0, 30.0), scale)
    found = field.on(Grid((15, 15, 15), 2.0))[0] / SPLINE
    nodes = field.nodes[0].numpy()
    at = (np.arange(15) - 7) * 2.0 / scale
    basis = BSpline.basis_element(np.arange(-2, 3), extrapolate=False)
    places = np.arange(nodes.shape[0]) - (nodes.shape[0] - 1) / 2
    weights = np.nan_to_num(basis(at[:, None] - places[None]))
    assert np.allclose(weights.sum(1), 1)
    wanted = np.einsum("ai,bj,ck,ijk", weights, weights, weights, nodes)
    assert np.abs(found.numpy() - wanted).max() < 1e-4


def test_blur_agrees_with_scipy():
    from scipy.ndimage import gaussian_filter

    volume = torch.rand(20, 22, 18, generator=torch.Generator().manual_seed(0))
    ours = blur(volume, 1.3).numpy()
    theirs = gaussian_filter(volume.numpy(), 1.3, mode="nearest", radius=3)
    assert np.abs(ours - theirs).max() < 1e-5


def test_tissue_shares_add_up():
    grid = Grid((44, 52, 39), 4.0)
    anatomy = Head(Dice(2), grid.extent).sample(grid)
    total = anatomy.white + anatomy.grey + anatomy.csf
    assert float((total - anatomy.brain).abs().max()) < 0.02
    millilitres = float(anatomy.brain.sum()) * 0.064
    assert 900 < millilitres < 2100
    assert bool((anatomy.ventricles <= anatomy.csf + 1e-4).all())


def test_a_data_set_reads_like_msd(tmp_path):
    out = write_dataset(tmp_path / "set", cases=2, spacing=4.0, seed=9, workers=1)
    description = json.loads((out / "dataset.json").read_text())
    assert description["modality"]["0"] == "FLAIR" and len(description["training"]) == 2
    files = find_cases(out)
    assert [f.name for f in files] == ["phantom_00009", "phantom_00010"]
    read, made = files[0].read(), make_case(9, spacing=4.0)
    assert np.array_equal(read.image, made.image) and np.array_equal(read.label, made.label)
    assert np.allclose(read.affine, made.affine) and read.convention == "msd"
    image = nib.load(out / "imagesTr" / "phantom_00009.nii.gz")
    assert image.shape == (60, 60, 39, 4) and image.get_data_dtype() == np.int16


def test_prepared_phantoms_are_those_that_were_written(tmp_path):
    files = find_cases(write_dataset(tmp_path / "set", cases=2, spacing=4.0, workers=1))
    wanted = [prepare(f.read(), 4.0) for f in files]
    for _ in range(2):  # made, then found
        ours = prepared_phantoms(tmp_path / "cache", range(2), 4.0, workers=1)
        for found, one in zip(ours, wanted, strict=True):
            assert found.name == one.name and found.frame == one.frame
            for name in ("image", "regions", "brain"):
                assert np.array_equal(getattr(found, name), getattr(one, name)), name
    healthy = prepared_phantoms(tmp_path / "cache", [1], 4.0, tumour=False)
    assert not healthy[0].regions.any() and ours[1].regions.any()


def test_a_second_call_makes_only_what_is_missing(tmp_path):
    out = write_dataset(tmp_path / "set", cases=2, spacing=4.0, workers=1)
    first, second = (out / "imagesTr" / f"phantom_0000{i}.nii.gz" for i in (0, 1))
    stamp, content = first.stat().st_mtime_ns, second.read_bytes()
    second.unlink()
    write_dataset(out, cases=2, spacing=4.0, workers=1)
    assert first.stat().st_mtime_ns == stamp
    assert np.array_equal(np.asarray(nib.load(second).dataobj).shape, (60, 60, 39, 4))
    assert len(second.read_bytes()) == len(content)


def test_heads_without_tumour_are_a_set_of_their_own(tmp_path):
    out = write_dataset(tmp_path / "set", cases=1, spacing=4.0, workers=1, tumour=False)
    assert not find_cases(out)[0].read().label.any()
    with pytest.raises(GliomakitError, match="another recipe"):
        write_dataset(out, cases=1, spacing=4.0)


def test_a_call_killed_at_its_start_can_be_repeated(tmp_path):
    out = tmp_path / "set"
    dataset._claim(
        out, {"generator": "gliomakit.phantom", "version": dataset.VERSION, "spacing": 4.0}
    )
    assert not (out / "dataset.json").exists()
    assert (write_dataset(out, cases=1, spacing=4.0) / "dataset.json").is_file()


def test_a_plain_script_may_use_several_processes(tmp_path):
    code = f"from gliomakit.phantom import write_dataset as w; w({str(tmp_path / 's')!r}, 2, 4.0)"
    (tmp_path / "script.py").write_text(code.replace("4.0)", "4.0, workers=2)"))
    subprocess.run([sys.executable, tmp_path / "script.py"], check=True, timeout=300)
    assert len(find_cases(tmp_path / "s")) == 2


def test_folders_that_cannot_be_used(tmp_path):
    full = tmp_path / "full"
    full.mkdir()
    (full / "thesis.doc").write_text("mine")
    with pytest.raises(GliomakitError, match="not empty"):
        write_dataset(full, cases=1, spacing=4.0)
    assert [p.name for p in full.iterdir()] == ["thesis.doc"]
    out = write_dataset(tmp_path / "set", cases=1, spacing=4.0, workers=1)
    with pytest.raises(GliomakitError, match="another recipe"):
        write_dataset(out, cases=1, spacing=3.0)
    (tmp_path / "file").write_text("")
    with pytest.raises(GliomakitError, match="cannot be written"):
        write_dataset(tmp_path / "file" / "set", cases=1, spacing=4.0)
    with pytest.raises(GliomakitError, match="at least one"):
        write_dataset(tmp_path / "none", cases=0)
    with pytest.raises(GliomakitError, match="spacing of 1 to 4"):
        make_case(0, spacing=0.5)


def test_the_frozen_split_is_the_one_in_the_code():
    frozen = json.loads(SPLITS.read_text())["patients"]
    assert frozen == {part: dataset.embedded_names(part) for part in dataset.EMBEDDED}
    names = [n for part in frozen.values() for n in part]
    assert len(names) == len(set(names)) == 24 + 4 + 8 + 4
