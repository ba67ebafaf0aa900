"""Made clips: what their files show, and what their teacher says of them."""

from __future__ import annotations

import random
from pathlib import Path

import numpy as np
import pytest

from vigorl.core.errors import ConfigError
from vigorl.core.geometry import Box
from vigorl.core.media import source_of
from vigorl.core.protocols import Scene
from vigorl.core.records import TaskRecord
from vigorl.data.clips.draw import Clip, ClipSettings, close_starts, draw_clip, write_clip
from vigorl.data.clips.teacher import ClipTeacher, seen_in
from vigorl.data.clips.world import MadeClips, ask_clip, header_of
from vigorl.data.frames import Even
from vigorl.data.images import ImageStore
from vigorl.data.video import read_frame, read_header
from vigorl.families.qwen_vl import Qwen25VL
from vigorl.rollout.tools.select_frames import SelectFrames

from ..conftest import make_processor

SETTINGS = ClipSettings()
CAREFUL = ClipTeacher(hasty_frac=0.0, look_again_frac=1.0)


@pytest.fixture(scope="module")
def clip() -> Clip:
    return draw_clip(SETTINGS, seed=7)


def _asked(clip: Clip, video: str = "a.mp4") -> TaskRecord:
    return ask_clip(clip, id="test/1", video=video)


def test_a_file_shows_what_was_drawn(clip: Clip, tmp_path: Path) -> None:
    path = tmp_path / "a.mp4"
    write_clip(clip, path)
    header = read_header(path)
    assert header == header_of(clip)
    for number, drawn in enumerate(clip.frames()):
        found = np.asarray(read_frame(path, header.time_of(number)), dtype=float)
        assert abs(found - np.asarray(drawn)).mean() < 6, number
    # the stripes are there: of a contrast that only the close frames have
    panel = Box(42, 42, 70, 70)
    near = read_frame(path, header.time_of(clip.starts[0])).convert("L").crop(panel.as_tuple())
    assert np.asarray(near, dtype=float).std() > 25


def test_each_sign_is_shown_close_once_and_none_at_the_ends() -> None:
    for seed in range(40):
        one = draw_clip(SETTINGS, seed=seed)
        shown = [one.shown(number) for number in range(SETTINGS.num_frames)]
        assert shown[0] is shown[-1] is None
        for sign, start in zip(one.scene.signs, one.starts, strict=True):
            assert [i for i, other in enumerate(shown) if other == sign] == [start, start + 1]


def test_crossings_at_one_time_come_one_after_the_other() -> None:
    # x / 448 * 32 - 1: 6, 6, 6 and 27, 27; the last ends before frame 31
    assert close_starts(SETTINGS, [100, 101, 98, 396, 397]) == (8, 10, 6, 27, 29)
    assert close_starts(SETTINGS, [100, 440, 441, 442, 443])[1:] == (23, 25, 27, 29)


def test_a_clip_without_room_for_the_whole_is_refused() -> None:
    with pytest.raises(ConfigError, match="must be at least 12"):
        ClipSettings(num_frames=11)


def test_the_span_holds_the_frames_that_answer(clip: Clip) -> None:
    task, header = _asked(clip), header_of(clip)
    start, end = map(float, task.tags["span"].split())
    close = [i for i in range(32) if start <= header.time_of(i) < end]
    assert [clip.shown(number) for number in close] == [clip.scene.signs[0]] * 2
    assert task.answer == clip.scene.signs[0].stripes


def test_a_careful_teacher_is_right_and_a_watcher_by_what_is_shown() -> None:
    for seed in range(30):
        clip, rng = draw_clip(SETTINGS, seed=seed), random.Random(seed)
        task = _asked(clip)
        chosen = CAREFUL.choosing_trace(task, clip, rng).trace
        assert chosen.answer == task.answer
        for step in chosen.steps[:-1]:
            assert step.tool_call is not None
            assert len(step.tool_call.arguments["frames"]) == 2  # pyright: ignore
        numbers = range(0, 32, 4)
        watched = CAREFUL.watching_trace(task, clip, numbers, rng).trace
        if seen_in(clip, numbers) == clip.scene.signs[0]:
            assert watched.answer == task.answer
        else:
            assert "I see no sign." in watched.turns()[0]


def test_a_hasty_teacher_goes_by_the_colour() -> None:
    hasty = ClipTeacher(hasty_frac=1.0, look_again_frac=0.0, error_frames=0)
    right = 0
    for seed in range(60):
        clip = draw_clip(SETTINGS, seed=seed)
        trace = hasty.choosing_trace(_asked(clip), clip, random.Random(seed)).trace
        assert len(trace.steps) == 2
        right += f"I see the {clip.scene.signs[0].name}." in trace.turns()[-1]
    assert 15 <= right <= 45  # half of the twins are left of the asked sign


def test_a_world_is_written_and_read_and_its_traces_call_the_tool(tmp_path: Path) -> None:
    world = MadeClips(
        root=str(tmp_path / "w"),
        frames=Even(count=2, label="Frame {number}: "),
        num_train=2, num_val=1, num_test=1, num_traces=4, system="Point.",
    )  # fmt: skip
    world.prepare()
    world.prepare()  # the stamp is its own
    splits = world.load()
    sizes = [len(splits.train_tasks), len(splits.val_tasks), len(splits.test_tasks)]
    assert sizes == [2, 1, 1]
    task = splits.train_tasks[0]
    assert task.question.startswith("Frame 0: <image>\nFrame 31: <image>\nHow do the stripes")
    store = ImageStore(make_processor(), family=Qwen25VL())
    views = tuple(map(store.whole, task.images))
    assert [view.source for view in views] == [source_of(name) for name in task.images]
    (record, *_) = (*splits.train_traces, *splits.val_traces)
    assert record.system == "Point."
    call = record.trace.steps[0].tool_call
    assert call is not None
    seen = SelectFrames(most=2, view_px=112).call(call.arguments, scene=Scene(views))
    assert len(seen.views) == 2
    with pytest.raises(ConfigError, match=r"other settings \(seed\)"):
        MadeClips(**{**vars(world), "seed": 1}).prepare()
