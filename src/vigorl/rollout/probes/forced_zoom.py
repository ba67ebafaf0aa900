"""What does pointing cost? The question asked anew, with the looks at the targets taken for the
policy.

What it then still has wrong it misreads; what it gains is what its own pointing lost.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import ClassVar

from vigorl.core.geometry import Box
from vigorl.core.protocols import Completion, Looking
from vigorl.core.rollout import Rollout
from vigorl.core.trace import ToolCall, render_point, render_tool_turn
from vigorl.rollout.environment import Dialog, Environment
from vigorl.rollout.probes.paired import PairedProbe, ask_anew


@dataclass(frozen=True, slots=True, kw_only=True)
class ForcedZoom(PairedProbe):
    """Of rollouts on tasks with known targets, where there is a tool that looks at a place and room
    for a turn per target and one more. The turns before the policy's own say where they look and
    call the tool there.
    """

    name: ClassVar = "forced_zoom"

    def changed(
        self, rollout: Rollout, *, environment: Environment, others: Iterable[Rollout]
    ) -> Dialog | None:
        targets = rollout.task.target_boxes
        tool = next((t for t in environment.tools.values() if isinstance(t, Looking)), None)
        if tool is None or not targets:
            return None
        dialog = ask_anew(rollout, environment=environment, group=self.group(rollout))
        for target in targets:
            text = _look(target, tool, dialog)
            ids = tuple(environment.codec.completion_ids(text))
            if dialog.is_done or len(ids) > dialog.next_request().sampling.max_new_tokens:
                return None
            dialog.accept(Completion(dialog.next_request().id, ids, (), is_finished=True))
        return dialog

    def unchanged(self, rollout: Rollout, *, environment: Environment, group: str) -> Dialog:
        return ask_anew(rollout, environment=environment, group=group)


def _look(target: Box, tool: Looking, dialog: Dialog) -> str:
    """The turn that looks at the middle of a target."""
    image = dialog.image
    thought = f"Look at {render_point(image.to_text(target.center))}."
    return render_tool_turn(
        thought, ToolCall(tool.name, tool.arguments_at(target.center, image=image))
    )
