"""What an evaluation leaves in its folder, and whether it may be gone on with there.

RUN/answers.jsonl   the rollouts so far (`evaluation.answers`); gone once all else is there
RUN/report.json     what it found
RUN/shard.jsonl     in place of answers.jsonl, of a finished part of an evaluation (shard=3/8)
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from omegaconf import DictConfig

from vigorl.core.errors import ConfigError
from vigorl.evaluation.benchmarks.benchmark import WHERE
from vigorl.evaluation.report import EvaluationReport
from vigorl.run_folder import read_settings
from vigorl.tracking import changed_settings

REPORT, ANSWERS, SHARD = "report.json", "answers.jsonl", "shard.jsonl"
_ASKED_BY = (  # settings that an answer depends on
    "seed", "model", "env", "pixels", "engine._target_", "engine.model", "engine.extra", "name",
    "inference",
)  # fmt: skip
_JUDGED_BY = (  # and those that a report depends on besides
    "data", "split", "limit", "shard", "samples_per_task", "protocol", "judge", "reward", "probes",
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
    if lines := _asked_otherwise(read_settings(folder / "config.yaml"), cfg, decide):
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
    """The answers of all parts of an evaluation, below the folder that `merge` names.

    Raises:
        ConfigError: A part is missing, has not ended, is there twice, or was asked otherwise.
    """
    found: dict[int, Path] = {}
    counts: set[int] = set()
    for config in sorted(Path(cfg.merge).glob("*/config.yaml")):
        folder, part = config.parent, read_settings(config)
        if not part.get("shard"):
            continue
        number, of = map(int, part["shard"].split("/"))
        if not (folder / SHARD).is_file():
            raise ConfigError(
                f"merge={cfg.merge}: {folder} (shard={part['shard']}) has not ended; "
                f"resume={folder} goes on with it"
            )
        if number in found:
            raise ConfigError(
                f"merge={cfg.merge}: {found[number].parent} and {folder} are one part"
            )
        if lines := _asked_otherwise(part, cfg, _ASKED_BY):
            raise ConfigError("\n".join([f"{folder} was asked with other settings:", *lines]))
        found[number] = folder / SHARD
        counts.add(of)
    missing = sorted(set(range(1, max(counts, default=0) + 1)) - set(found))
    if found and len(counts) == 1 and not missing:
        return [found[number] for number in sorted(found)]
    said = "it holds no part of an evaluation"
    if len(counts) > 1:
        said = f"its parts are of evaluations in {' and in '.join(map(str, sorted(counts)))}"
    elif missing:
        said = f"the parts {missing} of {max(counts)} are not there"
    raise ConfigError(f"merge={cfg.merge}: {said}")


def _asked_otherwise(before: dict[str, Any], cfg: DictConfig, keys: Sequence[str]) -> list[str]:
    where = tuple(f"data.{key}" for key in WHERE)
    return [
        f"  {key}: {a} -> {b}"
        for key, (a, b) in changed_settings(before, cfg).items()
        if _is_under(key, keys) and not _is_under(key, where)
    ]


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
