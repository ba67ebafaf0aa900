"""What a benchmark promises: its questions, how they cluster, and the numbers it is quoted by.

A benchmark is one file here, a frozen dataclass whose fields are its settings, and one YAML in
configs/benchmark, which locks prompt, turns, tools and decoding beside it. It names its scorers on
its tasks. `data.root` says where the user's download lies.

    class Mine(Benchmark):
        name = "mine"
        download = "hf download me/mine --repo-type dataset --local-dir path"

        def tasks(self):
            return read_rl_jsonl(Path(self.root) / "mine.jsonl")
"""

from __future__ import annotations

import dataclasses
import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from vigorl.core.errors import ConfigError
from vigorl.core.records import TaskRecord
from vigorl.data.plain import to_plain
from vigorl.data.splits import DataSplits
from vigorl.evaluation.report import Accuracy, QuestionOutcome
from vigorl.evaluation.statistics import clustered_interval

Metric = Callable[[Sequence[QuestionOutcome]], float]


def mean_score(questions: Sequence[QuestionOutcome]) -> float:
    """Every question counts the same (micro)."""
    return math.fsum(one.score for one in questions) / len(questions)


def mean_of_categories(questions: Sequence[QuestionOutcome]) -> float:
    """Every category counts the same (macro), however many questions it has."""
    groups: dict[str, list[QuestionOutcome]] = {}
    for one in questions:
        groups.setdefault(one.category, []).append(one)
    return math.fsum(map(mean_score, groups.values())) / len(groups)


@dataclass(frozen=True, kw_only=True)
class Benchmark(ABC):
    """A set of questions with its own protocol; a data source whose only split is the test.

    Attributes:
        root: The folder of the download.
    """

    root: str

    name: ClassVar[str]
    download: ClassVar[str]  # the command that fetches it, said when it is not there

    @abstractmethod
    def tasks(self) -> Sequence[TaskRecord]:
        """All questions, ids unique, each with its category and its scorer."""

    @property
    def metrics(self) -> Mapping[str, Metric]:
        """What it is quoted by; the first is the one that a table shows."""
        return {"overall": mean_score}

    def cluster(self, task: TaskRecord) -> str:
        """Questions that share it share their luck, such as those on one picture."""
        return "/".join(Path(task.images[0]).parts[-2:])

    def prepare(self) -> None:
        """Nothing is made.

        Raises:
            ConfigError: The download is not there; says how to get it.
        """
        if not Path(self.root).is_dir():
            raise ConfigError(
                f"data.root={self.root!r} is not a folder; get {self.name} by\n    {self.download}"
            )

    def load(self) -> DataSplits:
        return DataSplits(test_tasks=self.tasks())

    def settings(self) -> dict[str, Any]:
        """What its scores depend on, for the protocol: JSON values."""
        fields = {key: value for key, value in to_plain(self).items() if key != "root"}
        return fields | {"name": self.name, "metrics": list(self.metrics)}

    def changed_fields(self) -> list[str]:
        """The fields, besides the root, that are not what its class says."""
        return [
            field.name
            for field in dataclasses.fields(self)
            if field.name != "root" and getattr(self, field.name) != field.default
        ]

    def scores(self, questions: Sequence[QuestionOutcome]) -> dict[str, Accuracy]:
        """Every metric with its 95 % interval over clusters: Wilson's for a mean of questions that
        each are a cluster, else a bootstrap that draws whole clusters.
        """
        return {name: _scored(metric, questions) for name, metric in self.metrics.items()}


def _scored(metric: Metric, questions: Sequence[QuestionOutcome]) -> Accuracy:
    clusters = [one.cluster or one.id for one in questions]
    if metric is mean_score and len(set(clusters)) == len(questions):
        return Accuracy.of([one.score for one in questions])
    interval = clustered_interval(clusters, lambda kept: metric([questions[i] for i in kept]))
    return Accuracy(metric(questions), *interval, len(questions))
