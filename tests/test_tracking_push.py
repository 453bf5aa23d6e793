"""Runs sent to a server: a stub on 127.0.0.1 that behaves, or does not."""

import base64
import json
import os
from pathlib import Path

import pytest

from gliomakit.errors import GliomakitError
from gliomakit.tracking import _push, push, read_runs, start_run
from gliomakit.tracking.reader import SENDING
from tests.neptune_stub import SECRET, serving

utils = pytest.importorskip("neptune.common.backends.utils")

POINTS = 120


@pytest.fixture
def stub(monkeypatch):
    monkeypatch.setattr(utils, "retries_timeout", 0.5)
    with serving() as one:
        monkeypatch.setenv("NEPTUNE_API_TOKEN", one.token)
        monkeypatch.setenv("NEPTUNE_PROJECT", "lab/gliomas")
        yield one


@pytest.fixture
def runs(tmp_path):
    folder = tmp_path / "runs"
    for number in range(2):
        with start_run(f"run {number}", folder, rate=0.1) as run:
            for step in range(POINTS):
                run["metrics/train/loss"].append(number + step / 1000, step=step)
            run["remarks"].upload("kept by content")
    return folder


def files(folder):
    """Every file below a folder, but for what says that it was sent."""
    found = (path for path in Path(folder).rglob("*") if path.is_file())
    return {str(p.relative_to(folder)): p.read_bytes() for p in found if p.name != _push.SENT}


def received(run):
    """(step, value) of the loss, as the server has it."""
    points = []
    for operation in run["operations"]:
        if operation["path"] == "metrics/train/loss" and "logFloats" in operation:
            points += operation["logFloats"]["entries"]
    return [(point["step"], point["value"]) for point in points]


def test_runs_are_sent_once_and_stay_as_they_are(stub, runs, capsys):
    before = files(runs)
    done = push(runs, ask=False)
    assert sorted(done.values()) == ["sent", "sent"]
    assert files(runs) == before and not (runs / SENDING).exists()
    assert len(stub.runs) == 2
    for number, run in enumerate(stub.runs.values()):
        assert received(run) == [(step, number + step / 1000) for step in range(POINTS)]
        assert run["files"] == {"remarks": b"kept by content"}
        assigned = {o["path"]: o for o in run["operations"] if "assignString" in o}
        assert assigned["sys/name"]["assignString"]["value"] == f"run {number}"
    said = capsys.readouterr().out
    assert "127.0.0.1" in said and stub.address not in said, "the host, and no more of the address"

    count = stub.requests
    assert set(push(runs, ask=False).values()) == {"sent before"}
    assert stub.requests == count and len(stub.runs) == 2
    assert len(read_runs(runs)) == 2 and not any(r.problems for r in read_runs(runs))


@pytest.mark.parametrize("answered", [0, 1, 2, 3, 5])
def test_what_was_cut_off_goes_on_and_nothing_comes_twice(stub, runs, monkeypatch, answered):
    monkeypatch.setattr(_push, "BATCH", 50)
    before = files(runs)
    stub.fail_after = answered
    with pytest.raises(GliomakitError, match="call push again later"):
        push(runs, ask=False)
    assert len(read_runs(runs)) == 2, "copies are no runs"
    stub.fail_after = None
    assert set(push(runs, ask=False).values()) <= {"sent", "sent before"}
    for number, run in enumerate(stub.runs.values()):
        assert received(run) == [(step, number + step / 1000) for step in range(POINTS)]
    assert len(stub.runs) == 2 and files(runs) == before


def test_a_run_that_has_not_ended_is_left(stub, tmp_path):
    with start_run("still running", tmp_path / "runs") as run:
        run["x"].append(1.0, step=0)
        run.wait()
        (said,) = push(tmp_path / "runs", ask=False).values()
    assert said == "left: running" and not stub.runs


def test_it_asks_first(stub, runs, monkeypatch):
    with pytest.raises(GliomakitError, match="nothing was sent"):
        push(runs)  # nobody is there to answer
    monkeypatch.setattr(_push, "_agreed", lambda: False)
    with pytest.raises(GliomakitError, match="nothing was sent"):
        push(runs)
    assert not stub.runs
    monkeypatch.setattr(_push, "_agreed", lambda: True)
    assert set(push(runs).values()) == {"sent"}


def test_the_token_is_nowhere(stub, runs, capfd, recwarn):
    stub.accepts = False
    with pytest.raises(
        GliomakitError, match="127.0.0.1: the server does not accept the token"
    ) as e:
        push(runs, ask=False)
    stub.accepts = True
    push(runs, ask=False)
    written = [str(e.value), *capfd.readouterr(), *(str(w.message) for w in recwarn)]
    written += [content.decode(errors="replace") for content in files(runs.parent).values()]
    written += [path.read_text() for path in runs.rglob(_push.SENT)]
    for text in written:
        assert SECRET not in text and stub.token not in text
    assert e.value.__cause__ is None and e.value.__suppress_context__


def test_a_server_that_is_not_there_or_hangs(stub, runs, monkeypatch):
    monkeypatch.setattr(_push, "SECONDS", 1)
    stub.slow = 0.2
    push(runs, ask=False, say=lambda _: None)  # slow is only slow
    for said in runs.rglob(_push.SENT):
        said.unlink()
    stub.slow = 3.0
    with pytest.raises(GliomakitError, match=r"did not answer.*call push again"):
        push(runs, ask=False, say=lambda _: None)
    monkeypatch.setenv("NEPTUNE_API_TOKEN", token("http://127.0.0.1:9"))
    with pytest.raises(GliomakitError, match=r"127.0.0.1: the server did not answer"):
        push(runs, ask=False, say=lambda _: None)


def token(address, **more):
    content = json.dumps({"api_address": address, "api_key": SECRET} | more)
    return base64.b64encode(content.encode()).decode()


@pytest.mark.parametrize(
    ("address", "more", "what"),
    [
        ("https://app.neptune.ai", {}, "closed on March 5, 2026"),
        ("https://NEPTUNE.AI.", {}, "closed on March 5, 2026"),
        ("https://lab.example", {"api_url": "https://eu.neptune.ai"}, "closed on March 5, 2026"),
        ("http://lab.example", {}, "only https"),
        ("http://127.0.0.1.example", {}, "only https"),
        ("ftp://127.0.0.1", {}, "only https"),
        ("nonsense", {}, "no token of Neptune's form"),
    ],
)
def test_where_nothing_is_sent(runs, monkeypatch, address, more, what):
    monkeypatch.setenv("NEPTUNE_PROJECT", "lab/gliomas")
    monkeypatch.setenv("NEPTUNE_API_TOKEN", token(address, **more))
    with pytest.raises(GliomakitError, match=what) as error:
        push(runs, ask=False)
    assert SECRET not in str(error.value)


def test_a_server_that_points_elsewhere(stub, runs):
    stub.api = "http://lab.example"
    with pytest.raises(GliomakitError):
        push(runs, ask=False)
    assert not stub.runs


def test_what_the_environment_must_say(runs, monkeypatch, stub):
    monkeypatch.setenv("NEPTUNE_PROJECT", "lab/others")
    with pytest.raises(GliomakitError, match="no such project: lab/others"):
        push(runs, ask=False)
    for content in ("", "x", "{}", base64.b64encode(b"[]").decode(), "ANONYMOUS"):
        monkeypatch.setenv("NEPTUNE_API_TOKEN", content)
        with pytest.raises(GliomakitError, match="NEPTUNE_API_TOKEN"):
            push(runs, ask=False)
    monkeypatch.delenv("NEPTUNE_PROJECT")
    monkeypatch.setenv("NEPTUNE_API_TOKEN", stub.token)
    with pytest.raises(GliomakitError, match="NEPTUNE_PROJECT is not set"):
        push(runs, ask=False)
    assert "OAUTHLIB_INSECURE_TRANSPORT" not in os.environ and not stub.runs
