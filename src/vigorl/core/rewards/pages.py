"""How well a rollout has searched: which pictures it was shown, and in which order."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from vigorl.core.media import FileImage
from vigorl.core.rewards.unit import UnitReward
from vigorl.core.rewards.words import tag_list
from vigorl.core.rollout import Rollout


@dataclass(frozen=True, slots=True, kw_only=True)
class FoundPagesReward(UnitReward):
    """NDCG of the pictures that searches have shown against the task's tag "pages", a list of names
    separated by ";"; 0 without the tag. A name may leave out the folders above it.

    Crops and pictures that tools have made are no pages; one shown twice counts once.

    Source: VRAG-RL, arXiv:2505.22019; Alibaba-NLP/VRAG 24f8d05, reward_manager/rm.py.
    """

    name: str = "found_pages"

    def __call__(self, rollout: Rollout) -> float:
        wanted = tag_list(rollout.task, "pages")
        whole = [view.source for view in rollout.shown if view.box is None]
        found = dict.fromkeys(source.path for source in whole if isinstance(source, FileImage))
        is_wanted = [any(f"/{path}".endswith(f"/{one}") for one in wanted) for path in found]
        return min(_gain(is_wanted) / _gain([True] * len(wanted)), 1.0) if wanted else 0.0


def _gain(is_wanted: Sequence[bool]) -> float:
    """DCG of relevances 0 and 1: a hit at rank r is worth 1 / log2(r + 1)."""
    return sum(1 / math.log2(rank + 1) for rank, hit in enumerate(is_wanted, start=1) if hit)
