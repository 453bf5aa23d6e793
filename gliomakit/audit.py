"""The questions of lesson 12, put to a result of one's own.

    report = audit(pred, ref, training=names, images=flair)
    print(report)          # a page of text; report.wrong says whether a question was failed
    write_page(report, "audit.html")

A high Dice can have reasons other than a good network: patients on both sides of the split, slices
without tumour that count as right, a background among the classes, few patients. Each question is
answered by numbers computed here, beside what methods reach that look at little or nothing.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from .errors import GliomakitError
from .metrics import bootstrap_interval, counts, dice
from .slicewise import (
    SliceScores,
    Volumes,
    above,
    best_threshold,
    nearest_slice,
    predict_nothing,
    relative,
    slice_scores,
)

FINE, LOOK, WRONG, NOT_GIVEN = "fine", "look", "wrong", "not given"

NEIGHBOUR = "neighbour's mask (every other slice known)"

FEW = 10
"""Patients below which a bootstrap interval is too narrow."""


@dataclass(frozen=True)
class Finding:
    """One question, its verdict (fine, look, wrong, not given) and the answer in words."""

    question: str
    verdict: str
    answer: str


@dataclass(frozen=True)
class ClassDice:
    """Dice of one class: of all pixels as one mask, and the mean over the patients that have it.

    patients: how many references hold the class.
    """

    name: str
    pooled: float
    per_volume: float
    patients: int


@dataclass(frozen=True)
class Audit:
    """What `audit` found.

    scores:    the result's own, of everything that is not background.
    baselines: the same of methods that look at little; None where what they need was not given.
    classes:   background first.
    interval:  95 % bootstrap interval of the mean Dice over patients.
    """

    findings: list[Finding]
    scores: SliceScores
    baselines: dict[str, SliceScores | None]
    classes: list[ClassDice]
    interval: tuple[float, float]

    @property
    def wrong(self) -> bool:
        """Was a question failed?"""
        return any(finding.verdict == WRONG for finding in self.findings)

    def __str__(self) -> str:
        lines = [f"{len(self.scores.volumes)} patients, {self.scores.slices} slices", ""]
        lines += [f"[{f.verdict}] {f.question}\n    {f.answer}" for f in self.findings]
        lines += ["", *_columns(table(self))]
        return "\n".join(lines)


def audit(
    pred: Volumes,
    ref: Volumes,
    training: Iterable[str] | None = None,
    images: Volumes | None = None,
    classes: Sequence[str] = ("tumour",),
) -> Audit:
    """Put the questions to a result.

    pred, ref: patient -> whole numbers (slices, rows, columns). 0 is background; class k is every
               voxel of at least k, so a mask is one class, and nested regions are 1, 2, 3.
    training:  names of the patients that were trained on; None: not given.
    images:    patient -> FLAIR of the same shape, for the threshold; None: not given.
    classes:   their names.

    Raises `GliomakitError` if patients or shapes differ.

    >>> ref = {p: np.array([[[1, 1]], [[0, 0]], [[0, 0]]]) for p in ("a", "b")}
    >>> report = audit({p: np.zeros((3, 1, 2)) for p in ref}, ref, training=["b", "c"])
    >>> report.wrong, [f.verdict for f in report.findings][:3]
    (True, ['wrong', 'look', 'wrong'])
    """
    scores = slice_scores(pred, ref)
    baselines = _baselines(ref, images)
    found = [_class(pred, ref, 0, "background")]
    found += [_class(pred, ref, k, name) for k, name in enumerate(classes, start=1)]
    interval = bootstrap_interval(list(scores.volumes.values()))
    findings = [
        _split(set(ref), training),
        _empty(scores, baselines["nothing"]),
        *_rivals(scores, baselines),
        _background(found),
        _patients(scores, interval),
        _missed(pred, ref),
    ]
    return Audit(findings, scores, baselines, found, interval)


def table(report: Audit) -> list[list[str]]:
    """The result beside the baselines: a head and rows of text."""
    rows = [["", "per volume", "slices with tumour", "pooled", "per slice", "pixels right"]]
    for name, scores in {"this result": report.scores, **report.baselines}.items():
        if scores is None:
            rows.append([name, *["not given"] * 5])
            continue
        values = (scores.per_volume, scores.positive, scores.pooled, scores.per_slice)
        rows.append([name, *(f"{v:.3f}" for v in values), f"{scores.accuracy:.2%}"])
    return rows


def write_page(report: Audit, path: str | Path) -> Path:
    """The report as one HTML page that needs no network; see `_audit_page`."""
    from ._audit_page import page

    path = Path(path)
    beside = path.with_name(f".{path.name}.part")
    try:
        beside.write_text(page(report), encoding="utf-8")
        beside.replace(path)
    except OSError as error:
        beside.unlink(missing_ok=True)
        raise GliomakitError(f"cannot be written: {error.strerror or error}", where=path) from error
    return path


def _baselines(ref: Volumes, images: Volumes | None) -> dict[str, SliceScores | None]:
    found: dict[str, SliceScores | None] = {
        "nothing": slice_scores(predict_nothing(ref), ref),
        "brightest on FLAIR": None,
    }
    if images is not None:
        lacking = sorted(set(ref) - set(images))
        if lacking:
            raise GliomakitError(f"there is no image of patient {lacking[0]}")
        for name in ref:
            if np.shape(images[name]) != np.shape(ref[name]):
                raise GliomakitError(
                    f"{name}: an image of {np.shape(images[name])} for a reference of "
                    f"{np.shape(ref[name])}"
                )
        bright = {name: relative(images[name]) for name in ref}
        threshold = best_threshold(bright, ref)
        found["brightest on FLAIR"] = slice_scores(above(bright, threshold), ref)
    copied, others = {}, {}
    for name, volume in ref.items():
        known = np.arange(len(volume)) % 2 == 0
        if not known.all():
            copied[name] = nearest_slice(np.asarray(volume) > 0, known)[~known]
            others[name] = np.asarray(volume)[~known]
    found[NEIGHBOUR] = slice_scores(copied, others) if others else None
    return found


def _class(pred: Volumes, ref: Volumes, level: int, name: str) -> ClassDice:
    total, each, having = np.zeros(4, np.int64), [], 0
    for patient in ref:
        p, r = np.asarray(pred[patient]), np.asarray(ref[patient])
        c = counts(p == 0, r == 0) if level == 0 else counts(p >= level, r >= level)
        total += (c.tp, c.fp, c.fn, c.tn)
        if c.tp + c.fn:
            having += 1
            each.append(dice(c))
    tp, fp, fn, _ = (int(n) for n in total)
    pooled = 2 * tp / (2 * tp + fp + fn) if tp + fp + fn else 1.0
    return ClassDice(name, pooled, float(np.mean(each)) if each else math.nan, having)


def _split(patients: set[str], training: Iterable[str] | None) -> Finding:
    question = "Is a patient who is scored here among those trained on?"
    if training is None:
        return Finding(question, NOT_GIVEN, "Say which patients were trained on.")
    both = sorted(patients & set(training))
    if both:
        some = ", ".join(both[:3]) + (" …" if len(both) > 3 else "")
        return Finding(
            question,
            WRONG,
            f"{len(both)} of {len(patients)}: {some}. The scores say nothing of new patients.",
        )
    return Finding(question, FINE, "No name is on both sides.")


def _empty(scores: SliceScores, nothing: SliceScores) -> Finding:
    answer = (
        f"{scores.empty:.1%} of the slices hold no tumour. Predicting nothing has a mean Dice per "
        f"slice of {nothing.per_slice:.3f}, this result {scores.per_slice:.3f}; on the slices with "
        f"tumour it has {scores.positive:.3f}."
    )
    return Finding(
        "How much of a mean over slices is empty slices?",
        LOOK if scores.empty > 0.1 else FINE,
        answer,
    )


def _rivals(scores: SliceScores, baselines: Mapping[str, SliceScores | None]) -> list[Finding]:
    words = {
        "nothing": "Is it better than predicting nothing?",
        "brightest on FLAIR": "Is it better than a threshold of FLAIR, chosen on these patients?",
        NEIGHBOUR: "Is it better than copying a neighbouring slice's reference?",
    }
    found = []
    for name, rival in baselines.items():
        if rival is None:
            found.append(Finding(words[name], NOT_GIVEN, "There are no images, or no neighbours."))
            continue
        better, gain = scores.per_volume > rival.per_volume, _gain(scores, rival)
        answer = f"Dice per volume {scores.per_volume:.3f} against {rival.per_volume:.3f}."
        if name == NEIGHBOUR:
            answer += " Under a split by slice a network can copy; that much it may have for free."
            found.append(Finding(words[name], FINE if better else LOOK, answer))
        elif better and gain is not None and gain[0] <= 0:
            answer += f" By patient the gain is {gain[0]:+.3f} to {gain[1]:+.3f}: it may be none."
            found.append(Finding(words[name], LOOK, answer))
        else:
            found.append(Finding(words[name], FINE if better else WRONG, answer))
    return found


def _gain(scores: SliceScores, rival: SliceScores) -> tuple[float, float] | None:
    """The 95 % interval of the mean difference, patient by patient; None for other patients."""
    if set(scores.volumes) != set(rival.volumes):
        return None
    return bootstrap_interval([scores.volumes[n] - rival.volumes[n] for n in scores.volumes])


def _background(classes: Sequence[ClassDice]) -> Finding:
    inner = [c.per_volume for c in classes[1:] if not math.isnan(c.per_volume)]
    mean = float(np.mean(inner)) if inner else math.nan
    with_it = float(np.mean([classes[0].per_volume, *inner]))
    each = ", ".join(f"{c.name} {c.per_volume:.3f} (n = {c.patients})" for c in classes)
    return Finding(
        "Does the background lift the mean?",
        LOOK,
        f"Mean over classes {mean:.3f} without the background, {with_it:.3f} with it: {each}. "
        "Report the first.",
    )


def _patients(scores: SliceScores, interval: tuple[float, float]) -> Finding:
    n = len(scores.volumes)
    few = f" With fewer than {FEW} patients that is too narrow." if n < FEW else ""
    return Finding(
        "How sure is the mean?",
        LOOK if n < FEW else FINE,
        f"Dice per volume {scores.per_volume:.3f}, 95 % of resamplings of the {n} patients lie "
        f"between {interval[0]:.3f} and {interval[1]:.3f}.{few}",
    )


def _missed(pred: Volumes, ref: Volumes) -> Finding:
    having = [n for n in sorted(ref) if np.any(ref[n])]
    missed = [n for n in having if not np.any((np.asarray(pred[n]) > 0) & (np.asarray(ref[n]) > 0))]
    spurious = [n for n in sorted(ref) if not np.any(ref[n]) and np.any(pred[n])]
    some = f": {', '.join(missed[:3])}{' …' if len(missed) > 3 else ''}" if missed else ""
    return Finding(
        "Was a tumour missed altogether?",
        LOOK if missed or spurious else FINE,
        f"{len(missed)} of {len(having)}{some}; found where there is none in {len(spurious)} "
        "patients. A mean that leaves such patients out is too good.",
    )


def _columns(rows: Sequence[Sequence[str]]) -> list[str]:
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    return [
        "  ".join([row[0].ljust(widths[0]), *(c.rjust(w) for c, w in zip(row[1:], widths[1:]))])
        for row in rows
    ]
