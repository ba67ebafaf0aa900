"""The one place for prompt texts: a system text from a domain, a form and an answer.

The sentences are our own; what each prompt has to say (one thought per turn, a point per region,
the answer's form) follows the structure of the released prompts. Tools are told of as their `spec`
says, places as the model family writes them, tags and calls as `core.trace` renders them. Line
breaks are real: the released RL files hold a backslash and an "n" instead, so its SFT, RL and
evaluation each saw different prompts.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from vigorl.core.errors import ConfigError
from vigorl.core.markup import Dialect
from vigorl.core.media import TextFrame
from vigorl.core.protocols import ArgumentKind, Tool
from vigorl.core.trace import END_THINK, THINK, Step, ToolCall, Trace, render_tool_turn
from vigorl.data.prompts import OPTIONS, Prompt


class Domain(StrEnum):
    """What the questions are about."""

    GENERAL = "general"  # anything, about one or more pictures
    VISUAL_SEARCH = "visual_search"  # details of a picture
    SPATIAL = "spatial"  # where things are and how they move, in one or more pictures
    WEB_GROUNDING = "web_grounding"  # which element of a screenshot to use
    WEB_ACTION = "web_action"  # what to do next on a screenshot with numbered elements


class Form(StrEnum):
    """In how many turns, and with what in them."""

    TOOLS = "tools"  # several turns, each a grounded thought and a call
    REPLY = "reply"  # one turn whose thought points
    THINK = "think"  # one turn whose thought does not: the baseline that thinks in words alone
    STEPS = "steps"  # one thought per turn, for a teacher's search


@dataclass(frozen=True, slots=True)
class AnswerForm:
    """What the answer is.

    Attributes:
        example: What stands between the tags in the prompt's own example of an answer.
        ending: A sentence about it, the prompt's last.
        preface: Sentences that the rules begin with; "" for none.
        is_option: Whether it is one of the question's options, which then are listed.
        is_place: Whether it is a place in the picture as a whole, also after a zoom.
    """

    example: str
    ending: str
    preface: str = ""
    is_option: bool = False
    is_place: bool = False


_DETAILS = "You answer questions about details of a picture.\n"
_ELEMENT = "You are shown a screenshot and told what a user wants to do; find the element to use.\n"
_OPENINGS = {
    Domain.GENERAL: "You answer questions about one or more pictures.\n",
    Domain.VISUAL_SEARCH: _DETAILS,
    Domain.SPATIAL: (
        "You answer questions about how the things in one or more pictures lie and move in space.\n"
    ),
    Domain.WEB_GROUNDING: _ELEMENT,
    Domain.WEB_ACTION: (
        "You carry out a task in a web browser. You are given the objective, the actions taken so "
        "far, and a screenshot in which every usable element wears a number, its id. "
        "Choose the next action.\n"
    ),
}
_TOO_SMALL = (
    "You answer questions about details that can be too small to see in the picture as shown.\n"
)
_ON_FULL = {
    TextFrame.PIXELS: (
        "The answer is one point on that element, in pixels of the full screenshot.\n"
    ),
    TextFrame.PERMILLE: (
        "The answer is one point on that element, by the edges of the full screenshot.\n"
    ),
}
ANSWERS = {
    "option": AnswerForm(
        "text of the option",
        "The answer repeats the text of the right option, not its letter.",
        is_option=True,
    ),
    "text": AnswerForm(
        "the answer",
        "The answer is the text of the right option where options are given, else a word, a "
        "number or a phrase, with nothing around it.",
        is_option=True,
    ),
    "point": AnswerForm("(x, y)", "The answer is one point on that element.", is_place=True),
    "action": AnswerForm(
        "one action",
        "Use only ids that you can see, and stop as soon as the objective is met.",
        preface=(
            "Actions: click [id] presses an element; type [id] [text] writes into one; "
            "scroll [up] or scroll [down] moves the page; "
            "go_back returns to the page before; stop [text] ends the task and reports the text."
        ),
    ),
    "any_action": AnswerForm(  # all that VisualWebArena's agents may do
        "one action",
        "Use only ids that you can see, and stop as soon as the objective is met.",
        preface=(
            "Actions: click [id] presses an element; hover [id] moves onto one; clear [id] empties "
            "one; type [id] [text] [1] writes into one and presses Enter, with [0] it does not; "
            "press [keys] presses keys such as Control+a; scroll [up] or scroll [down] moves the "
            "page; goto [address] opens an address; go_back and go_forward move between pages; "
            "new_tab, tab_focus [number] and close_tab handle tabs; "
            "stop [text] ends the task and reports the text."
        ),
    ),
}
_FROM_TO = (
    "x goes from 0 at the left edge of the picture to {0} at the right, y from 0 at the top to {0} "
    "at the bottom; {1}.\n"
)
_PLACES = {
    TextFrame.PIXELS: (
        "x counts pixels from the left edge of the picture, y from the top; use whole numbers.\n"
    ),
    TextFrame.PERMILLE: _FROM_TO.format(1000, "use whole numbers"),
    TextFrame.UNIT: _FROM_TO.format(1, "use three decimals"),
}
_A_PLACE = {
    TextFrame.PIXELS: "(120, 45)", TextFrame.PERMILLE: "(120, 45)", TextFrame.UNIT: "(0.12, 0.045)"
}  # fmt: skip
_SPREAD = "Look before you conclude, and never return to a spot that you have already seen.\n"
_GROUNDED = (
    "Tie each step of the thought to the place it is about by writing that place as {place}, "
    "and cover different places before you settle.\n"
)
_BRIEF = {
    Form.TOOLS: "Point, zoom, then answer.",
    Form.REPLY: "Point, then answer.",
    Form.THINK: "Think, then answer.",
    Form.STEPS: "Point, then answer.",
}
_PLACEHOLDERS = {
    ArgumentKind.POINT: "[x, y]",
    ArgumentKind.BOX: "[x1, y1, x2, y2]",
    ArgumentKind.POINTS: "[[x, y], [x, y]]",
    ArgumentKind.BOXES: "[[x1, y1, x2, y2], [x1, y1, x2, y2]]",
    ArgumentKind.INDEX: "0",
    ArgumentKind.INDICES: "[0, 1]",
    ArgumentKind.NUMBER: "n",
    ArgumentKind.TEXT: '"..."',
}


@dataclass(frozen=True, slots=True, kw_only=True)
class PromptWriter:
    """Writes the prompt of a domain, a form and an answer, once tools and frame are known.

    Attributes:
        domain: What the questions are about.
        form: In how many turns, and with what in them.
        answer: What the answer is: the name of one of `ANSWERS`, or a form of your own.
        opening: A sentence of your own in place of the domain's; "" takes the domain's.
        is_brief: A few words, for the tiny models: every prompt token costs CPU time, and they
            learn the form from traces.
    """

    domain: Domain
    form: Form
    answer: str | AnswerForm
    opening: str = ""
    is_brief: bool = False

    def __post_init__(self) -> None:  # a config gives texts
        object.__setattr__(self, "domain", Domain(self.domain))
        object.__setattr__(self, "form", Form(self.form))
        if isinstance(self.answer, str) and self.answer not in ANSWERS:
            raise ConfigError(f"env.prompt.answer={self.answer} is none of {', '.join(ANSWERS)}")

    def write(
        self,
        *,
        tools: Sequence[Tool] = (),
        frame: TextFrame = TextFrame.PIXELS,
        dialect: Dialect | None = None,
        max_calls: int = 1,
    ) -> Prompt:
        """The prompt for a policy that may call `tools`, writes places in `frame` and its calls in
        `dialect`, and makes at most `max_calls` of them in a turn.

        Raises:
            ConfigError: The form is TOOLS, and there are none.
        """
        if self.is_brief:
            return Prompt(_BRIEF[self.form])
        if self.form is Form.TOOLS and not tools:
            raise ConfigError("env.prompt.form=tools has no effect without tools: set tools=[...]")
        opening = f"{self.opening.strip()}\n" if self.opening else self._opening()
        system = opening + self._form(tools, dialect, max_calls) + self._rules(frame)
        options = OPTIONS if self._answer.is_option else ""
        return Prompt(system.removesuffix("\n"), options=options)

    @property
    def _answer(self) -> AnswerForm:
        return ANSWERS[self.answer] if isinstance(self.answer, str) else self.answer

    def _opening(self) -> str:
        if (self.domain, self.form) == (Domain.VISUAL_SEARCH, Form.TOOLS):
            return _TOO_SMALL
        return _OPENINGS[self.domain]

    def _form(self, tools: Sequence[Tool], dialect: Dialect | None, max_calls: int) -> str:
        answer = self._answer.example
        finish = Trace((Step("What settles it."),), answer).turns()[0]
        if self.form is Form.TOOLS:
            looks = [
                f"{tool.spec.purpose}:\n{call_example(tool, dialect)}\n{_more(tool)}"
                f"after which you are shown {tool.spec.reply}, "
                for tool in tools
            ]
            return (
                "Every reply is one thought and then one action, nothing else. "
                f"The action is either {'or '.join(looks)}or, once you are sure, the end:\n"
                f"{finish}\n{_several(tools, dialect, max_calls)}"
            )
        if self.form is Form.STEPS:
            step = f"{THINK} One thought about the place at (x, y). {END_THINK}"
            return (
                "Every reply is either one step of your reasoning, about one place:\n"
                f"{step}\nor, once you are sure, the end:\n{finish}\n"
                "Say what is there and whether it matters, and take in several candidates before "
                "you end.\n"
            )
        turn = Trace((Step("The steps of your reasoning."),), answer).turns()[0]
        return f"Reply once, in this form:\n{turn}\n"

    def _rules(self, frame: TextFrame) -> str:
        answer = self._answer
        preface = f"{answer.preface}\n" if answer.preface else ""
        ending = f"{answer.ending}\n"
        if self.form is Form.THINK:
            return preface + ending
        if self.form is Form.REPLY:
            return preface + _GROUNDED.format(place=_A_PLACE[frame]) + _PLACES[frame] + ending
        if self.form is Form.TOOLS and answer.is_place:
            ending = _ON_FULL.get(frame, _ON_FULL[TextFrame.PERMILLE])
        return preface + _PLACES[frame] + _SPREAD + ending


def _more(tool: Tool) -> str:
    """What an example of a call cannot show."""
    arguments = tool.spec.arguments
    said = [f'"{a.name}" is one of {", ".join(a.choices)}' for a in arguments if a.choices]
    said += [f'"{a.name}" may be left out' for a in arguments if a.is_optional]
    return f"({'; '.join(said)})\n" if said else ""


def _several(tools: Sequence[Tool], dialect: Dialect | None, max_calls: int) -> str:
    """That one action may be several calls, where it may."""
    if max_calls == 1:
        return ""
    twice = call_example(tools[0], dialect, num_calls=2)
    return f"One action may make up to {max_calls} calls, such as two:\n{twice}\n"


def call_example(tool: Tool, dialect: Dialect | None = None, *, num_calls: int = 1) -> str:
    """A turn that calls a tool, with placeholders where its arguments go."""
    named = {a.name: f"@{a.kind}@" for a in tool.spec.arguments}
    calls = [ToolCall(tool.name, named)] * num_calls
    turn = render_tool_turn("One thought about (x, y).", *calls)
    turn = dialect.write(turn) if dialect else turn
    for kind, placeholder in _PLACEHOLDERS.items():
        for quoted in (json.dumps(f"@{kind}@"), repr(f"@{kind}@")):
            turn = turn.replace(quoted, placeholder)
        turn = turn.replace(f"@{kind}@", placeholder.strip('"'))  # where texts need no quotes
    return turn
