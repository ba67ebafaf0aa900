"""Calls in the policy's own form, and what the house reads of them."""

from __future__ import annotations

import pytest

from vigorl.core.errors import ConfigError
from vigorl.core.markup import Markup
from vigorl.core.protocols import Argument, ArgumentKind, ToolSpec
from vigorl.core.trace import ToolCall, TurnProblem, parse_turn
from vigorl.data.markups.action_tags import ActionTags
from vigorl.data.markups.code_block import CodeBlock
from vigorl.data.markups.glm_tags import GlmTags
from vigorl.data.markups.qwen_json import QwenJson
from vigorl.data.markups.xml import XmlMarkup
from vigorl.data.prompt_writer import call_example
from vigorl.rollout.tools.zoom_box import ZoomBox

THINK = "<think> Two discs. </think>\n"
MARKUPS: list[Markup] = [QwenJson(), XmlMarkup(), GlmTags(), ActionTags(), CodeBlock()]


class Search(ZoomBox):
    name = "search"
    spec = ToolSpec((Argument("query", ArgumentKind.TEXT),), purpose="a search", reply="pictures")


class Write(ZoomBox):
    name = "write"
    spec = ToolSpec(
        (Argument("point", ArgumentKind.POINT), Argument("text", ArgumentKind.TEXT)),
        purpose="a note",
        reply="the picture with it",
    )


BOX = ZoomBox(min_window_px=28, view_px=56, name="box")
TOOLS = [
    BOX,
    Search(min_window_px=28, view_px=56, name="search"),
    Write(min_window_px=28, view_px=56, name="write"),
]
CALLS = (
    ToolCall("box", {"bbox": [1, 2, 30, 40]}),
    ToolCall("search", {"query": 'a "red" disc'}),
    ToolCall("write", {"point": [5, 6], "text": "here"}),
)
OWN = {
    "qwen_json": """<tool_call>
{"name": "box", "arguments": {"bbox": [1, 2, 30, 40]}}
</tool_call>
<tool_call>
{"name": "search", "arguments": {"query": "a \\"red\\" disc"}}
</tool_call>
<tool_call>
{"name": "write", "arguments": {"point": [5, 6], "text": "here"}}
</tool_call>""",
    "xml": """<tool_call>
<function=box>
<parameter=bbox>
[1, 2, 30, 40]
</parameter>
</function>
</tool_call>
<tool_call>
<function=search>
<parameter=query>
a "red" disc
</parameter>
</function>
</tool_call>
<tool_call>
<function=write>
<parameter=point>
[5, 6]
</parameter>
<parameter=text>
here
</parameter>
</function>
</tool_call>""",
    "glm_tags": """<tool_call>box
<arg_key>bbox</arg_key>
<arg_value>[1, 2, 30, 40]</arg_value>
</tool_call>
<tool_call>search
<arg_key>query</arg_key>
<arg_value>a "red" disc</arg_value>
</tool_call>
<tool_call>write
<arg_key>point</arg_key>
<arg_value>[5, 6]</arg_value>
<arg_key>text</arg_key>
<arg_value>here</arg_value>
</tool_call>""",
    "action_tags": """<box>[1, 2, 30, 40]</box>
<search>a "red" disc</search>
<write>{"point": [5, 6], "text": "here"}</write>""",
    "code_block": """```python
box(bbox=[1, 2, 30, 40])
search(query='a "red" disc')
write(point=[5, 6], text='here')
```""",
}
NAMED = list(zip(MARKUPS, OWN.values(), strict=True))


@pytest.mark.parametrize(("markup", "own"), NAMED, ids=list(OWN))
def test_each_form_says_the_same_three_calls(markup: Markup, own: str) -> None:
    dialect = markup.dialect(TOOLS)
    parsed = parse_turn(dialect.read(THINK + own))
    assert (parsed.problem, parsed.tool_calls, parsed.tool_call) == (None, CALLS, CALLS[0])
    assert dialect.write(dialect.read(THINK + own)) == THINK + own
    assert all(match["end"] for match in dialect.call_pattern.finditer(own))
    assert dialect.call_pattern.search(THINK) is None


UNREADABLE = {
    "qwen_json": '<tool_call>\n{"name": "box"\n</tool_call>',
    "xml": "<tool_call>\n<function=box>\n<parameter=bbox>1</function>\n</tool_call>",
    "glm_tags": "<tool_call>box\n<arg_key>bbox</arg_key>\n1</arg_value>\n</tool_call>",
    "action_tags": "<box>over there</box>",
    "code_block": "```python\nbox(bbox=open('/etc/passwd'))\n```",
}


@pytest.mark.parametrize(
    ("markup", "own"), list(zip(MARKUPS, UNREADABLE.values(), strict=True)), ids=list(UNREADABLE)
)
def test_a_call_that_cannot_be_read_is_still_a_call(markup: Markup, own: str) -> None:
    dialect = markup.dialect([BOX])
    parsed = parse_turn(dialect.read(THINK + own))
    assert (parsed.problem, parsed.tool_call) == (TurnProblem.BAD_JSON, None)
    assert dialect.write(dialect.read(THINK + own)) == THINK + own


@pytest.mark.parametrize(("markup", "own"), NAMED, ids=list(OWN))
def test_a_turn_that_is_cut_off_or_opened_is_an_open_call(markup: Markup, own: str) -> None:
    dialect = markup.dialect([BOX])
    own = dialect.write(THINK + "<tool_call>\n")  # as a turn that is opened for the policy
    assert dialect.read(own) == THINK + "<tool_call>\n"
    assert parse_turn(dialect.read(own)).problem is TurnProblem.UNCLOSED_TAG


@pytest.mark.parametrize("markup", MARKUPS, ids=list(OWN))
def test_thoughts_and_answers_stay_as_they_are(markup: Markup) -> None:
    dialect = markup.dialect(TOOLS)
    for text in (
        "<think> <box>[1, 2, 3, 4]</box> or ```python\nbox()\n``` </think>\n<answer> x </answer>",
        THINK + "<answer> <search>red</search> </answer>",
        THINK + "<answer> unfinished",
        "no tags at all",
    ):
        assert dialect.read(text) == dialect.write(text) == text


@pytest.mark.parametrize("markup", MARKUPS, ids=list(OWN))
def test_words_between_calls_are_noticed(markup: Markup) -> None:
    dialect = markup.dialect(TOOLS)
    one = dialect.write(THINK + "<tool_call>\n" + '{"name": "search", "arguments": {"query": "a"}}'
                        "\n</tool_call>")  # fmt: skip
    parsed = parse_turn(dialect.read(one + " and then " + one.removeprefix(THINK)))
    assert parsed.problem is TurnProblem.TEXT_OUTSIDE_TAGS
    assert len(parsed.tool_calls) == 2


def test_code_is_read_and_never_run() -> None:
    dialect = CodeBlock().dialect(TOOLS)
    for line in (
        "box(bbox=[1] * 10**9)", "x = 1", "box([1, 2], [3])", "box(**{'a': 1}, a=2)", "box.call()",
        "box(bbox=" + "(" * 5000 + ")" * 5000 + ")", "box(bbox=b'1')", "box(bbox={1, 2})", "",
        "box(bbox=0x" + "f" * 5000 + ")",
    ):  # fmt: skip
        assert "tool_call" in dialect.read(f"```python\n{line}\n```")
        assert parse_turn(dialect.read(f"{THINK}```python\n{line}\n```")).tool_call is None
    by_place = parse_turn(dialect.read(THINK + "```python\nwrite((1, 2), 'a')\n```"))
    assert by_place.tool_call == ToolCall("write", {"point": [1, 2], "text": "a"})


def test_the_prompt_shows_a_call_as_it_is_to_be_written() -> None:
    write = TOOLS[2]
    assert call_example(write, ActionTags().dialect(TOOLS)).endswith(
        '<write>{"point": [x, y], "text": "..."}</write>'
    )
    assert "<parameter=text>\n...\n</parameter>" in call_example(write, XmlMarkup().dialect(TOOLS))
    assert 'write(point=[x, y], text="...")' in call_example(write, CodeBlock().dialect(TOOLS))
    twice = call_example(BOX, QwenJson().dialect(TOOLS), num_calls=2)
    assert twice.count('{"name": "box", "arguments": {"bbox": [x1, y1, x2, y2]}}') == 2


@pytest.mark.parametrize(
    ("markup", "name"), [(ActionTags(), "think"), (ActionTags(), "a b"), (CodeBlock(), "a-b")]
)
def test_a_name_that_a_markup_cannot_say_is_refused(markup: Markup, name: str) -> None:
    with pytest.raises(ConfigError, match=name):
        markup.dialect([ZoomBox(min_window_px=28, view_px=56, name=name)])
