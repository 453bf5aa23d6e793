"""The cache: what is written is what is read, or it counts as absent; and it never half exists."""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from gliomakit import _cache
from gliomakit._cache import digest, fetch, key_of, store
from gliomakit.errors import GliomakitError

ARRAYS = {
    "image": np.arange(600, dtype=np.float32).reshape(4, 5, 6, 5),
    "brain": np.ones((5, 6, 5), bool),
}
FACTS = {"spacing": [1.0, 2.0, 3.0], "present": ["flair"]}


def fill(folder: Path, key: str = "key") -> Path:
    store(folder, key, ARRAYS, FACTS)
    return folder / key


def complete(folder: Path, key: str = "key") -> bool:
    found = fetch(folder, key)
    if found is None:
        return False
    arrays, facts = found
    assert facts == FACTS and arrays.keys() == ARRAYS.keys()
    for name, array in ARRAYS.items():
        np.testing.assert_array_equal(arrays[name], array)
        assert arrays[name].dtype == array.dtype
    return True


def leftovers(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if ".writing" in path.name]


def test_an_entry_comes_back_memory_mapped(tmp_path):
    assert fetch(tmp_path, "key") is None
    fill(tmp_path / "new" / "folder")
    assert complete(tmp_path / "new" / "folder")
    assert isinstance(fetch(tmp_path / "new" / "folder", "key")[0]["image"], np.memmap)
    assert not leftovers(tmp_path)
    np.testing.assert_array_equal(
        np.load(tmp_path / "new" / "folder" / "key" / "image.npy"), ARRAYS["image"]
    )


def truncate(entry: Path) -> None:
    with open(entry / "image.npy", "r+b") as file:
        file.truncate(1000)


def flip_a_byte(entry: Path) -> None:
    path = entry / "image.npy"
    before = path.stat()
    with open(path, "r+b") as file:
        file.seek(-7, os.SEEK_END)
        file.write(b"\xff")
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))  # as a careful vandal would


def change_the_header(entry: Path) -> None:
    path = entry / "image.npy"
    path.write_bytes(path.read_bytes().replace(b"(4, 5, 6, 5)", b"(4, 6, 5, 5)"))


def change_a_fact(entry: Path) -> None:
    path = entry / "manifest.json"
    path.write_text(path.read_text().replace("3.0", "4.0"))


def foreign_manifest(entry: Path) -> None:
    (entry / "manifest.json").write_text("[1, 2]")


def half_a_manifest(entry: Path) -> None:
    path = entry / "manifest.json"
    path.write_text(path.read_text()[:50])


def no_array(entry: Path) -> None:
    (entry / "brain.npy").unlink()


def no_manifest(entry: Path) -> None:
    (entry / "manifest.json").unlink()


def other_key(entry: Path) -> None:
    other = entry.with_name("other")
    entry.rename(other)
    fill(entry.parent, "third")
    (entry.parent / "third").rename(entry)


DAMAGE = [
    truncate,
    flip_a_byte,
    change_the_header,
    change_a_fact,
    foreign_manifest,
    half_a_manifest,
    no_array,
    no_manifest,
    other_key,
]


@pytest.mark.parametrize("damage", DAMAGE)
def test_damage_is_seen_and_repaired(tmp_path, damage):
    entry = fill(tmp_path)
    assert complete(tmp_path)  # so that notes of the digests are there
    damage(entry)
    assert fetch(tmp_path, "key") is None
    fill(tmp_path)
    assert complete(tmp_path)
    assert not leftovers(tmp_path)


def test_a_note_saves_reading_and_is_only_believed_when_it_may_be(tmp_path, monkeypatch):
    path, index = tmp_path / "file", tmp_path / "index"
    path.write_bytes(b"one")
    first = digest(path)
    monkeypatch.setattr(_cache, "_TICK", 10**18)  # the file is always too young
    assert digest(path, index) == first
    (note,) = index.iterdir()
    planted = json.loads(note.read_text()) | {"digest": "planted"}
    note.write_text(json.dumps(planted))
    assert digest(path, index) == first
    monkeypatch.setattr(_cache, "_TICK", -(10**18))  # never too young: the note is believed
    note.write_text(json.dumps(planted))
    assert digest(path, index) == "planted"
    path.write_bytes(b"two")  # of the same length
    assert digest(path, index) == digest(path) != first
    note.write_text("{")
    assert digest(path, index) == digest(path)


def test_keys_depend_on_everything(tmp_path):
    assert key_of(a=1, b=[2.0, None]) == key_of(b=[2.0, None], a=1)
    assert len({key_of(a=1), key_of(a=2), key_of(b=1), key_of(a="1")}) == 4


def test_old_leftovers_are_swept(tmp_path):
    old, new = tmp_path / ".writing-1-a", tmp_path / ".writing-2-b"
    for folder in (old, new):
        folder.mkdir()
    os.utime(old, (1e9, 1e9))
    fill(tmp_path)
    assert leftovers(tmp_path) == [new]


MANY = """
import sys
from pathlib import Path
import numpy as np
from gliomakit._cache import fetch, store
folder = Path(sys.argv[1])
arrays = {"image": np.arange(600, dtype=np.float32).reshape(4, 5, 6, 5),
          "brain": np.ones((5, 6, 5), bool)}
for _ in range(60):
    store(folder, "key", arrays, {"spacing": [1.0, 2.0, 3.0], "present": ["flair"]})
    assert fetch(folder, "key") is not None
"""


def start(code: str, *arguments: str | Path) -> subprocess.Popen:
    root = str(Path(_cache.__file__).parents[1])
    return subprocess.Popen(
        [sys.executable, "-c", code, *map(str, arguments)],
        env=os.environ | {"PYTHONPATH": root},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_two_processes_write_the_same_entry(tmp_path):
    children = [start(MANY, tmp_path) for _ in range(2)]
    for child in children:
        _, errors = child.communicate(timeout=60)
        assert child.returncode == 0, errors
    assert complete(tmp_path) and not leftovers(tmp_path)


FULL = """
import resource, sys
from pathlib import Path
import numpy as np
from gliomakit._cache import store
resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
try:
    store(Path(sys.argv[1]), "key", {"image": np.ones((100, 100, 100), np.float32)}, {})
except Exception as error:
    print(type(error).__name__, error)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="needs resource limits")
def test_a_file_that_may_not_grow(tmp_path):
    fill(tmp_path, "other")
    child = start(FULL, tmp_path)
    said, errors = child.communicate(timeout=60)
    assert said.startswith("GliomakitError") and "there is no room" in said, said + errors
    assert str(tmp_path) in said and "4.0 MB" in said and said.count("\n") == 1
    assert not leftovers(tmp_path) and not (tmp_path / "key").exists()
    assert complete(tmp_path, "other")


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT])
def test_a_full_disk(tmp_path, monkeypatch, code):
    def full(*_: object) -> None:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(_cache, "_write", full)
    with pytest.raises(GliomakitError, match="there is no room.*GLIOMAKIT_CACHE"):
        fill(tmp_path)
    assert fetch(tmp_path, "key") is None and not leftovers(tmp_path)


def test_an_interrupted_write_leaves_nothing(tmp_path, monkeypatch):
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(_cache, "_move", interrupted)
    with pytest.raises(KeyboardInterrupt):
        fill(tmp_path)
    assert not any(path.is_dir() for path in tmp_path.iterdir())


def test_a_folder_that_cannot_be_written(tmp_path):
    # root may write anywhere, so not by permissions: a file is where the folder should be
    (tmp_path / "file").write_text("")
    with pytest.raises(GliomakitError, match="the cache cannot be written"):
        fill(tmp_path / "file" / "cache")
    assert fetch(tmp_path / "file" / "cache", "key") is None


@pytest.mark.skipif(
    not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write anywhere"
)
def test_a_folder_without_permission(tmp_path):
    folder = tmp_path / "locked"
    fill(folder)
    folder.chmod(0o500)
    try:
        assert complete(folder)  # reading needs no writing
        with pytest.raises(GliomakitError, match="cannot be written"):
            fill(folder, "new")
    finally:
        folder.chmod(0o700)
