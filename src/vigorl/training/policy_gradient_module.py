"""A policy gradient's training step, whatever the algorithm: batch -> logprobs -> loss.

Old, reference and sampling logprobs, credit and masks come in the batch (`training.phase`); what
becomes of them is `module.algorithm`'s matter. Where the engine that sampled is not the trainer to
the last digit, importance weights go in too. What a step measures (entropy, ratios, clips, the gap
to the engine) is over the tokens of its own forward passes: samples that cannot move the policy
have none. Where none of an update can, on any rank, no step is taken: AdamW's momentum and weight
decay would move the weights for no reason. `train/no_signal` is 1 there.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import replace
from typing import Any

import torch
from lightning.pytorch.strategies import DeepSpeedStrategy
from torch import Tensor

from vigorl.core.errors import ConfigError
from vigorl.core.rollout import TrainingSample
from vigorl.data.collate import TrainingBatch
from vigorl.data.token_kinds import TokenKinds
from vigorl.models.correction import ImportanceCorrection
from vigorl.models.losses import LossInputs, LossOutput, shaped_imitation_loss
from vigorl.models.policy import Policy
from vigorl.models.pretrained import cast_weights, parse_dtype
from vigorl.models.sharding import shard_module
from vigorl.ranks import from_all_ranks
from vigorl.training.algorithms.protocol import (
    Algorithm,
    ReadsSignals,
    Stateful,
    check_beside,
)
from vigorl.training.buffer import PolicyBatch, Spare
from vigorl.training.critic import Critic, check_critic, drop_gradients
from vigorl.training.entropy import EntropyRule
from vigorl.training.kl_schedule import CosineKL
from vigorl.training.marks import StartValues
from vigorl.training.moving_reference import MovingReference
from vigorl.training.policy_module import PolicyModule
from vigorl.training.sft_mix import SFTMix, mixed_loss
from vigorl.training.signals.signal import TokenSignal, read_signals
from vigorl.training.strategy import FSDP2Strategy
from vigorl.training.token_measures import add_entropy, add_gap, correcting_weights, with_guests


class PolicyGradientModule(PolicyModule):
    """Learns from rollouts.

    Args:
        policy: The model that learns.
        algorithm: Its credit and its loss.
        reference: The start checkpoint, frozen; None where the algorithm needs none, or with LoRA
            (whose adapters are switched off instead).
        reference_dtype: Dtype of the reference's weights; None follows the policy's, which
            DeepSpeed may have cast, so that a KL starts at 0. With bfloat16 beside a float32 policy
            it starts a little above.
        importance_correction: How the gap between the engine that sampled and the trainer is
            corrected; None only measures it.
        signals: What is read of tokens under changed pictures; names are unique.
        moving_reference: Lets the reference follow the policy; None keeps the start checkpoint.
        kl_schedule: Lowers the price of the KL to the reference while the run goes on; None keeps
            it.
        entropy: What entropy earns or costs beside the algorithm's loss; None nothing.
        sft_mix: How much worked solutions count beside; None: there are none.
        guest_gamma: How guests are learned from; see `training.guests`.
        critic: What the algorithm's credit goes by, which learns in the same steps; None: it goes
            by none.
        token_kinds: Tells coordinates, words and tags apart, so that their entropies are logged
            apart; None measures all tokens together.
        kwargs: Arguments of `PolicyModule`.
    Attributes:
        has_several_updates: In a phase; with one, clip fractions of 0 are not logged.
    Raises:
        ConfigError: A reference or a critic is missing, or has no effect.
    """

    def __init__(
        self,
        policy: Policy,
        *,
        algorithm: Algorithm,
        reference: Policy | None = None,
        reference_dtype: str | None = None,
        importance_correction: ImportanceCorrection | None = None,
        signals: Sequence[TokenSignal] = (),
        moving_reference: MovingReference | None = None,
        kl_schedule: CosineKL | None = None,
        entropy: EntropyRule | None = None,
        guest_gamma: float | None = None,
        sft_mix: SFTMix | None = None,
        critic: Critic | None = None,
        token_kinds: TokenKinds | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(policy, **kwargs)
        self.has_several_updates = True
        if algorithm.needs_reference and reference is None and policy.lora is None:
            raise ConfigError("the algorithm needs module.reference (the start checkpoint)")
        if not algorithm.needs_reference and reference is not None:
            raise ConfigError(
                "module.reference has no effect: the algorithm needs none (kl_coef=0)"
            )
        if moving_reference is not None and reference is None:
            raise ConfigError(
                "module.moving_reference has nothing to move: set algorithm.kl_coef above 0, and "
                "no model.lora, whose reference is the model without its adapters"
            )
        if kl_schedule is not None and not algorithm.needs_reference:
            raise ConfigError("kl_schedule has no effect with algorithm.kl_coef=0")
        check_critic(algorithm, is_there=critic is not None)
        self.moving_reference, self.kl_schedule = moving_reference, kl_schedule
        self.critic = critic
        check_beside(
            algorithm,
            signals=[one.name for one in signals],
            corrects=importance_correction is not None,
        )
        self.signals, self.entropy, self.token_kinds = tuple(signals), entropy, token_kinds
        self.algorithm, self.importance_correction = algorithm, importance_correction
        self.guest_gamma, self.sft_mix = guest_gamma, sft_mix
        # in a list, so that it is neither trained, nor saved, nor partitioned as part of this
        # module
        self._reference = [reference.requires_grad_(False).eval()] if reference else []
        self.reference_dtype = parse_dtype(reference_dtype) if reference_dtype else None

    @property
    def gradient_signals(self) -> tuple[str, ...]:
        """See `algorithms.protocol.ReadsSignals`."""
        algorithm = self.algorithm
        return algorithm.gradient_signals if isinstance(algorithm, ReadsSignals) else ()

    @property
    def needs_old(self) -> bool:
        """Whether a step reads logprobs of the phase's start."""
        return self.algorithm.needs_old or self.importance_correction is not None

    @property
    def needs_zero_advantages(self) -> bool:
        """Whether samples whose advantages are all 0 move the policy, or teach a critic."""
        beside = self.entropy is not None or self.critic is not None
        return self.algorithm.needs_zero_advantages or beside

    def groups_beside(self) -> list[dict[str, Any]]:
        return [] if self.critic is None else self.critic.optimizer_groups()

    def shard(self, strategy: FSDP2Strategy) -> None:
        super().shard(strategy)
        if self.critic is not None:
            strategy.shard(self.critic.backbone)
            shard_module(self.critic.head, strategy.weight_mesh)

    def on_fit_start(self) -> None:
        is_deepspeed = isinstance(self.trainer.strategy, DeepSpeedStrategy)
        if self.moving_reference is not None and is_deepspeed:
            raise ConfigError(
                "module.moving_reference needs whole weights: set strategy=auto or strategy=ddp"
            )
        for reference in self._reference:
            cast_weights(reference, self.reference_dtype or self.policy.dtype)
            reference.to(self.device)

    def on_train_epoch_end(self) -> None:
        moving = self.moving_reference
        if moving is None or not moving.is_due(self.trainer.current_epoch + 1):
            return
        moving.move(self._reference[0], self.policy)
        if moving.reset_optimizer:
            for optimizer in self.trainer.optimizers:
                for weight in self.trained_parameters():
                    optimizer.state.pop(weight, None)

    def training_step(self, item: PolicyBatch | Spare, batch_idx: int) -> Tensor:
        if isinstance(item, Spare):
            return self.no_loss()
        batch = item.batch
        self.count_padding(batch)
        self._note_signal(batch)
        logprobs, entropy = self.logprobs(
            batch,
            with_entropy=True,
            entropy_gradient=self.entropy is not None and self.entropy.is_exact,
        )
        assert entropy is not None
        changed = {name: self.logprobs(one)[0] for name, one in item.changed.items()}
        # with one update per phase, and no dropout, the policy that sampled is the policy now
        old = logprobs.detach() if item.old_logprobs is None else item.old_logprobs
        batch = with_guests(batch, old)
        assert batch.advantages is not None
        add_gap(self.step_metrics, batch, old)
        seen = {**item.changed_logprobs, **{name: one.detach() for name, one in changed.items()}}
        signals, factors = read_signals(self.signals, seen, old, batch.loss_mask.bool())
        weights = correcting_weights(self.step_metrics, batch, old, self.importance_correction)
        inputs = LossInputs(
            policy_logprobs=logprobs,
            old_logprobs=old,
            advantages=batch.advantages,
            loss_mask=batch.loss_mask,
            token_weight=batch.token_weight,
            ref_logprobs=item.ref_logprobs,
            sampling_logprobs=batch.sampling_logprobs,
            importance_weights=weights,
            token_factors=factors,
            signals=signals,
            entropy=entropy.detach(),
            changed_logprobs=changed,
            marks=item.marks,
            kl_factor=self._kl_factor(),
        )
        add_entropy(self.step_metrics, batch, entropy.detach(), self.token_kinds)
        output = self._loss(inputs, batch.is_guest)
        if self.entropy is not None:
            nats = entropy if self.entropy.is_exact else -logprobs
            output = self._with_entropy(output, nats, batch)
        loss = self.report(self._mixed(output, item.solutions))
        return loss if self.critic is None else loss + self._critic_loss(self.critic, batch)

    def _critic_loss(self, critic: Critic, batch: TrainingBatch) -> Tensor:
        loss, sums = critic.learn(batch, self.features(batch))
        self.step_metrics.add_sums(sums)
        return self.scaled(loss, lr="critic.lr")

    def _mixed(self, output: LossOutput, solutions: TrainingBatch | None) -> LossOutput:
        if self.sft_mix is None or solutions is None:
            return output
        mu = self.sft_mix.mu(
            self.global_step / max(int(self.trainer.estimated_stepping_batches), 1)
        )
        self._has_signal = self._has_signal or mu > 0
        return mixed_loss(
            output,
            self.logprobs(solutions, temperature=1.0)[0],
            solutions.loss_mask,
            solutions.token_weight,
            mu=mu,
            is_weighted=self.sft_mix.is_weighted,
        )

    def _loss(self, inputs: LossInputs, is_guest: Tensor | None) -> LossOutput:
        """The algorithm's, and that of guests where they have one of their own."""
        if self.guest_gamma is None or is_guest is None:
            return self.algorithm.loss(inputs)
        mask, guests = inputs.loss_mask.bool(), is_guest[:, None]
        own = self.algorithm.loss(replace(inputs, loss_mask=mask & ~guests))
        of_guests = shaped_imitation_loss(
            inputs.policy_logprobs,
            inputs.advantages,
            mask & guests,
            inputs.token_weight,
            gamma=self.guest_gamma,
        )
        return replace(own, loss=own.loss + of_guests)

    def _kl_factor(self) -> float:
        if self.kl_schedule is None:
            return 1.0
        factor = self.kl_schedule.factor(self._progress())
        self.step_metrics.add_maxima({"kl/factor": factor})
        return factor

    def _progress(self) -> float:
        """Share of the run's phases that are done."""
        return self.trainer.current_epoch / max(self.trainer.max_epochs or 1, 1)

    def _with_entropy(self, output: LossOutput, nats: Tensor, batch: TrainingBatch) -> LossOutput:
        """The loss with what the rule pays for entropy, which is [batch, tokens]."""
        assert self.entropy is not None
        assert batch.token_share is not None
        coef = self.entropy.coef(self._progress())
        self.step_metrics.add_maxima({"train/entropy_coef": coef})
        if not coef:
            return output
        share = torch.where(batch.loss_mask.bool(), nats * batch.token_share[:, None], 0.0)
        return replace(output, loss=output.loss - coef * share.sum())

    def on_update_measured(self, metrics: dict[str, float]) -> None:
        if self.entropy is not None and "train/entropy" in metrics:
            self.entropy.observe(metrics["train/entropy"])
        if not self.has_several_updates:  # then ratios are 1, but for replayed rollouts
            for name in [one for one in metrics if one.startswith("clip/") and not metrics[one]]:
                del metrics[name]

    _has_signal = False  # of this rank's micro-batches of the update so far

    def _note_signal(self, batch: TrainingBatch) -> None:
        assert batch.advantages is not None
        moving = batch.loss_mask.bool()
        if not self.needs_zero_advantages:
            moving = moving & (batch.advantages != 0)
        self._has_signal = self._has_signal or bool(moving.any())

    def on_before_optimizer_step(self, optimizer: torch.optim.Optimizer) -> None:
        super().on_before_optimizer_step(optimizer)
        strategy = self.trainer.strategy
        is_zero = isinstance(strategy, DeepSpeedStrategy)
        if is_zero and not strategy.deepspeed_engine.is_gradient_accumulation_boundary():
            return
        has_signal, self._has_signal = any(from_all_ranks(self._has_signal)), False
        if self.critic is not None and not is_zero:
            self.step_metrics.add_maxima(self.critic.check_gradient())
            if self.trainer.current_epoch < self.critic.warmup_phases:
                drop_gradients(self.trained_parameters())
        if has_signal:
            return
        self.step_metrics.add_sums({"train/no_signal": (1, 1)})
        drop_gradients(self.trained_parameters())
        if self.critic is not None:
            drop_gradients(self.critic.trained_parameters())
        for group in optimizer.param_groups if is_zero else ():
            group["lr"] = 0.0  # DeepSpeed steps whatever there is; the schedule sets the next rate

    def configure_gradient_clipping(
        self,
        optimizer: torch.optim.Optimizer,
        gradient_clip_val: float | None = None,
        gradient_clip_algorithm: str | None = None,
    ) -> None:
        if self.critic is None or not gradient_clip_val:
            super().configure_gradient_clipping(
                optimizer, gradient_clip_val, gradient_clip_algorithm
            )
            return
        for weights in (self.trained_parameters(), self.critic.trained_parameters()):
            torch.nn.utils.clip_grad_norm_(weights, gradient_clip_val)  # each by its own norm

    def values(self, batch: TrainingBatch) -> Tensor:
        """[batch, tokens] what the critic expects before each token, as it is now."""
        assert self.critic is not None
        with self.scoring(), self.critic.scoring():
            return self.critic(batch, self.features(batch))

    def start_logprobs(self, batch: TrainingBatch) -> Tensor:
        """[batch, tokens] nats, under the weights as they are now; see `scoring`."""
        with self.scoring():
            return self.logprobs(batch)[0]

    def start_values(
        self,
        samples: Sequence[TrainingSample],
        batch: TrainingBatch,
        changed_logprobs: Mapping[str, Tensor],
    ) -> StartValues:
        """What marks are made of, under the weights as they are now; see `scoring`.

        Args:
            samples: Of the batch.
            batch: As tensors.
            changed_logprobs: On the CPU; see `MicroBatch`.
        """
        with self.scoring():
            old, entropy = self.logprobs(batch, with_entropy=True)
        assert entropy is not None
        assert batch.advantages is not None
        old, mask = old.cpu(), batch.loss_mask.cpu().bool()
        return StartValues(
            samples, mask, old, entropy.cpu(), batch.advantages.cpu(),
            {
                signal.name: signal.values(changed_logprobs[signal.name], old, mask)
                for signal in self.signals
                if signal.name in changed_logprobs
            },
        )  # fmt: skip

    def start_squares(self, batch: TrainingBatch, logprobs: Tensor) -> Tensor:
        """[batch, tokens] the sum over the vocabulary of p^2 at each token, from another pass.

        At half the temperature a token's logprob is 2 z - logsumexp(2 z), so the difference to
        twice its own is log sum p^2.

        Args:
            batch: Read.
            logprobs: Its `start_logprobs`.
        """
        with self.scoring():
            half = self.policy.response_logprobs(
                batch,
                features=self.features(batch),
                chunk_tokens=self.logits_chunk_tokens,
                temperature=self.temperature / 2,
                banned_ids=self.banned_ids,
            )[0]
        return (2 * logprobs - half).exp()

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        state = self.algorithm.state_dict() if isinstance(self.algorithm, Stateful) else {}
        if state:
            checkpoint["algorithm"] = state
        if self.moving_reference is not None:
            checkpoint["reference"] = self._reference[0].state_dict()
        if self.entropy is not None:
            checkpoint["entropy"] = self.entropy.state_dict()

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        if isinstance(self.algorithm, Stateful):
            self.algorithm.load_state_dict(checkpoint.get("algorithm", {}))
        if self.moving_reference is not None and "reference" in checkpoint:
            self._reference[0].load_state_dict(checkpoint["reference"])
        if self.entropy is not None:
            self.entropy.load_state_dict(checkpoint["entropy"])

    def reference_logprobs(self, batch: TrainingBatch) -> Tensor:
        """[batch, tokens] nats, under the reference; see `scoring`."""
        reference = self._reference[0] if self._reference else self.policy
        without_adapters = nullcontext() if self._reference else self.policy.as_reference()
        with without_adapters, self.scoring():
            return self.logprobs(batch, model=reference)[0]
