"""Does the answer follow from the last crop? The question with one look alone, the last one: every
other picture is grey, and nothing is said of what the others showed.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import ClassVar

from vigorl.core.rollout import Rollout, Turn
from vigorl.core.trace import render_tool_turn
from vigorl.rollout.dialog import Dialog
from vigorl.rollout.environment import Environment
from vigorl.rollout.probes.paired import PairedProbe, ask_anew, grey, has_read_crops


@dataclass(frozen=True, slots=True, kw_only=True)
class LastCropAlone(PairedProbe):
    """Of answered rollouts that were shown a picture by a tool. Before the look stands the policy's
    first thought, written when it had seen no crop.
    """

    name: ClassVar = "last_crop_alone"

    def changed(
        self, rollout: Rollout, *, environment: Environment, others: Iterable[Rollout]
    ) -> Dialog | None:
        if not has_read_crops(rollout):
            return None
        dialog = ask_anew(
            rollout,
            environment=environment,
            group=self.group(rollout),
            views=[grey(view) for view in rollout.prompt_views],
        )
        last = next(turn for turn in reversed(rollout.turns) if turn.views)
        look = _with_thought(last, rollout.turns[0].parsed.think, environment)
        shown = (*map(grey, last.views[:-1]), last.views[-1])
        dialog.restore([replace(look, views=shown)], prefix_ids=rollout.turns[-1].prefix_ids)
        return dialog


def _with_thought(look: Turn, thought: str, environment: Environment) -> Turn:
    """The turn after another thought."""
    call = look.parsed.tool_call
    if call is None or look.parsed.think == thought:
        return look
    text = render_tool_turn(thought, *look.parsed.tool_calls)
    ids = tuple(environment.codec.completion_ids(text))
    return replace(look, completion_ids=ids, sampling_logprobs=(), prefix_ids=(), text=text)
