"""Packed rows and shared prefixes through FlashAttention beside SDPA on each row alone, both in
bfloat16; tests/unit/models have the same on a CPU, against the kernel's documentation.
"""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from tests.unit.models.small import grads, make_policy
from tests.unit.models.test_packing import scored
from tests.unit.models.test_shared_prefix import KINDS, dialogs

pytest.importorskip("flash_attn", reason="flash-attn is not installed")
pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU"),
]


def read(family: str, kernel: str, **how: Any) -> tuple[Tensor, Tensor]:
    """Log-probabilities, and all gradients as one vector."""
    policy = make_policy(family, **how).to("cuda", torch.bfloat16)
    policy.model.config.get_text_config()._attn_implementation = kernel
    logprobs = scored(policy, dialogs(family=family).to("cuda"))
    flat = torch.cat([one.flatten().float() for one in grads(policy.model).values()])
    return logprobs.float(), flat


@pytest.mark.parametrize("family", KINDS)
@pytest.mark.parametrize("shared_prefix", [False, True])
def test_a_row_by_flash_attention_is_each_sequence_alone(family: str, shared_prefix: bool) -> None:
    expected, gradient = read(family, "sdpa")
    found, ours = read(family, "flash_attention_2", packing=True, shared_prefix=shared_prefix)
    assert (found - expected).abs().mean() < 1e-3
    assert torch.cosine_similarity(ours, gradient, dim=0) > 0.999
