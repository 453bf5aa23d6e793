"""The app's parts without a server: files that come in, what is taken away, the desk's queue."""

import asyncio
import io
import json
import re
import sys
from datetime import date

import numpy as np
import pytest
from pypdf import PdfReader

from gliomakit._nifti import encode
from gliomakit.app.desk import GONE, Desk
from gliomakit.app.intake import Intake, shown
from gliomakit.app.report import CAUTION, report, slicer_table, snap_table, words
from gliomakit.app.sheet import pdf_report
from gliomakit.cases import Case, Grid
from gliomakit.errors import GliomakitError
from gliomakit.regions import CONVENTIONS, SEQUENCES, to_label

WORKER = """
import json, sys
for line in sys.stdin:
    job = json.loads(line)
    if job.get("die"):
        sys.exit(3)
    print(json.dumps({"done": 1, "of": 1}), flush=True)
    print(json.dumps({"result": job["name"]}), flush=True)
"""


def given(intake, name, content):
    upload = intake.begin(name, len(content))
    return intake.piece(upload.id, 0, content)


def test_files_lie_under_names_of_ours(tmp_path):
    intake = Intake(tmp_path)
    content = encode(np.ones((4, 4, 4), np.int16), Grid((4, 4, 4), np.eye(4)), packed=True)
    upload = given(intake, "../../<b>x_flair.nii.gz", content)
    assert (upload.name, upload.path) == ("<b>x_flair.nii.gz", tmp_path / "file1")
    assert upload.sequence == "flair" and intake.case_name == "b_x"
    assert list(tmp_path.iterdir()) == [upload.path]
    with pytest.raises(GliomakitError, match="did not arrive whole"):
        intake.piece(intake.begin("a.nii", 10).id, 4, b"12")
    intake.clear()
    assert not list(tmp_path.iterdir()) and not intake.files


@pytest.mark.parametrize("name", ["", "a/b\\c.nii", "\x00\x1b[31m.nii", "x" * 5000, None, 3])
def test_any_name_can_be_shown(name):
    assert shown(name).isprintable() and 0 < len(shown(name)) <= 100
    assert not set(shown(name)) & set("/\\")


@pytest.mark.parametrize("name", CONVENTIONS)
def test_tables_name_every_value_that_is_written(name):
    wt, tc, et = np.eye(3, dtype=bool)
    values = set(to_label(np.stack([wt, tc, et]), name).tolist()) - {0}
    slicer = [line.split() for line in slicer_table(name).splitlines() if line[0] != "#"]
    snap = [line.split() for line in snap_table(name).splitlines() if line[0] != "#"]
    for rows in (slicer, snap):
        assert {int(row[0]) for row in rows} == values | {0}
        assert all(0 <= int(number) <= 255 for row in rows for number in row[2:5])


def small_case(name):
    """A case, regions and the facts beside its label."""
    image = np.zeros((4, 12, 12, 6), np.float32)
    image[:, 2:10, 2:10, 1:5] = np.random.default_rng(0).uniform(1, 9, (4, 8, 8, 4))
    case = Case(name, image, SEQUENCES, np.eye(4), Grid((12, 12, 6), np.eye(4)))
    regions = np.zeros((3, 12, 12, 6), bool)
    regions[:, 4:6, 4:6, 2:4] = True
    facts = {
        "volumes_ml": {"wt": 0.5},
        "convention": "msd",
        "warnings": [{"text": "<b>odd"}],
        "network": {"name": "light", "sha256": "0123456789abcdef" * 4},
    }
    return case, regions, facts


def test_what_a_person_typed_is_text_in_the_report():
    page = report(*small_case("<script>alert(1)</script>"), ["<i>skull"])
    assert "<script>" not in page and "&lt;script&gt;" in page
    assert "&lt;b&gt;odd" in page and "&lt;i&gt;skull" in page and "not looked for" in page
    assert 'src="http' not in page and "href" not in page


def pdf_text(content):
    """The text of a PDF that must have one page."""
    (page,) = PdfReader(io.BytesIO(content)).pages
    return page.extract_text()


def test_the_pdf_says_what_the_page_of_html_says():
    case, regions, facts = small_case("patient one")
    day = date(2026, 1, 2)
    content = pdf_report(case, regions, facts, ["there is a skull"], day)
    assert content.startswith(b"%PDF-") and content == pdf_report(
        case, regions, facts, ["there is a skull"], day
    )
    said = words(case, facts, ["there is a skull"], day)
    found = " ".join(pdf_text(content).split())
    for text in (CAUTION, *(part for part in said if isinstance(part, str)), *said.warned):
        assert " ".join(text.split()) in found
    for name, ml in said.volumes:
        assert name in found and ml in found
    assert "0123456789abcdef…" in found and "2026-01-02" in found
    reader = PdfReader(io.BytesIO(content))
    assert not reader.metadata and reader.xmp_metadata is None
    assert [image.image.size[0] > 800 for image in reader.pages[0].images] == [True]


@pytest.mark.parametrize(
    "name",
    [
        r"$\frac{1}{0}$ (a) \input{x}",
        "<script>alert(1)</script>",
        "%%EOF) Tj /URI (x",
        "\u202e\x1b[31mred\nblue",
        "李 😀 \u05d0",
        "LONG" * 100,
    ],
)
def test_what_a_person_typed_is_text_in_the_pdf(name):
    case, regions, facts = small_case(name)
    content = pdf_report(case, regions, facts, ["$" + name] * 60)
    found = "".join(pdf_text(content).split())
    if name.isascii() and name.isprintable():
        assert name.replace(" ", "") + ":gliomasegmentation" in found
    page = PdfReader(io.BytesIO(content)).pages[0]
    heights = re.findall(rb"([\d.-]+) cm\nBT\n", page.get_contents().get_data())
    assert len(heights) > 20 and min(map(float, heights)) > 40  # none below the page's edge
    assert not list(page["/Annots"]) and b"/JavaScript" not in content  # nothing to click on
    # All these warnings do not fit: the rest is counted, and the foot is still there.
    assert "more,seethepageofHTML" in found and "Labelvalues:" in found
    assert "<b>odd" not in found


def spoken(folder, *steps):
    """What a desk answers to visitors; `steps` are run with a function that makes one."""

    async def all_of_it():
        desk = Desk(folder, [sys.executable, "-c", WORKER])
        await desk.open()
        port = json.loads(desk.where)["port"]

        async def visit(secret=desk.secret):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)

            def say(**message):
                writer.write(json.dumps(message).encode() + b"\n")

            async def hear():
                return json.loads(await asyncio.wait_for(reader.readline(), 60) or b"null")

            say(secret=secret)
            return say, hear, writer

        try:
            return [await step(visit, folder) for step in steps]
        finally:
            desk.close()
            desk.work.cancel()
            desk.server.close()
            if desk.process is not None:  # else its pipes complain when they are collected
                await desk.process.wait()
                await asyncio.sleep(0.1)

    return asyncio.run(all_of_it())


def test_the_desk_does_jobs_in_turn_and_forgets_who_goes(tmp_path):
    async def two(visit, folder):
        (say, hear, writer), (say2, hear2, _) = await visit(), await visit()
        one, other = await hear(), await hear2()
        assert one["folder"] != other["folder"] and len(list(folder.iterdir())) == 2
        say(job={"name": "a"})
        heard = [await hear() for _ in range(3)]
        assert heard[0] == {"ahead": 0} and heard[2] == {"result": "a"}
        say2(job={"die": True})
        while (answer := await hear2()) == {"ahead": 0}:
            pass
        assert answer == {"error": GONE}
        say2(job={"name": "b"})  # by a new worker
        assert [await hear2() for _ in range(3)][2] == {"result": "b"}
        writer.close()
        while len(list(folder.iterdir())) > 1:
            await asyncio.sleep(0.01)
        assert [str(path) for path in folder.iterdir()] == [other["folder"]]

    async def stranger(visit, folder):
        _, hear, _ = await visit(secret="guessed")
        assert await hear() is None

    spoken(tmp_path, two, stranger)
