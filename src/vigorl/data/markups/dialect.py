"""What all dialects share: finding calls around thoughts and answers, in both directions."""

from __future__ import annotations

import json
import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from itertools import pairwise

from vigorl.core.calls import END_TOOL_CALL, TOOL_CALL, BadCall, ToolCall, parse_calls, render_calls

Calls = tuple[ToolCall, ...]
CANONICAL_CALL = re.compile(rf"{TOOL_CALL}(?P<body>.*?)(?P<end>{END_TOOL_CALL}|\Z)", re.DOTALL)
_KEPT = re.compile(r"<think>.*?</think>|<answer>.*?</answer>", re.DOTALL)


class CallDialect(ABC):
    """A dialect made of four pieces.

    Attributes:
        call_pattern: With a group "body", and a group "end" that is empty where a call is cut off.
        opening: What the pattern begins with, before the body.
    """

    call_pattern: re.Pattern[str]
    opening: str

    @abstractmethod
    def parse(self, match: re.Match[str]) -> Calls | None:
        """The calls of a closed match, at least one; None where it cannot be read."""

    @abstractmethod
    def render(self, calls: Calls) -> str:
        """Calls, as the policy writes them."""

    @abstractmethod
    def wrap(self, body: str) -> str:
        """A body that cannot be read, in the policy's signs."""

    def read(self, text: str) -> str:
        """See `core.markup.Dialect`."""
        return _outside_blocks(text, self._read)

    def write(self, text: str) -> str:
        """See `core.markup.Dialect`."""
        return _outside_blocks(text, lambda piece: CANONICAL_CALL.sub(self._write, piece))

    def _read(self, piece: str) -> str:
        found = list(self.call_pattern.finditer(piece))
        if not found:
            return piece
        cut = "" if found[-1]["end"] else TOOL_CALL + found.pop()["body"]
        if not found:
            return self.call_pattern.sub(lambda _: cut, piece)
        parsed = [self.parse(match) for match in found]
        calls = tuple(call for one in parsed for call in one or ())
        block = None if None in parsed else _rendered(lambda calls: render_calls(*calls), calls)
        if block is None:
            block = TOOL_CALL + "\n".join(match["body"] for match in found) + END_TOOL_CALL
        gaps = [
            piece[a.end() : b.start()] for a, b in pairwise(found)
        ]  # words between calls stay, behind them, for the grammar to complain of
        between = "".join(gap for gap in gaps if gap.strip())
        return piece[: found[0].start()] + block + between + self._tail(piece, found[-1]) + cut

    def _tail(self, piece: str, last: re.Match[str]) -> str:
        """What follows the last whole call, up to one that is cut off."""
        rest = self.call_pattern.search(piece, last.end())
        return piece[last.end() : rest.start() if rest else len(piece)]

    def _write(self, match: re.Match[str]) -> str:
        if not match["end"]:
            return self.opening + match["body"]
        calls = parse_calls(match["body"])
        written = None if isinstance(calls, BadCall) else _rendered(self.render, calls)
        return self.wrap(match["body"]) if written is None else written


def _rendered(render: Callable[[Calls], str], calls: Calls) -> str | None:
    """None where what could be read cannot be written: an integer of thousands of hex digits,
    brackets as deep as they can just be read.
    """
    try:
        return render(calls)
    except (ValueError, RecursionError):
        return None


def json_value(text: str) -> object:
    """A JSON value; the text itself where it is none."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text


def _outside_blocks(text: str, change: Callable[[str], str]) -> str:
    """A text with its thoughts and answers as they are and the rest changed."""
    return "".join(piece if is_kept else change(piece) for piece, is_kept in _pieces(text))


def _pieces(text: str) -> Iterator[tuple[str, bool]]:
    end = 0
    for kept in _KEPT.finditer(text):
        yield text[end : kept.start()], False
        yield kept[0], True
        end = kept.end()
    yield text[end:], False
