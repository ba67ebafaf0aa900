"""What is wrong or odd in the files of benchmarks that are tables, by small files that have it."""

from __future__ import annotations

import base64
import io
import json
import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hydra.errors import InstantiationException
from PIL import Image

from tests.unit.evaluation.benchmarks.shipped import shipped
from vigorl.core.errors import DataError
from vigorl.core.records import TaskRecord
from vigorl.evaluation.report import QuestionOutcome


def picture(colour: str = "red") -> bytes:
    held = io.BytesIO()
    Image.new("RGB", (30, 20), colour).save(held, "PNG")
    return held.getvalue()


RED, BLUE = (base64.b64encode(picture(colour)).decode() for colour in ("red", "blue"))


def tsv(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    cells = [rows[0], *(row.values() for row in rows)]
    path.write_text("".join("\t".join(map(str, row)) + "\n" for row in cells))


def answered(tasks: Sequence[TaskRecord], *, right: Sequence[bool]) -> list[QuestionOutcome]:
    return [
        QuestionOutcome(
            task.id, task.category, task.answer, ("x",), (float(is_right),),
            cluster=task.cluster, tags=task.tags,
        )
        for task, is_right in zip(tasks, right, strict=True)
    ]  # fmt: skip


def orders(question: str, image: str, first: int) -> list[dict[str, Any]]:
    """Four rows, the right answer first, second, ..."""
    texts = ["27", "72", "21", "17"]
    return [
        {
            "index": first + turn, "question": question, "image": image,
            **dict(zip("ABCD", texts[-turn:] + texts[:-turn], strict=True)),
            "answer": "ABCD"[turn], "category": "single", "cycle_category": turn,
        }
        for turn in range(4)
    ]  # fmt: skip


def test_hrbench_has_one_question_in_four_rows(tmp_path: Path):
    """The same words on another picture are another question."""
    tsv(tmp_path / "hr_bench_4k.tsv", orders("What?", RED, 0) + orders("What?", BLUE, 4))
    bench = shipped("hrbench_4k", tmp_path)
    tasks = bench.load().test_tasks
    assert [task.cluster for task in tasks] == ["question 0"] * 4 + ["question 4"] * 4
    scores = bench.scores(answered(tasks, right=[True] * 4 + [True, True, True, False]))
    assert scores["mean over orders"].value == 7 / 8
    assert scores["all orders right"].value == 1 / 2
    with pytest.raises(
        InstantiationException, match=r"option_order=rotated has no meaning for hrbench_4k"
    ):
        shipped("hrbench_4k", tmp_path, "+data.option_order=rotated")


def test_hrbench_without_one_row_has_no_set_of_four(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
):
    rows = orders("What?", RED, 0) + orders("Who?", RED, 4)
    tsv(tmp_path / "hr_bench_4k.tsv", rows[:-1])
    with pytest.raises(DataError, match=r"1 of 2 sets by question have not 4 .*: 4 has 3; data\."):
        shipped("hrbench_4k", tmp_path).tasks()
    with caplog.at_level(logging.WARNING):
        tasks = shipped("hrbench_4k", tmp_path, "data.skip_bad_rows=true").tasks()
    assert [task.id for task in tasks] == ["0", "1", "2", "3"]
    assert "4 has 3" in caplog.text


@pytest.mark.parametrize(
    ("name", "said", "fault"),
    [
        ("hrbench_4k", "data.num_orders=0", "data.num_orders=0 must be"),
        ("mmvp", "data.corrected_labels=maybe", "data.corrected_labels must be true or false"),
        ("zoombench", "~data.crops.parquet", "data.crops names no column for data.form=parquet"),
    ],
)
def test_settings_of_their_own_that_mean_nothing_are_refused(
    tmp_path: Path, name: str, said: str, fault: str
):
    with pytest.raises(InstantiationException, match=fault):
        shipped(name, tmp_path, said)


def mmvp(root: Path, rows: Mapping[int, str]) -> None:
    lines = [f"{index},Open?,(a) Open (b) Closed,{answer}" for index, answer in rows.items()]
    header = "Index,Question,Options,Correct Answer"
    (root / "Questions.csv").write_text("\n".join([header, *lines]) + "\n")
    (root / "MMVP Images").mkdir(exist_ok=True)
    for index in rows:
        (root / f"MMVP Images/{index}.jpg").write_bytes(picture())


@pytest.mark.parametrize("swapped", [("(a)", "(b)"), ("(b)", "(a)")])
def test_mmvps_swapped_labels_are_set_right_also_where_they_are(
    tmp_path: Path, swapped: tuple[str, str]
):
    """github.com/tsb0601/MMVP, issues 14 and 30; a re-hosted file has the right ones already."""
    mmvp(tmp_path, {1: "(a)", 2: "(b)", 279: swapped[0], 280: swapped[1]})
    tasks = shipped("mmvp", tmp_path).tasks()
    assert [task.answer for task in tasks] == ["Open", "Closed", "Closed", "Open"]
    left = shipped("mmvp", tmp_path, "data.corrected_labels=false").tasks()
    assert left[2].answer == ("Open" if swapped[0] == "(a)" else "Closed")


def test_mmvps_pairs_are_told_by_their_index(tmp_path: Path):
    """The next row is not the other one of the pair when a row is missing."""
    mmvp(tmp_path, {2: "(a)", 3: "(a)", 4: "(b)", 5: "(a)", 6: "(b)"})
    with pytest.raises(DataError, match=r"1 of 3 sets by pair have not 2 questions: 1 has 1"):
        shipped("mmvp", tmp_path).tasks()
    bench = shipped("mmvp", tmp_path, "data.skip_bad_rows=true")
    tasks = bench.tasks()
    assert [task.cluster for task in tasks] == ["pair 2"] * 2 + ["pair 3"] * 2
    scores = bench.scores(answered(tasks, right=[True, False, True, True]))
    assert [scores[name].value for name in ("pairs", "single questions")] == [1 / 2, 3 / 4]
    mmvp(tmp_path, {0: "(a)"})
    (tmp_path / "Questions.csv").write_text(
        "Index,Question,Options,Correct Answer\nx,Open?,(a) Open (b) Closed,(a)\n"
    )
    with pytest.raises(DataError, match="'Index' must be a number from 1 on, got 'x'"):
        shipped("mmvp", tmp_path).tasks()


def test_realworldqas_table_has_lost_options_and_keeps_letters(tmp_path: Path):
    """Row 105 of VLMEvalKit's has A and C (open-compass/VLMEvalKit, issue 677)."""
    row = {"index": 105, "image": RED, "question": "Where?", "A": "left", "B": "", "C": "right",
           "D": "", "answer": "C"}  # fmt: skip
    tsv(tmp_path / "RealWorldQA.tsv", [row])
    (task,) = shipped("realworldqa", tmp_path, "data.form=tsv").tasks()
    assert (task.options, task.answer) == (("left", "right"), "right")


def test_realworldqa_tells_open_questions_apart(tmp_path: Path):
    texts = [
        "Where?\nA. left\nB. right\nPlease answer directly with only the letter of the correct "
        "option and nothing else.",
        "How many?\nPlease answer directly with a single word or number.",
    ]
    rows = [
        {"question": text, "answer": answer, "image": {"bytes": picture(), "path": None}}
        for text, answer in zip(texts, ("B", "2"), strict=True)
    ]
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "test-0.parquet")
    bench = shipped("realworldqa", tmp_path)
    tasks = bench.tasks()
    assert [(task.question, task.answer) for task in tasks] == [
        ("Where?", "right"),
        ("How many?", "2"),
    ]
    assert tasks[1].is_right("two")
    scores = bench.scores(answered(tasks, right=[True, False]))
    assert {name: one.value for name, one in scores.items()} == {
        "overall": 0.5, "with options": 1.0, "open": 0.0, "share with options": 0.5,
    }  # fmt: skip


def test_ai2ds_answer_is_a_place_and_not_a_letter(tmp_path: Path):
    row = {"question": "Which?", "options": ["C", "B", "A", "none"], "answer": "1",
           "image": {"bytes": picture(), "path": None}}  # fmt: skip
    pq.write_table(pa.Table.from_pylist([row]), tmp_path / "test-0.parquet")
    (task,) = shipped("ai2d", tmp_path).tasks()
    assert task.answer == "B"
    assert not task.is_right("A")  # the text of the third


def test_vstars_options_in_brackets_stay_whole(tmp_path: Path):
    """lmms-eval's expression loses them, and the letters shift."""
    text = "What?\n(A) (black)\n(B) red (dark)\nAnswer with the option's letter."
    row = {"text": text, "label": "B", "question_id": "7", "category": "direct_attributes",
           "image": {"bytes": picture(), "path": None}}  # fmt: skip
    pq.write_table(
        pa.Table.from_pylist([row, row | {"category": "OCR"}]), tmp_path / "test-0.parquet"
    )
    (task,) = shipped("vstar", tmp_path, "data.form=parquet").tasks()
    assert (task.question, task.options) == ("What?", ("(black)", "red (dark)"))
    assert task.answer == "red (dark)"


def test_cv_benchs_score_weighs_its_sources(tmp_path: Path):
    """2 ADE20K, 1 COCO, 1 Omni3D: 1/2 (1/2 (1/2 + 1) + 0) = 3/8; the plain share is 2/4."""
    rows = [
        {"idx": number, "type": kind, "task": "Count", "question": "How many?", "source": source,
         "choices": ["2", "1"], "answer": "(B)", "image": {"bytes": picture(), "path": None}}
        for number, (kind, source) in enumerate(
            [("2D", "ADE20K"), ("2D", "ADE20K"), ("2D", "COCO"), ("3D", "Omni3D")]
        )
    ]  # fmt: skip
    for name, kind in (("test_2d", "2D"), ("test_3d", "3D")):
        of_kind = [row for row in rows if row["type"] == kind]
        pq.write_table(pa.Table.from_pylist(of_kind), tmp_path / f"{name}.parquet")
    bench = shipped("cv_bench", tmp_path)
    tasks = bench.tasks()
    assert [task.answer for task in tasks] == ["1"] * 4
    scores = bench.scores(answered(tasks, right=[True, False, True, False]))
    assert (scores["score"].value, scores["overall"].value) == (3 / 8, 1 / 2)
    assert next(iter(scores)) == "score"


def test_mme_realworlds_chinese_options_may_have_lost_their_first_bracket(tmp_path: Path):
    """open-compass/VLMEvalKit, issue 491."""
    row = {"Question_id": "a", "Image": "a.png", "Text": "什么？", "Ground truth": "B",
           "Answer choices": ["A) 红", "B) 蓝", "C) 绿", "D) 黄", "E) 无法回答"],
           "Category": "颜色", "Subtask": "OCR", "Task": "Perception"}  # fmt: skip
    (tmp_path / "a.png").write_bytes(picture())
    (tmp_path / "MME_RealWorld_CN.json").write_text(json.dumps([row]))
    bench = shipped("mme_realworld_cn", tmp_path, "data.form=json")
    (task,) = bench.tasks()
    assert (task.options, task.answer) == (("红", "蓝", "绿", "黄", "无法回答"), "蓝")
    assert (task.category, task.tags["task"]) == ("Perception/OCR", "Perception")
    scores = bench.scores(answered([task], right=[True]))
    assert scores["perception Avg-C"].value == 1.0


def test_zoombenchs_gap_is_of_questions_that_have_both_views(tmp_path: Path):
    rows = [
        {"prompt": "Which?\nA. 1\nB. 2", "answer": "A",
         "image": {"bytes": picture(), "path": None}, "crop_image": crop}
        for crop in ({"bytes": picture("blue"), "path": None}, None)
    ]  # fmt: skip
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "test-0.parquet")
    bench = shipped("zoombench", tmp_path)
    tasks = bench.tasks()
    assert [task.tags["view"] for task in tasks] == ["full", "crop", "full"]
    scores = bench.scores(answered(tasks, right=[False, True, True]))
    assert {name: one.value for name, one in scores.items()} == {
        "whole picture": 0.5, "crop": 1.0, "zooming gap": 1.0, "share without a crop": 0.5,
    }  # fmt: skip


def test_reasonmaps_numbers_stand_for_letters_counts_and_yes_or_no(tmp_path: Path):
    (tmp_path / "maps").mkdir()
    (tmp_path / "maps/oslo.png").write_bytes(picture())
    kinds = [("Counting1", 2, "middle"), ("Counting2", 12, "easy"), ("TorF2", 1, "hard")]
    rows = [
        {"question": "How many?\nA) 3\nB) 4\nC) 5\nD) 6" if kind == "Counting1" else "How many?",
         "answer": answer, "type": kind, "difficulty_city": difficulty, "country": "norway",
         "city": "oslo", "figure": "./maps/oslo.png"}
        for kind, answer, difficulty in kinds
    ]  # fmt: skip
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "test.parquet")
    bench = shipped("reasonmap_plus", tmp_path)
    tasks = bench.tasks()
    assert [task.answer for task in tasks] == ["5", "12", "yes"]
    assert tasks[0].is_right("C")
    assert tasks[1].is_right("twelve")
    assert {task.cluster for task in tasks} == {"oslo"}
    scores = bench.scores(answered(tasks, right=[True, False, True]))
    assert scores["weighted"].value == pytest.approx((1.5 + 2) / (1.5 + 1 + 2))
    pq.write_table(pa.Table.from_pylist([rows[2] | {"answer": 7}]), tmp_path / "test.parquet")
    with pytest.raises(DataError, match=r"no question of type 'TorF2' has the answer 7"):
        bench.tasks()


def test_reasonmaps_letters_without_options_are_letters(tmp_path: Path):
    (tmp_path / "oslo.png").write_bytes(picture())
    row = {"question": "How many?", "answer": 1, "type": "Counting1", "difficulty_city": "easy",
           "country": "norway", "city": "oslo", "figure": "oslo.png"}  # fmt: skip
    pq.write_table(pa.Table.from_pylist([row]), tmp_path / "test.parquet")
    (task,) = shipped("reasonmap_plus", tmp_path).tasks()
    assert [task.is_right(said) for said in ("B", "(b)", "A")] == [True, True, False]
