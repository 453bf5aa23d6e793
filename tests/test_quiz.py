"""Quizzes: parsed from the source, read without a kernel, answered by a click."""

from __future__ import annotations

import sys

import pytest

from gliomakit.course import build, quiz
from gliomakit.errors import GliomakitError

TEXT = """What is `2 + 2`?

- [ ] Three.
  That is one too few:
  count again.
- [x] Four.
  Right: two and two.
- [ ] <Five>.
  *Too* many & more.
"""
LESSONS = build.select(build.here(), None)


@pytest.fixture
def question():
    return quiz.parse("99.sum", TEXT)


def test_a_question_is_parsed(question):
    assert question.text == "What is `2 + 2`?"
    assert [c.text for c in question.choices] == ["Three.", "Four.", "<Five>."]
    assert [c.right for c in question.choices] == [False, True, False]
    assert question.choices[0].feedback == "That is one too few: count again."


@pytest.mark.parametrize(
    "text, said",
    [
        ("Q?\n\n- [x] A.\n- [ ] B.\n  No.", "no feedback"),
        ("Q?\n\n- [ ] A.\n  No.\n- [ ] B.\n  No.", "0 right"),
        ("Q?\n\n- [x] A.\n  Yes.\n- [x] B.\n  Yes.", "2 right"),
        ("Q?\n\n- [x] A.\n  Yes.", "1 choices"),
        ("Q?", "0 choices"),
        ("- [x] A.\n  Yes.\n- [ ] B.\n  No.", "question is missing"),
    ],
)
def test_what_is_no_question_is_refused(text, said):
    with pytest.raises(GliomakitError, match=said):
        quiz.parse("99.bad", text)


def test_it_reads_without_a_kernel(question):
    text = quiz.to_markdown(question, 2)
    assert text.startswith("**Question 2.** What is")
    shown, folded = text.split("<details>")
    for choice in question.choices:
        reason = choice.feedback.removeprefix("Right: ")
        reason = reason[:1].upper() + reason[1:]
        assert choice.text in shown and reason not in shown and reason in folded
    assert folded.count("right. ") == 3 and folded.count("Right") == 0, "said once"
    assert folded.count("not right") == 2 and folded.rstrip().endswith("</details>")


def test_questions_travel_with_the_package(question, tmp_path):
    (tmp_path / "99_sums.json").write_text(quiz.to_json([question]), encoding="utf-8")
    assert quiz.load("99.sum", tmp_path) == question
    assert quiz.load("99.other", tmp_path) is None
    assert quiz.load("98.sum", tmp_path) is None


def test_a_click_gives_the_choices_feedback(question):
    asked = quiz.ask(question)
    assert [b.description for b in asked.buttons] == ["A", "B", "C"]
    asked.buttons[0].click()
    assert "✘ A." in asked.answer.value and "count again" in asked.answer.value
    asked.buttons[1].click()
    assert "✔ B. Right.</b> Two and two." in asked.answer.value
    asked.buttons[2].click()
    assert "<em>Too</em> many &amp; more" in asked.answer.value


def test_buttons_have_words_beside_the_widget(question):
    bundle = quiz.ask(question)._repr_mimebundle_()
    assert "application/vnd.jupyter.widget-view+json" in bundle
    assert "open the fold" in bundle["text/plain"] and "open the fold" in bundle["text/html"]


def test_without_widgets_or_question_it_says_where_to_read(question, monkeypatch):
    assert "open the fold" in repr(quiz.ask("99.unknown"))
    monkeypatch.setitem(sys.modules, "ipywidgets", None)
    assert "ipywidgets is not installed" in repr(quiz.ask(question))


@pytest.mark.parametrize("lesson", LESSONS, ids=[one.name for one in LESSONS])
def test_every_lesson_has_a_quiz(lesson):
    assert 3 <= len(lesson.questions) <= 5
    for question in lesson.questions:
        assert len(question.choices) >= 3
        assert quiz.load(question.name) == question, "stale: `make notebooks`"
    # A reader who always takes the same letter learns nothing.
    right = {[c.right for c in q.choices].index(True) for q in lesson.questions}
    assert len(right) > 1
