"""What a policy wrote and was told, as blocks between tags; pages set the tags back."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from vigorl.core import trace

_STARTS = {
    trace.THINK: "think",
    trace.TOOL_CALL: "tool_call",
    trace.OBSERVATION: "observation",
    trace.ANSWER: "answer",
}
_ENDS = (trace.END_THINK, trace.END_TOOL_CALL, trace.END_OBSERVATION, trace.END_ANSWER)
_TAG = re.compile("|".join(map(re.escape, (*_STARTS, *_ENDS))))
_SLOT = re.escape(trace.IMAGE_SLOT)
# such as "Frame 3: <image>"
_NUMBERED = re.compile(rf"^[^\d\n]{{0,20}}\d.{{0,20}}:\s*{_SLOT}[ ]*(\n|$)", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Block:
    """Words between two tags.

    Attributes:
        inside: "think", "tool_call", "observation", "answer"; "outside" of all.
        start, end: The tags around it; "" where there is none.
        body: Stripped.
    """

    inside: str
    start: str
    body: str
    end: str


def text_blocks(text: str, *, inside: str = "outside") -> Iterator[Block]:
    """The blocks of a text in order, empty ones left out.

    Args:
        text: What was written.
        inside: The block that the text starts in.
    """
    position, start = 0, ""
    for match in _TAG.finditer(text):
        tag, is_end = match[0], match[0] in _ENDS
        body = text[position : match.start()].strip()
        if body or start or is_end:
            yield Block(inside, start, body, tag if is_end else "")
        inside, start = ("outside", "") if is_end else (_STARTS[tag], tag)
        position = match.end()
    body = text[position:].strip()
    if body or start:
        yield Block(inside, start, body, "")


def words_of(question: str) -> str:
    """A question as a heading: without lines that number a picture, and without the places of
    those that stand before the words; another place is told by name.
    """
    words = _NUMBERED.sub("", question).strip()
    while words.startswith(trace.IMAGE_SLOT):
        words = words.removeprefix(trace.IMAGE_SLOT).lstrip()
    return (words or question.strip()).replace(trace.IMAGE_SLOT, "[picture]")
