"""What would the policy have answered before each of its calls? The turn's own thought, and an
answer in place of the call, greedily.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from vigorl.core.rewards.turns import answer_now
from vigorl.core.rollout import Rollout
from vigorl.core.trace import FINAL_THOUGHT, open_answer
from vigorl.rollout.dialog import Dialog
from vigorl.rollout.environment import Environment
from vigorl.rollout.probes.paired import ask_anew
from vigorl.rollout.probes.probe import Schedule


@dataclass(frozen=True, slots=True, kw_only=True)
class AnswerNow:
    """A `Probe` of every turn but the last, whose answer is the rollout's own; read by
    `core.rewards.turns.AnswerGainReward`.

    Attributes:
        schedule: When it asks; a reward that reads it needs every phase and every rollout.
    Source: TACO, arXiv:2606.30251 (abstract).
    """

    schedule: Schedule = field(default_factory=Schedule)

    def dialogs(
        self, rollout: Rollout, *, environment: Environment, others: Iterable[Rollout]
    ) -> list[Dialog]:
        greedy, found = environment.greedy(), []
        for place, turn in enumerate(rollout.turns[:-1]):
            opened = open_answer(turn.parsed.think or FINAL_THOUGHT)
            group = f"{rollout.group}/{answer_now(place)}"
            dialog = ask_anew(rollout, environment=greedy, group=group)
            prefix = tuple(environment.codec.prefix_ids(opened))
            dialog.restore(rollout.turns[:place], prefix_ids=prefix)
            if dialog.next_request().sampling.max_new_tokens < 1:
                break  # no room for an answer here, nor in any later turn
            found.append(dialog)
        return found

    def measure(self, rollout: Rollout, answers: Sequence[Rollout]) -> Mapping[str, float]:
        return {answer_now(place): one.score for place, one in enumerate(answers)}
