"""Supervised fine-tuning on grounded traces: the negative log-likelihood of the policy's own turns,
and nothing else.

Observations, prompts and forced text carry no loss; the mask comes with the tokens
(`data.encoding.encode_trace`).
"""

from __future__ import annotations

from torch import Tensor

from vigorl.data.collate import TrainingBatch
from vigorl.models.losses import sft_loss
from vigorl.training.buffer import Spare
from vigorl.training.policy_module import PolicyModule


class SFTModule(PolicyModule):
    """One training step: batch -> logprobs -> loss."""

    def training_step(self, batch: TrainingBatch | Spare, batch_idx: int) -> Tensor:
        if isinstance(batch, Spare):
            return self.no_loss()
        self.count_padding(batch)
        logprobs, _ = self.logprobs(batch)
        return self.report(sft_loss(logprobs, batch.loss_mask, batch.token_weight))

    def validation_step(self, batch: TrainingBatch | Spare, batch_idx: int) -> None:
        if isinstance(batch, Spare):
            return
        logprobs, _ = self.logprobs(batch)
        nll = sft_loss(logprobs, batch.loss_mask, batch.token_weight).metrics["train/nll"]
        self.step_metrics.add_sums({"val/nll": nll})

    def on_validation_epoch_end(self) -> None:
        self.log_dict(self.step_metrics.compute(), prog_bar=True)
