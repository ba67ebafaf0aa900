"""Rounds, ranks and places: what a method chooses becomes each rank's planned number of samples."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from tests import builders
from vigorl.core.rollout import ScoredRollout, TrainingSample
from vigorl.training.algorithms.grpo import GRPO
from vigorl.training.groups.collection import PhaseGroups, collect_groups, with_idle
from vigorl.training.groups.drop_flat import DropFlat
from vigorl.training.groups.dynamic_sampling import DynamicSampling
from vigorl.training.groups.method import GroupFacts, GroupMethod
from vigorl.training.groups.spread_ranking import SpreadRanking
from vigorl.training.groups.variance_selection import VarianceSelection
from vigorl.training.phase import credit_rollouts, loss_tokens, weigh_update

# by prompt: whether both of its rollouts are right, none, or one; the second rank has the odd ones
PROMPTS = "mwrwmwmrmwmr"


def group_of(number: int) -> list[ScoredRollout]:
    answers = {"m": ("red", "blue"), "w": ("blue", "blue"), "r": ("red", "red")}[PROMPTS[number]]
    rollouts = [
        builders.rollout(builders.answer_turn(answer), group=f"g{number}", index=i)
        for i, answer in enumerate(answers)
    ]
    return [builders.scored(one, total=one.score) for one in rollouts]


@dataclass
class Asked:
    """Gives the next prompts, `rank`, `rank + num_ranks`, ... of each round."""

    rank: int = 0
    num_ranks: int = 1
    limit: int = len(PROMPTS)
    rounds: list[int] = field(default_factory=list)

    def __call__(self, round: int, count: int) -> list[ScoredRollout]:
        assert round == len(self.rounds)
        first = sum(self.rounds)
        self.rounds.append(min(count, self.limit - first))
        numbers = range(first + self.rank, min(first + count, self.limit), self.num_ranks)
        return [one for number in numbers for one in group_of(number)]


def collected(method: GroupMethod, *, wanted: int = 4, ask: Asked | None = None) -> PhaseGroups:
    ask = ask or Asked()
    return collect_groups(
        ask, method, wanted=wanted, group_size=2, rank=ask.rank, num_ranks=ask.num_ranks
    )


def names(found: PhaseGroups, indices: Sequence[int]) -> list[str]:
    return [found.scored[i].rollout.group for i in indices]


def weights_of(ranks: Sequence[PhaseGroups]) -> list[float]:
    """What each token of every sample counts in an update of the whole phase, sorted."""
    algorithm, of_ranks = GRPO(), list[list[TrainingSample]]()
    for found in ranks:
        credited = credit_rollouts([found.scored[i] for i in found.learned], algorithm)
        of_ranks.append(with_idle(credited, found).samples)
    counts = [loss_tokens(samples) for samples in of_ranks]
    weigh = algorithm.token_weights
    return sorted(
        one.token_weight
        for rank, own in enumerate(of_ranks)
        for one in weigh_update(own, weigh, of_ranks=counts, rank=rank)
    )


def test_asks_until_enough_differ_and_cuts_the_surplus() -> None:
    ask = Asked()
    found = collected(DynamicSampling(), ask=ask)
    assert ask.rounds == [4, 4, 4]  # 1, 3 and 5 of them differ
    assert names(found, found.learned) == ["g0", "g0", "g4", "g4", "g6", "g6", "g8", "g8"]
    assert found.idle == []
    assert len(found.scored) == 2 * 12  # all of them are on record
    assert found.sums["groups/refills"] == (2, 1)
    assert found.sums["groups/kept_frac"] == (4, 12)


@pytest.mark.parametrize(("max_batches", "limit"), [(2, 12), (9, 8)])
def test_where_it_ends_the_flat_ones_fill_places_without_a_token(
    max_batches: int, limit: int
) -> None:
    """At the cap, and where the sampler has no further prompts."""
    found = collected(DynamicSampling(max_batches=max_batches), ask=Asked(limit=limit))
    assert names(found, found.learned) == ["g0", "g0", "g4", "g4", "g6", "g6"]
    assert names(found, found.idle) == ["g1", "g1"]
    credited = credit_rollouts([found.scored[i] for i in found.learned], GRPO(scale_by_std=False))
    scored, samples, _ = with_idle(credited, found)
    assert [any(sample.loss_mask) for sample in samples] == [True] * 6 + [False] * 2
    assert len(samples) == 8
    assert not any(sample.returns for sample in samples)
    learned = [replace(one, returns=one.advantages) for one in credited.samples]
    samples = with_idle(credited._replace(samples=learned), found).samples  # with a critic
    assert {len(sample.returns) == len(sample.token_ids) for sample in samples} == {True}
    assert [one.advantage for one in scored][:4] == [0.5, -0.5, 0.0, 0.0]
    assert found.sums["groups/idle_frac"] == (1, 4)


def test_a_factor_scales_what_is_credited() -> None:
    found = collected(VarianceSelection(top_share=0.25))
    credited = credit_rollouts([found.scored[i] for i in found.learned], GRPO(scale_by_std=False))
    scored, samples, _ = with_idle(credited, found)
    assert scored[0].advantage == 0.25  # 0.5 x sqrt(1 / 4)
    assert set(samples[0].advantages) == {0.0, 0.25}
    assert len(samples) == 8


def test_rollouts_that_are_not_picked_fill_the_places_of_their_group() -> None:
    class First(SpreadRanking):
        def pick(self, group: Sequence[ScoredRollout], *, group_size: int) -> list[int]:
            return [1]

    found = collected(First(oversample=1.0))
    assert found.learned == [1]
    assert names(found, found.idle) == ["g0", "g1", "g1", "g2", "g2", "g3", "g3"]


@pytest.mark.parametrize("method", [DropFlat(), DynamicSampling(), DynamicSampling(max_batches=2)])
def test_two_ranks_learn_from_the_groups_that_one_does(
    method: GroupMethod, on_two_ranks: Callable[..., list[PhaseGroups]]
) -> None:
    alone = collected(method)
    both = on_two_ranks(lambda rank: collected(method, ask=Asked(rank, 2)))
    learned = sorted(name for one in both for name in names(one, one.learned))
    assert learned == sorted(names(alone, alone.learned))
    # all groups that differ were the first rank's; each has its planned number of places
    assert [len(one.learned) + len(one.idle) for one in both] == [4, 4]
    assert both[0].sums == both[1].sums == alone.sums
    assert weights_of(both) == weights_of([alone])
    generated = sorted(one.rollout.group for found in both for one in found.scored)
    assert generated == sorted(one.rollout.group for one in alone.scored)


def test_a_method_that_chooses_too_many_is_an_error() -> None:
    class Greedy(GroupMethod):
        def num_prompts(self, facts: Sequence[GroupFacts], *, wanted: int, round: int) -> int:
            return 0 if round else 12

        def choose(self, facts: Sequence[GroupFacts], *, wanted: int) -> Any:
            return GroupMethod.choose(self, facts, wanted=wanted + 1)

    with pytest.raises(ValueError, match="1 groups were chosen beyond the phase's places"):
        collected(Greedy())
