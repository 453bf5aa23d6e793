"""Quizzes: written in a lesson's source, answered by a click in the notebook.

A question stands in a markdown cell of the source:

    # %% [markdown]
    # +++ quiz 00.nested
    # Which voxels are in the whole tumour and not in the tumour core?
    #
    # - [x] Edema.
    #   Right: the core is what is left of the tumour without its edema.
    # - [ ] Enhancing tumour.
    #   It is in all three regions.

`build` turns it into text that reads without a kernel (`to_markdown`), and a cell with buttons,
``ask("00.nested")``; the questions travel with the package, in `quizzes/`.
"""

from __future__ import annotations

import html
import json
import re
from dataclasses import asdict, dataclass
from pathlib import Path

from ..errors import GliomakitError

FOLDER = Path(__file__).parent / "quizzes"


@dataclass(frozen=True)
class Choice:
    """One answer that can be chosen, and what it tells whoever chooses it."""

    text: str
    right: bool
    feedback: str


@dataclass(frozen=True)
class Question:
    name: str
    text: str
    choices: tuple[Choice, ...]

    def letter(self, index: int) -> str:
        return "ABCDEFGH"[index]


def parse(name: str, text: str) -> Question:
    """The question of a source cell's text (without its marker).

    Raises `GliomakitError` unless there are two to eight choices, each with feedback, one right.

    >>> q = parse("00.x", "Two?\\n\\n- [x] Yes.\\n  Right.\\n- [ ] No.\\n  It is.")
    >>> q.text, q.choices[1].text, q.choices[1].feedback
    ('Two?', 'No.', 'It is.')
    """
    head, *parts = re.split(r"(?m)^- \[([ x])\] ", text)
    choices = []
    for mark, body in zip(parts[::2], parts[1::2]):
        first, _, rest = body.strip().partition("\n")
        feedback = " ".join(rest.split())
        if not feedback:
            raise GliomakitError(f"quiz {name}: the choice {first!r} has no feedback")
        choices.append(Choice(first.strip(), mark == "x", feedback))
    if not 2 <= len(choices) <= 8 or sum(c.right for c in choices) != 1:
        raise GliomakitError(
            f"quiz {name}: {len(choices)} choices, {sum(c.right for c in choices)} right",
            todo="write two to eight as `- [ ] text`, exactly one of them `- [x] text`",
        )
    if not head.strip():
        raise GliomakitError(f"quiz {name}: the question is missing")
    return Question(name, head.strip(), tuple(choices))


def to_markdown(question: Question, number: int) -> str:
    """The question as a reader sees it: choices with letters, the feedback folded away."""
    lines = [f"**Question {number}.** {question.text}", ""]
    lines += [f"- **{question.letter(i)}.** {c.text}" for i, c in enumerate(question.choices)]
    lines += ["", "<details>", "<summary>What each choice means (reads without a kernel)</summary>"]
    lines += [""]
    for i, choice in enumerate(question.choices):
        verdict = "right" if choice.right else "not right"
        lines.append(f"- **{question.letter(i)}**, {verdict}. {_reason(choice)}")
    return "\n".join([*lines, "", "</details>"])


def to_json(questions: list[Question]) -> str:
    """The text of the lesson's file in `quizzes/`; `build` writes it."""
    content = {
        q.name: {"text": q.text, "choices": [asdict(c) for c in q.choices]} for q in questions
    }
    return json.dumps(content, indent=1, ensure_ascii=False) + "\n"


def load(name: str, folder: Path = FOLDER) -> Question | None:
    """The question of that name; None if this installation has none."""
    number = name.partition(".")[0]
    for path in sorted(folder.glob(f"{number}_*.json")):
        content = json.loads(path.read_text(encoding="utf-8")).get(name)
        if content is not None:
            return Question(name, content["text"], tuple(Choice(**c) for c in content["choices"]))
    return None


def respond(question: Question, index: int) -> str:
    """The feedback of a chosen answer as HTML."""
    choice = question.choices[index]
    sign, colour, verdict = (
        ("✔", "#009E73", "Right.") if choice.right else ("✘", "#D55E00", "Not yet.")
    )
    return (
        f'<div style="border-left: 4px solid {colour}; padding: 0.3em 0.8em">'
        f"<b>{sign} {question.letter(index)}. {verdict}</b> {_inline(_reason(choice))}</div>"
    )


def _reason(choice: Choice) -> str:
    """The feedback without a "Right." of its own: the verdict stands before it."""
    if not choice.right:
        return choice.feedback
    said = re.sub(r"^(Right|Yes|Correct)[.,:;]\s*", "", choice.feedback)
    return said[:1].upper() + said[1:]


class Buttons:
    """The buttons of one question. Where no widgets are shown, it says what to do instead."""

    def __init__(self, question: Question):
        import ipywidgets as widgets

        self.question = question
        self.answer = widgets.HTML()
        self.buttons = [
            widgets.Button(
                description=question.letter(i),
                tooltip=choice.text,
                layout=widgets.Layout(width="3.5em"),
            )
            for i, choice in enumerate(question.choices)
        ]
        for index, button in enumerate(self.buttons):
            button.on_click(lambda _, index=index: self.choose(index))
        self.box = widgets.VBox([widgets.HBox(self.buttons), self.answer])

    def choose(self, index: int) -> None:
        """What a click does."""
        self.answer.value = respond(self.question, index)

    def _repr_mimebundle_(self, include=None, exclude=None) -> dict[str, object]:
        text = "Click a letter above, or open the fold."
        return {
            "text/plain": text,
            "text/html": "<i>Run this cell to answer by a click, or open the fold above.</i>",
            "application/vnd.jupyter.widget-view+json": {
                "version_major": 2,
                "version_minor": 0,
                "model_id": self.box.model_id,
            },
        }


def ask(name: str | Question) -> object:
    """Buttons for the question of that name; a sentence where there can be none."""
    question = load(name) if isinstance(name, str) else name
    if question is None:
        return _Sentence(f"This gliomakit has no question {name}; open the fold above.")
    try:
        return Buttons(question)
    except ImportError:
        return _Sentence("ipywidgets is not installed: open the fold above.")


class _Sentence(str):
    """A text that a notebook shows without quotation marks."""

    def __repr__(self) -> str:
        return str(self)


def _inline(text: str) -> str:
    """The little markdown that feedback has: code, bold, emphasis."""
    text = html.escape(text, quote=False)
    text = re.sub(r"`([^`]+)`", r"<code>\1</code>", text)
    text = re.sub(r"\*\*([^*]+)\*\*", r"<b>\1</b>", text)
    return re.sub(r"(?<![*\w])\*([^*]+)\*(?!\w)", r"<em>\1</em>", text)
