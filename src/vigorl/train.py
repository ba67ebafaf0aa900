"""Train: `python -m vigorl.train experiment=grpo_vstar`. Everything else is a setting; see
configs/train.yaml.
"""

from __future__ import annotations

from vigorl.callable_door import make_callable
from vigorl.door import door, refuse_early

refuse_early(__name__, "train")  # before the imports below, which take seconds
make_callable(__name__)  # as vigorl.train(cfg)

import signal
from functools import partial
from pathlib import Path
from typing import Any

import lightning as L
from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf

from vigorl.build import (
    Parts,
    assemble,
    build_all,
    build_engine,
    build_parts,
    check_settings,
    needs_reference,
    prepare_process,
)
from vigorl.core.run_log import logged_to
from vigorl.data.token_kinds import TokenKinds
from vigorl.dry_run import rehearse
from vigorl.model_card import describe
from vigorl.model_sources import as_folder
from vigorl.models.policy import Policy
from vigorl.processes import from_first_process, is_first_process
from vigorl.rollout.chat_files import CHAT, write_chat_files
from vigorl.run_settings import resumed_settings
from vigorl.settings.stages import all_stages
from vigorl.stages import Whole, is_done
from vigorl.stopping import Stopped, take_signals
from vigorl.tracking import Run, agree_on_base, in_its_folder, start_run
from vigorl.training.algorithms.distillation import check_teacher
from vigorl.training.policy_module import PolicyModule
from vigorl.training.tensor_files import of_this_run

prepare_process()


def train(cfg: DictConfig) -> dict[str, float]:
    """One run, or its stages one after the other; returns the last metrics."""
    agree_on_base(cfg)
    metrics: dict[str, float] = {}
    stages = stages_to_do(cfg)
    for stage in stages:  # all of them before the first, which may take hours
        check_settings(stage)
    with Whole(cfg) as whole:
        for stage in stages:
            metrics = train_stage(stage, whole)
            whole.note_done(stage)
    return metrics


def stages_to_do(cfg: DictConfig) -> list[DictConfig]:
    """The run itself, or its stages without those that have ended in `paths.base`.

    With `resume`, `paths.base` is that folder, and a stage that has begun there is gone on with.
    """
    if not cfg.get("stages"):
        return in_its_folder(cfg)
    if cfg.resume:
        OmegaConf.update(cfg, "paths.base", str(cfg.resume))
    stages = all_stages(cfg)
    for stage in stages:
        stage.resume = _begun_in(cfg, stage) if cfg.resume else None
    return [stage for stage in stages if not is_done(stage)]


def _begun_in(cfg: DictConfig, stage: DictConfig) -> str | None:
    """The folder of a stage that has begun. The first process says so: a process that starts later
    finds what that one has begun meanwhile.
    """
    path = Path(stage.paths.run, "run.json")
    is_begun = from_first_process(cfg, f"{stage.name} begun", lambda: "1" if path.exists() else "0")
    return stage.paths.run if is_begun == "1" else None


def train_stage(cfg: DictConfig, whole: Whole) -> dict[str, float]:
    L.seed_everything(cfg.seed, workers=True, verbose=False)
    with start_run(cfg) as run, logged_to(run.folder, is_writer=is_first_process()):
        whole.adopt(run)
        return fit(cfg, run)


def fit(cfg: DictConfig, run: Run) -> dict[str, float]:
    """Straight down: parts -> policy -> module -> data -> callbacks -> trainer -> fit."""
    parts = build_parts(cfg)
    module = build_module(cfg, parts)
    datamodule = assemble(
        cfg.datamodule,
        source=instantiate(cfg.data),
        environment=parts.environment,
        seed=cfg.seed,
        with_pixels=module.vision_cache is None,
    )
    trainer: L.Trainer = assemble(
        cfg.trainer,
        logger=run.logger,
        callbacks=build_callbacks(cfg, parts),
        strategy=instantiate(cfg.strategy)
        if isinstance(cfg.strategy, DictConfig)
        else cfg.strategy,
        default_root_dir=str(run.folder),
    )
    run.record(cfg, datamodule)
    if is_first_process() and module.policy.source is not None:
        chat = run.folder / CHAT
        write_chat_files(chat, parts.environment, source=module.policy.source)
    try:
        with of_this_run(run.checkpoint):
            trainer.fit(module, datamodule=datamodule, ckpt_path=run.checkpoint, weights_only=True)
    except Stopped:
        if trainer.strategy.launcher is not None:
            trainer.strategy.launcher.kill(signal.SIGTERM)
        raise
    return {name: float(value) for name, value in trainer.callback_metrics.items()}


def build_module(cfg: DictConfig, parts: Parts) -> PolicyModule:
    """The module with its policy. Where rollouts are learned from, tokens are scored at the
    temperature they were sampled at; traces were not sampled by the policy, and are scored at 1.
    """
    load_trained = partial(
        Policy.from_pretrained,
        parts.model_folder,
        dtype=cfg.model.dtype,
        attn_implementation=cfg.model.attn_implementation,
        freeze_vision_tower=cfg.model.freeze_vision_tower,
        freeze_merger=cfg.model.freeze_merger,
        freeze_language_model=cfg.model.freeze_language_model,
        gradient_checkpointing=cfg.model.gradient_checkpointing,
        packing=cfg.model.packing,
        shared_prefix=cfg.model.shared_prefix,
        context_parallel=cfg.model.context_parallel,
        head=cfg.model.head,
        lora=instantiate(cfg.model.lora),
    )
    policy = load_trained()
    extra: dict[str, Any] = {}
    if needs_reference(cfg):
        extra["reference"] = _reference(cfg, parts)
        if cfg.model.get("teacher"):
            check_teacher(policy, extra["reference"])
        extra["reference_dtype"] = cfg.model.reference_dtype
    if cfg.datamodule.get("plan"):
        extra["temperature"] = cfg.env.temperature
        extra["entropy"] = instantiate(cfg.entropy)
        extra["sft_mix"] = instantiate(cfg.sft_mix)
        extra["guest_gamma"] = cfg.guests.get("gamma") if cfg.guests else None
        extra["token_kinds"] = TokenKinds(parts.codec)
    elif cfg.datamodule.get("pairs"):
        extra["temperature"] = cfg.env.temperature
    if cfg.get("critic"):
        extra["critic"] = assemble(cfg.critic, load_trained())
    if cfg.signals:
        extra["signals"] = build_all(cfg.signals)
    return assemble(
        cfg.module,
        policy,
        images=parts.images,
        optimizer=instantiate(cfg.optimizer),
        banned_ids=parts.codec.banned_ids,
        vision_cache_bytes=cfg.model.vision_cache_bytes,
        **extra,
    )


def _reference(cfg: DictConfig, parts: Parts) -> Policy:
    """The start checkpoint once more, or a teacher in its place."""
    folder, into = parts.model_folder, Path(cfg.paths.run) / "teacher_model"
    if cfg.model.get("teacher"):
        folder = as_folder(cfg.model.teacher, into=into, dtype=cfg.model.dtype, plugins=cfg.plugins)
    return Policy.from_pretrained(
        folder,
        dtype=cfg.model.reference_dtype or cfg.model.dtype,
        attn_implementation=cfg.model.attn_implementation,
        packing=cfg.model.packing,
        shared_prefix=cfg.model.shared_prefix,
        context_parallel=cfg.model.context_parallel,
        head=cfg.model.head,
    )


class _TakesSignals(L.Callback):
    """Lightning's own handler waits for the end of a batch, which a phase of rollouts may not
    reach in time, and speaks to other ranks in the middle of whatever they are doing.
    """

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        if signal.getsignal(signal.SIGINT) is not signal.default_int_handler:  # in a door
            take_signals()


def build_callbacks(cfg: DictConfig, parts: Parts) -> list[L.Callback]:
    """The shared rollout callback before all that go by it: what it finds, they judge, log and
    save.
    """
    callbacks: list[L.Callback] = [_TakesSignals()]
    if cfg.get("profile"):  # before all whose time it takes
        callbacks.append(instantiate(cfg.profile))
    if cfg.get("guard"):  # before the rollouts: where it stops a run, they are evaluated once more
        callbacks.append(instantiate(cfg.guard))
    if cfg.get("exploration"):
        callbacks.append(instantiate(cfg.exploration))
    if cfg.get("rollout"):
        callbacks.append(
            assemble(
                cfg.rollout,
                engine=build_engine(cfg, parts),
                environment=parts.environment,
                eval_environment=parts.eval_environment,
                reward=instantiate(cfg.reward),
                seed=cfg.seed,
                probes=build_all(cfg.probes),
                guests=instantiate(cfg.guests),
            )
        )
    if cfg.get("early_stop"):
        callbacks.append(instantiate(cfg.early_stop))
    for name, node in cfg.callbacks.items():
        extra: dict[str, Any] = {}
        if name in ("rollout_logger", "pictures"):
            extra["images"] = parts.images
        if name == "rollout_logger":
            extra["codec"] = parts.codec
        if name == "checkpoint":
            extra["describe"] = partial(describe, run=Path(cfg.paths.run))
        place = 0 if name == "throughput" else len(callbacks)  # before all whose time it takes
        callbacks.insert(place, assemble(node, **extra))
    return callbacks


@door("train")
def main(cfg: DictConfig) -> None:
    cfg = resumed_settings(cfg, stages_to_do) if cfg.resume else cfg
    if cfg.dry_run:
        rehearse(cfg, stages_to_do)
    else:
        train(cfg)


if __name__ == "__main__":
    main()
