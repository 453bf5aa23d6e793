"""The files around the package: they agree with each other, and with what Colab ships."""

import ast
import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name

import gliomakit
from gliomakit.project import repository, shipped

ROOT = Path(__file__).resolve().parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
EXTRAS = PROJECT["optional-dependencies"]
PYTHONS = ("3.11", "3.12", "3.13", "3.14")


def read(name):
    return (ROOT / name).read_text(encoding="utf-8")


def requirements(*extras):
    """Requirements of the core and of extras, an extra that names another one resolved."""
    lines = list(PROJECT["dependencies"])
    todo = list(extras)
    while todo:
        for line in EXTRAS[todo.pop()]:
            one = Requirement(line)
            if one.name == "gliomakit":
                todo += one.extras
            else:
                lines.append(line)
    return [Requirement(line) for line in lines]


def pins(name):
    """`name==version` lines of a file, by canonical name."""
    lines = (line.split("#")[0].strip() for line in read(name).splitlines() if " @ " not in line)
    found = [Requirement(line) for line in lines if line]
    assert all(len(r.specifier) == 1 and str(r.specifier).startswith("==") for r in found)
    return {canonicalize_name(r.name): str(r.specifier)[2:] for r in found}


# --- requirements ---------------------------------------------------------------------------------


def test_the_core_needs_eight_packages_and_says_why():
    names = {Requirement(line).name for line in PROJECT["dependencies"]}
    assert names == set("torch numpy nibabel scipy safetensors tqdm typer pooch".split())
    block = read("pyproject.toml").split("\ndependencies = [")[1].split("]")[0]
    assert all("# " in line for line in block.strip().splitlines())


FREEZES = ("tests/colab_freeze.txt", "tests/colab_freeze_2026_02.txt")


@pytest.mark.parametrize("freeze", FREEZES)
def test_ranges_admit_every_version_that_colab_ships(freeze):
    ships = pins(freeze)
    met = [r for r in requirements("lessons") if canonicalize_name(r.name) in ships]
    assert len(met) >= 12
    for one in met:
        assert one.specifier.contains(ships[canonicalize_name(one.name)]), one
    numpy = next(one for one in met if one.name == "numpy")
    assert numpy.specifier.contains("2.0.2")  # Colab's pinned runtime of July 2026


def test_constraints_pin_every_direct_dependency_inside_its_range():
    tested = pins("constraints.txt")
    for one in requirements(*EXTRAS):
        assert one.specifier.contains(tested[canonicalize_name(one.name)]), one
    assert (tested["torch"], tested["torchvision"]) == ("2.13.0", "0.28.0")
    assert SpecifierSet("<5").contains(tested["jsonschema"])
    assert SpecifierSet("<1.1").contains(tested["fastprogress"])
    assert SpecifierSet("<2.10").contains(tested["plum-dispatch"])


STAMP = Path(sys.prefix, "gliomakit-installed.json")


@pytest.mark.skipif(not STAMP.is_file(), reason="not an environment that tools/install.py made")
def test_the_versions_here_are_the_tested_ones():
    """Tests that pass with other versions than those pinned would prove nothing."""
    tested = pins("constraints.txt")
    for one in requirements("course", "test"):
        found = importlib.metadata.version(one.name).partition("+")[0]
        assert found == tested[canonicalize_name(one.name)], one.name


def test_supported_pythons_are_said_alike_everywhere():
    versions = SpecifierSet(PROJECT["requires-python"])
    assert [v for v in (f"3.{n}" for n in range(8, 18)) if versions.contains(v)] == list(PYTHONS)
    said = [c.rsplit(" ", 1)[1] for c in PROJECT["classifiers"] if ":: Python :: 3." in c]
    assert tuple(said) == PYTHONS
    install = load_install()
    assert (install.OLDEST, install.NEWEST) == ((3, 11), (3, 14))
    assert "(3, 11) <= sys.version_info[:2] <= (3, 14)" in read("Makefile")
    assert "python >=3.11,<3.15" in conda()[0]


def test_the_version_stands_in_one_place():
    assert "version" in PROJECT["dynamic"] and "version" not in PROJECT
    assert re.fullmatch(r"\d+\.\d+\.\d+", gliomakit.__version__)
    assert "version" not in yaml.safe_load(read("CITATION.cff"))


# --- conda ----------------------------------------------------------------------------------------


def conda():
    """Conda's specs and pip's lines of environment.yml."""
    entries = yaml.safe_load(read("environment.yml"))["dependencies"]
    lines = next(entry["pip"] for entry in entries if isinstance(entry, dict))
    return [entry for entry in entries if isinstance(entry, str)], lines


def test_environment_is_parsed_by_the_tools_that_will_read_it():
    rattler = pytest.importorskip("rattler")
    specs, lines = conda()
    by_conda = {rattler.MatchSpec(spec).name.normalized for spec in specs}
    editable = [line for line in lines if line.startswith("--editable ")]
    by_pip = {Requirement(line).name for line in lines if line not in editable}
    assert editable == ["--editable .[course]"]
    wanted = "jupyterlab torch fastai nibabel matplotlib ipywidgets neptune numpy"
    assert set(wanted.split()) <= by_conda | by_pip
    assert not by_conda & by_pip
    assert {"torch", "torchvision"} <= by_pip  # one source: two would not fit each other


def test_environment_asks_for_the_same_ranges_as_the_package():
    specs, lines = conda()
    ours = {canonicalize_name(r.name): r.specifier for r in requirements("course")}
    stated = [Requirement(line) for line in (*specs, *lines) if not line.startswith("--")]
    for one in stated:
        if one.name not in ("python", "pip", "git"):
            assert ours.pop(canonicalize_name(one.name)) == one.specifier, one
    assert not ours  # nothing that the lessons need is left to chance


# --- the installation -----------------------------------------------------------------------------


def load_install():
    spec = importlib.util.spec_from_file_location("install", ROOT / "tools" / "install.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def install(tmp_path, monkeypatch):
    """tools/install.py on an empty project, pip and venv replaced; `.calls` are pip's arguments."""
    module = load_install()
    for name in ("pyproject.toml", "constraints.txt"):
        shutil.copy(ROOT / name, tmp_path)
    venv = tmp_path / ".venv"
    module.calls, module.said = [], []
    monkeypatch.setattr(module, "pip", lambda venv, *arguments: module.calls.append(arguments))
    monkeypatch.setattr(module, "make_venv", lambda venv: os.makedirs(venv))
    monkeypatch.setattr(module, "works", lambda _: venv.is_dir())
    monkeypatch.setattr(module, "check_room", lambda *_: None)
    monkeypatch.setattr(module, "reachable", lambda _: True)
    module.go = lambda *extras, torch="": module.install(
        list(extras), torch, root=str(tmp_path), say=module.said.append
    )
    module.root = tmp_path
    return module


def test_a_second_installation_does_nothing(install):
    assert install.go("course")
    assert install.calls == [("--constraint", "constraints.txt", "--editable", ".[course]")]
    assert not install.go("course")
    assert len(install.calls) == 1


def test_an_installation_goes_on_when_there_is_a_reason(install):
    install.go("course")
    assert install.go("course", "test")
    assert install.calls[-1][-1] == ".[course,test]"
    assert not install.go("course")  # it is there, with more
    with open(install.root / "constraints.txt", "a") as file:
        file.write("# another\n")
    assert install.go("course")
    assert install.calls[-1][-1] == ".[course,test]"  # what was there stays


def test_an_installation_that_failed_is_done_again(install, monkeypatch):
    def fails(*_):
        raise install.Fault("no network")

    monkeypatch.setattr(install, "pip", fails)
    for _ in range(2):
        with pytest.raises(install.Fault, match="no network"):
            install.go("course")
    (install.root / ".venv" / "gliomakit-installed.json").write_text('{"digest": "cut o')
    monkeypatch.setattr(install, "pip", lambda *_: None)
    assert install.go("course")


def test_cpu_builds_come_from_pytorchs_own_index(install):
    install.go("course", torch="cpu")
    first, second = install.calls
    assert "https://download.pytorch.org/whl/cpu" in first and "--no-deps" in first
    assert first[-2:] == ("torch==2.13.0", "torchvision==0.28.0")
    assert second[-1] == ".[course]"
    assert not install.go("course", torch="cpu")
    assert not install.go("course")  # and a plain command leaves them in place


def test_cpu_builds_replace_others_and_are_not_insisted_on(install, monkeypatch):
    install.go("course")
    monkeypatch.setattr(install, "reachable", lambda _: False)
    install.go("course", torch="cpu")
    assert "cannot be reached" in install.said[-1]
    assert len(install.calls) == 1  # nothing is installed again for that
    monkeypatch.setattr(install, "reachable", lambda _: True)
    assert install.go("course", torch="cpu")
    assert "--force-reinstall" in install.calls[-2]
    assert not install.go("course", torch="cpu")


def test_cpu_builds_are_asked_for_again_after_a_first_installation_without_them(
    install, monkeypatch
):
    monkeypatch.setattr(install, "reachable", lambda _: False)
    assert install.go("course", torch="cpu") and len(install.calls) == 1
    monkeypatch.setattr(install, "reachable", lambda _: True)
    assert install.go("course", torch="cpu") and install.CPU_INDEX in install.calls[-2]


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda m: m.check_python((3, 10, 4)), "Python 3.10 does not fit; install one of 3.11"),
        (lambda m: m.check_python((3, 15, 0)), "Python 3.15 does not fit"),
        (lambda m: m.go("course", torch="gpu"), "TORCH=gpu is not known; use TORCH=cpu"),
        (lambda m: m.pin(m.root, "nothing"), "constraints.txt does not pin nothing"),
    ],
)
def test_an_installation_says_in_one_line_what_is_wrong(install, change, says):
    with pytest.raises(install.Fault, match=says) as fault:
        change(install)
    assert "\n" not in str(fault.value)


def test_a_full_disk_is_said_beforehand(tmp_path, monkeypatch):
    install = load_install()
    usage = shutil._ntuple_diskusage(10**11, 10**11 - 10**9, 10**9)
    monkeypatch.setattr(install.shutil, "disk_usage", lambda _: usage)
    monkeypatch.setitem(install.NEEDED_GB, "", 8)
    with pytest.raises(install.Fault, match="1.0 GB are free, .* TORCH=cpu"):
        install.check_room(str(tmp_path), "")


def test_an_old_python_can_read_the_installer():
    tree = ast.parse(read("tools/install.py"), feature_version=(3, 7))
    names = {
        alias.name.split(".")[0]
        for node in ast.walk(tree)
        if isinstance(node, ast.Import)
        for alias in node.names
    }
    assert names <= {"hashlib", "json", "os", "shutil", "subprocess", "sys", "urllib"}


# --- commands -------------------------------------------------------------------------------------

TARGETS = (
    "course test lab quick colab-widgets notebooks weights bench results loss-runs training-runs "
    "encoder slice-runs tune-runs colab resolve lint clean help"
)


@pytest.mark.skipif(not shutil.which("make"), reason="no make here")
def test_make_lists_its_targets_and_only_names_commands():
    run = subprocess.run(
        ["make", "--no-print-directory"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    listed = re.findall(r"^  make (\S+)", run.stdout, re.MULTILINE)
    assert sorted(listed) == sorted(TARGETS.split())
    for target in set(listed) - {"help", "clean"}:
        # `make test` itself runs this: a make within a make would say which folder it is in.
        command = ["make", "-n", "--no-print-directory", target, "PYTHON=python3"]
        lines = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
        last = lines.stdout.strip().splitlines()[-1]
        assert last.startswith(".venv/bin/"), last


@pytest.mark.skipif(not shutil.which("make"), reason="no make here")
def test_make_says_when_there_is_no_python():
    command = ["make", "course", "PYTHON="]
    run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert run.returncode
    assert "error: no Python 3.11 to 3.14 was found; install one" in run.stderr


def test_ci_runs_all_tests_with_the_real_patients_that_are_there():
    assert os.access(ROOT / ".ci" / "run", os.X_OK)
    subprocess.run(["bash", "-n", ROOT / ".ci" / "run"], check=True)
    text = read(".ci/run")
    assert "set -eu" in text and "GLIOMAKIT_REAL_DATA" in text and "exec make test" in text


# --- licences, citation, data ---------------------------------------------------------------------


def test_licences_are_there_whole():
    assert PROJECT["license"] == "Apache-2.0"
    assert "Version 2.0, January 2004" in read("LICENSE") and len(read("LICENSE")) > 11_000
    lessons = read("LICENSE-lessons")
    assert "Attribution 4.0 International" in lessons and "Section 8 -- Interpretation" in lessons


def test_the_data_cards_name_licences_and_keep_the_notice_of_the_anatomy():
    cards = " ".join(read("data/README.md").replace("> ", "").split())
    for words in (
        "Louis Collins, McConnell Brain Imaging Centre, Montreal Neurological Institute, McGill",
        "provided that the above copyright notice appear in all copies",
        "It is not a medical device",
        "CC BY 4.0",
        "CC BY-SA 4.0",
        "CC BY-NC-SA 4.0 (not verified)",
    ):
        assert words in cards, words


def test_the_citation_file_has_what_its_format_asks_for():
    citation = yaml.safe_load(read("CITATION.cff"))
    assert citation["cff-version"] == "1.2.0"
    assert {"message", "title", "authors", "license"} <= set(citation)
    assert citation["references"][0]["doi"] == papers()["shaukat2022"]["doi"]


def test_sources_have_addresses_and_checksums():
    sources = json.loads(shipped("sources.json").read_text(encoding="utf-8"))
    assert sources["msd"]["url"].startswith("https://")
    assert re.fullmatch(r"[0-9a-f]{32}", sources["msd"]["md5"])
    assert sources["lgg"]["kaggle"] == "mateuszbuda/lgg-mri-segmentation"


def test_there_is_a_badge_only_if_there_is_an_address():
    readme = read("README.md")
    badges = re.findall(r"!\[[^\]]*\]\(https?://[^)]*\)", readme)
    address = repository()
    if address is None:
        assert not badges and "colab.research.google.com" not in readme
    else:
        assert badges and address in readme


def papers():
    return json.loads(shipped("papers.json").read_text(encoding="utf-8"))


def test_the_papers_figures_agree_with_each_other():
    paper, note, lgg = (papers()[k] for k in ("shaukat2022", "public_notebook", "lgg"))
    network, cost, claimed = paper["network"], paper["training_cost"], paper["claimed"]
    layers = network["layers"]
    assert sum(layer["parameters"] for layer in layers) == network["parameters"] == 19_072_098
    gmac = sum(layer["gmac"] or 0 for layer in layers)
    assert gmac == pytest.approx(network["gmac_per_patch"], abs=0.005)
    # Forward and twice as much backward, two operations a multiply-add.
    assert cost["tflop_per_patch"] == pytest.approx(3 * 2 * gmac / 1000, abs=0.001)
    patches = claimed["split"]["training"] * claimed["patches_per_volume"] * 100
    assert cost["patches"] == patches
    assert cost["eflop"] == pytest.approx(patches * cost["tflop_per_patch"] / 1e6, abs=0.005)
    hours = cost["eflop"] * 1e6 / (cost["gk210_peak_tflops"] * cost["share_of_peak"]) / 3600
    assert cost["gk210_hours"] == pytest.approx(hours, rel=0.02)
    assert sum(claimed["split"].values()) == claimed["cases"]["labelled"]
    assert claimed["cases"]["all"] == sum(claimed["cases"][k] for k in ("labelled", "unlabelled"))
    two = paper["two_class_reading"]
    for background, tumour in zip(two["background_dice"], two["tumour_dice"], strict=True):
        assert (background + tumour) / 2 == pytest.approx(claimed["mean_dice"], abs=0.0005)

    test = note["validation"]
    nothing = test["slices_without_tumour"] / test["slices"]
    assert note["predicting_nothing"]["dice"] == nothing == 342 / 512
    for dice, implied in note["if_every_empty_slice_were_right"].items():
        share = (float(dice) - nothing) * test["slices"] / test["slices_with_tumour"]
        assert share == pytest.approx(implied, abs=0.0006)
    assert note["training"]["slices"] // note["training"]["batch"] == note["training"]["batches"]
    left = note["running_mean_factor"] ** note["training"]["batches"]
    assert left == pytest.approx(note["outlier_left_after_an_epoch"], abs=0.0005)
    assert lgg["slices"] == test["slices"] + note["training"]["slices"] == 3929
    share = lgg["slices_without_tumour"] / lgg["slices"]
    assert share == pytest.approx(lgg["share_without_tumour"], abs=0.0001)


def test_the_second_papers_figures_agree_with_each_other():
    fastai, note = papers()["fastai_paper"], papers()["public_notebook"]
    original, table = fastai["original_unet"], fastai["claimed"]["table1"]
    side = original["input"]
    for _ in range(original["poolings"]):
        side = (side - 4) // 2
    channels = original["first_channels"] * 2 ** original["poolings"]
    assert original["bottom"] == [side - 4, side - 4, channels]
    assert "*".join(map(str, original["bottom"])) == fastai["claimed"]["unet_sizes_stated"][0]
    padded = note["side"] // 2 ** original["poolings"]
    assert original["padded_256_bottom"] == [padded, padded, channels]
    assert {len(table[k]) for k in ("training_loss", "validation_loss", "dice")} == {5}
    assert round(note["predicting_nothing"]["dice"], 6) == note["dice_of_epoch_2"]
    assert round(note["dice_of_epoch_2"], 3) == note["dice"][1]
    low, high = fastai["claimed"]["optimal_rates"]
    assert low <= fastai["claimed"]["rate"] <= high
    assert fastai["quotes"]["rates"] == f"{low:.0e} to {high:.0e}"
    missing = papers()["lgg"]["missing"]
    assert missing["both"] == missing["pre_contrast"] < missing["post_contrast"]


def test_the_papers_are_quoted_in_short_phrases_only():
    for paper in ("shaukat2022", "fastai_paper"):
        for phrase in papers()[paper]["quotes"].values():
            assert len(phrase.split()) <= 16, phrase


def test_the_first_papers_modules_are_those_of_its_layers():
    paper = papers()["shaukat2022"]
    claimed, names = paper["claimed"], [row["layer"] for row in paper["network"]["layers"]]
    for kind, wanted in (("en", claimed["encoders"]), ("de", claimed["decoder_modules"])):
        modules = {name.split("_")[0] for name in names if name.startswith(kind)}
        assert len(modules) == wanted
        for module in modules:
            convolutions = [n for n in names if n.startswith(f"{module}_conv")]
            assert len(convolutions) == claimed["convolutions_a_module"]
    figures = [n for numbers in claimed["figures"].values() for n in numbers]
    assert len(figures) == len(set(figures)) and max(figures) == 11
    assert round(claimed["mean_dice"] * 100) - claimed["average_dice_percent"] in (0, 1)
