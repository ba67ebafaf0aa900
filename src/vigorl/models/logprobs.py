"""Log-probabilities of chosen tokens without ever holding logits of [tokens, vocabulary].

Only positions whose NEXT token is learned from reach the output head. There logits exist a tile of
tokens and vocabulary at a time; running sums turn tiles into log-probabilities and entropies, and
the backward pass, in closed form, computes each tile once more. One tile gives the very numbers
that autograd gives. Left out: top-p, as a sampler that cuts the tail samples from another
distribution than the one that is learned, by design and everywhere.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from jaxtyping import Float, Int, Shaped
from torch import Tensor, nn
from torch.autograd import Function
from torch.autograd.function import once_differentiable
from torch.nn.functional import linear

from vigorl.core.errors import AlignmentError, ConfigError
from vigorl.models.liger_head import liger_scores

VOCAB_TILE = 16384  # entries of the vocabulary whose logits are alive at once


class ScoringHead(nn.Linear):
    """A model's output head that can also score tokens without giving logits out.

    All tiles are scored inside ONE call of the module. Under ZeRO-3 and FSDP a call is what gathers
    the weight, before the forward and before the backward pass; a head called once per tile would
    hang ranks that differ in tokens, and its weight would be gone again when a tile is computed
    once more.

    Attributes:
        by_liger: Tokens are scored by the kernel of `models.liger_head`.
    """

    by_liger = False

    @classmethod
    def from_linear(cls, head: nn.Linear, *, by_liger: bool = False) -> ScoringHead:
        """A head around the weight of `head` itself, tied or not."""
        if head.bias is not None:
            raise ConfigError("an output head with a bias is not supported")
        made = cls(head.in_features, head.out_features, bias=False, device="meta")
        made.weight, made.by_liger = head.weight, by_liger
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
        vocab_tile: int = VOCAB_TILE,
    ) -> Tensor | tuple[Float[Tensor, " n"], Float[Tensor, " n"]]:
        """Logits; or with `targets`, log p(target) and entropy per state (zeros if not wanted).

        The arguments are those of `chosen_logprobs`; a tile is chunk_tokens x vocab_tile.
        """
        if targets is None:
            return linear(states, self.weight)

        kind = states.device.type
        is_mixed = torch.is_autocast_enabled(kind)
        dtype = torch.get_autocast_dtype(kind) if is_mixed else self.weight.dtype
        banned = targets[:0] if banned is None else banned
        if self.by_liger and len(targets):  # it takes no fewer than one
            logprobs, entropy = liger_scores(
                states.to(dtype), self.weight.to(dtype), targets,
                temperature=temperature, banned=banned, with_entropy=with_entropy,
            )  # fmt: skip
            return logprobs, entropy if entropy_gradient else entropy.detach()
        scoring = _Scoring(
            chunk_tokens=chunk_tokens,
            tiles=_tiles(len(self.weight), vocab_tile, banned),
            temperature=temperature,
            dtype=dtype,
            with_entropy=with_entropy,
            entropy_gradient=with_entropy and entropy_gradient,
        )
        return _Score.apply(states, self.weight, targets, scoring)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Scoring:
    """How tokens are scored; `dtype` is what logits are multiplied out in."""

    chunk_tokens: int
    tiles: list[tuple[slice, Int[Tensor, " _"]]]  # of the vocabulary; the banned ids of each
    temperature: float
    dtype: torch.dtype
    with_entropy: bool
    entropy_gradient: bool

    def tokens(self, num: int) -> Iterator[slice]:
        return _slices(num, self.chunk_tokens)

    def room(self, states: Float[Tensor, "n width"], dtype: torch.dtype) -> Float[Tensor, " most"]:
        """For the numbers of any one tile. It is taken once: a CPU's allocator gives memory of this
        size back to the system, which costs as much as what is done with it.
        """
        most = max(part.stop - part.start for part, _ in self.tiles)
        return states.new_empty(min(len(states), self.chunk_tokens) * most, dtype=dtype)

    def logits(
        self,
        states: Float[Tensor, "n width"],
        weight: Float[Tensor, "tile width"],
        banned: Int[Tensor, " k"],
        *,
        room: Float[Tensor, " most"],
    ) -> Float[Tensor, "n tile"]:
        """Of a tile, in float32, as the sampler had them; in `room`, where that is its type."""
        tile = _of_shape(room, len(states), len(weight))
        logits = torch.mm(states, weight.t(), out=tile).float()
        if self.temperature != 1.0:
            logits.div_(self.temperature)
        return logits.index_fill_(-1, banned, -math.inf)


def _tiles(num: int, size: int, banned: Int[Tensor, " k"]) -> list[tuple[slice, Int[Tensor, " _"]]]:
    """Parts of a vocabulary, and the banned ids of each as its own; the device is waited for once,
    not for every tile of tokens.
    """
    ids = banned.tolist()
    return [
        (part, banned.new_tensor([i - part.start for i in ids if part.start <= i < part.stop]))
        for part in _slices(num, size)
    ]


def _of_shape(room: Tensor, rows: int, columns: int) -> Tensor:
    return room[: rows * columns].view(rows, columns)


def _slices(num: int, size: int) -> Iterator[slice]:
    return (slice(start, min(start + size, num)) for start in range(0, num, size))


class _Score(Function):
    """Log-probability of each target and entropy of each distribution, tile by tile.

    With l the logits and p their softmax, the entropy is logsumexp(l) - sum(p l), and
    d logprob / d l = [target] - p, d entropy / d l = p (sum(p l) - l).
    """

    @staticmethod
    def forward(
        ctx: Any, states: Tensor, weight: Tensor, targets: Tensor, how: _Scoring
    ) -> tuple[Float[Tensor, " n"], Float[Tensor, " n"]]:
        totals, entropies, chosen = (
            torch.zeros(len(states), dtype=torch.float32, device=states.device) for _ in range(3)
        )
        room, other = how.room(states, how.dtype), how.room(states, torch.float32)
        for tokens in how.tokens(len(states)):
            rows = states[tokens].to(how.dtype)
            total = totals.new_full((len(rows),), -math.inf)
            for entries, banned in how.tiles:
                logits = how.logits(rows, weight[entries].to(how.dtype), banned, room=room)
                chosen[tokens] += _at(logits, targets[tokens] - entries.start)
                spare = _of_shape(other, *logits.shape)
                part = _log_sum_exp(logits, spare)
                grown = torch.logaddexp(total, part)
                if how.with_entropy:
                    within = _entropy(logits, part, banned, spare)
                    entropies[tokens] = _joined(entropies[tokens], total, within, part, grown)
                total = grown
            totals[tokens] = total
        ctx.save_for_backward(states, weight, targets, totals, entropies)
        ctx.how = how
        if not how.entropy_gradient:
            ctx.mark_non_differentiable(entropies)
        return chosen - totals, entropies

    @staticmethod
    @once_differentiable
    def backward(  # pyright: ignore[reportIncompatibleMethodOverride]
        ctx: Any, by_logprob: Tensor, by_entropy: Tensor
    ) -> tuple[Tensor | None, Tensor | None, None, None]:
        states, weight, targets, totals, entropies = ctx.saved_tensors
        means = totals - entropies  # of the logits, by their probabilities
        how: _Scoring = ctx.how
        wants_states, wants_weight, *_ = ctx.needs_input_grad
        # tiles are summed in float32, whatever they are multiplied out in
        to_states = torch.zeros_like(states, dtype=torch.float32) if wants_states else None
        to_weight = torch.empty_like(weight) if wants_weight else None
        room = how.room(states, how.dtype)
        for entries, banned in how.tiles:
            part = weight[entries].to(how.dtype)
            to_part: Tensor | None = None
            for tokens in how.tokens(len(states)):
                rows = states[tokens].to(how.dtype)
                logits = how.logits(rows, part, banned, room=room)
                pull = -by_logprob[tokens, None]
                if how.entropy_gradient:
                    finite = logits.index_fill(-1, banned, 0.0)
                    pull = pull + by_entropy[tokens, None] * (means[tokens, None] - finite)
                to_logits = logits.sub_(totals[tokens, None]).exp_().mul_(pull)
                _add_at(to_logits, targets[tokens] - entries.start, by_logprob[tokens])
                if how.temperature != 1.0:
                    to_logits.div_(how.temperature)
                to_logits = to_logits.to(how.dtype)
                if to_states is not None:
                    to_states[tokens] += to_logits @ part
                if wants_weight:
                    made = to_logits.t() @ rows
                    to_part = made.float() if to_part is None else to_part.add_(made)
            if to_weight is not None:
                to_weight[entries] = 0.0 if to_part is None else to_part
        return None if to_states is None else to_states.to(states.dtype), to_weight, None, None


def _log_sum_exp(
    logits: Float[Tensor, "n tile"], spare: Float[Tensor, "n tile"]
) -> Float[Tensor, " n"]:
    """What `torch.logsumexp` gives, to the bit, in memory that is there; `spare` is overwritten."""
    most = logits.amax(-1, keepdim=True)
    most.masked_fill_(most.isinf(), 0.0)  # of a tile of banned tokens alone
    return torch.sub(logits, most, out=spare).exp_().sum(-1).log_().add_(most.squeeze(-1))


def _entropy(
    logits: Float[Tensor, "n tile"],
    log_total: Float[Tensor, " n"],
    banned: Int[Tensor, " k"],
    spare: Float[Tensor, "n tile"],
) -> Float[Tensor, " n"]:
    """Of the distribution within a tile. A banned token has p 0 and l -inf, and counts 0, not nan;
    of a tile of such alone the number has no meaning, but it is one. Both tiles are overwritten.
    """
    log_total = log_total.clamp(min=torch.finfo(torch.float32).min)
    probs = torch.sub(logits, log_total[:, None], out=spare).exp_()
    return log_total - probs.mul_(logits.index_fill_(-1, banned, 0.0)).sum(-1)


def _joined(
    entropy: Tensor, log_total: Tensor, other: Tensor, other_log_total: Tensor, both: Tensor
) -> Float[Tensor, " n"]:
    """The entropy of two parts of a vocabulary together: that within each by its weight, and that
    of the choice between them.
    """
    both = both.clamp(min=torch.finfo(torch.float32).min)
    weight, other_weight = (log_total - both).exp(), (other_log_total - both).exp()
    within = weight * entropy + other_weight * other
    return within + torch.special.entr(weight) + torch.special.entr(other_weight)


def _inside(indices: Tensor, size: int) -> tuple[Tensor, Tensor]:
    """Which indices are of this tile, and them, moved into it where they are not."""
    return (indices >= 0) & (indices < size), indices.clamp(0, size - 1)


def _at(logits: Float[Tensor, "n tile"], indices: Int[Tensor, " n"]) -> Float[Tensor, " n"]:
    """The logit of each target of this tile, else 0."""
    is_here, moved = _inside(indices, logits.shape[-1])
    return logits.gather(-1, moved[:, None]).squeeze(-1).where(is_here, 0.0)


def _add_at(grads: Tensor, indices: Int[Tensor, " n"], values: Float[Tensor, " n"]) -> None:
    """Add to the target of each row, where it is of this tile."""
    is_here, moved = _inside(indices, grads.shape[-1])
    grads.scatter_add_(-1, moved[:, None], values.where(is_here, 0.0)[:, None])


@dataclass(frozen=True, slots=True)
class Targets:
    """The tokens of a batch to score, row after row.

    Attributes:
        shape: Of the batch: rows, tokens.
        rows: Of each target.
        columns: Of each target; it is scored from the hidden state at the column before.
        ids: The tokens.
        banned: Ids that the sampler could not choose.
    """

    shape: torch.Size
    rows: Int[Tensor, " n"]
    columns: Int[Tensor, " n"]
    ids: Int[Tensor, " n"]
    banned: Int[Tensor, " k"]

    @classmethod
    def of(
        cls,
        input_ids: Int[Tensor, "batch tokens"],
        *,
        attention_mask: Shaped[Tensor, "batch tokens"],
        loss_mask: Shaped[Tensor, "batch tokens"],
        banned_ids: Sequence[int] = (),
    ) -> Targets:
        """Where `loss_mask` is 1; padding may be on either side.

        Raises:
            AlignmentError: A token to score is banned, or has no token before it.
        """
        rows, columns = loss_mask.nonzero(as_tuple=True)
        banned = torch.tensor(list(banned_ids), dtype=torch.long, device=input_ids.device)
        found = cls(input_ids.shape, rows, columns, input_ids[rows, columns], banned)
        found._check(attention_mask)
        return found

    @property
    def before(self) -> tuple[Int[Tensor, " n"], Int[Tensor, " n"]]:
        """Rows and columns of the states that targets are scored from."""
        return self.rows, self.columns - 1

    def spread(self, values: Float[Tensor, " n"]) -> Float[Tensor, "batch tokens"]:
        """Each value to its target, 0.0 elsewhere."""
        blank = torch.zeros(self.shape, dtype=values.dtype, device=values.device)
        return blank.index_put((self.rows, self.columns), values)

    def part(self, which: slice) -> Targets:
        """Some of them, of the same batch."""
        rows, columns, ids = (one[which] for one in (self.rows, self.columns, self.ids))
        return replace(self, rows=rows, columns=columns, ids=ids)

    def _check(self, attention_mask: Tensor) -> None:
        rows, columns = self.rows, self.columns
        is_first = (columns == 0) | (attention_mask[rows, (columns - 1).clamp(min=0)] == 0)
        is_banned = torch.isin(self.ids, self.banned)
        if not bool((is_first | is_banned).any()):  # one wait for the device in the good case
            return
        if bool(is_first.any()):
            row, column = int(rows[is_first][0]), int(columns[is_first][0])
            raise AlignmentError(
                f"row {row}, token {column}: to be scored, but nothing stands before it"
            )
        row, column, token = (int(x[is_banned][0]) for x in (rows, columns, self.ids))
        raise AlignmentError(
            f"row {row}, token {column}: id {token} is banned from sampling, yet is to be scored"
        )


def chosen_logprobs(
    states: Float[Tensor, "n width"],
    head: ScoringHead,
    targets: Targets,
    *,
    chunk_tokens: int = 1024,
    temperature: float = 1.0,
    with_entropy: bool = False,
    entropy_gradient: bool = False,
) -> tuple[Float[Tensor, "batch tokens"], Float[Tensor, "batch tokens"] | None]:
    """Log p(token t | tokens before t) of the targets.

    Args:
        states: Last hidden states, after the final norm, at `targets.before`.
        head: The output head.
        targets: Logits of what they say is banned are -inf, as they were for the sampler.
        chunk_tokens: Most tokens whose logits are alive at once.
        temperature: Divides the logits; the one the tokens were sampled at.
        with_entropy: Also the entropy of each distribution in nats.
        entropy_gradient: The entropy has a gradient, which takes time and memory; else it is
            detached: for metrics.
    Returns:
        Logprobs in fp32, 0.0 where there is no target; the entropy laid out alike, or None.
    Raises:
        ConfigError: Temperature or chunk size not above 0.
    """
    if temperature <= 0 or chunk_tokens < 1:
        raise ConfigError(f"need {temperature=} > 0 and {chunk_tokens=} >= 1 to score tokens")
    logprobs, entropy = head(
        states,
        targets.ids,
        chunk_tokens=chunk_tokens,
        temperature=temperature,
        banned=targets.banned,
        with_entropy=with_entropy,
        entropy_gradient=entropy_gradient,
    )
    return targets.spread(logprobs), targets.spread(entropy) if with_entropy else None
