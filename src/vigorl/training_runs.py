"""Trainings side by side, from their folders alone: which settings differ, which runs differ in
nothing but the seed (an arm), their curves, and what each answered to the same questions.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vigorl.core import metrics_file
from vigorl.core.errors import ConfigError
from vigorl.core.metrics import metric_sums
from vigorl.core.metrics_file import MetricsLine, merged, read_metrics
from vigorl.core.rollout import Rollout, ScoredRollout
from vigorl.evaluation.report import EvaluationReport
from vigorl.evaluation.runner import outcome_of
from vigorl.pages.html import short
from vigorl.rollout.recorder import read_rollouts
from vigorl.run_folder import read_identity, read_settings
from vigorl.run_settings import flatten

ABSENT = "(absent)"
EVALUATION = "evaluation"  # the name of the questions that a training is watched on
# Where a run stands and what is told of it changes none of its numbers.
_OUTSIDE = ("paths", "logger", "resume", "num_threads", "seed", "doors")
_TELLING = ("callbacks.rollout_logger.", "callbacks.progress.", "callbacks.throughput.")

_LONGEST_NAME = 60

Questions = Mapping[str, Sequence[ScoredRollout]]


@dataclass(frozen=True, slots=True)
class TrainingRun:
    """A training's folder, read.

    Attributes:
        folder: Where it stands.
        seed: Its own.
        settings: By dotted key, without those that only say where it stands.
        lines: What it measured.
        said: What its command line said, of the same settings.
    """

    folder: Path
    seed: int
    settings: Mapping[str, Any]
    lines: Sequence[MetricsLine]
    said: Sequence[str] = ()

    @property
    def evaluations(self) -> list[int]:
        """After how many phases it was evaluated."""
        files = self.folder.glob("rollouts/val_phase_*.jsonl")
        return sorted({int(one.stem.split("_")[2]) for one in files})

    def answers(self, phases: int) -> list[ScoredRollout]:
        """Of the evaluation after some phases, of all ranks."""
        files = sorted(self.folder.glob(f"rollouts/val_phase_{phases:04d}*.jsonl"))
        return [one.scored for file in files for one in read_rollouts(file)]

    def questions(self, phases: int) -> Questions:
        """The same, by the question's id."""
        found: dict[str, list[ScoredRollout]] = {}
        for one in self.answers(phases):
            found.setdefault(one.rollout.task.id, []).append(one)
        return found


@dataclass(frozen=True, slots=True)
class Arm:
    """Runs that differ in nothing but the seed."""

    name: str
    runs: tuple[TrainingRun, ...]

    @property
    def settings(self) -> Mapping[str, Any]:
        return self.runs[0].settings

    @property
    def seeds(self) -> str:
        word = "seed" if len(self.runs) == 1 else "seeds"
        return f"{word} {', '.join(str(one.seed) for one in self.runs)}"


def is_training(path: Path) -> bool:
    """Whether a folder is a training's, or holds those of its stages."""
    return any(_is_run(one) for one in (path, *_below(path)))


def read_run(path: Path) -> TrainingRun:
    """A training's folder.

    Raises:
        ConfigError: It is none, or holds several stages, or its settings cannot be read.
        DataError: A line of its records cannot be read.
    """
    if not _is_run(path):
        stages = [str(one) for one in _below(path) if _is_run(one)]
        raise ConfigError(
            f"{path} is a run in stages: name one of them, such as {stages[-1]}"
            if stages
            else f"{path} is no training's folder: it has no config.yaml beside metrics.jsonl or "
            "rollouts/"
        )
    settings = read_settings(path / "config.yaml")
    places = {str(one) for one in settings["paths"].values() if one and len(str(one)) > 2}
    flat = {
        key: _without_places(value, places)
        for key, value in flatten(settings).items()
        if _counts(key)
    }
    lines = read_metrics(path / metrics_file.NAME) or _measured_again(path)
    said = [one for one in _said(path) if _counts(one.partition("=")[0].lstrip("+~"))]
    return TrainingRun(path, int(settings.get("seed", 0)), flat, lines, said)


def arms_of(runs: Sequence[TrainingRun]) -> list[Arm]:
    """The runs by what differs but the seed, in their order; where nothing else does, each run is
    an arm.
    """
    keys = _differing([_seedless(one, runs) for one in runs])
    groups: dict[tuple[str, ...], list[TrainingRun]] = {}
    for one in runs:
        values = _seedless(one, runs)
        groups.setdefault(tuple(_shown(values, key) for key in keys), []).append(one)
    if len(groups) == 1 and len(runs) > 1:
        names = [f"seed {one.seed}" for one in runs]
        return [Arm(n, (one,)) for n, one in zip(_told_apart(names, runs), runs, strict=True)]
    found = list(groups.values())
    names = _arm_names([members[0] for members in found], keys)
    return [Arm(name, tuple(members)) for name, members in zip(names, found, strict=True)]


def differing_settings(arms: Sequence[Arm]) -> dict[str, list[str]]:
    """By key, each arm's value as text; what only repeats another key (module.algorithm.clip_high
    that of algorithm.clip_high) is left out.
    """
    runs = [one for arm in arms for one in arm.runs]
    settings = [_seedless(arm.runs[0], runs) for arm in arms]
    found = {key: [_shown(one, key) for one in settings] for key in _differing(settings)}
    return {
        key: values
        for key, values in found.items()
        if not any(key.endswith(f".{one}") and found[one] == values for one in found)
    }


def last_answers(arms: Sequence[Arm]) -> list[list[tuple[int, Questions]]]:
    """Of each arm's runs the last evaluation: after how many phases it was, and its rollouts by
    question, those questions alone that all runs were asked.

    Raises:
        ConfigError: A run has none, or there is no question that all of them were asked.
    """
    found = [[_last_answers(run) for run in arm.runs] for arm in arms]
    every = [questions for of_arm in found for _, questions in of_arm]
    common = [id for id in every[0] if len({_asked(one.get(id)) for one in every}) == 1]
    if not common:
        named = ", ".join(str(run.folder) for arm in arms for run in arm.runs)
        raise ConfigError(
            f"{named} have no question of their last evaluations in common: give their trainings "
            "the same data (data.seed, data.num_val and rollout.eval_limit make another set)"
        )
    return [
        [(phases, {id: questions[id] for id in common}) for phases, questions in of_arm]
        for of_arm in found
    ]


def report_of(answers: Sequence[tuple[int, Questions]]) -> EvaluationReport:
    """What an arm answered, as an evaluation with one rollout a seed."""
    asked = [questions for _, questions in answers]
    outcomes = []
    for id in asked[0]:
        rollouts: list[Rollout] = [one.rollout for run in asked for one in run[id]]
        outcomes.append(outcome_of(rollouts[0].task, rollouts))
    return EvaluationReport(EVALUATION, tuple(outcomes))


def _last_answers(run: TrainingRun) -> tuple[int, Questions]:
    if not run.evaluations:
        raise ConfigError(
            f"{run.folder} has no evaluation among its rollouts/ (val_phase_*.jsonl), so there is "
            "no question to compare by"
        )
    phases = run.evaluations[-1]
    return phases, run.questions(phases)


def _asked(rollouts: Sequence[ScoredRollout] | None) -> object:
    """What makes two questions the same, whatever their id; one that was not asked is like none."""
    if rollouts is None:
        return object()
    task = rollouts[0].rollout.task
    return (task.question, task.answer, task.options, task.target_boxes, len(rollouts))


def _is_run(path: Path) -> bool:
    has_records = (path / metrics_file.NAME).is_file() or (path / "rollouts").is_dir()
    return (path / "config.yaml").is_file() and has_records


def _counts(key: str) -> bool:
    return key.partition(".")[0] not in _OUTSIDE and not key.startswith(_TELLING)


def _said(path: Path) -> list[str]:
    """A stage's are its run's."""
    files = [one / "run.json" for one in (path, path.parent) if (one / "run.json").is_file()]
    return read_identity(files[0]).overrides if files else []


def _below(path: Path) -> list[Path]:
    return sorted(one for one in path.glob("*") if one.is_dir())


def _measured_again(path: Path) -> list[MetricsLine]:
    """Of a run from before there was a metrics.jsonl: what its rollouts alone say."""
    sums: dict[tuple[str, int], list[ScoredRollout]] = {}
    for file in sorted(path.glob("rollouts/*_phase_*.jsonl")):
        kind, _, phase = file.stem.split("_")[:3]
        found = [one.scored for one in read_rollouts(file)]
        sums.setdefault((kind, int(phase)), []).extend(found)
    lines = []
    for (kind, phase), scored in sums.items():
        metrics = {k: total / n for k, (total, n) in metric_sums(scored).items() if n}
        if kind == "val":
            metrics = {f"val/{name.removeprefix('rollout/')}": v for name, v in metrics.items()}
        lines.append(MetricsLine(kind, float(phase), 0, metrics))
    return merged(lines)


def _without_places(value: Any, places: set[str]) -> Any:
    """A path within the run's own folders is the same wherever these stand."""
    if isinstance(value, str):
        for place in sorted(places, key=len, reverse=True):
            if value == place or value.startswith(f"{place}/"):
                return "…" + value[len(place) :]
    return value


def _seedless(run: TrainingRun, runs: Sequence[TrainingRun]) -> dict[str, Any]:
    """Settings without those that are the run's seed in every run."""
    return {
        key: value
        for key, value in run.settings.items()
        if not (
            key.rpartition(".")[2] == "seed"
            and all(one.settings.get(key) == one.seed for one in runs)
        )
    }


def _differing(settings: Sequence[Mapping[str, Any]]) -> list[str]:
    keys = sorted({key for one in settings for key in one})
    return [key for key in keys if len({_shown(one, key) for one in settings}) > 1]


def _shown(settings: Mapping[str, Any], key: str) -> str:
    return str(settings[key]) if key in settings else ABSENT


def _arm_names(runs: Sequence[TrainingRun], keys: Sequence[str]) -> list[str]:
    """What each command line said that another's did not; else the values of the first keys."""
    common = set.intersection(*(set(one.said) for one in runs))
    own = [[word for word in one.said if word not in common] for one in runs]
    if any(own):
        names = [" ".join(one) or _shown(runs[i].settings, "name") for i, one in enumerate(own)]
    else:
        names = [
            " ".join(f"{key.rpartition('.')[2]}={_shown(one.settings, key)}" for key in keys[:2])
            for one in runs
        ]
    return _told_apart([short(one, _LONGEST_NAME) for one in names], runs)


def _told_apart(names: Sequence[str], runs: Sequence[TrainingRun]) -> list[str]:
    """The names, or where two are the same, those of the folders."""
    if len(set(names)) == len(names):
        return list(names)
    folders = [one.folder.resolve().name for one in runs]
    if len(set(folders)) < len(folders):
        folders = [str(one.folder) for one in runs]
    return folders
