"""What does pointing cost? The question asked anew, with each look moved onto a target.

What is then still wrong was misread; what is gained was lost by pointing. The policy's words stay
its own but for the place that it says and looks at: words of somebody else would be a change more.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any, ClassVar

from vigorl.core.geometry import Box
from vigorl.core.protocols import Completion, Looking
from vigorl.core.rollout import Rollout
from vigorl.core.trace import POINT_PATTERN, ToolCall, parse_turn, render_point, render_tool_turn
from vigorl.rollout.dialog import Dialog
from vigorl.rollout.environment import Environment
from vigorl.rollout.probes.paired import PairedProbe, ask_anew


@dataclass(frozen=True, slots=True, kw_only=True)
class ForcedZoom(PairedProbe):
    """Of rollouts on tasks with known targets, where there is a tool that looks at a place.

    The first turn looks at the first target, even where it would answer; each further turn that
    calls the tool looks at the next one, while there is a next one.
    """

    name: ClassVar = "forced_zoom"

    def changed(
        self, rollout: Rollout, *, environment: Environment, others: Iterable[Rollout]
    ) -> Dialog | None:
        targets = rollout.task.target_boxes
        tool = next((t for t in environment.tools.values() if isinstance(t, Looking)), None)
        if tool is None or not targets:
            return None
        return _Steered(
            environment,
            rollout.task,
            rollout.prompt_ids,
            rollout.prompt_views,
            group=self.group(rollout),
            index=rollout.index,
            seed=0,
            tool=tool,
        )

    def unchanged(self, rollout: Rollout, *, environment: Environment, group: str) -> Dialog:
        return ask_anew(rollout, environment=environment, group=group)


class _Steered(Dialog):
    """A dialog whose turns are rewritten, before they are carried out, to look at the targets."""

    def __init__(self, environment: Environment, *given: Any, tool: Looking, **named: Any) -> None:
        super().__init__(environment, *given, **named)
        self._codec, self._tool = environment.codec, tool

    def accept(self, completion: Completion) -> None:
        super().accept(self._steered(completion))

    def _steered(self, completion: Completion) -> Completion:
        number, targets = len(self.turns), self.task.target_boxes
        if number >= len(targets) or not completion.is_finished:
            return completion
        text = self._codec.decode(completion.token_ids)
        call = parse_turn(text).tool_call
        if number and (call is None or call.name != self._tool.name):
            return completion
        ids = tuple(self._codec.completion_ids(self._moved(text, targets[number])))
        if len(ids) > self.next_request().sampling.max_new_tokens:
            return completion  # as it was: too long for a turn
        return replace(completion, token_ids=ids, logprobs=())

    def _moved(self, text: str, target: Box) -> str:
        """The turn with the last place of its thought, and its call, at the middle of a target."""
        place = render_point(self.image.to_text(target.center))
        think = parse_turn(text).think or f"Look at {place}."
        if points := list(POINT_PATTERN.finditer(think)):
            think = think[: points[-1].start()] + place + think[points[-1].end() :]
        arguments = self._tool.arguments_at(target.center, image=self.image)
        return render_tool_turn(think, ToolCall(self._tool.name, arguments))
