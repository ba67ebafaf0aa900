"""BLINK in its three forms, and the answers that its authors replaced."""

from __future__ import annotations

import base64
import logging
import string
from collections.abc import Callable
from typing import Any

import pytest

from tests.unit.evaluation.benchmarks.conftest import Write, cell, png
from vigorl.core.errors import ConfigError
from vigorl.evaluation.benchmarks import blink
from vigorl.evaluation.benchmarks.blink import Blink


def row(
    name: str, answer: str = "(B)", *, pictures: int = 1, **fields: object
) -> dict[str, object]:
    images = {f"image_{i}": cell(i) if i <= pictures else None for i in range(1, 5)}
    return {
        "idx": f"val_{name}",
        "question": "Which?",
        "sub_task": name.rpartition("_")[0],
        **images,
        "choices": ["first", "second", "third"],
        "answer": answer,
        "prompt": "",
        **fields,
    }


def bench(root: object, file: str = "*/val-*.parquet", **fields: Any) -> Blink:
    return Blink(name="blink", download="hf download it", root=str(root), file=file, **fields)


def test_a_folder_per_task_and_up_to_four_pictures_in_order(write: Write) -> None:
    write("Jigsaw/val-0.parquet", [row("Jigsaw_1", pictures=3), row("Jigsaw_2", pictures=4)])
    write("Jigsaw/test-0.parquet", [row("Jigsaw_1", "hidden")])
    root = write("Counting/val-0.parquet", [row("Counting_1", "(A)")])
    one, three, four = bench(root).tasks()
    assert [len(task.images) for task in (one, three, four)] == [1, 3, 4]
    assert three.images == four.images[:3]
    assert (three.category, three.answer, one.answer) == ("Jigsaw", "second", "first")


def test_vlmevalkits_table_has_lists_of_pictures_and_empty_options(write: Write) -> None:
    many = str([base64.b64encode(png(shade)).decode() for shade in (1, 2)])
    cells = {
        "index": 7,
        "image": many,
        "question": "Which?",
        "A": "one",
        "B": "None",
        "C": "",
        "D": "",
        "answer": "B",
        "category": "Jigsaw",
        "split": "val",
    }
    (task,) = bench(write("BLINK.tsv", [cells]), "BLINK.tsv").tasks()
    assert (task.id, task.options, task.answer) == ("Jigsaw_7", ("one", "None"), "None")
    assert len(task.images) == 2


def test_a_conversation_says_its_task_by_its_id(write: Write, picture: Callable[..., str]) -> None:
    picture("images/a.png")
    asked = (
        "<image>\nQuestion: Which?\nAnswer Choices:\nA. 0\nB. 3\nAnswer with the text of the option"
    )
    said = [{"from": "human", "value": asked}, {"from": "gpt", "value": "3"}]
    rows = [{"id": "val_Counting_1", "image": "images/a.png", "conversations": said}]
    (task,) = bench(write("spatial/rows.jsonl", rows), "spatial/rows.jsonl").tasks()
    assert (task.category, task.answer) == ("Counting", "3")


@pytest.fixture
def reflectance(write: Write, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], object]:
    """Writes the questions of Relative_Reflectance with these letters, in the wrong order."""
    digest = blink.hashlib.sha256(b"ACB").hexdigest()
    monkeypatch.setattr(blink, "OLD_LABELS", digest)
    monkeypatch.setattr(blink, "NUM_REFLECTANCE", 3)

    def rows(letters: str) -> object:
        made = [row(f"Relative_Reflectance_{i}", letter) for i, letter in enumerate(letters, 1)]
        return write("Relative_Reflectance/val-0.parquet", made[::-1])

    return rows


def test_the_answers_of_before_2025_09_are_refused(reflectance: Callable[[str], object]) -> None:
    root = reflectance("ACB")
    with pytest.raises(ConfigError, match=r"replaced in 2025-09.*get it again by\n    hf download"):
        bench(root).tasks()
    assert len(bench(root, old_labels=True).tasks()) == 3


def test_todays_answers_pass_and_a_part_of_them_is_doubted(
    reflectance: Callable[[str], object], caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        assert len(bench(reflectance("BCA")).tasks()) == 3
        assert not caplog.records
        assert len(bench(reflectance("BC")).tasks()) == 2
    assert "2 of 3 questions of Relative_Reflectance" in caplog.text


def test_the_digest_is_of_the_old_file() -> None:
    """eval/val_answers.json of zeyofu/BLINK_Benchmark@2d6a779, its 134 letters in order."""
    letters = (
        "ACBACBCCCBCAABCAABBBABCBBAACCCABCCAABBAABBBCCCCCACBCCCABAABAAAAAAAABCCCBCCAABCBAACBBCCBCCCAACCCCBCBB"
        "ABBBBCCBBCCABABBCBCCBCBAAACCCBCAAC"
    )
    assert len(letters) == blink.NUM_REFLECTANCE
    assert set(letters) <= set(string.ascii_uppercase[:3])
    assert blink.hashlib.sha256(letters.encode()).hexdigest() == blink.OLD_LABELS
