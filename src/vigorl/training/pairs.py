"""Pairs of recorded rollouts: a right and a wrong answer to the same prompt, as optimizer batches.

    RUN/rollouts/train_phase_*.jsonl -> groups -> pairs -> optimizer batches -> micro-batches

Tokens are those that were sampled; nothing is encoded again, so model family and prompt must be
those of the record. Prompts whose rollouts are all right, or all wrong, give no pair.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple, Protocol

import torch
from torch.utils.data import Dataset

from vigorl.core.errors import ConfigError
from vigorl.core.records import TaskRecord
from vigorl.core.rollout import Rollout, TrainingSample
from vigorl.data.collate import TrainingBatch
from vigorl.rollout.environment import Environment
from vigorl.training.buffer import Collate
from vigorl.training.recorded import hit_share, recorded_groups, sample_of


class Pair(NamedTuple):
    """Two answers to one prompt."""

    chosen: TrainingSample
    rejected: TrainingSample


class PairSource(Protocol):
    """Where pairs come from, and how they become optimizer batches."""

    @property
    def pairs_per_update(self) -> int: ...

    @property
    def micro_batch_size(self) -> int: ...

    def accumulate(self, world_size: int) -> int:
        """Micro-batches per update on each rank."""
        ...

    def read(self, tasks: Sequence[TaskRecord], environment: Environment) -> list[Pair]:
        """All pairs, in a fixed order.

        Args:
            tasks: The run's training questions.
            environment: How they are asked.
        """
        ...


def check_batches(pairs_per_update: int, micro_batch_size: int, world_size: int) -> int:
    """Micro-batches per update on each rank.

    Raises:
        ConfigError: Pairs do not divide evenly.
    """
    if pairs_per_update % (world_size * micro_batch_size):
        raise ConfigError(
            f"pairs.pairs_per_update={pairs_per_update} must be a multiple of "
            f"{world_size} ranks x pairs.micro_batch_size={micro_batch_size}"
        )
    return pairs_per_update // (world_size * micro_batch_size)


@dataclass(frozen=True, slots=True, kw_only=True)
class PairBatching:
    """Which pairs, and how they become optimizer batches.

    Attributes:
        rollouts: The records' files, with * for any letters.
        pairs_per_update: Pairs of one optimizer batch, over all ranks and micro-batches.
        micro_batch_size: Pairs of one forward pass on one rank.
        per_prompt: Pairs of a prompt in a phase at most; no answer is in two of them.
        right_from: Least score of a chosen answer.
        wrong_to: Most score of a rejected one, below `right_from`.
        right_hits: Least share of a chosen answer's looks that show a target; None does not ask.
        wrong_hits: Most share of a rejected one's.
    Raises:
        ConfigError: A setting out of its range.
    Source: thresholds as in VisRL, arXiv:2503.07523 (0.8 and 0.2 of answer and box alike;
        zhangquanchen/VisRL 04bb8f3, `data_gen/filter.py`), whose box score is here the share of
        looks that hit; it takes the best and the worst of a prompt, one pair.
    """

    rollouts: str
    pairs_per_update: int
    micro_batch_size: int
    per_prompt: int = 1
    right_from: float = 1.0
    wrong_to: float = 0.0
    right_hits: float | None = None
    wrong_hits: float | None = None

    def __post_init__(self) -> None:
        if not 0 <= self.wrong_to < self.right_from <= 1:
            raise ConfigError(
                "need 0 <= pairs.wrong_to < pairs.right_from <= 1, "
                f"got {self.wrong_to} and {self.right_from}"
            )
        if self.per_prompt < 1:
            raise ConfigError(f"pairs.per_prompt must be at least 1, got {self.per_prompt}")

    def accumulate(self, world_size: int) -> int:
        """Micro-batches per update on each rank."""
        return check_batches(self.pairs_per_update, self.micro_batch_size, world_size)

    def read(self, tasks: Sequence[TaskRecord], environment: Environment) -> list[Pair]:
        """Every pair of the records, in their order; questions and environment are theirs.

        Raises:
            ConfigError: No such file, or no pair in them.
            DataError: A line that is no rollout.
        """
        groups = recorded_groups(self.rollouts, key="pairs.rollouts")
        pairs = [pair for group in groups for pair in self.of_group(group)]
        if len(pairs) < self.pairs_per_update:
            raise ConfigError(
                f"pairs.rollouts={self.rollouts!r}: {len(pairs)} pairs of {len(groups)} prompts do "
                f"not fill one optimizer batch of pairs.pairs_per_update={self.pairs_per_update}"
            )
        return pairs

    def of_group(self, group: Sequence[Rollout]) -> list[Pair]:
        """The best right answers with the worst wrong ones; of equal ones the earlier first."""
        right = [one for one in group if self._is_right(one)]
        wrong = [one for one in group if self._is_wrong(one)]
        right.sort(key=self._value, reverse=True)
        wrong.sort(key=self._value)
        both = list(zip(right, wrong, strict=False))[: self.per_prompt]
        return [Pair(sample_of(chosen), sample_of(rejected)) for chosen, rejected in both]

    def _is_right(self, one: Rollout) -> bool:
        is_seen = self.right_hits is None or hit_share(one) >= self.right_hits
        return one.score >= self.right_from and is_seen

    def _is_wrong(self, one: Rollout) -> bool:
        is_unseen = self.wrong_hits is None or hit_share(one) <= self.wrong_hits
        return one.score <= self.wrong_to and is_unseen

    def _value(self, one: Rollout) -> float:
        asks = self.right_hits is not None or self.wrong_hits is not None
        return one.score + (hit_share(one) if asks else 0.0)


@dataclass(frozen=True, slots=True)
class PairBatch:
    """B pairs as tensors: the chosen answers, then the rejected ones.

    Attributes:
        batch: 2 B rows; `token_weight` is 1 / the chosen tokens of the optimizer batch.
        pair_weight: 1 / its pairs.
    """

    batch: TrainingBatch
    pair_weight: float

    def to(self, device: torch.device | str) -> PairBatch:
        return replace(self, batch=self.batch.to(device))


class PairBatches(Dataset[PairBatch]):
    """One epoch of pairs on one rank: every pair once, in whole optimizer batches; the rest waits
    for the next epoch. Neighbours in length share a micro-batch.
    """

    def __init__(
        self,
        pairs: Sequence[Pair],
        settings: PairSource,
        *,
        collate: Collate,
        num_tokens: Callable[[TrainingSample], int],
        order: str,
        world_size: int,
        rank: int,
    ) -> None:
        self._settings, self._collate, self._num_tokens = settings, collate, num_tokens
        self._world_size, self._rank = world_size, rank
        self._pairs = list(pairs)
        random.Random(order).shuffle(self._pairs)

    def __len__(self) -> int:
        updates = len(self._pairs) // self._settings.pairs_per_update
        return updates * self._settings.accumulate(self._world_size)

    def __getitem__(self, index: int) -> PairBatch:
        if index >= len(self):
            raise IndexError(index)
        update, micro = divmod(index, self._settings.accumulate(self._world_size))
        size = self._settings.pairs_per_update
        chosen = self._pairs[update * size : (update + 1) * size]
        weight = 1.0 / max(sum(sum(pair.chosen.loss_mask) for pair in chosen), 1)
        chosen.sort(key=lambda pair: max(map(self._num_tokens, pair)))
        first = (micro * self._world_size + self._rank) * self._settings.micro_batch_size
        part = chosen[first : first + self._settings.micro_batch_size]
        rows = [pair.chosen for pair in part] + [pair.rejected for pair in part]
        batch = self._collate([replace(row, token_weight=weight) for row in rows])
        return PairBatch(batch, 1.0 / size)
