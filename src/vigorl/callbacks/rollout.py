"""The callback that SFT and policy gradients share: it takes a run through its phases and its
evaluations.

With `data.plan`, each Lightning epoch is one phase:

    publish weights -> pick prompts -> generate -> probe -> reward -> choose groups ->
    (read tokens) -> credit -> samples -> optimizer batches -> micro-batches -> fill the buffer

A method of `training.groups` may go back from the rewards to the prompts before it chooses.

With every run, it evaluates the policy by generation on held-out tasks: before the first update,
every `eval_every` epochs, and at the end. All of it is a pure function of (seed, phase, weights),
and of the data module's solve rates with a sampler, of the state of a group method, of a round that
was made ahead (`training.overlap`), so a resumed run repeats the phase it was killed in.
"""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence
from typing import Any

import lightning as L
import torch

from vigorl.callbacks.phase_report import Listener, PhaseReport, pays_accuracy, phase_metrics
from vigorl.core.errors import ConfigError
from vigorl.core.metrics import credit_sums
from vigorl.core.protocols import EncodingEngine, Engine, Progress
from vigorl.core.rollout import Rollout, ScoredRollout, TrainingSample
from vigorl.core.spans import Kind, note, span
from vigorl.rollout.collector import evenly
from vigorl.rollout.environment import Environment
from vigorl.rollout.experience import RolloutScorer, score_rollouts
from vigorl.rollout.probes.probe import Probe, Schedule
from vigorl.training.alignment import AlignmentCheck, check_masks
from vigorl.training.buffer import with_spares
from vigorl.training.datamodule import GroundedTraceDataModule
from vigorl.training.generation import Costs, OnProgress, RolloutGenerator
from vigorl.training.groups.collection import with_idle
from vigorl.training.groups.method import GroupMethod, Moment
from vigorl.training.guests import Guests, guest_sums
from vigorl.training.overlap import Ahead, OneStep
from vigorl.training.phase import (
    Cutting,
    credit_rollouts,
    cut_phase,
    read_start,
    with_sampled_as_old,
)
from vigorl.training.plan import PhasePlan
from vigorl.training.policy_gradient_module import PolicyGradientModule
from vigorl.training.policy_module import PolicyModule
from vigorl.training.readings import TokenReadings, read_rollouts, reads_of, sample_of
from vigorl.training.rounds import Conditions, Rounds
from vigorl.training.second_objective import beside, check_teaching, teaches


class RolloutCallback(L.Callback):
    """Generates, scores, fills, evaluates.

    Args:
        engine: Generates turns; owns its weights.
        environment: Dialogs of training rollouts.
        eval_environment: Dialogs of evaluation, usually greedy.
        reward: Scores a rollout; its breakdown is logged.
        seed: Seed of prompts, sampling and shuffling.
        eval_every: Epochs between evaluations; 0 leaves only the first and the last.
        eval_limit: Most validation tasks; None takes all.
        alignment: Compares engine and trainer before a phase is learned from; None trusts them.
        probes: What is asked about the rollouts of phases.
        guests: Who joins each group in place of one of its rollouts; None: nobody.
        groups: Which groups a phase generates and learns from; None: those of its prompts, all.
        overlap: Phases are generated while the one before is learned from; None: one after the
            other.
        reuse_features: What the engine has encoded is learned from; else the trainer's own tower,
            which is the same and rounds otherwise, encodes it once more.
    Attributes:
        eval_probes: What is asked about those of evaluations; see `callbacks.faithfulness`.
        eval_schedule: Of which evaluations, and how much.
        learns_noise: Rollouts that saw noise are learned from under it, not under clean pictures.
        listeners: Told of each generation.
    """

    def __init__(
        self,
        *,
        engine: Engine,
        environment: Environment,
        eval_environment: Environment,
        reward: RolloutScorer,
        seed: int,
        eval_every: int = 0,
        eval_limit: int | None = None,
        alignment: AlignmentCheck | None = None,
        probes: Sequence[Probe] = (),
        guests: Guests | None = None,
        groups: GroupMethod | None = None,
        overlap: OneStep | None = None,
        reuse_features: bool = False,
    ) -> None:
        self.generator = RolloutGenerator(engine, seed=seed)
        self.environment, self.eval_environment = environment, eval_environment
        self.reward, self.seed = reward, seed
        self.eval_every, self.eval_limit = eval_every, eval_limit
        self.alignment, self.probes = alignment, tuple(probes)
        self.groups, self.guests = groups, guests
        self.reuse_features = reuse_features
        self.ahead = None if overlap is None else Ahead(overlap)
        self._rounds = Rounds(
            self.generator,
            probes=self.probes,
            groups=groups,
            num_guests=int(guests is not None),
            ahead=self.ahead,
        )
        self.eval_probes: Sequence[Probe] = ()
        self.eval_schedule = Schedule()
        self.learns_noise = False
        self.listeners: list[Listener] = []
        self.on_progress: OnProgress = lambda name, done, total: None

    # ---- Lightning hooks -------------------------------------------------------------------------

    def state_dict(self) -> dict[str, Any]:
        """Lightning saves it with the weights; empty without a group method that remembers, and
        without rollouts made ahead.
        """
        groups = {} if self.groups is None else self.groups.state_dict()
        ahead = {} if self.ahead is None else self.ahead.state_dict()
        state = {"method": type(self.groups).__name__, "groups": groups} if groups else {}
        return state | ({"ahead": ahead} if ahead else {})

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Lightning calls it before the first phase that is left to do."""
        if self.groups is not None and type(self.groups).__name__ == state_dict.get("method"):
            self.groups.load_state_dict(state_dict["groups"])
        if self.ahead is not None and "ahead" in state_dict:
            self.ahead.load_state_dict(state_dict["ahead"])

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        mix = pl_module.sft_mix if isinstance(pl_module, PolicyGradientModule) else None
        for one in (self.guests, mix):
            if one is not None:
                one.answers.check(_datamodule(trainer).splits.train_tasks)
        if isinstance(pl_module, PolicyGradientModule):
            self._check_groups(pl_module)
            self._check_features(pl_module)
        if trainer.global_step == 0:
            self.evaluate(trainer, _policy_module(pl_module))

    def on_train_epoch_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        datamodule = _datamodule(trainer)
        if datamodule.plan is None:
            return
        if not isinstance(pl_module, PolicyGradientModule):
            raise ConfigError("data.plan is for policy gradients; SFT takes data.traces")
        if pl_module.vision_cache is not None:
            pl_module.vision_cache.clear()
        self._run_phase(trainer, pl_module, datamodule, datamodule.plan)

    def on_train_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        done = trainer.current_epoch + 1
        is_last = done == trainer.max_epochs or trainer.global_step == trainer.max_steps
        if is_last or trainer.should_stop or (self.eval_every and done % self.eval_every == 0):
            with span(Kind.EVALUATE):
                self.evaluate(trainer, _policy_module(pl_module))

    def on_exception(
        self, trainer: L.Trainer, pl_module: L.LightningModule, exception: BaseException
    ) -> None:
        self._drop_ahead()

    def teardown(self, trainer: L.Trainer, pl_module: L.LightningModule, stage: str) -> None:
        self._drop_ahead()

    def _drop_ahead(self) -> None:
        if self.ahead is not None:
            self.ahead.drop()

    def _check_groups(self, module: PolicyGradientModule) -> None:
        check_teaching(self.probes, module)
        needs_old = self.groups is not None and self.groups.needs_old
        if needs_old and not module.algorithm.needs_old:
            raise ConfigError(
                "groups=replay needs an algorithm that compares with the policy that sampled; "
                f"{type(module.algorithm).__name__} would take old rollouts for its own"
            )

    def _check_features(self, module: PolicyModule) -> None:
        engine = self.generator.engine
        has_both = module.vision_cache is not None and isinstance(engine, EncodingEngine)
        if self.reuse_features and not has_both:
            raise ConfigError(
                "rollout.reuse_features=true needs a frozen tower and an engine that hands out "
                f"features, as engine=hf does; {type(engine).__name__} does not: set it to false"
            )

    # ---- a phase ---------------------------------------------------------------------------------

    def _run_phase(
        self,
        trainer: L.Trainer,
        module: PolicyGradientModule,
        datamodule: GroundedTraceDataModule,
        plan: PhasePlan,
    ) -> None:
        phase, order = trainer.current_epoch, f"{self.seed}/{trainer.current_epoch}"
        module.has_several_updates = plan.updates_per_phase > 1
        under = Conditions(
            trainer=trainer,
            datamodule=datamodule,
            plan=plan,
            environment=self.environment,
            reward=self.reward,
        )
        self._publish(trainer, module)
        found, taught, costs = self._rounds.generate(phase, under, on_progress=self.on_progress)
        datamodule.measure(found.scored)
        placed = [found.scored[i].rollout for i in (*found.learned, *found.idle)]
        aligned, max_gap = self._align(phase, placed, trainer, module, datamodule)
        if self.ahead is not None:
            costs |= self._rounds.ages(placed, under)
            self._rounds.begin(phase + 1, under)
        else:
            self._adopt_features(placed, module)
            self.generator.rest()
        started = time.perf_counter()
        guests = self._invite([found.scored[i] for i in found.learned], phase, trainer)
        placed += [one.rollout for one in guests]  # no method of groups beside them: none is idle
        if not self.learns_noise:
            placed = [rollout.without_noise for rollout in placed]
        readings = self._read(placed, module, datamodule, plan)
        num_own = len(found.learned)
        credited = credit_rollouts(
            [*(found.scored[i] for i in found.learned), *guests],
            module.algorithm,
            readings=readings[: num_own + len(guests)],
        )
        check_masks([one.rollout for one in credited.scored], credited.samples)
        guests = credited.scored[num_own:]
        credited = credited._replace(scored=credited.scored[:num_own])
        scored, samples, credit = with_idle(credited, found)
        own_samples = samples
        if self.groups is not None:
            of_places = [scored[i] for i in (*found.learned, *found.idle)]
            moment = Moment(version=trainer.global_step, order=order)
            samples = self.groups.fill(samples, of_places, moment=moment)
            costs |= self.groups.metrics()
        if not self.learns_noise:
            samples = [sample.without_noise for sample in samples]
        cutting = Cutting(
            plan=plan,
            algorithm=module.algorithm,
            order=order,
            num_tokens=datamodule.num_tokens,
            rank=trainer.global_rank,
            num_ranks=trainer.world_size,
            by_group=module.policy.shared_prefix,
            attention=module.policy.attention_cost,
            num_shared=datamodule.num_shared,
        )
        cut = cut_phase(samples, cutting, keeps_all=module.needs_zero_advantages)
        if teaches(self.probes):
            cut = beside(cut, taught, cutting, keeps_noise=self.learns_noise)
        with span(Kind.LOGPROB, "start"):
            micro_batches = read_start(
                cut.micro_batches,
                module=module,
                collate=datamodule.collate,
                has_several_updates=plan.updates_per_phase > 1,
                per_update=cut.per_update,
            )
        if module.sft_mix is not None:
            micro_batches = module.sft_mix.beside(
                micro_batches,
                datamodule.splits.train_tasks,
                environment=self.environment,
                accumulate=plan.accumulate(trainer.world_size),
                order=order,
                rank=trainer.global_rank,
                num_ranks=trainer.world_size,
            )
        assert datamodule.buffer is not None
        if self.groups is not None and self.groups.needs_old:
            micro_batches = with_sampled_as_old(
                micro_batches, module=module, collate=datamodule.collate
            )
        places = plan.accumulate(trainer.world_size)
        batches = with_spares(micro_batches, cut.per_update, places=places)
        if (group := module.policy.context) is not None:  # one of each rank in turn
            batches = [one for at in zip(*group.gather(batches), strict=True) for one in at]
        datamodule.buffer.fill(batches)
        sums = costs | self.generator.publish_costs | aligned | dict(credit) | credit_sums(scored)
        sums |= guest_sums(guests) if guests else {}
        ended = time.perf_counter()
        note(Kind.PREPARE, started, ended)
        sums["time/prepare_s"] = (ended - started, 1)
        if not all(any(sample.loss_mask) for sample in samples):  # else no update can be empty
            sums["train/empty_update_frac"] = (cut.num_empty, plan.updates_per_phase)
        with span(Kind.RECORD):
            self._log(
                "train", phase, scored, trainer, sums=sums, maxima=max_gap, samples=own_samples
            )

    def _publish(self, trainer: L.Trainer, module: PolicyModule) -> None:
        """Give the engine the weights as they are now, once no rollouts are being made."""
        if self.ahead is not None:
            self.ahead.settle()
        self.generator.publish(module.policy, version=trainer.global_step)

    def _adopt_features(self, rollouts: Sequence[Rollout], module: PolicyModule) -> None:
        """After the alignment check, which compares the engine's tower too."""
        if self.reuse_features:
            engine, cache = self.generator.engine, module.vision_cache
            assert isinstance(engine, EncodingEngine)
            assert cache is not None
            cache.adopt((view.key for one in rollouts for view in one.views), engine.features)

    def _read(
        self,
        rollouts: Sequence[Rollout],
        module: PolicyGradientModule,
        datamodule: GroundedTraceDataModule,
        plan: PhasePlan,
    ) -> Sequence[TokenReadings]:
        """What the algorithm must know of tokens before it credits them; nothing where it does not
        ask.
        """
        reads, has_critic = reads_of(module.algorithm), module.critic is not None
        if not reads and not has_critic:
            return ()
        with span(Kind.LOGPROB, "readings"):
            return read_rollouts(
                rollouts,
                reads=reads,
                has_reference=module.algorithm.needs_reference,
                module=module,
                collate=datamodule.collate,
                num_tokens=datamodule.num_tokens,
                batch_size=plan.micro_batch_size,
                most_tokens=plan.micro_batch_tokens,
                has_critic=has_critic,
            )

    def _invite(
        self, scored: Sequence[ScoredRollout], phase: int, trainer: L.Trainer
    ) -> list[ScoredRollout]:
        """One guest per group; none where nobody is to join."""
        if self.guests is None:
            return []
        progress = Progress(phase, max(trainer.max_epochs or 1, 1))
        return self.guests.invite(
            scored, environment=self.environment, reward=self.reward, progress=progress
        )

    def _align(
        self,
        phase: int,
        rollouts: Sequence[Rollout],
        trainer: L.Trainer,
        module: PolicyGradientModule,
        datamodule: GroundedTraceDataModule,
    ) -> tuple[Costs, dict[str, float]]:
        """Sums and maxima to log; none where it is not due. Rollouts of older weights say nothing
        of the gap: a few are made anew, of the same questions.
        """
        if self.alignment is None or not self.alignment.is_due(phase):
            return {}, {}
        started = time.perf_counter()
        if any(one.policy_version != trainer.global_step for one in rollouts):
            tasks = {one.task.id: one.task for one in rollouts}
            rollouts = self.generator.generate(
                self.environment,
                list(tasks.values()),
                name=f"align/{phase}",
                group_size=-(-self.alignment.num_rollouts // len(tasks)),
                rank=0,
                num_ranks=1,
                on_progress=self.on_progress,
            ).rollouts
        samples = [sample_of(one) for one in rollouts]
        with span(Kind.LOGPROB, "alignment"):
            gaps = self.alignment(
                rollouts, samples, engine=self.generator.engine, module=module,
                datamodule=datamodule,
            )  # fmt: skip
        sums: Costs = {
            "align/mean_gap": (gaps.total, gaps.num_tokens),
            "time/align_s": (time.perf_counter() - started, 1),
        }
        return sums, {"align/max_gap": gaps.largest}

    # ---- evaluation ------------------------------------------------------------------------------

    def evaluate(self, trainer: L.Trainer, module: PolicyModule) -> dict[str, float]:
        """Generate on the validation tasks, score, log as "val/..."."""
        tasks = evenly(_datamodule(trainer).splits.val_tasks, self.eval_limit)
        if not tasks:
            return {}
        self._publish(trainer, module)
        done = trainer.current_epoch + (trainer.global_step > 0)
        number = math.ceil(done / self.eval_every) if self.eval_every else int(done > 0)
        generated = self.generator.generate(
            self.eval_environment,
            tasks,
            name="val",
            group_size=1,
            rank=trainer.global_rank,
            num_ranks=trainer.world_size,
            on_progress=self.on_progress,
            probes=self.eval_probes if self.eval_schedule.is_due(number) else (),
            schedule=self.eval_schedule,
        )
        progress = Progress(done, max(trainer.max_epochs or 1, 1))
        scored = score_rollouts(generated.rollouts, self.reward, progress=progress)
        return self._log("val", done, scored, trainer, sums=generated.costs)

    # ---- metrics ---------------------------------------------------------------------------------

    def _log(
        self,
        kind: str,
        phase: int,
        scored: Sequence[ScoredRollout],
        trainer: L.Trainer,
        *,
        sums: Costs,
        maxima: Mapping[str, float] | None = None,
        samples: Sequence[TrainingSample] = (),
    ) -> dict[str, float]:
        metrics = phase_metrics(kind, scored, sums=sums, maxima=maxima or {})
        again = {"reward/accuracy", "val/reward/accuracy"} if pays_accuracy(self.reward) else set()
        shown = {name: value for name, value in metrics.items() if name not in again}
        for logger in trainer.loggers:
            logger.log_metrics(shown | {"phase": phase}, step=trainer.global_step)
        trainer.callback_metrics.update({n: torch.tensor(v) for n, v in metrics.items()})
        for listener in self.listeners:
            listener(PhaseReport(kind, phase, self.seed, scored, metrics, samples), trainer)
        return metrics


def _policy_module(module: L.LightningModule) -> PolicyModule:
    if not isinstance(module, PolicyModule):
        raise ConfigError(
            f"callbacks.rollout works with policy modules, not {type(module).__name__}"
        )
    return module


def _datamodule(trainer: L.Trainer) -> GroundedTraceDataModule:
    datamodule = trainer.datamodule  # pyright: ignore[reportAttributeAccessIssue]
    if not isinstance(datamodule, GroundedTraceDataModule):
        raise ConfigError("callbacks.rollout needs the GroundedTraceDataModule")
    return datamodule
