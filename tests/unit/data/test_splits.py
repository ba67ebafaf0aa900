"""What is trained on is neither watched nor judged on, whatever the source."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from tests.builders import task
from vigorl.core.errors import ConfigError, DataError
from vigorl.core.records import TraceRecord
from vigorl.core.trace import Step, Trace
from vigorl.data.datasets import picture_files
from vigorl.data.scenes.draw import SceneSettings
from vigorl.data.scenes.world import MadeWorld
from vigorl.data.sources.rl_jsonl import write_rl_jsonl
from vigorl.data.sources.screenspot import read_screenspot_v2
from vigorl.data.sources.sft_json import write_sft
from vigorl.data.sources.vstar_folder import read_vstar_folder, write_vstar_folder
from vigorl.data.sources.vstar_questions import read_vstar_questions
from vigorl.data.splits import (
    DataSource,
    DataSplits,
    QuestionFile,
    ReleasedFiles,
    VStarFolder,
    WithTraces,
)
from vigorl.rollout.tools.zoom_point import ZoomPoint

Picture = Callable[..., str]
CATEGORIES = ("direct_attributes", "relative_position")


def write_folder(root: Path, picture: Picture, *, num: int = 8) -> Path:
    """`num` questions on as many pictures, in V*Bench's layout."""
    tasks = [
        task(
            id=f"{CATEGORIES[i % 2]}/p{i}",
            images=(picture(f"made/p{i}.png"),),
            category=CATEGORIES[i % 2],
        )
        for i in range(num)
    ]
    write_vstar_folder(tasks, root)
    return root


def vstar_folder(root: Path, picture: Picture) -> DataSource:
    return VStarFolder(root=str(write_folder(root / "vstar", picture)))


def vstar_questions(root: Path, picture: Picture) -> DataSource:
    rows = [
        {"image": Path(picture(f"q{i // 2}.png")).name, "text": "What?\n(A) red\n(B) blue",
         "label": "A", "question_id": i}
        for i in range(16)
    ]  # fmt: skip
    path = root / "test_questions.jsonl"
    path.write_text("\n".join(map(json.dumps, rows)))
    return QuestionFile(file=str(path), read=read_vstar_questions)


def screenspot(root: Path, picture: Picture) -> DataSource:
    rows = [
        {"img_filename": Path(picture(f"images/s{i // 2}.png")).name, "bbox": [10, 20, 30, 40],
         "instruction": "log in"}
        for i in range(16)
    ]  # fmt: skip
    (root / "s.json").write_text(json.dumps(rows))
    return QuestionFile(file=str(root / "s.json"), read=read_screenspot_v2)


def released_files(root: Path, picture: Picture, *, with_val: bool = True) -> DataSource:
    """Pictures 0-5 are trained on, 4-7 validated on, 6 and 7 and 0 are the benchmark, 1-9 have
    traces.
    """
    tasks = [task(id=f"t{i}", images=(picture(f"t{i}.png"),)) for i in range(10)]
    write_rl_jsonl(tasks[:6], root / "train.jsonl")
    write_rl_jsonl(tasks[4:8], root / "val.jsonl")
    traces = [TraceRecord(one, Trace((Step("It is red."),), "red")) for one in tasks[1:]]
    write_sft(traces, root / "traces.jsonl")
    return ReleasedFiles(
        train_tasks=str(root / "train.jsonl"),
        val_tasks=str(root / "val.jsonl") if with_val else None,
        traces=str(root / "traces.jsonl"),
        test=lambda: [tasks[i] for i in (6, 7, 0)],
        holdout_frac=0.3,
    )


def with_traces(root: Path, picture: Picture) -> DataSource:
    """The same, with the traces of a file of its own."""
    base = released_files(root, picture)
    return WithTraces(base=base, path=str(root / "traces.jsonl"), holdout_frac=0.3)


def made_world(root: Path, picture: Picture) -> DataSource:
    return MadeWorld(
        root=str(root / "world"),
        scene=SceneSettings(side_px=448),
        num_train=3,
        num_val=2,
        num_test=2,
        num_traces=4,
        tool=ZoomPoint(window_px=112, view_px=112),
    )


SOURCES = {
    "vstar_folder": vstar_folder,
    "vstar_questions": vstar_questions,
    "screenspot": screenspot,
    "released_files": released_files,
    "released_files_without_val": partial(released_files, with_val=False),
    "with_traces": with_traces,
    "made_world": made_world,
}


@pytest.mark.parametrize("name", SOURCES)
def test_no_picture_is_in_two_splits(name: str, tmp_path: Path, picture: Picture) -> None:
    source = SOURCES[name](tmp_path, picture)
    source.prepare()
    splits = source.load()
    train = picture_files(splits.train_tasks) | picture_files(splits.train_traces)
    val = picture_files(splits.val_tasks) | picture_files(splits.val_traces)
    test = picture_files(splits.test_tasks)
    assert train
    assert val
    assert test
    assert not train & val
    assert not train & test
    assert not val & test


def test_splits_that_share_a_picture_are_refused() -> None:
    here, there = task(images=("d/a.png",)), task(images=("d/e/../a.png",))
    for names in (("train", "val"), ("train", "test"), ("val", "test")):
        one, other = (f"{name}_tasks" for name in names)
        with pytest.raises(DataError, match=rf"d/a\.png: 1 .* in {names[0]} and {names[1]}"):
            DataSplits(**{one: [here], other: [there]})
    trace = TraceRecord(here, Trace((Step("x"),), "y"))
    with pytest.raises(DataError, match="train and val"):
        DataSplits(train_traces=[trace], val_tasks=[there])
    DataSplits(train_traces=[trace], train_tasks=[here])  # both are learned from


def test_a_folder_keeps_a_quarter_for_the_end(tmp_path: Path, picture: Picture) -> None:
    splits = vstar_folder(tmp_path, picture).load()
    counts = [len(t) for t in (splits.train_tasks, splits.val_tasks, splits.test_tasks)]
    assert counts == [4, 2, 2]  # of 8, a picture each


def test_a_benchmark_is_all_test(tmp_path: Path, picture: Picture) -> None:
    root = write_folder(tmp_path / "vstar", picture)
    splits = VStarFolder(root=str(root), as_benchmark=True).load()
    assert splits == DataSplits(test_tasks=read_vstar_folder(root))
    assert len(splits.test_tasks) == 8


def test_too_few_pictures_say_what_to_set(tmp_path: Path, picture: Picture) -> None:
    root = str(write_folder(tmp_path / "vstar", picture, num=2))
    with pytest.raises(DataError, match=r"data\.as_benchmark=true .* data\.val_frac=0"):
        VStarFolder(root=root).load()
    assert len(VStarFolder(root=root, val_frac=0, test_frac=0).load().train_tasks) == 2
    with pytest.raises(ConfigError, match="leave nothing to train on"):
        VStarFolder(root=root, val_frac=0.5, test_frac=0.5).load()


def test_what_is_left_out_of_released_files(
    tmp_path: Path, picture: Picture, caplog: pytest.LogCaptureFixture
) -> None:
    splits = released_files(tmp_path, picture).load()
    assert [one.id for one in splits.test_tasks] == ["t6", "t7", "t0"]
    assert [one.id for one in splits.val_tasks] == ["t4", "t5"]
    # traces on 1, 2, 3, 8 and 9 are left; the held-out one of them is no picture to train on
    held_out = {one.task.id for one in splits.val_traces}
    assert len(held_out) == 1
    assert {one.task.id for one in splits.train_traces} == {"t1", "t2", "t3", "t8", "t9"} - held_out
    assert {one.id for one in splits.train_tasks} == {"t1", "t2", "t3"} - held_out
    assert "data.train_tasks: 1 of 6 records left out" in caplog.text
    assert "data.val_tasks: 2 of 4 records left out" in caplog.text


def test_training_on_nothing_but_the_benchmark_is_an_error(
    tmp_path: Path, picture: Picture
) -> None:
    tasks = [task(id=f"t{i}", images=(picture(f"t{i}.png"),)) for i in range(2)]
    write_rl_jsonl(tasks, tmp_path / "train.jsonl")
    source = ReleasedFiles(train_tasks=str(tmp_path / "train.jsonl"), test=lambda: tasks)
    with pytest.raises(DataError, match=r"all pictures of data\.train_tasks are in test"):
        source.load()


def test_real_samples(real_data: Path, tmp_path: Path) -> None:
    screens = QuestionFile(
        file=str(real_data / "screenspot_mini" / "screenspot_web_v2.json"),
        read=read_screenspot_v2,
        as_benchmark=True,
    ).load()
    assert len(screens.test_tasks) == 5
    row = {"image": "direct_attributes/ambulance_man.jpg", "label": "B",
           "text": "What?\n(A) red\n(B) blue", "category": "direct_attributes"}  # fmt: skip
    (tmp_path / "test_questions.jsonl").write_text(json.dumps(row))
    (question,) = (
        QuestionFile(
            file=str(tmp_path / "test_questions.jsonl"),
            read=read_vstar_questions,
            image_root=str(real_data / "vstar_mini"),
            as_benchmark=True,
        )
        .load()
        .test_tasks
    )
    assert question.answer == "blue"
    folder = VStarFolder(root=str(real_data / "vstar_mini"), val_frac=0, seed=4).load()
    counts = [len(t) for t in (folder.train_tasks, folder.val_tasks, folder.test_tasks)]
    assert counts == [4, 0, 1]
    with pytest.raises(DataError, match="too few pictures"):  # four of its five files are copies
        VStarFolder(root=str(real_data / "vstar_mini")).load()


def test_a_trace_file_is_asked_for_before_anything_is_made(
    tmp_path: Path, picture: Picture
) -> None:
    source = WithTraces(base=released_files(tmp_path, picture), path=str(tmp_path / "not.jsonl"))
    with pytest.raises(ConfigError, match=r"data\.path"):
        source.prepare()


def test_traces_of_nothing_but_validation_pictures_are_an_error(
    tmp_path: Path, picture: Picture
) -> None:
    base = released_files(tmp_path, picture)
    held_out = [TraceRecord(one, Trace((Step("It is red."),), "red"))
                for one in base.load().val_tasks]  # fmt: skip
    write_sft(held_out, tmp_path / "held_out.jsonl")
    with pytest.raises(DataError, match=r"data\.path are in val or test"):
        WithTraces(base=base, path=str(tmp_path / "held_out.jsonl")).load()


@pytest.mark.parametrize("is_linked", ["folder", "files"])
def test_traces_that_go_around_a_symlink_leak_no_held_out_picture(
    tmp_path: Path, picture: Picture, is_linked: str
) -> None:
    """Questions name a picture by the way the user gave, written chains by where it really lies."""
    real, given = write_folder(tmp_path / "bigdisk", picture), tmp_path / "data"
    if is_linked == "folder":
        given.symlink_to(real)
    for file in real.rglob("*.*") if is_linked == "files" else ():
        link = given / file.relative_to(real)
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to(file)
    base = VStarFolder(root=str(given))
    traces = [TraceRecord(one, Trace((Step("It is red."),), "red"))
              for one in read_vstar_folder(given)]  # fmt: skip
    write_sft(traces, tmp_path / "chains.jsonl")
    splits = WithTraces(base=base, path=str(tmp_path / "chains.jsonl"), holdout_frac=0.3).load()
    learned = {Path(trace.task.images[0]).resolve() for trace in splits.train_traces}
    held_out = {Path(one.images[0]).resolve() for one in (*splits.val_tasks, *splits.test_tasks)}
    assert not learned & held_out
    assert len(splits.train_traces) + len(splits.val_traces) == 4  # of 8; 2 val, 2 test


def test_splits_that_share_a_picture_through_a_symlink_are_refused(
    tmp_path: Path, picture: Picture
) -> None:
    real = picture("bigdisk/a.png")
    (tmp_path / "data").symlink_to("bigdisk")
    linked = task(images=(str(tmp_path / "data" / "a.png"),))
    with pytest.raises(DataError, match=r"bigdisk/a\.png: 1 pictures are in train and test"):
        DataSplits(train_tasks=[task(images=(real,))], test_tasks=[linked])


def test_traces_of_a_single_picture_say_what_to_set(tmp_path: Path, picture: Picture) -> None:
    base = VStarFolder(root=str(write_folder(tmp_path / "vstar", picture)))
    asked = task(images=(picture("alone.png"),))
    solved = [TraceRecord(asked, Trace((Step("It is red."),), "red"))] * 3
    path = tmp_path / "chains.jsonl"
    write_sft(solved, path)
    with pytest.raises(
        DataError, match=r"data\.path: 3 records share 1 .* data\.holdout_frac=0 trains on all"
    ):
        WithTraces(base=base, path=str(path)).load()
    assert len(WithTraces(base=base, path=str(path), holdout_frac=0).load().train_traces) == 3
    with pytest.raises(DataError, match=r"data\.traces: 3 records .* data\.holdout_frac=0"):
        ReleasedFiles(traces=str(path)).load()


def test_a_copy_of_a_picture_of_the_benchmark_is_not_trained_on(
    tmp_path: Path, picture: Picture
) -> None:
    """Byte for byte, under another name: of six training pictures one is the benchmark's."""
    bench = task(id="b", images=(picture("bench/x.png"),))
    mine = [task(id=str(i), images=(picture(f"mine/{i}.png"),)) for i in range(6)]
    shutil.copyfile(bench.images[0], mine[2].images[0])
    write_rl_jsonl(mine, tmp_path / "train.jsonl")
    with pytest.raises(DataError, match=r"1 pictures are in train and test.*byte for byte"):
        DataSplits(train_tasks=mine, test_tasks=[bench])
    splits = ReleasedFiles(
        train_tasks=str(tmp_path / "train.jsonl"), test=lambda: [bench], holdout_frac=0.2
    ).load()
    assert len(splits.train_tasks) + len(splits.val_tasks) == 5
    assert "2" not in {one.id for one in (*splits.train_tasks, *splits.val_tasks)}
