"""What an evaluation leaves in its folder, and whether it may be gone on with there.

RUN/answers.jsonl   the rollouts so far (`evaluation.answers`); gone once all else is there
RUN/rollouts.jsonl  the record of all, and RUN/rollouts.html a page of the worst and the best
RUN/report.json     what it found
RUN/shard.jsonl     in place of answers.jsonl, of a finished part of an evaluation (shard=3/8)
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from omegaconf import DictConfig

from vigorl.core.errors import ConfigError
from vigorl.core.files import written_whole
from vigorl.core.rollout import ScoredRollout
from vigorl.data.images import ImageStore
from vigorl.evaluation.benchmarks.benchmark import WHERE, Benchmark
from vigorl.evaluation.report import EvaluationReport
from vigorl.pages.episodes import render_episode_page
from vigorl.pages.rollouts import WORST_AND_BEST, pick_worst_and_best, render_rollout_page
from vigorl.rollout.inference.rule import CHOSEN
from vigorl.rollout.recorder import RolloutRecorder
from vigorl.run_folder import read_settings
from vigorl.shards import asked_otherwise, parts_of

REPORT, ANSWERS, SHARD = "report.json", "answers.jsonl", "shard.jsonl"
_ASKED_BY = (  # settings that an answer depends on
    "seed", "model", "env", "pixels", "engine._target_", "engine.model", "engine.extra", "name",
    "inference",
)  # fmt: skip
_JUDGED_BY = (  # and those that a report depends on besides
    "data", "split", "limit", "shard", "samples_per_task", "protocol", "judge", "reward", "probes",
    "faithfulness",
)  # fmt: skip
_MOVED = tuple(f"data.{key}" for key in WHERE)  # where the data lie, which no answer depends on


def finished_report(cfg: DictConfig) -> EvaluationReport | None:
    """Of the evaluation in the run's folder; None where there is none, or where it has not ended:
    its answers go last.
    """
    report, answers = (Path(cfg.paths.run) / name for name in (REPORT, ANSWERS))
    return read_report(str(report)) if report.is_file() and not answers.exists() else None


def refuse_mixture(cfg: DictConfig) -> None:
    """Refuse to go on in the folder of an evaluation with what asks otherwise: its answers would
    be taken for this one's.

    Raises:
        ConfigError: Names what differs.
    """
    folder = Path(cfg.paths.run)
    is_begun = (folder / ANSWERS).exists()
    is_done = (folder / REPORT).is_file() and not is_begun
    if not (is_begun or (is_done and cfg.resume)) or not (folder / "config.yaml").is_file():
        return
    decide = (*_ASKED_BY, *_JUDGED_BY) if is_done else _ASKED_BY
    if lines := asked_otherwise(read_settings(folder / "config.yaml"), cfg, decide, moved=_MOVED):
        what = "a finished evaluation" if is_done else "answers"
        raise ConfigError(
            "\n".join(
                [
                    f"{folder} holds {what} of other settings:",
                    *lines,
                    "begin a new evaluation in another folder (paths.base), or undo that change",
                ]
            )
        )


def finished_shards(cfg: DictConfig) -> list[Path]:
    """The answers of all parts of an evaluation; see `parts_of`."""
    parts = parts_of(cfg, leaves=SHARD, asked_by=_ASKED_BY, moved=_MOVED)
    return [part / SHARD for part in parts]


def write_findings(
    cfg: DictConfig,
    folder: Path,
    report: EvaluationReport,
    scored: Sequence[ScoredRollout],
    *,
    images: ImageStore,
    benchmark: Benchmark | None = None,
) -> None:
    """The record of every rollout, a page of the worst and the best, and last the report: who finds
    it finds all.
    """
    with (
        written_whole(folder / "rollouts.jsonl") as part,
        RolloutRecorder(part, run_seed=cfg.seed) as recorder,
    ):
        for one in scored:
            recorder.write(one, phase=cfg.split)
    shown: dict[str, Any] = {
        "images": images,
        "title": f"{cfg.name}: {report.accuracy}",
        "metrics": report.metrics,
        "chosen": WORST_AND_BEST,
    }
    if benchmark is not None and benchmark.in_episodes:
        episodes = pick_worst_and_best(scored, num=6, whole_groups=True)
        endings = [benchmark.remark(steps[-1].rollout) for steps in episodes]
        page = render_episode_page(episodes, endings=endings, **shown)
    elif any(CHOSEN in one.rollout.probes for one in scored):  # with what it was chosen among
        page = render_rollout_page(pick_worst_and_best(scored, num=6, by_question=True), **shown)
    else:
        page = render_rollout_page(pick_worst_and_best(scored, num=12), **shown)
    (folder / "rollouts.html").write_text(page, encoding="utf-8")
    with written_whole(folder / REPORT) as part:
        part.write_text(report.to_json())


def read_report(path: str, *, key: str = "compare_with") -> EvaluationReport:
    """Another evaluation's report.json, which the setting `key` names.

    Raises:
        ConfigError: There is no such file.
        DataError: It is not a report.
    """
    if not Path(path).is_file():
        raise ConfigError(f"{key}: {path!r} is not a file; name another run's report.json")
    return EvaluationReport.from_json(Path(path).read_text(errors="replace"), path=path)
