"""`gliomakit app`: people with and without browsers, well meaning and not, at one server."""

import gzip
import hashlib
import io
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from pypdf import PdfReader

from gliomakit._nifti import encode
from gliomakit.app.intake import BYTES
from gliomakit.cases import Grid
from gliomakit.cli import main
from gliomakit.regions import SEQUENCES

pytest.importorskip("voila")
pytest.importorskip("anywidget")

from tests.browser.people import PATIENCE, Person  # noqa: E402

pytestmark = pytest.mark.browser

SLOW = 1000 * PATIENCE
REAL = Path(os.environ.get("GLIOMAKIT_REAL_DATA") or "missing") / "brats2021" / "BraTS2021_00006"
HOSTILE = "<img src=x onerror=\"document.title='owned'\">"
IDLE = 20


@pytest.fixture(scope="module")
def app():
    """The server; afterwards nothing of it is left: no process, no folder."""
    command = [sys.executable, "-m", "gliomakit", "app", "--no-open"]
    command += ["--idle", str(IDLE), "--most", "14"]
    server = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        address = server.stdout.readline().strip()
        server.address = address
        yield server
    finally:
        children = below(server.pid)
        server.send_signal(signal.SIGTERM)
        _, said = server.communicate(timeout=PATIENCE)
    assert server.returncode in (0, 130)
    assert "gliomakit/app/" not in said, said  # no traceback that goes through our code
    until(lambda: not any(map(alive, children)), "processes are left")
    assert not list(Path(tempfile.gettempdir()).glob(f"gliomakit_app_{server.pid}_*"))


@pytest.fixture
def people(app):
    """Makes people, who all leave at the end of the test."""
    made = []

    def more(**how):
        made.append(Person(app.address, **how))
        return made[-1]

    yield more
    for one in made:
        try:
            one.goodbye()
        except urllib.error.HTTPError as error:
            assert error.code == 404  # has left already


@pytest.fixture
def tab(app, browser):
    """The page in a browser; it ends with its kernel gone."""
    context = browser.new_context(viewport={"width": 1280, "height": 1000})
    page = context.new_page()
    page.asked, page.problems = [], []
    page.on("request", lambda request: page.asked.append(request.url))
    page.on("pageerror", lambda error: page.problems.append(str(error)))
    page.goto(app.address, timeout=SLOW)
    page.get_by_text("Segment a glioma").wait_for(timeout=SLOW)
    yield page
    leave(page)
    context.close()


def leave(page):
    """Close a tab as a person does, so that it can say goodbye; once."""
    if page not in page.context.pages or getattr(page, "left", False):
        return
    page.left = True
    with page.expect_event("close", timeout=SLOW):
        page.close(run_before_unload=True)


# ---- helpers -------------------------------------------------------------------------------------


def until(good, what):
    end = time.monotonic() + PATIENCE
    while not good():
        assert time.monotonic() < end, what
        time.sleep(0.1)


def alive(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def below(pid):
    """All processes that a process has started."""
    found = []
    for path in Path(f"/proc/{pid}/task").glob("*/children"):
        for child in path.read_text().split():
            found += [int(child), *below(int(child))]
    return found


def command_of(pid):
    try:
        return Path(f"/proc/{pid}/cmdline").read_text().replace("\0", " ")
    except OSError:
        return ""


def kernels(app):
    return [pid for pid in below(app.pid) if "ipykernel_launcher" in command_of(pid)]


def folders(app):
    """The pages' folders."""
    root = next(Path(tempfile.gettempdir()).glob(f"gliomakit_app_{app.pid}_*"))
    return list(root.iterdir())


def memory_mb(pids, what="Pss"):
    total = 0
    for pid in pids:
        try:
            text = Path(f"/proc/{pid}/smaps_rollup").read_text()
        except OSError:
            continue
        total += int(re.search(rf"^{what}:\s+(\d+)", text, re.MULTILINE)[1])
    return total / 1000


def head(seed=0, side=64, spacing=2.0):
    """A round head with a bright ball in it, int16 (4, side, side, side)."""
    draw = np.random.default_rng(seed)
    along = np.arange(side) - side / 2
    place = np.stack(np.meshgrid(along, along, along, indexing="ij"))
    inside = (place**2).sum(0) < (0.45 * side) ** 2
    ball = ((place - draw.uniform(-8, 8, (3, 1, 1, 1))) ** 2).sum(0) < (4 + seed % 5) ** 2
    levels = {"flair": (300, 700), "t1": (500, 350), "t1ce": (500, 900), "t2": (400, 800)}
    image = np.zeros((4, side, side, side), np.int16)
    for volume, (low, high) in zip(image, levels.values()):
        noisy = low + (high - low) * ball + draw.normal(0, 20, inside.shape)
        volume[inside] = noisy.clip(1)[inside]
    return image


def stored(volume, shift=0.0, spacing=2.0):
    """A volume as a packed file's bytes."""
    affine = np.diag([spacing, spacing, spacing, 1.0])
    affine[:3, 3] = shift - spacing * np.array(volume.shape) / 2
    return encode(volume, Grid(volume.shape, affine), packed=True)


def case_of(seed=0, name="pat", **how):
    return [(f"{name}_{s}.nii.gz", stored(v, **how)) for s, v in zip(SEQUENCES, head(seed))]


def by_command_line(files, folder):
    """The label that `gliomakit segment` makes of (name, bytes), as bytes."""
    folder.mkdir(parents=True, exist_ok=True)
    line = ["segment", "--no-check", "--out", str(folder / "label.nii.gz")]
    for sequence, (name, content) in zip(SEQUENCES, files):
        (folder / name).write_bytes(content)
        line += [f"--{sequence}", str(folder / name)]
    assert main(line) == 0
    return (folder / "label.nii.gz").read_bytes()


def answer(opener, url, method="GET"):
    """Status, and text, of what a server says."""
    try:
        with opener.open(urllib.request.Request(url, method=method), timeout=PATIENCE) as found:
            return found.status, found.url + found.read().decode(errors="replace")
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode(errors="replace")


# ---- in a browser --------------------------------------------------------------------------------


@pytest.mark.parametrize("patient", ["phantom", "real"])
def test_from_upload_to_download_as_the_command_line(tab, patient, tmp_path):
    from gliomakit.cases import find_cases
    from gliomakit.phantom.dataset import embedded, embedded_names

    if patient == "real" and not REAL.is_dir():
        pytest.skip("needs real patients: GLIOMAKIT_REAL_DATA names no folder with brats2021/")
    if patient == "real":
        files = [next(REAL.glob(f"*_{s}.nii.gz")) for s in SEQUENCES]
    else:
        name = embedded_names("test")[0]
        case = next(c for c in find_cases(embedded()) if c.name == name).read(label=False)
        files = [tmp_path / f"{name}_{s}.nii.gz" for s in SEQUENCES]
        for path, volume in zip(files, case.image):
            path.write_bytes(encode(volume.astype(np.int16), case.grid, packed=True))

    tab.locator("input[type=file]").set_input_files(files)
    tab.get_by_text("nothing looks wrong").wait_for(timeout=SLOW)
    segment = tab.get_by_role("button", name="Segment", exact=True)
    segment.focus()
    tab.keyboard.press("Enter")
    tab.get_by_role("heading", name="Result").wait_for(timeout=SLOW)
    got = {}
    for word in ("label (", ".html", ".pdf", "3D Slicer", "ITK-SNAP", "facts"):
        with tab.expect_download(timeout=SLOW) as download:
            tab.get_by_role("button", name=word).click()
        got[word] = Path(download.value.path()).read_bytes()
    expected = by_command_line([(p.name, p.read_bytes()) for p in files], tmp_path / "command")
    assert got["label ("] == expected, "not the command line's label, bit for bit"

    page = got[".html"].decode()
    ml = tab.locator(".ml").first.inner_text()
    assert ml.endswith(" mL") and f"<td>{ml.removesuffix(' mL')}" in page
    assert "Not a medical device" in page and "http" not in page.replace("http-equiv", "")
    (sheet,) = PdfReader(io.BytesIO(got[".pdf"])).pages
    said = sheet.extract_text()
    assert "Not a medical device" in said and ml.removesuffix(" mL") in said
    assert b"enhancing" in got["3D Slicer"] and b'"edema"' in got["ITK-SNAP"]
    assert b'"convention": "brats2017"' in got["facts"]

    # The viewer: a slider moves the picture.
    picture = tab.locator("img:visible").first
    before = picture.get_attribute("src")
    tab.locator(".noUi-handle:visible").first.focus()
    tab.keyboard.press("ArrowRight")
    tab.wait_for_function(
        "before => [...document.querySelectorAll('img')]"
        ".find(image => image.offsetParent).src !== before",
        arg=before,
        timeout=SLOW,
    )
    tab.screenshot(path=tmp_path / "app.png")
    outside = [u for u in tab.asked if not u.startswith(("http://127.0.0.1:", "data:", "blob:"))]
    assert outside == [] and tab.problems == []


def test_fifty_megabytes_arrive_whole_and_two_gigabytes_not_at_all(tab, app, tmp_path):
    voxels = np.random.default_rng(0).integers(0, 30000, (180, 200, 700), np.int16)
    content = encode(voxels, Grid(voxels.shape, np.diag([1, 1, 0.5, 1.0])), packed=False)
    large, huge = tmp_path / "large_flair.nii", tmp_path / "huge_t1.nii"
    large.write_bytes(content)
    with open(huge, "wb") as stream:
        stream.truncate(2_000_000_000)  # no block of it is on the disk
    assert len(content) > 50e6
    before = set(folders(app))

    tab.locator("input[type=file]").set_input_files(huge)
    told = tab.get_by_text("huge_t1.nii: it has 2000 MB, and a file may have 500 MB at most")
    told.wait_for(timeout=SLOW)
    assert tab.locator(".file").count() == 0

    tab.locator("input[type=file]").set_input_files(large)
    tab.get_by_text("180 × 200 × 700 voxels").wait_for(timeout=SLOW)
    wanted = hashlib.sha256(content).hexdigest()
    there = [hashlib.sha256(p.read_bytes()).hexdigest() for f in before for p in f.iterdir()]
    assert wanted in there


def test_names_are_words_and_a_picture_is_no_scan(tab, app):
    def give(*files):
        payload = [{"name": n, "mimeType": "", "buffer": c} for n, c in files]
        tab.locator("input[type=file]").set_input_files(payload)

    (_, flair), (_, t1), *_ = case_of()
    give((f"{HOSTILE}_flair.nii.gz", flair))
    tab.get_by_text(HOSTILE).first.wait_for(timeout=SLOW)
    give(("a.png", b"\x89PNG\r\n\x1a\n" + bytes(2000)))
    tab.get_by_text("a.png: is not a NIfTI file").wait_for(timeout=SLOW)
    assert tab.locator(".file").count() == 1
    tab.get_by_label("remove").click()
    tab.wait_for_function("!document.querySelector('.file')")
    give(("x_flair.nii.gz", flair), ("y_flair.nii.gz", t1))
    tab.get_by_text("are both FLAIR: a sequence is given twice").wait_for(timeout=SLOW)
    assert tab.get_by_role("button", name="Segment", exact=True).is_disabled()
    tab.get_by_label("sequence of y_flair.nii.gz").select_option("t1")
    tab.get_by_role("button", name="Segment", exact=True).and_(tab.locator(":enabled")).wait_for(
        timeout=SLOW
    )
    assert "owned" not in tab.title()

    # A tab that is closed takes its kernel and its folder with it.
    before = len(kernels(app)), len(folders(app))
    leave(tab)
    until(lambda: (len(kernels(app)), len(folders(app))) == (before[0] - 1, before[1] - 1), before)


# ---- against the server --------------------------------------------------------------------------


def test_nobody_enters_without_the_token_and_nothing_lies_open_with_it(app, people):
    one, other = people(), people()
    one.upload(*case_of()[:1]).wait(lambda state: state["case"])
    name = next(f for f in folders(app) if any(f.iterdir()))
    stranger = urllib.request.build_opener()
    paths = [
        "voila/files/segment.ipynb", "voila/files/file1", f"voila/files/{name}/file1",
        f"voila/files{name}/file1", "voila/files/../../etc/passwd", "voila/templates/../page.py",
        "voila/static/..%2f..%2f..%2f..%2f..%2fetc/passwd", "segment.ipynb", "files/segment.ipynb",
        "api", "api/kernels", "api/contents", "api/contents/segment.ipynb", "api/sessions",
        f"{name}/file1", "tree", "voila/tree", "voila/render/segment.ipynb", "voila/api/contents",
    ]  # fmt: skip
    started = len(kernels(app))
    for who, path in [(w, p) for w in (stranger, one.web) for p in paths]:
        status, text = answer(who, f"{app.address.split('?')[0]}{path}")
        assert status >= 400 or "login" in text.splitlines()[0], path
        assert "gliomakit.app.page" not in text and "root:" not in text and "n+1" not in text
    status, text = answer(stranger, app.address.split("?")[0])
    assert "login" in text.splitlines()[0] and "kernelId" not in text
    assert len(kernels(app)) == started

    # A foreign kernel is not there: neither for a stranger nor for another person.
    where = f"{one.server}/api/kernels/{one.kernel}"
    for who in (stranger, other.web):
        for method in ("GET", "DELETE"):
            assert answer(who, where, method)[0] in (403, 404)
        shut = f"{one.server}/voila/api/shutdown/{one.kernel}?_xsrf={other.cookie('_xsrf')}"
        assert answer(who, shut, "POST")[0] in (403, 404)
    assert answer(one.web, where)[0] == 200
    for kernel in (one.kernel, "00000000-0000-0000-0000-000000000000"):
        with pytest.raises(Exception, match="404"):
            other.channel(kernel)
    its = list(one.cookies)
    one.cookies.clear()
    with pytest.raises(Exception, match="403"):
        one.channel(one.kernel)
    for cookie in its:  # for its goodbye
        one.cookies.set_cookie(cookie)
    # The protocol whose binary messages Voilà misreads is refused.
    with pytest.raises(Exception, match="400"):
        other.channel(other.kernel, protocols=())


def header_only(shape, dtype=np.int16):
    """The first bytes of a file that claims that many voxels."""
    whole = bytearray(encode(np.zeros((2, 2, 2), dtype), Grid((2, 2, 2), np.eye(4)), packed=False))
    whole[42:48] = np.array(shape, "<i2").tobytes()
    return bytes(whole[:352])


def test_bad_files_are_refused_each_with_a_reason(app, people):
    one = people()
    before = {pid: memory_mb([pid]) for pid in kernels(app)}
    bomb = gzip.compress(header_only((100, 100, 100)) + bytes(300_000_000), 1)
    bad = {
        "bomb_flair.nii.gz": (bomb, "more voxels than its header says"),
        "vast_flair.nii.gz": (gzip.compress(header_only((900, 900, 900)) + bytes(9_000_000), 1),
                              "cut off|40 million voxels"),
        "many_flair.nii": (stored_plain((500, 400, 201)), "40 million voxels"),
        "wide_flair.nii.gz": (stored(np.ones((64, 64, 64), np.int16), spacing=50.0), "400 mm"),
        "../../../etc/cron_flair.nii.gz": (
            b"\x1f\x8b" + bytes(99), "^cron_flair.nii.gz: .*damaged"
        ),
        "page_flair.nii": (b"<html>no</html>" + bytes(999), "web page"),
        "none_flair.nii": (b" ", "not a NIfTI"),
    }  # fmt: skip
    for name, (content, reason) in bad.items():
        one.upload((name, content)).wait(lambda s, r=reason: re.search(r, s["problem"]))
        assert one.state["case"] is None
        assert str(tempfile.gettempdir()) not in one.state["problem"]
        one.said.clear()
        one.say("again")
        one.wait(lambda s: not s["files"] and not s["problem"])
    grown = max(memory_mb([pid]) - before.get(pid, 0) for pid in kernels(app))
    assert grown < 200, f"{grown:.0f} MB"

    # What no browser of ours would send.
    one.say("begin", key=1, name="a.nii", size=BYTES + 1)
    assert one.answer("refused")
    one.wait(lambda s: "500 MB at most" in s["problem"])
    one.say("begin", key=2, name="a.nii", size=10)
    number = one.answer("go")[0]["id"]
    one.say("piece", [bytes(100)], id=number, offset=0, name="a.nii")
    one.wait(lambda s: "did not arrive whole" in s["problem"])
    for nonsense in (
        {"kind": "piece", "id": 99, "offset": 0}, {"kind": "nothing"}, {"kind": "get"},
        {"kind": "sequence", "id": "x"}, {"kind": "example", "number": 99}, {"kind": []},
    ):  # fmt: skip
        one.say(**nonsense)
    for i in range(5):
        one.say("begin", key=i, name=f"{i}.nii", size=9)
    one.wait(lambda s: "4 files at most" in s["problem"])
    one.say("again")
    one.wait(lambda s: not s["files"])


def stored_plain(shape):
    return encode(np.zeros(shape, np.uint8), Grid(shape, np.eye(4) * 0.4), packed=False)


def test_two_grids_the_same_image_twice_and_a_wrong_order(people):
    one = people()
    files = case_of()
    elsewhere = (files[1][0], stored(head()[1], shift=3.0))
    one.upload(files[0], elsewhere).wait(lambda s: "not on the grid of FLAIR" in s["problem"])
    assert one.state["case"] is None and one.state["apart"]
    one.say("onto", value="flair")
    one.wait(lambda s: s["case"] and s["resample_to"] == "flair")
    one.say("segment")
    one.wait(lambda s: s["at"] == "done")

    one.say("again")
    one.upload(files[0], ("pat_t2.nii.gz", files[0][1])).wait(lambda s: s["case"])
    assert [
        "warning",
        "FLAIR and T2 are the same image; leave out the one that the exam lacks",
    ] in (one.state["findings"])


def test_a_closed_tab_ends_its_job_and_the_next_one_is_done(app, people):
    until(lambda: folders(app) == [], "who came before is still there")
    one = people()
    (its,) = folders(app)
    two = people()
    for person in (one, two):
        person.upload(*case_of(1)).wait(lambda s: s["case"])
    one.say("example", number=0)  # takes seconds: it is running when the tab goes
    one.wait(lambda s: s["at"] == "busy" and s["progress"] is not None)
    two.say("segment")
    two.wait(lambda s: (s["progress"] or {}).get("ahead") == 1)
    assert one.goodbye() == 204
    two.wait(lambda s: s["at"] == "done")
    until(lambda: not its.exists(), "its folder is left")
    (kept,) = folders(app)

    # Half an upload, and a browser that breaks down.
    three = people()
    three.say("begin", key=1, name="a_flair.nii", size=10_000_000)
    number = three.answer("go")[0]["id"]
    three.say("piece", [bytes(4 << 20)], id=number, offset=0, name="a_flair.nii")
    three.answer("more")
    assert len(folders(app)) == 2
    three.vanish()
    until(lambda: folders(app) == [kept], "who vanished is still there")

    # Stop; and a worker that is killed is told of, and replaced.
    two.say("again")
    two.say("example", number=1)
    two.wait(lambda s: s["at"] == "busy")
    two.say("stop")
    two.wait(lambda s: s["at"] == "files")
    two.say("again")
    two.upload(*case_of(2)).wait(lambda s: s["case"])
    two.say("example", number=1)
    two.wait(lambda s: s["at"] == "busy" and s["progress"] == {"ahead": 0} or s["progress"] is None)
    worker = next(pid for pid in below(app.pid) if "gliomakit.app.worker" in command_of(pid))
    two.wait(lambda s: s["at"] == "busy")
    os.kill(worker, signal.SIGKILL)
    two.wait(lambda s: "process that segments has ended" in s["problem"])
    two.upload(*case_of(2)).wait(lambda s: s["case"])
    two.say("segment")
    two.wait(lambda s: s["at"] == "done")


def test_ten_people_at_once_each_get_their_own(app, people, tmp_path, capsys):
    with ThreadPoolExecutor(4) as pool:
        crowd = list(pool.map(lambda _: people(), range(10)))
        cases = [case_of(i, f"person{i}") for i in range(10)]
        list(pool.map(lambda pair: pair[0].upload(*pair[1]), zip(crowd, cases)))
    for person in crowd:
        person.wait(lambda s: s["case"])
    start = time.monotonic()
    for person in crowd:
        person.say("segment")
    ahead = []
    for person in crowd:
        seen = person.wait(lambda s: s["at"] == "done" or s["progress"])
        ahead.append((seen["progress"] or {}).get("ahead", 0))
        assert person.wait(lambda s: s["at"] == "done")["problem"] == ""
    seconds = time.monotonic() - start
    used = memory_mb([app.pid, *below(app.pid)])
    worker = [pid for pid in below(app.pid) if "gliomakit.app.worker" in command_of(pid)]
    assert len(worker) == 1 and max(ahead) >= 5
    for i, person in enumerate(crowd):
        name, label = person.get("label")
        assert name == f"person{i}_seg.nii.gz"
        if i % 3 == 0:  # each takes the command line as long again
            assert label == by_command_line(cases[i], tmp_path / str(i))
    assert len({person.get("label")[1] for person in crowd}) == 10
    assert used < 4000
    with capsys.disabled():
        print(
            f"\nten people at once: {seconds:.1f} s from the first press to the last answer, "
            f"queue up to {max(ahead)}; {used:.0f} MB in all, "
            f"{memory_mb(worker):.0f} MB of it the worker"
        )

    # The server bears 14 pages and says so to the next.
    with pytest.raises(urllib.error.HTTPError, match="too many pages"):
        for _ in range(15):
            people(connect=False)
    assert len(kernels(app)) <= 14


def test_thirty_tabs_leave_no_kernel(app):
    until(lambda: not kernels(app), "who came before is still there")

    def open_and_close(number):
        one = Person(app.address, connect=False)
        return number % 6 == 0 or one.goodbye() == 204  # some break down

    with ThreadPoolExecutor(4) as pool:
        assert all(pool.map(open_and_close, range(30)))
    until(lambda: not kernels(app), "a kernel is left")
    until(lambda: folders(app) == [], "a folder is left")
