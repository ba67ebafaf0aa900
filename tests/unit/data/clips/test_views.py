"""Made views: which camera shows what, and what the teacher says of it."""

from __future__ import annotations

import random
from pathlib import Path

import numpy as np
import pytest

from vigorl.core.errors import ConfigError
from vigorl.core.geometry import Point, Size
from vigorl.core.media import ImageView, VideoFrame, source_of
from vigorl.core.protocols import Scene
from vigorl.data.clips.teacher import ClipTeacher
from vigorl.data.clips.views import (
    MadeViews,
    ViewSettings,
    ask_views,
    draw_views,
    nearest_camera,
    place_of,
)
from vigorl.data.frames import ByIndex
from vigorl.data.scenes.draw import SceneSettings
from vigorl.data.video import read_frame
from vigorl.rollout.tools.select_frames import SelectFrames

SETTINGS = ViewSettings(scene=SceneSettings(num_clutter=0))
CALL = {"tool": "choose_camera", "argument": "cameras", "frames": 1, "error_frames": 0}
CAREFUL = ClipTeacher(hasty_frac=0.0, look_again_frac=1.0, **CALL)  # pyright: ignore
TOOL = SelectFrames(by="cameras", most=1, name="choose_camera", label="Camera {number}: ")


def test_cameras_are_counted_row_by_row_from_one() -> None:
    assert place_of(SETTINGS, 1) == Point(56, 56)  # cells of 448 / 4 = 112
    assert place_of(SETTINGS, 6) == Point(168, 168)
    asked = (Point(0, 0), Point(447, 447), Point(120, 230))
    assert [nearest_camera(SETTINGS, point) for point in asked] == [1, 16, 10]


def test_every_sign_has_a_camera_whatever_is_blocked() -> None:
    for blocked, seeds in ((1.0, range(8)), (0.25, range(8))):
        for seed in seeds:
            views = draw_views(ViewSettings(blocked_frac=blocked, scene=SETTINGS.scene), seed=seed)
            assert set(views.seen) - {None} == set(views.scene.signs)
            if blocked == 1.0:
                assert views.seen.count(None) == 16 - len(views.scene.signs)


def test_a_careful_teacher_looks_again_and_is_right() -> None:
    looks = []
    for seed in range(12):
        views, rng = draw_views(SETTINGS, seed=seed), random.Random(seed)
        task = ask_views(views, id="a", path="a.views")
        trace = CAREFUL.choosing_trace(task, views, rng).trace
        assert trace.answer == task.answer
        call = trace.steps[-2].tool_call
        assert call is not None
        (last,) = call.arguments["cameras"]  # pyright: ignore
        assert str(last) in task.tags["cameras"].split()
        looks.append(len(trace.steps) - 1)
    assert set(looks) == {1, 2}


def test_more_signs_than_cameras_are_refused() -> None:
    with pytest.raises(ConfigError, match="4 cameras cannot show 5 signs"):
        ViewSettings(grid=2)


def test_a_world_is_written_and_its_cameras_can_be_chosen(tmp_path: Path) -> None:
    world = MadeViews(
        root=str(tmp_path / "w"),
        frames=ByIndex(indices=[0, 3], label="Camera {number}: "),
        views=SETTINGS,
        num_train=1, num_val=1, num_test=1, num_traces=3,
        teacher=CAREFUL,
    )  # fmt: skip
    world.prepare()
    world.prepare()  # the stamp is its own
    splits = world.load()
    task = splits.train_tasks[0]
    assert task.question.startswith("Camera 0: <image>\nCamera 3: <image>\nHow do the stripes")
    shown = source_of(task.images[0])
    assert isinstance(shown, VideoFrame)
    view = ImageView(shown, Size(112, 112), Size(112, 112))
    camera = int(task.tags["cameras"].split()[0])
    reply = TOOL.call({"cameras": [camera]}, scene=Scene((view,)))
    assert reply.parts[0] == f"Camera {camera}: "
    drawn = world.drawn(10_000_000)  # the first of the split "train"
    found = read_frame(shown.path, float(camera))
    assert np.array_equal(np.asarray(found), np.asarray(drawn.pictures()[camera]))
    with pytest.raises(ConfigError, match=r"other settings \(seed\)"):
        MadeViews(**{**vars(world), "seed": 1}).prepare()
