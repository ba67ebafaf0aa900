"""Whether what a command line says reaches the run. Hydra sees to it that no group outdoes a value,
but a stage may have one of its own in its place, and so may a group beside what others refer to:
env=visual_search_point has one turn, whatever limits.max_turns says.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from vigorl.core.errors import ConfigError
from vigorl.resolvers import CONFIGS
from vigorl.settings.stages import all_stages, listed_stages
from vigorl.targets import key_paths

_REFERENCE = re.compile(r"\$\{([\w.\[\]]+)\}")
_OF_DIALOGS = ("zoom", "limits", "engine_limits", "brief_prompts")
# By door, what it reads only where another value refers to it. The settings of a training may stand
# on the command line of its evaluation.
_REFERRED_TO = {
    "train": (
        *_OF_DIALOGS, "near", "paper", "plan", "traces", "pairs", "pair_sizes", "sft",
        "num_phases", "max_epochs",
        "gradient_clip", "accumulate", "reload_every", "kl_coef", "kl_schedule", "algorithm",
        "importance_correction", "alignment", "tiny", "precision", "critic_lr",
    ),
    "evaluate": _OF_DIALOGS,
    "synthesize": (*_OF_DIALOGS, "near"),
}  # fmt: skip


def refuse_outdone(cfg: DictConfig, overrides: Sequence[str], *, door: str) -> None:
    """Refuse a value that the run would go without.

    Args:
        cfg: What was composed.
        overrides: The command line.
        door: The YAML at the top.
    Raises:
        ConfigError: A stage has a value of its own, or nothing that was chosen reads it.
    """
    said = [one.partition("=")[0].lstrip("+") for one in overrides if not one.startswith("~")]
    plain: Any = OmegaConf.to_container(cfg)
    stages: dict[str, Any] = {
        one.key.removeprefix("stages."): _at(plain, one.key) for one in listed_stages(cfg)
    }
    others, runs = _REFERRED_TO.get(door, ()), list[Any]()
    for key in said:
        top = key.partition(".")[0]
        if top in ("stages", "hydra") or re.search("[@/]", key) or Path(CONFIGS, key).is_dir():
            continue  # the choice of a group
        wanted = _at(plain, key)
        outdone = [
            name
            for name, stage in stages.items()
            if _has_own(stage, key, wanted) and f"stages.{name}.{key}" not in said
        ]
        if outdone:
            raise ConfigError(
                f"{key} has no effect in stages that have their own ({', '.join(outdone)}): set "
                f"stages.{outdone[0]}.{key}{' and so on' if outdone[1:] else ''}"
            )
        if top in others:
            runs = runs or [OmegaConf.to_container(stage) for stage in all_stages(cfg)]
            if not any(_is_read(run, key, others) for run in runs):
                raise ConfigError(
                    f"{key} has no effect: nothing that was chosen reads it"
                    f"{_hint(plain, key, others)}"
                )


def _has_own(stage: dict[str, Any], key: str, wanted: Any) -> bool:
    """Whether a stage has another value, in its place or in that of the node that holds it; one
    that has nothing there (rollout: null) outdoes nothing, nor does one that is made of the run's
    (name: ${name}/see).
    """
    node: Any = stage
    *holders, last = key.split(".")
    for depth, part in enumerate(holders):
        if "_target_" in node:
            return _at(node, ".".join([*holders[depth:], last])) != wanted
        node = node.get(part)
        if not isinstance(node, dict):
            return node is not None
    if last not in node:
        return "_target_" in node
    return node[last] != wanted and key not in _references(node[last])


def _is_read(raw: Any, key: str, others: Sequence[str]) -> bool:
    """Whether a value that a door reads refers to a key, itself or by way of others."""
    seen: set[str] = set()
    todo = [raw[top] for top in raw if top not in (*others, "stages", "locked")]
    while todo:
        for name in set(_references(todo.pop())) - seen:
            if f"{key}.".startswith(f"{name}.") or f"{name}.".startswith(f"{key}."):
                return True
            seen.add(name)
            todo.append(_at(raw, name))
    return False


def _references(node: Any) -> Iterator[str]:
    if isinstance(node, dict | list):
        for value in node.values() if isinstance(node, dict) else node:
            yield from _references(value)
    elif isinstance(node, str):
        for name in _REFERENCE.findall(node):
            yield name.replace("[", ".").replace("]", "")


def _at(node: Any, path: str) -> Any:
    for part in path.split("."):
        if isinstance(node, list) and part.isdigit() and int(part) < len(node):
            node = node[int(part)]
        else:
            node = node.get(part) if isinstance(node, dict) else None
    return node


def _hint(plain: dict[str, Any], key: str, others: Sequence[str]) -> str:
    """Where the value of that name is that counts."""
    stages = {"stages": plain.get("stages")}  # these first
    read = stages | {top: plain[top] for top in plain if top not in (*others, "locked")}
    name = key.rpartition(".")[2]
    found = next((path for path in key_paths(read) if path.rpartition(".")[2] == name), None)
    return f"; set {found}" if found else ""
