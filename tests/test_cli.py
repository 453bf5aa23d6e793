"""The command line: options, exit codes, what goes to stdout and what to stderr."""

import errno
import json
import os
import subprocess
import sys
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

import gliomakit
from gliomakit import cli, inference
from gliomakit.cli import _common, _jobs, _split, main
from gliomakit.errors import GliomakitError

SHAPE = (20, 18, 16)
LPS = np.array([[-1.0, 0, 0, 9], [0, -1, 0, 9], [0, 0, 2, -4], [0, 0, 0, 1]])
ENDS = {"flair": "_flair", "t1": "_t1", "t1ce": "_t1ce", "t2": "_t2"}
COMMANDS = (
    "doctor",
    "check",
    "phantoms",
    "download",
    "prepare",
    "train",
    "segment",
    "evaluate",
    "audit",
    "course",
)


def sequence(seed, shape=SHAPE):
    """A head: a bright ball in a dark box."""
    place = np.indices(shape) - np.reshape([n / 2 for n in shape], (3, 1, 1, 1))
    ball = (place**2).sum(0) < (min(shape) * 0.45) ** 2
    noise = np.random.default_rng(seed).normal(100 + 20 * seed, 10, shape)
    return np.where(ball, noise, 0).astype(np.int16)


def save(path, array, affine=LPS):
    path.parent.mkdir(parents=True, exist_ok=True)
    nib.save(nib.Nifti1Image(array, affine), path)
    return path


def label(values=(2, 1, 4), shape=SHAPE):
    """Nested boxes of edema, core, enhancing, in BraTS's values unless others are given."""
    array = np.zeros(shape, np.uint8)
    for n, value in enumerate(values):
        array[4 + n : 14 - n, 5 + n : 13 - n, 5 + n : 12 - n] = value
    return array


def brats(folder, sequences=tuple(ENDS), affine=LPS):
    """A BraTS case folder, named as the folder."""
    for seed, name in enumerate(sequences):
        save(folder / f"{folder.name}{ENDS[name]}.nii.gz", sequence(seed), affine)
    return folder


def msd(root, names, values=(1, 2, 3)):
    """An MSD data set."""
    image = np.stack([sequence(seed) for seed in range(4)], -1)
    for name in names:
        save(root / "imagesTr" / f"{name}.nii.gz", image)
        save(root / "labelsTr" / f"{name}.nii.gz", label(values))
    about = {
        "modality": {"0": "FLAIR", "1": "T1w", "2": "t1gd", "3": "T2w"},
        "labels": {"0": "background", "1": "edema", "2": "non-enhancing tumor", "3": "enhancing"},
        "training": [
            {"image": f"./imagesTr/{n}.nii.gz", "label": f"./labelsTr/{n}.nii.gz"} for n in names
        ],
        "test": [],
    }
    (root / "dataset.json").write_text(json.dumps(about))
    return root


def network(path, **settings):
    """A network that learned nothing, small enough to run at once."""
    import torch

    from gliomakit.model import Model, Settings, save_model
    from gliomakit.unet import UNet3d

    torch.manual_seed(0)
    settings = Settings(patch=(16, 16, 16), **settings)
    net = UNet3d(len(settings.sequences), settings.channels, base_filters=2, norm="instance")
    return save_model(Model(net, settings), path)


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    return network(tmp_path_factory.mktemp("weights") / "tiny.safetensors")


@pytest.fixture
def run(capsys):
    """Run a command line in this process: exit code, stdout, stderr."""

    def call(*words):
        code = main([str(word) for word in words])
        out, err = capsys.readouterr()
        return code, out, err

    return call


@pytest.fixture
def refused(run):
    """Run a command line that must end in one line on stderr, exit 2, which holds all `words`."""

    def call(*line, words=()):
        code, out, err = run(*line)
        assert code == 2 and out == "", (code, out, err)
        assert err.startswith("gliomakit: error: ") and err.count("\n") == 1, err
        assert all(str(word) in err for word in words), err
        return err

    return call


def python(*words, **more):
    """A command line in a process of its own."""
    return subprocess.run(
        [sys.executable, *map(str, words)], capture_output=True, text=True, timeout=120, **more
    )


# ---- the frame: help, usage, errors ----------------------------------------------------------


def test_help_and_version_load_no_torch():
    script = (
        "import sys\nfrom gliomakit.cli import main\n"
        "assert main([]) == main(['--help']) == main(['--version']) == 0\n"
        f"assert all(main([c, '--help']) == 0 for c in {COMMANDS!r} if c != 'train')\n"
        "heavy = {'torch', 'scipy', 'matplotlib', 'nibabel', 'fastai'} & set(sys.modules)\n"
        "assert not heavy, heavy"
    )
    done = python("-c", script)
    assert done.returncode == 0, done.stderr
    assert all(command in done.stdout for command in COMMANDS)


def test_python_m_is_the_command_line():
    done = python("-m", "gliomakit", "--version")
    assert done.returncode == 0
    assert done.stdout == f"gliomakit {gliomakit.__version__}\n" and done.stderr == ""


def test_help_of_train_shows_the_defaults_of_fit(run):
    from gliomakit.training import Fit

    code, out, _ = run("train", "--help")
    text = " ".join(out.split())
    assert code == 0
    assert f"(default: {Fit().steps})" in text and f"(default: {Fit().rate})" in text
    assert "(default: wt,tc,et)" in text


@pytest.mark.parametrize(
    ("line", "words"),
    [
        (["nonsense"], ["nonsense", "gliomakit --help"]),
        (["segment", "--nonsense"], ["--nonsense", "gliomakit segment --help"]),
        (["evaluate", "one"], ["REF", "gliomakit evaluate --help"]),
        (["phantoms", "out", "--cases", "many"], ["--cases", "integer"]),
        (["phantoms", "out", "--cases", "0"], ["--cases"]),
        (["train", "data"], ["--out"]),
        (["segment"], ["--out"]),
        (["segment", "--out", "x.nii.gz"], ["--flair"]),
        (["segment", "case", "--out", "x", "--convention", "brats"], ["brats2017"]),
        (["segment", "--flair", "a.nii", "case", "--out", "x"], ["both"]),
        (["segment", "case", "--out", "x", "--brain-mask", "m.nii"], ["--brain-mask"]),
        (["segment", "case", "--out", "x.mha"], ["x.mha", ".nii.gz"]),
    ],
)
def test_wrong_usage_is_one_line(refused, tmp_path, monkeypatch, line, words):
    monkeypatch.chdir(tmp_path)
    brats(tmp_path / "case")
    refused(*line, words=words)


def test_debug_shows_the_traceback_wherever_it_stands(run):
    for line in (["--debug", "evaluate", "a", "b"], ["evaluate", "a", "b", "--debug"]):
        code, _, err = run(*line)
        assert code == 2 and "Traceback" in err
        assert err.splitlines()[-1] == "gliomakit: error: a: there is no such file or folder"


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (RuntimeError("odd\nthing"), ["fault in gliomakit", "RuntimeError: odd thing", "--debug"]),
        (MemoryError(), ["not enough memory"]),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried"), ["enough memory"]),
        (OSError(errno.ENOSPC, "No space left", "f.npy"), ["f.npy", "disk is full"]),
        (PermissionError(errno.EACCES, "Permission denied", "g"), ["g: ", "permission denied"]),
        (NotADirectoryError(errno.ENOTDIR, "Not a directory", "h"), ["h: ", "folder"]),
        (ModuleNotFoundError("no", name="nbclient"), ["nbclient", "pip install"]),
        (GliomakitError("two\nlines", where="w"), ["w: two lines"]),
    ],
)
def test_any_exception_is_one_line(refused, monkeypatch, error, words):
    def fail(*_):
        raise error

    monkeypatch.setattr("gliomakit.evaluation.find_labels", fail)
    refused("evaluate", "a", "b", words=words)


def test_interrupt(run, monkeypatch):
    def stop(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr("gliomakit.evaluation.find_labels", stop)
    code, out, err = run("evaluate", "a", "b")
    assert (code, out, err.strip()) == (130, "", "gliomakit: interrupted")


def test_reader_of_stdout_gone():
    read, write = os.pipe()
    os.close(read)
    try:
        done = subprocess.run(
            [sys.executable, "-m", "gliomakit", "--help"], stdout=write, stderr=subprocess.PIPE
        )
    finally:
        os.close(write)
    assert done.returncode == 141 and done.stderr == b""


def test_warnings_of_others_are_kept_quiet_ours_are_one_line(run, monkeypatch):
    import warnings

    def warn(*_):
        warnings.warn_explicit("not ours", UserWarning, "x.py", 1, module="nibabel.x")
        warnings.warn("mind\nthis", stacklevel=1)
        raise GliomakitError("end")

    warn.__globals__["__name__"], name = "gliomakit.made_up", warn.__globals__["__name__"]
    try:
        monkeypatch.setattr("gliomakit.evaluation.find_labels", warn)
        _, _, err = run("evaluate", "a", "b")
    finally:
        warn.__globals__["__name__"] = name
    assert err == "gliomakit: warning: mind this\ngliomakit: error: end\n"


# ---- doctor, course, phantoms, prepare --------------------------------------------------------


def test_doctor(run):
    code, out, err = run("doctor", "--json")
    assert code == 0 and err == ""
    assert json.loads(out)["gliomakit"] == gliomakit.__version__


def test_doctor_in_words(run, monkeypatch):
    monkeypatch.setattr("gliomakit.doctor.collect", lambda: {"device": "abacus"})
    monkeypatch.setattr("gliomakit.doctor.render", lambda found: f"device {found['device']}")
    assert run("doctor") == (0, "device abacus\n", "")


def test_course_hands_on_its_options_and_its_exit_code(run, monkeypatch):
    course = pytest.importorskip("gliomakit.course.run")
    asked = []
    monkeypatch.setattr(course, "main", lambda *a: asked.append(a) or 1)
    assert run("course", "00", "05", "--size", "gpu", "--jobs", 2)[0] == 1
    assert run("course")[0] == 1
    assert asked == [(["00", "05"], "gpu", 2), (None, None, 1)]


def test_phantoms_hands_on_its_options(run, monkeypatch, tmp_path):
    asked = []

    def write(out, *rest, **more):
        asked.append((out, *rest))
        return out

    monkeypatch.setattr("gliomakit.phantom.write_dataset", write)
    code, out, err = run("phantoms", tmp_path, "--cases", 3, "--spacing", 4, "--seed", 7)
    assert (code, err) == (0, "") and "3 phantoms at 4 mm" in out
    assert asked == [(tmp_path, 3, 4.0, 7, None)]


def test_prepare_fills_the_cache_that_train_reads(run, tmp_path):
    data = msd(tmp_path / "data", ["a", "b"])
    line = ("prepare", data, "--cache", tmp_path / "cache", "--workers", 1)
    code, out, err = run(*line, "--json")
    told = json.loads(out)
    assert code == 0 and err == ""
    assert told["labelled"] == 2 and [case["case"] for case in told["cases"]] == ["a", "b"]
    assert told["cases"][0]["sequences"] == ["flair", "t1", "t1ce", "t2"]
    assert "2 cases (2 with a label)" in run(*line)[1]


# ---- train -------------------------------------------------------------------------------------


@pytest.fixture
def fits(monkeypatch):
    """Calls of `training.fit`, which then does nothing."""
    from gliomakit import training

    calls = []

    def fit(head, tail, settings, out, device, resume, progress, callback):
        calls.append((head, tail, settings, out, device, resume))
        return training.Fitted(None, [{"step": 1, "dice_wt": 0.5, "dice_mean": 0.5}], skipped=0)

    monkeypatch.setattr(training, "fit", fit)
    monkeypatch.setattr("gliomakit.preprocess.prepare_all", lambda cases, *_: list(cases))
    return calls


def test_train_uses_the_defaults_of_fit(run, fits, tmp_path):
    from gliomakit.training import Fit

    data = msd(tmp_path / "data", list("abcdefgh"))
    code, out, _ = run("train", data, "--out", tmp_path / "run")
    head, tail, settings, folder, device, resume = fits[0]
    assert code == 0 and out.splitlines() == [
        "WT: Dice 0.500",
        "mean: Dice 0.500",
        str(tmp_path / "run" / "model.safetensors"),
    ]
    assert settings == Fit(trained_on="7 cases of data")
    assert (len(head), len(tail), device, resume) == (7, 1, None, False)
    assert folder == tmp_path / "run"


def test_train_hands_on_every_option(run, fits, tmp_path):
    data = msd(tmp_path / "data", ["a", "b"])
    options = {
        "regions": "wt,tc",
        "loss": "regions",
        "filters": 4,
        "norm": "batch",
        "patch": 32,
        "batch": 3,
        "foreground": 0.25,
        "steps": 7,
        "rate": 0.01,
        "schedule": "cosine",
        "optimiser": "adam",
        "sequences": "flair,t1ce",
        "precision": "fp32",
        "seed": 5,
        "validate_every": 9,
    }
    words = [w for name, v in options.items() for w in (f"--{name.replace('_', '-')}", v)]
    code, _, err = run("train", data, "--out", tmp_path / "run", *words, "--device", "cpu")
    assert code == 0, err
    settings = fits[0][2]
    options["regions"], options["sequences"] = ("wt", "tc"), ("flair", "t1ce")
    options["base_filters"] = options.pop("filters")
    assert {name: getattr(settings, name) for name in options} == options
    assert fits[0][4] == "cpu"


def test_train_a_loss_of_classes_trains_classes(run, fits, tmp_path):
    data = msd(tmp_path / "data", ["a", "b"])
    line = ("train", data, "--out", tmp_path / "run")
    assert run(*line, "--regions", "wt", "--loss", "weighted-dice")[0] == 0
    assert fits[0][2].output == "classes"
    assert run(*line, "--paper", "--steps", 10)[0] == 0
    assert fits[1][2].base_filters == 32 and fits[1][2].steps == 10


def test_train_wrong_settings(refused, fits, tmp_path):
    data = msd(tmp_path / "data", ["a", "b"])
    line = ("train", data, "--out", tmp_path / "run")
    refused(*line, "--regions", "wt,xt", words=["xt", "wt, tc, et"])
    refused(*line, "--patch", 20, words=["20", "multiple of 8"])
    refused(*line, "--loss", "guess", words=["guess", "weighted-dice"])
    refused(*line, "--spacing", "wide", words=["wide"])
    refused(*line, "--validation", 1, words=["validation"])
    for place in ("1", "2"):
        save(brats(tmp_path / "twins" / place / "same") / "same_seg.nii.gz", label())
    refused("train", tmp_path / "twins", "--out", tmp_path / "run", words=["two cases", "same"])
    refused("train", brats(tmp_path / "bare"), "--out", tmp_path / "run", words=["label"])


def test_train_resumes_with_all_that_the_run_began_with(run, refused, tmp_path, monkeypatch):
    """A real run, stopped after two steps, goes on without its options being given again."""
    from gliomakit.training import Fit

    data, out, split = msd(tmp_path / "data", list("abcd")), tmp_path / "run", tmp_path / "split"
    split.write_text(json.dumps({"training": ["d", "b"], "validation": ["c"]}))
    options = {"steps": 3, "filters": 2, "patch": 16, "batch": 1, "precision": "fp32"}
    options |= {"spacing": 1, "convention": "msd", "split": split}
    monkeypatch.setenv("GLIOMAKIT_CACHE", str(tmp_path / "cache"))
    line = ("train", data, "--out", out, "--device", "cpu")
    with monkeypatch.context() as patch:
        patch.setenv("GLIOMAKIT_SMOKE", "1")
        code, _, err = run(*line, *(w for name, v in options.items() for w in (f"--{name}", v)))
    assert code == 0, err
    begun = (out / "settings.json").read_text()
    told = json.loads(begun)
    settings = Fit(**told["settings"])
    assert (settings.steps, settings.convention) == (3, "msd") and told["spacing"] == [1.0] * 3
    assert told["cases"] == {"training": ["d", "b"], "validation": ["c"]}

    def steps():
        rows = map(json.loads, (out / "history.jsonl").read_text().splitlines())
        return [row["step"] for row in rows if "loss" in row]

    assert steps() == [1, 2]
    for other in (("--spacing", 2), ("--spacing", "own"), ("--convention", "brats2023")):
        refused(*line, "--resume", *other, words=[out, f"another {other[0]}"])
    code, _, err = run(*line, "--resume")
    assert code == 0 and steps() == [1, 2, 3], err
    assert (out / "settings.json").read_text() == begun
    assert run(*line, "--resume", "--spacing", 1, "--convention", "msd")[0] == 0
    (out / "settings.json").write_text("{}")
    refused(*line, "--resume", words=["settings.json"])


@pytest.mark.parametrize(
    ("name", "ends"),
    [("UPENN-{}", list(ENDS.values())), ("BraTS-PED-{}-000", ["-t2f", "-t1n", "-t1c", "-t2w"])],
)
def test_labels_that_no_name_decides_are_read_when_the_user_says_how(
    run, refused, tmp_path, monkeypatch, name, ends
):
    """The error's advice, to give --convention, works."""
    monkeypatch.setenv("GLIOMAKIT_CACHE", str(tmp_path / "cache"))
    data = tmp_path / "data"
    for case in map(name.format, "12"):
        for seed, end in enumerate(ends):
            save(data / case / f"{case}{end}.nii.gz", sequence(seed))
        save(data / case / f"{case}{ends[0][0]}seg.nii.gz", label((2, 1, 3)))
    small = "--steps 1 --filters 2 --patch 16 --batch 1 --precision fp32 --device cpu".split()
    train = ("train", data, "--out", tmp_path / "run", *small)
    for line in (("prepare", data, "--json"), train):
        line = (*line, "--workers", 1)
        refused(*line, words=["seg.nii.gz", "brats2023", "--convention"])
        refused(*line, "--convention", "brats1999", words=["brats1999", "brats2023"])
        code, out, err = run(*line, "--convention", "brats2023")
        assert code == 0, err
        assert line[0] == "train" or json.loads(out)["labelled"] == 2


def test_split_by_file_and_by_patient(run, refused, fits, tmp_path):
    data, split = msd(tmp_path / "data", list("abcd")), tmp_path / "split.json"
    line = ("train", data, "--out", tmp_path / "run", "--split", split)
    split.write_text(json.dumps({"patients": {"training": ["c", "a"], "validation": ["d"]}}))
    assert run(*line)[0] == 0
    assert [files.name for files in fits[0][0] + fits[0][1]] == ["c", "a", "d"]
    split.write_text(json.dumps({"training": ["a", "x"]}))
    refused(*line, words=["data", "x"])
    split.write_text(json.dumps({"training": ["a"], "validation": ["a"]}))
    refused(*line, words=[split, "a is in training and in validation"])
    split.write_text("[]")
    refused(*line, words=[split])


def test_random_split_keeps_patients_together():
    names = [f"BraTS-GLI-{patient:05d}-{visit}" for patient in range(20) for visit in (100, 101)]
    for seed in range(5):
        training, validation = _split.random_split(names, 0.25, seed)
        assert (len(training), len(validation)) == (30, 10)
        assert not {_split.patient(n) for n in training} & {_split.patient(n) for n in validation}
        assert sorted(training + validation) == sorted(names)
    assert _split.random_split(["a"], 0.5, 0) == (["a"], [])
    assert _split.random_split(["a", "b"], 0.0, 0) == (["a", "b"], [])


# ---- segment -----------------------------------------------------------------------------------


def test_segment_an_msd_data_set(run, weights, tmp_path):
    data = msd(tmp_path / "data", ["a", "b"])
    out = tmp_path / "out" / "deep"
    code, text, err = run("segment", data, "--out", out, "--weights", weights)
    assert (code, err) == (0, "") and all(word in text for word in ("WT mL", "a.nii.gz", "msd"))
    assert sorted(p.name for p in out.iterdir()) == ["a.json", "a.nii.gz", "b.json", "b.nii.gz"]
    image, written = nib.load(data / "imagesTr" / "a.nii.gz"), nib.load(out / "a.nii.gz")
    assert written.shape == image.shape[:3] and written.get_data_dtype() == np.uint8
    assert np.array_equal(written.affine, image.affine)
    assert set(np.unique(written.dataobj)) <= {0, 1, 2, 3}
    told = json.loads((out / "a.json").read_text())
    assert told["convention"] == "msd" and told["gliomakit"] == gliomakit.__version__
    assert told["network"]["name"] == "tiny" and len(told["network"]["sha256"]) == 64
    assert told["sequences"] == ["flair", "t1", "t1ce", "t2"]
    voxels = np.count_nonzero(written.dataobj)
    assert told["volumes_ml"]["wt"] == pytest.approx(voxels * 2 / 1000, abs=1e-3)


def test_segment_single_files_and_missing_sequences(run, weights, tmp_path):
    case = brats(tmp_path / "case", ("flair", "t1ce"))
    mask = save(tmp_path / "mask.nii.gz", (sequence(0) > 0).astype(np.uint8))
    files = [case / "case_flair.nii.gz", case / "case_t1ce.nii.gz"]
    line = ["segment", "--flair", files[0], "--t1ce", files[1], "--weights", weights]
    out = tmp_path / "result.nii.gz"
    code, text, _ = run(*line, "--brain-mask", mask, "--out", out, "--json")
    row = json.loads(text)["cases"][0]
    assert code == 0 and row["sequences"] == ["flair", "t1ce"] and row["case"] == "result"
    assert row["convention"] == "brats2017" and set(np.unique(nib.load(out).dataobj)) <= {
        0,
        1,
        2,
        4,
    }
    # the same case as a folder, in another convention, is the same tumour
    run("segment", case, "--out", tmp_path, "--weights", weights, "--convention", "msd")
    other = nib.load(tmp_path / "case.nii.gz")
    assert json.loads((tmp_path / "case.json").read_text())["convention"] == "msd"
    assert set(np.unique(other.dataobj)) <= {0, 1, 2, 3}


def test_segment_is_the_same_as_from_python(run, weights, tmp_path):
    from gliomakit import find_cases, load_model, segment

    case = brats(tmp_path / "case")
    run("segment", case, "--out", tmp_path / "out.nii.gz", "--weights", weights)
    found = segment(find_cases(case)[0].read(), load_model(weights))
    written = nib.as_closest_canonical(nib.load(tmp_path / "out.nii.gz"))
    assert np.array_equal(np.asarray(written.dataobj), found.label("brats2017"))


def test_segment_on_different_grids(run, refused, weights, tmp_path):
    case = brats(tmp_path / "case", ("flair",))
    thick = save(tmp_path / "thick.nii.gz", sequence(1)[:, :, ::2], LPS @ np.diag([1, 1, 2, 1]))
    line = ["segment", "--flair", case / "case_flair.nii.gz", "--t1", thick, "--weights", weights]
    line += ["--out", tmp_path / "out.nii.gz"]
    refused(*line, words=[thick, "grid", "--resample-to"])
    assert not (tmp_path / "out.nii.gz").exists()
    for target, shape in (("t1", (20, 18, 8)), (thick, (20, 18, 8)), ("flair", SHAPE)):
        assert run(*line, "--resample-to", target)[0] == 0
        assert nib.load(tmp_path / "out.nii.gz").shape == shape


def test_segment_one_bad_case_of_many(run, weights, tmp_path):
    for name in ("a", "b", "c"):
        brats(tmp_path / "data" / name)
    (tmp_path / "data" / "b" / "b_t2.nii.gz").write_text("no image")
    save(tmp_path / "data" / "c" / "again_t1.nii.gz", sequence(1))
    (tmp_path / "data" / "notes").mkdir()
    line = ("segment", tmp_path / "data", "--out", tmp_path / "out", "--weights", weights)
    code, text, err = run(*line, "--json")
    told = json.loads(text)
    assert code == 2 and [row["case"] for row in told["cases"]] == ["a"]
    assert len(told["failed"]) == 2
    lines = err.splitlines()
    assert len(lines) == 2 and all(line.startswith("gliomakit: error: ") for line in lines)
    assert "b_t2.nii.gz" in err and "given twice" in err
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == ["a.json", "a.nii.gz"]


def test_segment_goes_on_when_the_memory_is_too_small_for_a_case(
    run, refused, weights, tmp_path, monkeypatch
):
    import torch

    from gliomakit import inference

    real = inference.segment

    def segment(case, *arguments, **options):
        if case.name == "a":
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")
        return real(case, *arguments, **options)

    monkeypatch.setattr(inference, "segment", segment)
    for name in ("a", "b"):
        brats(tmp_path / "data" / name)
    line = ("--out", tmp_path / "out", "--weights", weights, "--json")
    code, text, err = run("segment", tmp_path / "data", *line)
    told = json.loads(text)
    assert code == 2 and [row["case"] for row in told["cases"]] == ["b"]
    assert [failure["case"] for failure in told["failed"]] == ["a"]
    assert err.count("\n") == 1 and "not enough memory" in err
    refused("segment", tmp_path / "data" / "a", *line, words=["not enough memory"])


def test_segment_two_cases_of_one_name(refused, weights, tmp_path):
    one, two = brats(tmp_path / "1" / "case"), brats(tmp_path / "2" / "case")
    line = ("segment", one, two, "--weights", weights, "--out")
    refused(*line, tmp_path / "out", words=["two cases have the name case", one, two])
    refused(*line, tmp_path / "out.nii.gz", words=["2 cases", "folder"])
    assert not (tmp_path / "out").exists()


def test_segment_never_overwrites_an_input(refused, weights, tmp_path):
    data, case = msd(tmp_path / "data", ["a"]), brats(tmp_path / "case")
    before = {p: p.read_bytes() for p in tmp_path.rglob("*") if p.is_file()}
    for folder in ("imagesTr", "labelsTr"):
        refused("segment", data, "--out", data / folder, words=["a.nii.gz", "not be overwritten"])
    link = tmp_path / "link.nii.gz"
    link.symlink_to(case / "case_t1.nii.gz")
    for out in (link, case / "case_t1.nii.gz"):
        refused("segment", case, "--out", out, "--overwrite", words=[out, "not be overwritten"])
    link.unlink()
    refused("segment", case, "--weights", weights, "--out", weights, words=[weights])
    assert before == {p: p.read_bytes() for p in tmp_path.rglob("*") if p.is_file()}


def test_segment_replaces_its_own_files_only(run, refused, weights, tmp_path):
    case, out = brats(tmp_path / "case"), tmp_path / "out.nii.gz"
    line = ["segment", case, "--weights", weights, "--out", out]
    assert run(*line)[0] == run(*line)[0] == 0
    (tmp_path / "out.json").unlink()
    refused(*line, words=[out, "exists", "--overwrite"])
    assert run(*line, "--overwrite")[0] == 0
    side = tmp_path / "scan.json"
    side.write_text("{}")
    refused(*line[:-1], tmp_path / "scan.nii.gz", words=[side, "exists"])


def test_segment_says_which_sequences_a_network_needs(refused, tmp_path):
    weights = network(tmp_path / "two.safetensors", sequences=("flair", "t2"))
    case = brats(tmp_path / "case", ("t1", "t1ce"))
    line = ("segment", case, "--weights", weights, "--out", tmp_path / "out.nii.gz")
    refused(*line, words=["case", "t1, t1ce", "flair, t2"])


def test_segment_compiles_when_asked(run, weights, tmp_path, monkeypatch):
    asked = []
    monkeypatch.setattr(inference, "compiled", lambda network: asked.append(1) or network)
    line = ["segment", brats(tmp_path / "case"), "--weights", weights, "--out"]
    assert run(*line, tmp_path / "plain.nii.gz")[0] == 0 and asked == []
    assert run(*line, tmp_path / "fast.nii.gz", "--compile")[0] == 0 and asked == [1]
    plain, fast = (tmp_path / f"{name}.nii.gz" for name in ("plain", "fast"))
    assert plain.read_bytes() == fast.read_bytes()


def test_segment_warns_of_subsets_that_do_badly(run, tmp_path):
    measured = {"t1": (0.2, 0.7, 0.0), "flair+t1": (0.9, 0.8, 0.7)}
    weights = network(tmp_path / "weak.safetensors", subset_dice=measured)
    for names, words in ((("t1",), "T1 alone"), (("flair", "t1"), None)):
        case = brats(tmp_path / "_".join(names), names)
        line = ("segment", case, "--weights", weights, "--out", tmp_path / "out", "--no-check")
        code, text, err = run(*line, "--json")
        found = json.loads(text)["cases"][0]["warnings"]
        assert code == 0 and [w["code"] for w in found] == (["sequences"] if words else [])
        if words:
            assert words in err and "whole tumour (Dice 0.20" in err
            assert "enhancing tumour (Dice 0.00" in err and "tumour core" not in err


def test_a_network_of_whole_tumours_is_scored_on_them_alone(run, tmp_path):
    weights = network(tmp_path / "wt.safetensors", regions=("wt",), output="classes")
    data = msd(tmp_path / "data", ["a"])
    code, text, _ = run("segment", data, "--weights", weights, "--out", tmp_path / "out")
    assert code == 0 and text.splitlines()[1].split()[2:4] == ["–", "–"]
    told = json.loads(run("evaluate", tmp_path / "out", data, "--json")[1])
    assert list(told["mean"]) == ["wt"] and list(told["cases"][0]["regions"]) == ["wt"]
    assert "TC Dice" not in run("evaluate", tmp_path / "out", data)[1]


# ---- evaluate ----------------------------------------------------------------------------------


def test_evaluate_tells_cases_means_and_misses(run, tmp_path):
    data = msd(tmp_path / "data", ["a", "b", "c"])
    save(tmp_path / "pred" / "a.nii.gz", label((1, 2, 3)))
    save(tmp_path / "pred" / "b.nii.gz", label((1, 2)))
    code, text, err = run("evaluate", tmp_path / "pred", data, "--convention", "msd")
    rows = {line.split()[0]: line.split()[1:] for line in text.splitlines() if line}
    assert code == 0 and rows["a"][:6] == ["1.000"] * 3 + ["0.0"] * 3
    assert rows["b"][2] == "0.000" and rows["mean"][2] == "0.500"
    assert rows["n"] == ["2"] * 3 and rows["missed"] == ["0", "0", "1"]
    assert rows["spurious"] == ["0"] * 3
    assert err == "gliomakit: 1 reference has no prediction and is not counted: c\n"


def test_evaluate_json_and_csv(run, refused, tmp_path):
    data = msd(tmp_path / "data", ["a"], values=(1, 2))
    pred = save(tmp_path / "a.nii.gz", label((2, 1, 4)))
    line = ("evaluate", pred, data / "labelsTr" / "a.nii.gz", "--json")
    code, text, err = run(*line, "--csv", tmp_path / "table.csv")
    told = json.loads(text)
    assert (code, err) == (0, "")
    case = told["cases"][0]
    assert (case["prediction_convention"], case["reference_convention"]) == ("brats2017", "msd")
    assert case["regions"]["et"]["spurious"] and told["mean"]["et"]["spurious"] == 1
    assert told["mean"]["wt"] | {"n": 1, "dice": 1.0} == told["mean"]["wt"]
    table = (tmp_path / "table.csv").read_text().splitlines()
    assert len(table) == 4 and table[0].startswith("case,region,dice,")
    assert table[1].startswith("a,wt,1.0,")
    refused(*line, "--csv", pred, words=[pred, "not be overwritten"])


def test_evaluate_one_bad_file_of_many(run, tmp_path):
    data = msd(tmp_path / "data", ["a", "b"])
    for name in ("a", "b"):
        save(tmp_path / "pred" / f"{name}.nii.gz", label((1, 2, 3)))
    (tmp_path / "pred" / "b.nii.gz").write_bytes(b"")
    code, text, err = run("evaluate", tmp_path / "pred", data, "--convention", "msd", "--json")
    told = json.loads(text)
    assert code == 2 and [case["case"] for case in told["cases"]] == ["a"]
    assert told["failed"][0]["case"] == "b" and err.count("\n") == 1 and "b.nii.gz" in err


# ---- parts -------------------------------------------------------------------------------------


def test_system_errors_name_the_file():
    for number, word in ((errno.EROFS, "permission"), (errno.EDQUOT, "full"), (errno.EIO, "error")):
        text = _common.explain(OSError(number, os.strerror(number), "place"))
        assert text.startswith("place: ") and word in text


def test_plain_is_json():
    value = {"a": np.float32("nan"), "b": np.arange(2), "c": np.int64(3), "d": [float("inf")]}
    assert json.dumps(_common.plain(value)) == '{"a": null, "b": [0, 1], "c": 3, "d": [null]}'


def test_a_folder_named_like_a_file_is_a_folder(tmp_path):
    (tmp_path / "odd.nii.gz").mkdir()
    assert not _jobs.is_file(tmp_path / "odd.nii.gz") and _jobs.is_file(Path("even.nii"))


def test_the_console_script_is_this_function():
    import tomllib

    project = Path(cli.__file__).parents[2] / "pyproject.toml"
    if not project.exists():
        pytest.skip("not a checkout")
    scripts = tomllib.loads(project.read_text())["project"]["scripts"]
    assert scripts == {"gliomakit": "gliomakit.cli:main"}
