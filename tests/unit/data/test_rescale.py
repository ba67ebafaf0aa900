"""Coordinates of a trace in the frame of the picture as it is shown."""

import pytest

from tests.builders import task, view
from vigorl.core.geometry import Size
from vigorl.core.protocols import Argument, ArgumentKind, ToolSpec
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


@pytest.mark.parametrize(
    ("frame", "called", "moved"),
    [
        ((896, 896), {"frames": [0, 2]}, {"frames": [0, 2]}),  # numbers of pictures
        ((896, 896), {"picture": 0, "bbox": [0, 0, 40, 80]}, {"bbox": [0, 0, 5, 10]}),
        ((896, 896), {"picture": 1, "bbox": [0, 0, 40, 80]}, {"bbox": [0, 0, 10, 20]}),
        ((896, 896), {"picture": 2, "bbox": [0, 0, 40, 80]}, {}),  # of another size: not known
        ((1000, 1000), {"picture": 2, "bbox": [0, 0, 500, 500]}, {"bbox": [0, 0, 56, 28]}),
        ((896, 896), {"picture": 3, "bbox": [0, 0, 40, 80]}, {}),  # a tool has shown it
    ],
)
def test_a_call_moves_with_the_picture_it_names(
    frame: tuple[int, int], called: dict[str, object], moved: dict[str, object]
) -> None:
    more = (view(size=Size(224, 224)), view(original=Size(896, 448), size=Size(112, 56)))
    arguments = (
        Argument("picture", ArgumentKind.INDEX),
        Argument("bbox", ArgumentKind.BOX),
        Argument("frames", ArgumentKind.INDICES),
    )
    trace = Trace((Step("Here.", ToolCall("look", called)), Step("There.")), "red")
    record = TraceRecord(task(), trace, frame=Size(*frame))
    specs = {"look": ToolSpec(arguments, "a look", "a part")}
    call = rescaled_trace(record, image=view(), more=more, specs=specs).steps[0].tool_call
    assert call is not None
    assert call.arguments == called | moved
