"""Scored in tiles, tokens have the log-probabilities, entropies and gradients of whole logits."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from vigorl.models.logprobs import ScoringHead, _log_sum_exp

TOKENS, WIDTH, VOCAB = 13, 6, 37
BANNED = torch.tensor([0, 8, 9, 10, 11, 36])  # 8 to 11 are a tile of 4 of their own


def made(dtype: torch.dtype = torch.float32) -> tuple[ScoringHead, Tensor, Tensor]:
    torch.manual_seed(3)
    head = ScoringHead(WIDTH, VOCAB, bias=False)
    torch.nn.init.normal_(head.weight)
    states = torch.randn(TOKENS, WIDTH).to(dtype).requires_grad_()
    allowed = [token for token in range(VOCAB) if token not in BANNED.tolist()]
    return head.to(dtype), states, torch.tensor(allowed)[torch.randint(len(allowed), (TOKENS,))]


def whole(head: ScoringHead, states: Tensor, targets: Tensor, temperature: float) -> Any:
    logits = (states @ head.weight.T).float() / temperature
    logprobs = logits.index_fill(-1, BANNED, -math.inf).log_softmax(-1)
    entropy = -(logprobs.exp() * logprobs.masked_fill(logprobs == -math.inf, 0.0)).sum(-1)
    return logprobs.gather(-1, targets[:, None]).squeeze(-1), entropy


def objective(logprobs: Tensor, entropy: Tensor) -> Tensor:
    weights = torch.linspace(-1.0, 2.0, TOKENS)
    return (weights * logprobs).sum() + (weights.flip(0) * entropy).sum()


def gradients(head: ScoringHead, states: Tensor, scored: Any) -> tuple[Tensor, ...]:
    return torch.autograd.grad(objective(*scored), (states, head.weight))


@pytest.mark.parametrize("tile", [(1, 1), (5, 4), (13, 37), (4, 20), (100, 100)])
def test_tiles_add_up(tile: tuple[int, int]) -> None:
    head, states, targets = made()
    scored = head(
        states, targets, chunk_tokens=tile[0], vocab_tile=tile[1], temperature=0.7, banned=BANNED,
        with_entropy=True, entropy_gradient=True,
    )  # fmt: skip
    expected = whole(head, states, targets, 0.7)
    torch.testing.assert_close(scored, expected, rtol=0, atol=4e-6)
    found, right = gradients(head, states, scored), gradients(head, states, expected)
    torch.testing.assert_close(found, right, rtol=3e-5, atol=1e-5)
    assert not found[1][BANNED].any()


def test_sums_in_given_memory_have_the_bits_of_torchs() -> None:
    logits = torch.randn(TOKENS, VOCAB, generator=torch.Generator().manual_seed(5)) * 30
    logits[1, 3:9] = -math.inf
    logits[2] = -math.inf
    assert torch.equal(_log_sum_exp(logits, torch.empty_like(logits)), logits.logsumexp(-1))


def test_one_tile_gives_the_bits_of_autograd() -> None:
    head, states, targets = made()
    logprobs, _ = head(states, targets, temperature=0.9)
    logits = torch.nn.functional.linear(states, head.weight).float() / 0.9
    plain = logits.gather(-1, targets[:, None]).squeeze(-1) - logits.logsumexp(-1)
    assert torch.equal(logprobs, plain)
    zeros = torch.zeros(TOKENS)
    for one, other in zip(
        gradients(head, states, (logprobs, zeros)), gradients(head, states, (plain, zeros)),
        strict=True,
    ):  # fmt: skip
        assert torch.equal(one, other)


def test_tiles_are_summed_in_float32() -> None:
    head, states, targets = made(torch.bfloat16)
    exact = ScoringHead(WIDTH, VOCAB, bias=False)
    exact.weight = torch.nn.Parameter(head.weight.detach().float())
    wide = states.detach().float().requires_grad_()
    right = gradients(exact, wide, (exact(wide, targets)[0], torch.zeros(TOKENS)))
    scored = head(states, targets, chunk_tokens=2, vocab_tile=3)
    found = gradients(head, states, (scored[0], torch.zeros(TOKENS)))
    for one, other in zip(found, right, strict=True):
        assert one.dtype is torch.bfloat16
        torch.testing.assert_close(one.float(), other, rtol=2e-2, atol=6e-2)


def test_mixed_precision_multiplies_in_the_lower_one() -> None:
    head, states, targets = made()
    low, low_states, _ = made(torch.bfloat16)
    with torch.autocast("cpu", torch.bfloat16):
        mixed, _ = head(states, targets, vocab_tile=8)
    assert torch.equal(mixed, low(low_states, targets, vocab_tile=8)[0])
    (gradient,) = torch.autograd.grad(mixed.sum(), head.weight)
    assert gradient.dtype is torch.float32


def test_a_head_that_does_not_learn_hands_its_gradient_on() -> None:
    head, states, targets = made()
    head.requires_grad_(False)
    (to_states,) = torch.autograd.grad(head(states, targets, vocab_tile=5)[0].sum(), states)
    expected = torch.autograd.grad(whole(head, states, targets, 1.0)[0].sum(), states)
    assert to_states.shape == expected[0].shape
    assert to_states.abs().sum() > 0


class Largest(TorchDispatchMode):
    """How many numbers the largest tensor that is made inside holds."""

    numel = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        made = func(*args, **(kwargs or {}))
        for one in made if isinstance(made, tuple | list) else [made]:
            if isinstance(one, Tensor) and not any(one is arg for arg in args):
                self.numel = max(self.numel, one.numel())
        return made


def test_logits_are_never_whole() -> None:
    torch.manual_seed(0)
    head, num = ScoringHead(4, 1000, bias=False), 600
    states, targets = torch.randn(num, 4, requires_grad=True), torch.randint(1000, (num,))
    with Largest() as largest:
        logprobs, entropy = head(
            states, targets, chunk_tokens=50, vocab_tile=100, with_entropy=True,
            entropy_gradient=True,
        )  # fmt: skip
        (logprobs + entropy).sum().backward()
    assert largest.numel == max(50 * 100, head.weight.numel())
