"""Which sequences share a forward pass where tokens are counted, not sequences.

    lengths 9 5 4 3 3, at most 10 tokens   ->   [9] [5 3] [4 3]

The fewest micro-batches that hold everything, of costs as level as can be: longest first, each into
the one that has cost the least so far and has room (Graham, SIAM J. Appl. Math. 17, 1969). As an
update may not have more of them on one rank than on another, ranks agree on the most that any of
them needs. Rollouts stay on their rank (docs/decisions/0013), traces are dealt out.

Source of the idea: verl's `ppo_max_token_len_per_gpu`, whose parts of equal cost may exceed it.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
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

    def cut(
        self, lengths: Sequence[int], *, at_least: int, shared: Shared | None = None
    ) -> list[list[int]]:
        """Indices of the sequences of each micro-batch, the dearest first; none is empty.

        Args:
            lengths: Tokens of each sequence; at least `at_least` of them.
            at_least: Micro-batches.
            shared: What sequences begin with together; None reads each by itself.
        """
        total = sum(min(length, self.most_tokens) for length in lengths)
        needed = max(
            at_least,
            1 if shared else math.ceil(total / self.most_tokens),
            math.ceil(len(lengths) / self.most_sequences),
        )
        found = None
        while found is None:  # with one for each sequence everything has room
            found = self._placed(self._items(lengths, needed, shared), needed)
            needed += 1
        return [[i for item in part for i in item.members] for part in found]

    def _items(self, lengths: Sequence[int], num_parts: int, shared: Shared | None) -> list[_Item]:
        """What is placed as a whole: sequences, or those that begin alike, as many as have room
        together, and not so many that there would be a micro-batch of none.
        """
        if shared is None:
            return [self._item((i,), lengths, 0) for i in range(len(lengths))]
        by_name: defaultdict[str, list[int]] = defaultdict(list)
        for i in sorted(range(len(lengths)), key=lambda i: -lengths[i]):
            by_name[shared.names[i]].append(i)
        items: list[_Item] = []
        for name, members in by_name.items():
            start = shared.num_tokens[name]
            held = self._item((members[0],), lengths, start)
            for i in members[1:]:
                more = self._item((*held.members, i), lengths, start)
                if more.num_tokens > self.most_tokens or len(more.members) > self.most_sequences:
                    items.append(held)
                    more = self._item((i,), lengths, start)
                held = more
            items.append(held)
        while len(items) < num_parts:
            largest = max(items, key=lambda item: len(item.members))
            items.remove(largest)
            half = len(largest.members) // 2
            start = shared.num_tokens[shared.names[largest.members[0]]]
            for members in (largest.members[:half], largest.members[half:]):
                items.append(self._item(members, lengths, start))
        return items

    def _item(self, members: tuple[int, ...], lengths: Sequence[int], start: int) -> _Item:
        """Sequences of which `start` tokens are read once."""
        again = len(members) - 1
        return _Item(
            members,
            num_tokens=sum(lengths[i] for i in members) - again * start,
            cost=sum(self.cost(lengths[i]) for i in members) - again * self.cost(start),
        )

    def _placed(self, items: Sequence[_Item], num_parts: int) -> list[list[_Item]] | None:
        """The dearest part first; None: there is no room in so many."""
        parts: list[list[_Item]] = [[] for _ in range(num_parts)]
        for item in sorted(items, key=lambda item: -item.cost):
            having_room = [
                part
                for part in parts
                if not part
                or (
                    _num_tokens(part) + item.num_tokens <= self.most_tokens
                    and _num_sequences(part) + len(item.members) <= self.most_sequences
                )
            ]
            if not having_room:
                return None
            min(having_room, key=_cost).append(item)
        return sorted(parts, key=_cost, reverse=True)


@dataclass(frozen=True, slots=True)
class Shared:
    """What sequences begin with together, where a model reads that once.

    Attributes:
        names: Of the beginning of each sequence.
        num_tokens: Of each beginning, by name.
    """

    names: Sequence[str]
    num_tokens: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class _Item:
    """Sequences that stay together; what is shared counts once."""

    members: tuple[int, ...]
    num_tokens: int
    cost: float


def _num_tokens(part: Sequence[_Item]) -> int:
    return sum(item.num_tokens for item in part)


def _num_sequences(part: Sequence[_Item]) -> int:
    return sum(len(item.members) for item in part)


def _cost(part: Sequence[_Item]) -> float:
    return sum(item.cost for item in part)


def cut_together(
    lengths: Sequence[int],
    *,
    budget: TokenBudget,
    num_needed: int,
    shared: Shared | None = None,
) -> list[list[int]]:
    """Indices of this rank's sequences of each micro-batch; all ranks call it together, with
    equally many sequences, and get equally many micro-batches.

    Args:
        lengths: Tokens of each sequence, pictures expanded.
        budget: Of a micro-batch.
        num_needed: So many of the first are placed in any case; the others are taken, in order,
            where there would be a micro-batch of none.
        shared: See `TokenBudget.cut`.
    """
    agreed = min(FEWEST, len(lengths))
    while True:
        kept = lengths[: max(agreed, num_needed)]
        parts = budget.cut(kept, at_least=agreed, shared=shared)
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
