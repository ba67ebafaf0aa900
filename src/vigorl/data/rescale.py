"""Bring a trace's coordinates into the frame of the picture as the model will see it.

A data set's traces speak of the picture at the size its teacher saw. Shown at another size, every
point in a thought, every coordinate of a tool call and a point answer have to move with it.
"""

from __future__ import annotations

import math
import re
from dataclasses import replace

from vigorl.core.geometry import FrameMap, Point, Size
from vigorl.core.records import AnswerKind, TraceRecord
from vigorl.core.trace import POINT_PATTERN, Step, ToolCall, Trace, render_point


def rescaled_trace(record: TraceRecord, *, target: Size) -> Trace:
    """The record's trace with its coordinates in the `target` frame; the same object when nothing
    changes.

    Args:
        record: `record.frame` is the frame of its coordinates; None means `target`.
        target: Size of the first picture as the model sees it.
    Returns:
        Points rounded to pixels of `target`. A pair outside `record.frame` is no place on the
        picture and stays as it is.
    """
    if record.frame is None or record.frame == target:
        return record.trace
    frames = FrameMap(record.frame, target)
    steps = tuple(
        Step(
            _rescaled_text(step.think, frames),
            None if step.tool_call is None else _rescaled_call(step.tool_call, frames),
        )
        for step in record.trace.steps
    )
    is_point = record.task.answer_kind is AnswerKind.POINT
    answer = _rescaled_text(record.trace.answer, frames) if is_point else record.trace.answer
    return replace(record.trace, steps=steps, answer=answer)


def _rescaled_text(text: str, frames: FrameMap) -> str:
    def rescaled(match: re.Match[str]) -> str:
        point = Point(int(match[1]), int(match[2]))
        return render_point(frames.pixel(point)) if point.is_inside(frames.source) else match[0]

    return POINT_PATTERN.sub(rescaled, text)


def _rescaled_call(call: ToolCall, frames: FrameMap) -> ToolCall:
    rescaled = {key: _rescaled_value(value, frames) for key, value in call.arguments.items()}
    return ToolCall(call.name, rescaled)


def _rescaled_value(value: object, frames: FrameMap) -> object:
    """Lists of two numbers are points and lists of four are boxes [x1, y1, x2, y2]; everything else
    stays."""
    if not isinstance(value, list) or len(value) not in (2, 4) or not all(map(_is_number, value)):
        return value
    first = frames.point(Point(*value[:2]))
    if len(value) == 2:
        if Point(*value).is_inside(frames.source):
            first = frames.pixel(Point(*value))
        return [
            math.floor(first.x),
            math.floor(first.y),
        ]  # outside stays outside, for the tool to refuse
    last = frames.point(Point(*value[2:]))
    return [math.floor(first.x), math.floor(first.y), math.ceil(last.x), math.ceil(last.y)]


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
