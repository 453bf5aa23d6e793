"""Training: it learns, it says what it did, and it can be killed at any step."""

from __future__ import annotations

import ctypes
import io
import json
import signal
import subprocess
import sys
import textwrap
import threading
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from gliomakit import _checkpoint, _learner, losses, training
from gliomakit._frame import Frame, Span
from gliomakit._learner import Learner, _move_average
from gliomakit.errors import GliomakitError
from gliomakit.model import load_model
from gliomakit.preprocess import Prepared
from gliomakit.regions import SEQUENCES
from gliomakit.training import Fit, fit


def prepared(seed=0, side=16, present=SEQUENCES, label=True, target=None) -> Prepared:
    """Three nested balls, one in another, each sequence showing another of them."""
    rng = np.random.default_rng(seed)
    grid = np.indices((side,) * 3).reshape(3, -1).T
    distance = np.linalg.norm(grid - rng.uniform(6, side - 6, 3), axis=1).reshape((side,) * 3)
    code = sum((distance < radius).astype(np.uint8) for radius in (5.5, 4.0, 2.6))
    image = np.stack([(code >= k) * 1.5 for k in (1, 2, 3, 1)]) + rng.normal(
        0, 0.3, (4, *code.shape)
    )
    image[[s not in present for s in SEQUENCES]] = 0
    spans = (Span(0, side),) * 3
    return Prepared(
        name=f"case{seed}",
        image=image.astype(np.float32),
        regions=code if label else None,
        brain=np.ones(code.shape, bool),
        present=tuple(present),
        affine=np.eye(4),
        spacing=(1.0, 1.0, 1.0),
        frame=Frame(code.shape, spans, (1.0,) * 3, target),
    )


TINY = {"base_filters": 2, "patch": 16, "batch": 1, "precision": "fp32", "steps": 4}


@pytest.fixture(autouse=True)
def one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def weights(model) -> torch.Tensor:
    return torch.cat([t.flatten().double() for t in model.network.state_dict().values()])


# ---------------------------------------------------------------- settings and schedules


def torch_rates(make, steps, rate=3e-3):
    optimiser = torch.optim.AdamW([torch.nn.Parameter(torch.zeros(1))], lr=rate)
    schedule, rates = make(optimiser), []
    for _ in range(steps):
        rates.append(optimiser.param_groups[0]["lr"])
        optimiser.step()
        schedule.step()
    return rates


@pytest.mark.parametrize("steps", [2, 5, 40, 101])
def test_schedules_are_pytorchs(steps):
    from torch.optim.lr_scheduler import CosineAnnealingLR, OneCycleLR, StepLR

    def ours(**settings):
        return [Fit(steps=steps, **settings).rate_at(i) for i in range(steps)]

    expected = torch_rates(lambda o: OneCycleLR(o, 3e-3, total_steps=steps, pct_start=0.25), steps)
    if steps >= 8:  # PyTorch's own rise is broken when it has no step to rise in
        np.testing.assert_allclose(ours(), expected, rtol=1e-6, atol=1e-12)
    assert all(0 < rate <= 3e-3 for rate in ours())
    expected = torch_rates(lambda o: CosineAnnealingLR(o, steps), steps)
    np.testing.assert_allclose(ours(schedule="cosine"), expected, rtol=1e-6)
    expected = torch_rates(lambda o: StepLR(o, 5 * 3, 0.95), steps)
    np.testing.assert_allclose(ours(schedule="step", epoch=3), expected, rtol=1e-12)
    assert ours(schedule="constant") == [3e-3] * steps


def test_one_step_has_a_rate():
    assert 0 < Fit(steps=1).rate_at(0) <= 3e-3


def test_the_papers_settings():
    paper = Fit.paper()
    assert (paper.base_filters, paper.size, paper.batch) == (32, (64, 64, 64), 8)
    assert (paper.steps, paper.epoch, paper.norm, paper.channels) == (80_000, 800, "paper", 2)
    assert paper.rate_at(0) == paper.rate_at(3999) == 5e-4
    assert paper.rate_at(4000) == pytest.approx(4.75e-4)
    assert Fit.paper(cases=24, epochs=2, batch=1).steps == 96
    loss = losses.from_name(paper.loss_name)
    assert (type(loss).__name__, loss.weight, loss.absent) == (
        "WeightedDiceLoss",
        "square",
        "paper",
    )


def test_settings_survive_json():
    settings = Fit(patch=(16, 24, 32), regions=("wt", "et"), sequences=("flair",), clip=None)
    assert Fit(**json.loads(json.dumps(settings.as_json()))) == settings


@pytest.mark.parametrize(
    ("bad", "said"),
    [
        ({"output": "labels"}, "known are regions, classes"),
        ({"schedule": "linear"}, "one-cycle"),
        ({"optimiser": "sgd"}, "adamw, adam"),
        ({"norm": "group"}, "instance"),
        ({"precision": "fp8"}, "bf16"),
        ({"loss": "hinge"}, "weighted-dice"),
        ({"loss": "weighted-dice"}, "for classes, the output is regions"),
        ({"regions": ()}, "wt, tc, et"),
        ({"regions": ("et", "wt")}, "in this order"),
        ({"sequences": ("t1", "flair")}, "in this order"),
        ({"patch": 20}, "multiple of 8"),
        ({"patch": (16, 16)}, "multiple of 8"),
        ({"steps": 0}, "steps is 0"),
        ({"foreground": 1.2}, "share"),
        ({"average": 1.0}, "below 1"),
        ({"rate": 0.0}, "above 0"),
        ({"rate": float("nan")}, "above 0"),
        ({"clip_gradient": -1.0}, "0 or more"),
    ],
)
def test_settings_that_make_no_sense_are_refused(bad, said):
    with pytest.raises(GliomakitError, match=said):
        Fit(**bad)


# ---------------------------------------------------------------- learning


@pytest.mark.parametrize(
    "settings",
    [
        {"output": "regions", "steps": 80},
        {"output": "classes", "regions": ("wt",), "steps": 40},
        {"output": "classes", "loss": "dice-ce", "optimiser": "adam", "steps": 50},
    ],
    ids=["regions", "two classes", "four classes"],
)
def test_it_overfits_one_batch(settings):
    # The patch is the volume, and nothing is drawn: every step has the same batch.
    case = prepared()
    still = {"flip": False, "rotate": False, "intensity": False, "alone": 0.0, "drop": 0.0}
    quick = {"base_filters": 4, "rate": 2e-2, "schedule": "constant"}
    recipe = Fit(**(TINY | still | quick | settings))
    fitted = fit([case], [case], recipe)
    assert set(fitted.dice) == {*recipe.regions, "mean"}
    assert min(fitted.dice.values()) > 0.9
    first, last = fitted.history[0]["loss"], fitted.history[-2]["loss"]
    assert last < first / 2
    assert (
        fitted.model.settings.channels
        == recipe.channels
        == len(recipe.regions) + (recipe.output == "classes")
    )


def test_the_seed_decides_and_the_users_generator_is_left_alone():
    cases = [prepared(0), prepared(1)]
    torch.manual_seed(5)
    before = torch.get_rng_state()
    one = fit(cases, settings=Fit(**TINY))
    assert torch.equal(torch.get_rng_state(), before)
    torch.rand(3)
    same = fit(cases, settings=Fit(**TINY))
    other = fit(cases, settings=Fit(**TINY, seed=1))
    assert torch.equal(weights(one.model), weights(same.model))
    assert not torch.equal(weights(one.model), weights(other.model))


def test_history_and_files(tmp_path):
    out = tmp_path / "new" / "run"
    recipe = Fit(**TINY, validate_every=3, checkpoint_every=2, trained_on="balls")
    cases, held = [prepared(0), prepared(1)], [prepared(2)]
    fitted = fit(cases, held, recipe, out)
    steps = [row for row in fitted.history if "loss" in row]
    assert [row["step"] for row in steps] == [1, 2, 3, 4]
    assert [row["rate"] for row in steps] == [recipe.rate_at(i) for i in range(4)]
    assert all(row["gradient"] > 0 and row["loss"] > 0 for row in steps)
    scores = [row for row in fitted.history if "dice_mean" in row]
    assert [row["step"] for row in scores] == [3, 4]
    assert set(scores[0]) == {"step", "dice_wt", "dice_tc", "dice_et", "dice_mean", "seconds"}
    seconds = [row["seconds"] for row in fitted.history]
    assert seconds == sorted(seconds)

    lines = (out / "history.jsonl").read_text().splitlines()
    assert [json.loads(line) for line in lines] == fitted.history
    about = json.loads((out / "settings.json").read_text())
    assert Fit(**about["settings"]) == recipe
    assert about["cases"] == {"training": ["case0", "case1"], "validation": ["case2"]}
    assert about["machine"]["precision"] == "fp32"
    loaded = load_model(out / "model.safetensors")
    assert torch.equal(weights(loaded), weights(fitted.model))
    assert loaded.settings == fitted.model.settings
    assert loaded.settings.trained_on == "balls" and loaded.settings.spacing is None
    names = {"model.safetensors", "history.jsonl", "settings.json", "checkpoint.safetensors"}
    assert {path.name for path in out.iterdir()} == names


def test_spacing_of_the_cases_goes_into_the_model():
    case = prepared(target=(2.0, 2.0, 2.0))
    object.__setattr__(case, "frame", Frame((32,) * 3, (Span(0, 32),) * 3, (1.0,) * 3, (2.0,) * 3))
    assert fit([case], settings=Fit(**(TINY | {"steps": 1}))).model.settings.spacing == (2.0,) * 3


def test_averaged_weights():
    network, average = torch.nn.BatchNorm1d(2), torch.nn.BatchNorm1d(2)
    network.weight.data.fill_(3.0)
    network.running_mean.fill_(1.0)
    network.num_batches_tracked.fill_(7)
    _move_average(average, network, 0.75)
    assert average.weight.tolist() == [1.5, 1.5] and average.running_mean.tolist() == [0.25, 0.25]
    assert average.num_batches_tracked == 7
    # Of one step the average is what the step's own decay makes of first and last weights.
    cases = [prepared()]
    recipe = Fit(**(TINY | {"steps": 1}), average=0.9)
    first = Learner(cases, Fit(**TINY), torch.device("cpu"))
    with torch.random.fork_rng([]):
        torch.manual_seed(recipe.seed)
        first = weights(Learner(cases, recipe, torch.device("cpu")))
    last = weights(fit(cases, settings=Fit(**(TINY | {"steps": 1}), average=0.0)).model)
    mean = weights(fit(cases, settings=recipe).model)
    torch.testing.assert_close(mean, 0.1 * first + 0.9 * last, rtol=1e-5, atol=1e-7)


def test_dropped_sequences_are_zero_and_so_are_those_not_looked_at():
    whole, partial = prepared(0, side=24), prepared(1, side=24, present=("t1", "t2"))
    settings = TINY | {"batch": 8, "alone": 0.5, "drop": 0.5, "precision": "bf16", "patch": 24}
    learner = Learner([whole, partial], Fit(**settings), torch.device("cpu"))
    kinds = set()
    for step in range(6):
        image, target = learner.batch(step)
        assert image.is_contiguous(memory_format=torch.channels_last_3d)
        assert target.dtype == torch.bool and target.shape == (8, 3, 24, 24, 24)
        there = image.flatten(2).ne(0)
        # All of a sequence or nothing; never nothing at all.
        assert torch.equal(there.any(2), there.all(2))
        assert there.any(2).any(1).all()
        kinds |= {tuple(row) for row in there.any(2).tolist()}
    assert (True, False, True, False) in kinds and len(kinds) > 5
    some = Fit(**settings, sequences=("t1", "t1ce"))
    image, _ = Learner([whole], some, torch.device("cpu")).batch(0)
    assert image.shape[1] == 2 and image.flatten(2).any(2).any(1).all()
    assert fit([whole], [whole], some).model.settings.sequences == ("t1", "t1ce")


@pytest.mark.parametrize("intensity", [True, False])
def test_batches_of_several_steps_are_those_of_each(intensity):
    cases = [prepared(0), prepared(1, present=("t1", "t2")), prepared(2)]
    settings = TINY | {"alone": 0.3, "drop": 0.3, "intensity": intensity, "output": "classes"}
    learner = Learner(cases, Fit(**settings), torch.device("cpu"))
    for number, (image, target) in zip(range(5, 12), learner.batches(range(5, 12))):
        expected = learner.batch(number)
        assert torch.equal(image, expected[0]) and torch.equal(target, expected[1])
        assert image.is_contiguous(memory_format=learner.layout)


def test_steps_whose_batches_are_made_at_once_learn_the_same():
    def trained(at_once: int, numbers) -> tuple[torch.Tensor, list[range]]:
        torch.manual_seed(1)
        learner, made = Learner([prepared()], Fit(**TINY), torch.device("cpu")), []
        plain = learner.batches
        learner.batches = lambda steps: made.append(steps) or plain(steps)
        learner.at_once = at_once
        for number in numbers:
            learner.step(number)
        return weights(learner), made

    numbers = (0, 1, 2, 7, 8)  # as after a checkpoint
    alone, each = trained(1, numbers)
    together, more = trained(3, numbers)
    assert torch.equal(alone, together)
    assert each == [range(n, n + 1) for n in numbers] and more == [range(3), range(7, 10)]


def test_classes_count_the_regions_a_voxel_lies_in():
    case = prepared()
    still = TINY | {"flip": False, "rotate": False}
    for regions, expected in ((("wt",), case.regions > 0), (("wt", "tc", "et"), case.regions)):
        recipe = Fit(**still, output="classes", regions=regions)
        _, target = Learner([case], recipe, torch.device("cpu")).batch(0)
        np.testing.assert_array_equal(target[0].numpy(), expected)


@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_half_precision_trains(precision):
    settings = TINY | {"precision": precision, "steps": 2}
    fitted = fit([prepared()], settings=Fit(**settings))
    assert all(np.isfinite(row["loss"]) for row in fitted.history if row["loss"] is not None)
    assert all(p.dtype == torch.float32 for p in fitted.model.network.parameters())


# ---------------------------------------------------------------- killed and resumed

# Settings; where the run is killed, one after another; at which step it was each time taken up.
# Checkpoints are written at 2, 3, 4, 5.
KILLED = {
    "regions, bf16, averaged": (
        {
            "precision": "bf16", "average": 0.9, "schedule": "one-cycle", "norm": "instance",
            "patch": 24,
        },
        [
            ("step", 1), ("step", 2), ("checkpoint", 2), ("step", 3), ("validation", 3),
            ("step", 4), ("", 4, "fsync"), ("", 4, "replace"), ("checkpoint", 4), ("step", 5),
            ("checkpoint", 5),
        ],
        [0, 0, 0, 2, 2, 3, 3, 3, 3, 4, 4, 5],
    ),
    "classes, batch norm, as the paper": (
        {
            "output": "classes", "regions": ["wt"], "loss": "weighted-dice-paper",
            "norm": "paper", "optimiser": "adam", "schedule": "step", "epoch": 1, "average": 0.0,
            "clip_gradient": 0.0,
        },
        [("step", 3), ("step", 4)],
        [0, 2, 3],
    ),
}  # fmt: skip

SCRIPT = """
    import importlib.util, json, os, signal, sys
    import torch
    import torch._dynamo  # the first step of any optimiser imports it: here once for all children
    from gliomakit import _checkpoint
    from gliomakit.training import Fit, fit

    where, out, settings = sys.argv[1], sys.argv[2], Fit(**json.loads(sys.argv[3]))
    spec = importlib.util.spec_from_file_location("fixtures", where)
    fixtures = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(fixtures)
    torch.set_num_threads(1)
    cases = [fixtures.prepared(0), fixtures.prepared(1)]

    def killed(folder, event, step, writing=None):
        # A child that kills itself at that point; one that lives to the end says so.
        child = os.fork()
        if child:
            _, status = os.waitpid(child, 0)
            return os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL
        seen = {}

        def callback(name, **info):
            if name == "start":
                seen["weight"] = next(info["network"].parameters())
                with open(folder + ".starts", "a") as file:
                    print(info["step"], file=file)
            elif name == "step":
                # PyTorch's own generator decides part of the weights: it must come back too.
                with torch.no_grad():
                    seen["weight"].add_(torch.randn_like(seen["weight"]), alpha=1e-3)
            if writing and name == "step" and info["step"] == step:
                def die(*_):
                    os.kill(os.getpid(), signal.SIGKILL)
                setattr(_checkpoint.os, writing, die)
            elif name == event and info["step"] == step:
                os.kill(os.getpid(), signal.SIGKILL)

        fit(cases, cases[:1], settings, folder, "cpu", resume=True, callback=callback)
        os._exit(0)

    assert not killed(out + "/whole", "never", 0)
    for point in json.loads(sys.argv[4]):
        assert killed(out + "/killed", *point), point
    assert not killed(out + "/killed", "never", 0)
"""


@pytest.fixture
def garbage():
    """New memory is full of NaN, where the C library can do that: what reads it shows."""
    fill = getattr(ctypes.CDLL(None), "mallopt", None) if sys.platform == "linux" else None
    perturb = -6  # M_PERTURB: 256 writes 0xff into each byte that is given out, 0 nothing
    if fill:
        fill(perturb, 256)
    yield
    if fill:
        fill(perturb, 0)


@pytest.mark.parametrize(
    ("network", "size", "precision"),
    [
        ("UNet3d", 16, "fp32"), ("UNet3d", 24, "bf16"),
        ("LightUNet3d", 32, "fp32"), ("LightUNet3d", 48, "bf16"),
    ],
)  # fmt: skip
def test_gradients_of_small_patches_are_not_garbage(garbage, network, size, precision):
    # PyTorch's bf16 gradient where two voxels are left at the bottom is: see FEWEST_BF16.
    asked = {"patch": size, "precision": "bf16", "base_filters": 4, "network": network}
    learner = Learner([prepared(0), prepared(1)], Fit(**TINY | asked), torch.device("cpu"))
    assert learner.precision == precision
    for step in range(4):
        loss, norm = learner.step(step)
        assert np.isfinite(float(loss)) and float(norm) < 1e3


@pytest.mark.skipif(sys.platform == "win32", reason="forks and SIGKILL")
@pytest.mark.parametrize("name", KILLED)
def test_killed_at_every_step_and_resumed_it_ends_with_the_same_bits(name, tmp_path):
    changes, points, starts = KILLED[name]
    settings = TINY | {"steps": 5, "checkpoint_every": 2, "validate_every": 3} | changes
    root = str(Path(training.__file__).parents[1])
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(SCRIPT), __file__, tmp_path]
        + [json.dumps(settings), json.dumps(points)],
        capture_output=True,
        text=True,
        env={"PYTHONPATH": root, "OMP_NUM_THREADS": "1"},
    )
    assert done.returncode == 0, done.stderr
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    assert [int(line) for line in (tmp_path / "killed.starts").open()] == starts
    for file in ("model.safetensors", "checkpoint.safetensors"):
        expected, found = load_file(whole / file), load_file(killed / file)
        assert expected.keys() == found.keys()
        for key, tensor in expected.items():
            assert torch.equal(tensor, found[key]), key
    assert any(key.startswith("exp_avg_sq") for key in expected) and "rng.cpu" in expected

    def rows(folder):
        lines = (folder / "history.jsonl").read_text().splitlines()
        return [{k: v for k, v in json.loads(x).items() if k != "seconds"} for x in lines]

    assert rows(whole) == rows(killed)
    assert [row["step"] for row in rows(killed) if "dice_mean" in row] == [3, 5]
    assert not list(killed.glob("*.part"))


@pytest.fixture
def ctrl_c_works():
    """Python's own answer to Ctrl-C, also where the tests run in the background and ignore it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def test_ctrl_c_saves_a_checkpoint_and_the_run_goes_on(tmp_path, ctrl_c_works):
    cases = [prepared(0), prepared(1)]
    recipe = Fit(**TINY)

    def press(event, **info):
        if event == "step" and info["step"] == 2:
            signal.raise_signal(signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        fit(cases, settings=recipe, out=tmp_path, callback=press)
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    assert _checkpoint.read(tmp_path / "checkpoint.safetensors")[1]["step"] == 2
    assert not (tmp_path / "model.safetensors").exists()
    seen = []
    resumed = fit(
        cases, settings=recipe, out=tmp_path, resume=True, callback=lambda e, **i: seen.append(e)
    )
    assert seen.count("step") == 2
    assert torch.equal(weights(resumed.model), weights(fit(cases, settings=recipe).model))
    assert [row["step"] for row in resumed.history] == [1, 2, 3, 4]


def test_a_finished_run_is_loaded_not_repeated(tmp_path):
    cases = [prepared()]
    first = fit(cases, cases, Fit(**TINY), tmp_path)
    seen = []
    again = fit(
        cases, cases, Fit(**TINY), tmp_path, resume=True, callback=lambda e, **i: seen.append(e)
    )
    assert seen == ["start", "end"] and again.history == first.history
    assert torch.equal(weights(again.model), weights(first.model))
    with pytest.raises(GliomakitError, match="--resume"):
        fit(cases, cases, Fit(**TINY), tmp_path)


def test_resuming_another_run_is_refused_and_says_what_differs(tmp_path):
    cases = [prepared(0), prepared(1)]
    fit(cases, settings=Fit(**TINY), out=tmp_path)
    before = (tmp_path / "settings.json").read_text()

    def resume(cases=cases, validation=(), **changes):
        fit(cases, validation, Fit(**(TINY | changes)), tmp_path, resume=True)

    with pytest.raises(GliomakitError, match=r"rate was 0.003, is 0.01; steps|steps was 4, is 9"):
        resume(rate=0.01, steps=9)
    with pytest.raises(GliomakitError, match="there were 2 training cases, there are 1"):
        resume(cases[:1])
    with pytest.raises(GliomakitError, match="case1 is case2 now"):
        resume([cases[0], prepared(2)])
    changed = prepared(1)
    changed.image[:] *= 2
    with pytest.raises(GliomakitError, match="case1 has other voxels"):
        resume([cases[0], changed])
    with pytest.raises(GliomakitError, match="0 validation cases, there are 1"):
        resume(validation=cases[:1])
    assert (tmp_path / "settings.json").read_text() == before
    torch.set_num_threads(2)
    with pytest.warns(UserWarning, match="threads was 1, is 2"):
        resume()


@pytest.mark.parametrize("damage", ["cut off", "text", "foreign", "empty"])
def test_a_damaged_checkpoint_is_an_error(tmp_path, damage):
    fit([prepared()], settings=Fit(**(TINY | {"steps": 1})), out=tmp_path)
    path = tmp_path / "checkpoint.safetensors"
    content = path.read_bytes()
    foreign = (tmp_path / "model.safetensors").read_bytes()
    texts = {"cut off": content[: len(content) // 2], "text": b"<html>", "empty": b""}
    path.write_bytes(texts.get(damage, foreign))
    with pytest.raises(GliomakitError, match="not a checkpoint"):
        fit([prepared()], settings=Fit(**(TINY | {"steps": 1})), out=tmp_path, resume=True)


def test_a_full_disk_keeps_the_last_checkpoint(tmp_path, monkeypatch):
    recipe = Fit(**TINY, checkpoint_every=1)
    real, calls = _checkpoint.save_file, []

    def full(tensors, path, metadata):
        calls.append(path)
        if len(calls) == 3:
            Path(path).write_bytes(b"half")
            raise OSError(28, "No space left on device")
        real(tensors, path, metadata)

    monkeypatch.setattr(_checkpoint, "save_file", full)
    with pytest.raises(GliomakitError, match="No space left"):
        fit([prepared()], settings=recipe, out=tmp_path)
    assert _checkpoint.read(tmp_path / "checkpoint.safetensors")[1]["step"] == 2
    assert not list(tmp_path.glob("*.part"))


# ---------------------------------------------------------------- what goes wrong


def test_only_mps_in_whole_precision_does_without_a_scaler():
    enabled = {
        (kind, precision)
        for kind in ("cpu", "mps")
        for precision in ("fp32", "bf16", "fp16")
        if _learner.gradient_scaler(torch.device(kind), precision).is_enabled()
    }
    assert enabled == {("cpu", "fp32"), ("cpu", "bf16"), ("cpu", "fp16"), ("mps", "fp16")}


def without_scaler(monkeypatch):
    none = torch.amp.GradScaler("mps", enabled=False)
    monkeypatch.setattr(_learner, "gradient_scaler", lambda *_: none)


def test_a_run_goes_on_with_and_without_a_scaler(tmp_path, monkeypatch, ctrl_c_works):
    cases, recipe = [prepared()], Fit(**TINY)

    def stop(event, **info):
        if event == "step" and info["step"] == 2:
            signal.raise_signal(signal.SIGINT)

    whole = weights(fit(cases, settings=recipe).model)
    for first in ("with", "without"):
        with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
            if first == "without":
                without_scaler(patch)
            fit(cases, settings=recipe, out=tmp_path / first, callback=stop)
        with monkeypatch.context() as patch:
            if first == "with":
                without_scaler(patch)
            again = fit(cases, settings=recipe, out=tmp_path / first, resume=True)
        assert torch.equal(weights(again.model), whole)


@pytest.mark.parametrize("scaler", [True, False], ids=["scaler", "none, as on MPS"])
def test_a_step_without_a_finite_gradient_is_left_out(monkeypatch, scaler):
    cases = [prepared()]
    if not scaler:
        without_scaler(monkeypatch)
    real = Learner.batch
    seen = []

    def poisoned(self, number):
        image, target = real(self, number)
        seen.append([p.detach().clone() for p in self.parameters])
        return (image * torch.nan, target) if number == 1 else (image, target)

    monkeypatch.setattr(Learner, "batch", poisoned)
    fitted = fit(cases, settings=Fit(**TINY))
    assert fitted.skipped == 1
    assert [row["loss"] is None for row in fitted.history] == [False, True, False, False]
    assert all(torch.equal(a, b) for a, b in zip(seen[1], seen[2], strict=True))
    assert not any(torch.equal(a, b) for a, b in zip(seen[2], seen[3], strict=True))
    assert torch.isfinite(weights(fitted.model)).all()


def test_a_run_that_is_lost_ends_with_an_error_and_keeps_its_checkpoint(tmp_path, monkeypatch):
    real = Learner.batch

    def poisoned(self, number):
        image, target = real(self, number)
        return (image * torch.inf if number >= 3 else image), target

    monkeypatch.setattr(Learner, "batch", poisoned)
    monkeypatch.setattr(training, "PATIENCE", 4)
    recipe = Fit(**(TINY | {"steps": 50}), checkpoint_every=2)
    with pytest.raises(
        GliomakitError, match=r"4 steps, up to step 7; .*0.003.*checkpoint was kept"
    ):
        fit([prepared()], settings=recipe, out=tmp_path)
    tensors, facts = _checkpoint.read(tmp_path / "checkpoint.safetensors")
    assert facts["step"] == 6 and facts["skipped"] == 3
    assert all(t.isfinite().all() for t in tensors.values())
    rows = (tmp_path / "history.jsonl").read_text().splitlines()
    assert "NaN" not in "".join(rows) and len(rows) == 7


def test_cases_that_do_not_fit_are_refused(tmp_path):
    recipe = Fit(**TINY)
    for cases, said in (
        ([], "no training cases"),
        ([prepared(), prepared(1, label=False)], "case1: this case has no label"),
        ([prepared(), prepared(1, target=(2.0,) * 3)], "case1: .*prepare all cases alike"),
    ):
        with pytest.raises(GliomakitError, match=said):
            fit(cases, settings=recipe, out=tmp_path / "run")
    with pytest.raises(GliomakitError, match="case0: .*none of flair"):
        fit([prepared(present=("t1",))], settings=Fit(**TINY, sequences=("flair",)))
    assert not (tmp_path / "run").exists()


def test_an_output_folder_that_cannot_be_written_stops_before_training(tmp_path):
    (tmp_path / "file").write_text("")
    seen = []
    for out in (tmp_path / "file", tmp_path / "file" / "run"):
        with pytest.raises(GliomakitError, match="cannot be written"):
            fit([prepared()], settings=Fit(**TINY), out=out, callback=lambda e, **i: seen.append(e))
    assert seen == []


def test_smoke_stops_after_two_steps_and_one_case(tmp_path, monkeypatch):
    monkeypatch.setenv("GLIOMAKIT_SMOKE", "1")
    seen = []
    monkeypatch.setattr(Learner, "dice", lambda self, case: seen.append(case) or dict.fromkeys(
        self.settings.regions, 0.5))  # fmt: skip
    cases = [prepared(0), prepared(1)]
    fitted = fit(cases, cases, Fit(**(TINY | {"steps": 900})), tmp_path)
    assert [row["step"] for row in fitted.history] == [1, 2, 2] and seen == cases[:1]
    assert load_model(tmp_path / "model.safetensors").settings.regions == ("wt", "tc", "et")


# ---------------------------------------------------------------- callback and progress


def test_callback_hears_everything_in_order(tmp_path):
    events = []
    cases = [prepared()]
    recipe = Fit(**TINY, validate_every=2, checkpoint_every=3)
    fitted = fit(cases, cases, recipe, tmp_path, callback=lambda e, **i: events.append((e, i)))
    order = [(name, info["step"]) for name, info in events]
    assert order == [
        ("start", 0),
        ("step", 1),
        ("step", 2),
        ("checkpoint", 2),
        ("validation", 2),
        ("step", 3),
        ("checkpoint", 3),
        ("step", 4),
        ("checkpoint", 4),
        ("validation", 4),
        ("end", 4),
    ]
    start, end = events[0][1], events[-1][1]
    assert start["settings"] == recipe and start["steps"] == 4 and start["precision"] == "fp32"
    assert start["parameters"] == sum(p.numel() for p in fitted.model.network.parameters())
    assert end["model"] is fitted.model and end["history"] == fitted.history
    assert events[1][1] == fitted.history[0]


def test_a_callback_that_fails_is_reported_once_and_changes_nothing():
    def broken(event, **info):
        raise RuntimeError("the tracker is gone")

    cases = [prepared()]
    with pytest.warns(UserWarning, match="the tracker is gone") as caught:
        fitted = fit(cases, settings=Fit(**TINY), callback=broken)
    assert len(caught) == 1
    assert torch.equal(weights(fitted.model), weights(fit(cases, settings=Fit(**TINY)).model))


def test_progress_shows_loss_and_dice_on_a_terminal_only(monkeypatch, capsys):
    cases = [prepared()]
    fit(cases, cases, Fit(**TINY))
    assert capsys.readouterr() == ("", "")

    class Terminal(io.StringIO):
        def isatty(self):
            return True

    shown = Terminal()
    monkeypatch.setattr(sys, "stderr", shown)
    fit(cases, cases, Fit(**TINY, validate_every=2))
    monkeypatch.undo()
    text = shown.getvalue()
    assert "4/4" in text and "loss=" in text and "mean=" in text and "wt=" in text
    assert capsys.readouterr().out == ""


def test_it_runs_outside_the_main_thread():
    found = []
    thread = threading.Thread(target=lambda: found.append(fit([prepared()], settings=Fit(**TINY))))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        thread.start()
        thread.join()
    assert len(found) == 1 and len(found[0].history) == 4
