"""Log-probabilities of chosen tokens without ever holding the logits of a whole batch.

Only positions whose NEXT token is learned from reach the output head, a chunk at a time; each
chunk's logits are thrown away and computed again in the backward pass. Left out: a fused kernel
(Liger and its like), sequence packing, and top-p: a sampler that cuts the tail samples from another
distribution than the one that is learned, by design and everywhere.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from jaxtyping import Float, Int, Shaped
from torch import Tensor, nn
from torch.nn.functional import linear
from torch.utils.checkpoint import checkpoint

from vigorl.core.errors import AlignmentError, ConfigError


class ScoringHead(nn.Linear):
    """A model's output head that can also score tokens without giving logits out.

    All chunks are scored inside ONE call of the module. Under ZeRO-3 and FSDP a call is what
    gathers the weight, before the forward and before the backward pass; a head called once per
    chunk would hang ranks that differ in tokens, and its weight would be gone again when a chunk is
    recomputed.
    """

    @classmethod
    def from_linear(cls, head: nn.Linear) -> ScoringHead:
        """A head around the weight of `head` itself, tied or not."""
        if head.bias is not None:
            raise ConfigError("an output head with a bias is not supported")
        made = cls(head.in_features, head.out_features, bias=False, device="meta")
        made.weight = head.weight
        return made

    def forward(  # pyright: ignore[reportIncompatibleMethodOverride]
        self,
        states: Float[Tensor, "*positions width"],
        targets: Int[Tensor, " n"] | None = None,
        *,
        chunk_tokens: int = 1024,
        temperature: float = 1.0,
        banned: Int[Tensor, " k"] | None = None,
        with_entropy: bool = False,
        entropy_gradient: bool = False,
    ) -> Tensor | tuple[Float[Tensor, " n"], Float[Tensor, " n"]]:
        """Logits; or with `targets`, log p(target) and entropy per state (zeros if not wanted).

        The arguments are those of `chosen_logprobs`.
        """
        if targets is None:
            return linear(states, self.weight)

        def score(states: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
            logits = linear(states, self.weight).float() / temperature
            if banned is not None:
                logits = logits.index_fill(-1, banned, -math.inf)
            log_total = logits.logsumexp(-1)
            logprobs = logits.gather(-1, targets[:, None]).squeeze(-1) - log_total
            if not with_entropy:
                return logprobs, torch.zeros_like(log_total)
            with torch.set_grad_enabled(entropy_gradient and torch.is_grad_enabled()):
                return logprobs, _entropy(logits, log_total)

        scored = [
            checkpoint(score, *chunk, use_reentrant=False, preserve_rng_state=False)
            if torch.is_grad_enabled()
            else score(*chunk)
            for chunk in zip(states.split(chunk_tokens), targets.split(chunk_tokens), strict=True)
        ]
        logprobs, entropy = (torch.cat(parts) for parts in zip(*scored, strict=True))
        return logprobs, entropy


def chosen_logprobs(
    hidden: Float[Tensor, "batch tokens width"],
    head: ScoringHead,
    *,
    input_ids: Int[Tensor, "batch tokens"],
    attention_mask: Shaped[Tensor, "batch tokens"],
    loss_mask: Shaped[Tensor, "batch tokens"],
    chunk_tokens: int = 1024,
    temperature: float = 1.0,
    banned_ids: Sequence[int] = (),
    with_entropy: bool = False,
    entropy_gradient: bool = False,
) -> tuple[Float[Tensor, "batch tokens"], Float[Tensor, "batch tokens"] | None]:
    """Log p(token t | tokens before t) wherever `loss_mask` is 1.

    Args:
        hidden: Last hidden states, after the final norm.
        head: The output head.
        input_ids: The tokens; entry t is scored from `hidden` at t - 1.
        attention_mask: 1 on real tokens; padding may be on either side.
        loss_mask: 1 on the tokens to score.
        chunk_tokens: Most tokens whose logits are alive at once.
        temperature: Divides the logits; the one the tokens were sampled at.
        banned_ids: Tokens that the sampler could not choose; their logits are -inf here too.
        with_entropy: Also the entropy of each distribution in nats.
        entropy_gradient: The entropy has a gradient, which takes time and memory; else it is
            detached: for metrics.
    Returns:
        Logprobs in fp32, 0.0 where `loss_mask` is 0; the entropy laid out alike, or None.
    Raises:
        ConfigError: Temperature or chunk size not above 0.
        AlignmentError: A token to score is banned, or has no token before it.
    """
    if temperature <= 0 or chunk_tokens < 1:
        raise ConfigError(f"need {temperature=} > 0 and {chunk_tokens=} >= 1 to score tokens")
    rows, columns = loss_mask.nonzero(as_tuple=True)
    targets = input_ids[rows, columns]
    banned = torch.tensor(list(banned_ids), dtype=torch.long, device=hidden.device)
    _check_targets(rows, columns, targets, attention_mask, banned)
    scored = head(
        hidden[rows, columns - 1],
        targets,
        chunk_tokens=chunk_tokens,
        temperature=temperature,
        banned=banned,
        with_entropy=with_entropy,
        entropy_gradient=entropy_gradient,
    )
    blank = torch.zeros(input_ids.shape, dtype=torch.float32, device=hidden.device)
    logprobs, entropy = (blank.index_put((rows, columns), values) for values in scored)
    return logprobs, entropy if with_entropy else None


def _entropy(logits: Tensor, log_total: Tensor) -> Tensor:
    probs = (logits - log_total[:, None]).exp()
    # A banned token has probability 0 and logit -inf: 0 * -inf must count 0, not nan, in the
    # gradient too, so the infinity goes before the product.
    finite = logits.masked_fill(logits == -math.inf, 0.0)
    return log_total - (probs * finite).sum(-1)


def _check_targets(
    rows: Tensor, columns: Tensor, targets: Tensor, attention_mask: Tensor, banned: Tensor
) -> None:
    is_first = (columns == 0) | (attention_mask[rows, (columns - 1).clamp(min=0)] == 0)
    is_banned = torch.isin(targets, banned)
    if not bool((is_first | is_banned).any()):  # one wait for the device in the good case
        return
    if bool(is_first.any()):
        row, column = int(rows[is_first][0]), int(columns[is_first][0])
        raise AlignmentError(
            f"row {row}, token {column}: to be scored, but nothing stands before it"
        )
    row, column, token = (int(x[is_banned][0]) for x in (rows, columns, targets))
    raise AlignmentError(
        f"row {row}, token {column}: id {token} is banned from sampling, yet is to be scored"
    )
