"""The checkers of lesson 08, its worked functions, its saved runs, and where its network begins."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from urllib.error import URLError

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from gliomakit import encoders, slices
from gliomakit.course import build
from gliomakit.course.exercises import check
from gliomakit.course.saved import saved
from gliomakit.course.worked_unet import first_step, rates
from gliomakit.errors import GliomakitError
from gliomakit.slicewise import predict_nothing, slice_scores

(LESSON,) = [x for x in build.select(build.here(), None) if x.name == "08_fastai_dynamic_unet"]
FUNCTIONS = {"08.mask": "mask_path", "08.rates": "rates", "08.decay": "first_step"}


def of_the_lesson(name: str, variant: str = "solutions"):
    """The learner's function of an exercise's cell."""
    (part,) = [p for p in LESSON.parts if p.exercise and p.name == name]
    space: dict[str, object] = {"check": check, "torch": torch}
    exec(compile(part.exercise.text(variant), f"<{name}>", "exec"), space)
    return space[FUNCTIONS[name]]


@pytest.mark.parametrize("name", FUNCTIONS)
def test_a_stub_is_not_yet_and_the_solution_passes(name):
    assert check(name, of_the_lesson(name, "stubs")).status == "not yet"
    assert check(name, of_the_lesson(name)).passed


class Endless:
    def __iter__(self):
        return iter(int, 1)


class Hostile:
    def __eq__(self, other):
        raise RuntimeError("no")

    __hash__ = None


@pytest.mark.parametrize("name", FUNCTIONS)
@pytest.mark.parametrize(
    "value", [None, 3, "", float("nan"), [], [None], {}, Hostile(), Endless(), torch.ones(2, 2)]
)
def test_a_checker_survives_anything(name, value):
    assert check(name, lambda *given: value).status == "wrong"


# ---- 08.mask ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("wrong", "hint"),
    [
        (lambda image: Path(str(image).replace(".tif", "_mask.tif")), "wherever it stands"),
        (lambda image: Path(f"{image.stem}_mask.tif"), "folder is lost"),
        (lambda image: image.with_name(f"{image.name}_mask.tif"), "still has its"),
        (lambda image: image, "the image itself"),
        (lambda image: image.with_name(f"{image.stem}_mask"), "ending is missing"),
        (lambda image: image.with_name(f"mask_{image.name}"), "at its end"),
        (lambda image: image.with_name(f"{image.parent.name}_mask.tif"), "at its end"),
        (lambda image: image.with_name(f"{image.stem[:-1]}1_mask.tif"), "_10_mask.tif"),
        (lambda image: image.with_suffix("_mask.tif"), "stopped with ValueError"),
    ],
)
def test_mask_path_names_the_mistake(wrong, hint):
    result = check("08.mask", wrong)
    assert result.status == "wrong" and hint in result.message, result


@pytest.mark.parametrize(
    "right",
    [
        slices.mask_of,
        lambda image: image.parent / (image.name[:-4] + "_mask.tif"),
        lambda image: str(image.with_suffix("")) + "_mask.tif",
    ],
)
def test_mask_path_accepts_right_answers(right):
    assert check("08.mask", right).passed


# ---- 08.rates --------------------------------------------------------------------------------


def linear(low, high, groups):
    return np.linspace(low, high, groups)


@pytest.mark.parametrize(
    ("wrong", "hint"),
    [
        (linear, "multiply by the same factor"),
        (lambda low, high, n: rates(high, low, n), "gets the lowest"),
        (lambda low, high, n: [low * (high / low) ** (i / n) for i in range(n)], "groups − 1"),
        (lambda low, high, n: [low * (high / low) ** ((i + 1) / n) for i in range(n)], "`low`"),
        (lambda low, high, n: [high] * n, "all are equal"),
        (lambda low, high, n: rates(low, high, n + 1), "you return more"),
        (lambda low, high, n: [low, high], "you return 2"),
        (lambda low, high, n: high, "return a list"),
        (lambda low, high, n: [low] if n == 1 else rates(low, high, n), "the higher one"),
        (
            lambda low, high, n: [low * (high / low) ** (i / (n - 1)) for i in range(n)],
            "ZeroDivision",
        ),
    ],
)
def test_rates_names_the_mistake(wrong, hint):
    result = check("08.rates", wrong)
    assert result.status == "wrong" and hint in result.message, result


@pytest.mark.parametrize(
    "right",
    [
        rates,
        lambda low, high, n: [high] if n == 1 else np.geomspace(low, high, n),
        lambda low, high, n: [high] if n == 1 else tuple(np.geomspace(low, high, n).tolist()),
    ],
)
def test_rates_accepts_right_answers(right):
    assert check("08.rates", right).passed


@pytest.mark.parametrize("function", [rates, of_the_lesson("08.rates")])
def test_rates_are_fastais(function):
    even_mults = pytest.importorskip("fastcore.basics").even_mults
    for low, high, groups in ((1e-5, 1e-3, 3), (2e-4, 2e-4, 2), (1e-3, 1e-5, 7)):
        assert function(low, high, groups) == pytest.approx(even_mults(low, high, groups))
    assert function(1e-5, 1e-3, 1) == [even_mults(1e-5, 1e-3, 1)]


# ---- 08.decay --------------------------------------------------------------------------------


def swapped(w, g, rate, decay, decoupled):
    return first_step(w, g, rate, decay, not decoupled)


@pytest.mark.parametrize(
    ("wrong", "hint"),
    [
        (lambda w, g, r, d, x: first_step(w, g, r, 0, x), "nothing decays"),
        (lambda w, g, r, d, x: first_step(w, g, r, d, False), "that is L2"),
        (lambda w, g, r, d, x: first_step(w, g, r, d, True), "before the division"),
        (swapped, "that is L2"),
        (lambda w, g, r, d, x: first_step(w, g, r, d, x) + 2 * r * d * w, "larger"),
        (lambda w, g, r, d, x: w - r * g.sign() - d * w, "rate × decay × weight"),
        (lambda w, g, r, d, x: w * (1 - r * d) - r * g, "without Adam"),
        (lambda w, g, r, d, x: w * (1 - r * d) + r * g.sign(), "against the gradient"),
        (lambda w, g, r, d, x: (w - r * g.sign()) * (1 - r * d), "after the step"),
        (
            lambda w, g, r, d, x: first_step(w, g, r, d, x) if x else first_step(w, g, r, 0, x),
            "leave the decay out",
        ),
        (
            lambda w, g, r, d, x: (
                w * (1 - r * d) - r * g / g.abs() if x else w - r * (g + d * w).sign()
            ),
            "0 by 0",
        ),
        (lambda w, g, r, d, x: w.mul_(1 - r * d), "changes its input"),
    ],
)
def test_first_step_names_the_mistake(wrong, hint):
    result = check("08.decay", wrong)
    assert result.status == "wrong" and hint in result.message, result


def by_torch(weight, gradient, rate, decay, decoupled):
    parameter = weight.clone().requires_grad_()
    parameter.grad = gradient.clone()
    kind = torch.optim.AdamW if decoupled else torch.optim.Adam
    kind([parameter], lr=rate, weight_decay=decay).step()
    return parameter.detach()


@pytest.mark.parametrize("right", [first_step, by_torch])
def test_first_step_accepts_right_answers(right):
    by_torch(torch.ones(1), torch.ones(1), 0.1, 0.1, True)  # PyTorch's first optimiser is slow
    assert check("08.decay", right).passed


@pytest.mark.parametrize("function", [first_step, of_the_lesson("08.decay")])
@pytest.mark.parametrize("decoupled", [True, False])
def test_first_step_is_torchs(function, decoupled):
    draw = torch.Generator().manual_seed(0)
    weight, gradient = torch.randn(2, 50, generator=draw, dtype=torch.float64)
    torch.testing.assert_close(
        function(weight, gradient, 0.01, 0.1, decoupled),
        by_torch(weight, gradient, 0.01, 0.1, decoupled),
        atol=1e-9,
        rtol=1e-6,
    )


# ---- where a network begins ------------------------------------------------------------------


def small_slices(n=4):
    draw = np.random.default_rng(0)
    images = draw.integers(0, 255, (n, 32, 32, 3), dtype=np.uint8)
    return images, images[..., 1] > 200


def test_a_few_steps_make_an_encoder_that_fastais_unet_takes(tmp_path):
    images, masks = small_slices()
    said = []
    state = encoders.pretrain(images, masks, 2, batch=2, say=lambda *given: said.append(given))
    assert [step for step, _ in said] == [0, 1] and all(np.isfinite(loss) for _, loss in said)
    save_file(dict(state), tmp_path / "encoder.safetensors")
    model = torch.nn.Sequential(encoders.new_encoder())
    before = model[0][0].weight.clone()
    encoders.load_encoder(model, tmp_path / "encoder.safetensors")
    assert not torch.equal(before, model[0][0].weight)
    assert torch.equal(model[0][0].weight, state["0.weight"])


def tool(name):
    """A module of tools/, which is no package."""
    path = Path(__file__).parents[1] / "tools" / f"{name}.py"
    spec = importlib.util.spec_from_file_location(name, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_make_encoder_in_small(tmp_path, monkeypatch, capsys):
    out = tmp_path / "runs" / "encoder.safetensors"
    asked = ["--patients", "1", "--steps", "2", "--batch", "4", "--out", str(out)]
    monkeypatch.setattr("sys.argv", ["pretrain_encoder.py", *asked])
    tool("pretrain_encoder").main()
    assert [path.name for path in out.parent.iterdir()] == [out.name], "nothing half-written stays"
    assert 80e6 < out.stat().st_size < 90e6 and "1 phantoms" in capsys.readouterr().out
    encoders.load_encoder(torch.nn.Sequential(encoders.new_encoder()), out)


def test_saved_runs_of_other_settings_are_not_kept(tmp_path):
    runs, path = tool("slice_runs"), tmp_path / "08_runs.json"
    assert runs.kept(path, {"a": 1}) == {}
    runs.save(path, {"a": (1, 2)}, {"hot": {"epoch": [1]}})
    assert runs.kept(path, {"a": (1, 2)}) == {"hot": {"epoch": [1]}}
    assert runs.kept(path, {"a": 2}) == {}
    path.write_text("{")
    assert runs.kept(path, {"a": 2}) == {}
    assert runs.evenly(list(range(10)), 4) == [0, 3, 6, 9]


@pytest.mark.parametrize("what", ["nothing", "words", "other", "shape"])
def test_an_encoder_that_does_not_fit_is_said(what, tmp_path):
    path = tmp_path / "encoder.safetensors"
    if what == "words":
        path.write_text("<html>")
    if what == "other":
        save_file({"0.weight": torch.zeros(2)}, path)
    model = torch.nn.Sequential(encoders.new_encoder())
    before = {name: value.clone() for name, value in model[0].state_dict().items()}
    if what == "shape":
        save_file(before | {"0.weight": torch.zeros(64, 4, 7, 7)}, path)
    hint = {"nothing": "no such encoder", "words": "damaged"}.get(what, "does not fit")
    with pytest.raises(GliomakitError, match=hint):
        encoders.load_encoder(model, path)
    assert all(torch.equal(before[name], now) for name, now in model[0].state_dict().items())


def test_pretraining_refuses_what_it_cannot_learn_from():
    images, masks = small_slices()
    for images_, masks_, said in (
        (images[:1], masks[:1], "1 images and 1 masks"),
        (images, masks[:2], "4 images and 2 masks"),
        (images[:, :30], masks[:, :30], "multiples of 32"),
        (images, masks[:, :16], "multiples of 32"),
    ):
        with pytest.raises(GliomakitError, match=said):
            encoders.pretrain(images_, masks_, steps=1)


@pytest.mark.parametrize("error", [URLError("no network"), OSError("disk full"), RuntimeError("x")])
def test_a_failed_download_is_said_in_words_and_the_next_start_is_taken(
    error, tmp_path, monkeypatch
):
    encoders.import_torchvision()
    from torchvision.models import ResNet34_Weights

    def fail(self, *given, **named):
        raise error

    monkeypatch.setattr(ResNet34_Weights, "get_state_dict", fail)
    path = tmp_path / "encoder.safetensors"
    start = encoders.best_start(path=path)
    assert start.name == "random" and "make encoder" in start.why
    path.write_bytes(b"")
    start = encoders.best_start(path=path)
    assert start.name == "phantoms" and "ImageNet" in start.why
    monkeypatch.setattr(ResNet34_Weights, "get_state_dict", lambda self, *a, **k: {})
    assert encoders.best_start(path=path).name == "imagenet"


# ---- what else the lesson rests on -----------------------------------------------------------


def test_a_fourth_channel_begins_at_zero_in_fastai():
    encoders.import_torchvision()
    learner = pytest.importorskip("fastai.vision.learner")
    encoder = encoders.new_encoder()
    three = encoder[0].weight.detach().clone()
    learner._update_first_layer(encoder, n_in=4, pretrained=True)
    assert torch.equal(encoder[0].weight[:, :3], three) and not encoder[0].weight[:, 3].any()


@pytest.mark.parametrize(("values", "wanted"), [([0, 255], [0, 1]), ([0, 1], [0])])
def test_dividing_masks_by_255_is_right_for_255_only(values, wanted):
    encoders.import_torchvision()
    vision = pytest.importorskip("fastai.vision.all")
    mask = vision.TensorMask(torch.tensor(values, dtype=torch.uint8))
    assert vision.IntToFloatTensor(div_mask=255)(mask).unique().tolist() == wanted


def test_saved_runs_say_what_they_are():
    kept = saved("08_runs")
    about, runs = kept["about"], kept["runs"]
    assert {"python", "torch", "fastai", "gliomakit", "phantom"} <= set(about["versions"])
    assert 0.4 < about["nothing"]["per_slice"] < 0.8 and about["nothing"]["per_volume"] == 0
    # What the lesson says of them: some learn, others are as good as nothing.
    assert {"phantoms, frozen", "phantoms, unfrozen", "random", "hot", "20 epochs"} <= set(runs)
    for name, run in runs.items():
        assert (run["per_volume"][-1] > 0.2) == (name not in ("random", "hot")), name
    empty = about["nothing"]["per_slice"]
    hot, random = runs["hot"], runs["random"]
    assert set(hot["per_slice"]) == set(random["per_slice"][1:]) == {empty}
    share = 1 - about["nothing"]["accuracy"]
    unknowing = -share * np.log(share) - (1 - share) * np.log(1 - share)
    assert min(hot["validation_loss"]) > unknowing > random["validation_loss"][3] + 0.01
    # The printed loss remembers one step, the first, and nothing else.
    assert hot["losses"][0] < 1 and hot["losses"][1] > 1e12
    fading = [0.98**n / (1 - 0.98**n) for n in (8, 40)]
    fell = hot["training_loss"][-1] / hot["training_loss"][0]
    assert fell == pytest.approx(fading[1] / fading[0], rel=1e-3)
    for run in runs.values():
        columns = ("epoch", "per_slice", "positive", "pooled", "per_volume", "found")
        assert {len(run[key]) for key in columns} == {run["epochs"]}
    assert len(json.dumps(kept)) < 20_000


def test_an_empty_network_scores_what_nothing_scores():
    truth = {"a": np.zeros((3, 2, 2), bool), "b": np.ones((1, 2, 2), bool)}
    empty = {name: np.full(v.shape, 0.1) > 0.5 for name, v in truth.items()}
    assert slice_scores(empty, truth) == slice_scores(predict_nothing(truth), truth)
    assert slice_scores(empty, truth).per_slice == 0.75
