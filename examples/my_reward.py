"""My own reward of one rollout: a right answer that was found with few words.

    PYTHONPATH=examples python -m vigorl.train --config-dir examples/configs reward=my_reward

configs/reward/my_reward.yaml adds it to the accuracy; it is logged as `reward/brevity`.
"""

from __future__ import annotations

from dataclasses import dataclass

from vigorl.core.rollout import Rollout


@dataclass(frozen=True, slots=True)
class BrevityReward:
    """1 - words / max_words on wholly right answers, at least 0; 0 on all others.

    Only right answers are paid, so that silence never pays more than being right.

    Attributes:
        max_words: Words of all thoughts together from which on nothing is paid.
    """

    max_words: int = 60

    @property
    def name(self) -> str:
        return "brevity"

    @property
    def range(self) -> tuple[float, float]:
        return (0.0, 1.0)

    def __call__(self, rollout: Rollout) -> float:
        if rollout.score != 1.0:
            return 0.0
        words = sum(len((turn.parsed.think or "").split()) for turn in rollout.turns)
        return max(1.0 - words / self.max_words, 0.0)
