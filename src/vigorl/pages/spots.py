"""Where a policy looked, as spots on pictures; `picture` draws them with Pillow, pages as SVG."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

from vigorl.core.geometry import Box, FrameMap, Point
from vigorl.core.records import AnswerKind, ImageView
from vigorl.core.rollout import Rollout, Turn
from vigorl.core.trace import parse_point

RIGHT, WRONG = "#009e73", "#d55e00"  # green and vermilion of Okabe and Ito, told apart by all
TARGET = "#ffffff"
# Numbers tell rollouts apart too; no green or vermilion, which mean right and wrong.
ROLLOUT_COLOURS = (
    "#56b4e9", "#e69f00", "#f0e442", "#cc79a7", "#0072b2", "#b8b8b8", "#8c510a", "#9f8fef",
)  # fmt: skip

_SAME_PLACE_PX = 3.0  # a thought's point this near to its tool's is not drawn twice; pixels of size


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


def source_of(view: ImageView) -> str:
    """Names the picture that a view is all or a part of."""
    return view.path


def spots_of(rollout: Rollout) -> list[Spot]:
    """Everything that a rollout pointed at, in order.

    Points of a thought are taken to be on the picture that its tool then looked at; without a look,
    on the first.
    """
    if not rollout.prompt_views:
        return []
    scene, spots = list(rollout.prompt_views), []
    for number, turn in enumerate(rollout.turns, start=1):
        spots += _turn_spots(turn, number, scene)
        scene += shown_in(turn)
    if not any(spot.kind is SpotKind.LOOK for spot in spots):
        spots = [replace(spot, label=str(i)) for i, spot in enumerate(spots, start=1)]
    first = scene[0]
    is_point = rollout.task.answer_kind is AnswerKind.POINT
    point = parse_point(rollout.answer or "") if is_point else None
    if point is not None and point.is_inside(first.size):
        place = FrameMap(first.size, first.original).point(point)
        spots.append(Spot(SpotKind.ANSWER, place, len(rollout.turns), source_of(first), "A"))
    return spots


def _turn_spots(turn: Turn, number: int, scene: Sequence[ImageView]) -> list[Spot]:
    focus = turn.point
    view = scene[0]
    spots = []
    for point in turn.parsed.points:
        place = FrameMap(view.size, view.original).point(point)
        near_px = _SAME_PLACE_PX * view.original.width / view.size.width
        is_tools = focus is not None and place.distance(focus) < near_px
        if point.is_inside(view.size) and not is_tools:
            spots.append(Spot(SpotKind.THOUGHT, place, number, source_of(view)))
    if focus is not None:
        window = turn.view.box if turn.view else None
        spots.append(Spot(SpotKind.LOOK, focus, number, source_of(view), str(number), window))
    return spots


def shown_in(turn: Turn) -> tuple[ImageView, ...]:
    return (turn.view,) if turn.view else ()
