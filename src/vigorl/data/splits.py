"""Where a run's records come from: each source makes its files ready once and then loads what
training and evaluation need.

A new data set is one reader in `sources/`, one class here if its split is special, and one YAML.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any, Protocol

from vigorl.core.errors import ConfigError, DataError
from vigorl.core.records import TaskRecord, TraceRecord
from vigorl.core.scoring import Scorer
from vigorl.data.datasets import (
    Record,
    first_copies,
    picture_files,
    split_by_image,
    without_pictures,
)
from vigorl.data.dry_pass import Asks, dry_pass
from vigorl.data.faults import STRICT, Rules, refuse
from vigorl.data.frames import Frames
from vigorl.data.sources.files import chosen
from vigorl.data.sources.rl_jsonl import read_rl_jsonl
from vigorl.data.sources.sft_json import read_sft_json
from vigorl.data.sources.vstar_folder import CATEGORIES, read_vstar_folder


@dataclass(frozen=True, slots=True)
class DataSplits:
    """What a run learns from, is watched on, and is judged by; no picture stands in two of the
    three, not even as a copy under another name.

    Attributes:
        train_tasks: Questions for rollouts.
        val_tasks: Held out of the training data; model selection may look at them.
        test_tasks: A benchmark; only `evaluate` looks at them.
        train_traces: Worked solutions to imitate.
        val_traces: Held-out ones.
        rules: Under which the source has read them, and the dry pass goes on (`data.dry_pass`).
    Raises:
        DataError: A picture stands in two of train, val and test; names it.
    """

    train_tasks: Sequence[TaskRecord] = ()
    val_tasks: Sequence[TaskRecord] = ()
    test_tasks: Sequence[TaskRecord] = ()
    train_traces: Sequence[TraceRecord] = ()
    val_traces: Sequence[TraceRecord] = ()
    rules: Rules = STRICT

    @property
    def records(self) -> Mapping[str, Sequence[Any]]:
        """The five by name."""
        return {field.name: getattr(self, field.name) for field in fields(self)[:5]}

    def __post_init__(self) -> None:
        train = picture_files(self.train_tasks) | picture_files(self.train_traces)
        val = picture_files(self.val_tasks) | picture_files(self.val_traces)
        test = picture_files(self.test_tasks)
        firsts = first_copies(train | val | test)
        train, val, test = ({firsts[file] for file in side} for side in (train, val, test))
        for names, shared in (
            ("train and val", train & val),
            ("train and test", train & test),
            ("val and test", val & test),
        ):
            if shared:
                text = f"{len(shared)} pictures are in {names}, as they are or copied byte for byte"
                refuse(DataError(text, path=min(shared)))


class DataSource(Protocol):
    """Makes and loads records."""

    def prepare(self) -> None:
        """Make what is missing on disk; called on one process per node before `load`."""
        ...

    def load(self) -> DataSplits: ...


@dataclass(frozen=True, kw_only=True)
class _OfFiles:
    """What sources that read files of others share.

    Attributes:
        skip_bad_rows, decode_pictures: See `data.faults.Rules`.
    """

    skip_bad_rows: bool = False
    decode_pictures: bool = False

    @property
    def rules(self) -> Rules:
        return Rules(self.skip_bad_rows, decode_pictures=self.decode_pictures)


@dataclass(frozen=True, kw_only=True)
class FilesOfNames(_OfFiles):
    """What those share whose files name pictures.

    Attributes:
        pictures_anywhere, frames: See `data.faults.Rules`.
    """

    pictures_anywhere: bool = False
    frames: Frames | None = None

    @property
    def rules(self) -> Rules:
        return Rules(self.skip_bad_rows, self.pictures_anywhere, self.decode_pictures, self.frames)


@dataclass(frozen=True, kw_only=True)
class VStarFolder(_OfFiles):
    """A folder in V*Bench's layout: a benchmark, or pictures of your own to try the whole loop on.

    Attributes:
        root: Holds the category folders.
        categories: Which of them.
        as_benchmark: All questions are `test_tasks`, for models that never saw the pictures;
            nothing is left to train on.
        val_frac: Share of the questions held out as `val_tasks`, by whole pictures.
        test_frac: Share held out as `test_tasks`.
        seed: Of the split and of the order of options.
    """

    root: str
    categories: Sequence[str] = CATEGORIES
    as_benchmark: bool = False
    val_frac: float = 0.25
    test_frac: float = 0.25
    seed: int = 0

    def prepare(self) -> None:
        _require(self.root, "data.root")

    def load(self) -> DataSplits:
        tasks = read_vstar_folder(
            self.root, categories=tuple(self.categories), seed=self.seed, rules=self.rules
        )
        return split_tasks(self, tasks)


@dataclass(frozen=True, kw_only=True)
class QuestionFile(FilesOfNames):
    """A benchmark that is one file: to judge on, or to train on one part and judge on another.

    Attributes:
        file: The questions.
        read: Reads them: a reader in `sources` that takes the file, `image_root` and `rules`.
        image_root: Where picture names start; None is the reader's own default.
        as_benchmark, val_frac, test_frac: As in `VStarFolder`.
        seed: Of the split.
    """

    file: str
    read: Callable[..., Sequence[TaskRecord]]
    image_root: str | None = None
    as_benchmark: bool = False
    val_frac: float = 0.25
    test_frac: float = 0.25
    seed: int = 0

    def prepare(self) -> None:
        _require(self.file, "data.file")

    def load(self) -> DataSplits:
        return split_tasks(self, self.read(self.file, image_root=self.image_root, rules=self.rules))


@dataclass(frozen=True, kw_only=True)
class ReleasedFiles(FilesOfNames):
    """The files of the ViGoRL release: RL JSONL for rollouts, SFT JSON for traces; either may be
    absent.

    Records whose pictures are also in the benchmark are left out of training and validation, those
    whose pictures are also in validation out of training; how many is logged.

    Attributes:
        train_tasks: RL JSONL.
        val_tasks: RL JSONL; None holds out a share of the training pictures.
        traces: SFT JSON or JSONL.
        image_root: Where picture names start; None is each file's own folder.
        scorer: Judges answers (configs/scorer); by their text when None.
        test: Reads the benchmark, such as a partial of a reader in `sources`.
        holdout_frac: Share of pictures held out where no validation file is given, and of traces.
        seed: Of the split.
    """

    train_tasks: str | None = None
    val_tasks: str | None = None
    traces: str | None = None
    image_root: str | None = None
    scorer: Scorer | None = None
    test: Callable[[], Sequence[TaskRecord]] | None = None
    holdout_frac: float = 0.05
    seed: int = 0

    def prepare(self) -> None:
        if not (self.train_tasks or self.traces or self.test):
            raise ConfigError(
                "name data.train_tasks, data.traces or data.test: there is nothing to read"
            )
        for key in ("train_tasks", "val_tasks", "traces"):
            if getattr(self, key):
                _require(getattr(self, key), f"data.{key}")

    def load(self) -> DataSplits:
        given = {"scorer": self.scorer, "image_root": self.image_root, "rules": self.rules}
        read = lambda path: read_rl_jsonl(path, **given) if path else []  # noqa: E731
        test_tasks = self.test() if self.test else ()
        of_test = picture_files(test_tasks)
        train_tasks = without_pictures(read(self.train_tasks), of_test, "data.train_tasks", "test")
        val_tasks = without_pictures(read(self.val_tasks), of_test, "data.val_tasks", "test")
        if train_tasks and not self.val_tasks:
            train_tasks, val_tasks = _hold_out(self, train_tasks, "data.train_tasks")

        traces = read_sft_json(self.traces, **given) if self.traces else []
        held_out = of_test | picture_files(val_tasks)
        train_traces = without_pictures(traces, held_out, "data.traces", "val or test")
        val_traces: Sequence[TraceRecord] = []
        if train_traces:
            train_traces, val_traces = _hold_out(self, train_traces, "data.traces")
        held_out = picture_files(val_tasks) | picture_files(val_traces)
        return DataSplits(
            train_tasks=without_pictures(train_tasks, held_out, "data.train_tasks", "val"),
            val_tasks=val_tasks,
            test_tasks=test_tasks,
            train_traces=train_traces,
            val_traces=val_traces,
            rules=self.rules,
        )


@dataclass(frozen=True, kw_only=True)
class WithTraces(FilesOfNames):
    """Another source's questions, with the worked solutions of a file.

    Solutions whose pictures are in the other source's validation or test are left out; how many is
    logged.

    Attributes:
        base: Gives the questions; its own traces are not used.
        path: SFT JSON or JSONL, such as the chains of a search.
        read: Reads it: `read_sft_json`, or another that takes the same.
        image_root: Where its picture names start; None is the file's own folder.
        scorer: Judges answers (configs/scorer); by their text when None.
        holdout_frac: Share of its pictures held out for the loss on traces.
        seed: Of that split.
    """

    base: DataSource
    path: str
    read: Callable[..., Sequence[TraceRecord]] = read_sft_json
    image_root: str | None = None
    scorer: Scorer | None = None
    holdout_frac: float = 0.05
    seed: int = 0

    def prepare(self) -> None:
        _require(self.path, "data.path")
        self.base.prepare()

    def load(self) -> DataSplits:
        splits = self.base.load()
        traces = self.read(
            self.path,
            scorer=self.scorer,
            image_root=self.image_root,
            keep_system=False,
            rules=self.rules,
        )
        held_out = picture_files(splits.val_tasks) | picture_files(splits.test_tasks)
        traces = without_pictures(traces, held_out, "data.path", "val or test")
        train, val = _hold_out(self, traces, "data.path")
        # what the loss is watched on is not sampled from either
        tasks = without_pictures(splits.train_tasks, picture_files(val), "data.base", "val")
        return replace(
            splits,
            train_tasks=tasks,
            train_traces=train,
            val_traces=val,
            rules=self.rules,
        )


def load_tasks(
    source: DataSource,
    split: str,
    *,
    asks: Asks | None,
    limit: int | None,
    seed: int,
    shard: str | None = None,
) -> tuple[Sequence[TaskRecord], int]:
    """The tasks of a split, and how many it has; a limited number of them is a random one, the same
    for the same seed.

    Args:
        source: Makes and loads them.
        split: Which.
        asks: What they will be asked by, for the dry pass.
        limit: At most as many; None is all.
        seed: Of the choice.
        shard: "3/8": of these, the third and every eighth after it.
    Raises:
        ConfigError: There is no such split, or nothing is left in such a shard.
        DataError: A task cannot be asked.
    """
    source.prepare()
    splits = source.load()
    named = {"test": splits.test_tasks, "val": splits.val_tasks, "train": splits.train_tasks}
    if split not in named:
        raise ConfigError(f"split must be one of {list(named)}, got {split!r}")
    tasks = dry_pass(named[split], asks, rules=splits.rules)
    kept = tasks
    if limit and limit < len(tasks):
        kept = chosen(tasks, random.Random(seed).sample(range(len(tasks)), limit))
    return kept if shard is None else _part(kept, shard), len(tasks)


def _part(tasks: Sequence[TaskRecord], shard: str) -> Sequence[TaskRecord]:
    number, of = map(int, shard.split("/"))
    if number > min(of, len(tasks)):
        raise ConfigError(f"shard={shard}: there is no such part of {len(tasks)} questions")
    return tasks[number - 1 :: of]


class Splitting(Protocol):
    """See `VStarFolder`."""

    @property
    def rules(self) -> Rules: ...
    @property
    def as_benchmark(self) -> bool: ...
    @property
    def val_frac(self) -> float: ...
    @property
    def test_frac(self) -> float: ...
    @property
    def seed(self) -> int: ...


def split_tasks(source: Splitting, tasks: Sequence[TaskRecord]) -> DataSplits:
    """Train, validation and test by whole pictures, or all of it test.

    Raises:
        ConfigError: Nothing would be left to train on.
        DataError: There are too few pictures.
    """
    rules = source.rules
    if source.as_benchmark:
        return DataSplits(test_tasks=tasks, rules=rules)
    rest_frac = 1 - source.test_frac
    if not 0 <= source.val_frac < rest_frac:
        raise ConfigError(
            f"data.val_frac={source.val_frac} and data.test_frac={source.test_frac} leave nothing "
            "to train on; data.as_benchmark=true makes all questions the test"
        )
    try:
        rest, test = split_by_image(tasks, holdout_frac=source.test_frac, seed=source.seed)
        train, val = split_by_image(
            rest, holdout_frac=source.val_frac / rest_frac, seed=source.seed
        )
    except DataError as error:
        text = (
            f"too few pictures for train, val and test ({error}); data.as_benchmark=true makes all "
            "questions the test, data.val_frac=0 or data.test_frac=0 leaves one of them empty"
        )
        refuse(DataError(text))
        return DataSplits(train_tasks=tasks, rules=rules)
    return DataSplits(train_tasks=train, val_tasks=val, test_tasks=test, rules=rules)


def _hold_out(
    source: ReleasedFiles | WithTraces, records: Sequence[Record], key: str
) -> tuple[Sequence[Record], Sequence[Record]]:
    """Train and validation by whole pictures.

    Raises:
        DataError: There are not two pictures; says what to set.
    """
    try:
        return split_by_image(records, holdout_frac=source.holdout_frac, seed=source.seed)
    except DataError as error:
        raise DataError(
            f"{key}: {error}; data.holdout_frac={source.holdout_frac} needs two pictures or more, "
            "data.holdout_frac=0 trains on all records and watches none"
        ) from error


def _require(path: str, key: str) -> None:
    if not Path(path).exists():
        raise ConfigError(f"{key}={path!r} does not exist; give the path of your copy")
