"""markup=xml: the native form of Qwen3-Coder and Qwen3.5, whose texts need no quotes.

    <tool_call>
    <function=draw_label>
    <parameter=point>
    [40, 10]
    </parameter>
    <parameter=text>
    the disc
    </parameter>
    </function>
    </tool_call>

Values are JSON, but for arguments that are texts: those stand as they are. A text that holds a
tag of this form or of the grammar is written as a JSON call in the block, which is read too.
Source: the chat templates of Qwen3-Coder and Qwen3.5.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from vigorl.core.calls import END_TOOL_CALL, TOOL_CALL, BadCall, ToolCall, parse_calls, render_calls
from vigorl.core.markup import Dialect
from vigorl.core.protocols import ArgumentKind, Tool
from vigorl.core.trace import has_tag
from vigorl.data.markups.dialect import (
    CANONICAL_CALL,
    CallDialect,
    Calls,
    json_value,
)

_FUNCTION = re.compile(r"\s*<function=([^>\n]+)>(.*?)</function>\s*", re.DOTALL)
_PARAMETER = re.compile(r"\s*<parameter=([^>\n]+)>\n?(.*?)\n?</parameter>\s*", re.DOTALL)


@dataclass(frozen=True, slots=True)
class XmlMarkup:
    """A tag per argument."""

    def dialect(self, tools: Sequence[Tool]) -> Dialect:
        return XmlDialect(free_texts(tools))


def free_texts(tools: Sequence[Tool]) -> frozenset[tuple[str, str]]:
    """Tool and argument of those that are texts."""
    return frozenset(
        (tool.name, argument.name)
        for tool in tools
        for argument in tool.spec.arguments
        if argument.kind is ArgumentKind.TEXT
    )


@dataclass(frozen=True)
class XmlDialect(CallDialect):
    """A dialect with a tag per argument; another puts its own tags in.

    Attributes:
        texts: Tool and argument of those that are free texts.
        parameter: An argument's name and value.
        closing: A tag that a value must not hold.
    """

    texts: frozenset[tuple[str, str]]
    call_pattern = CANONICAL_CALL
    opening = TOOL_CALL
    parameter = _PARAMETER
    closing = re.compile(r"</(?:parameter|function|tool_call)>")

    def parse(self, match: re.Match[str]) -> Calls | None:
        body = match["body"]
        if not self.is_own(body):
            calls = parse_calls(body)
            return None if isinstance(calls, BadCall) else calls
        functions = self.functions(body)
        if not functions:
            return None
        found = [self._call(name, inside) for name, inside in functions]
        return tuple(call for call in found if call) if all(found) else None

    def is_own(self, body: str) -> bool:
        """Whether a block is of this form; it may be JSON."""
        return "<function=" in body.partition("{")[0]

    def functions(self, body: str) -> list[tuple[str, str]] | None:
        """Each call's name and arguments; None or none where they cannot be read."""
        return _all_of(_FUNCTION, body)

    def lay_out(self, name: str, values: Mapping[str, str]) -> str:
        """A block's content; no value holds a tag."""
        inside = "".join(
            f"<parameter={key}>\n{value}\n</parameter>\n" for key, value in values.items()
        )
        return f"\n<function={name}>\n{inside}</function>\n"

    def _call(self, name: str, inside: str) -> ToolCall | None:
        pairs = _all_of(self.parameter, inside)
        if pairs is None:
            return None
        return ToolCall(
            name,
            {key: raw if (name, key) in self.texts else json_value(raw) for key, raw in pairs},
        )

    def render(self, calls: Calls) -> str:
        return "\n".join(map(self._block, calls))

    def _block(self, call: ToolCall) -> str:
        values = {key: self._value(call.name, key, value) for key, value in call.arguments.items()}
        if any(self.closing.search(value) or has_tag(value) for value in values.values()):
            return render_calls(call)
        return TOOL_CALL + self.lay_out(call.name, values) + END_TOOL_CALL

    def _value(self, name: str, key: str, value: object) -> str:
        is_plain = isinstance(value, str) and (
            (name, key) in self.texts or json_value(value) is value
        )
        return str(value) if is_plain else json.dumps(value, ensure_ascii=False)

    def wrap(self, body: str) -> str:
        return TOOL_CALL + body + END_TOOL_CALL


def _all_of(pattern: re.Pattern[str], text: str) -> list[tuple[str, str]] | None:
    """The two groups of each of the matches that make up a text; None where there is more in it."""

    def matches() -> Iterator[re.Match[str]]:
        position = 0
        while match := pattern.match(text, position):
            yield match
            position = match.end()

    found = list(matches())
    end = found[-1].end() if found else 0
    return None if text[end:].strip() else [(match[1], match[2]) for match in found]
