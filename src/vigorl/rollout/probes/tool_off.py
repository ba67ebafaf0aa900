"""What do the tools bring? The first turn again, with its first thought and an answer in place of
the call.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import ClassVar

from vigorl.core.rollout import Rollout
from vigorl.rollout.dialog import Dialog
from vigorl.rollout.environment import Environment
from vigorl.rollout.probes.paired import PairedProbe, answer_at_once, ask_anew


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolOff(PairedProbe):
    """Of rollouts that called a tool at first, answered or not."""

    name: ClassVar = "tool_off"

    def changed(
        self, rollout: Rollout, *, environment: Environment, others: Iterable[Rollout]
    ) -> Dialog | None:
        if len(rollout.turns) < 2:
            return None
        dialog = ask_anew(rollout, environment=environment, group=self.group(rollout))
        dialog.restore((), prefix_ids=answer_at_once(rollout, environment))
        return dialog
