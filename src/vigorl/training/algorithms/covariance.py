"""How much each token's advantage and likelihood go together, which is what lowers a policy's
entropy: likely tokens that are rewarded, unlikely ones that are punished.

    cov_t = (A_t - mean A) (log pi_t - mean log pi)

The means are over the whole update and the logprobs those of the phase's start, where verl takes
those of each micro-batch and of the policy now: so the choice does not depend on the cut.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

    from vigorl.training.marks import UpdateTokens


def covariances(tokens: UpdateTokens) -> Tensor:
    """[tokens], in nats.

    Source: arXiv:2505.22617, eq. 10; verl 1dda039b9, `compute_policy_loss_clip_cov`.
    """
    advantages, logprobs = tokens.advantages.double(), tokens.old_logprobs.double()
    return (advantages - advantages.mean()) * (logprobs - logprobs.mean())
