"""Your own questions: a table with a question, an answer and a picture per row (`data=my_file`).

A file (JSON lines, JSON, CSV, TSV, Parquet), a folder of these, one of `Dataset.save_to_disk`, a
data set of the Hugging Face hub; or the rows that a program holds. Columns that nobody names are
guessed by their names, and said.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any

from vigorl.core.errors import ConfigError, DataError
from vigorl.core.records import TaskRecord
from vigorl.core.scoring import Scorer
from vigorl.core.scoring.text import TextMatch
from vigorl.data.datasets import split_by_image
from vigorl.data.faults import Rules, refuse
from vigorl.data.sources.columns import ColumnMap
from vigorl.data.sources.files import collect
from vigorl.data.sources.given_rows import is_saved, load_saved, rows_of
from vigorl.data.sources.guessed_columns import Guess, guess_columns
from vigorl.data.sources.pictures import Pictures
from vigorl.data.sources.rows import BoxForm, Row, root_of
from vigorl.data.sources.tables import FORMATS, JSON, JSONL, is_hub_id, table_rows
from vigorl.data.splits import DataSplits, FilesOfNames, split_tasks

_LOG = logging.getLogger(__name__)
_FIRST = 32  # rows that are read to guess from
_SPLITS = {
    "train": ("train", "training"),
    "val": ("val", "valid", "validation", "dev"),
    "test": ("test", "testing"),
}
_SPLIT_OF = {word: split for split, words in _SPLITS.items() for word in words}
_WORD = re.compile(rf"(?<![a-z0-9])({'|'.join(_SPLIT_OF)})(?![a-z0-9])", re.I)


@dataclass(frozen=True, kw_only=True)
class OwnTable(FilesOfNames):
    """A table of one's own.

    Splits are taken from the table where it has them (files or a data set's parts named train, val
    or test, or a column of these words); what it has not is held out of its training questions, by
    whole pictures.

    Attributes:
        path: The table, several, or rows.
        question, answer, image, options, boxes, id, category, split: Columns; None guesses, ""
            is none. Of `image` and `options` also several.
        answer_form: Of a right option: "text", "letter" or "index"; None looks.
        box_form: Of boxes, in pixels or as shares of the picture; None looks whether only one fits.
        scorer: Judges answers to questions without options (configs/scorer).
        image_root: Where picture names start; None is the file's own folder.
        pictures_optional: Rows whose picture cell is empty are questions without a picture; else
            they are refused. A table without such a column has none anyway.
        as_benchmark: All questions are the test, and nothing is left to train on.
        val_frac, test_frac: Held out where the table has no such split.
        seed: Of that.
    """

    path: Any
    question: str | None = None
    answer: str | None = None
    image: str | Sequence[str] | None = None
    options: str | Sequence[str] | None = None
    boxes: str | None = None
    id: str | None = None
    category: str | None = None
    split: str | None = None
    answer_form: str | None = None
    box_form: BoxForm | None = None
    scorer: Scorer | None = None
    image_root: str | None = None
    pictures_optional: bool = False
    as_benchmark: bool = False
    val_frac: float = 0.1
    test_frac: float = 0.2
    seed: int = 0

    @property
    def rules(self) -> Rules:
        """Rows that a program holds may name pictures anywhere."""
        is_held = not isinstance(self.path, str)
        return replace(super().rules, pictures_anywhere=self.pictures_anywhere or is_held)

    def prepare(self) -> None:
        for path in [self.path] if isinstance(self.path, str) else ():
            if not Path(path).exists() and not is_hub_id(path):
                raise ConfigError(f"data.path={path!r} does not exist; give the path of your copy")

    def load(self) -> DataSplits:
        return self.split_up(self.tasks_by_split())

    def split_up(self, found: Mapping[str, Sequence[TaskRecord]]) -> DataSplits:
        """What is learned from, watched and judged.

        Args:
            found: By split; "" are those of no split.
        """
        rest = list(found.get("", ()))
        if self.as_benchmark:
            every = [task for tasks in found.values() for task in tasks]
            return DataSplits(test_tasks=every, rules=self.rules)
        if not any(found.get(split) for split in _SPLITS):
            return split_tasks(self, rest)
        train: Sequence[TaskRecord] = [*found.get("train", ()), *rest]
        val = found.get("val", ())
        if train and not val:
            train, val = self._held_out(train)
        test = found.get("test", ())
        return DataSplits(train_tasks=train, val_tasks=val, test_tasks=test, rules=self.rules)

    def _held_out(
        self, train: Sequence[TaskRecord]
    ) -> tuple[Sequence[TaskRecord], Sequence[TaskRecord]]:
        try:
            return split_by_image(train, holdout_frac=self.val_frac, seed=self.seed)
        except DataError as error:
            refuse(DataError(f"no questions to watch ({error}); data.val_frac=0 goes without"))
            return train, ()

    def tasks_by_split(self) -> dict[str, list[TaskRecord]]:
        """All that can be used, by the split that the table gives; "" where it gives none.

        Raises:
            DataError: Names every row that cannot be used, or a table without rows.
        """
        found: dict[str, list[TaskRecord]] = {}
        pictures = Pictures(is_beside=isinstance(self.path, str))
        for split, part in self._parts():
            guess = self._guess(part)
            _LOG.info("%s: %s", part.name, guess.told)
            made = collect(
                self._rows(part, guess), lambda row, g=guess: self._task(row, g, pictures),
                rules=self.rules,
            )  # fmt: skip
            for own, task in made:
                found.setdefault(own or split, []).append(task)
        self._check_ids(found)
        return found

    def told(self) -> list[str]:
        """What is read from where, a line per table."""
        return [f"{part.name}: {self._guess(part).told}" for _, part in self._parts()]

    def _guess(self, part: _Part) -> Guess:
        first = list(islice(part.rows(None), _FIRST))
        head = [row for row in first if isinstance(row, Row)]
        if not head:
            why = next((row for row in first if isinstance(row, DataError)), None)
            raise why or DataError("there is no row that can be read", path=part.name)
        names = ("question", "answer", "image", "options", "boxes", "id", "category", "split")
        given = {name: getattr(self, name) for name in names}
        return guess_columns(head, given, answer_form=self.answer_form, box_form=self.box_form)

    def _parts(self) -> Iterator[tuple[str, _Part]]:
        """The tables, each with the split that its name says."""
        root = None if self.image_root is None else Path(self.image_root)
        if not isinstance(self.path, str):
            yield from _given(self.path, name="data", root=root)
        elif Path(self.path).is_dir() and is_saved(self.path):
            yield from _given(load_saved(self.path), name=self.path, root=root or Path(self.path))
        elif Path(self.path).is_dir():
            for file in files_in(Path(self.path)):
                word = _WORD.search(file.relative_to(self.path).as_posix())
                split = _SPLIT_OF[word[1].lower()] if word else ""
                yield split, _Part(str(file), root=root_of(file, root))
        elif is_hub_id(self.path) and not Path(self.path).exists():
            yield "", _Part(self.path, root=root, hub_split="train")
        else:
            yield "", _Part(self.path, root=root_of(self.path, root))

    def _rows(self, part: _Part, guess: Guess) -> Iterator[Row | DataError]:
        """With empty cells where a row of JSON has no such key."""
        split = guess.names.get("split")
        needed = [*self._map(guess).columns, *([split] if isinstance(split, str) else [])]
        for row in part.rows(needed):
            if isinstance(row, Row):
                row = replace(row, values={**dict.fromkeys(needed), **row.values})
            yield row

    def _task(self, row: Row, guess: Guess, pictures: Pictures) -> tuple[str, TaskRecord]:
        split = ""
        if isinstance(name := guess.names.get("split"), str):
            word = str(row.values.get(name) or "").strip().lower()
            if word and word not in _SPLIT_OF:
                row.fail(f"{name!r} is {word!r:.40}, none of {', '.join(_SPLIT_OF)}")
            split = _SPLIT_OF.get(word, "")
        task = self._map(guess).task(row, pictures)
        if (image := guess.names.get("image")) and not (task.images or self.pictures_optional):
            row.fail(
                f"{image!r} is empty: data.pictures_optional=true asks such rows without a picture"
            )
        return split, task

    def _map(self, guess: Guess) -> ColumnMap:
        names: dict[str, Any] = {key: one for key, one in guess.names.items() if key != "split"}
        return ColumnMap(
            **{{"image": "pictures"}.get(key, key): one for key, one in names.items()},
            answer_form=guess.answer_form,  # pyright: ignore[reportArgumentType]
            box_form=guess.box_form or "xyxy",
            options_in_question=guess.in_question,
            scorer=self.scorer or TextMatch(),
        )

    def _check_ids(self, found: Mapping[str, Sequence[TaskRecord]]) -> None:
        seen: dict[str, TaskRecord] = {}
        for task in (task for tasks in found.values() for task in tasks):
            if task.id in seen:
                text = f"the id {task.id!r:.80} stands twice, also at {seen[task.id].source}; "
                refuse(DataError(f"{text}data.id='' numbers the rows", path=task.source))
            seen[task.id] = task


@dataclass(frozen=True, slots=True)
class _Part:
    """One table: a file, a data set on the hub, or rows that are held.

    Attributes:
        name: Its path, or what to call it.
        root: Where picture names start.
        held: The rows; None where they are read.
        hub_split: Of a data set on the hub.
    """

    name: str
    root: Path | None
    held: Any = None
    hub_split: str | None = None

    def rows(self, columns: Sequence[str] | None) -> Iterable[Row | DataError]:
        """Of Parquet, TSV and CSV without the columns that are not needed."""
        if self.held is not None:
            return rows_of(self.held, name=self.name, root=self.root)
        needed = columns
        if Path(self.name).suffix.lower() in (JSON, JSONL):
            needed = None  # a key may be absent from a row
        return table_rows(self.name, root=self.root, split=self.hub_split, columns=needed)


def files_in(folder: Path) -> list[Path]:
    """The tables in a folder, sorted: Parquet at any depth, or else files of another format in it.

    Raises:
        DataError: There is none.
    """
    for pattern in ("**/*.parquet", *(f"*{ending}" for ending in FORMATS)):
        found = [
            file
            for file in sorted(folder.glob(pattern))
            if not any(part.startswith(".") for part in file.relative_to(folder).parts)
        ]
        if found:
            return found
    raise DataError(f"no file in it ends in one of {', '.join(FORMATS)}", path=folder)


def _given(table: Any, *, name: str, root: Path | None) -> Iterator[tuple[str, _Part]]:
    """Rows, or a dict of them by split."""
    if not isinstance(table, Mapping):
        yield "", _Part(name, root, table)
        return
    for key, rows in table.items():
        if str(key).lower() not in _SPLIT_OF:
            raise ConfigError(f"data: {key!r} is no split; there are {', '.join(_SPLIT_OF)}")
        yield _SPLIT_OF[str(key).lower()], _Part(f"{name}/{key}", root, rows)
