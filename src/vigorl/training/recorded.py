"""What earlier stages have recorded: their groups, and which of their own answers are learned from.

    RUN/rollouts/train_phase_*.jsonl -> groups -> the right answers of a prompt -> traces of SFT

Tokens are those that were sampled; nothing is encoded again, so model family and prompt must be
those of the record.
"""

from __future__ import annotations

import glob
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Annotated

from vigorl.core.errors import ConfigError
from vigorl.core.metrics import is_right
from vigorl.core.ranges import AtLeastOne, Range, Share, ShareAboveZero, check_ranges
from vigorl.core.rewards.zoom import zoom_hits
from vigorl.core.rollout import Rollout, TrainingSample
from vigorl.rollout.recorder import read_rollouts


def recorded_groups(files: str, *, key: str) -> list[list[Rollout]]:
    """The rollouts of each prompt in each phase, of all ranks, in the records' order.

    Args:
        files: With * for any letters.
        key: The setting that says so.
    Raises:
        ConfigError: No such file.
        DataError: A line that is no rollout.
    """
    paths = sorted(glob.glob(glob.escape(files).replace("[*]", "*")))  # folders may hold [ and ?
    if not paths:
        raise ConfigError(f"{key}={files!r}: there is no such file")
    groups: dict[tuple[str, str], list[Rollout]] = {}
    for path in paths:
        for one in read_rollouts(path):
            rollout = one.scored.rollout
            groups.setdefault((path.partition("_rank")[0], rollout.group), []).append(rollout)
    return list(groups.values())


def recorded_rates(files: str, task_ids: Iterable[str], *, key: str) -> dict[str, float]:
    """{task id: share of wholly right rollouts} of those tasks that a record knows.

    Raises:
        ConfigError: It knows none of them.
    """
    wanted, right = set(task_ids), dict[str, list[bool]]()
    groups = recorded_groups(files, key=key)
    for one in (rollout for group in groups for rollout in group):
        if one.task.id in wanted:
            right.setdefault(one.task.id, []).append(is_right(one))
    if not right:
        raise ConfigError(
            f"{key}={files!r} has no effect: none of its {len(groups)} prompts is one of the "
            f"{len(wanted)} training tasks"
        )
    return {id: fmean(each) for id, each in right.items()}


def hit_share(rollout: Rollout) -> float:
    """Share of its looks that show a target; 0.0 of one that never looked."""
    hits = zoom_hits(rollout)
    return fmean(hits) if hits else 0.0


def sample_of(rollout: Rollout) -> TrainingSample:
    """Its tokens as they were sampled, to be learned from."""
    return TrainingSample(rollout.token_ids, rollout.loss_mask, rollout.views, group=rollout.group)


_ONE_IN = 20  # questions is held out


@dataclass(frozen=True, slots=True, kw_only=True)
class OwnAnswers:
    """The traces of SFT are answers that an earlier stage has recorded: rejection sampling.

    Attributes:
        files: The records, with * for any letters.
        right_from: Least score of an answer that is kept.
        right_hits: Least share of its looks that show a target; None does not ask.
        per_prompt: Answers of a prompt in a phase at most, the shortest first.
        solved_from: Prompts are left out whose share of kept answers is below this ...
        solved_to: ... or above this.
    Source: the shortest right answer of several is OpenVLThinker's, arXiv:2503.17352.
    """

    files: str
    right_from: ShareAboveZero = 1.0
    right_hits: Share | None = None
    per_prompt: AtLeastOne = 1
    solved_from: Share = 0.0
    solved_to: Annotated[float, Range(gt=0, le=1)] = 1.0

    def __post_init__(self) -> None:
        check_ranges(self, "traces.own")

    def read(self) -> tuple[list[TrainingSample], list[TrainingSample]]:
        """All answers that are kept, in the records' order: those that are learned from, and those
        of one question in twenty, for the loss on held-out ones.

        Raises:
            ConfigError: No such file, or no answer in them is kept.
            DataError: A line that is no rollout.
        """
        groups = recorded_groups(self.files, key="traces.own.files")
        kept = [one for group in groups for one in self.of_group(group)]
        if not kept:
            raise ConfigError(
                f"traces.own.files={self.files!r}: of {len(groups)} prompts none has an answer "
                "that is kept; lower traces.own.right_from, or record more"
            )
        ids = list(dict.fromkeys(one.task.id for one in kept))
        held = set(ids[::_ONE_IN] if len(ids) > 1 else ())
        return (
            [sample_of(one) for one in kept if one.task.id not in held],
            [sample_of(one) for one in kept if one.task.id in held],
        )

    def of_group(self, group: Sequence[Rollout]) -> list[Rollout]:
        """What is kept of a prompt; of equal length the earlier first."""
        right = [one for one in group if self._is_kept(one)]
        if not self.solved_from <= len(right) / len(group) <= self.solved_to:
            return []
        return sorted(right, key=lambda one: sum(one.loss_mask))[: self.per_prompt]

    def _is_kept(self, one: Rollout) -> bool:
        is_seen = self.right_hits is None or hit_share(one) >= self.right_hits
        return one.score >= self.right_from and is_seen
