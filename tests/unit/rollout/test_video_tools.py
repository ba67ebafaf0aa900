"""Frames that a policy chooses, and a closer look at one of them."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.builders import scene, task, view
from tests.unit.data.test_video import write_clip
from tests.unit.rollout.world import World
from vigorl.core.errors import ConfigError
from vigorl.core.geometry import Box, Point, Size
from vigorl.core.media import ImageView, Region, VideoFrame, frame_name
from vigorl.core.protocols import Completion, Scene, Tool, ToolError
from vigorl.core.records import TraceRecord
from vigorl.core.rollout import RewardBreakdown, ScoredRollout
from vigorl.core.trace import Step, ToolCall, Trace
from vigorl.data.encoding import encode_trace
from vigorl.data.prompt_writer import call_example
from vigorl.rollout.recorder import rollout_from_json, rollout_to_json
from vigorl.rollout.tools.look_closer import LookCloser
from vigorl.rollout.tools.select_frames import SelectFrames

BY_NUMBERS = SelectFrames(most=3, view_px=32)
BY_INTERVAL = SelectFrames(by="interval", most=3, view_px=1000)
CLOSER = LookCloser(min_window_px=16, view_px=112)


@pytest.fixture
def clip(tmp_path: Path) -> Scene:
    """Two of the 20 frames of a video of 2 s."""
    path = write_clip(tmp_path / "a.mp4", list(range(0, 200, 10)))
    shown = (ImageView(VideoFrame(path, time), Size(64, 48), Size(56, 28)) for time in (0.0, 1.0))
    return Scene(tuple(shown))


def test_frames_are_shown_behind_their_numbers(clip: Scene) -> None:
    seen = BY_NUMBERS.call({"frames": [12, 3, 12]}, scene=clip)
    one, first, two, second = seen.parts
    assert (one, two) == ("Frame 12 at 1.2 s: ", "\nFrame 3 at 0.3 s: ")
    path = clip.first.path
    assert [first, second] == [
        ImageView(VideoFrame(path, time), Size(64, 48), Size(32, 24)) for time in (1.2, 0.3)
    ]


def test_an_interval_shows_frames_of_it_evenly(clip: Scene) -> None:
    seen = BY_INTERVAL.call({"start": 0.5, "end": 1.5}, scene=clip)
    assert [one.source.time_s for one in seen.views] == [0.5, 1.0, 1.5]  # pyright: ignore
    assert seen.views[0].size == Size(64, 48)  # not enlarged


@pytest.mark.parametrize(
    ("tool", "arguments", "message"),
    [
        (BY_NUMBERS, {}, "1 to 3 frame numbers"),
        (BY_NUMBERS, {"frames": []}, "1 to 3 frame numbers"),
        (BY_NUMBERS, {"frames": [1, 2, 3, 4]}, "1 to 3 frame numbers"),
        (BY_NUMBERS, {"frames": [20]}, "frames 0 to 19"),
        (BY_NUMBERS, {"frames": [True]}, "frames 0 to 19"),
        (BY_NUMBERS, {"frames": ["<image>"]}, "frames 0 to 19"),
        (BY_INTERVAL, {"start": 1}, '"end"'),
        (BY_INTERVAL, {"start": 1, "end": 1}, 'before "end"'),
        (BY_INTERVAL, {"start": 2, "end": 3}, "ends, at 2 s"),
        (CLOSER, {"bbox": [0, 0, 8, 8]}, '"picture"'),
        (CLOSER, {"picture": 2, "bbox": [0, 0, 8, 8]}, "0 to 1"),
        (CLOSER, {"picture": 0, "bbox": [0, 0, 57, 8]}, "not inside"),
    ],
)
def test_bad_calls_are_answered(
    clip: Scene, tool: Tool, arguments: dict[str, object], message: str
) -> None:
    with pytest.raises(ToolError, match=message) as caught:
        tool.open(None).call(arguments, scene=clip)  # pyright: ignore[reportArgumentType]
    assert "<image>" not in str(caught.value)


def test_a_scene_without_a_video_has_no_frames() -> None:
    with pytest.raises(ToolError, match="no video"):
        BY_NUMBERS.call({"frames": [1]}, scene=scene())


def test_a_closer_look_is_cut_from_the_frame_it_names(clip: Scene) -> None:
    seen = CLOSER.call({"picture": 1, "bbox": [14, 7, 42, 21]}, scene=clip)
    # x 64/56, y 48/28: (16, 12) to (48, 36)
    window = Box(16, 12, 48, 36)
    assert seen.views == (ImageView(clip[1].source, Size(64, 48), Size(112, 84), box=window),)
    assert seen.focus == Region(Point(32, 24), window, 1)


def test_a_picture_looks_closer_too() -> None:
    assert CLOSER.call({"picture": 0, "bbox": [0, 0, 2, 2]}, scene=scene(view())).views[0].box


def test_a_dialog_about_a_video_is_its_trace_and_comes_back_from_the_record(
    world: World, clip: Scene
) -> None:
    names = tuple(frame_name(clip.first.path, time) for time in (0.0, 1.9))
    asked = task(images=names, question="Frame 0: <image>\nFrame 19: <image>\nWhat colour?")
    calls = [
        ToolCall("select_frames", {"frames": [5, 6]}),
        ToolCall("look_closer", {"picture": 2, "bbox": [0, 0, 28, 28]}),
    ]
    trace = Trace((*(Step("Look.", call) for call in calls), Step("Seen.")), "red")
    environment = world.environment(tools=[BY_NUMBERS, CLOSER], max_images=6)
    dialog = environment.start(asked, group="g", index=0, seed=1)
    for text in trace.turns():
        ids = tuple(world.codec.completion_ids(text))
        logprobs = (-0.25,) * len(ids)
        dialog.accept(Completion(dialog.next_request().id, ids, logprobs, is_finished=True))
    rollout = dialog.rollout()
    assert [len(turn.views) for turn in rollout.turns] == [2, 1, 0]
    sample = encode_trace(
        TraceRecord(asked, trace, frame=None),
        prompt=environment.prompt, codec=world.codec, images=world.images, tools=environment.tools,
    )  # fmt: skip
    assert (sample.token_ids, sample.views) == (rollout.token_ids, rollout.views)
    scored = ScoredRollout(rollout, RewardBreakdown(1.0, {}))
    line = rollout_to_json(scored, phase="train/0", run_seed=0)
    assert rollout_from_json(line).scored == scored
    assert [world.images.image(view).size for view in rollout.views[2:]] == [(56, 56)] * 2 + [
        (112, 84)
    ]


def test_prompts_show_the_form_that_is_set() -> None:
    assert '{"frames": [0, 1]}' in call_example(BY_NUMBERS)
    assert '{"start": n, "end": n}' in call_example(BY_INTERVAL)
    with pytest.raises(ConfigError, match=r"tools\.select_frames\.by"):
        SelectFrames(by="luck")  # pyright: ignore[reportArgumentType]
