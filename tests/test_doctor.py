"""`doctor` says what is there and what will be slow, and prints only JSON when asked to."""

import copy
import json
import subprocess
import sys

import pytest

from gliomakit import doctor
from gliomakit.doctor import collect, one_line, own_data, render, slow, torchvision_state


@pytest.fixture(scope="module")
def report():
    return collect()


def test_the_report_is_whole_and_is_json(report):
    again = json.loads(json.dumps(report))
    assert again == report
    assert again["device"]["precision"] in ("bf16", "fp16", "fp32")
    assert again["versions"]["torch"] and again["cores"] >= 1 and again["gflops"] > 0
    assert again["torchvision"]["state"] in ("missing", "fine", "mended", "broken")


def test_the_text_names_what_was_found(report):
    text = render(report)
    for words in (
        report["device"]["name"],
        report["cache"]["folder"],
        "torch ",
        "What will be slow",
    ):
        assert words in text
    assert "None" not in text and "{" not in text


def test_the_text_bears_what_is_unknown_or_missing(report):
    bare = copy.deepcopy(report)
    bare["device"] |= {"memory_gb": None, "free_gb": None}
    bare["versions"] |= {"neptune": None, "fastai": None}
    bare |= {"neptune": False, "slow": []}
    text = render(bare)
    assert "size unknown" in text and "Nothing stands out." in text
    assert "missing      fastai, neptune" in text


def test_one_line_is_one_line(report):
    assert "\n" not in one_line()
    assert report["device"]["name"] in one_line() and report["device"]["precision"] in one_line()


def machine(report, device="cpu", precision="bf16", memory=32.0, cores=8, free=100.0, gflops=1e3):
    made = copy.deepcopy(report)
    made["device"] |= {"device": device, "precision": precision, "memory_gb": memory}
    made["cache"]["free_gb"] = free
    return made | {"cores": cores, "gflops": gflops}


@pytest.mark.parametrize(
    ("what", "begins"),
    [
        ({"device": "cuda:0"}, []),
        ({}, ["Training"]),
        ({"precision": "fp32"}, ["Training", "Networks"]),
        ({"device": "cuda:0", "cores": 2}, ["Making phantoms"]),
        ({"device": "cuda:0", "memory": 6.0, "free": 1.0}, ["Whole patients", "Caches"]),
        ({"device": "mps", "precision": "fp32", "memory": None}, []),
    ],
)
def test_what_will_be_slow_depends_on_the_machine(report, what, begins):
    found = slow(machine(report, **what))
    assert [remark.partition(":")[0].startswith(b) for remark, b in zip(found, begins)] == [
        True
    ] * len(begins)
    assert len(found) == len(begins)


def test_the_days_of_the_papers_training_are_counted(report):
    # 0.94e18 operations at 1e12 a second are 10.9 days.
    assert "would take 11 days" in slow(machine(report, gflops=1e3))[0]


def test_torchvision_beside_pytorch(monkeypatch):
    from gliomakit import _torchvision

    monkeypatch.setattr(_torchvision, "import_torchvision", lambda: None)
    monkeypatch.setattr(_torchvision, "mended", lambda: False)
    monkeypatch.setattr(doctor, "installed", lambda name: "0.28.0")
    monkeypatch.setattr(doctor, "version", lambda name: "0.28.0")
    monkeypatch.setattr(doctor, "requires", lambda name: ["torch (==2.13.0)"])
    monkeypatch.setattr(doctor.torch, "__version__", "2.13.0+cpu")
    assert torchvision_state() == {"state": "fine", "note": ""}
    monkeypatch.setattr(_torchvision, "mended", lambda: True)
    state = torchvision_state()
    assert state["state"] == "mended" and "builds of different kinds" in state["note"]

    def fails():
        raise _torchvision.GliomakitError("no")

    monkeypatch.setattr(_torchvision, "import_torchvision", fails)
    monkeypatch.setattr(doctor.torch, "__version__", "2.11.0")
    state = torchvision_state()
    assert state["state"] == "broken"
    assert state["note"] == "torchvision 0.28.0 is built for PyTorch 2.13.0, here is 2.11.0"
    monkeypatch.setattr(doctor, "installed", lambda name: None)
    assert torchvision_state()["state"] == "missing"


def test_the_learners_own_data(tmp_path, monkeypatch):
    monkeypatch.delenv("GLIOMAKIT_DATA", raising=False)
    assert own_data()["folder"] is None
    monkeypatch.setenv("GLIOMAKIT_DATA", str(tmp_path))
    assert own_data()["found"].startswith("nothing")
    (tmp_path / "kaggle_3m" / "TCGA_CS_0000_19990101").mkdir(parents=True)
    assert own_data() == {"folder": str(tmp_path), "found": "LGG MRI Segmentation"}
    monkeypatch.setenv("GLIOMAKIT_DATA", str(tmp_path / "missing"))
    assert own_data()["found"].startswith("nothing")


def test_phantoms_in_the_cache_are_counted(tmp_path, monkeypatch):
    monkeypatch.setenv("GLIOMAKIT_CACHE", str(tmp_path / "not" / "yet"))
    assert doctor.cache_state()["phantoms"] == 0
    folder = tmp_path / "not" / "yet" / "phantoms" / "v1" / "2mm"
    folder.mkdir(parents=True)
    (folder / "dataset.json").write_text(json.dumps({"training": [{}, {}, {}]}))
    state = doctor.cache_state()
    assert state["phantoms"] == 3 and state["free_gb"] > 0


@pytest.mark.parametrize("text", [b'{"training": [{}', b"[]", b"\xff", b'{"training": null}'])
def test_a_damaged_cache_counts_for_nothing(tmp_path, monkeypatch, text):
    monkeypatch.setenv("GLIOMAKIT_CACHE", str(tmp_path))
    for name, content in (("1mm", text), ("2mm", b'{"training": [{}, {}]}')):
        folder = tmp_path / "phantoms" / "v1" / name
        folder.mkdir(parents=True)
        (folder / "dataset.json").write_bytes(content)
    assert doctor.cache_state()["phantoms"] == 2


def test_the_command_prints_json_and_nothing_else():
    command = [sys.executable, "-m", "gliomakit", "doctor", "--json"]
    run = subprocess.run(command, capture_output=True, text=True, check=True)
    assert json.loads(run.stdout)["gliomakit"] and not run.stderr
