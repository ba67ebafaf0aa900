"""Of a source's questions those that a search kept."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from vigorl.core.errors import ConfigError, DataError
from vigorl.core.records import TaskRecord
from vigorl.data.kept import KeptQuestions
from vigorl.data.splits import DataSplits


class Three:
    """Three questions of no picture to train on, and one to judge by."""

    def prepare(self) -> None: ...

    def load(self) -> DataSplits:
        asked = [TaskRecord(id, "Which?", "red", (), options=("red", "blue")) for id in "abcd"]
        return DataSplits(train_tasks=asked[:3], val_tasks=asked[3:])


def kept(folder: Path, *rows: dict[str, str]) -> KeptQuestions:
    file = folder / "questions.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return KeptQuestions(base=Three(), path=str(file))


def test_the_files_questions_are_trained_on_with_its_answers(tmp_path: Path) -> None:
    source = kept(tmp_path, {"id": "c", "answer": "red"}, {"id": "a", "answer": "blue"})
    source.prepare()
    splits = source.load()
    assert [(one.id, one.answer) for one in splits.train_tasks] == [("a", "blue"), ("c", "red")]
    assert [one.id for one in splits.val_tasks] == ["d"]


def test_a_file_of_another_source_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="names none of the 3 training questions"):
        kept(tmp_path, {"id": "x", "answer": "red"}).load()
    with pytest.raises(DataError, match="not among the options"):
        kept(tmp_path, {"id": "a", "answer": "green"}).load()
    with pytest.raises(ConfigError, match="does not exist"):
        KeptQuestions(base=Three(), path="no.jsonl").prepare()
