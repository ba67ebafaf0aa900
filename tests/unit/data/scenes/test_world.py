"""The world is written once, read back by the real readers, and never silently another one."""

from __future__ import annotations

import json
import shutil
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest
from PIL import Image

from vigorl.core.errors import ConfigError, DataError
from vigorl.core.geometry import Size
from vigorl.data.answers import TraceFile
from vigorl.data.images import read_size
from vigorl.data.scenes.draw import SceneSettings, draw_scene
from vigorl.data.scenes.planted import PlantedWorld
from vigorl.data.scenes.questions import CATEGORIES, asked_signs
from vigorl.data.scenes.taught import TaughtWorld
from vigorl.data.scenes.teacher import TeacherSettings
from vigorl.data.scenes.variants.boxes import Boxes
from vigorl.data.scenes.world import MadeWorld, TraceMix, read_signs
from vigorl.data.sources.sft_json import write_sft
from vigorl.data.splits import DataSplits
from vigorl.rollout.tools.zoom_box import ZoomBox
from vigorl.rollout.tools.zoom_point import ZoomPoint

NUM_TRAIN, NUM_VAL, NUM_TEST, NUM_TRACES = 8, 4, 6, 20


def _world(root: Path, **settings: object) -> MadeWorld:
    fields: dict[str, object] = {
        "num_train": NUM_TRAIN,
        "num_val": NUM_VAL,
        "num_test": NUM_TEST,
        "num_traces": NUM_TRACES,
        "tool": ZoomPoint(window_px=112, view_px=112),
        "mix": TraceMix(zoom_system="Z", single_look_system="S", ungrounded_system="U"),
        "scene": SceneSettings(num_clutter=5),
    }
    return MadeWorld(root=str(root), **(fields | settings))  # pyright: ignore[reportArgumentType]


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> MadeWorld:
    made = _world(tmp_path_factory.mktemp("world") / "nested" / "root")
    made.prepare()
    return made


@pytest.fixture(scope="module")
def splits(world: MadeWorld) -> DataSplits:
    return world.load()


def test_its_teacher_solves_the_training_questions(
    world: MadeWorld, splits: DataSplits, tmp_path: Path
) -> None:
    diligent = TeacherSettings(hasty_frac=0.0, look_again_frac=1.0, look_at_second_frac=1.0)
    assert world.tool is not None
    answers = TaughtWorld(world=world, tool=world.tool, teacher=diligent)
    answers.check(splits.train_tasks)
    for task in splits.train_tasks:
        found = answers.of(task)
        assert (found.task, found.system) == (task, None)
        assert task.score(found.trace.answer) == 1.0
        assert found == answers.of(task)
    with pytest.raises(DataError, match="no training question of the made world"):
        answers.check(splits.val_tasks)
    with pytest.raises(ConfigError, match="set answers=file"):
        TaughtWorld(world="other", tool=world.tool)  # pyright: ignore[reportArgumentType]

    path = tmp_path / "solved.jsonl"
    write_sft([answers.of(task) for task in splits.train_tasks[:2]], path)
    of_file = TraceFile(path=str(path))
    assert of_file.of(splits.train_tasks[1]).trace == answers.of(splits.train_tasks[1]).trace
    with pytest.raises(DataError, match=r"no solution of 6 of 8 training questions, such as "):
        of_file.check(splits.train_tasks)


def test_errors_are_planted_and_named(world: MadeWorld, splits: DataSplits) -> None:
    assert world.tool is not None
    flaws = PlantedWorld(world=world, tool=world.tool, right_frac=0.3)
    overlaps, num_right = set[float](), 0
    for i, task in enumerate(splits.train_tasks):
        found, scene = flaws.of(task), world.train_scene(i)
        assert found == flaws.of(task)
        assert found.better != found.worse
        overlaps.add(found.overlap)
        seen = " ".join(step.think for step in found.solution.trace.steps)
        for sign in asked_signs(task, scene):
            is_named = f"The {sign.name} was not looked at." in found.better
            assert is_named == (f"I see the {sign.name}." not in seen)
        num_right += found.better == "Each sign was looked at."
    assert 0 < num_right < NUM_TRAIN
    assert overlaps <= {0.0, 0.5}
    with pytest.raises(ConfigError, match=r"pairs\.flaws\.right_frac must be in \[0, 1\], got 2"):
        replace(flaws, right_frac=2.0)
    with pytest.raises(ConfigError, match=r"pairs\.flaws knows the signs of the made world alone"):
        replace(flaws, world=replace(world, variant=Boxes()))


def test_an_error_is_planted_where_every_sign_is_asked_about(tmp_path: Path) -> None:
    two = SceneSettings(num_signs=2, num_clutter=0, num_occluders=0)
    world = _world(tmp_path, scene=two, comparison_frac=1.0, num_traces=0)
    assert world.tool is not None
    flaws = PlantedWorld(world=world, tool=world.tool, right_frac=0.0)
    world.prepare()
    for task in world.load().train_tasks:
        found = flaws.of(task)
        seen = " ".join(step.think for step in found.solution.trace.steps)
        assert seen.count("I see the") + found.better.count("was not looked at") == 2


def _stamps(root: Path) -> dict[str, int]:
    return {str(p): p.stat().st_mtime_ns for p in sorted(root.rglob("*")) if p.is_file()}


def test_runs_that_begin_together_draw_it_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn: list[Path] = []
    write = MadeWorld._write

    def slowly(self: MadeWorld, root: Path) -> None:
        drawn.append(root)
        time.sleep(0.05)  # the others arrive
        write(self, root)

    monkeypatch.setattr(MadeWorld, "_write", slowly)
    world = _world(tmp_path / "root", num_traces=0, num_train=1, num_val=1, num_test=1)
    with ThreadPoolExecutor(3) as pool:
        for done in [pool.submit(world.prepare) for _ in range(3)]:
            done.result()
    assert len(drawn) == 1


def test_every_split_has_its_records(splits: DataSplits) -> None:
    assert len(splits.train_tasks) == NUM_TRAIN
    assert len(splits.val_tasks) == NUM_VAL
    assert len(splits.test_tasks) == NUM_TEST
    # each scene of traces has two: one of the three kinds, and the pointing exercise
    assert len(splits.train_traces) + len(splits.val_traces) == 2 * NUM_TRACES
    assert len(splits.val_traces) == 2  # 5 % of 40


def test_tasks_survive_the_files(splits: DataSplits) -> None:
    for task in (*splits.train_tasks, *splits.val_tasks, *splits.test_tasks):
        assert task.category in CATEGORIES
        assert task.answer in task.options
        is_comparison = task.category == "comparison"
        assert len(task.options) == (16 if is_comparison else 4)
        assert len(task.targets) == (2 if is_comparison else 1)
        assert read_size(task.images[0]) == Size(448, 448)


def test_targets_frame_the_stripes_of_the_drawn_scene(world: MadeWorld, splits: DataSplits) -> None:
    for index, task in enumerate(splits.train_tasks):
        scene = draw_scene(world.scene, seed=world._scene_seed("train", index))
        assert task.targets[0].as_tuple() == scene.signs[0].panel.as_tuple()
        assert Image.open(task.images[0]).tobytes() == scene.image.tobytes()


def test_no_picture_stands_in_two_splits(splits: DataSplits) -> None:
    parts = [
        {Path(record.images[0]).read_bytes() for record in records}
        for records in (splits.train_tasks, splits.val_tasks, splits.test_tasks)
    ] + [
        {Path(record.task.images[0]).read_bytes() for record in records}
        for records in (splits.train_traces, splits.val_traces)
    ]
    assert sum(len(part) for part in parts) == len(set().union(*parts))


def test_no_seed_is_shared_by_splits_or_by_worlds_of_near_seeds() -> None:
    seeds = [
        MadeWorld(root="x", seed=seed)._scene_seed(split, index)
        for seed in (0, 1, 2)
        for split in ("train", "val", "test", "traces")
        for index in (0, 1, 9_999_999)
    ]
    assert len(set(seeds)) == len(seeds)


def test_traces_carry_the_system_prompt_of_their_kind(splits: DataSplits) -> None:
    kinds = {"Z": 0, "S": 0, "U": 0}
    for record in (*splits.train_traces, *splits.val_traces):
        assert record.system is not None
        kinds[record.system] += 1
        assert (len(record.trace.steps) > 1) == (record.system == "Z")
        has_points = any("(" in step.think for step in record.trace.steps)
        assert has_points == (record.system != "U")
        assert record.frame == Size(112, 112)
    assert kinds["S"] >= NUM_TRACES  # every pointing exercise is one
    assert kinds["Z"] > 0


def test_signs_say_what_is_drawn_where(world: MadeWorld) -> None:
    rows = read_signs(Path(world.root) / "train_signs.jsonl")
    assert len(rows) == NUM_TRACES
    for index, (path, signs) in enumerate(rows):
        assert Path(path).is_file()
        assert signs == draw_scene(world.scene, seed=world._scene_seed("traces", index)).signs


def test_the_same_settings_write_nothing_again(world: MadeWorld) -> None:
    before = _stamps(Path(world.root))
    _world(Path(world.root)).prepare()
    assert _stamps(Path(world.root)) == before


@pytest.mark.parametrize(
    ("changed", "named"),
    [
        ({"num_train": 9}, "num_train"),
        ({"seed": 1}, "seed"),
        ({"comparison_frac": 0.2}, "comparison_frac"),
        ({"scene": SceneSettings(num_clutter=6)}, "scene"),
        ({"teacher": TeacherSettings(max_looks=2)}, "teacher"),
        ({"num_traces": 0}, "num_traces"),
    ],
)
def test_other_settings_in_the_same_place_are_refused(
    world: MadeWorld, changed: dict[str, object], named: str
) -> None:
    before = _stamps(Path(world.root))
    with pytest.raises(ConfigError, match=rf"data\.root=.*\b{named}\b"):
        _world(Path(world.root), **changed).prepare()
    assert _stamps(Path(world.root)) == before


def test_a_stamp_tells_of_a_tool_what_is_not_its_default(tmp_path: Path) -> None:
    boxed = {"min_window_px": "112", "view_px": "112", "name": "zoom_box"}
    for more, told in (({}, {}), ({"grow": 1.5}, {"grow": "1.5"})):
        tool = ZoomBox(min_window_px=112, view_px=112, shown="Look", **more)
        found = _world(tmp_path, tool=tool)._stamp()["tool"]
        assert found == {**boxed, "shown": "Look", **told}


def test_a_world_cut_short_is_written_again(tmp_path: Path) -> None:
    made = _world(tmp_path, num_traces=0)
    made.prepare()
    (tmp_path / "world.json").unlink()  # written last: without it the rest cannot be trusted
    (tmp_path / "train_RL.jsonl").write_text("")
    made.prepare()
    assert len(made.load().train_tasks) == NUM_TRAIN


@pytest.mark.parametrize("content", [b"", b'{"num_train": 3', b"\x80", b"[]"])
def test_a_damaged_stamp_of_a_world_says_what_to_do(content: bytes, tmp_path: Path) -> None:
    made = _world(tmp_path, num_traces=0)
    (tmp_path / "world.json").write_bytes(content)
    with pytest.raises(ConfigError, match=r"world\.json is .* delete that folder"):
        made.prepare()


def test_lost_questions_of_a_world_are_counted(tmp_path: Path) -> None:
    made = _world(tmp_path, num_traces=0)
    made.prepare()
    shutil.rmtree(tmp_path / "val")
    with pytest.raises(DataError, match=r"0 of \d+ val questions are left: delete that folder"):
        made.load()


def test_without_traces_there_are_none(tmp_path: Path) -> None:
    made = _world(tmp_path, num_traces=0, tool=None)
    made.prepare()
    splits = made.load()
    assert (list(splits.train_traces), list(splits.val_traces)) == ([], [])
    assert not (tmp_path / "train_signs.jsonl").exists()


def test_traces_need_a_tool(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"data\.tool"):
        _world(tmp_path, tool=None).prepare()


@pytest.mark.parametrize(("frac", "category"), [(0.0, CATEGORIES[0]), (1.0, CATEGORIES[1])])
def test_one_kind_of_question_alone(tmp_path: Path, frac: float, category: str) -> None:
    made = _world(tmp_path, num_traces=0, comparison_frac=frac)
    made.prepare()
    splits = made.load()
    tasks = (*splits.train_tasks, *splits.val_tasks, *splits.test_tasks)
    assert {task.category for task in tasks} == {category}


def test_a_world_on_photographs(tmp_path: Path, photographs: list[str]) -> None:
    folder = str(Path(photographs[0]).parent)
    made = _world(tmp_path, num_traces=0, photographs=folder, num_train=2, num_val=0, num_test=0)
    made.prepare()
    assert len(made.load().train_tasks) == 2


def test_an_empty_folder_of_photographs_names_the_key(tmp_path: Path) -> None:
    (tmp_path / "none").mkdir()
    made = _world(tmp_path / "world", photographs=str(tmp_path / "none"))
    with pytest.raises(ConfigError, match=r"data\.photographs"):
        made.prepare()


@pytest.mark.parametrize(
    "line",
    ["not json", "[]", '{"image": "a.png"}', json.dumps({"image": "a.png", "signs": [["red"]]})],
)
def test_a_bad_line_of_signs_names_file_and_line(tmp_path: Path, line: str) -> None:
    good = json.dumps({"image": "a.png", "signs": [["red", "disc", "rising", 50, 60]]})
    path = tmp_path / "train_signs.jsonl"
    path.write_text(f"{good}\n{line}\n")
    with pytest.raises(DataError, match=r"train_signs\.jsonl:2: "):
        read_signs(path)


def test_a_missing_file_of_signs_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"data\.num_traces"):
        read_signs(tmp_path / "train_signs.jsonl")
