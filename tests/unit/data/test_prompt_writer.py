"""A prompt says what the grammar, the tools and the family's coordinates say."""

from __future__ import annotations

from itertools import product

import pytest

from vigorl.core.errors import ConfigError
from vigorl.core.media import TextFrame
from vigorl.core.protocols import Argument, ArgumentKind, Scene, StatelessTool, ToolSpec
from vigorl.core.trace import IMAGE_SLOT
from vigorl.data.markups.code_block import CodeBlock
from vigorl.data.prompt_writer import AnswerForm, Domain, Form, PromptWriter
from vigorl.data.prompts import OPTIONS, Prompt
from vigorl.rollout.tools.zoom_box import ZoomBox
from vigorl.rollout.tools.zoom_point import ZoomPoint

POINT = ZoomPoint(window_px=112, view_px=56)
BOX = ZoomBox(min_window_px=56, view_px=112)
ALL = [
    PromptWriter(domain=domain, form=form, answer=answer)
    for (domain, answer), form in product(
        [
            (Domain.VISUAL_SEARCH, "option"), (Domain.SPATIAL, "option"),
            (Domain.WEB_GROUNDING, "point"), (Domain.WEB_ACTION, "action"),
            (Domain.WEB_ACTION, "any_action"),
        ],
        Form,
    )
]  # fmt: skip
SEARCH = PromptWriter(domain=Domain.VISUAL_SEARCH, form=Form.TOOLS, answer="option")
THOUGHT = "<think> One thought about (x, y). </think>\n```python\n"


def test_the_zoom_prompt_word_for_word() -> None:
    assert SEARCH.write(tools=[POINT]) == Prompt(
        """\
You answer questions about details that can be too small to see in the picture as shown.
Every reply is one thought and then one action, nothing else. The action is either a look at a spot:
<think> One thought about (x, y). </think>
<tool_call>
{"name": "search_coordinate", "arguments": {"coordinate": [x, y]}}
</tool_call>
after which you are shown an enlarged cut-out of the full picture around that spot, or, once you \
are sure, the end:
<think> What settles it. </think>
<answer> text of the option </answer>
x counts pixels from the left edge of the picture, y from the top; use whole numbers.
Look before you conclude, and never return to a spot that you have already seen.
The answer repeats the text of the right option, not its letter.""",
        options=OPTIONS,
    )


@pytest.mark.parametrize("writer", ALL, ids=lambda one: f"{one.domain}-{one.form}")
@pytest.mark.parametrize("frame", TextFrame)
def test_prompts_show_the_grammar_and_real_line_breaks(
    writer: PromptWriter, frame: TextFrame
) -> None:
    system = writer.write(tools=[POINT], frame=frame).system
    assert "<think> " in system
    assert "</answer>" in system
    assert "\\" not in system  # the released RL prompts hold a backslash and an n
    assert IMAGE_SLOT not in system
    assert system == system.strip()
    speaks_of_pixels = frame is TextFrame.PIXELS and writer.form is not Form.THINK
    assert ("pixels" in system) is speaks_of_pixels
    assert ("to 1000 at the right" in system) is (
        frame is TextFrame.PERMILLE and writer.form is not Form.THINK
    )


def test_all_prompts_differ() -> None:
    systems = [writer.write(tools=[POINT]).system for writer in ALL]
    assert len(set(systems)) == len(systems)


class Pick(StatelessTool):
    """A tool with an argument of each kind but places."""

    name = "pick"
    spec = ToolSpec(
        (
            Argument("which", ArgumentKind.INDEX),
            Argument("times", ArgumentKind.NUMBER),
            Argument("label", ArgumentKind.TEXT),
        ),
        purpose="a choice",
        reply="the picture of that number",
    )

    def call(self, arguments: object, *, scene: Scene) -> object:
        raise NotImplementedError


def test_tools_are_told_of_as_they_want_to_be_called() -> None:
    told = SEARCH.write(tools=[BOX, Pick()]).system  # pyright: ignore[reportArgumentType]
    assert '{"name": "zoom_box", "arguments": {"bbox": [x1, y1, x2, y2]}}' in told
    assert '"arguments": {"which": 0, "times": n, "label": "..."}}' in told
    assert "either a look at a part:" in told
    assert "that part of the full picture, or a choice:" in told
    assert "the picture of that number, or, once you are sure, the end:" in told


def test_tools_without_a_tool_are_a_wrong_setting() -> None:
    with pytest.raises(ConfigError, match=r"set tools="):
        SEARCH.write()


def test_an_opening_and_an_answer_of_ones_own() -> None:
    number = AnswerForm("a number", "The answer is a whole number.")
    own = PromptWriter(
        domain=Domain.SPATIAL, form=Form.REPLY, answer=number, opening="Count bones."
    ).write()
    assert own.system.startswith("Count bones.\nReply once")
    assert "<answer> a number </answer>" in own.system
    assert own.system.endswith("The answer is a whole number.")
    assert own.options == ""
    with pytest.raises(ConfigError, match=r"env\.prompt\.answer=colour is none of option, text"):
        PromptWriter(domain=Domain.SPATIAL, form=Form.REPLY, answer="colour")


def test_a_brief_prompt() -> None:
    briefs = {
        PromptWriter(domain=Domain.SPATIAL, form=form, answer="option", is_brief=True).write()
        for form in Form
    }
    assert briefs == {
        Prompt("Point, zoom, then answer."), Prompt("Point, then answer."),
        Prompt("Think, then answer."),
    }  # fmt: skip


def test_several_calls_are_told_of_in_the_policys_own_form() -> None:
    told = SEARCH.write(tools=[BOX], dialect=CodeBlock().dialect([BOX]), max_calls=3).system
    call = "zoom_box(bbox=[x1, y1, x2, y2])"
    assert (
        f"One action may make up to 3 calls, such as two:\n{THOUGHT}{call}\n{call}\n```\n" in told
    )
    assert told.count(f"{THOUGHT}{call}\n```") == 1
    assert "tool_call" not in told
