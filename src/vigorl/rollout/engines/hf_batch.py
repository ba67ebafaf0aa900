"""The rows that the hf engine samples together: where each stands, and what its next token takes.

Rows may be at different tokens of their turns, and come from prompts of different lengths: new ones
join a batch that runs (`RunningBatch.join`), done ones leave it (`keep`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn.functional import pad

from vigorl.core.protocols import Completion, GenerationRequest
from vigorl.rollout.engines.kv_cache import BatchKV
from vigorl.rollout.engines.sampling import Sampler, uniforms


@dataclass(slots=True)
class Row:
    """One request while it is sampled."""

    request: GenerationRequest
    token_ids: list[int] = field(default_factory=list)
    logprobs: list[float] = field(default_factory=list)
    is_ended: bool = False

    @property
    def is_done(self) -> bool:
        return self.is_ended or len(self.token_ids) >= self.request.sampling.max_new_tokens

    @property
    def completion(self) -> Completion:
        ids, logprobs = tuple(self.token_ids), tuple(self.logprobs)
        return Completion(self.request.id, ids, logprobs, is_finished=self.is_ended)


@dataclass(slots=True)
class RunningBatch:
    """Rows that have been read as far as their next token.

    Attributes:
        rows: Some may be done.
        logits: [rows, vocab] of each row's next token.
        positions: [rows] where that token will stand.
        cache: What has been read.
        sampler: Draws the tokens.
        noise: [rows, tokens] uniform numbers, one per token of a turn; as long as the longest.
        taken: [rows] how many of them a row has used.
    """

    rows: list[Row]
    logits: Float[Tensor, "rows vocab"]
    positions: Int[Tensor, " rows"]
    cache: BatchKV
    sampler: Sampler
    noise: Float[Tensor, "rows tokens"]
    taken: Int[Tensor, " rows"]

    @classmethod
    def start(
        cls,
        requests: Sequence[GenerationRequest],
        *,
        logits: Float[Tensor, "rows vocab"],
        positions: Int[Tensor, " rows"],
        cache: BatchKV,
        sampler: Sampler,
    ) -> RunningBatch:
        """Requests whose prompts have been read."""
        longest = max(request.sampling.max_new_tokens for request in requests)
        noise = torch.stack([uniforms(request.seed, longest) for request in requests])
        return cls(
            rows=[Row(request) for request in requests],
            logits=logits,
            positions=positions,
            cache=cache,
            sampler=sampler,
            noise=noise.to(logits.device),
            taken=torch.zeros_like(positions),
        )

    @property
    def left(self) -> list[int]:
        """The rows that are not done."""
        return [i for i, row in enumerate(self.rows) if not row.is_done]

    def sample(self) -> tuple[Int[Tensor, " rows"], Float[Tensor, " rows"]]:
        """The next token of each row, done ones too, and its logprob."""
        # a row that is done waits for others to leave, with noise that nobody reads
        at = self.taken.clamp_max(self.noise.shape[1] - 1)
        self.taken = self.taken + 1
        return self.sampler.sample(self.logits, self.noise.gather(1, at[:, None])[:, 0])

    def keep(self, left: Sequence[int]) -> Int[Tensor, " kept"]:
        """These rows only, in this order; returns them as a tensor."""
        kept = torch.tensor(left, dtype=torch.long, device=self.logits.device)
        self.rows = [self.rows[i] for i in left]
        self.logits, self.positions = self.logits[kept], self.positions[kept]
        self.noise, self.taken = self.noise[kept], self.taken[kept]
        self.cache.select(kept)
        self.sampler.select(kept)
        return kept

    def join(self, other: RunningBatch) -> None:
        """The rows of another behind its own."""
        self.rows += other.rows
        self.logits = torch.cat([self.logits, other.logits])
        self.positions = torch.cat([self.positions, other.positions])
        width = max(self.noise.shape[1], other.noise.shape[1])
        noises = [pad(one.noise, (0, width - one.noise.shape[1])) for one in (self, other)]
        self.noise, self.taken = torch.cat(noises), torch.cat([self.taken, other.taken])
        self.cache.join(other.cache)
        self.sampler.join(other.sampler)
