"""Tool calls as JSON in their block, and how they are read back; `core.trace` is the grammar."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import NamedTuple

TOOL_CALL, END_TOOL_CALL = "<tool_call>", "</tool_call>"
TAG = re.compile(r"</?(?:think|tool_call|observation|answer)>")


class TurnProblem(StrEnum):
    """Why a turn does not follow the grammar."""

    UNCLOSED_TAG = "unclosed_tag"  # a tag without its partner, or tags inside one another
    NO_THINK = "no_think"  # the turn does not open with a <think> block
    TWO_THINKS = "two_thinks"  # more than one <think> block in a turn
    NO_ACTION = "no_action"  # neither a tool call nor an answer
    TWO_ACTIONS = "two_actions"  # more than one tool call or answer
    TEXT_OUTSIDE_TAGS = "text_outside_tags"  # anything but white space between the blocks
    FOREIGN_TAG = "foreign_tag"  # the policy wrote an <observation> itself
    BAD_JSON = "bad_json"  # the tool call is not a JSON object
    BAD_CALL = "bad_call"  # the object has no "name" text or no "arguments" object
    EMPTY_ANSWER = "empty_answer"  # <answer> holds nothing


@dataclass(frozen=True, slots=True)
class ToolCall:
    """A request to the environment, as the policy wrote it."""

    name: str
    arguments: Mapping[str, object] = field(default_factory=dict)


def render_calls(call: ToolCall, *more: ToolCall) -> str:
    """A call, or a list of them, in its block, which no text with a tag in it breaks.

    >>> render_calls(ToolCall("look", {"at": [1, 2]}))
    '<tool_call>\\n{"name": "look", "arguments": {"at": [1, 2]}}\\n</tool_call>'
    """
    plain = [{"name": one.name, "arguments": dict(one.arguments)} for one in (call, *more)]
    body = json.dumps(plain if more else plain[0], ensure_ascii=False)
    body = body.replace("<", r"\u003c") if TAG.search(body) else body
    return f"{TOOL_CALL}\n{body}\n{END_TOOL_CALL}"


class BadCall(NamedTuple):
    """Why a block cannot be read; `detail` says it to a person."""

    problem: TurnProblem
    detail: str


def parse_calls(body: str) -> tuple[ToolCall, ...] | BadCall:
    """The calls of a <tool_call> block, at least one; or why it cannot be read.

    >>> parse_calls('{"name": "look", "arguments": {}}')
    (ToolCall(name='look', arguments={}),)
    """
    try:
        value = json.loads(body)
    except json.JSONDecodeError as error:
        detail = f"the tool call is not JSON: {error.msg} at character {error.pos}"
        return BadCall(TurnProblem.BAD_JSON, detail)
    except (ValueError, RecursionError):  # an integer of thousands of digits; brackets without end
        return BadCall(TurnProblem.BAD_JSON, "the tool call is not JSON that can be read")
    calls = list(map(_read_call, value)) if isinstance(value, list) else [_read_call(value)]
    if isinstance(value, list) and len(value) < 2:
        return BadCall(TurnProblem.BAD_JSON, "the tool call must be a JSON object")
    bad = next((call for call in calls if isinstance(call, BadCall)), None)
    return bad or tuple(call for call in calls if isinstance(call, ToolCall))


def _read_call(value: object) -> ToolCall | BadCall:
    if not isinstance(value, dict):
        return BadCall(TurnProblem.BAD_JSON, "the tool call must be a JSON object")
    name, arguments = value.get("name"), value.get("arguments")
    if not isinstance(name, str) or not isinstance(arguments, dict):
        detail = 'the tool call needs a "name" text and an "arguments" object'
        return BadCall(TurnProblem.BAD_CALL, detail)
    return ToolCall(name, arguments)
