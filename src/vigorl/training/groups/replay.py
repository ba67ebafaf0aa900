"""Rollouts of earlier phases in the places of flat groups.

    flat groups of a phase        their places are free
    a buffer of good rollouts     fills them, at most `max_share` of the phase
    what this phase has shown     goes into the buffer, the oldest leave

A replayed rollout keeps what it was when it was sampled: its advantage in its own group and the
logprobs of the engine that sampled it, which are the old ones that the ratio is against. Neither is
ever computed again: under the present policy the ratio would be 1 and say that it had sampled them.
Its age is counted in versions (updates of the policy), and the clip of the algorithm does the rest.

Every rank holds the same buffer, of JSON lines as `rollout.recorder` writes them, and a checkpoint
holds it.
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from vigorl.core.metrics import is_right
from vigorl.core.ranges import AtLeastOne, NotNegative, ShareAboveZero
from vigorl.core.rollout import ScoredRollout, TrainingSample
from vigorl.ranks import from_all_ranks, own_rank
from vigorl.rollout.recorder import rollout_from_json, rollout_to_json
from vigorl.training.groups.method import (
    Choice,
    GroupFacts,
    GroupMethod,
    Metric,
    Moment,
    mixed_first,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Stored:
    """A rollout in the buffer.

    Attributes:
        line: The rollout, as recorded.
        advantages: [L] of its tokens, as they were credited.
        loss_mask: [L] the tokens to learn from.
        version: Updates that the policy that sampled it had had.
        weight: How readily it is drawn.
    """

    line: str
    advantages: tuple[float, ...]
    loss_mask: tuple[int, ...]
    version: int
    weight: float

    def sample(self) -> TrainingSample:
        rollout = rollout_from_json(self.line).scored.rollout
        return TrainingSample(
            token_ids=rollout.token_ids,
            loss_mask=self.loss_mask,
            views=rollout.views,
            sampling_logprobs=rollout.sampling_logprobs,
            advantages=self.advantages,
            group=rollout.group,
            is_replayed=True,
        )


@dataclass(slots=True, kw_only=True)
class Replay(GroupMethod):
    """A `GroupMethod` with a state: the buffer.

    Attributes:
        metric: What must differ within a group; see `Metric`. Other groups are flat, and their
            places are free.
        capacity: Most rollouts in the buffer, over all ranks.
        max_share: Most of a phase's sequences that are replayed, in (0, 1].
        max_age: Most updates since a rollout was sampled; older ones leave the buffer.
        exponent: A rollout is drawn with a weight of its |advantage| to this power; 0 draws evenly.
        only_right: Only rollouts with a wholly right answer are stored. Without, those that are
            pushed away from are replayed too.
    Raises:
        ConfigError: A setting out of its range.
    Source: Pixel Reasoner, arXiv:2505.15966 ("selective replay", a buffer of 512; its released
        code, a3a6c3a, has a function that fills a batch up with copies of the groups of that same
        batch that have a spread; where it is called was not seen). Drawing by |advantage|:
        selective sample replay, arXiv:2504.08837, as far as known. `max_share`, `max_age` and
        `only_right` are not published; ours.
    """

    needs_old = True

    metric: Metric | str = Metric.ACCURACY
    capacity: AtLeastOne = 512
    max_share: ShareAboveZero = 0.25
    max_age: AtLeastOne = 8
    exponent: NotNegative = 1.0
    only_right: bool = True
    _buffer: list[Stored] = field(default_factory=list, init=False)
    _metrics: dict[str, tuple[float, float]] = field(default_factory=dict, init=False)

    def choose(self, facts: Sequence[GroupFacts], *, wanted: int) -> Choice:
        return Choice(mixed_first(facts, self.metric, wanted=wanted))

    def fill(
        self, samples: Sequence[TrainingSample], scored: Sequence[ScoredRollout], *, moment: Moment
    ) -> list[TrainingSample]:
        self._buffer = [one for one in self._buffer if moment.version - one.version <= self.max_age]
        free = [i for i, sample in enumerate(samples) if not any(sample.loss_mask)]
        sizes = from_all_ranks((len(free), len(samples)))
        num_all = sum(size for _, size in sizes)
        most = min(int(self.max_share * num_all), sum(num for num, _ in sizes))
        drawn = self._draw(most, order=moment.order)
        first = sum(num for num, _ in sizes[: own_rank()])
        filled = list(samples)
        for place, one in zip(free, drawn[first : first + len(free)], strict=False):
            filled[place] = one.sample()
        ages = [moment.version - one.version for one in drawn]
        self._metrics = {
            "groups/replayed_frac": (len(drawn), num_all),
            "groups/replay_age": (sum(ages), len(ages)),
            "groups/buffered": (len(self._buffer), 1),
        }
        self._store(samples, scored)
        return filled

    def metrics(self) -> Mapping[str, tuple[float, float]]:
        return self._metrics

    def state_dict(self) -> dict[str, Any]:
        return {
            "buffer": [
                [one.line, list(one.advantages), list(one.loss_mask), one.version, one.weight]
                for one in self._buffer
            ]
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self._buffer = [
            Stored(
                line=line,
                advantages=tuple(advantages),
                loss_mask=tuple(mask),
                version=version,
                weight=weight,
            )
            for line, advantages, mask, version, weight in state["buffer"]
        ]

    def _draw(self, count: int, *, order: str) -> list[Stored]:
        """Without replacement, the same on every rank: the largest u^(1 / weight) of uniform u.

        Source: Efraimidis and Spirakis, "Weighted random sampling with a reservoir" (2006).
        """
        rng = random.Random(f"{order}/replay")
        keys = [rng.random() ** (1 / one.weight) for one in self._buffer]
        best = sorted(range(len(keys)), key=lambda i: keys[i], reverse=True)[:count]
        return [self._buffer[i] for i in sorted(best)]

    def _store(self, samples: Sequence[TrainingSample], scored: Sequence[ScoredRollout]) -> None:
        own = [
            Stored(
                line=rollout_to_json(replace(one), phase="replay", run_seed=0),
                advantages=sample.advantages,
                loss_mask=sample.loss_mask,
                version=one.rollout.policy_version,
                weight=_mean_size(sample) ** self.exponent,
            )
            for sample, one in zip(samples, scored, strict=True)
            if any(sample.advantages) and (is_right(one.rollout) or not self.only_right)
        ]
        new = [one for of_rank in from_all_ranks(own) for one in of_rank]
        self._buffer = (self._buffer + new)[-self.capacity :]


def _mean_size(sample: TrainingSample) -> float:
    """The mean |advantage| of the tokens to learn from."""
    return sum(map(abs, sample.advantages)) / sum(sample.loss_mask)
