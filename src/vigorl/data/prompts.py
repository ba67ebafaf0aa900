"""The one place for prompt texts: what the policy is told before it sees the picture and the
question.

The sentences are our own; what each prompt has to say (one thought per turn, a point per region,
the answer's form) follows the structure of the released prompts. Tags and the tool call's form come
from `core.trace`, never from here. Line breaks are real: the released RL files hold a backslash and
an "n" instead, so its SFT, RL and evaluation each saw different prompts.
"""

from __future__ import annotations

import string
from collections.abc import Sequence
from dataclasses import dataclass, replace

from vigorl.core.errors import ConfigError, DataError
from vigorl.core.geometry import Point
from vigorl.core.media import TextFrame
from vigorl.core.records import TaskRecord
from vigorl.core.trace import END_THINK, IMAGE_SLOT, THINK, Step, ToolCall, Trace, render_point

OPTIONS = "\nOptions:\n{options}"


@dataclass(frozen=True, slots=True)
class Message:
    """One chat message.

    Attributes:
        role: "system", "user" or "assistant".
        text: With `num_images` slots `<image>` where the pictures go.
        num_images: How many of the slots are pictures; anything else that reads `<image>` is an
            error.
    """

    role: str
    text: str
    num_images: int = 0


@dataclass(frozen=True, slots=True)
class Prompt:
    """A system text and the templates of the user message.

    Attributes:
        system: Sent as it is; no template. "" sends no system message.
        question: Template with the field {question}.
        options: Template with the field {options}, put after the question of a multiple-choice
            task; "" leaves the options out.
    Raises:
        ConfigError: A template has an unknown field, lacks its own, or has an unmatched brace.
    """

    system: str
    question: str = "{question}"
    options: str = ""

    def __post_init__(self) -> None:
        _check_template(self.question, name="question")
        if self.options:
            _check_template(self.options, name="options")

    def messages(self, task: TaskRecord) -> list[Message]:
        """The chat that asks a task; pictures without a slot in the question come before the text.

        Raises:
            DataError: The question has slots, but not one for each picture.
        """
        text = self.question.format(question=task.question)
        if self.options and task.options:
            text += self.options.format(options=lettered(task.options))
        num_slots, num_images = text.count(IMAGE_SLOT), len(task.images)
        if num_slots == 0:
            text = IMAGE_SLOT * num_images + text
        elif num_slots != num_images:
            raise DataError(
                f"{num_slots} {IMAGE_SLOT} slots in the question of {task.id}, "
                f"but {num_images} pictures",
                path=task.source or None,
            )
        user = Message("user", text, num_images)
        return [Message("system", self.system), user] if self.system else [user]

    def in_frame(self, frame: TextFrame) -> Prompt:
        """The prompt for a model whose texts write places in this frame: our own sentences about
        pixels say something else there. Any other text stays as it is.
        """
        system = self.system
        for in_pixels, others in _ABOUT_PLACES:
            # the last line break of a system text is cut
            system = system.replace(in_pixels.strip(), others.get(frame, in_pixels).strip())
        return replace(self, system=system)


def lettered(options: Sequence[str]) -> str:
    """One option per line: "(A) red", "(B) blue".

    Raises:
        DataError: More options than letters.
    """
    if len(options) > len(string.ascii_uppercase):
        raise DataError(f"{len(options)} options, but only 26 letters to name them by")
    return "\n".join(
        f"({letter}) {option}"
        for letter, option in zip(string.ascii_uppercase, options, strict=False)
    )


def _check_template(template: str, *, name: str) -> None:
    try:
        fields = [
            field for _, field, _, _ in string.Formatter().parse(template) if field is not None
        ]
    except ValueError as error:
        raise ConfigError(f"prompt `{name}`: {error}; write {{{{ for a literal brace") from error
    for field in fields:
        if field != name:
            raise ConfigError(f"prompt `{name}`: unknown field {{{field}}}; it has {{{name}}} only")
    if not fields:
        raise ConfigError(f"prompt `{name}`: the field {{{name}}} is missing")


def _zoom_format(tool_name: str, answer: str) -> str:
    call = ToolCall(tool_name, {"coordinate": [0, 0]})
    example = Trace((Step("One thought about (x, y).", call), Step("What settles it.")), answer)
    look, finish = (text.replace("[0, 0]", "[x, y]") for text in example.turns())
    return (
        "Every reply is one thought and then one action, nothing else. "
        "The action is either a look at a spot:\n"
        f"{look}\n"
        "after which you are shown an enlarged cut-out of the full picture around that spot, "
        "or, once you are sure, the end:\n"
        f"{finish}\n"
    )


def _one_reply_format(think: str, answer: str) -> str:
    return "Reply once, in this form:\n" + Trace((Step(think),), answer).turns()[0] + "\n"


def _step_format(answer: str) -> str:
    step = f"{THINK} One thought about the place at (x, y). {END_THINK}"
    finish = Trace((Step("What settles it."),), answer).turns()[0]
    return (
        "Every reply is either one step of your reasoning, about one place:\n"
        f"{step}\n"
        "or, once you are sure, the end:\n"
        f"{finish}\n"
        "Say what is there and whether it matters, and take in several candidates before you end.\n"
    )


_POINTS = "x counts pixels from the left edge of the picture, y from the top; use whole numbers.\n"
_ON_FULL = "The answer is one point on that element, in pixels of the full screenshot.\n"
_FROM_TO = (
    "x goes from 0 at the left edge of the picture to {0} at the right, y from 0 at the top to {0} "
    "at the bottom; {1}.\n"
)
_ON_FULL_OTHERS = "The answer is one point on that element, by the edges of the full screenshot.\n"
_ABOUT_PLACES: tuple[tuple[str, dict[TextFrame, str]], ...] = (
    (
        _POINTS,
        {
            TextFrame.PERMILLE: _FROM_TO.format(1000, "use whole numbers"),
            TextFrame.UNIT: _FROM_TO.format(1, "use three decimals"),
        },
    ),
    (_ON_FULL, {TextFrame.PERMILLE: _ON_FULL_OTHERS, TextFrame.UNIT: _ON_FULL_OTHERS}),
)
_SPREAD = "Look before you conclude, and never return to a spot that you have already seen.\n"
_GROUNDED = (
    "Tie each step of the thought to the place it is about by writing that place as "
    f"{render_point(Point(120, 45))}, and cover different places before you settle.\n"
)
_OPTION_ANSWER = "The answer repeats the text of the right option, not its letter.\n"
_ACTIONS = (
    "Actions: click [id] presses an element; type [id] [text] writes into one; "
    "scroll [up] or scroll [down] moves the page; "
    "go_back returns to the page before; stop [text] ends the task and reports the text.\n"
)


def _prompt(system: str, *, options: str = "") -> Prompt:
    return Prompt(system.removesuffix("\n"), options=options)


def visual_search_zoom(tool_name: str = "search_coordinate") -> Prompt:
    """Multi-turn: find a small thing by zooming, then answer with the option's text."""
    system = (
        "You answer questions about details that can be too small to see in the picture as shown.\n"
        + _zoom_format(tool_name, "text of the option")
        + _POINTS + _SPREAD + _OPTION_ANSWER
    )  # fmt: skip
    return _prompt(system, options=OPTIONS)


def web_grounding_zoom(tool_name: str = "search_coordinate") -> Prompt:
    """Multi-turn: find an element of a screenshot by zooming, then answer with a point on it."""
    system = (
        "You are shown a screenshot and told what a user wants to do; find the element to use.\n"
        + _zoom_format(tool_name, "(x, y)")
        + _POINTS + _SPREAD + _ON_FULL
    )  # fmt: skip
    return _prompt(system)


def visual_search_point() -> Prompt:
    """Single turn with points in the thought, answered with the option's text."""
    return _prompt(
        "You answer questions about details of a picture.\n"
        + _one_reply_format("The steps of your reasoning.", "text of the option")
        + _GROUNDED + _POINTS + _OPTION_ANSWER,
        options=OPTIONS,
    )  # fmt: skip


def visual_search_think() -> Prompt:
    """Single turn without points: the baseline that thinks in words alone."""
    return _prompt(
        "You answer questions about details of a picture.\n"
        + _one_reply_format("The steps of your reasoning.", "text of the option")
        + _OPTION_ANSWER,
        options=OPTIONS,
    )


def spatial_point() -> Prompt:
    """Single turn with points, for questions about where things are and how they move."""
    return _prompt(
        "You answer questions about how the things in one or more pictures lie and move in space.\n"
        + _one_reply_format("The steps of your reasoning.", "text of the option")
        + _GROUNDED + _POINTS + _OPTION_ANSWER,
        options=OPTIONS,
    )  # fmt: skip


def web_grounding_point() -> Prompt:
    """Single turn with points, answered with a point on the asked element of a screenshot."""
    return _prompt(
        "You are shown a screenshot and told what a user wants to do; find the element to use.\n"
        + _one_reply_format("The steps of your reasoning.", "(x, y)")
        + _GROUNDED + _POINTS
        + "The answer is one point on that element.\n"
    )  # fmt: skip


def visual_search_steps() -> Prompt:
    """One thought per reply, for a teacher's search; answered with the option's text."""
    return _prompt(
        "You answer questions about details of a picture.\n"
        + _step_format("text of the option") + _POINTS + _SPREAD + _OPTION_ANSWER,
        options=OPTIONS,
    )  # fmt: skip


def spatial_steps() -> Prompt:
    """The same for questions about where things are and how they move."""
    return _prompt(
        "You answer questions about how the things in one or more pictures lie and move in space.\n"
        + _step_format("text of the option") + _POINTS + _SPREAD + _OPTION_ANSWER,
        options=OPTIONS,
    )  # fmt: skip


def web_grounding_steps() -> Prompt:
    """The same for a point on the asked element of a screenshot."""
    return _prompt(
        "You are shown a screenshot and told what a user wants to do; find the element to use.\n"
        + _step_format("(x, y)") + _POINTS + _SPREAD
        + "The answer is one point on that element.\n"
    )  # fmt: skip


def web_action_point() -> Prompt:
    """Single turn with points, answered with the next action on a screenshot with numbered
    elements."""
    return _prompt(
        "You carry out a task in a web browser. You are given the objective, the actions taken so "
        "far, and a screenshot in which every usable element wears a number, its id. "
        "Choose the next action.\n"
        + _one_reply_format("The steps of your reasoning.", "one action")
        + _ACTIONS + _GROUNDED + _POINTS
        + "Use only ids that you can see, and stop as soon as the objective is met.\n"
    )  # fmt: skip


def tiny_zoom() -> Prompt:
    """For the tiny model: every prompt token costs CPU time, and it learns the form from traces."""
    return Prompt("Point, zoom, then answer.")


def tiny_point() -> Prompt:
    """For the tiny model: one turn with a point."""
    return Prompt("Point, then answer.")


def tiny_think() -> Prompt:
    """For the tiny model: one turn without a point."""
    return Prompt("Think, then answer.")
