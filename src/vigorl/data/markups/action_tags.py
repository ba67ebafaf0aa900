"""markup=action_tags: a tag that is named by its tool, as VRAG-RL writes its actions.

    <search>a red disc</search>
    <zoom_box>[40, 10, 60, 30]</zoom_box>
    <draw_label>{"point": [40, 10], "text": "the disc"}</draw_label>

Inside stands the tool's first argument, a text as it is and anything else as JSON, or an object of
all its arguments. A tag that no tool is named by is text.
Source: VRAG-RL, arXiv:2505.22019.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from vigorl.core.calls import ToolCall, render_calls
from vigorl.core.errors import ConfigError
from vigorl.core.markup import Dialect
from vigorl.core.protocols import Argument, ArgumentKind, Tool
from vigorl.core.trace import has_tag
from vigorl.data.markups.dialect import CallDialect, Calls, json_value

_NAME = re.compile(r"[A-Za-z_][\w.-]*", re.ASCII)
_MISSING = object()


@dataclass(frozen=True, slots=True)
class ActionTags:
    """A tag per tool."""

    def dialect(self, tools: Sequence[Tool]) -> Dialect:
        for tool in tools:
            if not _NAME.fullmatch(tool.name) or has_tag(f"<{tool.name}>"):
                raise ConfigError(
                    f"env.markup: action tags are named by their tools, and {tool.name!r} cannot "
                    "name one: set another name= of that tool"
                )
        return _ActionTagsDialect({tool.name: tool.spec.arguments for tool in tools})


class _ActionTagsDialect(CallDialect):
    def __init__(self, arguments: Mapping[str, tuple[Argument, ...]]) -> None:
        self._arguments = arguments
        names = "|".join(map(re.escape, arguments))
        self.call_pattern = re.compile(
            rf"<(?P<name>{names})>(?P<body>.*?)(?P<end></(?P=name)>|\Z)", re.DOTALL
        )
        self.opening = f"<{next(iter(arguments))}>" if len(arguments) == 1 else "<"

    def parse(self, match: re.Match[str]) -> Calls | None:
        arguments = self._arguments[match["name"]]
        value = json_value(match["body"])
        names = {argument.name for argument in arguments}
        if isinstance(value, dict) and names.issuperset(value):
            return (ToolCall(match["name"], value),)
        if not arguments:
            return None if match["body"].strip() else (ToolCall(match["name"]),)
        if arguments[0].kind is ArgumentKind.TEXT:
            value = match["body"]
        elif isinstance(value, str | dict):
            return None
        return (ToolCall(match["name"], {arguments[0].name: value}),)

    def render(self, calls: Calls) -> str:
        return "\n".join(map(self._tag, calls))

    def _tag(self, call: ToolCall) -> str:
        if call.name not in self._arguments:
            return render_calls(call)
        inside = self._alone(call)
        if inside is None:
            inside = json.dumps(dict(call.arguments), ensure_ascii=False)
            inside = inside.replace("<", r"\u003c")
        return f"<{call.name}>{inside}</{call.name}>"

    def _alone(self, call: ToolCall) -> str | None:
        """The first argument by itself, where it is the only one and reads back as itself."""
        arguments = self._arguments[call.name]
        if not arguments and not call.arguments:
            return ""
        first = arguments[0].name if arguments else ""
        if call.arguments.keys() != {first}:
            return None
        value, is_text = call.arguments[first], arguments[0].kind is ArgumentKind.TEXT
        if is_text != isinstance(value, str):
            return None
        inside = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
        is_object = isinstance(json_value(inside), dict)
        return None if is_object or has_tag(inside) or f"</{call.name}>" in inside else inside

    def wrap(self, body: str) -> str:
        return self.opening + body + self.opening.replace("<", "</")
