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
from torch.utils.checkpoint import checkpoint

from vigorl.core.errors import AlignmentError, ConfigError
from vigorl.models.sharding import is_partitioned, max_over_ranks


def chosen_logprobs(
    hidden: Float[Tensor, "batch tokens width"],
    head: nn.Module,
    *,
    input_ids: Int[Tensor, "batch tokens"],
    attention_mask: Shaped[Tensor, "batch tokens"],
    loss_mask: Shaped[Tensor, "batch tokens"],
    chunk_tokens: int = 1024,
    temperature: float = 1.0,
    banned_ids: Sequence[int] = (),
    with_entropy: bool = False,
    recompute: bool = True,
) -> tuple[Float[Tensor, "batch tokens"], Float[Tensor, "batch tokens"] | None]:
    """Log p(token t | tokens before t) wherever `loss_mask` is 1.

    Args:
        hidden: Last hidden states, after the final norm.
        head: The output head, [n, width] -> [n, vocab] (with a `weight`).
        input_ids: The tokens; entry t is scored from `hidden` at t - 1.
        attention_mask: 1 on real tokens; padding may be on either side.
        loss_mask: 1 on the tokens to score.
        chunk_tokens: Most tokens whose logits are alive at once.
        temperature: Divides the logits; the one the tokens were sampled at.
        banned_ids: Tokens that the sampler could not choose; their logits are -inf here too.
        with_entropy: Also the entropy of each distribution in nats, detached: a metric, not a
            bonus.
        recompute: Throw the logits of a chunk away and compute them again for the gradient.
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
    states = hidden[rows, columns - 1]  # [n, width]

    def score(states: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        logits = (head(states).float() / temperature).index_fill(-1, banned, -math.inf)
        log_total = logits.logsumexp(-1)
        logprobs = logits.gather(-1, targets[:, None]).squeeze(-1) - log_total
        return logprobs, _entropy(logits, log_total, banned) if with_entropy else logprobs.detach()

    is_recomputed = recompute and torch.is_grad_enabled()
    num_chunks = _num_chunks(len(targets), chunk_tokens, head)
    scored = [
        checkpoint(score, *chunk, use_reentrant=False, preserve_rng_state=False)
        if is_recomputed
        else score(*chunk)
        for chunk in zip(
            states.tensor_split(num_chunks), targets.tensor_split(num_chunks), strict=True
        )
    ]
    blank = torch.zeros(input_ids.shape, dtype=torch.float32, device=hidden.device)
    logprobs, entropy = (
        blank.index_put((rows, columns), torch.cat(parts)) for parts in zip(*scored, strict=True)
    )
    return logprobs, entropy if with_entropy else None


def _entropy(logits: Tensor, log_total: Tensor, banned: Tensor) -> Tensor:
    with torch.no_grad():
        probs = (logits - log_total[:, None]).exp()
        # a banned token has probability 0 and logit -inf: 0 * -inf must count 0, not nan
        return log_total - (probs * logits.index_fill(-1, banned, 0.0)).sum(-1)


def _num_chunks(num_tokens: int, chunk_tokens: int, head: nn.Module) -> int:
    """At least one, so that a loss over no tokens still hangs on the graph; under ZeRO-3 the same
    number on all ranks.
    """
    num_chunks = max(1, math.ceil(num_tokens / chunk_tokens))
    weight = head.weight
    if isinstance(weight, Tensor) and is_partitioned(weight):
        return max_over_ranks(num_chunks, device=weight.device)
    return num_chunks


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
