"""Traces parse, encode and say what the picture shows; a teacher that is never hasty is always
right.
"""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from vigorl.core.errors import ConfigError
from vigorl.core.geometry import FrameMap, Size
from vigorl.core.media import FileImage, ImageView
from vigorl.core.protocols import Scene as Shown
from vigorl.core.records import TaskRecord, TraceRecord
from vigorl.core.trace import find_points, parse_trace
from vigorl.data.encoding import ChatCodec, encode_trace
from vigorl.data.images import ImageStore
from vigorl.data.prompts import Prompt
from vigorl.data.scenes.draw import Scene, SceneSettings, draw_scene
from vigorl.data.scenes.questions import ask_attribute, ask_comparison
from vigorl.data.scenes.teacher import ScriptedTeacher, TeacherSettings, pointing_trace
from vigorl.rollout.tools.zoom_point import ZoomPoint

SMALL = SceneSettings(num_clutter=0, num_occluders=0)
TOOL = ZoomPoint(window_px=112, view_px=112)
NUM_SCENES = 150


def _view(path: str = "a.png") -> ImageView:
    return ImageView(FileImage(path), Size(448, 448), Size(112, 112))


@pytest.fixture(scope="module")
def asked() -> list[tuple[TaskRecord, Scene]]:
    """Half of them comparisons."""
    pairs = []
    for seed in range(NUM_SCENES):
        scene = draw_scene(SMALL, seed=seed)
        compared = ask_comparison(scene, id=str(seed), image="a.png")
        simple = ask_attribute(scene, id=str(seed), image="a.png")
        pairs.append((compared if seed % 2 else simple, scene))
    return pairs


def _traces(
    asked: list[tuple[TaskRecord, Scene]], **settings: float
) -> list[tuple[TaskRecord, TraceRecord]]:
    teacher = ScriptedTeacher(TeacherSettings(**settings), tool=TOOL)  # pyright: ignore
    return [
        (task, teacher.zoom_trace(task, scene, _view(), random.Random(i)))
        for i, (task, scene) in enumerate(asked)
    ]


def _share_right(traces: list[tuple[TaskRecord, TraceRecord]]) -> float:
    return sum(trace.trace.answer == task.answer for task, trace in traces) / len(traces)


def test_a_teacher_that_is_never_hasty_is_always_right(
    asked: list[tuple[TaskRecord, Scene]],
) -> None:
    traces = _traces(asked, hasty_frac=0.0, look_at_second_frac=1.0)
    assert _share_right(traces) == 1.0
    for task, trace in traces:
        num_looks = 2 if task.category == "comparison" else 1
        assert len(trace.trace.steps) == num_looks + 1


def test_the_hasty_teacher_is_often_wrong_and_better_than_guessing(
    asked: list[tuple[TaskRecord, Scene]],
) -> None:
    assert 0.3 < _share_right(_traces(asked)) < 0.7


def test_haste_goes_to_the_leftmost_sign_of_the_colour(
    asked: list[tuple[TaskRecord, Scene]],
) -> None:
    traces = _traces(asked, hasty_frac=1.0, look_again_frac=0.0, look_at_second_frac=0.0)
    num_misled = 0
    for (task, scene), (_, record) in zip(asked, traces, strict=True):
        leftmost = min(
            (s for s in scene.signs if s.colour == scene.signs[0].colour), key=lambda s: s.center.x
        )
        (call,) = [step.tool_call for step in record.trace.steps if step.tool_call]
        window = TOOL.call(call.arguments, scene=Shown((_view(),))).views[0].box
        assert window is not None
        assert window.covers(leftmost.panel), task.id
        num_misled += leftmost != scene.signs[0]
    assert num_misled > NUM_SCENES / 4


def test_looking_again_mends_haste(asked: list[tuple[TaskRecord, Scene]]) -> None:
    never = _share_right(_traces(asked, look_again_frac=0.0))
    always = _share_right(_traces(asked, look_again_frac=1.0))
    assert always > never + 0.1
    assert _share_right(_traces(asked, look_again_frac=1.0, look_at_second_frac=1.0)) == 1.0


@pytest.mark.parametrize("max_looks", [1, 2, 3])
def test_it_looks_at_a_sign_at_most_max_looks_times(
    asked: list[tuple[TaskRecord, Scene]], max_looks: int
) -> None:
    everywhere = {"look_again_frac": 1.0, "look_at_second_frac": 1.0, "error_px": 200}
    for task, trace in _traces(asked, max_looks=max_looks, **everywhere):
        num_signs = 2 if task.category == "comparison" else 1
        assert num_signs <= len(trace.trace.steps) - 1 <= num_signs * max_looks


def test_every_zoom_trace_survives_the_grammar(asked: list[tuple[TaskRecord, Scene]]) -> None:
    for _, record in _traces(asked):
        assert parse_trace(record.trace.turns()) == record.trace
        assert record.frame == Size(112, 112)


def test_every_look_points_where_it_zooms_with_two_digits(
    asked: list[tuple[TaskRecord, Scene]],
) -> None:
    for _, record in _traces(asked, error_px=300):
        for step in record.trace.steps[:-1]:
            (point,) = find_points(step.think)
            assert step.tool_call is not None
            assert step.tool_call.arguments == {"coordinate": [point.x, point.y]}
            assert 10 <= point.x <= 99
            assert 10 <= point.y <= 99


def test_what_it_tells_is_what_the_zoom_shows(asked: list[tuple[TaskRecord, Scene]]) -> None:
    for (_, scene), (_, record) in zip(asked, _traces(asked), strict=True):
        for step, following in zip(record.trace.steps, record.trace.steps[1:], strict=False):
            assert step.tool_call is not None
            window = TOOL.call(step.tool_call.arguments, scene=Shown((_view(),))).views[0].box
            assert window is not None
            shown = [sign for sign in scene.signs if window.covers(sign.panel)]
            told = following.think.split(" The ")[0]
            if shown:
                sentences = {f"I see the {s.name}. Its stripes are {s.stripes}." for s in shown}
                assert any(following.think.startswith(sentence) for sentence in sentences), told
            else:
                assert following.think.startswith("I see no sign.")


def test_zoom_traces_encode_as_rollouts_would(
    asked: list[tuple[TaskRecord, Scene]], codec: ChatCodec, store: ImageStore, tmp_path: Path
) -> None:
    path = tmp_path / "a.png"
    asked[0][1].image.save(path)
    teacher = ScriptedTeacher(TeacherSettings(), tool=TOOL)
    for i, (task, scene) in enumerate(asked[:20]):
        record = teacher.zoom_trace(task, scene, _view(), random.Random(i))
        here = TaskRecord(task.id, task.question, task.answer, (str(path),), options=task.options)
        sample = encode_trace(
            TraceRecord(here, record.trace, record.frame),
            prompt=Prompt("Point, zoom, then answer."),
            codec=codec,
            images=store,
            tools={TOOL.name: TOOL},
        )
        assert len(sample.views) == len(record.trace.steps)  # the picture and a crop per look
        learnt = [t for t, m in zip(sample.token_ids, sample.loss_mask, strict=True) if m]
        texts = codec.decode(learnt)
        assert texts == "".join(record.trace.turns())
        assert learnt.count(codec.end_id) == len(record.trace.steps)


def test_the_same_generator_gives_the_same_trace(asked: list[tuple[TaskRecord, Scene]]) -> None:
    assert _traces(asked[:5]) == _traces(asked[:5])


@pytest.mark.parametrize("grounded", [True, False])
def test_a_single_look_answers_at_once_and_guesses(
    asked: list[tuple[TaskRecord, Scene]], grounded: bool
) -> None:
    teacher = ScriptedTeacher(TeacherSettings(), tool=TOOL)
    num_right = 0
    for i, (task, scene) in enumerate(asked):
        record = teacher.single_look_trace(
            task, scene, _view(), random.Random(i), grounded=grounded
        )
        num_signs = 2 if task.category == "comparison" else 1
        assert len(record.trace.steps) == 1
        assert len(find_points(record.trace.steps[0].think)) == (num_signs if grounded else 0)
        assert parse_trace(record.trace.turns()) == record.trace
        assert task.options.count(record.trace.answer) == 1
        num_right += record.trace.answer == task.answer
    # guessing: 1/4 for attributes, 1/16 for the comparisons that are half of them
    assert 0.05 < num_right / len(asked) < 0.3


def test_a_pointing_trace_says_where_every_sign_is() -> None:
    scene = draw_scene(SMALL, seed=4)
    record = pointing_trace(scene, _view(), random.Random(0), id="p")
    to_view = FrameMap(Size(448, 448), Size(112, 112))
    think = record.trace.steps[0].think
    for sign in scene.signs:
        pixel = to_view.pixel(sign.center)
        assert f"The {sign.name} is at ({pixel.x}, {pixel.y})." in think
    assert len(find_points(think)) == 5
    assert record.trace.answer == "5"
    assert record.task.category == "pointing"


@pytest.mark.parametrize(
    "settings",
    [{"error_px": -1}, {"look_again_frac": -0.1}, {"max_looks": 0}, {"hasty_frac": 1.5}],
)
def test_settings_out_of_range_name_their_key(settings: dict[str, float]) -> None:
    with pytest.raises(ConfigError, match=next(iter(settings))):
        TeacherSettings(**settings)  # pyright: ignore
