"""markup=glm_tags: the native form of GLM-4.5 and its relatives with vision, whose texts need no
quotes.

    <tool_call>draw_label
    <arg_key>point</arg_key>
    <arg_value>[40, 10]</arg_value>
    <arg_key>text</arg_key>
    <arg_value>the disc</arg_value>
    </tool_call>

Several calls stand in a block each. Values are as in `xml`, and so is what a text with a tag in it
becomes. Source: the model family's notes in vLLM's parser `glm45`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from vigorl.core.markup import Dialect
from vigorl.core.protocols import Tool
from vigorl.data.markups.xml import XmlDialect, free_texts

_NAME = re.compile(r"\s*[^\s<{\[][^<\n]*\n?[^\S\n]*")


@dataclass(frozen=True, slots=True)
class GlmTags:
    """A pair of tags per argument."""

    def dialect(self, tools: Sequence[Tool]) -> Dialect:
        return _GlmDialect(free_texts(tools))


class _GlmDialect(XmlDialect):
    parameter = re.compile(
        r"\s*<arg_key>([^<\n]+)</arg_key>\s*<arg_value>(.*?)</arg_value>\s*", re.DOTALL
    )
    closing = re.compile(r"</(?:arg_key|arg_value|tool_call)>")

    def is_own(self, body: str) -> bool:
        return bool(_NAME.match(body))

    def functions(self, body: str) -> list[tuple[str, str]] | None:
        name, key, inside = body.partition("<arg_key>")
        return [(name.strip(), key + inside)] if _NAME.fullmatch(name) else None

    def lay_out(self, name: str, values: Mapping[str, str]) -> str:
        pairs = (
            f"<arg_key>{key}</arg_key>\n<arg_value>{value}</arg_value>\n"
            for key, value in values.items()
        )
        return f"{name}\n{''.join(pairs)}"
