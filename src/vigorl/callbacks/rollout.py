"""The callback that SFT and GRPO share: it drives the engine, and turns what comes back into
batches and metrics.

For GRPO, each Lightning epoch is one phase:

    publish weights -> pick prompts -> generate -> reward -> advantages -> samples -> optimizer
    batches -> fill the buffer

For both, it evaluates the policy by generation on held-out tasks: before the first update, every
`eval_every` epochs, and at the end. All of it is a pure function of (seed, phase, weights), and of
the data module's solve rates where difficulty counts, so a resumed run repeats the phase it was
killed in.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

import lightning as L
import torch

from vigorl.core.advantages import Normalization, token_weights
from vigorl.core.errors import ConfigError
from vigorl.core.metrics import metric_sums
from vigorl.core.protocols import Engine
from vigorl.core.records import TaskRecord
from vigorl.core.rollout import Rollout, ScoredRollout, TrainingSample
from vigorl.models.weight_export import export_adapters, export_weights
from vigorl.rollout.collector import CollectStats, build_dialogs, collect
from vigorl.rollout.environment import Environment
from vigorl.rollout.experience import (
    RolloutScorer,
    score_groups,
    score_rollouts,
    training_samples,
)
from vigorl.training.alignment import AlignmentCheck
from vigorl.training.buffer import PolicyBatch, weighted
from vigorl.training.datamodule import GroundedTraceDataModule
from vigorl.training.grpo_module import GRPOModule
from vigorl.training.plan import PhasePlan
from vigorl.training.policy_module import PolicyModule
from vigorl.training.ranks import from_all_ranks
from vigorl.training.step_metrics import StepMetrics

Listener = Callable[["PhaseReport", L.Trainer], None]


@dataclass(frozen=True, slots=True)
class PhaseReport:
    """What one generation brought, for those who log it.

    Attributes:
        kind: "train" or "val".
        phase: From 0; of "val", the number of phases done.
        run_seed: Of the sampling noise.
        scored: This rank's rollouts.
        metrics: Reduced over ranks.
    """

    kind: str
    phase: int
    run_seed: int
    scored: Sequence[ScoredRollout]
    metrics: Mapping[str, float]


class RolloutCallback(L.Callback):
    """Generates, scores, fills, evaluates.

    Args:
        engine: Generates turns; owns its weights.
        environment: Of training rollouts.
        eval_environment: Of evaluation, usually greedy.
        reward: Scores a rollout; its breakdown is logged.
        seed: Of prompts, sampling and shuffling.
        normalization: How the tokens of an optimizer batch are averaged.
        constant_length: Tokens; only for "constant_length".
        scale_by_std: Advantages are divided by the group's spread.
        mask_truncated: Rollouts that a limit ended teach nothing; `train/empty_update_frac` is the
            share of a phase's updates in which that leaves no token at all, so that their gradient
            is 0.
        eval_every: Epochs between evaluations; 0 leaves only the first and the last.
        eval_limit: Most validation tasks; None takes all.
        alignment: Compares engine and trainer before a phase is learned from; None trusts them.
    """

    def __init__(
        self,
        *,
        engine: Engine,
        environment: Environment,
        eval_environment: Environment,
        reward: RolloutScorer,
        seed: int,
        normalization: str = "token_mean",
        constant_length: int | None = None,
        scale_by_std: bool = True,
        mask_truncated: bool = False,
        eval_every: int = 0,
        eval_limit: int | None = None,
        alignment: AlignmentCheck | None = None,
    ) -> None:
        self.engine, self.environment, self.eval_environment = engine, environment, eval_environment
        self.reward, self.seed = reward, seed
        self.normalization, self.constant_length = Normalization(normalization), constant_length
        self.scale_by_std, self.mask_truncated = scale_by_std, mask_truncated
        self.eval_every, self.eval_limit = eval_every, eval_limit
        self.alignment = alignment
        self.listeners: list[Listener] = []
        self.on_progress: Callable[[str, int, int], None] = lambda name, done, total: None
        self._is_published = -1
        self._maxima: dict[str, float] = {}

    # ---- Lightning hooks -------------------------------------------------------------------------

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        if trainer.global_step == 0:
            self.evaluate(trainer, _policy_module(pl_module))

    def on_train_epoch_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        datamodule = _datamodule(trainer)
        if datamodule.plan is None:
            return
        if not isinstance(pl_module, GRPOModule):
            raise ConfigError("data.plan is for GRPO; SFT takes data.traces")
        if pl_module.vision_cache is not None:
            pl_module.vision_cache.clear()
        self._run_phase(trainer, pl_module, datamodule, datamodule.plan)

    def on_train_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        done = trainer.current_epoch + 1
        is_last = done == trainer.max_epochs or trainer.global_step == trainer.max_steps
        if is_last or (self.eval_every and done % self.eval_every == 0):
            self.evaluate(trainer, _policy_module(pl_module))

    # ---- a phase ---------------------------------------------------------------------------------

    def _run_phase(
        self,
        trainer: L.Trainer,
        module: GRPOModule,
        datamodule: GroundedTraceDataModule,
        plan: PhasePlan,
    ) -> None:
        phase = trainer.current_epoch
        prompts = datamodule.prompts_of_phase(phase, seed=self.seed)
        self.publish(trainer, module)
        rollouts, stats = self._generate(
            self.environment,
            prompts.tasks,
            trainer,
            name=f"train/{phase}",
            group_size=plan.group_size,
        )
        started = time.perf_counter()
        scored = score_groups(rollouts, self.reward, scale_by_std=self.scale_by_std)
        datamodule.measure(scored)
        samples = training_samples(scored, mask_truncated=self.mask_truncated)
        aligned = self._align(phase, rollouts, samples, module, datamodule)
        self._rest()
        micro_batches, num_empty = self._micro_batches(
            samples, plan, trainer, datamodule, has_kl=module.kl_coef > 0
        )
        has_several_updates = plan.updates_per_phase > 1
        items = []
        for micro_batch in micro_batches:
            batch = datamodule.collate(micro_batch).to(module.device)
            old = module.start_logprobs(batch) if has_several_updates else None
            items.append(PolicyBatch(batch, old, module.reference_logprobs(batch)))
        assert datamodule.buffer is not None
        datamodule.buffer.fill(items)
        extra = _costs(stats) | {"time/prepare_s": (time.perf_counter() - started, 1)}
        extra |= self._publish_cost() | aligned | dict(prompts.metrics)
        if self.mask_truncated:
            extra["train/empty_update_frac"] = (num_empty, plan.updates_per_phase)
        self._log("train", phase, scored, trainer, module, extra=extra)

    def _micro_batches(
        self,
        samples: Sequence[TrainingSample],
        plan: PhasePlan,
        trainer: L.Trainer,
        datamodule: GroundedTraceDataModule,
        *,
        has_kl: bool,
    ) -> tuple[list[list[TrainingSample]], int]:
        """Samples in optimizer batches and these in micro-batches, weights set over all ranks; and
        how many optimizer batches have no token to learn from.
        """
        per_update = plan.sequences_per_update // trainer.world_size
        micro_batches: list[list[TrainingSample]] = []
        num_empty = 0
        for pass_number in range(plan.passes):
            order = list(range(len(samples)))
            random.Random(f"{self.seed}/{trainer.current_epoch}/{pass_number}").shuffle(order)
            for first in range(0, len(order), per_update):
                update = [samples[i] for i in order[first : first + per_update]]
                weights = self._weights(update, trainer)
                num_empty += weights is None
                update = weighted(update, weights or [0.0] * len(update))
                update.sort(key=datamodule.num_tokens)  # little padding; the weights are fixed
                if not has_kl:
                    update = _without_idle(update, at_least=plan.accumulate(trainer.world_size))
                micro_batches += _cut(update, plan.accumulate(trainer.world_size))
        return micro_batches, num_empty

    def _weights(self, update: Sequence[TrainingSample], trainer: L.Trainer) -> list[float] | None:
        """Of this rank's samples; None where all samples of all ranks are masked."""
        own = [sum(sample.loss_mask) for sample in update]
        counts = from_all_ranks(own, num_ranks=trainer.world_size)
        if not any(any(rank) for rank in counts):
            return None
        weights = token_weights(
            [count for rank in counts for count in rank],
            normalization=self.normalization,
            constant_length=self.constant_length,
        )
        first = sum(len(rank) for rank in counts[: trainer.global_rank])
        return weights[first : first + len(own)]

    # ---- generation ------------------------------------------------------------------------------

    def publish(self, trainer: L.Trainer, module: PolicyModule) -> None:
        """Give the engine the weights as they are now, unless it has them."""
        version = trainer.global_step
        if self._is_published != version:
            export = export_adapters if self.engine.takes_adapters else export_weights
            self.engine.publish(export(module.policy.model), version=version)
            self._is_published = version

    def _rest(self) -> None:
        """While the policy is updated the engine needs no memory, and its weights are outdated."""
        self.engine.sleep()
        self._is_published = -1

    def _align(
        self,
        phase: int,
        rollouts: Sequence[Rollout],
        samples: Sequence[TrainingSample],
        module: PolicyModule,
        datamodule: GroundedTraceDataModule,
    ) -> dict[str, tuple[float, float]]:
        if self.alignment is None or not self.alignment.is_due(phase):
            return {}
        gaps = self.alignment(
            rollouts, samples, engine=self.engine, module=module, datamodule=datamodule
        )
        self._maxima["align/max_gap"] = gaps.largest
        return {"align/mean_gap": (gaps.total, gaps.num_tokens)}

    def _publish_cost(self) -> dict[str, tuple[float, float]]:
        cost = self.engine.last_publish
        if cost is None:
            return {}
        return {"time/publish_s": (cost.seconds, 1), "perf/publish_mb": (cost.num_bytes / 1e6, 1)}

    def evaluate(self, trainer: L.Trainer, module: PolicyModule) -> dict[str, float]:
        """Generate on the validation tasks, score, log as "val/..."."""
        tasks = _spread(_datamodule(trainer).splits.val_tasks, self.eval_limit)
        if not tasks:
            return {}
        self.publish(trainer, module)
        rollouts, stats = self._generate(
            self.eval_environment, tasks, trainer, name="val", group_size=1
        )
        scored = score_rollouts(rollouts, self.reward)
        done = trainer.current_epoch + (trainer.global_step > 0)
        return self._log("val", done, scored, trainer, module, extra=_costs(stats))

    def _generate(
        self,
        environment: Environment,
        tasks: Sequence[TaskRecord],
        trainer: L.Trainer,
        *,
        name: str,
        group_size: int,
    ) -> tuple[list[Rollout], CollectStats]:
        """This rank's share of the tasks."""
        sharing = self.engine.ranks_per_engine
        dialogs = build_dialogs(
            environment,
            tasks,
            group_size=group_size,
            phase=name,
            run_seed=self.seed,
            rank=trainer.global_rank // sharing,
            num_ranks=trainer.world_size // sharing,
        )
        finished = 0

        def count(_: Rollout) -> None:
            nonlocal finished
            finished += 1
            self.on_progress(name, finished, len(dialogs))

        collected = collect(self.engine, dialogs, phase=name, on_done=count)
        own = trainer.global_rank % sharing
        rollouts = [
            rollout
            for number, rollout in enumerate(collected.rollouts)
            if number // group_size % sharing == own
        ]
        return rollouts, collected.stats

    # ---- metrics ---------------------------------------------------------------------------------

    def _log(
        self,
        kind: str,
        phase: int,
        scored: Sequence[ScoredRollout],
        trainer: L.Trainer,
        module: PolicyModule,
        *,
        extra: Mapping[str, tuple[float, float]],
    ) -> dict[str, float]:
        collected = StepMetrics()
        collected.add_sums(dict(metric_sums(scored)) | dict(extra))
        collected.add_maxima(self._maxima)
        self._maxima.clear()
        metrics = collected.compute()
        if kind == "val":
            metrics = {f"val/{_short(name)}": value for name, value in metrics.items()}
        for logger in trainer.loggers:
            logger.log_metrics(metrics | {"phase": phase}, step=trainer.global_step)
        trainer.callback_metrics.update({n: torch.tensor(v) for n, v in metrics.items()})
        for listener in self.listeners:
            listener(PhaseReport(kind, phase, self.seed, scored, metrics), trainer)
        return metrics


def _spread(tasks: Sequence[TaskRecord], limit: int | None) -> list[TaskRecord]:
    """At most `limit` tasks, evenly over the whole list (which may be sorted by kind)."""
    count = len(tasks) if limit is None else min(limit, len(tasks))
    return [tasks[i * len(tasks) // count] for i in range(count)]


def _without_idle(update: Sequence[TrainingSample], *, at_least: int) -> list[TrainingSample]:
    """The samples that can move the policy: without KL, an advantage of 0 is a gradient of 0.

    The others already count in every token's weight, so the loss and its gradient stay the same (to
    rounding) and a phase takes less time. What the training step measures is then over the busy
    samples only: `train/entropy`, `train/ratio_max`, `train/policy_loss`, `kl/old`, `clip/*`,
    `kl/sampling_*` and `sampling_ratio/*`; over all of them would need the forward passes that this
    saves. A few idle ones are kept where there would be a micro-batch of none.
    """
    busy = [sample for sample in update if sample.advantage != 0.0 and any(sample.loss_mask)]
    idle = [sample for sample in update if not (sample.advantage != 0.0 and any(sample.loss_mask))]
    return busy + idle[: max(at_least - len(busy), 0)]


def _cut(samples: Sequence[TrainingSample], num_parts: int) -> list[list[TrainingSample]]:
    """Neighbours together, in parts of sizes that differ by at most one."""
    bounds = [len(samples) * i // num_parts for i in range(num_parts + 1)]
    return [list(samples[a:b]) for a, b in pairwise(bounds)]


def _short(name: str) -> str:
    """val/rollout/accuracy says too much."""
    return name.removeprefix("rollout/")


def _costs(stats: CollectStats) -> dict[str, tuple[float, float]]:
    return {
        "time/generate_s": (stats.wall_s, 1),
        "time/engine_frac": (stats.engine_s, max(stats.wall_s, 1e-9)),
        "perf/tokens_per_s": (stats.num_new_tokens, max(stats.wall_s, 1e-9)),
    }


def _policy_module(module: L.LightningModule) -> PolicyModule:
    if not isinstance(module, PolicyModule):
        raise ConfigError(
            f"callbacks.rollout works with SFT and GRPO modules, not {type(module).__name__}"
        )
    return module


def _datamodule(trainer: L.Trainer) -> GroundedTraceDataModule:
    datamodule = trainer.datamodule  # pyright: ignore[reportAttributeAccessIssue]
    if not isinstance(datamodule, GroundedTraceDataModule):
        raise ConfigError("callbacks.rollout needs the GroundedTraceDataModule")
    return datamodule
