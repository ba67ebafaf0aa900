"""One HTML page of two or more models on the same questions: by how much they differ, how sure that
is, and the questions whose answers flipped, side by side with what each model looked at.

    page = render_comparison_page(pairs, flips, images=store, title="after against before")
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from vigorl.core.errors import DataError
from vigorl.core.records import TaskRecord
from vigorl.core.rollout import ScoredRollout
from vigorl.data.images import ImageStore
from vigorl.pages.html import Album, render
from vigorl.pages.rollouts import RolloutCard, rollout_card

if TYPE_CHECKING:
    from vigorl.evaluation.comparison import Pair

_LEAST_SCALE = 0.05  # of the drawn intervals, so that tiny ones do not look large


@dataclass(frozen=True, slots=True)
class Side:
    """What one model made of a question.

    Attributes:
        model: Its name.
        answer: What it answered; None for no answer.
        score: Of all its answers to the question, in [0, 1].
        num_answers: How many there were.
        scored: The rollout to show; None where it was not recorded.
    """

    model: str
    answer: str | None
    score: float
    num_answers: int
    scored: ScoredRollout | None


@dataclass(frozen=True, slots=True)
class Flip:
    """A question on which two models differ, with the earlier model first."""

    benchmark: str
    id: str
    category: str
    right_answer: str
    sides: tuple[Side, Side]

    @property
    def task(self) -> TaskRecord | None:
        """The question, where a rollout of it was recorded."""
        found = [side.scored for side in self.sides if side.scored is not None]
        return found[0].rollout.task if found else None

    @property
    def is_better(self) -> bool:
        """Whether the later model did better."""
        return self.sides[1].score > self.sides[0].score


@dataclass(frozen=True, slots=True)
class _Panel:
    """A side as it is drawn; `note` says why there is no card."""

    side: Side
    card: RolloutCard | None
    note: str


def render_comparison_page(
    pairs: Sequence[Pair],
    flips: Sequence[Flip],
    *,
    images: ImageStore,
    title: str,
    num_flipped: int,
) -> str:
    """The page as one string of HTML; about 0.1 MB for each flip with its pictures.

    Args:
        pairs: All comparisons.
        flips: The questions to show.
        images: Where their pictures come from.
        title: Names the models.
        num_flipped: Questions that differ in all comparisons together.
    """
    values = comparison_values(pairs, flips, images=images, title=title, num_flipped=num_flipped)
    return render("comparison.html.jinja", **values)


def comparison_values(
    pairs: Sequence[Pair],
    flips: Sequence[Flip],
    *,
    images: ImageStore,
    title: str,
    num_flipped: int,
) -> dict[str, Any]:
    """What comparison.html.jinja shows, and whatever extends it; see `render_comparison_page`."""
    album = Album(images)
    ends = [abs(end) for one in pairs for end in (one.found.low, one.found.high)]
    return {
        "title": title,
        "pairs": pairs,
        "scale": max([_LEAST_SCALE, *ends]),
        "num_flipped": num_flipped,
        "flips": [
            (flip, [_panel(side, f"f{number}-{k}", album) for k, side in enumerate(flip.sides)])
            for number, flip in enumerate(flips, start=1)
        ],
    }


def _panel(side: Side, anchor: str, album: Album) -> _Panel:
    if side.scored is None:
        return _Panel(side, None, "its rollout was not recorded beside the report")
    try:
        return _Panel(side, rollout_card(side.scored, anchor, album), "")
    except DataError as error:  # pictures may have moved since; what was said is still worth a look
        return _Panel(side, None, f"the picture cannot be shown: {error}")
