"""What an evaluation leaves in its folder, and whether it may be gone on with there.

RUN/answers.jsonl   the rollouts so far (`evaluation.answers`); gone once all else is there
RUN/report.json     what it found
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from omegaconf import DictConfig

from vigorl.core.errors import ConfigError
from vigorl.evaluation.benchmarks.benchmark import WHERE
from vigorl.evaluation.report import EvaluationReport
from vigorl.run_folder import read_settings
from vigorl.tracking import changed_settings

REPORT, ANSWERS = "report.json", "answers.jsonl"
_ASKED_BY = (  # settings that an answer depends on
    "seed", "model", "env", "pixels", "engine._target_", "engine.model", "engine.extra", "name",
    "inference",
)  # fmt: skip
_JUDGED_BY = (  # and those that a report depends on besides
    "data", "split", "limit", "samples_per_task", "protocol", "judge", "reward", "probes",
    "faithfulness",
)  # fmt: skip


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
    where = tuple(f"data.{key}" for key in WHERE)
    lines = [
        f"  {key}: {a} -> {b}"
        for key, (a, b) in changed_settings(read_settings(folder / "config.yaml"), cfg).items()
        if _is_under(key, decide) and not _is_under(key, where)
    ]
    if lines:
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


def _is_under(key: str, parents: Sequence[str]) -> bool:
    return any(f"{key}.".startswith(f"{one}.") for one in parents)


def read_report(path: str, *, key: str = "compare_with") -> EvaluationReport:
    """Another evaluation's report.json, which the setting `key` names.

    Raises:
        ConfigError: There is no such file.
        DataError: It is not a report.
    """
    if not Path(path).is_file():
        raise ConfigError(f"{key}: {path!r} is not a file; name another run's report.json")
    return EvaluationReport.from_json(Path(path).read_text(errors="replace"), path=path)
