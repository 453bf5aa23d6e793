"""Downloads, against a server on 127.0.0.1: resuming, checksums, hostile archives, full disks."""

import contextlib
import hashlib
import io
import json
import re
import resource
import shutil
import socket
import sys
import tarfile
import threading
import types
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from gliomakit import _room, _transfer, download
from gliomakit.cli import main
from gliomakit.errors import GliomakitError

TOP = "Task01_Tiny"
MODALITY = {"0": "FLAIR", "1": "T1w", "2": "t1gd", "3": "T2w"}


# ---- archives ------------------------------------------------------------------------------------


def nifti(shape, dtype):
    """A NIfTI file of noise: it cannot be made smaller, as a real one."""
    array = np.random.default_rng(0).integers(0, 999, shape).astype(dtype)
    return nib.Nifti1Image(array, np.eye(4)).to_bytes()


def plain():
    """The files of a tiny MSD task, by name."""
    images = {f"{TOP}/imagesTr/{n}.nii": nifti((24, 24, 24, 4), np.int16) for n in "ab"}
    labels = {f"{TOP}/labelsTr/{n}.nii": nifti((24, 24, 24), np.uint8) for n in "ab"}
    test = {f"{TOP}/imagesTs/c.nii": nifti((24, 24, 24, 4), np.int16)}
    about = {
        "modality": MODALITY,
        "labels": {"0": "background", "1": "edema", "2": "core", "3": "enhancing"},
        "training": [
            {"image": f"./imagesTr/{n}.nii", "label": f"./labelsTr/{n}.nii"} for n in "ab"
        ],
        "test": ["./imagesTs/c.nii"],
    }
    return {f"{TOP}/dataset.json": json.dumps(about).encode(), **images, **labels, **test}


FILES = plain()


def entry(name, content=b"x", **more):
    info = tarfile.TarInfo(name)
    info.size = len(content)
    for key, value in more.items():
        setattr(info, key, value)
    return info, content


def archive(*more, files=FILES):
    """A tar archive, with macOS's copies as the real one has them, and whatever else is given."""
    raw = io.BytesIO()
    with tarfile.open(fileobj=raw, mode="w") as tar:
        for name, content in files.items():
            beside = name.rpartition("/")
            for info, data in (entry(name, content), entry(f"{beside[0]}/._{beside[2]}", b"mac")):
                tar.addfile(info, io.BytesIO(data))
        for info, data in more:
            tar.addfile(info, io.BytesIO(data))
    return raw.getvalue()


# ---- a server ------------------------------------------------------------------------------------


class Server(ThreadingHTTPServer):
    """Serves one file, well or badly. `asked` are the requests' headers."""

    daemon_threads = True
    block_on_close = False

    def __init__(self, content):
        super().__init__(("127.0.0.1", 0), Handler)
        self.content, self.etag, self.asked = content, '"one"', []
        self.status, self.cut, self.ranges, self.says_length = 200, None, True, True
        self.piece = None

    @property
    def url(self):
        return f"http://127.0.0.1:{self.server_port}/files/Tiny.tar"

    def handle_error(self, request, client_address):
        pass  # clients here go away on purpose


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def do_GET(self):
        server, start = self.server, 0
        server.asked.append(dict(self.headers))
        self.close_connection = True
        if server.status != 200:
            self.send_response(server.status)
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        match = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", ""))
        same = self.headers.get("If-Range") in (None, server.etag)
        if match and server.ranges and same:
            start = int(match[1])
        body = server.content[start:]
        if start >= len(server.content):
            self.send_response(416)
        elif start:
            self.send_response(206)
            piece = f"bytes {start}-{len(server.content) - 1}/{len(server.content)}"
            self.send_header("Content-Range", server.piece or piece)
        else:
            self.send_response(200)
        if server.etag:
            self.send_header("ETag", server.etag)
        if server.says_length:
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body if server.cut is None else body[: server.cut])


@pytest.fixture
def serve():
    """Start a server of some bytes."""
    started = []

    def start(content):
        server = Server(content)
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}).start()
        started.append(server)
        return server

    yield start
    for server in started:
        server.shutdown()
        server.server_close()


@pytest.fixture
def server(serve):
    return serve(archive())


def source(server, content=None, **more):
    """The server's file as a data set; content: what it should be (default: what it is)."""
    content = server.content if content is None else content
    facts = {
        "name": "tiny",
        "title": "A tiny task",
        "folder": TOP,
        "page": "http://127.0.0.1/about",
        "licence": "CC BY-SA 4.0",
        "url": server.url,
        "size": len(content),
        "checksum": f"md5:{hashlib.md5(content).hexdigest()}",
        "cases": {"labelled": 2, "unlabelled": 1},
    }
    return download.Source(**(facts | more))


def names(folder):
    return sorted(p.name for p in folder.iterdir()) if folder.exists() else []


@pytest.fixture
def refused(tmp_path):
    """Fetch, which must fail in one line with these words, and leave these files alone."""

    def call(of, *words, left=()):
        with pytest.raises(GliomakitError) as error:
            download.fetch(of, tmp_path / "d")
        assert "\n" not in str(error.value)
        assert all(str(word) in str(error.value) for word in words), error.value
        assert names(tmp_path / "d") == sorted(left), error.value
        return str(error.value)

    return call


PART = ["Tiny.tar.part", "Tiny.tar.part.json"]


# ---- it works ------------------------------------------------------------------------------------


@pytest.mark.parametrize("keep", [False, True])
def test_fetched_checked_unpacked(server, tmp_path, keep):
    said = []
    found = download.fetch(source(server), tmp_path / "d", keep, say=said.append)
    assert found == download.Found(tmp_path / "d" / TOP, {"labelled": 2, "unlabelled": 1}, True)
    assert names(tmp_path / "d") == ([TOP, "Tiny.tar"] if keep else [TOP])
    assert "about" in said[0] and "are needed for a while" in said[0]
    there = {
        str(p.relative_to(tmp_path / "d")): p.read_bytes()
        for p in (tmp_path / "d" / TOP).rglob("*")
        if p.is_file()
    }
    assert there == FILES  # and none of macOS's copies


def test_what_is_there_is_not_fetched_again(server, tmp_path):
    of = source(server)
    download.fetch(of, tmp_path)
    again = download.fetch(of, tmp_path)
    assert not again.new and again.cases == of.cases and len(server.asked) == 1
    (tmp_path / TOP / "labelsTr" / "b.nii").unlink()
    with pytest.raises(GliomakitError, match="not the whole data set: b.nii is missing"):
        download.fetch(of, tmp_path)
    with pytest.raises(GliomakitError, match="it holds 2 where 484 .labelled. belong"):
        (tmp_path / TOP / "labelsTr" / "b.nii").touch()
        download.fetch(source(server, cases={"labelled": 484}), tmp_path)
    assert len(server.asked) == 1


def test_an_archive_that_is_there_is_unpacked_and_left(server, tmp_path):
    (tmp_path / "Tiny.tar").write_bytes(server.content)
    assert download.fetch(source(server), tmp_path).new
    assert not server.asked and names(tmp_path) == [TOP, "Tiny.tar"]
    shutil.rmtree(tmp_path / TOP)
    (tmp_path / "Tiny.tar").write_bytes(server.content[:-1])
    with pytest.raises(GliomakitError, match="Tiny.tar: it is another file .* remove it"):
        download.fetch(source(server), tmp_path)


@pytest.mark.parametrize("checksum", ["md5", "sha256"])
def test_checksums(server, tmp_path, checksum):
    digest = hashlib.new(checksum, server.content).hexdigest()
    assert download.fetch(source(server, checksum=f"{checksum}:{digest}"), tmp_path).new


def test_the_sources_are_those_of_the_project():
    msd, lgg = download.source("msd"), download.source("lgg")
    assert msd.checksum == "md5:240a19d752f0d9e9101544901065d872" and msd.size == 7_100_000_000
    assert msd.url.endswith(f"/{msd.folder}.tar") and msd.cases == {
        "labelled": 484,
        "unlabelled": 266,
    }
    assert lgg.kaggle == "mateuszbuda/lgg-mri-segmentation" and lgg.url is None
    with pytest.raises(GliomakitError, match="no data set 'brats'; known: msd, lgg"):
        download.source("brats")


# ---- cut off, and gone on with -------------------------------------------------------------------


def test_a_download_that_is_cut_off_goes_on(server, refused, tmp_path):
    server.cut = 100_000
    said = refused(source(server), server.url, "cut off", "are kept in", "goes on", left=PART)
    have = (tmp_path / "d" / "Tiny.tar.part").stat().st_size
    assert 0 < have <= 100_000 and f"{have / 1000:.0f} kB" in said
    refused(source(server), "cut off", left=PART)
    assert server.asked[1]["Range"] == f"bytes={have}-" and server.asked[1]["If-Range"] == '"one"'
    server.cut, said = None, []
    assert download.fetch(source(server), tmp_path / "d", say=said.append).new
    assert any("going on after" in line for line in said)
    assert len(server.asked) == 3 and names(tmp_path / "d") == [TOP]


def test_a_bad_line_is_gone_on_with_at_once_as_long_as_something_comes(
    server, monkeypatch, tmp_path
):
    monkeypatch.setattr(_transfer, "WORTH", 100_000)
    server.cut = 200_000
    assert download.fetch(source(server), tmp_path).new
    kept = 200_000 // _transfer.CHUNK * _transfer.CHUNK
    assert len(server.asked) == -(-len(server.content) // kept) > 1


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"ranges": False}, "cannot go on in the middle"),
        ({"etag": '"two"'}, "has changed"),
        ({"piece": "bytes 5-9/10"}, None),
        ({"piece": "nonsense"}, None),
    ],
)
def test_when_it_cannot_go_on_it_begins_anew_and_says_so(server, refused, tmp_path, change, words):
    server.cut = 200_000
    refused(source(server), "cut off", left=PART)
    for name, value in {"cut": None, **change}.items():
        setattr(server, name, value)
    said = []
    assert download.fetch(source(server), tmp_path / "d", say=said.append).new
    assert words is None or any(words in line for line in said), said
    assert not any("going on after" in line for line in said)


def test_a_page_in_between_does_not_cost_what_is_there(server, refused, tmp_path):
    """A log-in page is no reason to throw gigabytes away; "there is no such rest" is one."""
    server.cut = 200_000
    refused(source(server), "cut off", left=PART)
    server.cut, server.etag = None, None
    whole, server.content = server.content, server.content[:1000]
    refused(source(server, whole), "1 kB where about", left=PART)
    server.etag = '"one"'  # so the rest is asked for, and the answer is 416
    refused(source(server, whole), "1 kB where about", left=[])
    server.content = whole
    assert download.fetch(source(server), tmp_path / "d").new


def test_without_any_name_of_the_version_the_size_decides(server, refused, tmp_path):
    server.cut, server.etag = 200_000, None
    refused(source(server), "cut off", left=PART)
    server.cut = None
    server.content = archive(entry(f"{TOP}/new", b"n" * 20_000))
    said = []
    assert download.fetch(source(server), tmp_path / "d", say=said.append).new
    assert not any("going on after" in line for line in said)


def test_stopped_between_the_last_byte_and_the_check(server, tmp_path, monkeypatch):
    def stop(*_, **__):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(_transfer.pooch, "file_hash", stop)
        download.fetch(source(server), tmp_path)
    assert names(tmp_path) == PART
    assert download.fetch(source(server), tmp_path).new and len(server.asked) == 1


def test_a_part_of_which_nothing_is_known_is_not_used(server, tmp_path):
    for note in (None, "{", "[]", '{"url": 1}', json.dumps(dict.fromkeys(["url", "total"]))):
        (tmp_path / PART[0]).write_bytes(b"whatever")
        if note is not None:
            (tmp_path / PART[1]).write_text(note)
        assert download.fetch(source(server), tmp_path).new
        shutil.rmtree(tmp_path / TOP)
    assert not any("Range" in headers for headers in server.asked)


def test_without_a_length(server, refused, tmp_path):
    """A server that does not say how long the file is: the end of the connection is the end."""
    server.says_length = False
    assert download.fetch(source(server), tmp_path / "a").new
    refused(source(server, size=100_000, checksum="md5:0"), "more than the 200 kB", left=[])
    server.cut = 200_000
    refused(source(server), "another file or a damaged one", left=[])


def test_two_at_once(server, tmp_path):
    with download._alone(tmp_path), pytest.raises(GliomakitError, match="another download"):
        download.fetch(source(server), tmp_path)
    assert download.fetch(source(server), tmp_path).new


# ---- what servers do -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "word"),
    [(404, "no such file (404)"), (410, "(410)"), (403, "answers 403"), (503, "answers 503")],
)
def test_no_file_there(server, refused, status, word):
    server.status = status
    refused(source(server), server.url, word)


def test_a_refusal_in_the_middle_keeps_what_is_there(server, refused, tmp_path):
    server.cut = 200_000
    refused(source(server), "cut off", left=PART)
    server.status = 503
    refused(source(server), "503", "kept in", left=PART)


def test_nobody_answers(server, refused):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{free.getsockname()[1]}/x/Tiny.tar"
        refused(source(server, url=url), url, "cannot be reached", "is there a network?")
    unknown = "http://no-such-host.invalid/Tiny.tar"
    refused(source(server, url=unknown), unknown, "is there a network?")


def test_a_server_that_falls_silent(server, refused, monkeypatch):
    import requests

    def slow(*_, **__):
        raise requests.ReadTimeout("slow")

    monkeypatch.setattr(requests, "get", slow)
    refused(source(server), "does not answer")


def test_a_log_in_page_in_place_of_the_file(serve, server, refused):
    page = serve(b"<html>log in first</html>" * 20)
    refused(source(page, server.content), "500 bytes where about", "log-in")


def test_a_wrong_checksum(serve, server, refused):
    other = serve(server.content[:-3] + b"abc")
    refused(source(other, server.content), other.url, "MD5 is", "removed")


# ---- full disks, folders that are none -----------------------------------------------------------


def test_no_room_is_said_before_anything_is_written(server, refused, monkeypatch):
    usage = shutil._ntuple_diskusage(10**12, 10**12 - 500_000, 500_000)
    monkeypatch.setattr(_room.shutil, "disk_usage", lambda _: usage)
    size = f"{2 * len(server.content) / 1e3:.0f} kB"
    refused(source(server), "500 kB are free", size, "archive", "another disk")


@contextlib.contextmanager
def files_of_at_most(size):
    """As on a full disk: no file of this process may grow past `size` bytes."""
    old = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, old[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, old)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="limits differ")
def test_a_disk_that_fills_while_fetching(server, refused, tmp_path):
    with files_of_at_most(150_000):
        refused(source(server), "disk is full", "make room", "goes on", left=PART)
    assert (tmp_path / "d" / PART[0]).stat().st_size == 150_000
    assert download.fetch(source(server), tmp_path / "d").new
    assert server.asked[1]["Range"] == "bytes=150000-"


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="limits differ")
def test_a_disk_that_fills_while_unpacking(server, refused, tmp_path):
    (tmp_path / "d").mkdir()
    (tmp_path / "d" / "Tiny.tar").write_bytes(server.content)
    with files_of_at_most(50_000):
        refused(source(server), "disk is full", "Tiny.tar is still there", left=["Tiny.tar"])
    assert download.fetch(source(server), tmp_path / "d").new


def test_no_room_to_unpack(server, refused, tmp_path, monkeypatch):
    (tmp_path / "d").mkdir()
    (tmp_path / "d" / "Tiny.tar").write_bytes(server.content)
    monkeypatch.setattr(_room.shutil, "disk_usage", lambda _: types.SimpleNamespace(free=1000))
    refused(source(server), "1 kB are free", "to unpack", left=["Tiny.tar"])


def test_what_a_killed_call_left_is_cleared_away(server, tmp_path):
    (tmp_path / f".{TOP}.unpacking" / TOP).mkdir(parents=True)
    (tmp_path / f".{TOP}.unpacking" / TOP / "half").write_text("half")
    assert download.fetch(source(server), tmp_path).new and names(tmp_path) == [TOP]
    assert not (tmp_path / TOP / "half").exists()


# ---- hostile archives ----------------------------------------------------------------------------

LINK, HARD, PIPE, DEVICE = tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE, tarfile.CHRTYPE


@pytest.mark.parametrize(
    ("member", "words"),
    [
        (entry("/etc/evil"), ["/etc/evil", "outside"]),
        (entry("../evil"), ["../evil", "outside"]),
        (entry(f"{TOP}/../../evil"), ["outside"]),
        (entry(f"{TOP}\\..\\evil"), ["outside"]),
        (entry("C:evil"), ["outside"]),
        (entry(f"{TOP}/link", b"", type=LINK, linkname="../.."), ["no plain file"]),
        (entry(f"{TOP}/hard", b"", type=HARD, linkname="/etc/passwd"), ["no plain file"]),
        (entry(f"{TOP}/pipe", b"", type=PIPE), ["no plain file"]),
        (entry(f"{TOP}/device", b"", type=DEVICE), ["no plain file"]),
        (entry("._link", b"", type=LINK, linkname="/"), ["no plain file"]),
        (entry(f"{TOP}/{'n' * 300}"), ["too long"]),
        (entry(f"{TOP}/{'d/' * 40}x"), ["too long"]),
        (entry(f"{TOP}/a\x1b[2Jb"), ["broken"]),
        (entry(f"{TOP}/a\nb"), ["broken"]),
        (entry(f"{TOP}/dataset.json"), ["twice"]),
        (entry(f"{TOP}/DATASET.json"), ["twice"]),
    ],
    ids=lambda value: (
        value[0].name[:24].encode("unicode_escape").decode()
        if isinstance(value[0], tarfile.TarInfo)
        else ""
    ),
)
def test_archives_that_no_honest_publisher_makes(serve, refused, tmp_path, member, words):
    server = serve(archive(member))
    said = refused(source(server), "Tiny.tar", "nothing was unpacked", *words, left=["Tiny.tar"])
    assert said.isprintable() and names(tmp_path) == ["d"]


def test_a_file_that_unpacks_to_more_than_there_is(serve, refused):
    claim = {"GNU.sparse.map": "0,64", "GNU.sparse.size": str(10**12)}
    server = serve(archive(entry(f"{TOP}/sparse", bytes(64), pax_headers=claim)))
    refused(source(server), "no plain file", left=["Tiny.tar"])


@pytest.mark.parametrize(
    "content",
    [archive()[:200_000], b"\x1f\x8b" + bytes(300_000), b"no tar at all" * 1000, bytes(20_000)],
    ids=["cut", "packed", "text", "empty"],
)
def test_damaged_archives(serve, refused, content):
    server = serve(content)
    refused(source(server), "Tiny.tar", left=["Tiny.tar"])


def test_an_archive_of_something_else(serve, refused, tmp_path):
    """Other folders are left out; without the right one there is nothing to unpack."""
    other = {name.replace(TOP, "Task02"): content for name, content in FILES.items()}
    refused(source(serve(archive(files=other))), f"no folder {TOP}", left=["Tiny.tar"])
    both = serve(archive(files=FILES | other))
    assert download.fetch(source(both), tmp_path / "b").new and names(tmp_path / "b") == [TOP]


def test_paths_that_begin_with_a_dot(serve, tmp_path):
    dotted = {f"./{name}": content for name, content in FILES.items()}
    assert download.fetch(source(serve(archive(files=dotted))), tmp_path).new


# ---- LGG -----------------------------------------------------------------------------------------

PATIENTS = ("TCGA_CS_4941_19960909", "TCGA_DU_5849_19950405")


@pytest.fixture
def lgg(tmp_path, monkeypatch):
    """A kagglehub that has the data set in its cache, of two patients with two slices each."""
    root = tmp_path / "hub" / "versions" / "2"
    tree = root / "lgg-mri-segmentation" / "kaggle_3m"
    for patient in PATIENTS:
        (tree / patient).mkdir(parents=True)
        for end in ("1", "1_mask", "2", "2_mask"):
            (tree / patient / f"{patient}_{end}.tif").write_bytes(b"II*\0" + bytes(100))
    (tree / "data.csv").write_text("Patient\n")
    asked = []

    def dataset_download(handle):
        print("Downloading from Kaggle")
        asked.append(handle)
        return str(root)

    hub = types.ModuleType("kagglehub")
    hub.dataset_download = dataset_download
    monkeypatch.setitem(sys.modules, "kagglehub", hub)
    of = download.Source(
        "lgg",
        "LGG",
        "kaggle_3m",
        "https://example.org/lgg",
        "CC",
        kaggle="someone/lgg",
        cases={"labelled": 2, "slices": 4},
    )
    return types.SimpleNamespace(of=of, tree=tree, hub=hub, asked=asked)


def test_lgg_is_copied_from_kagglehub(lgg, tmp_path, capsys):
    (lgg.tree / "notes.exe").write_text("no")
    (lgg.tree / PATIENTS[0] / ".hidden.tif").write_text("no")
    (lgg.tree / "TCGA_XX").mkdir()
    found = download.fetch(lgg.of, tmp_path / "d")
    assert (found.cases, found.new) == ({"labelled": 2, "slices": 4}, True)
    assert lgg.asked == ["someone/lgg"] and names(tmp_path / "d") == ["kaggle_3m"]
    assert (
        names(found.folder) == [*PATIENTS, "data.csv"]
        and len(names(found.folder / PATIENTS[0])) == 4
    )
    out, err = capsys.readouterr()
    assert out == "" and "Downloading" in err
    assert not download.fetch(lgg.of, tmp_path / "d").new and len(lgg.asked) == 1


def test_lgg_with_something_wrong(lgg, refused, tmp_path):
    first = lgg.tree / PATIENTS[0] / f"{PATIENTS[0]}_1.tif"
    first.write_bytes(b"<html>")
    refused(lgg.of, first, "no TIFF")
    first.write_bytes(b"II*\0" + bytes(6_000_000))
    refused(lgg.of, first, "too large")
    first.unlink()
    refused(lgg.of, "slice or the mask", f"{PATIENTS[0]}_1")
    outside = tmp_path / "secret.tif"
    outside.write_bytes(b"II*\0")
    first.symlink_to(outside)
    refused(lgg.of, "slice or the mask", f"{PATIENTS[0]}_1")  # a link to elsewhere is no slice
    first.unlink()
    (lgg.tree / PATIENTS[0] / f"{PATIENTS[0]}_1_mask.tif").unlink()
    refused(lgg.of, "it holds 3 where 4 (slices) belong")
    shutil.rmtree(lgg.tree)
    refused(lgg.of, "no folder kaggle_3m")


def test_lgg_no_room(lgg, refused, monkeypatch):
    monkeypatch.setattr(_room.shutil, "disk_usage", lambda _: types.SimpleNamespace(free=100))
    refused(lgg.of, "100 bytes are free", "for the copy")


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="limits differ")
def test_lgg_a_disk_that_fills(lgg, refused):
    with files_of_at_most(50):
        refused(lgg.of, "disk is full")


def test_lgg_when_kagglehub_fails(lgg, refused):
    def fail(handle):
        raise ConnectionError("first line\nsecond line")

    lgg.hub.dataset_download = fail
    refused(lgg.of, lgg.of.page, "ConnectionError: first line", "network")


def test_lgg_without_kagglehub(lgg, refused, monkeypatch):
    monkeypatch.setitem(sys.modules, "kagglehub", None)
    refused(lgg.of, lgg.of.page, "pip install kagglehub", "GLIOMAKIT_DATA")


# ---- the command ---------------------------------------------------------------------------------


@pytest.fixture
def command(server, monkeypatch, capsys):
    """`gliomakit download …`, with the server's file in the place of MSD."""
    monkeypatch.setattr(download, "source", lambda name: source(server, name=name))

    def call(*words):
        code = main(["download", *map(str, words)])
        return code, *capsys.readouterr()

    return call


def test_the_command(command, server, tmp_path, monkeypatch):
    code, out, err = command("msd", tmp_path / "my data")
    assert code == 0 and out.splitlines() == [
        f"{tmp_path / 'my data' / TOP}: 2 labelled, 1 unlabelled",
        "licence: CC BY-SA 4.0 (not verified); see http://127.0.0.1/about",
        f"next: gliomakit prepare '{tmp_path / 'my data' / TOP}'",
        f"for the lessons: export GLIOMAKIT_DATA='{tmp_path / 'my data'}'",
    ]
    assert all(line.startswith("gliomakit: ") for line in err.splitlines()) and "kB" in err
    code, out, err = command("msd", tmp_path / "my data")
    assert (code, err) == (0, "") and f"{TOP} is there already: 2 labelled" in out
    monkeypatch.setenv("GLIOMAKIT_CACHE", str(tmp_path / "cache"))
    assert command("msd", "--keep-archive")[0] == 0
    assert names(tmp_path / "cache" / "downloads") == [TOP, "Tiny.tar"]


def test_the_command_interrupted(command, tmp_path, monkeypatch):
    def stop(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(_transfer, "_write", stop)
    code, out, err = command("msd", tmp_path)
    assert (
        code == 130
        and out == ""
        and err.splitlines()[-2:]
        == [
            "gliomakit: what has come is kept: the same command goes on from there",
            "gliomakit: interrupted",
        ]
    )


def test_the_command_refuses_in_one_line(command, tmp_path, monkeypatch):
    file = tmp_path / "file"
    file.write_text("here")
    lines = [("msd", file), ("msd", file / "inside"), ("msd", "/proc/gliomakit")]
    for line in lines if sys.platform.startswith("linux") else lines[:2]:
        code, out, err = command(*line)
        assert (code, out) == (2, "") and err.count("\n") == 1 and str(line[1]) in err, err
    (tmp_path / TOP).write_text("a file where the data set belongs")
    code, out, err = command("msd", tmp_path)
    assert (code, out) == (2, "") and err.count("\n") == 1 and str(tmp_path / TOP) in err
    monkeypatch.undo()
    assert main(["download", "brats", str(tmp_path)]) == 2


def test_no_pickle_and_no_shell_in_what_downloads():
    folder = Path(download.__file__).parent
    for name in ("download", "_transfer", "_unpack", "_kaggle"):
        assert not re.search(
            r"pickle|extractall|subprocess|eval\(", (folder / f"{name}.py").read_text()
        )
