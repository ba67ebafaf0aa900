"""Rollouts by hand, for tests of anything that reads one: `from tests.builders import rollout`.

The world is one 448x448 picture, shown to the policy at 112x112 (so 1 RESIZED pixel = 4 ORIGINAL
ones), with a red disc whose centre is (200, 80) in the file and (50, 20) as the policy sees it.
The default of everything is right: `rollout()` looks at the disc, then answers "red".

    rollout()                                          # zoom at the disc, answer "red"
    rollout(answer_turn("blue"))                       # a wrong answer at once
    rollout(zoom_turn(90, 90), zoom_turn(), answer_turn())
    rollout(turn("no tags"), stop_reason=StopReason.NO_ACTION)
    rollout(refused_turn(), answer_turn(), task=task(options=("red", "green")))

Token ids are made up, `num_tokens` per completion; use a real tokenizer where ids matter.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from vigorl.core.geometry import Box, FrameMap, Point, Size, zoom_window
from vigorl.core.media import FileImage, ImageView, Region, Source, Stored
from vigorl.core.protocols import Scene
from vigorl.core.records import TaskRecord
from vigorl.core.rollout import RewardBreakdown, Rollout, ScoredRollout, StopReason, Turn
from vigorl.core.trace import (
    ToolCall,
    observation_text,
    render_answer_turn,
    render_point,
    render_tool_turn,
)

ORIGINAL = Size(448, 448)
RESIZED = Size(112, 112)
DISC = Box(190, 70, 210, 90)  # ORIGINAL frame
PICTURE = FileImage("disc.png")
ZOOM_SIDE_PX = 112  # ORIGINAL pixels
TOOL_NAME = "search_coordinate"


def task(**overrides: Any) -> TaskRecord:
    """A colour question with two options, "red" (right) and "blue"."""
    fields: dict[str, Any] = {
        "id": "disc",
        "question": "What colour is the disc?",
        "answer": "red",
        "images": ("disc.png",),
        "options": ("red", "blue"),
        "targets": (DISC,),
    }
    return TaskRecord(**(fields | overrides))


def view(
    *,
    box: Box | None = None,
    original: Size = ORIGINAL,
    size: Size = RESIZED,
    source: Source = PICTURE,
) -> ImageView:
    """The whole picture, or a box of it (ORIGINAL frame)."""
    return ImageView(source, original=original, size=size, box=box)


def scene(*views: ImageView) -> Scene:
    """What a tool sees: by default the whole picture."""
    return Scene(views or (view(),))


def turn(text: str, *, num_tokens: int = 4, **fields: Any) -> Turn:
    """A turn that says exactly `text`; `fields` are those of `Turn`."""
    fields.setdefault("completion_ids", tuple(range(100, 100 + num_tokens)))
    fields.setdefault("sampling_logprobs", (-0.5,) * len(fields["completion_ids"]))
    return Turn(text=text, **fields)


def zoom_turn(x: int = 50, y: int = 20, *, think: str | None = None, **fields: Any) -> Turn:
    """A grounded thought and a zoom at (x, y), as the policy sees it, which works."""
    point = FrameMap(RESIZED, ORIGINAL).point(Point(x, y))
    window = zoom_window(point, image=ORIGINAL, side_px=ZOOM_SIDE_PX)
    fields = {
        "observation": observation_text(("Here is the crop:\n", view(box=window))),
        "observation_ids": (7, 8, 9),
        "views": (view(box=window),),
        "focus": Region(point, window),
    } | fields
    return turn(call_text(x, y, think=think), **fields)


def refused_turn(x: int = 999, y: int = 20, *, think: str = "Look at (50, 20).") -> Turn:
    """A zoom off the picture, which the environment refused."""
    reason = f"point ({x}, {y}) is outside the picture"
    return turn(
        call_text(x, y, think=think),
        observation=observation_text((reason,)),
        observation_ids=(7, 9),
        tool_error=reason,
    )


def call_text(x: int, y: int, *, think: str | None = None) -> str:
    """Text of a turn that calls the zoom tool at (x, y)."""
    thought = f"Something is at {render_point(Point(x, y))}." if think is None else think
    return render_tool_turn(thought, ToolCall(TOOL_NAME, {"coordinate": [x, y]}))


def answer_turn(
    answer: str = "red", *, think: str = "The disc at (50, 20).", **fields: Any
) -> Turn:
    """A grounded thought and an answer."""
    return turn(render_answer_turn(think, answer), **fields)


def rollout(*turns: Turn, **fields: Any) -> Rollout:
    """A rollout of these turns, by default `zoom_turn(), answer_turn()`.

    `fields` are those of `Rollout`; `stop_reason` follows from the last turn when not given.
    """
    turns = turns or (zoom_turn(), answer_turn())
    has_answer = turns[-1].parsed.answer is not None
    defaults: Mapping[str, Any] = {
        "task": task(),
        "prompt_ids": (1, 2, 3),
        "prompt_views": (view(),),
        "stop_reason": StopReason.ANSWERED if has_answer else StopReason.NO_ACTION,
    }
    return Rollout(turns=turns, **(dict(defaults) | fields))


def scored(
    one: Rollout | None = None, *, total: float = 1.0, parts: Mapping[str, float] | None = None
) -> ScoredRollout:
    """A rollout with a reward of your choice."""
    return ScoredRollout(one or rollout(), RewardBreakdown(total, dict(parts or {})))


def looks_at(*pictures: int, answer: str = "red", places: Sequence[Point] = ()) -> Rollout:
    """A rollout on two pictures, 0 and 1, that was shown 2, the first one turned; it looks at the
    pictures of these numbers, at (200, 80) of each unless `places` say where, ORIGINAL pixels.
    """
    other, turned = view(source=FileImage("other.png")), view(source=Stored("1f", "turned.png"))
    looks = [
        zoom_turn(focus=Region(point, picture=number), views=())
        for number, point in zip(pictures, places or [Point(200, 80)] * len(pictures), strict=True)
    ]
    shown = turn(call_text(1, 1), views=(turned,), observation="Turned.")
    two = task(images=("disc.png", "other.png"))
    return rollout(
        shown, *looks, answer_turn(answer, think="Red."), prompt_views=(view(), other), task=two
    )
