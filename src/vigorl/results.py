"""What a run leaves, for a program or a notebook: its metrics, its model, its rollouts.

As the last line of a notebook's cell each of them shows itself: a run its curves, rollouts where
they looked, an evaluation its table.
"""

from __future__ import annotations

import io
import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache, cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlflow.exceptions import MlflowException
from mlflow.tracking import MlflowClient
from PIL import Image

from vigorl.callbacks.mlflow_logger import plain_name
from vigorl.core import metrics_file
from vigorl.core.errors import ConfigError
from vigorl.core.metrics import is_right
from vigorl.core.metrics_file import read_metrics
from vigorl.core.rollout import ScoredRollout
from vigorl.data.images import ImageStore
from vigorl.evaluation.report import Accuracy, EvaluationReport
from vigorl.pages.html import count_of
from vigorl.pages.picture import rollout_picture
from vigorl.pages.run_card import render_run_card
from vigorl.pages.run_index import main_plots
from vigorl.pages.sheet import rollout_sheet
from vigorl.resolvers import ASSETS
from vigorl.rollout.recorder import read_rollouts
from vigorl.run_folder import identity_files, read_identity, read_settings

if TYPE_CHECKING:
    import pandas as pd

    from vigorl.models.policy import Policy

_SQLITE = "sqlite:///"
_NUM_PLOTS = 3


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

    def __repr__(self) -> str:
        return f"<{count_of(len(self), 'metric')}: {', '.join(self)}>"

    def _repr_html_(self) -> str:
        import pandas as pd

        rows = {
            name: {"first": one.values[0], "last": one.last, "values": len(one.values)}
            for name, one in self.items()
        }
        return pd.DataFrame.from_dict(rows, orient="index").to_html(float_format="{:.4g}".format)


@dataclass(frozen=True, slots=True)
class RecordedRollout(ScoredRollout):
    """A rollout of a record, which a notebook shows as a picture."""

    def picture(self, *, max_side_px: int = 448) -> Image.Image:
        """Where it looked, what it was shown there, question and answer.

        Raises:
            DataError: Its picture cannot be read.
        """
        return rollout_picture(self, _images(), max_side_px=max_side_px)

    def _repr_png_(self) -> bytes:
        return _png(self.picture())


class Rollouts(list[RecordedRollout]):
    """Rollouts of a record, in its order; a notebook shows the first twelve side by side."""

    def groups(self) -> list[Rollouts]:
        """Those of one prompt each, in order."""
        found = dict[str, Rollouts]()
        for one in self:
            found.setdefault(one.rollout.group, Rollouts()).append(one)
        return list(found.values())

    def where(self, holds: Callable[[RecordedRollout], bool]) -> Rollouts:
        """Those of which something holds, such as `lambda one: one.advantage > 1`."""
        return Rollouts(one for one in self if holds(one))

    def picture(self) -> Image.Image:
        """Where each of the first twelve looked, what it answered, its reward and advantage.

        Raises:
            DataError: A picture cannot be read.
        """
        return rollout_sheet(self, _images())

    def __repr__(self) -> str:
        num_right = sum(is_right(one.rollout) for one in self)
        said = f"{count_of(len(self), 'rollout')} of {count_of(len(self.groups()), 'prompt')}"
        return f"<{said}, {num_right} right>"

    def _repr_png_(self) -> bytes | None:
        return _png(self.picture()) if self else None


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
        config_dir: Of its own YAMLs; an evaluation composes with them too.
    """

    folder: Path
    overrides: tuple[str, ...] = ()
    objects: Mapping[str, Any] = field(default_factory=dict)
    config_dir: str | None = None

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

    def rollouts(self, phase: int | None = None, *, kind: str = "train") -> Rollouts:
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
        return _read(*sorted(folder.glob(name)))

    def _repr_html_(self) -> str:
        folder = self.stages[-1]
        lines = metrics_file.read_metrics(folder / metrics_file.NAME)
        about = f"{lines[-1].phases:g} phases" if lines else "nothing measured yet"
        page = f"all of it: {self.folder / 'index.html'}"
        plots = main_plots(lines)[:_NUM_PLOTS]
        return render_run_card(folder.name, about, plots=plots, below=page)


@dataclass(frozen=True, slots=True)
class Evaluation:
    """An evaluation that has ended.

    Attributes:
        folder: Of report, page and record.
        report: What it found; `str(evaluation)` is its table.
    """

    folder: Path
    report: EvaluationReport = field(repr=False)

    @property
    def accuracy(self) -> Accuracy:
        """With its interval: `value`, `low`, `high`."""
        return self.report.accuracy

    def rollouts(self) -> Rollouts:
        """Every answer."""
        return _read(self.folder / "rollouts.jsonl")

    def __str__(self) -> str:
        return self.report.table()

    def _repr_pretty_(self, printer: Any, cycle: bool) -> None:
        """What IPython prints of it."""
        printer.text(f"{self}\n{self.folder}")


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


def _read(*paths: Path) -> Rollouts:
    lines = (one.scored for path in paths for one in read_rollouts(path))
    return Rollouts(RecordedRollout(one.rollout, one.reward, one.advantage) for one in lines)


@cache
def _images() -> ImageStore:
    """For drawing; which model's it is makes no difference to a picture and its boxes."""
    return ImageStore.from_pretrained(ASSETS / "tiny_start")


def _png(picture: Image.Image) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, "png")
    return buffer.getvalue()


def _phase(path: Path) -> int:
    return int(path.stem.split("_")[2])
