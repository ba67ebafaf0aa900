"""The benchmarks that are tables, on their samples in every stored form: each trap of a benchmark
by a row that has it.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.unit.evaluation.benchmarks.shipped import shipped
from vigorl.core.records import TaskRecord

SAMPLES = Path(__file__).resolve().parents[5] / "shared" / "data" / "benchmarks"


def read(name: str, root: Path, *settings: str) -> Sequence[TaskRecord]:
    tasks = shipped(name, root, *settings).load().test_tasks
    assert len({task.id for task in tasks}) == len(tasks)
    for task in tasks:
        assert task.is_right(task.answer)
        assert not task.is_right("nothing of the kind")
        assert [option for option in task.options if task.is_right(option)] in ([], [task.answer])
        for picture in task.images:
            assert Path(picture).is_file()
    return tasks


@pytest.fixture
def sample(tmp_path: Path, request: pytest.FixtureRequest) -> Path:
    """A folder like that of a sample, of links, which takes pictures."""
    found = SAMPLES / request.param
    if not found.is_dir():
        pytest.skip(f"no real sample data beside this checkout: {found}")
    root = tmp_path / "root"
    shutil.copytree(found, root, copy_function=os.symlink)
    return root


def of(name: str) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("sample", [name], indirect=True)


@of("vstar")
@pytest.mark.parametrize("form", ["questions", "parquet", "tsv"])  # the folders have other options
def test_vstar_has_forms_of_other_kits(sample: Path, form: str):
    tasks = read("vstar", sample, f"data.form={form}")
    bag = next(task for task in tasks if task.category == "direct_attributes")
    assert (bag.question, bag.answer) == ("What is the color of the bag?", "red")
    assert set(bag.options) == {"blue", "red", "green", "yellow"}
    if form == "tsv":  # the second row says "0": the picture of the first
        assert tasks[0].images == tasks[1].images
        assert tasks[1].options == ("left", "right")


@of("ai2d")
@pytest.mark.parametrize("form", ["parquet", "tsv"])
def test_ai2d_has_letters_of_the_diagram_for_options(sample: Path, form: str):
    (task,) = read("ai2d", sample, f"data.form={form}")
    assert (task.options, task.answer) == (("A", "B", "the moon", "none"), "B")
    assert task.is_right("B")
    assert not task.is_right("C")  # a letter is what stands in the diagram


@of("realworldqa")
def test_realworldqa_has_options_in_the_question_or_is_open(sample: Path):
    with_options, is_open = read("realworldqa", sample)
    assert with_options.question == "In which direction is the car from the traffic light?"
    assert (with_options.options, with_options.answer) == (("left", "right", "same place"), "right")
    assert (is_open.question, is_open.options) == ("How many traffic lights are there?", ())
    assert [is_open.is_right(said) for said in ("1", "one", "One.", "11")] == [True] * 3 + [False]
    assert [with_options.category, is_open.category] == ["options", "open"]
    first, second = read("realworldqa", sample, "data.form=tsv")
    assert (first.answer, second.answer, second.options) == ("right", "1", ("1", "2", "3"))


@of("cv_bench")
@pytest.mark.parametrize("form", ["parquet", "jsonl"])
def test_cv_bench_has_brackets_and_sources(sample: Path, form: str):
    if form == "jsonl":
        for name in ("2D/count/ade20k_made.png", "3D/depth/omni3d_made.png"):
            (sample / "img" / name).parent.mkdir(parents=True)
            shutil.copyfile(
                SAMPLES / "reasonmap/maps/madeland/madeville.png", sample / "img" / name
            )
    count, depth = read("cv_bench", sample, f"data.form={form}")
    assert (count.id, count.category, count.answer) == ("2D/1", "Count", "3")
    assert (depth.tags["source"], depth.answer) == ("Omni3D", "cabinet")
    assert count.is_right("C")


@of("hrbench")
def test_hrbench_has_four_orders_that_are_one_question(sample: Path):
    tasks = read("hrbench_4k", sample)
    assert len(tasks) == 8
    assert len({task.cluster for task in tasks}) == 2
    assert [task.tags["order"] for task in tasks] == ["0", "1", "2", "3"] * 2
    assert {task.answer for task in tasks[:4]} == {"27"}
    assert [task.options.index("27") for task in tasks[:4]] == [0, 1, 2, 3]
    (sample / "hr_bench_4k.tsv").rename(sample / "hr_bench_8k.tsv")
    assert len(read("hrbench_8k", sample)) == 8


@of("mme_realworld")
@pytest.mark.parametrize(
    "settings",
    [[], ["data.form=tsv"], ["data.form=json", "data.forms.json.files=MME_RealWorld.made.json"]],
    ids=["parquet", "tsv", "json"],
)
def test_mme_realworld_has_three_forms_and_five_options(sample: Path, settings: list[str]):
    (task,) = read("mme_realworld_lite", sample, *settings)
    assert task.options[0] == "27"
    assert len(task.options) == 5
    assert (task.answer, task.category) == ("27", "Perception/OCR with Complex Context")
    assert task.tags == {"subtask": "license", "task": "Perception"}
    assert not task.is_right("E")


@of("mmvp")
def test_mmvp_has_pairs(sample: Path):
    first, second = read("mmvp", sample)
    assert (first.options, first.answer, second.answer) == (("Left", "Right"), "Right", "Left")
    assert first.cluster == second.cluster
    assert Path(first.images[0]).parts[-2:] == ("MMVP Images", "1.jpg")


@of("zoombench")
def test_zoombench_asks_of_the_whole_picture_and_of_the_crop(sample: Path):
    full, crop, alone = read("zoombench", sample)
    assert [task.tags["view"] for task in (full, crop, alone)] == ["full", "crop", "full"]
    assert [task.tags["paired"] for task in (full, crop, alone)] == ["full", "crop", "alone"]
    assert full.cluster == crop.cluster
    assert full.images != crop.images
    assert (full.question, full.options[0]) == ("What is the number on the red sign?", "27")
    assert (alone.options, alone.is_right("one")) == ((), True)
    for folder in ("images", "crops"):
        (sample / folder).mkdir()
        shutil.copyfile(
            SAMPLES / "vstar/direct_attributes/sa_made_0.jpg", sample / folder / "0.jpg"
        )
    full, crop = read("zoombench", sample, "data.form=json")
    assert (full.question, crop.answer) == ("What is the number on the red sign?", "27")


@of("visualprobe")
@pytest.mark.parametrize("name", ["hard", "medium", "easy"])
def test_visualprobe_is_open(sample: Path, name: str):
    (task,) = read(f"visualprobe_{name}", sample)
    assert (task.id, task.options, task.answer) == ("visual_probe_hard_0", (), "27")
    assert [task.is_right(said) for said in ("27.", "127", "2 7")] == [True, False, False]


@of("reasonmap")
def test_reasonmap_plus_says_by_type_what_a_number_stands_for(sample: Path):
    count, is_on = read("reasonmap_plus", sample)
    assert [count.is_right(said) for said in ("5", "five", "5 stops", "15")] == [True] * 3 + [False]
    assert [is_on.is_right(said) for said in ("no", "No.", "yes", "0")] == [True] * 2 + [False] * 2
    assert count.cluster == is_on.cluster == "madeville"
    assert count.tags == {"difficulty": "easy", "country": "madeland"}
    (sample / "maps").rename(sample.parent / "maps")
    other = read("reasonmap_plus", sample, f"data.image_root={sample.parent}")
    assert Path(other[0].images[0]).is_relative_to(sample.parent / "maps")
