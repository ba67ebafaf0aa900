"""Does the answer follow from the chain of thoughts? The answer alone again, after all the words
before it, with every picture grey.

An answer that stays was settled in words; one that changes was read off the pictures while it was
written, or by heart, and the thoughts are beside the point.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import ClassVar

from vigorl.core.rollout import Rollout
from vigorl.core.trace import ANSWER
from vigorl.rollout.dialog import Dialog
from vigorl.rollout.environment import Environment
from vigorl.rollout.probes.paired import PairedProbe, ask_anew, grey, with_shown


@dataclass(frozen=True, slots=True, kw_only=True)
class ChainAnswer(PairedProbe):
    """Of answered rollouts."""

    name: ClassVar = "chain_answer"

    def changed(
        self, rollout: Rollout, *, environment: Environment, others: Iterable[Rollout]
    ) -> Dialog | None:
        if rollout.answer is None:
            return None
        dialog = ask_anew(
            rollout,
            environment=environment,
            group=self.group(rollout),
            views=[grey(view) for view in rollout.prompt_views],
        )
        turns = with_shown(rollout.turns[:-1], grey)
        dialog.restore(turns, prefix_ids=_up_to_answer(rollout, environment))
        return dialog

    def unchanged(self, rollout: Rollout, *, environment: Environment, group: str) -> Dialog:
        dialog = ask_anew(rollout, environment=environment, group=group)
        dialog.restore(rollout.turns[:-1], prefix_ids=_up_to_answer(rollout, environment))
        return dialog


def _up_to_answer(rollout: Rollout, environment: Environment) -> tuple[int, ...]:
    """The last turn's words as far as the answer's opening tag."""
    thought, tag, _ = rollout.turns[-1].text.partition(ANSWER)
    return tuple(environment.codec.prefix_ids(thought + tag))
