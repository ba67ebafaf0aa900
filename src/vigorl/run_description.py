"""How a run presents itself in MLflow: a name that says what differs, tags to filter by, a page of
description, and the records that it takes.
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf

from vigorl.core.errors import ConfigError
from vigorl.mlflow_store import without_passwords
from vigorl.outbox.operations import DataUsed
from vigorl.run_folder import read_identity

PICTURE = "picture.png"  # an artifact: a rollout of the last evaluation
_MOST_IN_NAME, _MOST_CHARS = 4, 120
_NOT_IN_NAMES = (  # where things lie, what the name says already, and what changes no number
    "experiment", "benchmark", "suite", "name", "seed", "resume", "paths", "logger", "num_threads",
    "callbacks", "debug", "plugins", "model.path", "model.maker", "data.root", "data.base",
    "trainer.accelerator", "trainer.devices", "trainer.num_nodes", "engine.max_images",
    "compare_with", "rescore", "skip_missing",
)  # fmt: skip
_GROUPS = (  # whose choices are tags
    "experiment", "scale", "algorithm", "reward", "env", "data", "engine", "sampler", "groups",
    "guests", "sft_mix", "overlap", "exploration", "entropy", "guard", "strategy", "benchmark",
    "protocol", "inference",
)  # fmt: skip
_CONTEXTS = {"val": "validation", "test": "evaluation", "evaluated": "evaluation"}


@dataclass(frozen=True, slots=True)
class Parent:
    """The run that made the model which this one starts from or judges.

    Attributes:
        folder: Of that run.
        run_id: In MLflow.
    """

    folder: Path
    run_id: str


def run_name(cfg: DictConfig, said: Sequence[str]) -> str:
    """The configured name, then the model that is judged, then what the command line says else.

    Args:
        cfg: The run's settings.
        said: What its command lines said.
    """
    words = [str(cfg.logger.get("run_name") or cfg.name)]
    folder = Path(str(OmegaConf.select(cfg, "model.path") or ""))
    if any(one.startswith("model.path=") for one in said):
        words.append("/".join((folder.parent if folder.name == "model" else folder).parts[-2:]))
    differs = [one.lstrip("+") for one in said if not _is_left_out(one)]
    words += differs[:_MOST_IN_NAME]
    if more := len(differs) - _MOST_IN_NAME:
        words += [f"{more} more"] if more > 0 else []
    name = ", ".join(words)
    return name if len(name) <= _MOST_CHARS else f"{name[: _MOST_CHARS - 3]}..."


def _is_left_out(override: str) -> bool:
    key = override.partition("=")[0].lstrip("+~")
    return any(f"{key}.".startswith(f"{one}.") for one in _NOT_IN_NAMES)


def run_tags(cfg: DictConfig, parent: Parent | None) -> dict[str, str]:
    """What runs are filtered and grouped by."""
    tags = {"seed": str(cfg.get("seed"))}
    if HydraConfig.initialized():
        chosen = HydraConfig.get().runtime.choices
        tags |= {one: str(chosen[one]) for one in _GROUPS if chosen.get(one) not in (None, "none")}
    if parent is not None:
        tags["model_of_run"] = parent.run_id
    return tags


def parent_of(cfg: DictConfig) -> Parent | None:
    """The run whose folder holds the model that this one takes; None where there is none."""
    folder = Path(str(OmegaConf.select(cfg, "model.path") or "")).parent
    if not (folder / "run.json").is_file() or folder.resolve() == Path(cfg.paths.run).resolve():
        return None
    try:
        run_id = read_identity(folder / "run.json").mlflow_run_id
    except ConfigError:  # a damaged one: it only is no parent to show
        return None
    return Parent(folder, run_id) if run_id else None


def description(
    cfg: DictConfig,
    *,
    door: str,
    said: Sequence[str],
    run_id: str,
    commit: str,
    parent: Parent | None,
    prints: Mapping[str, str],
) -> str:
    """Markdown for the run's page: its picture, command, parent, model and data."""
    command = shlex.join(["python", "-m", f"vigorl.{door}", *said])
    lines = [f"    {command}", ""]
    if parent is not None:
        lines.append(f"- from run `{parent.run_id}` in `{parent.folder}`")
    lines += [
        f"- model `{OmegaConf.select(cfg, 'model.path')}`",
        f"- folder `{cfg.paths.run}`",
        f"- commit `{commit[:12]}{'+' if commit.endswith('+') else ''}`",
        *(f"- {name} `{digest}`" for name, digest in prints.items()),
        "",
        f"![a rollout of the last evaluation](get-artifact?path={PICTURE}&run_uuid={run_id})",
    ]
    return "\n".join(lines)


def data_used(
    cfg: DictConfig, prints: Mapping[str, str], *, counts: Mapping[str, int]
) -> list[DataUsed]:
    """The records as MLflow's datasets.

    Args:
        cfg: Its `data` says where they lie.
        prints: Fingerprints by name, "data/train".
        counts: Records by the same names, where known.
    """
    data = OmegaConf.to_container(cfg.data, resolve=True)
    kind = str(cfg.data.get("_target_", "data")).rpartition(".")[2]
    chosen = HydraConfig.get().runtime.choices.get("data") if HydraConfig.initialized() else None
    used = []
    for name, digest in prints.items():
        split = name.partition("/")[2]
        profile = {"num_rows": counts[name]} if name in counts else {}
        used.append(
            DataUsed(
                f"{chosen or kind}/{split}",
                digest,
                _CONTEXTS.get(split.partition("_")[0], "training"),
                without_passwords(json.dumps(data, default=str)),
                json.dumps(profile),
            )
        )
    return used
