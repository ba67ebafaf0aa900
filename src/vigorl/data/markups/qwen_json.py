"""markup=qwen_json: the native form of Qwen2.5 and Qwen3, which is ours but for several calls, each
in a block of its own.

    <tool_call>
    {"name": "zoom_box", "arguments": {"bbox": [40, 10, 60, 30]}}
    </tool_call>
    <tool_call>
    {"name": "zoom_box", "arguments": {"bbox": [0, 0, 20, 20]}}
    </tool_call>
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from vigorl.core.calls import END_TOOL_CALL, TOOL_CALL, BadCall, parse_calls, render_calls
from vigorl.core.markup import Dialect
from vigorl.core.protocols import Tool
from vigorl.data.markups.dialect import CANONICAL_CALL, CallDialect, Calls


@dataclass(frozen=True, slots=True)
class QwenJson:
    """A block of JSON per call."""

    def dialect(self, tools: Sequence[Tool]) -> Dialect:
        return _QwenJsonDialect()


class _QwenJsonDialect(CallDialect):
    call_pattern = CANONICAL_CALL
    opening = TOOL_CALL

    def read(self, text: str) -> str:
        return text if text.count(TOOL_CALL) < 2 else super().read(text)

    def parse(self, match: re.Match[str]) -> Calls | None:
        calls = parse_calls(match["body"])
        return None if isinstance(calls, BadCall) else calls

    def render(self, calls: Calls) -> str:
        return "\n".join(render_calls(call) for call in calls)

    def wrap(self, body: str) -> str:
        return TOOL_CALL + body + END_TOOL_CALL
