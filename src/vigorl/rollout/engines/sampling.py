"""One token per row from logits; each row has its own noise, whatever rows stand beside it."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from vigorl.core.entropy_control import EntropyControl
from vigorl.core.protocols import SamplingParams
from vigorl.rollout.engines.entropy import EntropyTrack


def uniforms(seed: int, count: int) -> Float[Tensor, " count"]:
    """The noise of one request: `count` float64 numbers in [0, 1) that depend on the seed alone."""
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(count, generator=generator, dtype=torch.float64)


class Sampler:
    """Samples rows that may differ in temperature and top_p.

    The logprob is that of the distribution that is sampled from: at temperature, with banned tokens
    masked, after top_p has cut its tail, as vLLM reports it. A greedy row (temperature 0) has no
    cut, and reports the logprob at temperature 1.

    Args:
        params: One per row.
        banned: True for tokens that are never sampled.
        entropy: Moves the temperatures as the tokens' entropy goes; None leaves them.
    """

    def __init__(
        self,
        params: Sequence[SamplingParams],
        *,
        banned: Bool[Tensor, " vocab"],
        entropy: EntropyControl | None = None,
    ) -> None:
        temperatures = torch.tensor([one.temperature for one in params], dtype=torch.float32)
        cuts = [one.top_p if one.temperature else 1.0 for one in params]
        top_ps = torch.tensor(cuts, dtype=torch.float64)
        self._temperature = temperatures.to(banned.device)[:, None]
        self._top_p = top_ps.to(banned.device)[:, None]
        self._banned = banned
        self._track = entropy and EntropyTrack(entropy, len(params), banned.device)
        self._refresh()

    def select(self, rows: Int[Tensor, " kept"]) -> None:
        """Keep these rows only, in this order."""
        self._temperature, self._top_p = self._temperature[rows], self._top_p[rows]
        if self._track is not None:
            self._track.select(rows)
        self._refresh()

    def join(self, other: Sampler) -> None:
        """The rows of another, of the same engine, behind its own."""
        self._temperature = torch.cat([self._temperature, other._temperature])
        self._top_p = torch.cat([self._top_p, other._top_p])
        if self._track is not None and other._track is not None:
            self._track.join(other._track)
        self._refresh()

    def _refresh(self) -> None:
        self._is_greedy = self._temperature[:, 0] == 0
        self._divisor = torch.where(self._temperature == 0, 1.0, self._temperature)
        self._any_greedy = bool(self._is_greedy.any())
        self._any_top_p = bool((self._top_p < 1).any())

    def sample(
        self, logits: Float[Tensor, "rows vocab"], noise: Float[Tensor, " rows"]
    ) -> tuple[Int[Tensor, " rows"], Float[Tensor, " rows"]]:
        """Token ids and their logprobs (nats): the cumulative distribution inverted at `noise`."""
        scaled = logits.float().masked_fill(self._banned, float("-inf")) / self._divisor
        logprobs = scaled.log_softmax(-1)
        if self._track is not None:
            scaled = scaled / self._track.factors(logprobs)[:, None]
            logprobs = scaled.log_softmax(-1)
        # float64, so that a cumulative sum over a large vocabulary stays exact enough to invert
        probs = logprobs.double().exp()
        if self._any_top_p:
            probs = self._cut_tail(probs)
        cumulative = probs.cumsum(-1)
        target = noise[:, None] * cumulative[:, -1:]
        # right=True takes the first entry ABOVE the target: never a token of probability 0
        tokens = torch.searchsorted(cumulative, target, right=True)[:, 0]
        tokens = tokens.clamp_max(logits.shape[-1] - 1)
        if self._any_greedy:
            tokens = torch.where(self._is_greedy, scaled.argmax(-1), tokens)
        chosen = logprobs.gather(1, tokens[:, None])[:, 0]
        if self._any_top_p:
            kept = torch.where(self._top_p < 1, cumulative[:, -1:], 1.0)[:, 0]
            chosen = (chosen - kept.log()).float()
        return tokens, chosen

    def _cut_tail(self, probs: Float[Tensor, "rows vocab"]) -> Float[Tensor, "rows vocab"]:
        ordered = probs.sort(-1, descending=True).values
        is_kept = ordered.cumsum(-1) - ordered < self._top_p  # the first is always kept
        least = torch.where(is_kept, ordered, torch.inf).amin(-1, keepdim=True)
        is_cut = (probs < least) & (self._top_p < 1)
        return probs.masked_fill(is_cut, 0.0)
