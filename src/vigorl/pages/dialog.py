"""A dialog as a part of a page: its turns with what they say and see, and the one being written."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from vigorl.core.rollout import StopReason, Turn
from vigorl.core.trace import IMAGE_SLOT
from vigorl.data.images import ImageStore
from vigorl.pages.html import Album, Vote, render
from vigorl.pages.text import Block, text_blocks

_ENDINGS = {
    StopReason.NO_ACTION: "It neither looked nor answered.",
    StopReason.TURN_LENGTH: "Its turn was longer than it may be.",
    StopReason.TOKEN_BUDGET: "There is no room for another turn.",
    StopReason.TURN_LIMIT: "That was the last turn it may take, and it did not answer.",
    StopReason.TOOL_DONE: "The tool said that the task is over.",
    StopReason.REFUSED: "The model would not answer.",
}


@dataclass(frozen=True, slots=True)
class _TurnCard:
    """`said` is what was written, `seen` are the views as data URIs, `words` the reply's text."""

    number: int
    is_own_look: bool
    confidence: float | None
    said: tuple[Block, ...]
    words: str
    seen: tuple[str, ...]
    error: str


def render_dialog(
    turns: Sequence[Turn],
    *,
    images: ImageStore,
    confidences: Sequence[float | None],
    own_looks: Sequence[bool],
    writing: str = "",
    stop_reason: StopReason | None = None,
    right: str = "",
) -> str:
    """A part of a page, whose looks are in `templates/dialog.css`.

    Args:
        turns: Those that are done.
        images: Where their views come from.
        confidences: [turns] mean probability of each one's tokens, where that is known.
        own_looks: [turns] whether a person looked there.
        writing: The coming turn so far.
        stop_reason: Why it ended; None while it goes on.
        right: The right answer; "" where nobody knows it.
    Raises:
        DataError: A picture cannot be read.
    """
    album = Album(images)
    told = zip(turns, confidences, own_looks, strict=True)
    return render(
        "dialog.html.jinja",
        turns=[_card(number, *one, album) for number, one in enumerate(told, start=1)],
        writing=tuple(text_blocks(writing)),
        ending="" if stop_reason is None else _ENDINGS.get(stop_reason, ""),
        answer=turns[-1].parsed.answer if turns else None,
        right=right,
    )


def render_votes(votes: Sequence[tuple[str | None, int]], *, right: str = "") -> str:
    """Answers as bars, with how often each was given.

    Args:
        votes: The most frequent first.
        right: The right answer; "" where nobody knows it.
    """
    total = sum(count for _, count in votes)
    rows = [Vote(answer, bool(right) and answer == right, n, n / total) for answer, n in votes]
    return render("votes.html.jinja", rows=rows, total=total)


def _card(
    number: int, turn: Turn, confidence: float | None, is_own_look: bool, album: Album
) -> _TurnCard:
    words = [block.body for block in text_blocks(turn.observation.replace(IMAGE_SLOT, " "))]
    return _TurnCard(
        number=number,
        is_own_look=is_own_look,
        confidence=confidence,
        said=tuple(text_blocks(turn.text)),
        words=" ".join(word for word in words if word),
        seen=tuple(map(album.shown, turn.views)),
        error=turn.tool_error,
    )
