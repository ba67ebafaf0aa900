"""`stages:` of a run: trainings one after the other, each with what it changes in its settings.

    stages:
      warm_up: {traces: ..., max_epochs: 1}         # starts where the run starts
      turns:
        repeats: 3                                   # turns_1_collect, turns_1_rl, turns_2_collect
        stages:
          collect: {start: before, algorithm: ...}   # from the model of the stage before it
          rl: {start: warm_up, num_phases: 4}        # from the model of a stage, by its name

Beside settings a stage takes `start`; `stages` and `repeats` make a block of one. A name means that
stage of the same round, or else the last one so far; `${vigorl_stage:collect}` is its folder, for
what it has recorded. `stages.NAME=null` leaves one out. Every stage is a folder of the run; its
name, that folder and `stages: null` go without saying. A later round of a block has a seed of its
own, `seed` + 10,000 for each round before it, or it would ask the same prompts in the same order
with the same noise. Where the run starts stays the same: an untrained model is made by the run's
seed for every stage without `start`.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from omegaconf import DictConfig, OmegaConf

from vigorl.core.errors import ConfigError

WORDS = ("start", "repeats", "stages")  # of a stage, which are no settings of its training
BEFORE = "before"
SEEDS_APART = 10_000  # of two rounds; more than anybody has seeds of a run


@dataclass(frozen=True, slots=True)
class ListedStage:
    """A stage in its place.

    Attributes:
        folder: Its name in the run's folder.
        key: Where the YAML has it, such as "stages.turns.stages.rl".
        node: What stands there.
        round: Of its block, from 1.
        folders: Those of the stages before, by the names that it may call them.
    """

    folder: str
    key: str
    node: DictConfig
    round: int
    folders: Mapping[str, str]


def listed_stages(cfg: DictConfig) -> list[ListedStage]:
    """All stages in their order, those of a block as often as it says; none of a run without."""
    found: list[ListedStage] = []
    folders: dict[str, str] = {}
    for name, node in _nodes(cfg.get("stages"), "stages"):
        key = f"stages.{name}"
        inner, repeats = node.get("stages"), node.get("repeats")
        if not inner and repeats is None:
            found.append(ListedStage(name, key, node, 1, dict(folders)))
            folders[name] = name
            continue
        if inner and (others := sorted({*map(str, node)} - {"repeats", "stages"})):
            raise ConfigError(
                f"{key}.{others[0]} has no effect on a block: say it of its stages, such as "
                f"{key}.stages.{next(iter(inner))}.{others[0]}"
            )
        for round in range(1, (repeats or 1) + 1):
            first = f"{name}_{round}"
            if not inner:
                found.append(ListedStage(first, key, node, round, dict(folders)))
                folders[name] = first
            for one, own in _nodes(inner, f"{key}.stages"):
                if own.get("stages") or own.get("repeats"):
                    raise ConfigError(f"{key}.stages.{one}: there is no block within a block")
                at = f"{key}.stages.{one}"
                found.append(ListedStage(f"{first}_{one}", at, own, round, dict(folders)))
                folders[one] = f"{first}_{one}"
    if len({one.folder for one in found}) < len(found):
        names = sorted(one.folder for one in found)
        twice = next(a for a, b in pairwise(names) if a == b)
        raise ConfigError(f"stages: two of them would be {twice}: give one another name")
    return found


def _nodes(stages: DictConfig | None, key: str) -> Iterator[tuple[str, DictConfig]]:
    for name, node in (stages or {}).items():
        if node is None:
            continue  # left out
        if not isinstance(node, DictConfig):
            raise ConfigError(f"{key}.{name} must be a group of settings, got {node!r}")
        yield str(name), node


def all_stages(cfg: DictConfig) -> list[DictConfig]:
    """The settings of every stage, in order; the run's own where it has none.

    Raises:
        ConfigError: A stage starts from one that does not come before it, or all are left out.
    """
    listed = listed_stages(cfg)
    if cfg.get("stages") and not listed:
        raise ConfigError("stages: all of them are left out; stages=null is a run without any")
    before = ["", *(one.folder for one in listed)]
    made = [_config_of(cfg, one, before[i]) for i, one in enumerate(listed)]
    for number, (one, stage) in enumerate(zip(listed, made, strict=True), start=1):
        stage.stage = {
            "name": one.folder, "number": number, "count": len(listed), "round": one.round,
            "folders": dict(one.folders),
        }  # fmt: skip
    return made or [cfg]


def _config_of(cfg: DictConfig, one: ListedStage, before: str) -> DictConfig:
    """The run's config with a stage's changes."""
    staged = copy.deepcopy(cfg)
    OmegaConf.set_struct(staged, False)
    staged.update({"stages": None, "name": f"{cfg.get('name')}/{one.folder}"})
    OmegaConf.update(staged, "paths.run", f"${{paths.base}}/{one.folder}")
    if one.round > 1:
        staged.seed = cfg.seed + SEEDS_APART * (one.round - 1)
    start = _start_of(one, before)
    if start:
        made = {"path": f"${{paths.base}}/{start}/model", "maker": None}
        OmegaConf.update(staged, "model", made)
    for key in map(str, one.node):
        if key not in WORDS:
            _put(staged, key, _value(one.node, key))
    if not start:
        _make_as_the_run(staged, seed=cfg.seed)
    return staged


def _make_as_the_run(staged: DictConfig, *, seed: int) -> None:
    """Where `model.maker` follows `seed`, the run's counts, whatever the stage draws by."""
    maker = OmegaConf.select(staged, "model.maker")
    raw = OmegaConf.to_container(maker, resolve=False) if maker else None
    if isinstance(raw, dict) and raw.get("seed") == "${seed}":
        OmegaConf.update(staged, "model.maker", {**raw, "seed": seed}, merge=False)


def _value(node: DictConfig, key: str) -> Any:
    """As it stands, so that what it refers to is the stage's own; but what refers to the run's
    value of the same key, as `${name}/sft` does, is taken from there.
    """
    raw = OmegaConf.to_container(node, resolve=False)
    text = raw[key] if isinstance(raw, dict) else None
    if isinstance(text, str) and not re.search(rf"\$\{{{key}\b", text):
        return text
    return node._get_node(key) if isinstance(text, dict) else node[key]


def _start_of(one: ListedStage, before: str) -> str:
    """The folder of the stage whose model it takes; "" where that is the run's start."""
    start = one.node.get("start")
    if start is None or start == BEFORE:
        return before if start else ""
    if start not in one.folders:
        allowed = ", ".join([BEFORE, *one.folders])
        raise ConfigError(f"{one.key}.start must be null or one of {allowed}, got {start!r}")
    return one.folders[start]


def _put(into: DictConfig, key: str, node: Any) -> None:
    """Merge a value in; a node of a class takes the run's place, within groups one of another
    class does.
    """
    is_whole = not isinstance(node, DictConfig) or "_target_" in node
    for path, target in [] if is_whole else _targets(node, key):
        there = OmegaConf.select(into, path, throw_on_resolution_failure=False)
        if isinstance(there, DictConfig) and there.get("_target_") != target:
            OmegaConf.update(into, path, {}, merge=False)
    OmegaConf.update(into, key, copy.deepcopy(node), merge=not is_whole)


def _targets(node: DictConfig, path: str) -> Iterator[tuple[str, str]]:
    for key in node:
        inner = node._get_node(key)
        if not isinstance(inner, DictConfig) or inner._is_none() or inner._is_interpolation():
            continue
        if "_target_" in inner:
            yield f"{path}.{key}", str(inner._target_)
        yield from _targets(inner, f"{path}.{key}")
