"""markup=code_block: a block of code that calls tools, a line each. It is read, never run.

    ```python
    zoom_box(bbox=[40, 10, 60, 30])
    draw_label(point=[40, 10], text='the disc')
    ```

Arguments are literals, by name or in the order of the tool's.
"""

from __future__ import annotations

import ast
import keyword
import re
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from vigorl.core.calls import ToolCall, render_calls
from vigorl.core.errors import ConfigError
from vigorl.core.markup import Dialect
from vigorl.core.protocols import Tool
from vigorl.core.trace import has_tag
from vigorl.data.markups.dialect import CallDialect, Calls

_MOST_CHARACTERS = 100_000  # Python's own parser takes memory by the token
_BROKEN = (SyntaxError, ValueError, TypeError, RecursionError, MemoryError)


@dataclass(frozen=True, slots=True)
class CodeBlock:
    """Calls as Python."""

    def dialect(self, tools: Sequence[Tool]) -> Dialect:
        for tool in tools:
            if not _is_name(tool.name):
                raise ConfigError(
                    f"env.markup: code calls tools by their names, and {tool.name!r} is none in "
                    "Python: set another name= of that tool"
                )
        return _CodeBlockDialect(
            {tool.name: tuple(one.name for one in tool.spec.arguments) for tool in tools}
        )


class _CodeBlockDialect(CallDialect):
    call_pattern = re.compile(r"```python(?P<body>.*?)(?P<end>\n```|\Z)", re.DOTALL)
    opening = "```python"

    def __init__(self, arguments: Mapping[str, tuple[str, ...]]) -> None:
        self._arguments = arguments

    def parse(self, match: re.Match[str]) -> Calls | None:
        body = match["body"].strip()
        if len(body) > _MOST_CHARACTERS:
            return None
        try:
            with warnings.catch_warnings():  # a policy's odd escapes are no matter for the terminal
                warnings.simplefilter("ignore")
                lines = ast.parse(body).body
            return tuple(map(self._call, lines)) or None
        except _BROKEN:
            return None

    def _call(self, line: ast.stmt) -> ToolCall:
        """Raises one of `_BROKEN` for anything but a call with literals."""
        call = line.value if isinstance(line, ast.Expr) else None
        if not isinstance(call, ast.Call) or not isinstance(call.func, ast.Name):
            raise ValueError  # no call
        named = zip(self._arguments.get(call.func.id, ()), call.args, strict=False)
        arguments = {key: _plain(ast.literal_eval(value)) for key, value in named}
        if len(arguments) < len(call.args):
            raise ValueError  # more arguments than the tool has
        for one in call.keywords:
            value = _plain(ast.literal_eval(one.value))
            if one.arg is not None:
                value = {one.arg: value}
            if not isinstance(value, dict) or arguments.keys() & value.keys():
                raise ValueError  # an argument is given twice
            arguments |= value
        return ToolCall(call.func.id, arguments)

    def render(self, calls: Calls) -> str:
        if not all(call.name in self._arguments for call in calls):
            return render_calls(*calls)
        lines = [f"{call.name}({', '.join(_written(call.arguments))})" for call in calls]
        lines = [line.replace("<", r"\x3c") if has_tag(line) else line for line in lines]
        return "\n".join([self.opening, *lines, "```"])

    def wrap(self, body: str) -> str:
        return f"{self.opening}{body}\n```"


def _written(arguments: Mapping[str, object]) -> Iterator[str]:
    """Each argument as code; names that Python has no other way to say, in a dict."""
    for key, value in arguments.items():
        yield f"{key}={value!r}" if _is_name(key) else f"**{ {key: value}!r}"


def _is_name(text: str) -> bool:
    return text.isidentifier() and text.isascii() and not keyword.iskeyword(text)


def _plain(value: object) -> object:
    """A literal as JSON has it.

    Raises:
        ValueError: JSON has no such value.
    """
    if isinstance(value, list | tuple):
        return [_plain(one) for one in value]
    if isinstance(value, dict) and all(isinstance(key, str) for key in value):
        return {key: _plain(one) for key, one in value.items()}
    if value is None or isinstance(value, str | int | float):
        return value
    raise ValueError
