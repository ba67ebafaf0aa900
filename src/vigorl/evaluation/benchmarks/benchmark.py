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

import math
import re
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from difflib import get_close_matches
from pathlib import Path
from typing import Any, ClassVar

from vigorl.core.errors import ConfigError
from vigorl.core.media import file_of
from vigorl.core.protocols import Engine
from vigorl.core.records import TaskRecord
from vigorl.core.rollout import Rollout
from vigorl.data.faults import Rules
from vigorl.data.option_orders import OptionOrder, in_orders
from vigorl.data.plain import path_of, to_plain
from vigorl.data.splits import DataSplits
from vigorl.evaluation.asking import Asked, Asking, ask
from vigorl.evaluation.metrics import CATEGORY, AllRight, Mean, MeanOf, Metric, measured
from vigorl.evaluation.report import Accuracy, QuestionOutcome
from vigorl.rollout.environment import Environment

_KINDS = {"str": (str, "a text"), "bool": (bool, "true or false"), "int": (int, "a whole number")}
WHERE = (  # settings that no score depends on: where things lie
    "root", "download", "download_name", "sites", "states", "resets", "screens", "at_once",
    "trained_on",
)  # fmt: skip


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
        self._check_types()
        try:
            object.__setattr__(self, "option_order", OptionOrder(self.option_order))
        except ValueError:
            raise ConfigError(
                f"data.option_order={self.option_order!r} is none of {', '.join(OptionOrder)}"
            ) from None
        if not self.metrics:
            raise ConfigError(f"data.metrics of {self.name} is empty: name one at least")

    def _check_types(self) -> None:
        """Texts, flags and numbers of any benchmark are of their kind: YAMLs have no types."""
        for one in fields(self):
            kind, value = _KINDS.get(str(one.type)), getattr(self, one.name)
            if kind is not None and type(value) is not kind[0]:
                raise ConfigError(f"data.{one.name} must be {kind[1]}, got {value!r:.60}")

    @abstractmethod
    def tasks(self) -> Sequence[TaskRecord]:
        """All questions as the download has them, ids unique, each with its category, its cluster
        and its scorer; read by `rules`.
        """

    @property
    def subfolder(self) -> str:
        """What the download's folder is called among others."""
        return self.download_name or self.name

    def download_into(self, folder: str) -> str:
        """The command that fetches it into a folder."""
        return re.sub(r"\bpath\b", folder, self.download)

    @property
    def is_downloaded(self) -> bool:
        """Whether the root holds the download's folder, among those of others."""
        return (Path(self.root) / self.subfolder).is_dir()

    @property
    def folder(self) -> Path:
        """Where the download lies."""
        return Path(self.root) / self.subfolder if self.is_downloaded else Path(self.root)

    @property
    def rules(self) -> Rules:
        """What becomes of rows that cannot be used."""
        return Rules(self.skip_bad_rows, self.pictures_anywhere, self.decode_pictures)

    def ask(
        self,
        engine: Engine,
        environment: Environment,
        tasks: Sequence[TaskRecord],
        asking: Asking,
    ) -> Asked:
        """Ask its questions, by default each in dialogs of its own."""
        return ask(engine, environment, tasks, asking)

    def question_of(self, rollout: Rollout) -> TaskRecord:
        """The question that a kept rollout is about, as it was when it was asked."""
        return rollout.task

    def remark(self, rollout: Rollout) -> str:
        """What a page says of a judged rollout beside its score; "" is nothing."""
        return ""

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
                f"data.root={self.root!r} is not a folder; get {self.name} by\n"
                f"    {self.download_into(self.root)}"
            )

    def load(self) -> DataSplits:
        tasks = in_orders(self.tasks(), self.option_order, seed=self.option_seed)
        self._check_labels(tasks)
        return DataSplits(test_tasks=tasks, rules=self.rules)

    def _check_labels(self, tasks: Sequence[TaskRecord]) -> None:
        """Raises ConfigError where a metric goes by a label that no question has."""
        known = dict.fromkeys([CATEGORY, *(tag for task in tasks for tag in task.tags)])
        for name, metric in self.metrics.items():
            if isinstance(metric, MeanOf | AllRight) and metric.by not in known:
                near = get_close_matches(metric.by, known, n=1)
                guess = f"did you mean {near[0]!r}? " if near else ""
                raise ConfigError(
                    f"data.metrics.{name}.by: no question has the label {metric.by!r}; {guess}"
                    f"They have {', '.join(known)}"
                )

    def files(self, pattern: str) -> list[Path]:
        """The files of the download by a glob pattern, sorted.

        Raises:
            ConfigError: There is none; says how to get them.
        """
        found = sorted(self.folder.glob(pattern))
        if not found:
            raise ConfigError(
                f"data.root={self.root!r} holds no {pattern}, nor {self.subfolder}/{pattern}; "
                f"get {self.name} by\n    {self.download_into(f'{self.root}/{self.subfolder}')}"
            )
        return found

    def settings(self) -> dict[str, Any]:
        """What its scores depend on, for the protocol: JSON values."""
        fields = {key: value for key, value in to_plain(self).items() if key not in WHERE}
        kinds = {name: path_of(type(one)) for name, one in self.metrics.items()}
        return fields | {
            "metrics": {
                name: {"_target_": kinds[name], **to_plain(one)}
                for name, one in self.metrics.items()
            }
        }

    def scores(self, questions: Sequence[QuestionOutcome]) -> dict[str, Accuracy]:
        """Every metric that these questions have, with its 95 % interval over clusters; see
        `metrics.measured`.
        """
        found = {name: measured(metric, questions) for name, metric in self.metrics.items()}
        return {name: one for name, one in found.items() if not math.isnan(one.value)}


def cluster_of(task: TaskRecord) -> str:
    """What a task shares its luck with: what it says, else its first picture."""
    if task.cluster or not task.images:
        return task.cluster or task.id
    return "/".join(Path(file_of(task.images[0])).parts[-2:])
