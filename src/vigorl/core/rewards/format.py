"""The reward for following the grammar, with points that exist.

The released code checks no bounds and no tool name (see `rewards.released`); the paper asks for
valid coordinates, and so does this reward.
"""

from __future__ import annotations

from dataclasses import dataclass

from vigorl.core.rollout import Rollout, StopReason, Turn


@dataclass(frozen=True, slots=True)
class FormatReward:
    """1.0 when the whole rollout follows the grammar, else 0.0.

    Every turn parses without a problem, the policy answered, every point written in a thought lies
    on the first picture, and the answer has the form that the task's scorer asks for (a point on
    the picture, of a question for a place).

    Attributes:
        require_points: Thoughts must be grounded: in one turn at least one point in the thought, in
            several turns at least one point in every turn before the answer. False is the vanilla
            (ungrounded) baseline.
        require_tools_work: No tool call was refused.
    """

    require_points: bool = True
    require_tools_work: bool = True

    @property
    def name(self) -> str:
        return "format"

    @property
    def range(self) -> tuple[float, float]:
        return (0.0, 1.0)

    def __call__(self, rollout: Rollout) -> float:
        is_valid = (
            rollout.stop_reason is StopReason.ANSWERED
            and all(turn.parsed.problem is None for turn in rollout.turns)
            and _answer_has_its_form(rollout)
            and all(points_are_inside(turn, rollout) for turn in rollout.turns)
            and not (self.require_tools_work and rollout.num_tool_errors)
            and not (self.require_points and not _is_grounded(rollout))
        )
        return float(is_valid)


def points_are_inside(turn: Turn, rollout: Rollout) -> bool:
    """Whether every point of the turn's thought lies on the first picture as the policy saw it."""
    first = rollout.prompt_views[0]
    return all(first.holds(point) for point in turn.parsed.points)


def _answer_has_its_form(rollout: Rollout) -> bool:
    answer, first = rollout.answer, rollout.prompt_views[0]
    return answer is not None and rollout.task.scorer.has_form(answer, view=first)


def _is_grounded(rollout: Rollout) -> bool:
    looking = rollout.turns[:-1] or rollout.turns
    return all(turn.parsed.points for turn in looking)
