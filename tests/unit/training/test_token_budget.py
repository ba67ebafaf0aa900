"""Micro-batches of at most so many tokens, as level as can be, as many on every rank."""

from __future__ import annotations

import random
from typing import Any

import pytest
import torch.distributed as dist
from hypothesis import given
from hypothesis import strategies as st

from vigorl import ranks
from vigorl.training.token_budget import Shared, TokenBudget, cut_together, deal

TEN = TokenBudget(most_tokens=10, most_sequences=9)


def lengths_of(parts: list[list[int]], lengths: list[int]) -> list[list[int]]:
    return [[lengths[i] for i in part] for part in parts]


def test_the_worked_example_of_the_module() -> None:
    lengths = [3, 9, 5, 3, 4]
    # 24 tokens need 3; 9 | 5 | 4, then 3 beside 4 (the cheapest), the other beside 5
    found = lengths_of(TEN.cut(lengths, at_least=1), lengths)
    assert found == [[9], [5, 3], [4, 3]]


def test_a_sequence_beyond_the_budget_is_alone() -> None:
    assert lengths_of(TEN.cut([12, 2, 3], at_least=1), [12, 2, 3]) == [[12], [3, 2]]


def test_attention_makes_long_sequences_dear() -> None:
    budget = TokenBudget(most_tokens=100, most_sequences=9, attention=0.1)
    lengths = [40, 20, 20, 10]
    assert budget.cost(40) == 200  # 40 (1 + 4), against 2 x 60 of the 20s and 20 of the 10
    assert lengths_of(budget.cut(lengths, at_least=2), lengths) == [[40], [20, 20, 10]]
    plain = TokenBudget(most_tokens=100, most_sequences=9)
    assert lengths_of(plain.cut(lengths, at_least=2), lengths) == [[40, 10], [20, 20]]


@given(
    st.lists(st.integers(1, 40), min_size=1, max_size=60),
    st.integers(20, 200),
    st.integers(1, 9),
    st.integers(1, 4),
)
def test_everything_is_placed_once_and_nothing_beyond_the_budget(
    lengths: list[int], most_tokens: int, most_sequences: int, at_least: int
) -> None:
    budget = TokenBudget(most_tokens=most_tokens, most_sequences=most_sequences, attention=0.01)
    at_least = min(at_least, len(lengths))
    parts = budget.cut(lengths, at_least=at_least)
    assert sorted(i for part in parts for i in part) == list(range(len(lengths)))
    assert len(parts) >= at_least
    for part in parts:
        assert len(part) == 1 or sum(lengths[i] for i in part) <= most_tokens
        assert 1 <= len(part) <= most_sequences
    costs = [sum(budget.cost(lengths[i]) for i in part) for part in parts]
    assert costs == sorted(costs, reverse=True)


def test_what_a_group_begins_with_counts_once_and_keeps_it_together() -> None:
    shared = Shared(["a", "b", "a", "b", "a", "b"], {"a": 6, "b": 6})
    # 8 8 8 of which 6 are shared: 12 tokens together; two groups need two of 14
    budget = TokenBudget(most_tokens=14, most_sequences=9)
    assert budget.cut([8] * 6, at_least=1, shared=shared) == [[0, 2, 4], [1, 3, 5]]
    # 11 have room for two of a group, 6 + 2 + 2; the third is with another's third: 8 + 8 > 11
    tight = TokenBudget(most_tokens=11, most_sequences=9)
    parts = tight.cut([8] * 6, at_least=1, shared=shared)
    assert sorted(map(sorted, parts)) == [[0, 2], [1, 3], [4], [5]]
    # a rank that must have more parts its groups
    parts = budget.cut([8] * 6, at_least=5, shared=shared)
    assert len(parts) == 5
    assert sorted(i for part in parts for i in part) == list(range(6))


def test_costs_are_level() -> None:
    numbers = random.Random(0)
    budget = TokenBudget(most_tokens=4096, most_sequences=99, attention=1e-4)
    lengths = [numbers.randint(60, 900) for _ in range(128)]
    costs = [sum(budget.cost(lengths[i]) for i in part) for part in budget.cut(lengths, at_least=2)]
    assert max(costs) < 1.03 * sum(costs) / len(costs)
    assert len(costs) <= 1 + -(-sum(lengths) // 4096)


@pytest.fixture
def other_rank(monkeypatch: pytest.MonkeyPatch) -> Any:
    def needs(most: int) -> None:
        def gather(found: list[Any], own: Any) -> None:
            found[:] = [own, most]

        monkeypatch.setattr(ranks, "num_ranks", lambda: 2)
        monkeypatch.setattr(dist, "all_gather_object", gather)

    return needs


def test_ranks_have_as_many_as_the_one_that_needs_most(other_rank: Any) -> None:
    other_rank(4)
    found = cut_together([3, 3, 3, 3, 3], budget=TEN, num_needed=5)
    assert len(found) == 4
    assert sorted(i for part in found for i in part) == [0, 1, 2, 3, 4]


def test_fillers_are_taken_only_where_there_would_be_a_micro_batch_of_none(other_rank: Any) -> None:
    other_rank(3)
    found = cut_together([4, 2, 2, 2, 2], budget=TEN, num_needed=2)
    assert found == [[0], [1], [2]]
    other_rank(2)
    assert cut_together([4, 2, 2, 2], budget=TEN, num_needed=2) == [[0], [1]]
    assert cut_together([4, 2, 2, 2], budget=TEN, num_needed=0) == [[0], [1]]


def test_traces_are_dealt_over_ranks_so_that_neighbours_meet() -> None:
    numbers = random.Random(1)
    lengths = [numbers.randint(60, 400) for _ in range(64)]
    budget = TokenBudget(most_tokens=1024, most_sequences=99)
    dealt = [deal(lengths, budget=budget, num_ranks=4, rank=rank) for rank in range(4)]
    assert len({len(parts) for parts in dealt}) == 1
    assert sorted(i for parts in dealt for part in parts for i in part) == list(range(64))
    sums = [[sum(lengths[i] for i in part) for part in parts] for parts in dealt]
    assert max(map(max, sums)) <= 1024
    totals = [sum(one) for one in sums]
    assert max(totals) < 1.02 * min(totals)
