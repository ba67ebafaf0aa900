"""Whatever is called, each markup says it back, and hostile texts are read without a fault."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.data.test_markups import MARKUPS, TOOLS
from vigorl.core.markup import Markup
from vigorl.core.protocols import Argument, ArgumentKind
from vigorl.core.trace import ToolCall, parse_turn, render_tool_turn

NUMBERS = st.integers(-2000, 2000) | st.floats(-2000, 2000, allow_nan=False)
TEXTS = st.text(max_size=12) | st.sampled_from(
    [
        "</parameter>",
        "</tool_call>",
        "<answer>",
        "<think> a </think>",
        "```",
        "\n```",
        "[1]",
        '{"query": 1}',
        "\n",
        "'",
    ]
)
JSON = st.recursive(
    st.none() | st.booleans() | NUMBERS | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=4,
)
SPECS = {tool.name: tool.spec.arguments for tool in TOOLS}


def values(argument: Argument) -> st.SearchStrategy[object]:
    return TEXTS if argument.kind is ArgumentKind.TEXT else JSON


@st.composite
def calls(draw: st.DrawFn) -> ToolCall:
    name = draw(st.sampled_from(sorted(SPECS)))
    named = [one for one in SPECS[name] if draw(st.booleans())] or SPECS[name]
    return ToolCall(name, {one.name: draw(values(one)) for one in named})


@pytest.mark.parametrize("markup", MARKUPS, ids=lambda markup: type(markup).__name__)
@settings(max_examples=40)
@given(made=st.lists(calls(), min_size=1, max_size=3))
def test_calls_come_back(markup: Markup, made: Sequence[ToolCall]) -> None:
    dialect = markup.dialect(TOOLS)
    own = dialect.write(render_tool_turn("See.", *made))
    read = dialect.read(own)
    assert parse_turn(read).tool_calls == tuple(made)
    assert dialect.write(read) == own
    assert dialect.write(own) == own


PIECES = st.sampled_from([
    "<think>", "</think>", "<tool_call>", "</tool_call>", "<answer>", "</answer>", "<box>",
    "</box>", "<search>", "</search>", "<function=box>", "</function>", "<parameter=bbox>",
    "</parameter>", "box\n<arg_key>", "</arg_key>", "<arg_value>", "</arg_value>", "```python",
    "\n```", "box(", ")", "\n", "[1, 2]", '{"name": "box"', "}", "\0",
])  # fmt: skip


@pytest.mark.parametrize("markup", MARKUPS, ids=lambda markup: type(markup).__name__)
@settings(max_examples=40)
@given(pieces=st.lists(PIECES | st.text(max_size=4), max_size=12))
def test_no_text_breaks_a_reader(markup: Markup, pieces: list[str]) -> None:
    dialect, text = markup.dialect(TOOLS), "".join(pieces)
    parse_turn(dialect.read(text))
    dialect.write(text)
