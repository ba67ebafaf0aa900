"""Learning from pairs of recorded rollouts: DPO, and MPO's sum of DPO, BCO and NLL.

The reference is the checkpoint that the stage starts from. Nothing is sampled.
"""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import asdict
from typing import Any

from torch import Tensor

from vigorl.core.errors import ConfigError
from vigorl.models.pair_losses import PairInputs, PairLoss, RunningShift
from vigorl.models.policy import Policy
from vigorl.models.pretrained import cast_weights, parse_dtype
from vigorl.training.pairs import PairBatch
from vigorl.training.policy_module import PolicyModule


class PairModule(PolicyModule):
    """One training step: pairs -> logprobs of policy and reference -> loss.

    Args:
        policy: The model that learns.
        algorithm: The loss.
        reference: The start checkpoint, frozen; None with LoRA, whose adapters are switched off
            instead.
        reference_dtype: Dtype of its weights; None follows the policy's.
        kwargs: Arguments of `PolicyModule`.
    Raises:
        ConfigError: A reference is missing.
    """

    def __init__(
        self,
        policy: Policy,
        *,
        algorithm: PairLoss,
        reference: Policy | None = None,
        reference_dtype: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(policy, **kwargs)
        if reference is None and policy.lora is None:
            raise ConfigError("pairs need module.reference (the start checkpoint)")
        self.algorithm, self.shift = algorithm, RunningShift()
        # in a list, so that it is neither trained nor saved as part of this module
        self._reference = [reference.requires_grad_(False).eval()] if reference else []
        self.reference_dtype = parse_dtype(reference_dtype) if reference_dtype else None

    def on_fit_start(self) -> None:
        for reference in self._reference:
            cast_weights(reference, self.reference_dtype or self.policy.dtype)
            reference.to(self.device)

    def training_step(self, item: PairBatch, batch_idx: int) -> Tensor:
        batch = item.batch
        self.count_padding(batch)
        reference = self._reference[0] if self._reference else self.policy
        with nullcontext() if self._reference else self.policy.as_reference(), self.scoring():
            ref_logprobs = self.logprobs(batch, model=reference)[0]
        inputs = PairInputs(
            policy_logprobs=self.logprobs(batch)[0],
            ref_logprobs=ref_logprobs,
            loss_mask=batch.loss_mask,
            token_weight=batch.token_weight,
            pair_weight=item.pair_weight,
            shift=self.shift.value,
        )
        return self.report(self.algorithm.loss(inputs))

    def on_update_measured(self, metrics: dict[str, float]) -> None:
        self.shift.add(metrics["pairs/reward_chosen"], metrics["pairs/reward_rejected"])

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        checkpoint["shift"] = asdict(self.shift)

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        self.shift = RunningShift(**checkpoint["shift"])
