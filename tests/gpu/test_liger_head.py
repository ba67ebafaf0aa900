"""Liger's kernel beside the tiles, both in bfloat16."""

from __future__ import annotations

import pytest
import torch

from vigorl.models.liger_head import HOPPER
from vigorl.models.logprobs import ScoringHead

pytest.importorskip("liger_kernel", reason="the extra [liger] is not installed")
pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(
        not torch.cuda.is_available() or torch.cuda.get_device_capability() != HOPPER,
        reason="needs a Hopper GPU",
    ),
]


def test_the_kernel_is_the_tiles() -> None:
    torch.manual_seed(0)
    head = ScoringHead(256, 5000, bias=False, device="cuda", dtype=torch.bfloat16)
    states = torch.randn(300, 256, device="cuda", dtype=torch.bfloat16, requires_grad=True)
    targets = torch.randint(10, 5000, (300,), device="cuda")
    weights = torch.randn(300, device="cuda")
    banned = torch.tensor([1, 5], device="cuda")
    made = []
    for head.by_liger in (False, True):
        logprobs, entropy = head(states, targets, banned=banned, with_entropy=True)
        total = (weights * logprobs).sum()
        made.append((logprobs, entropy, *torch.autograd.grad(total, (states, head.weight))))
    for expected, found in zip(*made, strict=True):
        assert (found.float() - expected.float()).norm() < 1e-2 * expected.float().norm()
