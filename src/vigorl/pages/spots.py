"""Where a policy looked, as spots on pictures; `picture` draws them with Pillow, pages as SVG."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

from vigorl.core.geometry import Box, Point
from vigorl.core.media import ImageView
from vigorl.core.rollout import Rollout, Turn

RIGHT, WRONG = "#009e73", "#d55e00"  # green and vermilion of Okabe and Ito, told apart by all
TARGET = "#ffffff"
# Numbers tell rollouts apart too; no green or vermilion, which mean right and wrong.
ROLLOUT_COLOURS = (
    "#56b4e9", "#e69f00", "#f0e442", "#cc79a7", "#0072b2", "#b8b8b8", "#8c510a", "#9f8fef",
)  # fmt: skip

_SAME_PLACE_PX = 3.0  # a thought's point this near to its tool's is not drawn twice; shown pixels


class SpotKind(StrEnum):
    """What a spot on a picture stands for."""

    LOOK = "look"  # where a tool looked; it may have a window
    THOUGHT = "thought"  # a point that a thought names
    ANSWER = "answer"  # the answer itself, when it is a point


@dataclass(frozen=True, slots=True)
class Spot:
    """One place on a picture, ORIGINAL frame.

    Attributes:
        kind: What it stands for.
        point: Where.
        turn: The turn that wrote it, from 1.
        picture: Which picture: the key of its source.
        label: What is written on it: the turn's number, or the point's when nothing was looked at.
        window: What the tool showed.
    """

    kind: SpotKind
    point: Point
    turn: int
    picture: str
    label: str = ""
    window: Box | None = None


def colour_of(rollout: Rollout) -> str:
    """The rollout's own; they repeat after eight."""
    return ROLLOUT_COLOURS[rollout.index % len(ROLLOUT_COLOURS)]


def ink_on(colour: str) -> str:
    """What can be read on a colour of `ROLLOUT_COLOURS`."""
    return "#fff" if colour in ("#0072b2", "#8c510a") else "#111"


def spots_of(rollout: Rollout) -> list[Spot]:
    """All that a rollout pointed at, in order; points of thoughts are on the first picture."""
    if not rollout.prompt_views:
        return []
    first, scene, spots = rollout.prompt_views[0], list(rollout.prompt_views), list[Spot]()
    for number, turn in enumerate(rollout.turns, start=1):
        look = _look(turn, number, scene)
        spots += [spot for spot in _named(turn, number, first) if not _is_same(spot, look, first)]
        spots += [look] if look else []
        scene += turn.views
    if not any(spot.kind is SpotKind.LOOK for spot in spots):
        spots = [replace(spot, label=str(i)) for i, spot in enumerate(spots, start=1)]
    point = rollout.task.scorer.place(rollout.answer or "", view=first)
    if point is not None:
        place, key = first.to_original(point), first.source.key
        spots.append(Spot(SpotKind.ANSWER, place, len(rollout.turns), key, "A"))
    return spots


def _look(turn: Turn, number: int, scene: Sequence[ImageView]) -> Spot | None:
    focus = turn.focus
    if focus is None:
        return None
    key = scene[focus.picture].source.key
    return Spot(SpotKind.LOOK, focus.point, number, key, str(number), focus.box)


def _named(turn: Turn, number: int, first: ImageView) -> Iterator[Spot]:
    for point in turn.parsed.points:
        if first.holds(point):
            place = first.to_original(point)
            yield Spot(SpotKind.THOUGHT, place, number, first.source.key)


def _is_same(spot: Spot, look: Spot | None, first: ImageView) -> bool:
    near_px = _SAME_PLACE_PX * first.original.width / first.size.width
    return (
        look is not None
        and look.picture == spot.picture
        and look.point.distance(spot.point) < near_px
    )
