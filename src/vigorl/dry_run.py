"""`python -m vigorl.train dry_run=true ...`: all of a run up to its first update, and nothing left.

Composes and checks the settings of every stage, reads and checks the data, says what the plan comes
to and the memory that it needs, then samples one group with the start checkpoint and shows it. No
run's folder, no MLflow run. Left out: the model of a later stage, which an earlier one would make.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from tempfile import TemporaryDirectory
from typing import Any

from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf

from vigorl.build import Parts, assemble, build_all, build_engine, build_parts, check_settings
from vigorl.core.errors import ConfigError
from vigorl.core.metrics import is_right
from vigorl.core.protocols import Progress
from vigorl.core.rollout import ScoredRollout
from vigorl.data.splits import DataSplits
from vigorl.diagnosis.machine import look
from vigorl.diagnosis.memory import answers_beside, check_memory, check_model, needs
from vigorl.diagnosis.report import Status, render
from vigorl.diagnosis.sources import spoken_by, start_of
from vigorl.pages.html import count_of
from vigorl.rollout.experience import score_rollouts
from vigorl.training.datamodule import GroundedTraceDataModule
from vigorl.training.generation import RolloutGenerator

_MOST_CHARACTERS = 400  # shown of a turn


def rehearse(cfg: DictConfig, stages_of: Callable[[DictConfig], Sequence[DictConfig]]) -> None:
    """Print what a run would be.

    Args:
        cfg: Its settings.
        stages_of: The stages that are left to do.
    Raises:
        ConfigError: Settings that a run would refuse, or more memory than there is.
        DataError: Data that it would refuse.
    """
    with TemporaryDirectory(prefix="vigorl-dry-run-") as folder:
        if not cfg.resume:
            OmegaConf.update(cfg, "paths.base", folder)
            if not cfg.get("stages"):
                OmegaConf.update(cfg, "paths.run", folder)
        stages = stages_of(cfg)
        for stage in stages:
            check_settings(stage)
        print(f"settings are complete: {', '.join(plan_of(stage) for stage in stages) or 'done'}")
        if stages:
            first = with_model(stages[0])
            check_fit(first)
            sample(first)
    print("dry_run=true: nothing was trained, and no run's folder was made")


def plan_of(cfg: DictConfig) -> str:
    """What a stage does, in numbers."""
    if cfg.datamodule.get("plan") is None:
        return f"{cfg.name}, {count_of(cfg.trainer.max_epochs, 'epoch')}"
    plan = instantiate(cfg.plan)
    phases, beside = cfg.trainer.max_epochs, sum(answers_beside(cfg))
    answers = f", beside each up to {beside} answers that are learned from too" if beside else ""
    return (
        f"{cfg.name}, {phases} phases of {plan.prompts_per_phase} prompts x {plan.group_size} "
        f"rollouts ({phases * plan.rollouts_per_phase:,} in all), "
        f"{phases * plan.updates_per_phase:,} updates{answers}"
    )


def with_model(cfg: DictConfig) -> DictConfig:
    """A model that is made by the run is not made here: the start that ships stands in for it."""
    start = start_of(cfg)
    if not cfg.model.get("maker") or not start.is_dir():
        return cfg
    print(f"model   is made by the run; {start} stands in for it here")
    return spoken_by(start, cfg)


def check_fit(cfg: DictConfig) -> None:
    """Print the model and the memory that it needs.

    Raises:
        ConfigError: It does not fit, or the model cannot be used.
    """
    machine = look()
    rows, model = check_model(cfg)
    if model is not None:
        rows += check_memory(cfg, needs(cfg, model, machine), machine)
    print(render(rows))
    if failed := [row.text for row in rows if row.status is Status.FAIL]:
        raise ConfigError(f"dry_run ends before anything is sampled: {failed[0]}")


def sample(cfg: DictConfig) -> None:
    """Read the data, then let the start checkpoint answer one question as a group."""
    OmegaConf.update(cfg, "trainer.devices", 1)
    OmegaConf.update(cfg, "trainer.num_nodes", 1)
    parts = build_parts(cfg)
    splits = read_data(cfg, parts)
    for name, records in splits.records.items():
        if records:
            print(f"data    {len(records):,} {name.replace('_', ' ')}")
    tasks = splits.train_tasks or splits.val_tasks
    if not tasks:
        print("nothing to sample: this stage has no questions")
        return
    size = instantiate(cfg.plan).group_size
    started = time.monotonic()
    found = RolloutGenerator(build_engine(cfg, parts), seed=cfg.seed).generate(
        parts.environment,
        tasks[:1],
        name="dry-run",
        group_size=size,
        rank=0,
        num_ranks=1,
        on_progress=lambda name, done, total: None,
        probes=build_all(cfg.probes),
    )
    spent = time.monotonic() - started
    progress = Progress(0, max(cfg.trainer.max_epochs, 1))
    scored = score_rollouts(found.rollouts, instantiate(cfg.reward), progress=progress)
    num_tokens = sum(len(turn.completion_ids) for one in found.rollouts for turn in one.turns)
    print(f"\none group of {size} rollouts: {num_tokens:,} tokens in {spent:.1f} s\n")
    print(shown_group(scored))


def read_data(cfg: DictConfig, parts: Parts) -> DataSplits:
    """As the run reads it, with every check; empty where a stage draws its own."""
    data: Any = assemble(
        cfg.datamodule,
        source=instantiate(cfg.data),
        environment=parts.environment,
        seed=cfg.seed,
        with_pixels=False,
    )
    data.prepare_data()
    data.setup()
    return data.splits if isinstance(data, GroundedTraceDataModule) else DataSplits()


def shown_group(scored: Sequence[ScoredRollout]) -> str:
    """The question, a line per rollout, and all turns of the best one."""
    task = scored[0].rollout.task
    best = max(scored, key=lambda one: one.reward.total)
    lines = [f"asked     {_short(task.question)}", f"pictures  {', '.join(map(str, task.images))}"]
    lines += [f"answer    {task.answer}", ""]
    for one in scored:
        rollout = one.rollout
        verdict = "right" if is_right(rollout) else "wrong"
        lines.append(
            f"rollout {rollout.index}: {verdict}, reward {one.reward.total:.3f}, "
            f"{len(rollout.turns)} turns, {rollout.stop_reason}"
        )
    lines += ["", f"rollout {best.rollout.index}, the best:"]
    for number, turn in enumerate(best.rollout.turns, start=1):
        lines.append(f"  turn {number}  {_short(turn.text)}")
        if turn.observation or turn.views:
            views = f"{len(turn.views)} picture(s) " if turn.views else ""
            lines.append(f"     sees  {views}{_short(turn.observation)}")
    return "\n".join(lines) + "\n"


def _short(text: str) -> str:
    plain = " ".join(text.split())
    return plain if len(plain) <= _MOST_CHARACTERS else f"{plain[:_MOST_CHARACTERS]}…"
