"""What a benchmark promises: its questions, how they cluster, and the numbers it is quoted by.

A benchmark is one YAML in configs/benchmark, which locks data, prompt, turns, tools, decoding and
metrics together, and one class here that reads its download: `table.TableBenchmark` where a map of
columns says it all, else a class of its own. It names its scorers on its tasks. `data.root` says
where the user's download lies.

    @dataclass(frozen=True, kw_only=True)
    class Mine(Benchmark):
        def tasks(self):
            return read_rl_jsonl(self.folder / "mine.jsonl", rules=self.rules)
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

from vigorl.core.errors import ConfigError
from vigorl.core.protocols import Engine
from vigorl.core.records import TaskRecord
from vigorl.core.rollout import Rollout
from vigorl.data.faults import Rules
from vigorl.data.option_orders import OptionOrder, in_orders
from vigorl.data.plain import to_plain
from vigorl.data.splits import DataSplits
from vigorl.evaluation.metrics import Mean, Metric
from vigorl.evaluation.report import Accuracy, QuestionOutcome
from vigorl.evaluation.statistics import clustered_interval
from vigorl.rollout.collector import build_dialogs, collect
from vigorl.rollout.environment import Environment

WHERE = (  # settings that no score depends on: where things lie
    "root", "download", "download_name", "sites", "states", "resets", "screens", "at_once",
    "trained_on",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Asked:
    """What asking a benchmark's questions has given.

    Attributes:
        rollouts: All, to record, reward and show.
        judged: Which of them are what came out, by index: those of the first question first,
            equally many each. The others are earlier steps of theirs.
    """

    rollouts: list[Rollout]
    judged: Sequence[int]


def ask(
    engine: Engine,
    environment: Environment,
    tasks: Sequence[TaskRecord],
    *,
    num_samples: int,
    phase: str,
    run_seed: int,
) -> Asked:
    """Ask every question in a dialog of its own, `num_samples` times; see `runner.evaluate`."""
    dialogs = build_dialogs(
        environment, tasks, group_size=num_samples, phase=phase, run_seed=run_seed
    )
    rollouts = collect(engine, dialogs, phase=phase).rollouts
    return Asked(rollouts, range(len(rollouts)))


@dataclass(frozen=True, kw_only=True)
class Benchmark(ABC):
    """A set of questions with its own protocol; a data source whose only split is the test.

    Attributes:
        name: As in its YAML's file name.
        root: The folder of the download, or one that holds it as `download_name`.
        download: The command that fetches it into "path", said when it is not there.
        download_name: What the download's folder is called among those of other benchmarks; the
            name when "".
        option_order: In which orders options are asked.
        option_seed: Seed of the order, where they are shuffled.
        metrics: What it is quoted by; the first is the one that a table shows.
        skip_bad_rows, pictures_anywhere, decode_pictures: See `data.faults.Rules`.
        in_episodes: Whether a question takes several dialogs, which are a group.
    """

    in_episodes: ClassVar[bool] = False

    name: str
    root: str
    download: str
    download_name: str = ""
    option_order: OptionOrder = OptionOrder.AS_WRITTEN
    option_seed: int = 0
    metrics: Mapping[str, Metric] = field(default_factory=lambda: {"overall": Mean()})
    skip_bad_rows: bool = False
    pictures_anywhere: bool = False
    decode_pictures: bool = False

    def __post_init__(self) -> None:
        try:
            object.__setattr__(self, "option_order", OptionOrder(self.option_order))
        except ValueError:
            raise ConfigError(
                f"data.option_order={self.option_order!r} is none of {', '.join(OptionOrder)}"
            ) from None
        if not self.metrics:
            raise ConfigError(f"data.metrics of {self.name} is empty: name one at least")

    @abstractmethod
    def tasks(self) -> Sequence[TaskRecord]:
        """All questions as the download has them, ids unique, each with its category, its cluster
        and its scorer; read by `rules`.
        """

    @cached_property
    def folder(self) -> Path:
        """Where the download lies."""
        inside = Path(self.root) / (self.download_name or self.name)
        return inside if inside.is_dir() else Path(self.root)

    @property
    def rules(self) -> Rules:
        """What becomes of rows that cannot be used."""
        return Rules(self.skip_bad_rows, self.pictures_anywhere, self.decode_pictures)

    def ask(
        self,
        engine: Engine,
        environment: Environment,
        tasks: Sequence[TaskRecord],
        *,
        num_samples: int,
        phase: str,
        run_seed: int,
    ) -> Asked:
        """How its questions are asked: each in one dialog, unless a benchmark says otherwise."""
        return ask(
            engine, environment, tasks, num_samples=num_samples, phase=phase, run_seed=run_seed
        )

    def extras(self, rollout: Rollout) -> Mapping[str, float]:
        """Further numbers of a rollout, such as the IoU of the boxes that it names; none here."""
        return {}

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
        tasks = in_orders(self.tasks(), self.option_order, seed=self.option_seed)
        return DataSplits(test_tasks=tasks, rules=self.rules)

    def files(self, pattern: str) -> list[Path]:
        """The files of the download by a glob pattern, sorted.

        Raises:
            ConfigError: There is none; says how to get them.
        """
        found = sorted(self.folder.glob(pattern))
        if not found:
            raise ConfigError(
                f"data.root={self.root!r} holds no {pattern}; get {self.name} by\n"
                f"    {self.download}"
            )
        return found

    def settings(self) -> dict[str, Any]:
        """What its scores depend on, for the protocol: JSON values."""
        fields = {key: value for key, value in to_plain(self).items() if key not in WHERE}
        return fields | {"metrics": {name: repr(one) for name, one in self.metrics.items()}}

    def scores(self, questions: Sequence[QuestionOutcome]) -> dict[str, Accuracy]:
        """Every metric with its 95 % interval over clusters: Wilson's for a mean of questions that
        each are a cluster, else a bootstrap that draws whole clusters.
        """
        return {name: _scored(metric, questions) for name, metric in self.metrics.items()}


def cluster_of(task: TaskRecord) -> str:
    """What a task shares its luck with: what it says, else its first picture."""
    if task.cluster or not task.images:
        return task.cluster or task.id
    return "/".join(Path(task.images[0]).parts[-2:])


def _scored(metric: Metric, questions: Sequence[QuestionOutcome]) -> Accuracy:
    clusters = [one.cluster or one.id for one in questions]
    if metric == Mean() and len(set(clusters)) == len(questions):
        return Accuracy.of([one.score for one in questions])
    interval = clustered_interval(clusters, lambda kept: metric([questions[i] for i in kept]))
    return Accuracy(metric(questions), *interval, len(questions))
