"""Bring a trace's coordinates into the frame of the picture as the model will see it.

A data set's traces speak of the picture at the size its teacher saw. Shown at another size, every
point in a thought, every coordinate of a tool call and a point answer have to move with it.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, replace

from vigorl.core.geometry import Box, FrameMap, Point, Size
from vigorl.core.media import ImageView, text_box, text_point
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
    frames = _Frames(record.frame, image)
    steps = tuple(
        Step(
            _rescaled_text(step.think, frames),
            None if step.tool_call is None else _rescaled_call(step.tool_call, frames),
        )
        for step in record.trace.steps
    )
    is_place, answer = record.task.scorer.is_place, record.trace.answer
    answer = _rescaled_text(answer, frames) if is_place else answer
    return replace(record.trace, steps=steps, answer=answer)


@dataclass(frozen=True, slots=True)
class _Frames:
    """From the frame that a trace was written in to that of texts about a picture."""

    source: Size
    image: ImageView

    def point(self, point: Point) -> Point:
        """Off the picture it stays off, for a tool to refuse."""
        if not point.is_inside(self.source):
            mapped = FrameMap(self.source, self.image.text_size).point(point)
            return Point(math.floor(mapped.x), math.floor(mapped.y))
        shown = self.image.size
        return text_point(point, source=self.source, frame=self.image.frame, shown=shown)

    def box(self, box: Box) -> list[float]:
        shown = self.image.size
        return [*text_box(box, source=self.source, frame=self.image.frame, shown=shown)]


def _rescaled_text(text: str, frames: _Frames) -> str:
    def rescaled(match: re.Match[str]) -> str:
        point = parse_point(match[0])
        if point is None or not point.is_inside(frames.source):
            return match[0]
        return render_point(frames.point(point))

    return POINT_PATTERN.sub(rescaled, text)


def _rescaled_call(call: ToolCall, frames: _Frames) -> ToolCall:
    rescaled = {key: _rescaled_value(value, frames) for key, value in call.arguments.items()}
    return ToolCall(call.name, rescaled)


def _rescaled_value(value: object, frames: _Frames) -> object:
    """Lists of two numbers are points and lists of four are boxes [x1, y1, x2, y2]; everything else
    stays."""
    if not isinstance(value, list) or not all(map(_is_number, value)):
        return value
    if len(value) == 2:
        point = frames.point(Point(*value))
        return [point.x, point.y]
    if len(value) == 4 and value[0] < value[2] and value[1] < value[3]:
        return frames.box(Box(*value))
    return value


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
