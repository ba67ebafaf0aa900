"""Which drafts of a tree are fit to learn from, and how many each rule removed.

The released code filters nothing but equal strings. Here a draft must first be usable at all (it
follows the grammar, answers right by our own judge, speaks of places on the picture, and its tool
calls work), then meet the limits, then differ from what the tree has already given.

Near-duplicates are told by answer and places, not by shared words: two chains that look at the same
places show the learner the same crops, however the teacher phrased it that day, and chains of one
question share most of their words even where they look at different things.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum

from vigorl.core.errors import ConfigError
from vigorl.core.geometry import FrameMap, Point
from vigorl.core.media import ImageView
from vigorl.core.protocols import Scene, Tool, ToolError
from vigorl.core.records import TaskRecord, TraceRecord
from vigorl.core.rewards.zoom import is_zoom_hit
from vigorl.core.scoring.text import normalize_answer
from vigorl.core.trace import Trace


class Removal(StrEnum):
    """Why a draft was removed: the first rule that it broke, in this order."""

    GRAMMAR = "grammar"  # its turns are no trace
    WRONG_ANSWER = "wrong_answer"  # the teacher's judge took it, ours does not
    OFF_PICTURE = "off_picture"  # a thought speaks of a point that is not on the picture
    REFUSED_CALL = "refused_call"  # a call of another tool, or one that the tool refuses
    NO_SECOND_LOOK = "no_second_look"  # it turns around, and looks nowhere afterwards
    WAS_RIGHT = "was_right"  # it turns around from a target, or from where it looks afterwards
    TOO_MANY_TURNS = "too_many_turns"
    TOO_LONG = "too_long"
    TOO_FEW_POINTS = "too_few_points"
    TOO_MANY_POINTS = "too_many_points"
    REPEATED_POINTS = "repeated_points"
    NO_REGION = "no_region"  # to be told in rounds: a turn looks at no part of the picture
    NEAR_DUPLICATE = "near_duplicate"  # the same answer by way of the same places


@dataclass(frozen=True, slots=True)
class FilterSettings:
    """The limits. A chain's points are where it looks; without a look, where its thought points.

    Attributes:
        max_turns: Most turns of a dialog, looks and answer; None: any. A corrected chain holds two
            tries and may be longer than any dialog that the policy is let to have.
        max_length: Most characters of all turns together; None: any.
        min_points: Fewest points; 1 keeps what is grounded at all.
        max_points: Most points; None: any.
        max_repeats: How many points may return to an earlier place; None: any. A thought rightly
            names a place twice; a look has no reason to.
        near_px: Points at most this far apart, in pixels as the teacher saw the picture, are one
            place; 28 is about one picture token.
        keep_near_duplicates: Whether chains of one tree may have the same answer and places.
    """

    max_turns: int | None = None
    max_length: int | None = None
    min_points: int = 1
    max_points: int | None = None
    max_repeats: int | None = None
    near_px: float = 28.0
    keep_near_duplicates: bool = False

    def __post_init__(self) -> None:
        limits = {"max_turns": 1, "max_length": 1, "max_points": 0, "max_repeats": 0}
        for key, least in limits.items():
            value = getattr(self, key)
            if value is not None and value < least:
                raise ConfigError(f"{key} must be at least {least} or null, got {value}")
        if self.min_points < 0:
            raise ConfigError(f"min_points must be at least 0, got {self.min_points}")
        if self.max_points is not None and self.max_points < self.min_points:
            raise ConfigError(
                f"max_points={self.max_points} is under min_points={self.min_points}: "
                "no chain could pass"
            )
        if not self.near_px >= 0:
            raise ConfigError(f"near_px must be at least 0, got {self.near_px}")


@dataclass(frozen=True, slots=True)
class Draft:
    """A chain as a trace, not yet looked at.

    Attributes:
        trace: Its turns; None where they follow no grammar.
        points: Every point that its thoughts speak of, in the frame of the dialog.
        turned_at: Index of the step that turns around, of a corrected chain; None of a direct one.
    """

    trace: Trace | None
    points: tuple[Point, ...] = ()
    turned_at: int | None = None

    @property
    def is_corrected(self) -> bool:
        return self.turned_at is not None


@dataclass(frozen=True, slots=True)
class SolvedTrace:
    """A draft that passed."""

    record: TraceRecord
    is_corrected: bool


def filter_drafts(
    drafts: Sequence[Draft],
    task: TaskRecord,
    *,
    image: ImageView,
    tool: Tool | None = None,
    settings: FilterSettings | None = None,
) -> tuple[list[SolvedTrace], Counter[Removal]]:
    """The drafts of ONE tree that pass, of near-duplicates the first, and how many each rule
    removed.

    Args:
        drafts: All drafts of one task.
        task: Their task.
        image: The whole picture as the teacher saw it; its text frame is that of all coordinates.
        tool: What the looks call; drafts that call a tool need one.
        settings: The limits.
    Raises:
        ConfigError: A draft calls a tool and there is none.
    """
    settings = settings or FilterSettings()
    kept: list[SolvedTrace] = []
    removed: Counter[Removal] = Counter()
    seen: list[_Gist] = []
    for draft in drafts:
        judged = _judge(draft, task, image=image, tool=tool, settings=settings)
        if isinstance(judged, Removal):
            removed[judged] += 1
            continue
        trace, gist = judged
        if not settings.keep_near_duplicates:
            if any(gist.is_near(other, px=settings.near_px) for other in seen):
                removed[Removal.NEAR_DUPLICATE] += 1
                continue
            seen.append(gist)
        kept.append(
            SolvedTrace(TraceRecord(task, trace, frame=image.text_size), draft.is_corrected)
        )
    return kept, removed


@dataclass(frozen=True, slots=True)
class _Gist:
    """What makes two chains of a tree the same: kind, answer, and places in order."""

    is_corrected: bool
    answer: str
    points: tuple[Point, ...]

    def is_near(self, other: _Gist, *, px: float) -> bool:
        return (
            (self.is_corrected, self.answer) == (other.is_corrected, other.answer)
            and len(self.points) == len(other.points)
            and all(a.distance(b) <= px for a, b in zip(self.points, other.points, strict=True))
        )


def _judge(
    draft: Draft,
    task: TaskRecord,
    *,
    image: ImageView,
    tool: Tool | None,
    settings: FilterSettings,
) -> tuple[Trace, _Gist] | Removal:
    trace = draft.trace
    if trace is None:
        return Removal.GRAMMAR
    if not task.is_right(trace.answer, view=image):
        return Removal.WRONG_ANSWER
    if not all(image.holds(point) for point in draft.points):
        return Removal.OFF_PICTURE
    looks = _looks(trace, task, image=image, tool=tool)
    if looks is None:
        return Removal.REFUSED_CALL
    if draft.turned_at is not None and len(trace.steps) > 1:
        before, after = looks[: draft.turned_at], looks[draft.turned_at :]
        if not after:
            return Removal.NO_SECOND_LOOK
        if before and _was_right(before[-1], after, task, first=image, px=settings.near_px):
            return Removal.WAS_RIGHT
    if settings.max_turns is not None and len(trace.steps) > settings.max_turns:
        return Removal.TOO_MANY_TURNS
    if settings.max_length is not None and len("\n".join(trace.turns())) > settings.max_length:
        return Removal.TOO_LONG
    points = draft.points if len(trace.steps) == 1 else tuple(look.point for look in looks)
    broken = _broken_limit(points, settings=settings)
    return broken or (trace, _gist(draft, trace, points, task=task, image=image))


@dataclass(frozen=True, slots=True)
class _Look:
    """What a call shows: its point in the frame of the dialog, and the pictures."""

    point: Point
    views: tuple[ImageView, ...]


def _looks(
    trace: Trace, task: TaskRecord, *, image: ImageView, tool: Tool | None
) -> list[_Look] | None:
    """Where the calls look; None when one of them would not work."""
    looks: list[_Look] = []
    views = [image]
    opened = tool.open(task) if tool else None
    for call in (call for step in trace.steps[:-1] for call in step.tool_calls):
        if tool is None or opened is None:
            raise ConfigError("tool is null, but the traces call one; give the tool that they call")
        if call.name != tool.name:
            return None
        try:
            seen = opened.call(call.arguments, scene=Scene(tuple(views)))
        except ToolError:
            return None
        views += seen.views
        focus = seen.focus and seen.focus.on_first(views)
        if focus is not None:
            place = FrameMap(image.original, image.text_size).point(focus.point)
            looks.append(_Look(place, seen.views))
    return looks


def seen_by(trace: Trace, task: TaskRecord, *, image: ImageView, tool: Tool) -> list[ImageView]:
    """The first picture that each look of a trace showed, whose calls all work."""
    looks = _looks(trace, task, image=image, tool=tool) or ()
    return [look.views[0] for look in looks if look.views]


def _was_right(
    left: _Look, after: Sequence[_Look], task: TaskRecord, *, first: ImageView, px: float
) -> bool:
    """Whether the place that a chain turns around from was where it should look: turning around
    there would teach doubt.
    """
    returns = any(left.point.distance(look.point) <= px for look in after)
    return returns or any(is_zoom_hit(view, task.target_boxes, first=first) for view in left.views)


def _broken_limit(points: Sequence[Point], *, settings: FilterSettings) -> Removal | None:
    if len(points) < settings.min_points:
        return Removal.TOO_FEW_POINTS
    if settings.max_points is not None and len(points) > settings.max_points:
        return Removal.TOO_MANY_POINTS
    num_repeats = _num_repeats(points, px=settings.near_px)
    if settings.max_repeats is not None and num_repeats > settings.max_repeats:
        return Removal.REPEATED_POINTS
    return None


def _num_repeats(points: Iterable[Point], *, px: float) -> int:
    """Points that lie near an earlier one."""
    seen: list[Point] = []
    num_repeats = 0
    for point in points:
        num_repeats += any(point.distance(other) <= px for other in seen)
        seen.append(point)
    return num_repeats


def _gist(
    draft: Draft, trace: Trace, points: tuple[Point, ...], *, task: TaskRecord, image: ImageView
) -> _Gist:
    """An answer that is a place is one more of them: two need not agree to the pixel."""
    place = task.scorer.place(trace.answer, view=image)
    if place is not None:
        return _Gist(draft.is_corrected, "", (*points, place))
    return _Gist(draft.is_corrected, normalize_answer(trace.answer), points)
