"""MathVista, testmini: 1,000 questions on charts, figures and scenes (ICLR 2024, arXiv:2310.02255).

540 have options, the right answer being the text of one; the others are answered by an integer, a
number to one or two places or, twice, a list. The sentence that says which is part of the question,
as in the authors' prompt, and so is the unit. Answers are read by rules; the published scores let a
language model read them, which decides several points.

Known faults stay, as the authors keep them: problem 950 is wrong, 272 has other options in its
prompt; 587, 740 and 781 list an option twice.
"""

from __future__ import annotations

import ast
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from vigorl.core.errors import DataError
from vigorl.core.records import TaskRecord
from vigorl.core.scoring.number import NumberMatch
from vigorl.core.scoring.reading import unwrapped
from vigorl.core.scoring.scorer import Scorer
from vigorl.core.scoring.text import TextMatch
from vigorl.data.sources.files import collect, object_rows
from vigorl.data.sources.lettered import distinct
from vigorl.data.sources.pictures import Pictures
from vigorl.data.sources.rows import Row
from vigorl.data.sources.tables import table_rows
from vigorl.evaluation.benchmarks.benchmark import Benchmark

if TYPE_CHECKING:
    from vigorl.core.media import ImageView

_HINT = (
    "Hint: Please answer the question requiring {} and provide the final {}, e.g., {}, at the end."
)
_HINTS = {
    ("integer", None): _HINT.format("an integer answer", "value", "1, 2, 3"),
    ("float", 1): _HINT.format(
        "a floating-point number with one decimal place", "value", "1.2, 1.3, 1.4"
    ),
    ("float", 2): _HINT.format(
        "a floating-point number with two decimal places", "value", "1.23, 1.34, 1.45"
    ),
    ("list", None): _HINT.format(
        "a Python list as an answer", "list", "[1, 2, 3], [1.2, 1.3, 1.4]"
    ),
}
_TAGS = ("language", "source", "category", "context", "grade")


@dataclass(frozen=True, slots=True)
class NumberList(Scorer):
    """1.0 for a list of the right numbers in their order, with or without brackets, else 0.0."""

    def score(
        self, answer: str | None, task: TaskRecord, *, view: ImageView | None = None
    ) -> float:
        given, right = _read_list(answer or ""), _read_list(task.answer)
        return float(given is not None and given == right)


def _read_list(text: str) -> list[float] | None:
    text = unwrapped(text).strip().rstrip(".")
    try:
        value = ast.literal_eval(text if text.startswith("[") else f"[{text}]")
    except (ValueError, SyntaxError, RecursionError, MemoryError):
        return None
    is_list = isinstance(value, list) and all(type(one) in (int, float) for one in value)
    return [float(one) for one in value] if is_list else None


@dataclass(frozen=True, kw_only=True)
class MathVista(Benchmark):
    """MathVista; the category is the task, tags are the rest of its metadata.

    Attributes:
        file: The problems in the download, a glob pattern: Parquet that holds the pictures, or the
            authors' JSON by problem that names them.
    """

    file: str

    def tasks(self) -> Sequence[TaskRecord]:
        make = partial(_task, pictures=Pictures(index="pid"))
        files = self.files(self.file)
        if files[0].suffix == ".json":
            rows = (row for path in files for row in _by_problem(path, root=self.folder))
        else:
            rows = table_rows(files)
        return collect(rows, make, rules=self.rules)


def _by_problem(path: Path, *, root: Path) -> Iterator[Row | DataError]:
    """The rows of {"1": {...}, "2": {...}}."""
    for whole in object_rows([path]):
        if isinstance(whole, DataError):
            yield whole
            continue
        for name, values in whole.values.items():
            row = replace(whole, name=f"problem {name}", root=root, notes=Counter[str]())
            yield (
                replace(row, values=values)
                if isinstance(values, Mapping)
                else DataError(f"{row.name} must be an object", path=path)
            )


def _task(row: Row, *, pictures: Pictures) -> TaskRecord:
    answer, meta = row.text("answer").strip(), row.values.get("metadata")
    if not isinstance(meta, Mapping):
        row.fail(f'"metadata" must be an object, got {meta!r:.60}')
    column = "decoded_image" if row.values.get("decoded_image") else "image"
    options = row.texts("choices") if row.values.get("choices") is not None else ()
    if options and answer not in options:
        row.fail(f'"answer" {answer!r:.80} is none of "choices": {list(options)!s:.200}')
    hint, scorer = ("", TextMatch()) if options else _kind(row)
    unit = row.values.get("unit")
    return row.checked(
        TaskRecord(
            id=row.identity(key="pid", is_required=True),
            question=hint + row.text("question").strip() + (f" (Unit: {unit})" if unit else ""),
            answer=answer,
            images=pictures.files(row, column),
            scorer=row.scorer(scorer, answer, key="answer", image=""),
            options=distinct(row, options),
            category=str(meta.get("task", "")),
            tags={key: str(meta[key]) for key in _TAGS if key in meta},
            source=row.source,
        )
    )


def _kind(row: Row) -> tuple[str, Scorer]:
    """What is asked for in an open question, and how it is judged."""
    kind, precision = row.text("answer_type"), row.values.get("precision")
    places = None if precision is None else row.count("precision")
    hint = _HINTS.get((kind, places))
    if hint is None:
        row.fail(f'"answer_type" {kind!r:.40} with "precision" {precision!r:.20} is no known kind')
    scorer = NumberList() if kind == "list" else NumberMatch(decimals=places)
    return f"{hint}\n", scorer
