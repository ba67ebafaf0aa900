"""A benchmark that is a table and a map of its columns: one YAML, no code.

    form: csv                          # the one that is read; the first when it is left out
    forms:
      csv:
        files: questions.csv           # below data.root
        question: Question
        answer: Correct Answer
        answer_form: letter
        options: [A, B, C, D]
        pictures: Picture
      hub:
        hub_id: me/my_benchmark        # read over the network
        split: test
        question: question
        ...

The keys of a form are those of `data.sources.columns.ColumnMap`, and those of `TableForm`. Which
form is read is part of the protocol: the same benchmark in another form may have other orders of
options, or fewer rows.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from functools import cached_property
from pathlib import Path
from typing import Any

from vigorl.core.errors import ConfigError, DataError
from vigorl.core.records import TaskRecord
from vigorl.data.sources.columns import ColumnMap, read_tasks
from vigorl.data.sources.pictures import Pictures
from vigorl.data.sources.rows import Row
from vigorl.evaluation.benchmarks.benchmark import Benchmark

_LOG = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class TableForm:
    """Where the rows of one form are, and what their columns hold.

    Attributes:
        columns: What is where.
        files: Patterns of files below the download, in order; none for a `hub_id`.
        hub_id: A data set on the Hugging Face hub.
        split, config: Of the data set on the hub.
        where: Rows of other values than these, by column, are left out.
    """

    columns: ColumnMap
    files: str | Sequence[str] = ()
    hub_id: str = ""
    split: str | None = None
    config: str | None = None
    where: Mapping[str, str | Sequence[str]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for key in ("hub_id", "split", "config"):
            if not isinstance(value := getattr(self, key), str | None):
                raise ConfigError(f"{key}={value!r:.60} of a table must be a text")
        if not isinstance(self.files, str) and not _are_texts(self.files):
            raise ConfigError(f"files={self.files!r:.60} of a table must be a text or several")
        object.__setattr__(self, "files", _several(self.files or ()))
        if bool(self.files) == bool(self.hub_id):
            raise ConfigError("a table needs either files or hub_id")
        if not self.hub_id and (self.split or self.config):
            raise ConfigError("split and config of a table need hub_id; files name theirs")
        if not isinstance(self.where, Mapping) or not all(
            isinstance(value, str) or _are_texts(value) for value in self.where.values()
        ):
            raise ConfigError(f"where={self.where!r:.60} of a table must give columns their values")
        where = {str(name): _several(value) for name, value in self.where.items()}
        object.__setattr__(self, "where", where)

    @classmethod
    def of(cls, settings: Mapping[str, Any]) -> TableForm:
        """From a YAML's mapping; what is none of its own keys is the columns'."""
        own = {one.name for one in fields(cls)} - {"columns"}
        columns = {key: value for key, value in settings.items() if key not in own}
        return cls(
            columns=ColumnMap.of(columns),
            **{key: value for key, value in settings.items() if key in own},
        )


@dataclass(frozen=True, kw_only=True)
class TableBenchmark(Benchmark):
    """A benchmark of tables.

    Attributes:
        forms: The stored forms that can be read, by name.
        form: Which is; the first when "".
        image_root: Where picture names start; the folder of the download when None.
    """

    forms: Mapping[str, Mapping[str, Any]]
    form: str = ""
    image_root: str | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if not isinstance(self.forms, Mapping) or not self.forms:
            raise ConfigError(f"data.forms of {self.name} must name a form at least")
        object.__setattr__(self, "form", self.form or next(iter(self.forms)))
        if self.form not in self.forms:
            raise ConfigError(f"data.form={self.form!r} is none of {', '.join(self.forms)}")
        for name, form in self.forms.items():  # what is wrong is said before anything is read
            _table(form, f"data.forms.{name}")

    @cached_property
    def table(self) -> TableForm:
        """The form that is read."""
        return _table(self.forms[self.form], f"data.forms.{self.form}")

    @property
    def more_columns(self) -> Sequence[str]:
        """What `tasks_of` reads besides the form's columns."""
        return ()

    def tasks_of(self, row: Row, pictures: Pictures) -> Sequence[TaskRecord]:
        """The tasks of a row, as a benchmark with rules of its own makes them.

        Raises:
            DataError: The row cannot be used.
        """
        return (self.table.columns.task(row, pictures),)

    def tasks(self) -> Sequence[TaskRecord]:
        table = self.table
        return read_tasks(
            table.hub_id or self._files(table),
            table.columns,
            root=self.image_root or (None if table.hub_id else self.folder),
            split=table.split,
            config=table.config,
            where={name: _several(values) for name, values in table.where.items()},
            make=self.tasks_of,
            more_columns=self.more_columns,
            rules=self.rules,
        )

    def prepare(self) -> None:
        if not self.table.hub_id:
            super().prepare()

    def settings(self) -> dict[str, Any]:
        """Without where pictures lie, and the forms that are not read."""
        settings = super().settings()
        del settings["image_root"]
        return settings | {"forms": {self.form: settings["forms"][self.form]}}

    def _files(self, table: TableForm) -> list[Path]:
        """Raises ConfigError: there are none; names another form of which there are."""
        patterns = _several(table.files)
        if not any(any(self.folder.glob(pattern)) for pattern in patterns):
            for name, other in self.forms.items():
                there = _table(other, f"data.forms.{name}").files
                if any(any(self.folder.glob(pattern)) for pattern in _several(there)):
                    raise ConfigError(
                        f"data.root={self.root!r} holds no {' or '.join(patterns)}, but the form "
                        f"{name!r}: data.form={name} reads it"
                    )
        return [file for pattern in patterns for file in self.files(pattern)]


def whole_sets(tasks: Sequence[TaskRecord], *, by: str, size: int, skip: bool) -> list[TaskRecord]:
    """The tasks of the sets that a tag names, all of one size: pairs, or orders of one question.
    A set that has lost a member would be too easy to get wholly right.

    Args:
        tasks: All with the tag.
        by: The tag.
        size: Of every set.
        skip: Leave out sets of another size, and log them, instead of stopping.
    Raises:
        DataError: There are some and they are not left out, or no other.
    """
    sizes = Counter(task.tags[by] for task in tasks)
    odd = {name: found for name, found in sizes.items() if found != size}
    if not odd:
        return list(tasks)
    shown = ", ".join(f"{name} has {found}" for name, found in list(odd.items())[:8])
    text = f"{len(odd)} of {len(sizes)} sets by {by} have not {size} questions: {shown}"
    if not skip or len(odd) == len(sizes):
        raise DataError(f"{text}; data.skip_bad_rows=true leaves them out")
    _LOG.warning("left out: %s", text)
    return [task for task in tasks if task.tags[by] not in odd]


def _table(settings: object, key: str) -> TableForm:
    if not isinstance(settings, Mapping):
        raise ConfigError(f"{key} must be keys of a table, got {settings!r:.60}")
    try:
        return TableForm.of(settings)
    except ConfigError as error:
        raise ConfigError(f"{key}: {error}") from error


def _several(names: str | Sequence[str]) -> tuple[str, ...]:
    return (names,) if isinstance(names, str) else tuple(names)


def _are_texts(value: object) -> bool:
    return isinstance(value, list | tuple) and all(isinstance(one, str) for one in value)
