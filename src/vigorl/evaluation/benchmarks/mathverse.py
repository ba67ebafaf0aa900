"""MathVerse, testmini: 788 problems in five versions that say less in words and more in the picture
(ECCV 2024, arXiv:2403.14624).

Papers quote the mean of five versions, or one of them, as "MathVerse": each is printed. A sixth
version, text only, has no picture and is left out, and so counted in the log. Versions of a problem
are a cluster. In "Vision Only" the question is written in the picture.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from vigorl.core.media import ImageView
from vigorl.core.records import TaskRecord
from vigorl.core.scoring.math import MathMatch
from vigorl.core.scoring.reading import unwrapped
from vigorl.core.scoring.scorer import Scorer
from vigorl.data.sources.files import collect
from vigorl.data.sources.lettered import answer_of, distinct
from vigorl.data.sources.option_texts import split_options
from vigorl.data.sources.pictures import Pictures
from vigorl.data.sources.rows import Row
from vigorl.data.sources.tables import table_rows
from vigorl.evaluation.benchmarks.benchmark import Benchmark

VERSIONS = (
    "Text Dominant", "Text Lite", "Vision Intensive", "Vision Dominant", "Vision Only",
)  # fmt: skip
_CHOICES = re.compile(r"\n\s*Choices?:[ \t]*(?=\n)")
_LABEL = re.compile(r"\$*\s*[A-Za-z][A-Za-z ]*\$*\s*=\s*(.+?)\$*", re.DOTALL)
_SEVERAL = re.compile(r"[A-Z](?:\n[A-Z])+")
_MOJIBAKE = "\u63b3"  # what a wrong decoding has made of "°" in some rows
_IN_PICTURE = "Answer the question that is written in the picture."
_BY_LETTER = " Its options are there too: answer with the letter of the right one."


@dataclass(frozen=True, slots=True)
class AllLetters(Scorer):
    """1.0 for all the right letters and no other, in any order, else 0.0: ten real rows ask to
    choose two.
    """

    def score(
        self, answer: str | None, task: TaskRecord, *, view: ImageView | None = None
    ) -> float:
        text = re.sub(r"\b(?:and|options?)\b", " ", unwrapped(answer or ""), flags=re.IGNORECASE)
        letters = re.findall(r"\w+", text)
        return float(set(letters) == set(task.answer.split()))


@dataclass(frozen=True, kw_only=True)
class MathVerse(Benchmark):
    """MathVerse; the category is the version, tags are subject, subfield and kind of question.

    Attributes:
        file: The tables in the download, a glob pattern.
    """

    file: str

    def tasks(self) -> Sequence[TaskRecord]:
        make = partial(_task, pictures=Pictures(index="sample_index"))
        rows = table_rows(self.files(self.file), root=self.folder)
        made = collect(rows, make, rules=self.rules)
        return [task for task in made if task is not None]


def _task(row: Row, *, pictures: Pictures) -> TaskRecord | None:
    version = row.text("problem_version").replace("_", " ")
    images = pictures.files(row, "image")
    if not images:
        row.notes["rows have no picture (text only), and are left out"] += 1
        return None
    if version not in VERSIONS:
        row.fail(f'"problem_version" must be one of {", ".join(VERSIONS)}, got {version!r:.40}')
    question, options, answer = _parts(row)
    scorer = AllLetters() if _SEVERAL.fullmatch(answer) else MathMatch()
    problem = row.identity(key="problem_index", is_required=True)
    return row.checked(
        TaskRecord(
            id=f"{problem}:{version}",
            question=question,
            answer=answer,
            images=images,
            scorer=scorer,
            options=options,
            category=version,
            cluster=problem,
            tags=_tags(row),
            source=row.source,
        )
    )


def _parts(row: Row) -> tuple[str, tuple[str, ...], str]:
    """The question, its options and the right answer."""
    is_choice = row.text("question_type") == "multi-choice"
    question, answer = (
        row.text(key).replace(_MOJIBAKE, "°").strip() for key in ("question", "answer")
    )
    if not question:
        return _IN_PICTURE + (_BY_LETTER if is_choice else ""), (), answer
    if not is_choice or not _CHOICES.search(question) or _SEVERAL.fullmatch(answer):
        return question, (), answer if is_choice else _value(answer)
    try:
        question, options = split_options(_CHOICES.sub("", question))
    except ValueError as error:
        row.fail(f'"question": {error}')
    if answer not in options:
        answer = answer_of(row, answer, options, key="answer")
    return question, distinct(row, [one for one in options if one]), answer


def _value(answer: str) -> str:
    """The right answer to an open question without its name ("Area $=9 cm^2$", "$h=15$")."""
    match = _LABEL.fullmatch(answer)
    return match[1].strip() if match else answer


def _tags(row: Row) -> dict[str, str]:
    meta = row.values.get("metadata")
    found = meta if isinstance(meta, Mapping) else {}
    kinds = {key: str(found[key]) for key in ("subject", "subfield", "source") if key in found}
    return {**kinds, "question_type": row.text("question_type")}
