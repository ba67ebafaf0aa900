"""Which column of a table holds what: makes any table of questions readable without code.

    ColumnMap(question="question", answer="answer", answer_form="letter", options=["A", "B", "C"],
              pictures="image", id="index", category="category")

A name is a column's, or a pattern with columns in braces ("MMVP Images/{Index}.jpg").
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, Literal, NoReturn, get_args

from vigorl.core.errors import ConfigError, DataError
from vigorl.core.geometry import Box
from vigorl.core.records import TaskRecord
from vigorl.core.scoring.scorer import Scorer
from vigorl.core.scoring.text import TextMatch
from vigorl.core.trace import IMAGE_SLOT
from vigorl.data.faults import STRICT, Rules
from vigorl.data.sources.files import collect
from vigorl.data.sources.option_texts import (
    letter_index,
    listed_options,
    split_options,
    without_labels,
)
from vigorl.data.sources.pictures import Pictures
from vigorl.data.sources.rows import BoxForm, Row, boxes_of
from vigorl.data.sources.tables import no_such_column, table_rows

AnswerWriting = Literal["letter", "index", "text"]

_FIELD = re.compile(r"\{([^{}]*)\}")
_NUMBERED_SLOT = re.compile(r"<\s*image[ _]?(\d+)\s*>")
_GAP = "options are empty, with others behind them: asked without"


@dataclass(frozen=True, kw_only=True)
class ColumnMap:
    """From a row to a task.

    Attributes:
        question: The question. Slots in it ("<image 1>") become the places of the pictures where
            each is named once and in order; else they become words ("image 1").
        answer: The right answer.
        answer_form: How it is written where there are options: "letter" ("B", "(b)"), "index" (from
            0), or "text", the option's own.
        options: A column with a list of them, or with one written as a text; or a column for each,
            of which empty ones are left out; "" when there are none. Letters in front of them
            ("(A) red") are taken off.
        options_in_question: They stand at the end of the question, each on a line with its letter;
            a question that ends otherwise is open.
        boxes: What must be seen to answer, on the first picture: a column with one box or a list
            of them; "" when there are none.
        box_form: How they are written, in pixels or as shares of the picture.
        pictures: Columns whose cells `Pictures` understands, in order; patterns name files.
        id: Unique in the table; "": file and row.
        category, cluster: See `TaskRecord`.
        tags: The name of a tag, and its column.
        strip: Regular expressions of what is taken out of the question, such as a request that the
            prompt makes anyway.
        scorer: Judges answers to questions without options.
    """

    question: str
    answer: str
    answer_form: AnswerWriting = "text"
    options: str | Sequence[str] = ""
    options_in_question: bool = False
    pictures: str | Sequence[str] = ()
    boxes: str = ""
    box_form: BoxForm = "xyxy"
    id: str = ""
    category: str = ""
    cluster: str = ""
    tags: Mapping[str, str] = field(default_factory=dict)
    strip: Sequence[str] = ()
    scorer: Scorer = field(default_factory=TextMatch)

    def __post_init__(self) -> None:
        if self.answer_form not in get_args(AnswerWriting):
            _refuse("answer_form", self.answer_form, f"one of {', '.join(get_args(AnswerWriting))}")
        if self.box_form not in get_args(BoxForm):
            _refuse("box_form", self.box_form, f"one of {', '.join(get_args(BoxForm))}")
        for key in ("question", "answer", "boxes", "id", "category", "cluster"):
            if not isinstance(getattr(self, key), str):
                _refuse(key, getattr(self, key), "the name of a column")
        for key in ("pictures", "strip"):
            object.__setattr__(self, key, _names(key, getattr(self, key)))
        if not isinstance(self.options, str):
            object.__setattr__(self, "options", _names("options", self.options))
        if not isinstance(self.tags, Mapping) or not all(
            isinstance(one, str) for one in (*self.tags, *self.tags.values())
        ):
            _refuse("tags", self.tags, "names of tags with their columns")
        if not isinstance(self.scorer, Scorer):
            _refuse("scorer", self.scorer, "a scorer (_target_: ...)")
        if self.options and self.options_in_question:
            _refuse("options", self.options, "left out where options_in_question is true")
        for pattern in self.strip:
            try:
                re.compile(pattern)
            except re.error as error:
                _refuse("strip", pattern, f"a regular expression ({error})")

    @classmethod
    def of(cls, settings: Mapping[str, Any]) -> ColumnMap:
        """From a YAML's mapping.

        Raises:
            ConfigError: A key is unknown or missing, or its value is no name; says which there are.
        """
        known = {one.name for one in fields(cls)}
        if unknown := sorted(map(str, settings.keys() - known)):
            raise ConfigError(f"{', '.join(unknown)} of a table: no such key; {_keys(known)}")
        if missing := sorted({"question", "answer"} - settings.keys()):
            raise ConfigError(f"a table needs the key {missing[0]}; {_keys(known)}")
        return cls(**settings)

    @property
    def columns(self) -> tuple[str, ...]:
        """All that it reads."""
        options = (self.options,) if isinstance(self.options, str) else self.options
        names = (
            self.question, self.answer, *options, *self.pictures, self.boxes, self.id,
            self.category, self.cluster, *self.tags.values(),
        )  # fmt: skip
        found = (_FIELD.findall(name) if "{" in name else [name] for name in names if name)
        return tuple(dict.fromkeys(name for some in found for name in some))

    def task(self, row: Row, pictures: Pictures) -> TaskRecord:
        """The task of a row.

        Raises:
            DataError: A cell is missing or does not fit; names file and row.
        """
        images = tuple(file for name in self.pictures for file in _files(row, name, pictures))
        question, options, letters = self._asked(row)
        question = _with_slots(question, row, num_pictures=len(images))
        answer, scorer = _text(row, self.answer), self.scorer
        if options:
            answer, scorer = self._option(answer, options, letters, row), TextMatch()
        else:
            scorer = row.scorer(scorer, answer, key=self.answer, image=images[0] if images else "")
        return row.checked(
            TaskRecord(
                id=_text(row, self.id) if self.id else _place(row),
                question=question,
                answer=answer,
                images=images,
                scorer=scorer,
                options=options,
                targets=self._targets(row, images),
                category=_text(row, self.category) if self.category else "",
                cluster=_text(row, self.cluster) if self.cluster else "",
                tags={tag: _text(row, name) for tag, name in self.tags.items()},
                source=row.source,
            )
        )

    def _asked(self, row: Row) -> tuple[str, tuple[str, ...], tuple[int, ...]]:
        """The question, its options, and the place of each among the letters."""
        question = _text(row, self.question)
        for pattern in self.strip:
            question = re.sub(pattern, "", question)
        options: Iterable[str] = ()
        try:
            if self.options_in_question:
                question, options = split_options(question)
            elif isinstance(self.options, str):
                options = _listed(row, self.options) if self.options else ()
            else:
                options = [_text(row, name).strip() for name in self.options]
        except ValueError as error:
            if isinstance(error, DataError):
                raise
            row.fail(f"{self.options or self.question!r}: {error}")
        held = [(place, text) for place, text in enumerate(options) if text]
        if held and held[-1][0] >= len(held):
            row.notes[_GAP] += 1
        texts = without_labels([_unslotted(text) for _, text in held])
        return question.strip(), texts, tuple(place for place, _ in held)

    def _targets(self, row: Row, images: Sequence[str]) -> tuple[Box, ...]:
        boxes = boxes_of(row, self.boxes) if self.boxes else ()
        if not boxes:
            return ()
        if not images:
            row.fail(f"{self.boxes!r} holds boxes, but the row has no picture")
        size = row.picture_size(images[0])
        return tuple(row.box(box, form=self.box_form, key=self.boxes, on=size) for box in boxes)

    def _option(self, answer: str, options: Sequence[str], letters: Sequence[int], row: Row) -> str:
        """The text of the right option."""
        if self.answer_form == "text":
            answer = _unslotted(answer).strip()
            found = [one for one in options if one.strip() == answer]
            found = found or [one for one in options if one.casefold() == answer.casefold()]
            if len(found) != 1:
                row.fail(f"{self.answer!r} is {answer!r:.80}, none of {list(options)!s:.200}")
            return found[0]
        try:
            place = letter_index(answer) if self.answer_form == "letter" else int(answer)
        except ValueError:
            what = "an option's letter" if self.answer_form == "letter" else "an option's index"
            row.fail(f"{self.answer!r} must be {what}, got {answer!r:.40}")
        if place not in letters:
            row.fail(
                f"{self.answer!r} is {answer!r}, but there is no such option: {options!s:.200}"
            )
        return options[letters.index(place)]


def read_tasks(
    path: str | Path | Sequence[str | Path],
    columns: ColumnMap,
    *,
    root: str | Path | None = None,
    split: str | None = None,
    config: str | None = None,
    where: Mapping[str, Sequence[str]] | None = None,
    make: Callable[[Row, Pictures], Sequence[TaskRecord]] | None = None,
    more_columns: Sequence[str] = (),
    rules: Rules = STRICT,
) -> list[TaskRecord]:
    """Every row of a table as a task; pictures that stand in it become files on the way.

    Args:
        path, root, split, config: See `tables.table_rows`.
        columns: What is where.
        where: Rows of other values than these, by column, are left out.
        make: The tasks of a row, in place of the one that `columns` makes.
        more_columns: What `make` reads besides.
        rules: What becomes of bad rows.
    Raises:
        DataError: As `table_rows`; or names every row that cannot be used; or all are left out.
    """
    where = where or {}
    needed = tuple(dict.fromkeys((*columns.columns, *more_columns, *where)))
    pictures = Pictures()

    def tasks_of(row: Row) -> Sequence[TaskRecord]:
        return make(row, pictures) if make else (columns.task(row, pictures),)

    rows = table_rows(path, root=root, split=split, config=config, columns=needed)
    found = collect(_kept(rows, where), tasks_of, rules=rules)
    tasks = [task for several in found for task in several]
    if not tasks:
        only = " and ".join(f"{name}={'|'.join(values)}" for name, values in where.items())
        raise DataError(f"there is no row{f' of {only}' if only else ''}", path=path)
    return tasks


def _kept(
    rows: Iterable[Row | DataError], where: Mapping[str, Sequence[str]]
) -> Iterator[Row | DataError]:
    for row in rows:
        if isinstance(row, DataError) or all(
            _text(row, name) in values for name, values in where.items()
        ):
            yield row


def _files(row: Row, name: str, pictures: Pictures) -> tuple[str, ...]:
    if "{" in name:
        return (row.picture(_text(row, name)),)
    return pictures.files(row, name)


def _text(row: Row, name: str) -> str:
    """A cell as text, or a pattern's; "" for an empty one."""
    if "{" in name:
        return _FIELD.sub(lambda match: _text(row, match[1]), name)
    if name not in row.values:
        row.fail(no_such_column([name], row.values))
    value = row.values[name]
    if isinstance(value, bool) or not isinstance(value, str | int | float | None):
        row.fail(f"{name!r} must be a text or a number, got {value!r:.80}")
    return "" if value is None else str(value)


def _listed(row: Row, name: str) -> tuple[str, ...]:
    value = row.values.get(name)
    if isinstance(value, list | tuple):
        return tuple("" if one is None else str(one) for one in value)
    return listed_options(_text(row, name))


def _place(row: Row) -> str:
    return f"{row.path.stem}:{row.line or row.name.rpartition(' ')[2]}"


def _with_slots(question: str, row: Row, *, num_pictures: int) -> str:
    """A question with a slot for each picture, or with none."""
    named = [int(number) for number in _NUMBERED_SLOT.findall(question)]
    if not named:
        return question
    if max(named) > num_pictures or min(named) < 1:
        row.fail(f"the question names <image {max(named)}>, but has {num_pictures} pictures")
    if named == list(range(1, num_pictures + 1)):
        return _NUMBERED_SLOT.sub(IMAGE_SLOT, question)
    return _unslotted(question)


def _unslotted(text: str) -> str:
    return _NUMBERED_SLOT.sub(r"image \1", text)


def _names(key: str, value: object) -> tuple[str, ...]:
    names = (value,) if isinstance(value, str) else value
    if not isinstance(names, list | tuple) or not all(isinstance(one, str) for one in names):
        _refuse(key, value, "a text or a list of texts")
    return tuple(name for name in names if name)


def _refuse(key: str, value: object, expected: str) -> NoReturn:
    raise ConfigError(f"{key}={value!r:.60} of a table: it must be {expected}")


def _keys(known: Iterable[str]) -> str:
    return f"keys: {', '.join(sorted(known))}"
