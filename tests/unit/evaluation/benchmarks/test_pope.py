"""POPE: unique questions, splits, the policy's own share of "yes", and RePOPE's labels."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.builders import answer_turn, rollout
from tests.unit.evaluation.benchmarks.conftest import Write, cell
from vigorl.core.errors import ConfigError, DataError
from vigorl.core.records import TaskRecord
from vigorl.core.scoring.yes_no import YesNo
from vigorl.evaluation.benchmarks.benchmark import cluster_of
from vigorl.evaluation.benchmarks.pope import Pope
from vigorl.evaluation.metrics import F1, Mean, Precision, Recall, YesNoAccuracy, YesShare
from vigorl.evaluation.runner import outcome_of

CAR, DOG = "Is there a car in the image?", "Is there a dog in the image?"


def official(text: str, label: str, image: str = "COCO_1.jpg") -> dict[str, object]:
    return {"question_id": 1, "image": image, "text": text, "label": label}


def pope(root: object, file: str = "coco_pope_*.json", **fields: Any) -> Pope:
    return Pope(name="pope", download="", root=str(root), file=file, **fields)


@pytest.fixture
def downloads(write: Write, picture: Callable[..., str], tmp_path: Path) -> Path:
    """One question in two splits, one in one; JSON lines under the name .json, as the authors'."""
    picture("val2014/COCO_1.jpg")
    for split, rows in {"random": [(CAR, "yes")], "popular": [(CAR, "yes"), (DOG, "no")]}.items():
        write(f"{split}.jsonl", [official(*one) for one in rows])
        (tmp_path / f"{split}.jsonl").rename(tmp_path / f"coco_pope_{split}.json")
    return tmp_path


def test_a_question_of_two_splits_is_asked_once(downloads: Path) -> None:
    car, dog = pope(downloads).tasks()
    assert (car.id, car.tags) == (f"COCO_1: {CAR}", {"popular": "yes", "random": "yes"})
    assert dog.tags == {"popular": "yes"}
    assert cluster_of(car) == cluster_of(dog) == "val2014/COCO_1.jpg"


def test_splits_that_contradict_each_other_are_refused(downloads: Path, write: Write) -> None:
    write("again.jsonl", [official(CAR, "no")])
    (downloads / "again.jsonl").rename(downloads / "coco_pope_adversarial.json")
    with pytest.raises(
        DataError, match="label 'COCO_1: Is there a car in the image\\?' differently"
    ):
        pope(downloads).tasks()


def test_packed_forms(write: Write) -> None:
    rows = [
        {
            "question": CAR,
            "answer": "yes",
            "image": cell(),
            "image_source": "COCO_1",
            "category": split,
        }
        for split in ("adversarial", "random")
    ]
    (task,) = pope(write("data/test-0.parquet", rows), "data/*.parquet").tasks()
    assert (task.id, set(task.tags)) == (f"COCO_1: {CAR}", {"adversarial", "random"})
    tsv = {
        "index": "0",
        "image": "val2014/COCO_1.jpg",
        "question": f"{CAR} Please answer yes or no.",
        "answer": "Yes",
        "category": "adversarial,popular,random",
    }
    root = write("POPE.tsv", [tsv])
    (root / "val2014").mkdir()
    (root / "val2014/COCO_1.jpg").write_bytes(Path(task.images[0]).read_bytes())
    (task,) = pope(root, "POPE.tsv").tasks()
    assert (task.question, task.answer, len(task.tags)) == (CAR, "yes", 3)


@pytest.mark.parametrize(
    ("category", "answer", "message"),
    [("odd", "yes", "the split 'odd' is none of"), ("random", "perhaps", 'must be "yes" or "no"')],
)
def test_odd_rows_are_refused(write: Write, category: str, answer: str, message: str) -> None:
    row = {
        "question": CAR,
        "answer": answer,
        "image": cell(),
        "image_source": "a",
        "category": category,
    }
    with pytest.raises(DataError, match=message):
        pope(write("data/test-0.parquet", [row]), "data/*.parquet").tasks()


def outcomes(bench: Pope, *answers: str, **tags: str) -> list:
    """One question per answer: the first two are to be answered yes, the others no."""
    found = []
    for number, answer in enumerate(answers):
        task = TaskRecord(
            id=str(number),
            question=CAR,
            answer="yes" if number < 2 else "no",
            images=("a.png",),
            scorer=YesNo(),
            tags=tags,
        )
        found.append(outcome_of(task, [rollout(answer_turn(answer), task=task)], bench))
    return found


def test_the_counts_are_of_the_policys_answers(tmp_path: Path) -> None:
    asked = outcomes(pope(tmp_path), "Yes.", "No.", "yes", "no", "I cannot tell")
    # yes to one of two things that are there, and to one that is not
    assert Mean()(asked) == pytest.approx(2 / 5)  # an answer that is neither is wrong
    assert Precision()(asked) == 1 / 2
    assert Recall()(asked) == 1 / 2
    assert F1()(asked) == 1 / 2
    assert YesShare()(asked) == pytest.approx(2 / 5)  # of the answers, not of the labels


def test_without_any_yes_there_is_no_precision(tmp_path: Path) -> None:
    bench = pope(tmp_path, metrics={"precision": Precision(), "recall": Recall()})
    scores = bench.scores(outcomes(bench, "no", "no", "no"))
    assert list(scores) == ["recall"]
    assert scores["recall"].value == 0


def test_corrected_labels_are_a_second_score(downloads: Path, write: Write) -> None:
    with pytest.raises(ConfigError, match=r"git clone https://github\.com/YanNeu/RePOPE"):
        pope(downloads, relabelled="RePOPE").tasks()
    write("labels.jsonl", [official(CAR, "no")])  # the dog is ambiguous, and left out
    (downloads / "RePOPE").mkdir()
    (downloads / "labels.jsonl").rename(downloads / "RePOPE/coco_repope_random.json")
    bench = pope(downloads, relabelled="RePOPE")
    car, dog = bench.tasks()
    assert car.tags["repope"] == "no"
    assert "repope" not in dog.tags
    assert list(bench.metrics) == ["accuracy", "accuracy by RePOPE", "F1 by RePOPE"]
    asked = [
        outcome_of(task, [rollout(answer_turn("no"), task=task)], bench) for task in (car, dog)
    ]
    assert (Mean()(asked), YesNoAccuracy(labels="repope")(asked)) == (0.5, 1.0)
