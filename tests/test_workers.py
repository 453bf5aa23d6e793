"""Jobs in several processes, and where files go."""

from __future__ import annotations

import operator
import os
import sys
import threading
from pathlib import Path

import pytest

from gliomakit import _workers, paths
from gliomakit._workers import in_threads, parallel
from gliomakit.errors import GliomakitError


@pytest.mark.parametrize("workers", [1, 2])
def test_every_job_is_done_once(workers):
    jobs = [(a, 3) for a in range(7)]
    done = dict(parallel(operator.mul, jobs, workers))
    assert done == {i: 3 * i for i in range(7)}


@pytest.mark.parametrize("workers", [1, 2])
def test_the_error_of_a_job_is_raised(workers):
    with pytest.raises(ZeroDivisionError):
        list(parallel(operator.truediv, [(1, 1), (1, 0), (2, 1)], workers))


def test_the_users_error_stays_one():
    # int("x") fails before, so the error is made by the package itself
    with pytest.raises(GliomakitError, match="there is no label convention 'none'"):
        from gliomakit.regions import convention

        list(parallel(convention, [("msd",), ("none",)], 2))


def test_what_a_job_prints_does_not_disturb(capfd):
    assert dict(parallel(print, [("a",), ("b",)], 2)) == {0: None, 1: None}
    printed = capfd.readouterr()
    # Two processes write to one stream: their lines may mingle.
    assert printed.out == "" and sorted("".join(printed.err.split())) == ["a", "b"]


def test_a_worker_that_dies_is_reported():
    with pytest.raises(GliomakitError, match="may have run out of memory"):
        list(parallel(os._exit, [(3,), (3,)], 2))


def test_workers_end_when_the_caller_stops(monkeypatch):
    children = []
    start = _workers._start
    monkeypatch.setattr(_workers, "_start", lambda: children.append(start()) or children[-1])
    jobs = parallel(operator.mul, [(1, 1)] * 8, 2)
    next(jobs)
    jobs.close()
    assert len(children) == 2 and all(child.poll() is not None for child in children)


def test_threads_keep_the_order_and_the_first_error(monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    gate = threading.Barrier(3, timeout=20)

    def work(item):
        gate.wait()  # passes only if three run at once
        if item:
            raise ValueError(item)
        return item

    assert in_threads(work, [0, 0, 0]) == [0, 0, 0]
    with pytest.raises(ValueError, match="1"):
        in_threads(work, [0, 1, 2])
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    assert set(in_threads(lambda _: threading.get_ident(), range(4))) == {threading.get_ident()}
    assert in_threads(work, []) == []


def test_folders(monkeypatch, tmp_path):
    monkeypatch.setenv("GLIOMAKIT_CACHE", str(tmp_path))
    monkeypatch.delenv("GLIOMAKIT_DATA", raising=False)
    assert paths.cache_folder() == tmp_path and paths.prepared_folder() == tmp_path / "cache"
    assert paths.data_folder() is None
    monkeypatch.setenv("GLIOMAKIT_DATA", "~/mine")
    assert paths.data_folder() == Path.home() / "mine"
    monkeypatch.delenv("GLIOMAKIT_CACHE")
    monkeypatch.setattr(paths, "checkout", lambda: tmp_path)
    assert paths.cache_folder() == tmp_path / "data"
    monkeypatch.setattr(paths, "checkout", lambda: None)
    assert paths.cache_folder().is_absolute() and "gliomakit" in str(paths.cache_folder())


def test_a_checkout_is_known_by_its_project_file(monkeypatch, tmp_path):
    monkeypatch.setattr(paths, "__file__", str(tmp_path / "gliomakit" / "paths.py"))
    assert paths.checkout() is None
    (tmp_path / "pyproject.toml").write_text('[project]\nname = "other"\n')
    assert paths.checkout() is None
    (tmp_path / "pyproject.toml").write_text('[project]\nname = "gliomakit"\n')
    assert paths.checkout() == tmp_path


def test_paths_load_nothing_heavy():
    assert "gliomakit.paths" in sys.modules and not hasattr(paths, "pooch")
