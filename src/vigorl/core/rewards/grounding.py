"""How much of the reasoning is tied to the picture: the paper's step is a thought AND a point."""

from __future__ import annotations

import re
from dataclasses import dataclass

from vigorl.core.rollout import Rollout
from vigorl.core.trace import find_points

_SENTENCE_END = re.compile(r"(?<=[.!?])\s+")


@dataclass(frozen=True, slots=True)
class GroundingReward:
    """Fraction of thought steps that hold at least one point on the first picture.

    In several turns a step is a turn that does not answer (the last thought only concludes). A
    rollout that answers at once has no such turn; there a step is a sentence of its thought.
    0.0 when there is no step.
    """

    @property
    def name(self) -> str:
        return "grounding"

    @property
    def range(self) -> tuple[float, float]:
        return (0.0, 1.0)

    def __call__(self, rollout: Rollout) -> float:
        first = rollout.prompt_views[0]
        steps = _thought_steps(rollout)
        grounded = [any(first.holds(point) for point in find_points(step)) for step in steps]
        return sum(grounded) / len(grounded) if grounded else 0.0


def _thought_steps(rollout: Rollout) -> list[str]:
    turns = [turn.parsed for turn in rollout.turns]
    steps = [turn.think for turn in turns if turn.answer is None]
    if steps:
        return steps
    return [sentence for sentence in _SENTENCE_END.split(turns[0].think) if sentence]
