"""We-Math, testmini: 525 problems of two or three steps, each step also asked alone (1,740
questions; arXiv:2407.01284).

A problem is mastered (it and its steps are right), learnt by rote (it is right, steps are not),
not generalised (the steps are right, it is not) or beyond what is known (neither). The score is

    (mastered + not generalised / 2) / 525

"Strict": one wrong step makes it rote; "loose": only all of them do. It is no accuracy, which is
printed beside it.
Source: the authors' four_dimensional_metrics.py, in open-compass/VLMEvalKit@34aca82.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np

from vigorl.core.records import TaskRecord
from vigorl.data.sources.files import collect
from vigorl.data.sources.lettered import answer_of, distinct, split_line
from vigorl.data.sources.pictures import Pictures
from vigorl.data.sources.rows import Row
from vigorl.data.sources.tables import table_rows
from vigorl.evaluation.benchmarks.benchmark import Benchmark
from vigorl.evaluation.metrics import SumMetric, first_ratio
from vigorl.evaluation.report import QuestionOutcome
from vigorl.evaluation.resampling import Sums, cluster_places

PROBLEM, PART, WHOLE = "problem", "part", "multi"  # two tags, and the part that is the problem
_COLUMNS = ("ID", "question", "option", "answer", "image_path", "key", "knowledge concept")
_NONE_RIGHT = re.compile(r";\s*[A-Z]\.\s*No correct answer\s*$")


@dataclass(frozen=True)
class _OfProblems(SumMetric):
    """A share of problems. Of several rollouts each part's score is its mean, and parts are taken
    to be independent.

    Attributes:
        is_loose: Whether one right step is enough for a problem that is right.
    """

    is_loose: bool = False

    def sums(self, questions: Sequence[QuestionOutcome]) -> Sums:
        places = cluster_places([one.tags[PROBLEM] for one in questions])
        whole, all_steps, no_step = (start * np.ones(places.max() + 1) for start in (0, 1, 1))
        for place, one in zip(places, questions, strict=True):
            if one.tags[PART] == WHOLE:
                whole[place] = one.score
            else:
                all_steps[place] *= one.score
                no_step[place] *= 1 - one.score
        known = 1 - no_step if self.is_loose else all_steps
        _, first = np.unique(places, return_index=True)
        terms = np.zeros((len(questions), 2))
        values = self.value(whole, known, all_steps)
        terms[first] = np.stack([values, np.ones_like(values)], axis=-1)
        return Sums(terms, first_ratio)

    def value(self, whole: np.ndarray, known: np.ndarray, all_steps: np.ndarray) -> np.ndarray:
        """[problems] from how right each is, whether its steps count as known, and whether all of
        them are right.
        """
        raise NotImplementedError


@dataclass(frozen=True)
class FourWay(_OfProblems):
    """The score that the authors quote."""

    def value(self, whole: np.ndarray, known: np.ndarray, all_steps: np.ndarray) -> np.ndarray:
        return whole * known + (1 - whole) * all_steps / 2


@dataclass(frozen=True)
class Mastered(_OfProblems):
    """The share of problems that are right, and whose steps are."""

    def value(self, whole: np.ndarray, known: np.ndarray, all_steps: np.ndarray) -> np.ndarray:
        return whole * known


@dataclass(frozen=True)
class ByRote(_OfProblems):
    """The share of problems that are right although their steps are not."""

    def value(self, whole: np.ndarray, known: np.ndarray, all_steps: np.ndarray) -> np.ndarray:
        return whole * (1 - known)


@dataclass(frozen=True)
class NotGeneralised(_OfProblems):
    """The share of problems that are wrong although all their steps are right."""

    def value(self, whole: np.ndarray, known: np.ndarray, all_steps: np.ndarray) -> np.ndarray:
        return (1 - whole) * all_steps


@dataclass(frozen=True)
class NotKnown(_OfProblems):
    """The share of problems that are wrong, as are steps of them."""

    def value(self, whole: np.ndarray, known: np.ndarray, all_steps: np.ndarray) -> np.ndarray:
        return (1 - whole) * (1 - all_steps)


@dataclass(frozen=True, kw_only=True)
class WeMath(Benchmark):
    """We-Math; the category is the part: a step, or a problem of two or three steps.

    Attributes:
        file: The questions in the download, a glob pattern.
    """

    file: str

    def tasks(self) -> Sequence[TaskRecord]:
        make = partial(_task, pictures=Pictures())
        files = self.files(self.file)
        rows = table_rows(files, root=files[0].parent, columns=_COLUMNS)
        return collect(rows, make, rules=self.rules)


def _task(row: Row, *, pictures: Pictures) -> TaskRecord:
    problem, key = row.identity(key="ID", is_required=True), row.text("key")
    match = re.fullmatch(r"([23])steps_([123]|multi)", key)
    if match is None:
        row.fail(f'"key" must be such as 2steps_1 or 3steps_multi, got {key!r:.40}')
    options = _options(row)
    return row.checked(
        TaskRecord(
            id=f"{problem}:{key}",
            question=row.text("question"),
            answer=answer_of(row, row.text("answer"), options, key="answer"),
            images=pictures.files(row, "image_path"),
            options=distinct(row, options),
            category=f"{match[1]} steps" if match[2] == WHOLE else "one step",
            cluster=problem,
            tags={PROBLEM: problem, PART: match[2], "concept": row.text("knowledge concept")},
            source=row.source,
        )
    )


def _options(row: Row) -> tuple[str, ...]:
    """Of "A. 3; B. 5; E. No correct answer", whose last letter is another one in a real row."""
    text = row.text("option")
    options = split_line(row, text, key="option")
    last = _NONE_RIGHT.search(options[-1])
    return (*options[:-1], options[-1][: last.start()], "No correct answer") if last else options
