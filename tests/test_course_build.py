"""The lesson machinery: marks, two notebooks from one source, staleness, execution, pages."""

from __future__ import annotations

import asyncio
import os
import re
from pathlib import Path

import nbformat
import pytest

from gliomakit.course import _kernel, build, page, run, source
from gliomakit.course._mathematics import draw_all
from gliomakit.course.colab import SETUP_CELL
from gliomakit.errors import GliomakitError

PLACES = build.here()
LESSONS = build.select(PLACES, None)
EACH = pytest.mark.parametrize("lesson", LESSONS, ids=[one.name for one in LESSONS])

TOY = """# %% [markdown]
# +++ title
# # A toy lesson
#
# See the [glossary](../glossary.md), or [the next](08_more.ipynb).

# %%
value = 20
print(value)

# %%
# +++ exercise 07.double
def double(number):
    \"\"\"Twice the number.\"\"\"
    # +++ solution
    twice = number + number
    return twice
    # +++ end


double

# %% [markdown]
# +++ quiz 07.two
# Twice two?
#
# - [x] Four.
#   Right: it is.
# - [ ] Two.
#   That is once two.

# %%
from gliomakit.course import emit

emit("twenty", value=value, missing=float("nan"))
"""


@pytest.fixture
def toy(tmp_path):
    """A course of one toy lesson in a folder of its own."""
    return course(tmp_path, {"07_toy": TOY})


def course(folder: Path, lessons: dict[str, str]) -> build.Places:
    places = build.Places(folder / "notebooks", folder / "quizzes")
    places.sources.mkdir(parents=True)
    for name, text in lessons.items():
        (places.sources / f"{name}.py").write_text(text, encoding="utf-8")
    return places


def only(places: build.Places) -> source.Lesson:
    return build.select(places, None)[0]


# ---- reading a source ------------------------------------------------------------------------


def test_marks_are_read(toy):
    lesson = only(toy)
    assert (lesson.name, lesson.number, lesson.title) == ("07_toy", "07", "A toy lesson")
    assert [(p.kind, p.part, p.name) for p in lesson.parts] == [
        ("markdown", "title", ""),
        ("code", "", ""),
        ("code", "exercise", "07.double"),
        ("markdown", "quiz", "07.two"),
        ("code", "", ""),
    ]


@pytest.mark.parametrize(
    "old, new, said",
    [
        ("# +++ title\n", "", "no cell is marked"),
        ("# +++ title", "# +++ titel", "no mark `+++ titel`"),
        ("# +++ title", "# +++ title 07.a", "takes no name"),
        ("# +++ title", "# +++ setup", "belongs in a code cell"),
        ("# +++ exercise 07.double", "# +++ objectives", "no place in a cell marked"),
        ("# +++ exercise 07.double", "# +++ exercise double", "begins with 07"),
        ("# +++ quiz 07.two", "# +++ quiz 07.double", "used twice"),
        ("    # +++ solution\n", "", "no `# +++ solution`"),
        ("    # +++ end\n", "    # +++ solution\n", "`+++ solution` is not expected"),
        ("    # +++ solution", "# +++ solution", "not inside a function"),
        ("value = 20", "value = 20\n# +++ setup", "does not stand first"),
        ("value = 20", "# +++ setup\nvalue = 20", "leave it empty"),
        ("  That is once two.\n", "", "no feedback"),
    ],
)
def test_wrong_marks_are_refused_by_name(tmp_path, old, new, said):
    assert old in TOY
    places = course(tmp_path, {"07_toy": TOY.replace(old, new)})
    with pytest.raises(GliomakitError, match="07_toy.py") as caught:
        build.select(places, None)
    assert said in str(caught.value)


def test_an_own_stub_stands_for_an_answer_outside_a_function(tmp_path):
    text = TOY.replace(
        "    # +++ end", "    # +++ stub\n    pass  # what do you return?\n    # +++ end"
    )
    lesson = only(course(tmp_path, {"07_toy": text}))
    exercise = next(p.exercise for p in lesson.parts if p.exercise)
    assert "pass  # what do you return?" in exercise.text("stubs")
    assert "NotImplementedError" not in exercise.text("stubs")


def test_lessons_are_chosen_by_number_or_name(tmp_path):
    places = course(tmp_path, {"07_toy": TOY, "08_more": TOY.replace("07.", "08.")})
    assert [one.name for one in build.select(places, None)] == ["07_toy", "08_more"]
    for name in ("7", "07", "07_toy"):
        assert [one.name for one in build.select(places, [name])] == ["07_toy"]
    with pytest.raises(GliomakitError, match="no lesson '9'; there are 07_toy, 08_more"):
        build.select(places, ["9"])


# ---- two notebooks ---------------------------------------------------------------------------


def test_the_same_source_gives_the_same_bytes(toy):
    for variant in build.VARIANTS:
        once, again = (build.text_of(build.notebook(only(toy), variant)) for _ in range(2))
        assert once == again
        assert "lines_to_next_cell" not in once


@EACH
def test_notebooks_are_valid_and_their_cells_named_once(lesson):
    for variant in build.VARIANTS:
        built = build.notebook(lesson, variant)
        nbformat.validate(built)
        ids = [cell.id for cell in built.cells]
        assert len(set(ids)) == len(ids)
        assert not any("+++" in cell.source for cell in built.cells)


@EACH
def test_the_stub_is_the_solution_without_the_answer(lesson):
    stub, solution = (build.notebook(lesson, variant) for variant in build.VARIANTS)
    assert len(stub.cells) == len(solution.cells)
    exercises = {p.name: p.exercise for p in lesson.parts if p.exercise}
    for a, b in zip(stub.cells, solution.cells):
        mark = a.metadata.get("gliomakit", {})
        assert mark == b.metadata.get("gliomakit", {})
        if mark.get("part") != "exercise":
            assert a.source == b.source.replace("](../", "](")
            continue
        exercise = exercises[mark["name"]]
        for cell, middle in ((a, exercise.stub), (b, exercise.answer)):
            rest = (*exercise.before, *middle, *exercise.after)
            assert cell.source == "\n".join(rest).strip("\n")
        kept = {line.strip() for line in (*exercise.before, *exercise.after)}
        answer = {line.strip() for line in exercise.answer} - kept
        assert answer and not answer & {line.strip() for line in a.source.splitlines()}


def test_links_lead_from_both_folders(toy):
    stub, solution = (build.notebook(only(toy), v).cells[0].source for v in build.VARIANTS)
    assert "](glossary.md)" in stub and "](../glossary.md)" in solution
    assert "](08_more.ipynb)" in stub and "](08_more.ipynb)" in solution


def test_the_set_up_cell_is_filled_in(tmp_path):
    text = TOY.replace("value = 20", "value = 20\n\n# %%\n# +++ setup\n\n# %%", 1)
    built = build.notebook(only(course(tmp_path, {"07_toy": text})), "stubs")
    cells = [c for c in built.cells if c.metadata.get("gliomakit", {}).get("part") == "setup"]
    assert [c.source for c in cells] == [SETUP_CELL.strip("\n")]


# ---- what is kept, what is stale -------------------------------------------------------------


def fake_execution(built):
    """What an execution leaves, without a kernel."""
    for number, cell in enumerate((c for c in built.cells if c.cell_type == "code"), start=1):
        cell.execution_count = number
        cell.outputs = [nbformat.v4.new_output("stream", name="stdout", text=f"ran {number}\n")]
    return built


def test_a_second_build_changes_nothing(toy):
    assert len(build.build(only(toy), toy, fake_execution)) == 3
    assert build.stale(only(toy), toy) == []
    assert build.build(only(toy), toy, fake_execution) == []


def test_outputs_stay_when_only_words_change(toy):
    build.build(only(toy), toy, fake_execution)
    path = toy.sources / "07_toy.py"
    path.write_text(path.read_text().replace("See the", "Read the"))

    def never(built):
        raise AssertionError("executed without need")

    assert toy.built("07_toy", "stubs") in build.stale(only(toy), toy)
    build.build(only(toy), toy, never)
    built = build.load(toy.built("07_toy", "stubs"))
    assert "Read the" in built.cells[0].source and "ran 1" in built.cells[1].outputs[0].text
    assert build.stale(only(toy), toy) == []


def test_changed_code_is_executed_again(toy):
    build.build(only(toy), toy, fake_execution)
    path = toy.sources / "07_toy.py"
    path.write_text(path.read_text().replace("value = 20", "value = 21"))
    ran = []
    build.build(only(toy), toy, lambda built: ran.append(1) or fake_execution(built))
    assert ran


@pytest.mark.parametrize("what", ["edited by hand", "not run", "gone", "broken", "quiz"])
def test_whatever_is_not_what_the_source_gives_is_stale(toy, what):
    build.build(only(toy), toy, fake_execution)
    path = toy.built("07_toy", "stubs")
    if what == "edited by hand":
        path.write_text(path.read_text().replace("value = 20", "value = 22"))
    elif what == "not run":
        path.write_text(build.text_of(build.notebook(only(toy), "stubs")))
    elif what == "gone":
        path.unlink()
    elif what == "broken":
        path.write_text("{")
    else:
        path = toy.quizzes / "07_toy.json"
        path.write_text("{}")
    assert build.stale(only(toy), toy) == [path]


def test_a_notebook_that_grew_too_large_is_refused(toy, monkeypatch):
    monkeypatch.setattr(build, "LARGEST", 1000)
    with pytest.raises(GliomakitError, match="its pictures must shrink"):
        build.build(only(toy), toy, fake_execution)
    assert not toy.built("07_toy", "stubs").exists()


@EACH
def test_the_built_lesson_is_up_to_date(lesson):
    assert build.stale(lesson, PLACES) == [], "`make notebooks` was forgotten"
    for variant in build.VARIANTS:
        built = build.load(PLACES.built(lesson.name, variant))
        assert built.metadata["gliomakit"]["source"] == lesson.digest


@EACH
def test_the_built_lesson_is_small_and_tells_nothing_of_its_machine(lesson):
    for variant in build.VARIANTS:
        text = PLACES.built(lesson.name, variant).read_text(encoding="utf-8")
        assert len(text.encode()) <= build.LARGEST
        here = str(Path(__file__).parents[1])
        for told in (here, "/home/", "/root", "/tmp/", "/Users/", "site-packages", "\\u001b"):
            assert told not in text, told
    built = build.load(PLACES.built(lesson.name, "stubs"))
    for cell in built.cells:
        for output in cell.get("outputs", []):
            assert output.output_type != "error"
            assert _kernel.WIDGET not in output.get("data", {}), (
                "a host without a kernel shows none"
            )


# ---- tidy outputs ----------------------------------------------------------------------------


def test_outputs_are_tidied():
    cell = nbformat.v4.new_code_cell("x", metadata={"execution": {"iopub": "1"}})
    new = nbformat.v4.new_output
    cell.outputs = [
        new("stream", name="stderr", text="100%|##| 3/3 [00:00, 9.1it/s]"),
        new("stream", name="stdout", text="written to /tmp/abc/def/file"),
        new("display_data", data={_kernel.WIDGET: {}}),
        new("display_data", data={_kernel.WIDGET: {}, "text/plain": "a slider"}),
    ]
    built = nbformat.v4.new_notebook(cells=[cell], metadata={"widgets": {}})
    clean = _kernel.tidy(built, {"/tmp/abc": "<a>", "/tmp/abc/def": "<b>"})
    assert [dict(o.get("data", {})) or o.text for o in clean.cells[0].outputs] == [
        "written to <b>/file",
        {"text/plain": "a slider"},
    ]
    assert "widgets" not in clean.metadata and not clean.cells[0].metadata
    assert len(cell.outputs) == 4  # a copy


# ---- execution -------------------------------------------------------------------------------

FAILING = """# %% [markdown]
# +++ title
# # A lesson that fails

# %%
import os
import sys

print(sys.executable, os.environ["GLIOMAKIT_SIZE"], sep="|")

# %%
raise ValueError("a wrong turn")
"""


@pytest.fixture
def quick(monkeypatch):
    """Runs without phantoms, of a package that stays what it is."""
    monkeypatch.setattr(run, "make_phantoms", lambda: None)
    monkeypatch.setattr(run, "package_digest", lambda: "package")


def test_lessons_run_fail_report_and_are_not_run_again(tmp_path, quick, monkeypatch, capsys):
    import sys

    places = course(tmp_path, {"07_toy": TOY, "08_fails": FAILING})
    (places.notebooks / "glossary.md").write_text("# Words\n\n**Dice.** A share.\n")
    out = tmp_path / "out"
    good, bad = run.run(places=places, out=out, jobs=2)

    assert good.error is None and good.figure == "twenty"
    assert good.figures == {"value": 20, "missing": None}
    told = bad.notebook.cells[1].outputs[0].text.strip()
    assert told == f"{sys.executable}|laptop"  # this Python, whatever kernels are installed
    assert "08_fails, cell 3:" in bad.error.block and "ValueError: a wrong turn" in bad.error.block
    assert "\x1b" not in bad.error.block
    assert "a wrong turn" in capsys.readouterr().err
    lines = run.table([good, bad]).splitlines()
    assert "twenty" in lines[1] and "FAILED" in lines[2]

    index = (out / "index.html").read_text(encoding="utf-8")
    for said in ("A toy lesson", "twenty", "07_toy.html", "failed", "a wrong turn", "1 failed"):
        assert said in index
    written = (out / "07_toy.html").read_text(encoding="utf-8")
    for said in (
        "Exercise 07.double: one solution",
        "08_fails.html",
        "Twice two?",
        "glossary.html",
    ):
        assert said in written
    assert "ask(" not in written  # buttons need a kernel
    assert "A share" in (out / "glossary.html").read_text(encoding="utf-8")
    for name in ("index", "07_toy", "08_fails", "glossary"):
        assert requests_of((out / f"{name}.html").read_text(encoding="utf-8")) == []

    async def never(*arguments):
        raise AssertionError("run again without need")

    monkeypatch.setattr(run, "_all", never)
    (again,) = run.run(["07"], places=places, out=out)
    assert not again.fresh and again.figures == good.figures and again.seconds == good.seconds
    with pytest.raises(AssertionError):  # another size, another variant, a failure: all run again
        run.run(["07"], size="gpu", places=places, out=out)
    with pytest.raises(AssertionError):
        run.run(["07"], variant="stubs", places=places, out=out)
    with pytest.raises(AssertionError):
        run.run(["08"], places=places, out=out)


def finished():
    """In the place of `run._all`: lessons without a kernel; one that raises has failed."""

    async def all_of(lessons, variant, *rest):
        outcomes = []
        for lesson in lessons:
            built = fake_execution(build.notebook(lesson, variant))
            one = run.Outcome(lesson.name, lesson.title, built, 1.0, figure=f"of {lesson.name}")
            if any("raise ValueError" in cell.source for cell in built.cells):
                one.error = _kernel.LessonFailed(lesson.name, 1, "x", "a wrong turn")
            outcomes.append(one)
        return outcomes

    return all_of


def test_the_index_keeps_the_lessons_that_ran_before(tmp_path, quick, monkeypatch):
    monkeypatch.setattr(run, "_all", finished())
    places = course(
        tmp_path, {n: TOY.replace("07.", f"{n[:2]}.") for n in ("06_a", "07_b", "08_c")}
    )
    out = tmp_path / "out"

    def index() -> list[str]:
        links = re.findall(r'class="row" href="(\w+)\.html"', (out / "index.html").read_text())
        assert all((out / f"{name}.html").is_file() for name in links)
        return links

    for name, shown in (("08", ["08_c"]), ("06", ["06_a", "08_c"])):
        (ran,) = run.run([name], places=places, out=out)
        assert ran.name[:2] == name and index() == shown
    page_of_b = lambda: (out / "07_b.html").read_text()  # noqa: E731
    run.run(["07"], size="gpu", places=places, out=out)  # the others' kept runs are of another size
    assert index() == ["06_a", "07_b", "08_c"]
    assert "06_a.html" in page_of_b() and "08_c.html" in page_of_b()

    path = places.sources / "07_b.py"
    whole = path.read_text()
    path.write_text(whole.replace("value = 20", "raise ValueError"))
    run.run(["07"], places=places, out=out)
    assert (
        index() == ["06_a", "07_b", "08_c"] and "a wrong turn" in (out / "index.html").read_text()
    )
    run.run(["06"], places=places, out=out)
    assert index() == ["06_a", "08_c"]  # what an earlier run of 07 left is not what its page shows
    path.unlink()
    run.run(["08"], places=places, out=out)
    assert index() == ["06_a", "08_c"]


def test_a_lesson_runs_again_when_what_its_figures_hang_on_changed(
    toy, tmp_path, quick, monkeypatch
):
    data = tmp_path / "data"
    inner = data / "imagesTr"
    inner.mkdir(parents=True)
    (inner / "a.nii").write_bytes(b"one")
    monkeypatch.setenv("GLIOMAKIT_DATA", str(data))
    monkeypatch.setattr(run, "_all", finished())

    def fresh() -> bool:
        (outcome,) = run.run(places=toy, out=tmp_path / "out")
        return outcome.fresh

    assert fresh() and not fresh()
    (inner / "a.nii").write_bytes(b"four")  # another size
    assert fresh() and not fresh()
    os.utime(inner / "a.nii", (1, 1))
    assert fresh() and not fresh()
    (inner / "a.nii").rename(inner / "b.nii")
    assert fresh() and not fresh()
    monkeypatch.setenv("GLIOMAKIT_CACHE", str(tmp_path / "elsewhere"))
    assert fresh() and not fresh()
    monkeypatch.setattr(run, "version", lambda name: f"another {name}")
    assert fresh() and not fresh()
    monkeypatch.setenv("GLIOMAKIT_DATA", str(tmp_path / "nowhere"))
    assert fresh() and not fresh()
    monkeypatch.delenv("GLIOMAKIT_DATA")
    assert fresh() and not fresh()


def test_a_data_folder_is_looked_at_two_levels_deep(tmp_path):
    deep = tmp_path / "a" / "b"
    deep.mkdir(parents=True)
    (deep / "c").touch()
    seen = [entry.split("|")[0] for entry in run._entries(tmp_path)]
    assert seen == [".", "./a", "./a/b"]


def requests_of(html: str) -> list[str]:
    """Addresses that a browser would fetch to show the page."""
    fetched = re.findall(r"<(?:script|link|img|iframe|source)\b[^>]*?(?:src|href)=\"([^\"]+)", html)
    fetched += re.findall(r"url\(([^)]+)\)|@import\s+(\S+)", html)
    return [f for f in fetched if not str(f).startswith("data:")] + re.findall(r"<script", html)


def test_a_cell_that_hangs_or_a_kernel_that_dies_is_reported(tmp_path):
    for code, said in (("while True: pass", "did not end"), ("import os; os._exit(1)", "died")):
        built = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(code)])
        with pytest.raises(_kernel.LessonFailed, match=said) as caught:
            asyncio.run(_kernel.execute(built, tmp_path, "07_toy", seconds=1.0))
        assert "07_toy, cell 1" in caught.value.block


def test_wrong_calls_are_refused(toy):
    with pytest.raises(GliomakitError, match="no size 'huge'; known are laptop"):
        run.run(size="huge", places=toy)
    with pytest.raises(GliomakitError, match="0 lessons at once"):
        run.run(jobs=0, places=toy)


def test_the_commands_say_what_they_did(toy, monkeypatch, capsys):
    outcome = run.Outcome("07_toy", "A toy lesson", None, 3.0, figure="twenty")
    monkeypatch.setattr(run, "run", lambda lessons, size, jobs: [outcome])
    assert run.main(["07"], "laptop", 1) == 0
    table, where = capsys.readouterr().out.strip().rsplit("\n", 1)
    assert "07_toy" in table and "3.0  twenty" in table
    assert where.endswith("build/course/index.html")
    outcome.error = _kernel.LessonFailed("07_toy", 1, "x", "NameError: x")
    assert run.main() == 1

    monkeypatch.setattr(build, "here", lambda: toy)
    assert build.main(["--check"]) == 1
    assert capsys.readouterr().out.count("stale: ") == 3
    assert build.main(["--no-execute", "7"]) == 0
    assert "notebooks/07_toy.ipynb" in capsys.readouterr().out
    assert build.main(["--no-execute"]) == 0
    assert "07_toy: up to date" in capsys.readouterr().out


def test_outside_a_checkout_there_are_no_lessons(tmp_path, monkeypatch):
    monkeypatch.setattr(build, "checkout", lambda: None)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(GliomakitError, match="no lessons here"):
        build.here()
    course(tmp_path, {"07_toy": TOY})
    assert build.here().notebooks == tmp_path / "notebooks"


def test_a_missing_picture_is_drawn_and_an_unknown_one_refused(tmp_path, monkeypatch):
    from gliomakit._picture import Picture
    from gliomakit.course import pictures

    text = TOY.replace("See the", "![A picture](../images/07_toy.png)\n#\n# See the")
    places = course(tmp_path, {"07_toy": text})
    with pytest.raises(GliomakitError, match="nothing draws this picture"):
        pictures.draw_missing(only(places), places.notebooks)
    monkeypatch.setitem(pictures.DRAWN, "07_toy", Picture)
    assert pictures.draw_missing(only(places), places.notebooks)
    assert pictures.draw_missing(only(places), places.notebooks) == []


def test_the_package_digest_sees_every_file(monkeypatch):
    from gliomakit import weights

    read, whole, seen = Path.read_bytes, run.package_digest(), []
    monkeypatch.setattr(Path, "read_bytes", lambda path: seen.append(path) or read(path))
    assert run.package_digest() == whole and len(whole) == 64
    shipped = list(Path(weights.__file__).parent.glob("*.safetensors"))
    assert shipped and {*shipped, Path(weights.__file__), Path(run.__file__)} <= set(seen)
    other = lambda path: b"trained anew" if path in shipped else read(path)  # noqa: E731
    monkeypatch.setattr(Path, "read_bytes", other)
    assert run.package_digest() != whole


# ---- pages -----------------------------------------------------------------------------------


def test_mathematics_is_drawn():
    drawn = draw_all(r"A share $\frac{a}{b}$ of `$x$` costs $5 or $6.")
    assert drawn.count("<svg") == 1 and r'aria-label="\frac{a}{b}"' in drawn
    assert "`$x$`" in drawn and "costs $5 or $6" in drawn
    assert 'class="math block"' in draw_all("$$x^2$$")
    assert draw_all(r"$\nosuchthing{x}$") == r'<code class="tex">\nosuchthing{x}</code>'


def test_pictures_of_the_words_are_inside_the_page(tmp_path):
    (tmp_path / "images").mkdir()
    (tmp_path / "images" / "a.png").write_bytes(b"png")
    cell = nbformat.v4.new_markdown_cell("![a word](images/a.png) ![none](images/b.png)")
    built = nbformat.v4.new_notebook(cells=[cell])
    html = page.lesson_page(built, "A", "", tmp_path)
    assert 'src="data:image/png;base64,cG5n"' in html and 'alt="a word"' in html
