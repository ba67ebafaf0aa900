from __future__ import annotations

import torch

from tests import builders
from tests.unit.training.algorithms.inputs import inputs, ones
from vigorl.training.algorithms.record_only import RecordOnly
from vigorl.training.phase import credit_rollouts


def test_no_token_is_learned_from_whatever_was_earned() -> None:
    pair = [builders.scored(total=total) for total in (0.0, 1.0)]
    _, samples, _ = credit_rollouts(pair, RecordOnly())
    assert not any(any(one.loss_mask) or any(one.advantages) for one in samples)
    policy = torch.zeros(1, 2, requires_grad=True)
    RecordOnly().loss(inputs(policy, policy, ones(1), ones(1, 2), ones(1))).loss.backward()
    assert policy.grad is not None
    assert not policy.grad.any()
