"""What the endpoint answers: dialogs as choices, whole or turn by turn.

`message.content` is the answer alone; `message.reasoning_content` (what vLLM and others call it) is
the thoughts of all turns. Each choice carries `vigorl`: the turns, with places in pixels of the
picture that was sent, and why it ended.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any
from uuid import uuid4

from vigorl.asking.asker import confidence
from vigorl.asking.deciding import Decision
from vigorl.core.geometry import Point
from vigorl.core.media import ImageView
from vigorl.core.rollout import StopReason, Turn
from vigorl.core.trace import ToolCall
from vigorl.rollout.dialog import Dialog
from vigorl.rollout.environment import Environment

FINISH = {StopReason.REFUSED: "content_filter"} | {
    one: "length" for one in StopReason if one.is_truncated
}
Urls = Callable[[ImageView], str]


class Completion:
    """The answers to one request.

    Args:
        dialogs: A choice each.
        environment: Which they are of.
        model: Its name.
        urls: Pictures as data URIs; None leaves crops out.
        decided: How a rule of inference chose each; empty where none did.
    """

    def __init__(
        self,
        dialogs: Sequence[Dialog],
        environment: Environment,
        *,
        model: str,
        urls: Urls | None = None,
        decided: Sequence[Decision] = (),
    ) -> None:
        self._dialogs, self._environment, self._urls = dialogs, environment, urls
        self._decided = {id(one.dialog): one for one in decided}
        self._head = {
            "id": f"chatcmpl-{uuid4().hex}", "created": int(time.time()), "model": model,
        }  # fmt: skip

    def whole(self) -> dict[str, Any]:
        """Once all are done."""
        return {
            "object": "chat.completion",
            **self._head,
            "choices": [self._choice(index, one) for index, one in enumerate(self._dialogs)],
            "usage": self.usage(),
        }

    def opening(self) -> list[dict[str, Any]]:
        """The chunks that a stream begins with."""
        return [self._chunk(i, {"role": "assistant"}) for i in range(len(self._dialogs))]

    def replayed(self) -> list[dict[str, Any]]:
        """The chunks of all turns, once all are done."""
        return [
            chunk
            for dialog in self._dialogs
            for number in range(len(dialog.turns))
            for chunk in self.turn(dialog, number)
        ]

    def turn(self, dialog: Dialog, number: int = -1) -> list[dict[str, Any]]:
        """The chunks of a turn, the one that has just been taken unless said: its thought, and of
        the last the answer and why it ended.
        """
        index, turn = self._dialogs.index(dialog), dialog.turns[number]
        thought = {"reasoning_content": _thought(turn)} if turn.parsed.think else {}
        chunks = [self._chunk(index, thought, vigorl={"turn": self._turn(dialog, turn)})]
        if dialog.stop_reason is not None and turn is dialog.turns[-1]:
            if turn.parsed.answer is not None:
                chunks.append(self._chunk(index, {"content": turn.parsed.answer}))
            chunks.append(
                self._chunk(index, {}, finish=_finish(dialog), vigorl=self._ending(dialog))
            )
        return chunks

    def last(self) -> dict[str, Any]:
        """The chunk that says what was used."""
        return {
            "object": "chat.completion.chunk",
            **self._head,
            "choices": [],
            "usage": self.usage(),
        }

    def usage(self) -> dict[str, int]:
        """Prompt tokens are all that the policy was given to read: the question once, and what its
        tools replied, pictures expanded. Completion tokens are those that it sampled, for
        candidates that a rule did not choose and aside too.
        """
        num_tokens = self._environment.num_tokens
        first = self._dialogs[0].rollout()
        read = len(first.prompt_ids) - len(first.prompt_views) + num_tokens(first.prompt_views)
        others = [
            one
            for found in self._decided.values()
            for i, one in enumerate(found.rollouts)
            if i != found.chosen
        ]
        sampled = 0
        for turn in (turn for one in (*self._dialogs, *others) for turn in one.turns):
            read += len(turn.prefix_ids) + len(turn.observation_ids)
            read += num_tokens(turn.views) - len(turn.views)
            sampled += len(turn.completion_ids)
        for found in self._decided.values():
            sampled += sum(int(one.probes.get("rule_tokens", 0)) for one in found.rollouts)
        return {
            "prompt_tokens": read, "completion_tokens": sampled, "total_tokens": read + sampled
        }  # fmt: skip

    def _choice(self, index: int, dialog: Dialog) -> dict[str, Any]:
        thoughts = "".join(map(_thought, dialog.turns))
        return {
            "index": index,
            "message": {
                "role": "assistant",
                "content": dialog.turns[-1].parsed.answer,
                "reasoning_content": thoughts or None,
            },
            "logprobs": None,
            "finish_reason": _finish(dialog),
            "vigorl": {"turns": [self._turn(dialog, one) for one in dialog.turns]}
            | self._ending(dialog),
        }

    def _chunk(
        self, index: int, delta: dict[str, Any], *, finish: str | None = None, **own: Any
    ) -> dict[str, Any]:
        choice = {"index": index, "delta": delta, "logprobs": None, "finish_reason": finish} | own
        return {"object": "chat.completion.chunk", **self._head, "choices": [choice]}

    def _ending(self, dialog: Dialog) -> dict[str, Any]:
        return {
            "stop_reason": dialog.stop_reason,
            "confidence": confidence(dialog.turns[-1]),
        } | ({"inference": found.saw} if (found := self._decided.get(id(dialog))) else {})

    def _turn(self, dialog: Dialog, turn: Turn) -> dict[str, Any]:
        parsed, focus = turn.parsed, turn.focus
        told: dict[str, Any] = {
            "text": turn.text,
            "points": [_pair(dialog.image.to_original(one)) for one in parsed.points],
            "tool": None,
            "calls": [_call(one) for one in parsed.tool_calls],
            "look": None,
            "observation": turn.observation or None,
            "error": turn.tool_error or None,
        }
        if parsed.tool_call is not None:
            told["tool"] = _call(parsed.tool_call)  # the first
        if focus is not None:
            box = focus.box.as_tuple() if focus.box is not None else None
            told["look"] = {"point": _pair(focus.point), "box": box, "picture": focus.picture}
        if self._urls is not None:
            told["crops"] = [self._urls(view) for view in turn.views]
        return told


def _call(call: ToolCall) -> dict[str, Any]:
    return {"name": call.name, "arguments": dict(call.arguments)}


def _thought(turn: Turn) -> str:
    return f"{turn.parsed.think}\n" if turn.parsed.think else ""


def _finish(dialog: Dialog) -> str:
    assert dialog.stop_reason is not None
    return FINISH.get(dialog.stop_reason, "stop")


def _pair(point: Point) -> list[float]:
    return [round(point.x, 1), round(point.y, 1)]
