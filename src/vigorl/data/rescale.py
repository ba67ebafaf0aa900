"""Bring a trace's coordinates into the frame of the picture as the model will see it.

A data set's traces speak of the picture at the size its teacher saw. Shown at another size, every
point in a thought, every coordinate of a tool call and a point answer have to move with it.
"""

from __future__ import annotations

import math
import re
from dataclasses import replace

from vigorl.core.geometry import Box, FrameMap, Point
from vigorl.core.media import ImageView
from vigorl.core.records import TraceRecord
from vigorl.core.trace import POINT_PATTERN, Step, ToolCall, Trace, parse_point, render_point


def rescaled_trace(record: TraceRecord, *, image: ImageView) -> Trace:
    """The record's trace with its coordinates as texts about `image` write them; the same object
    when nothing changes.

    Args:
        record: `record.frame` is the frame of its coordinates; None means that of `image`.
        image: The first picture as the model sees it.
    Returns:
        Points rounded to the frame. A pair outside `record.frame` is no place on the picture and
        stays as it is.
    """
    if record.frame is None or record.frame == image.text_size:
        return record.trace
    # the picture whose ORIGINAL frame is that of the trace, as texts speak of it now
    told = ImageView(image.source, record.frame, image.size, frame=image.frame)
    steps = tuple(
        Step(
            _rescaled_text(step.think, told),
            None if step.tool_call is None else _rescaled_call(step.tool_call, told),
            tuple(_rescaled_call(call, told) for call in step.more_calls),
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


def _rescaled_call(call: ToolCall, told: ImageView) -> ToolCall:
    rescaled = {key: _rescaled_value(value, told) for key, value in call.arguments.items()}
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
