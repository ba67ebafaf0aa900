"""Which sequences share a forward pass where tokens are counted, not sequences.

    lengths 9 5 4 3 3, at most 10 tokens   ->   [9] [5 3] [4 3]

The fewest micro-batches that hold everything, of costs as level as can be: longest first, each into
the one that has cost the least so far and has room (Graham, SIAM J. Appl. Math. 17, 1969). As an
update may not have more of them on one rank than on another, ranks agree on the most that any of
them needs. Rollouts stay on their rank (docs/decisions/0012), traces are dealt out.

Source of the idea: verl's `ppo_max_token_len_per_gpu`, whose parts of equal cost may exceed it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from vigorl.ranks import from_all_ranks

FEWEST = 2  # an update opens with one and closes with another; what is spare stands between


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenBudget:
    """What a micro-batch holds at most, and what a sequence in it costs.

    Attributes:
        most_tokens: Pictures expanded; a longer sequence is alone.
        most_sequences: At most so many, however short.
        attention: See `Policy.attention_cost`.
    """

    most_tokens: int
    most_sequences: int
    attention: float = 0.0

    def cost(self, num_tokens: int) -> float:
        """Of a sequence's passes, in tokens without attention."""
        return num_tokens * (1.0 + self.attention * num_tokens)

    def cut(self, lengths: Sequence[int], *, at_least: int) -> list[list[int]]:
        """Indices of the sequences of each micro-batch, the dearest first; none is empty.

        Args:
            lengths: Tokens of each sequence; at least `at_least` of them.
            at_least: Micro-batches.
        """
        total = sum(min(length, self.most_tokens) for length in lengths)
        needed = max(
            at_least,
            math.ceil(total / self.most_tokens),
            math.ceil(len(lengths) / self.most_sequences),
        )
        found = None
        while found is None:  # with one for each sequence everything has room
            found = self._placed(lengths, needed)
            needed += 1
        costs = {id(part): sum(self.cost(lengths[i]) for i in part) for part in found}
        return sorted(found, key=lambda part: -costs[id(part)])

    def _placed(self, lengths: Sequence[int], num_parts: int) -> list[list[int]] | None:
        parts: list[list[int]] = [[] for _ in range(num_parts)]
        tokens, costs = [0] * num_parts, [0.0] * num_parts
        for i in sorted(range(len(lengths)), key=lambda i: -lengths[i]):
            having_room = [
                part
                for part in range(num_parts)
                if not parts[part]
                or (
                    tokens[part] + lengths[i] <= self.most_tokens
                    and len(parts[part]) < self.most_sequences
                )
            ]
            if not having_room:
                return None
            cheapest = min(having_room, key=lambda part: costs[part])
            parts[cheapest].append(i)
            tokens[cheapest] += lengths[i]
            costs[cheapest] += self.cost(lengths[i])
        return parts


def cut_together(
    lengths: Sequence[int], *, budget: TokenBudget, num_needed: int
) -> list[list[int]]:
    """Indices of this rank's sequences of each micro-batch; all ranks call it together, with
    equally many sequences, and get equally many micro-batches.

    Args:
        lengths: Tokens of each sequence, pictures expanded.
        budget: Of a micro-batch.
        num_needed: So many of the first are placed in any case; the others are taken, in order,
            where there would be a micro-batch of none.
    """
    agreed = min(FEWEST, len(lengths))
    while True:
        parts = budget.cut(lengths[: max(agreed, num_needed)], at_least=agreed)
        most = max(from_all_ranks(len(parts)))
        if most == agreed:
            return parts
        agreed = most


def deal(
    lengths: Sequence[int], *, budget: TokenBudget, num_ranks: int, rank: int
) -> list[list[int]]:
    """Indices of the sequences of each micro-batch of this rank, where any rank may take any: those
    that ranks read at the same time have cost neighbours, and who had the dearer one gets the
    cheaper next.

    Args:
        lengths: Of the whole update, at least one for each rank.
        budget: Of a micro-batch.
        num_ranks: How many share the update.
        rank: This rank's number, from 0.
    """
    each = min(FEWEST, len(lengths) // num_ranks)
    while len(parts := budget.cut(lengths, at_least=each * num_ranks)) > each * num_ranks:
        each = -(-len(parts) // num_ranks)
    turns = (rank if turn % 2 == 0 else num_ranks - 1 - rank for turn in range(each))
    return [parts[turn * num_ranks + i] for turn, i in enumerate(turns)]
