from __future__ import annotations

import math
from pathlib import Path

import pytest

from vigorl.core.errors import DataError
from vigorl.outbox.journal import Journal
from vigorl.outbox.operations import (
    DataUsed,
    EndRun,
    LogArtifact,
    LogInputs,
    LogMetrics,
    LogModel,
    LogParams,
    LogTable,
    NoteParam,
    SetTags,
)
from vigorl.outbox.rollout_traces import RecordedTraces

ALL = [
    LogMetrics({"a": 0.1, "b": math.inf}, 3, 5),
    LogParams({"a": "地图"}),
    NoteParam("a", "b"),
    SetTags({"a": "b"}),
    LogArtifact("x", "y"),
    LogTable("x", "y"),
    LogInputs([DataUsed("a", "b", "training")], model_of="run"),
    LogModel("x", "y", 1, ["a"], register_as="z"),
    RecordedTraces("x", [0, 3], 7),
    EndRun("FINISHED", 9),
]


def test_everything_comes_back_as_it_was_and_in_order(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "j")
    for one in ALL:
        journal.append(one)
    assert [one for one, _ in Journal(tmp_path / "j").pending()] == ALL


def test_half_a_character_is_written_as_what_a_store_takes(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "j")
    journal.append(SetTags({"a": "x\ud83dy", "b": "\U0001f600"}))
    assert [one for one, _ in journal.pending()] == [SetTags({"a": "x?y", "b": "\U0001f600"})]


def test_what_was_told_is_not_told_again(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "j")
    for one in ALL[:3]:
        journal.append(one)
    offsets = [offset for _, offset in journal.pending()]
    journal.mark(offsets[1])
    assert [one for one, _ in Journal(tmp_path / "j").pending()] == ALL[2:3]
    assert not journal.remove_if_told()
    journal.mark(offsets[2])
    assert journal.remove_if_told()
    assert not list(tmp_path.iterdir())


def test_a_line_that_a_crash_has_cut_off_is_named_and_left_out(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "j")
    journal.append(ALL[0])
    journal.path.write_bytes(journal.path.read_bytes() + b'{"kind": "tags", "ta')
    assert len(list(journal.pending())) == 1  # it may still be being written
    journal.append(ALL[1])
    found = []
    with pytest.raises(DataError, match="j: not something to tell MLflow"):
        found.extend(one for one, _ in journal.pending())
    assert [one for one, _ in journal.pending()] == ALL[1:2]


def test_a_number_of_bytes_that_outlived_its_file_hides_nothing(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "j")
    journal.append(ALL[0])
    journal.mark(10_000)  # of a file that was removed
    assert [one for one, _ in journal.pending()] == ALL[:1]
    assert journal.num_pending == 1


def test_what_lies_in_a_folder_that_is_moved_is_found_where_it_is_now(tmp_path: Path) -> None:
    before, now = tmp_path / "before", tmp_path / "now"
    before.mkdir()
    told = [
        LogArtifact(str(before), "all"),
        LogTable(str(before / "t.json"), "t.json"),
        LogModel(str(before / "model"), "m", 1),
        RecordedTraces(str(before / "rollouts" / "r.jsonl"), [0], 7),
        LogArtifact(str(tmp_path / "elsewhere.txt")),
    ]
    for one in told:
        Journal(before / "j").append(one)
    before.rename(now)
    assert [one for one, _ in Journal(now / "j").pending()] == [
        LogArtifact(str(now), "all"),
        LogTable(str(now / "t.json"), "t.json"),
        LogModel(str(now / "model"), "m", 1),
        RecordedTraces(str(now / "rollouts" / "r.jsonl"), [0], 7),
        told[-1],
    ]
