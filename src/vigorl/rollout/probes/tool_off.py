"""What do the tools bring? The question asked anew, to be answered at once."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import ClassVar

from vigorl.core.rollout import Rollout
from vigorl.rollout.environment import Dialog, Environment
from vigorl.rollout.probes.paired import PairedProbe, answer_at_once, ask_anew


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolOff(PairedProbe):
    """Of all rollouts whose policy has tools. The answer is forced, as that of the last turn is
    with `limits.forced_answer`: a policy that always calls would else say nothing.
    """

    name: ClassVar = "tool_off"

    def changed(
        self, rollout: Rollout, *, environment: Environment, others: Iterable[Rollout]
    ) -> Dialog | None:
        if not environment.tools:
            return None
        dialog = ask_anew(rollout, environment=environment, group=self.group(rollout))
        dialog.restore((), prefix_ids=answer_at_once(environment))
        return dialog

    def unchanged(self, rollout: Rollout, *, environment: Environment, group: str) -> Dialog:
        return ask_anew(rollout, environment=environment, group=group)
