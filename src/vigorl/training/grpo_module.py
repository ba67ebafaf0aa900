"""GRPO: policy gradient with each rollout's advantage in its group, on the tokens the policy
sampled.

What this is: PPO's clip with its own upper bound, a dual clip, a k3 KL to the start checkpoint as a
loss term (absent at coefficient 0), token weights fixed over the whole optimizer batch, importance
weights where the engine that sampled is not the trainer to the last digit. What was left out: a
critic, an entropy bonus, GAE. Rollouts, rewards and advantages come in the batch;
`callbacks.rollout` makes them, and without KL leaves out those with an advantage of 0: what a step
measures (entropy, ratios, clips, the gap to the engine) is over the tokens it learns from.
"""

from __future__ import annotations

from contextlib import nullcontext
from typing import Any

import torch
from torch import Tensor

from vigorl.core.errors import ConfigError
from vigorl.data.collate import TrainingBatch
from vigorl.models.correction import (
    ImportanceCorrection,
    importance_weights,
    sampling_gap_metrics,
)
from vigorl.models.losses import ImportanceLevel, grpo_loss
from vigorl.models.policy import Policy
from vigorl.models.pretrained import cast_weights, parse_dtype
from vigorl.training.buffer import PolicyBatch
from vigorl.training.policy_module import PolicyModule


class GRPOModule(PolicyModule):
    """One training step: batch -> logprobs -> loss.

    Args:
        policy: The model that learns.
        reference: The start checkpoint, frozen; None without KL, or with LoRA (whose adapters are
            switched off instead).
        reference_dtype: Of the reference's weights; None follows the policy's, which DeepSpeed may
            have cast, so that the KL starts at 0. With bfloat16 beside a float32 policy it starts
            a little above.
        clip_low: See `models.losses.grpo_loss`.
        clip_high: See there.
        dual_clip: See there; None leaves it out.
        kl_coef: Cost of a nat of KL to the reference.
        importance_level: One ratio per token, or per sequence.
        importance_correction: Of the gap between the engine that sampled and the trainer; None
            only measures it.
        kwargs: Of `PolicyModule`.
    """

    def __init__(
        self,
        policy: Policy,
        *,
        reference: Policy | None = None,
        reference_dtype: str | None = None,
        clip_low: float = 0.2,
        clip_high: float = 0.28,
        dual_clip: float | None = 3.0,
        kl_coef: float = 0.0,
        importance_level: str = "token",
        importance_correction: ImportanceCorrection | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(policy, **kwargs)
        if kl_coef > 0 and reference is None and policy.lora is None:
            raise ConfigError("module.kl_coef > 0 needs module.reference (the start checkpoint)")
        if kl_coef == 0 and reference is not None:
            raise ConfigError("module.reference has no effect with module.kl_coef=0")
        self.clip_low, self.clip_high, self.dual_clip = clip_low, clip_high, dual_clip
        self.kl_coef, self.importance_level = kl_coef, ImportanceLevel(importance_level)
        self.importance_correction = importance_correction
        # in a list, so that it is neither trained, nor saved, nor partitioned as part of this
        # module
        self._reference = [reference.requires_grad_(False).eval()] if reference else []
        self.reference_dtype = parse_dtype(reference_dtype) if reference_dtype else None

    def on_fit_start(self) -> None:
        for reference in self._reference:
            cast_weights(reference, self.reference_dtype or self.policy.dtype)
            reference.to(self.device)

    def training_step(self, item: PolicyBatch, batch_idx: int) -> Tensor:
        batch = item.batch
        self.count_padding(batch)
        logprobs, entropy = self.logprobs(batch, with_entropy=True)
        # with one update per phase the weights that sampled are the weights now
        old = logprobs.detach() if item.old_logprobs is None else item.old_logprobs
        self._measure_gap(batch, old)
        weights = self._importance_weights(batch, old)
        return self.report(
            grpo_loss(
                logprobs,
                old,
                batch.advantages,
                batch.loss_mask,
                batch.token_weight,
                clip_low=self.clip_low,
                clip_high=self.clip_high,
                dual_clip=self.dual_clip,
                kl_coef=self.kl_coef,
                ref_logprobs=item.ref_logprobs,
                entropy=entropy,
                importance_level=self.importance_level,
                importance_weights=weights,
            )
        )

    @torch.no_grad()
    def start_logprobs(self, batch: TrainingBatch) -> Tensor:
        """Under the weights of the phase's start."""
        with self.as_in_training():
            return self.logprobs(batch)[0]

    @torch.no_grad()
    def reference_logprobs(self, batch: TrainingBatch) -> Tensor | None:
        """Under the reference; None without KL."""
        if self.kl_coef == 0:
            return None
        reference = self._reference[0] if self._reference else self.policy
        without_adapters = nullcontext() if self._reference else self.policy.as_reference()
        with without_adapters, self.as_in_training():
            return reference.response_logprobs(
                batch,
                features=self.features(
                    batch
                ),  # the same tower: it is frozen, or both run their own
                chunk_tokens=self.logits_chunk_tokens,
                temperature=self.temperature,
                banned_ids=self.banned_ids,
            )[0]

    def _measure_gap(self, batch: TrainingBatch, old: Tensor) -> None:
        """Of the rollouts in the batch, corrected or not."""
        if batch.sampling_logprobs is not None:
            sums, maxima = sampling_gap_metrics(old, batch.sampling_logprobs, batch.loss_mask)
            self.step_metrics.add_sums(sums)
            self.step_metrics.add_maxima(maxima)

    def _importance_weights(self, batch: TrainingBatch, old: Tensor) -> Tensor | None:
        """None without correction; counts what the caps changed and what is left of the sample."""
        if self.importance_correction is None:
            return None
        if batch.sampling_logprobs is None:
            raise ConfigError(
                "module.importance_correction needs an engine that says how likely its tokens were"
            )
        weights, is_capped = importance_weights(
            old,
            batch.sampling_logprobs,
            batch.loss_mask,
            correction=self.importance_correction,
        )
        sampled = batch.loss_mask.bool()
        self.step_metrics.add_sums(
            {"sampling_ratio/corrected_frac": (is_capped.sum(), sampled.sum())}
        )
        self.step_metrics.add_weights({"sampling_ratio/ess_frac": weights[sampled]})
        return weights
