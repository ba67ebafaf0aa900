"""Does the question need the tool? A few rollouts of each prompt again, forced to call it, and
forbidden to.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from vigorl.core.errors import ConfigError
from vigorl.core.rollout import Rollout
from vigorl.core.trace import FINAL_THOUGHT, open_answer, open_call
from vigorl.rollout.environment import Dialog, Environment
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

    num_each: int = 4
    schedule: Schedule = field(default_factory=Schedule)

    def __post_init__(self) -> None:
        if self.num_each < 1:
            raise ConfigError(f"probes.tool_need.num_each must be at least 1, got {self.num_each}")

    def dialogs(
        self, rollout: Rollout, *, environment: Environment, others: Iterable[Rollout]
    ) -> list[Dialog]:
        if rollout.index >= self.num_each or not environment.tools:
            return []
        thought, found = rollout.turns[0].parsed.think or FINAL_THOUGHT, []
        for name, opened in (("with", open_call(thought)), ("without", open_answer(thought))):
            name = f"tool_need_{name}"
            dialog = ask_anew(
                rollout,
                environment=environment,
                group=f"{rollout.group}/{name}",
                seed=own_seed(rollout, name),
            )
            prefix = tuple(environment.codec.prefix_ids(opened))
            dialog.restore((), prefix_ids=prefix, is_last=name == "tool_need_without")
            found.append(dialog)
        has_room = all(one.next_request().sampling.max_new_tokens > 0 for one in found)
        return found if has_room else []

    def measure(self, rollout: Rollout, answers: Sequence[Rollout]) -> Mapping[str, float]:
        forced, forbidden = answers
        return {"tool_need_with": forced.score, "tool_need_without": forbidden.score}
