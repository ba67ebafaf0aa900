"""Losses of pairs: one answer that is preferred to another of the same prompt.

With r = beta (log pi(y) - log pi_ref(y)), summed over an answer's tokens, for chosen c and
rejected d:

    DPO  -log s(r_c - r_d)                        s is the sigmoid
    BCO  -log s(r_c - shift) - log s(shift - r_d)
    NLL  -log pi of the chosen answers, the mean over all of their tokens in the optimizer batch

`shift` is the mean of r over the answers of all earlier updates, 0 at the first, where the policy
is the reference. The released code's contains the micro-batch at hand too, and so depends on how a
batch is cut.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from jaxtyping import Float, Shaped
from torch import Tensor
from torch.nn.functional import logsigmoid

from vigorl.core.errors import ConfigError
from vigorl.models.losses import LossOutput, MetricSum


@dataclass(frozen=True, slots=True, kw_only=True)
class PairInputs:
    """A micro-batch of B pairs: rows 0 to B - 1 are the chosen answers, the others the rejected
    ones in the same order. Logprobs are nats, finite wherever the mask is 1.

    Attributes:
        policy_logprobs: With gradient.
        ref_logprobs: Under the reference, the start.
        loss_mask: 1 on the tokens of the answers.
        token_weight: What each of a row's tokens counts in the NLL: 1 / the chosen tokens of the
            optimizer batch.
        pair_weight: 1 / the pairs of the optimizer batch.
        shift: See above.
    """

    policy_logprobs: Float[Tensor, "rows tokens"]
    ref_logprobs: Float[Tensor, "rows tokens"]
    loss_mask: Shaped[Tensor, "rows tokens"]
    token_weight: Float[Tensor, " rows"]
    pair_weight: float
    shift: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class PairLoss:
    """The weighted sum of the three.

    Attributes:
        beta: Above 0: what a nat from the reference counts.
        dpo_weight: At least 0.
        bco_weight: At least 0.
        nll_weight: At least 0.
    Raises:
        ConfigError: A setting out of its range, or nothing that prefers.
    Source: DPO arXiv:2305.18290 eq. 7; BCO arXiv:2404.04656, in its form on pairs (TRL `bco_pair`);
        their sum with NLL: MPO, arXiv:2411.10442, weights 0.8, 0.2 and 1.0 of the released
        `internvl_chat_mpo.py` at OpenGVLab/InternVL 2410d1d.
    """

    beta: float = 0.1
    dpo_weight: float = 1.0
    bco_weight: float = 0.0
    nll_weight: float = 0.0

    def __post_init__(self) -> None:
        if self.beta <= 0:
            raise ConfigError(f"algorithm.beta must be above 0, got {self.beta}")
        for key in ("dpo_weight", "bco_weight", "nll_weight"):
            if getattr(self, key) < 0:
                raise ConfigError(f"algorithm.{key} must be at least 0, got {getattr(self, key)}")
        if not (self.dpo_weight or self.bco_weight):
            raise ConfigError(
                "algorithm.dpo_weight=0 and algorithm.bco_weight=0 leave nothing that prefers one "
                "answer to the other: set one, or algorithm=sft"
            )

    @property
    def needs_reference(self) -> bool:
        return True

    def loss(self, inputs: PairInputs) -> LossOutput:
        mask = inputs.loss_mask.bool()
        nats = torch.where(mask, inputs.policy_logprobs, 0.0)
        ref = torch.where(mask, inputs.ref_logprobs.detach(), 0.0)
        chosen, rejected = (self.beta * (nats - ref).sum(-1)).chunk(2)
        dpo = -logsigmoid(chosen - rejected)
        bco = -logsigmoid(chosen - inputs.shift) - logsigmoid(inputs.shift - rejected)
        of_pairs = self.dpo_weight * dpo + self.bco_weight * bco
        nll = -(nats * inputs.token_weight[:, None])[: len(chosen)].sum()
        loss = of_pairs.sum() * inputs.pair_weight + self.nll_weight * nll
        return LossOutput(loss, _metrics(dpo, bco, chosen, rejected, nats, mask))


def _metrics(
    dpo: Tensor, bco: Tensor, chosen: Tensor, rejected: Tensor, nats: Tensor, mask: Tensor
) -> Mapping[str, MetricSum]:
    """Means per pair, and `train/nll` per token of the chosen answers."""
    per_pair = {
        "pairs/dpo": dpo,
        "pairs/bco": bco,
        "pairs/accuracy": (chosen > rejected).to(chosen.dtype),
        "pairs/margin": chosen - rejected,
        "pairs/reward_chosen": chosen,
        "pairs/reward_rejected": rejected,
    }
    num = torch.tensor(len(chosen))
    found = {name: MetricSum(one.detach().sum(), num) for name, one in per_pair.items()}
    rows = slice(0, len(chosen))
    return found | {"train/nll": MetricSum(-nats[rows].detach().sum(), mask[rows].sum())}


@dataclass(slots=True)
class RunningShift:
    """The mean of r over the answers of all updates so far."""

    total: float = 0.0
    num: int = 0

    @property
    def value(self) -> float:
        return self.total / self.num if self.num else 0.0

    def add(self, chosen: float, rejected: float) -> None:
        """An update's means; updates are equally large."""
        if math.isfinite(chosen + rejected):
            self.total, self.num = self.total + (chosen + rejected) / 2, self.num + 1
