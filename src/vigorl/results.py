"""What a run leaves, for a program or a notebook: its metrics, its model, its rollouts."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlflow.exceptions import MlflowException
from mlflow.tracking import MlflowClient

from vigorl.callbacks.mlflow_logger import plain_name
from vigorl.core import metrics_file
from vigorl.core.errors import ConfigError
from vigorl.core.metrics_file import read_metrics
from vigorl.core.rollout import ScoredRollout
from vigorl.evaluation.report import Accuracy, EvaluationReport
from vigorl.rollout.recorder import read_rollouts
from vigorl.run_folder import identity_files, read_identity, read_settings

if TYPE_CHECKING:
    import pandas as pd

    from vigorl.models.policy import Policy

_SQLITE = "sqlite:///"


@dataclass(frozen=True, slots=True)
class Series:
    """One metric over a run.

    Attributes:
        steps: Updates done, rising.
        values: One for each.
    """

    steps: tuple[int, ...]
    values: tuple[float, ...]

    @property
    def last(self) -> float:
        return self.values[-1]


@dataclass(frozen=True)
class Metrics(Mapping[str, Series]):
    """Metrics by name, such as `metrics["reward/total"].values`."""

    series: Mapping[str, Series]

    def __getitem__(self, name: str) -> Series:
        return self.series[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self.series)

    def __len__(self) -> int:
        return len(self.series)

    def frame(self) -> pd.DataFrame:
        """A pandas frame: a row per step, a column per metric, NaN where it was not logged."""
        import pandas as pd

        columns = {
            name: pd.Series(one.values, index=one.steps) for name, one in self.series.items()
        }
        return pd.DataFrame(columns).rename_axis("step").sort_index()


@dataclass(frozen=True, slots=True)
class Model:
    """A model's folder; whatever takes a path takes it.

    Attributes:
        path: A Hugging Face folder.
    """

    path: Path

    def __fspath__(self) -> str:
        return str(self.path)

    def __str__(self) -> str:
        return str(self.path)

    def load(self, *, dtype: str = "float32") -> Policy:
        """The model, its family's code around it; `load().model` is that of transformers.

        Raises:
            ConfigError: The folder cannot be read.
        """
        from vigorl.models.policy import Policy  # torch takes seconds

        return Policy.from_pretrained(self.path, dtype=dtype)


@dataclass(frozen=True)
class TrainingRun:
    """A training that has ended, or was stopped.

    Attributes:
        folder: Of all its files; README's "The house" says which.
        overrides: What was said on its command line, or to `vigorl.compose`.
        objects: Those of the program, by what they are; see `own_objects.place`.
    """

    folder: Path
    overrides: tuple[str, ...] = ()
    objects: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def of_folder(cls, folder: Path, objects: Mapping[str, Any]) -> TrainingRun:
        """Raises ConfigError: it is no run's folder."""
        return cls(folder, tuple(read_identity(identity_files(folder)[0]).overrides), objects)

    @cached_property
    def stages(self) -> tuple[Path, ...]:
        """The folders of its stages in their order, or the run's own."""
        found = [path.parent for path in identity_files(self.folder)]
        return tuple(sorted(found, key=_ended))

    @property
    def model(self) -> Model:
        """The trained model, that of the last stage.

        Raises:
            ConfigError: The run has left none.
        """
        path = self.stages[-1] / "model"
        if not (path / "config.json").is_file():
            raise ConfigError(
                f"{self.folder} has no model yet: vigorl.train(cfg, resume={str(self.folder)!r}) "
                "goes on to its end"
            )
        return Model(path)

    @property
    def metrics(self) -> Metrics:
        """What it has logged so far, of the last stage: read from MLflow, or with another logger
        from its own metrics.jsonl.

        Raises:
            ConfigError: MLflow's store is not there.
            DataError: The file is damaged.
        """
        folder = self.stages[-1]
        run_id = read_identity(folder / "run.json").mlflow_run_id
        if not run_id:
            return own_metrics(folder)
        settings = read_settings(folder / "config.yaml")
        return logged_metrics(_store(str(settings["logger"]["tracking_uri"]), folder), run_id)

    def rollouts(self, phase: int | None = None, *, kind: str = "train") -> list[ScoredRollout]:
        """Every rollout of a phase, rewards and advantages with it.

        Args:
            phase: From 0; the last one when None. Of "val", the number of phases done.
            kind: "train" or "val".
        Raises:
            ConfigError: There is no record of it; says which there are.
        """
        folder = self.stages[-1] / "rollouts"
        numbers = sorted({_phase(path) for path in folder.glob(f"{kind}_phase_*.jsonl")})
        if not numbers or (phase is not None and phase not in numbers):
            there = f"{numbers[0]} to {numbers[-1]}" if numbers else "none"
            raise ConfigError(f"{folder} has no {kind} phase {phase}; recorded: {there}")
        name = f"{kind}_phase_{numbers[-1] if phase is None else phase:04d}*.jsonl"
        return [one.scored for path in sorted(folder.glob(name)) for one in read_rollouts(path)]


@dataclass(frozen=True, slots=True)
class Evaluation:
    """An evaluation that has ended.

    Attributes:
        folder: Of report, page and record.
        report: What it found; `str(evaluation)` is its table.
    """

    folder: Path
    report: EvaluationReport

    @property
    def accuracy(self) -> Accuracy:
        """With its interval: `value`, `low`, `high`."""
        return self.report.accuracy

    def rollouts(self) -> list[ScoredRollout]:
        """Every answer."""
        return [one.scored for one in read_rollouts(self.folder / "rollouts.jsonl")]

    def __str__(self) -> str:
        return self.report.table()


@dataclass(frozen=True, slots=True)
class Synthesis:
    """A tree search that has ended.

    Attributes:
        folder: Of trees, chains and their page.
        num_chains: Worked solutions that were kept.
    """

    folder: Path
    num_chains: int

    @property
    def chains(self) -> Path:
        """The file of worked solutions, which `data.path` of experiment=sft_from_mcts takes.

        Raises:
            ConfigError: There is none.
        """
        if not self.num_chains:
            raise ConfigError(f"the search in {self.folder} has found no chain that is kept")
        return self.folder / "chains.jsonl"


def own_metrics(folder: Path) -> Metrics:
    """What a run's folder says of its phases, evaluations and updates.

    Raises:
        DataError: The file is damaged.
    """
    found: dict[str, dict[int, float]] = {}
    for line in read_metrics(folder / metrics_file.NAME):
        for name, value in line.metrics.items():
            found.setdefault(name, {})[line.step] = value
    return Metrics(
        {name: Series(tuple(found[name]), tuple(found[name].values())) for name in sorted(found)}
    )


def logged_metrics(uri: str, run_id: str) -> Metrics:
    """All that an MLflow run has logged.

    Raises:
        ConfigError: The store does not answer, or has no such run.
    """
    try:
        client, found = MlflowClient(uri), dict[str, Series]()
        for name in sorted(client.get_run(run_id).data.metrics):
            points = client.get_metric_history(run_id, name)
            last = {point.step: point.value for point in points}  # a resumed run logs some again
            steps = sorted(last)
            found[plain_name(name)] = Series(tuple(steps), tuple(last[step] for step in steps))
    except MlflowException as error:
        first = str(error).splitlines()[0]
        raise ConfigError(f"the metrics of MLflow run {run_id} at {uri}: {first}") from error
    return Metrics(found)


def _store(uri: str, folder: Path) -> str:
    """The store's address; one that is named from another working directory is looked for above
    the run's folder.
    """
    path = Path(uri.removeprefix(_SQLITE))
    if not uri.startswith(_SQLITE) or path.is_file():
        return uri
    above = [one / path.name for one in folder.resolve().parents]
    found = next((one for one in above if one.is_file()), None)
    if found is None:
        raise ConfigError(f"{uri}, where {folder} has logged its metrics, is not there any more")
    return f"{_SQLITE}{found}"


def _ended(stage: Path) -> tuple[float, float]:
    """When its model was written, behind all such where there is none; a resumed run writes every
    run.json anew.
    """
    config, identity = stage / "model" / "config.json", stage / "run.json"
    return config.stat().st_mtime if config.is_file() else math.inf, identity.stat().st_mtime


def _phase(path: Path) -> int:
    return int(path.stem.split("_")[2])
