"""Bring a trace's coordinates into the frame of the picture as the model will see it.

A data set's traces speak of the picture at the size its teacher saw. Shown at another size, every
point in a thought, every coordinate of a tool call and a point answer have to move with it.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace

from vigorl.core.geometry import Box, FrameMap, Point, Size
from vigorl.core.media import ImageView
from vigorl.core.protocols import ArgumentKind, ToolSpec
from vigorl.core.records import TraceRecord
from vigorl.core.trace import POINT_PATTERN, Step, ToolCall, Trace, parse_point, render_point

_PLACES = (ArgumentKind.POINT, ArgumentKind.BOX, ArgumentKind.POINTS, ArgumentKind.BOXES)
_OF_ANY_PICTURE = (Size(1000, 1000), Size(1, 1))


def rescaled_trace(
    record: TraceRecord,
    *,
    image: ImageView,
    more: Sequence[ImageView] = (),
    specs: Mapping[str, ToolSpec] | None = None,
) -> Trace:
    """The record's trace with its coordinates as texts about `image` write them; the same object
    when nothing changes.

    Args:
        record: `record.frame` is the frame of its coordinates; None means that of `image`.
        image: The first picture as the model sees it.
        more: The prompt's other pictures. A call that names one of them is moved as it is shown,
            where the record's frame says something of it: a frame of thousandths or of one, or a
            picture of the first one's size, such as another frame of a video. Else, and on pictures
            that tools have shown, its coordinates stay.
        specs: By tool, which of a call's arguments are places; where a tool is not known, lists of
            two and four numbers are.
    Returns:
        Points rounded to the frame. A pair outside `record.frame` is no place on the picture and
        stays as it is.
    """
    if record.frame is None or record.frame == image.text_size:
        return record.trace
    # the pictures whose ORIGINAL frame is that of the trace, as texts speak of them now
    told, *others = [_told(one, record.frame, first=image) for one in (image, *more)]
    assert told is not None

    def rescaled(call: ToolCall) -> ToolCall:
        return _rescaled_call(call, [told, *others], (specs or {}).get(call.name))

    steps = tuple(
        Step(
            _rescaled_text(step.think, told),
            None if step.tool_call is None else rescaled(step.tool_call),
            tuple(map(rescaled, step.more_calls)),
        )
        for step in record.trace.steps
    )
    is_place, answer = record.task.scorer.is_place, record.trace.answer
    answer = _rescaled_text(answer, told) if is_place else answer
    return replace(record.trace, steps=steps, answer=answer)


def _rescaled_text(text: str, told: ImageView) -> str:
    def rescaled(match: re.Match[str]) -> str:
        point = parse_point(match[0])
        if point is None or not point.is_inside(told.original):
            return match[0]
        return render_point(told.to_text(point))

    return POINT_PATTERN.sub(rescaled, text)


def _told(view: ImageView, frame: Size, *, first: ImageView) -> ImageView | None:
    """A picture in the frame of the trace; None where that says nothing of it."""
    if frame not in _OF_ANY_PICTURE and view.original != first.original:
        return None
    return ImageView(view.source, frame, view.size, frame=view.frame)


def _rescaled_call(
    call: ToolCall, told: Sequence[ImageView | None], spec: ToolSpec | None
) -> ToolCall:
    kinds = {one.name: one.kind for one in spec.arguments} if spec else {}
    named = [call.arguments[key] for key in kinds.keys() & call.arguments.keys()
             if kinds[key] is ArgumentKind.INDEX]  # fmt: skip
    index = next((one for one in named if isinstance(one, int)), 0)
    on = told[index] if 0 <= index < len(told) else None
    rescaled = {
        key: _rescaled_value(value, on)
        if on is not None and (spec is None or kinds.get(key) in _PLACES)
        else value
        for key, value in call.arguments.items()
    }
    return ToolCall(call.name, rescaled)


def _rescaled_value(value: object, told: ImageView) -> object:
    """Lists of two numbers are points and lists of four are boxes [x1, y1, x2, y2], in lists too;
    everything else stays."""
    if isinstance(value, list) and value and all(isinstance(one, list) for one in value):
        return [_rescaled_value(one, told) for one in value]
    if not isinstance(value, list) or not all(map(_is_number, value)):
        return value
    if len(value) == 2:
        point = Point(*value)
        if point.is_inside(told.original):
            point = told.to_text(point)
        else:  # off the picture it stays off, for a tool to refuse
            mapped = FrameMap(told.original, told.text_size).point(point)
            point = Point(math.floor(mapped.x), math.floor(mapped.y))
        return [point.x, point.y]
    if len(value) == 4 and value[0] < value[2] and value[1] < value[3]:
        return [*told.box_to_text(Box(*value))]
    return value


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
