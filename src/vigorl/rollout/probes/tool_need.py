"""Does the question need the tool? A few rollouts of each prompt again, forced to call it, and
forbidden to.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import takewhile

from vigorl.core.geometry import Point
from vigorl.core.protocols import Looking
from vigorl.core.ranges import AtLeastOne, check_ranges
from vigorl.core.rollout import Rollout
from vigorl.core.trace import FINAL_THOUGHT, ToolCall, open_answer, open_call, render_tool_turn
from vigorl.rollout.dialog import Dialog
from vigorl.rollout.environment import Environment
from vigorl.rollout.probes.paired import ask_anew, own_seed
from vigorl.rollout.probes.probe import Schedule


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolNeed:
    """A `Probe` of a group's first rollouts, sampled as they were; read by
    `core.rewards.AdaptiveUseReward`.

    Both sides begin with the rollout's own first thought; what follows it is opened as a call, or
    as an answer, in the policy's own grammar (ours: the paper's instructions were not found).

    Attributes:
        num_each: Rollouts of a group about which it is asked, at least 1; with 4 a share comes in
            quarters.
        schedule: When it asks.
    Raises:
        ConfigError: `num_each` below 1.
    Source: Look Less, Reason More, arXiv:2510.01681, by its reviews: 4 forced, 4 forbidden, 8 free.
        There the former are learned from too.
    """

    num_each: AtLeastOne = 4
    schedule: Schedule = field(default_factory=Schedule)

    def __post_init__(self) -> None:
        check_ranges(self, "probes.tool_need")

    def dialogs(
        self, rollout: Rollout, *, environment: Environment, others: Iterable[Rollout]
    ) -> list[Dialog]:
        if rollout.index >= self.num_each or not environment.tools:
            return []
        thought, found = rollout.turns[0].parsed.think or FINAL_THOUGHT, []
        opened = {
            "tool_need_with": _call_opened(thought, rollout, environment),
            "tool_need_without": environment.codec.prefix_ids(open_answer(thought)),
        }
        for name, prefix in opened.items():
            dialog = ask_anew(
                rollout,
                environment=environment,
                group=f"{rollout.group}/{name}",
                seed=own_seed(rollout, name),
            )
            dialog.restore((), prefix_ids=tuple(prefix), is_last=name == "tool_need_without")
            found.append(dialog)
        has_room = all(one.next_request().sampling.max_new_tokens > 0 for one in found)
        return found if has_room else []

    def measure(self, rollout: Rollout, answers: Sequence[Rollout]) -> Mapping[str, float]:
        forced, forbidden = answers
        return {"tool_need_with": forced.score, "tool_need_without": forbidden.score}


def _call_opened(thought: str, rollout: Rollout, environment: Environment) -> Sequence[int]:
    """A call as far as the place that it names: the tokens that calls at two places begin with,
    since a tag alone may end within a token that the policy has never split. Of tools that look at
    no place, as far as the tag.
    """
    tool = next((tool for tool in environment.tools.values() if isinstance(tool, Looking)), None)
    if tool is None:
        return environment.codec.prefix_ids(open_call(thought))
    picture = rollout.prompt_views[0]
    width, height = picture.original.width, picture.original.height
    first, second = (
        environment.codec.completion_ids(
            render_tool_turn(thought, ToolCall(tool.name, tool.arguments_at(place, image=picture)))
        )
        for place in (Point(1, 1), Point(width - 1, height - 1))
    )
    return [
        one
        for one, _ in takewhile(lambda pair: pair[0] == pair[1], zip(first, second, strict=False))
    ]
