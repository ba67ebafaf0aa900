"""How well a text fits its picture, by a judge behind an interface: VideoRFT, PeBR-R1, VLAA.

The judge is a model that embeds both, a reward model, or, in the drawn world, the share of true
words (`visual_facts.TrueWords`).
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Protocol, runtime_checkable

from vigorl.core.errors import ConfigError
from vigorl.core.rewards.unit import UnitReward, check_positive
from vigorl.core.rewards.visual_facts import TrueWords
from vigorl.core.rewards.words import said_by, tag_list, thoughts_of
from vigorl.core.rollout import Rollout


@runtime_checkable
class TextJudge(Protocol):
    """Pure: the same text and rollout give the same value."""

    def __call__(self, text: str, rollout: Rollout) -> float:
        """How well a text fits the picture and the question of a rollout, finite; a cosine where it
        embeds both.
        """
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class SemanticConsistencyReward(UnitReward):
    """min(1, scale * max(similarity, 0)) of the thoughts after their first full stop, on right
    answers.

    Right is a score above 0, as in the paper. With the paper's weights of 1 a wrong answer in
    format ties with a right one out of it, 1.0; the reward itself never pays a wrong one.

    Attributes:
        judge: Gives the similarity.
        scale: The paper 2, for SigLIP's cosines.
        only_if_correct: False pays wrong answers too, which loses on two of the paper's six
            benchmarks against no such reward.
    Source: VideoRFT, arXiv:2505.12434; QiWang98/VideoRFT@bba6099, src/r1-v/src/open_r1/grpo.py.
        Left out: its length bonus of 0.2 in the release.
    """

    judge: TextJudge = field(default_factory=TrueWords)
    scale: float = 2.0
    only_if_correct: bool = True
    name: str = "consistency"

    def __post_init__(self) -> None:
        _check_judge(self.name, self.judge)
        check_positive(self.name, scale=self.scale)

    def __call__(self, rollout: Rollout) -> float:
        if self.only_if_correct and rollout.score <= 0:
            return 0.0
        described = thoughts_of(rollout).partition(".")[2]
        if not described.strip():
            return 0.0
        return min(1.0, self.scale * max(self.judge(described, rollout), 0.0))


@dataclass(frozen=True, slots=True, kw_only=True)
class CaptionReward(UnitReward):
    """min(1, max(similarity, 0) / enough) of the first thought, whatever the answer.

    Attributes:
        judge: Gives the similarity.
        enough: Similarity from which the whole is paid; the paper 0.4, for FG-CLIP's cosines.
    Source: PeBR-R1, arXiv:2509.13031; cythu/PeBR-R1@0f332ce, examples/reward_function/pebr_1.py.
    """

    judge: TextJudge = field(default_factory=TrueWords)
    enough: float = 0.4
    name: str = "caption"

    def __post_init__(self) -> None:
        _check_judge(self.name, self.judge)
        check_positive(self.name, enough=self.enough)

    def __call__(self, rollout: Rollout) -> float:
        caption = rollout.turns[0].parsed.think
        similarity = self.judge(caption, rollout) if caption else 0.0
        return min(1.0, max(similarity, 0.0) / self.enough)


@dataclass(frozen=True, slots=True, kw_only=True)
class ReferenceRelativeReward(UnitReward):
    """VLAA's mixed reward: rules where the answer can be judged, and where the task has a reference
    text, 1 - exp(-slope (S(response) - S(reference))) if that is above 0, else 0.

    Only being better than the reference pays, with saturation. The reference is the task's tag
    "reference"; without it the task's own scorer judges. There is no format reward: what cannot be
    read scores 0.

    Attributes:
        judge: S, a reward model (the paper InternLM-XComposer2.5-Reward).
        slope: Per unit of S; not in what was read of the paper, so 1 is ours.
    Source: VLAA-Thinker, "SFT or RL?", its equation for open answers.
    """

    judge: TextJudge = field(default_factory=TrueWords)
    slope: float = 1.0
    name: str = "reference_relative"

    def __post_init__(self) -> None:
        _check_judge(self.name, self.judge)
        check_positive(self.name, slope=self.slope)

    def __call__(self, rollout: Rollout) -> float:
        reference = "; ".join(tag_list(rollout.task, "reference"))
        if not reference:
            return rollout.score
        better = self.judge(said_by(rollout), rollout) - self.judge(reference, rollout)
        return -math.expm1(-self.slope * better) if better > 0 else 0.0


def _check_judge(name: str, judge: TextJudge) -> None:
    if not isinstance(judge, TextJudge):
        raise ConfigError(
            f"reward {name!r}: judge must be callable with (text, rollout), got {judge!r}"
        )
