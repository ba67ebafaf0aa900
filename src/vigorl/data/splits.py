"""Where a run's records come from: each source makes its files ready once and then loads what
training and evaluation need.

A new data set is one reader in `sources/`, one class here if its split is special, and one YAML.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from vigorl.core.errors import ConfigError
from vigorl.core.records import AnswerKind, TaskRecord, TraceRecord
from vigorl.data.datasets import Record, split_by_image
from vigorl.data.sources.rl_jsonl import read_rl_jsonl
from vigorl.data.sources.sft_json import read_sft_json
from vigorl.data.sources.vstar_folder import CATEGORIES, read_vstar_folder


@dataclass(frozen=True, slots=True)
class DataSplits:
    """What a run learns from, is watched on, and is judged by; no picture stands in two splits.

    Attributes:
        train_tasks: Questions for rollouts.
        val_tasks: Held out of the training data; model selection may look at them.
        test_tasks: A benchmark; only `evaluate` looks at them.
        train_traces: Worked solutions to imitate.
        val_traces: Held-out ones.
    """

    train_tasks: Sequence[TaskRecord] = ()
    val_tasks: Sequence[TaskRecord] = ()
    test_tasks: Sequence[TaskRecord] = ()
    train_traces: Sequence[TraceRecord] = ()
    val_traces: Sequence[TraceRecord] = ()


class DataSource(Protocol):
    """Makes and loads records."""

    def prepare(self) -> None:
        """Make what is missing on disk; called on one process per node before `load`."""
        ...

    def load(self) -> DataSplits: ...


@dataclass(frozen=True, kw_only=True)
class VStarFolder:
    """A folder in V*Bench's layout: for evaluation, or to try the whole loop on a few pictures of
    your own.

    Attributes:
        root: Holds the category folders.
        categories: Which of them.
        holdout_frac: Share of pictures held out of training as `val_tasks`; all pictures are
            `test_tasks` too, as the folder is a benchmark: a score on them after training on them
            says nothing.
        seed: Of the split and of the order of options.
    """

    root: str
    categories: Sequence[str] = CATEGORIES
    holdout_frac: float = 0.5
    seed: int = 0

    def prepare(self) -> None:
        _require(self.root, "data.root")

    def load(self) -> DataSplits:
        tasks = read_vstar_folder(self.root, categories=tuple(self.categories), seed=self.seed)
        train, val = split_by_image(tasks, holdout_frac=self.holdout_frac, seed=self.seed)
        return DataSplits(train_tasks=train, val_tasks=val, test_tasks=tasks)


@dataclass(frozen=True, kw_only=True)
class ReleasedFiles:
    """The files of the ViGoRL release: RL JSONL for rollouts, SFT JSON for traces; either may be
    absent.

    Attributes:
        train_tasks: RL JSONL.
        val_tasks: RL JSONL; None holds out a share of the training pictures.
        traces: SFT JSON or JSONL.
        image_root: Where picture names start; None is each file's own folder.
        answer_kind: How answers are judged: text, point or action.
        test: Reads the benchmark, such as a partial of a reader in `sources`.
        holdout_frac: Share of pictures held out where no validation file is given.
        seed: Of the split.
    """

    train_tasks: str | None = None
    val_tasks: str | None = None
    traces: str | None = None
    image_root: str | None = None
    answer_kind: str = "text"
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
        kind = AnswerKind(self.answer_kind)
        read = lambda path: read_rl_jsonl(path, answer_kind=kind, image_root=self.image_root)  # noqa: E731
        train_tasks = read(self.train_tasks) if self.train_tasks else []
        if self.val_tasks:
            val_tasks = read(self.val_tasks)
        else:
            train_tasks, val_tasks = self._hold_out(train_tasks)
        traces = (
            read_sft_json(self.traces, answer_kind=kind, image_root=self.image_root)
            if self.traces
            else []
        )
        held_out = {image for task in val_tasks for image in task.images}
        traces = [t for t in traces if not held_out.intersection(t.task.images)]
        train_traces, val_traces = self._hold_out(traces)
        return DataSplits(
            train_tasks=train_tasks,
            val_tasks=val_tasks,
            test_tasks=self.test() if self.test else (),
            train_traces=train_traces,
            val_traces=val_traces,
        )

    def _hold_out(self, records: Sequence[Record]) -> tuple[list[Record], list[Record]]:
        if not records:
            return [], []
        return split_by_image(records, holdout_frac=self.holdout_frac, seed=self.seed)


def _require(path: str, key: str) -> None:
    if not Path(path).exists():
        raise ConfigError(f"{key}={path!r} does not exist; give the path of your copy")
