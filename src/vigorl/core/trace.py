r"""THE grammar: how a grounded thought, a tool call, an observation and an answer are written.

And how they are read back. A single-turn trace is one assistant turn; a multi-turn trace ends every
turn but the last in a tool call:

    <think> The red disc is at (50, 20). </think>
    <tool_call>
    {"name": "search_coordinate", "arguments": {"coordinate": [50, 20]}}
    </tool_call>
                                        (the environment answers: see `observation_text`)
    <think> Its stripes rise. </think>
    <answer> rising </answer>

Several calls in one turn are a list of such objects in the one <tool_call> block. This is the
CANONICAL form; where a policy writes its calls otherwise (`core.markup`), it is translated at the
tokens.

Rollouts, supervised traces, evaluation, rewards, search and pages all use this module; nothing else
knows the tags.
Coordinates in the text are in the text frame of the first picture (`core.media.TextFrame`).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TypeVar

from vigorl.core.calls import END_TOOL_CALL as END_TOOL_CALL
from vigorl.core.calls import TAG, BadCall, parse_calls, render_calls
from vigorl.core.calls import TOOL_CALL as TOOL_CALL
from vigorl.core.calls import ToolCall as ToolCall
from vigorl.core.calls import TurnProblem as TurnProblem
from vigorl.core.geometry import Point

Part = TypeVar("Part")

IMAGE_SLOT = "<image>"
THINK, END_THINK = "<think>", "</think>"
OBSERVATION, END_OBSERVATION = "<observation>", "</observation>"
ANSWER, END_ANSWER = "<answer>", "</answer>"

FINAL_THOUGHT = "Based on all the information I've gathered, I'll now provide my final answer."
FORCED_ANSWER_PREFIX = f"{THINK} {FINAL_THOUGHT} {END_THINK}\n{ANSWER}"
TURN_AROUND = "Wait, that does not hold up. Let me try another way."

# Nine digits at most: Python refuses integers of thousands of digits, and a policy may write one.
_NUMBER = r"(-?\d{1,9}(?:\.\d{1,6})?)"
POINT_PATTERN = re.compile(rf"\(\s*{_NUMBER}\s*,\s*{_NUMBER}\s*\)")


@dataclass(frozen=True, slots=True)
class ParsedTurn:
    """What one assistant turn says.

    `tool_call` or `answer` may be set even though `problem` is: the environment acts on what it can
    read, and the format reward punishes the rest.

    Attributes:
        think: Text of the first <think> block, stripped; "" if there is none.
        points: Every "(x, y)" of the think text in order, in the text frame.
        tool_call: The first readable call.
        answer: Text of the first <answer>, stripped.
        problem: The first thing wrong with the turn, or None.
        detail: One sentence about `problem` for a person.
        tool_calls: All calls of the first readable block: `tool_call`, or those of a list.
    """

    think: str
    points: tuple[Point, ...]
    tool_call: ToolCall | None = None
    answer: str | None = None
    problem: TurnProblem | None = None
    detail: str = ""
    tool_calls: tuple[ToolCall, ...] = ()


@dataclass(frozen=True, slots=True)
class Step:
    """One turn of a trace to render: a thought and, in all but the last turn, a tool call, or
    several.
    """

    think: str
    tool_call: ToolCall | None = None
    more_calls: tuple[ToolCall, ...] = ()

    @property
    def tool_calls(self) -> tuple[ToolCall, ...]:
        """All calls in order."""
        return (self.tool_call, *self.more_calls) if self.tool_call else ()


@dataclass(frozen=True, slots=True)
class Trace:
    """A worked solution: every step but the last calls a tool; the answer follows the last one."""

    steps: tuple[Step, ...]
    answer: str

    def __post_init__(self) -> None:
        if not self.steps:
            raise ValueError("a trace has at least one step")
        if self.steps[-1].tool_call is not None:
            raise ValueError("the last step of a trace gives the answer; it cannot call a tool")
        if any(step.tool_call is None for step in self.steps[:-1]):
            raise ValueError(
                "every step before the last calls a tool; "
                "join thoughts without a call into one step"
            )

    def turns(self) -> list[str]:
        """The assistant turns as text, in order."""
        calls = [
            render_tool_turn(step.think, step.tool_call, *step.more_calls)
            for step in self.steps[:-1]
            if step.tool_call
        ]
        return [*calls, render_answer_turn(self.steps[-1].think, self.answer)]


def render_point(point: Point) -> str:
    """A point as it stands in a thought or an answer: whole numbers, or at most three decimals."""
    return f"({render_number(point.x)}, {render_number(point.y)})"


def render_number(value: float) -> str:
    """A coordinate of a text frame, without needless zeros.

    >>> render_number(50.0), render_number(0.512), render_number(0.5)
    ('50', '0.512', '0.5')
    """
    text = f"{value:.3f}".rstrip("0").rstrip(".")
    return "0" if text == "-0" else text


def read_number(text: str) -> float:
    """A coordinate as it was written; whole numbers stay integers."""
    return float(text) if "." in text else int(text)


def _read_point(match: re.Match[str]) -> Point:
    return Point(read_number(match[1]), read_number(match[2]))


def render_tool_turn(think: str, call: ToolCall, *more: ToolCall) -> str:
    return f"{THINK} {think.strip()} {END_THINK}\n{render_calls(call, *more)}"


def render_answer_turn(think: str, answer: str) -> str:
    return f"{THINK} {think.strip()} {END_THINK}\n{ANSWER} {answer.strip()} {END_ANSWER}"


def open_answer(think: str) -> str:
    """An answer's turn as far as its tag, such as `FORCED_ANSWER_PREFIX`."""
    return f"{THINK} {think.strip()} {END_THINK}\n{ANSWER}"


def open_call(think: str) -> str:
    """A call's turn as far as its tag."""
    return f"{THINK} {think.strip()} {END_THINK}\n{TOOL_CALL}"


def observation_parts(parts: Sequence[Part]) -> list[str | Part]:
    """The environment's reply in its tags; parts that are no text are pictures."""
    return [f"{OBSERVATION}\n", *parts, f"\n{END_OBSERVATION}"]


def observation_text(parts: tuple[object, ...]) -> str:
    """The same as one text."""
    return text_of(tuple(observation_parts(parts)))


def text_of(parts: tuple[object, ...]) -> str:
    """Parts as one text, with a slot for each picture."""
    return "".join(part if isinstance(part, str) else IMAGE_SLOT for part in parts)


def find_points(text: str) -> tuple[Point, ...]:
    """Every pair "(x, y)" in reading order."""
    return tuple(point for point, _ in locate_points(text))


def locate_points(text: str) -> Iterator[tuple[Point, int]]:
    """Every pair "(x, y)" in reading order, with the index of the character behind it.

    >>> list(locate_points("At (1, 2)."))
    [(Point(x=1, y=2), 9)]
    """
    return ((_read_point(match), match.end()) for match in POINT_PATTERN.finditer(text))


def split_at_points(text: str) -> tuple[list[tuple[str, Point]], str]:
    """Every point with the words between it and the point before, and the words after the last.

    >>> split_at_points("From (1, 2) to (3, 4).")
    ([('From ', Point(x=1, y=2)), (' to ', Point(x=3, y=4))], '.')
    """
    pieces: list[tuple[str, Point]] = []
    end = 0
    for match in POINT_PATTERN.finditer(text):
        pieces.append((text[end : match.start()], _read_point(match)))
        end = match.end()
    return pieces, text[end:]


def parse_point(text: str) -> Point | None:
    """The one point that makes up a whole text such as an answer; None for anything else."""
    match = POINT_PATTERN.fullmatch(text.strip())
    return _read_point(match) if match else None


@lru_cache(maxsize=4096)  # rewards, metrics and pages all ask the same turn
def parse_turn(text: str) -> ParsedTurn:
    """Read one assistant turn; never raises, names the first problem instead."""
    blocks, outside = _split_blocks(text)
    thinks = [body for tag, body in blocks if tag == "think"]
    answers = [body.strip() for tag, body in blocks if tag == "answer"]
    calls = [parse_calls(body) for tag, body in blocks if tag == "tool_call"]
    readable = next((found for found in calls if not isinstance(found, BadCall)), ())
    think = thinks[0].strip() if thinks else ""
    problem, detail = _first_problem(text, blocks, outside, calls, answers)
    return ParsedTurn(
        think=think,
        points=find_points(think),
        tool_call=readable[0] if readable else None,
        tool_calls=readable,
        answer=answers[0] if answers else None,
        problem=problem,
        detail=detail,
    )


def parse_thought(text: str) -> ParsedTurn:
    """Read a bare thought, as the released search trees have them: without tags or with some.

    The thought is what stands before an answer. Its `problem` is a tag that a trace could not hold:
    of a tool call anywhere, for what the call would have shown is not there (BAD_CALL), or of
    anything else within the thought (FOREIGN_TAG).

    >>> parsed = parse_thought("A disc at (5, 2). <answer> red </answer>")
    >>> parsed.think, parsed.points, parsed.answer
    ('A disc at (5, 2).', (Point(x=5, y=2),), 'red')
    """
    body, tag, rest = text.partition(ANSWER)
    think = body.replace(THINK, " ").replace(END_THINK, " ").strip()
    problem = TurnProblem.FOREIGN_TAG if has_tag(think) else None
    return ParsedTurn(
        think=think,
        points=find_points(think),
        answer=rest.partition(END_ANSWER)[0].strip() if tag else None,
        problem=TurnProblem.BAD_CALL if TOOL_CALL in text else problem,
    )


def has_tag(text: str) -> bool:
    """Whether a text holds a tag, so that it cannot stand inside another."""
    return bool(TAG.search(text))


def parse_trace(turns: Iterable[str]) -> Trace:
    """Read assistant turns back into a trace.

    Raises:
        ValueError: See `join_turns`.
    """
    return join_turns([parse_turn(text) for text in turns])


def join_turns(turns: Sequence[ParsedTurn]) -> Trace:
    """The trace of turns that have been read.

    Raises:
        ValueError: A turn is malformed (says which one and why), or a turn after the answer.
    """
    steps: list[Step] = []
    for number, parsed in enumerate(turns, start=1):
        if parsed.problem is not None:
            raise ValueError(f"turn {number}: {parsed.problem}: {parsed.detail}")
        is_last = number == len(turns)
        if is_last != (parsed.answer is not None):
            raise ValueError(
                f"turn {number}: "
                + ("the last turn must answer" if is_last else "answers before the end")
            )
        steps.append(Step(parsed.think, parsed.tool_call, parsed.tool_calls[1:]))
        if parsed.answer is not None:
            return Trace(tuple(steps), parsed.answer)
    raise ValueError("no turns")


def _split_blocks(text: str) -> tuple[list[tuple[str, str]], str]:
    """(tag, body) of every block in order, and the text outside them, in time linear in the text.

    A block goes from an opening tag to the next closing one of its kind; an opening tag that has
    none is text.
    """
    tags = list(TAG.finditer(text))
    closings: dict[str, list[int]] = {tag: [] for tag in (END_THINK, END_TOOL_CALL, END_ANSWER)}
    for i in reversed(range(len(tags))):
        if (tag := tags[i][0]) in closings:
            closings[tag].append(i)
    blocks: list[tuple[str, str]] = []
    outside: list[str] = []
    i = end = 0
    while i < len(tags):
        opening = tags[i]
        waiting = closings.get(opening[0].replace("<", "</"), [])
        while waiting and waiting[-1] <= i:
            waiting.pop()
        if waiting:
            closing = tags[waiting[-1]]
            blocks.append((opening[0][1:-1], text[opening.end() : closing.start()]))
            outside.append(text[end : opening.start()])
            i, end = waiting[-1], closing.end()
        i += 1
    return blocks, "".join([*outside, text[end:]])


def _first_problem(
    text: str,
    blocks: list[tuple[str, str]],
    outside: str,
    calls: list[tuple[ToolCall, ...] | BadCall],
    answers: list[str],
) -> tuple[TurnProblem | None, str]:
    if OBSERVATION in text or END_OBSERVATION in text:
        return TurnProblem.FOREIGN_TAG, "only the environment writes observations"
    if len(TAG.findall(text)) != 2 * len(blocks):
        return TurnProblem.UNCLOSED_TAG, "a tag has no partner, or stands inside another block"
    if not blocks or blocks[0][0] != "think":
        return TurnProblem.NO_THINK, "the turn must open with a <think> block"
    if sum(tag == "think" for tag, _ in blocks) > 1:
        return TurnProblem.TWO_THINKS, "one <think> block per turn"
    if not calls and not answers:
        return TurnProblem.NO_ACTION, "the turn neither calls a tool nor answers"
    if len(calls) + len(answers) > 1:
        return TurnProblem.TWO_ACTIONS, "one tool call or one answer per turn"
    if outside.strip():
        return TurnProblem.TEXT_OUTSIDE_TAGS, "there is text outside the tags"
    for call in calls:
        if isinstance(call, BadCall):
            return call
    if answers and not answers[0]:
        return TurnProblem.EMPTY_ANSWER, "the answer is empty"
    return None, ""
