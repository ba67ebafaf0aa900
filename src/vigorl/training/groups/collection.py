"""Runs a group method over a phase: rounds of prompts, what all ranks know of their groups, and
each rank's planned number of rollouts to learn from.

Rank r generates its share of each round. Where the groups that are kept lie unevenly, those beyond
a rank's places go to ranks that have places left: rollouts are ids and paths of pictures, a few
kilobytes each. What is learned from is so the same on any number of ranks, as long as rounds are a
multiple of them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

from vigorl.core.rollout import ScoredRollout, TrainingSample, group_indices
from vigorl.ranks import from_all_ranks
from vigorl.training.groups.method import Choice, GroupFacts, GroupMethod, is_whole
from vigorl.training.phase import Credited

Ask = Callable[[int, int], Sequence[ScoredRollout]]
Group = Sequence[ScoredRollout]


@dataclass(frozen=True, slots=True)
class PhaseGroups:
    """This rank's rollouts of a phase, and what becomes of them.

    Attributes:
        scored: Every rollout that was generated, on one rank each; whole groups.
        learned: Indices into `scored` of those that are credited, group after group.
        idle: Of those that only fill places; with `learned` the planned number.
        factor: Multiplies the advantages.
        sums: (sum, count) of what is logged, by name.
    """

    scored: list[ScoredRollout]
    learned: list[int]
    idle: list[int] = field(default_factory=list)
    factor: float = 1.0
    sums: dict[str, tuple[float, float]] = field(default_factory=dict)


def collect_groups(
    ask: Ask, method: GroupMethod, *, wanted: int, group_size: int, rank: int, num_ranks: int
) -> PhaseGroups:
    """Ask until the method has enough; all ranks call it together.

    Args:
        ask: From the number of the round and of prompts over all ranks to this rank's scored
            rollouts, groups one after the other; fewer where no prompts are left.
        method: Decides.
        wanted: Groups of a phase over all ranks, a multiple of them.
        group_size: Rollouts of a group that are learned from.
        rank: This rank's number, from 0.
        num_ranks: How many share the phase.
    """
    own: dict[int, Group] = {}
    facts: list[GroupFacts] = []
    num_rounds = 0
    while count := method.num_prompts(facts, wanted=wanted, round=num_rounds):
        found = _whole_groups(ask(num_rounds, evenly_over_ranks(count, num_ranks)))
        numbered = {len(facts) + i * num_ranks + rank: group for i, group in enumerate(found)}
        own |= numbered
        num_rounds += 1
        before = len(facts)
        known = from_all_ranks([facts_of(n, group, rank=rank) for n, group in numbered.items()])
        facts += sorted((one for of_rank in known for one in of_rank), key=lambda one: one.number)
        if len(facts) == before:
            break  # the sampler has no further prompts
    choice = method.choose(facts, wanted=wanted)
    own, kept = _share_out(own, choice, facts, places=wanted // num_ranks, rank=rank)
    sums: dict[str, tuple[float, float]] = {
        "groups/generated": (len(facts), 1),
        "groups/rollouts": (sum(len(one.rewards) for one in facts), 1),
        "groups/refills": (num_rounds - 1, 1),
        "groups/kept_frac": (len(choice.kept), len(facts)),
        "groups/idle_frac": (wanted - len(choice.kept), wanted),
    }
    return _laid_out(own, kept, method, choice, wanted // num_ranks * group_size, group_size, sums)


def evenly_over_ranks(count: int, num_ranks: int) -> int:
    """Prompts that are asked where a method wants `count`: a multiple of the ranks."""
    return -(-count // num_ranks) * num_ranks


def all_groups(scored: Sequence[ScoredRollout], *, num_ranks: int) -> PhaseGroups:
    """Without a method: all that was generated is learned from."""
    num = len(scored) * num_ranks
    return PhaseGroups(list(scored), list(range(len(scored))), sums={"groups/rollouts": (num, 1)})


def facts_of(number: int, group: Group, *, rank: int) -> GroupFacts:
    """What the other ranks are told of a group."""
    return GroupFacts(
        number=number,
        rank=rank,
        accuracies=tuple(one.rollout.score for one in group),
        rewards=tuple(one.reward.total for one in group),
        is_whole=tuple(is_whole(one.rollout) for one in group),
    )


def with_idle(credited: Credited, groups: PhaseGroups) -> Credited:
    """All rollouts of the phase with their advantages, and one sample per place: those of credited
    rollouts, then idle ones without a token to learn from.
    """
    scored, factor = list(groups.scored), groups.factor
    for i, one in zip(groups.learned, credited.scored, strict=True):
        scored[i] = replace(one, advantage=one.advantage * factor) if factor != 1 else one
    samples = [
        replace(one, advantages=tuple(a * factor for a in one.advantages)) if factor != 1 else one
        for one in credited.samples
    ]
    has_critic = any(sample.returns for sample in samples)
    idle = [idle_sample(groups.scored[i], has_critic=has_critic) for i in groups.idle]
    return Credited(scored, samples + idle, credited.sums)


def idle_sample(one: ScoredRollout, *, has_critic: bool = False) -> TrainingSample:
    """A sample without a token to learn from."""
    rollout = one.rollout
    nothing = (0,) * len(rollout.token_ids)
    zeros = tuple(map(float, nothing))
    return TrainingSample(
        token_ids=rollout.token_ids,
        loss_mask=nothing,
        views=rollout.views,
        sampling_logprobs=rollout.sampling_logprobs,
        advantages=zeros,
        group=rollout.group,
        old_values=zeros if has_critic else (),
        returns=zeros if has_critic else (),
    )


def _whole_groups(scored: Sequence[ScoredRollout]) -> list[Group]:
    members = group_indices(one.rollout for one in scored)
    return [[scored[i] for i in indices] for indices in members]


def _share_out(
    own: dict[int, Group],
    choice: Choice,
    facts: Sequence[GroupFacts],
    *,
    places: int,
    rank: int,
) -> tuple[dict[int, Group], list[int]]:
    """This rank's groups once those beyond a rank's places have moved, and which of them are kept.

    Raises:
        ValueError: More groups were chosen than there are places.
    """
    rank_of = {one.number: one.rank for one in facts}
    kept: dict[int, list[int]] = {}
    for number in sorted(choice.kept):
        kept.setdefault(rank_of[number], []).append(number)
    moving = [number for numbers in kept.values() for number in numbers[places:]]
    if not moving:
        return own, kept.get(rank, [])
    held = from_all_ranks({number: own[number] for number in moving if number in own})
    groups = {number: group for one in held for number, group in one.items()}
    kept = {one: numbers[:places] for one, numbers in kept.items()}
    for receiver in range(len(held)):
        free = places - len(kept.setdefault(receiver, []))
        kept[receiver] += moving[:free]
        moving = moving[free:]
    if moving:
        raise ValueError(f"{len(moving)} groups were chosen beyond the phase's places")
    stay = {number: group for number, group in own.items() if number not in groups}
    return stay | {n: groups[n] for n in kept[rank] if n in groups}, kept[rank]


def _laid_out(
    own: dict[int, Group],
    kept: Sequence[int],
    method: GroupMethod,
    choice: Choice,
    num_places: int,
    group_size: int,
    sums: dict[str, tuple[float, float]],
) -> PhaseGroups:
    scored, learned, idle, spare = list[ScoredRollout](), list[int](), list[int](), list[int]()
    for number, group in sorted(own.items()):
        members = range(len(scored), len(scored) + len(group))
        scored += group
        if number not in kept:
            spare += members[:group_size]
            continue
        picked = method.pick(group, group_size=group_size)
        others = [i for i in range(len(group)) if i not in set(picked)]
        learned += [members[i] for i in picked]
        idle += [members[i] for i in others[: group_size - len(picked)]]
    idle += spare[: num_places - len(learned) - len(idle)]
    return PhaseGroups(scored, learned, idle, choice.factor, sums)
