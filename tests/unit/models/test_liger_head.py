"""Liger's head says and teaches what the tiles do; here by its own PyTorch, `tests/gpu` by its
kernel.
"""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from tests.unit.models.small import assert_same_grads, grads, make_batch, make_policy
from vigorl.core.errors import ConfigError
from vigorl.models.logprobs import ScoringHead


def scored(
    head: ScoringHead, *, banned: tuple[int, ...], entropy_gradient: bool
) -> tuple[Tensor, ...]:
    """Log-probabilities, entropies, and the gradients of a sum of both by states and weight."""
    noise = torch.Generator().manual_seed(0)
    states = torch.randn(7, 32, generator=noise).requires_grad_()
    weights = torch.randn(2, 7, generator=noise)
    found = head(
        states,
        torch.tensor([3, 9, 60, 12, 40, 61, 3]),
        temperature=0.7,
        banned=torch.tensor(banned, dtype=torch.long),
        with_entropy=True,
        entropy_gradient=entropy_gradient,
    )
    assert isinstance(found, tuple)
    total = (weights[0] * found[0]).sum()
    if entropy_gradient:
        total = total + (weights[1] * found[1]).sum()
    return *found, *torch.autograd.grad(total, (states, head.weight))


@pytest.mark.parametrize("entropy_gradient", [False, True])
@pytest.mark.parametrize("banned", [(), (1, 5, 62)])
def test_liger_is_the_tiles(banned: tuple[int, ...], entropy_gradient: bool) -> None:
    pytest.importorskip("liger_kernel", reason="the extra [liger] is not installed")
    torch.manual_seed(0)
    head = ScoringHead(32, 63, bias=False)
    expected = scored(head, banned=banned, entropy_gradient=entropy_gradient)
    head.by_liger = True
    found = scored(head, banned=banned, entropy_gradient=entropy_gradient)
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)


def test_a_policy_learns_the_same_by_liger() -> None:
    pytest.importorskip("liger_kernel", reason="the extra [liger] is not installed")
    policy, other = make_policy(packing=True), make_policy(packing=True)
    other.model.lm_head.by_liger = True  # pyright: ignore[reportArgumentType]
    for batch in (make_batch([(4, 4)], [], [(2, 4)]), make_batch([(4, 4)])):
        made = []
        for one in (policy, other):
            logprobs, entropy = one.response_logprobs(batch, banned_ids=(3, 4), with_entropy=True)
            assert entropy is not None
            assert not entropy.requires_grad
            logprobs.sum().backward()
            made.append((logprobs.detach(), entropy))
        torch.testing.assert_close(made[1], made[0], atol=1e-5, rtol=1e-5)
        assert_same_grads(grads(other), grads(policy))


def test_what_has_no_kernel_is_refused_before_anything_runs(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(ConfigError, match=r"model\.head=liger needs"):
        make_policy(head="liger")
