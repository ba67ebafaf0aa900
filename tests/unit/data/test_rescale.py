"""Coordinates of a trace in the frame of the picture as it is shown."""

from tests.builders import task, view
from vigorl.core.geometry import Size
from vigorl.core.records import TraceRecord
from vigorl.core.trace import Step, ToolCall, Trace
from vigorl.data.rescale import rescaled_trace


def test_points_and_boxes_in_lists_move_too() -> None:
    arguments = {"points": [[448, 0], [40, 80]], "boxes": [[0, 0, 40, 80]], "label": "disc"}
    trace = Trace((Step("Here.", ToolCall("mark", arguments)), Step("There.")), "red")
    record = TraceRecord(task(), trace, frame=Size(896, 896))  # shown at 112: an eighth
    call = rescaled_trace(record, image=view()).steps[0].tool_call
    assert call is not None
    moved = {"points": [[56, 0], [5, 10]], "boxes": [[0, 0, 5, 10]], "label": "disc"}
    assert call.arguments == moved
