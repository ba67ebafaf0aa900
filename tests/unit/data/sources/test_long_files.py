"""A file of lines too long to be kept gives the same records as one that is kept."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from vigorl.core.errors import DataError
from vigorl.core.records import TaskRecord
from vigorl.data.datasets import fingerprint, picture_files, split_by_image, without_pictures
from vigorl.data.dry_pass import dry_pass
from vigorl.data.faults import Rules
from vigorl.data.sources import files
from vigorl.data.sources.files import ById, FileRecords, chosen
from vigorl.data.sources.rl_jsonl import read_rl_jsonl
from vigorl.data.splits import DataSplits

SKIP = Rules(skip_bad_rows=True)


@pytest.fixture
def path(tmp_path: Path, picture: Callable[..., str]) -> Path:
    """Twelve questions on six pictures, with a blank line, and a bad one that ends in no line."""
    rows = [
        {
            "problem": f"What of {i}, schön?",
            "answer": "red",
            "images": [f"{i % 6}.png"],
            "id": str(i),
        }
        for i in range(12)
    ]
    for i in range(6):
        picture(f"{i}.png", (100 + i, 80))
    lines = [json.dumps(row, ensure_ascii=False) for row in rows]
    file = tmp_path / "rows.jsonl"
    file.write_text("\n".join(["\ufeff" + lines[0], "", *lines[1:], "{"]), encoding="utf-8")
    return file


@pytest.fixture
def both(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> tuple[Sequence[TaskRecord], Sequence[TaskRecord]]:
    """Kept, and read when asked for."""
    kept = read_rl_jsonl(path, rules=SKIP)
    monkeypatch.setattr(files, "WHOLE_BYTES", 0)
    unkept = read_rl_jsonl(path, rules=SKIP)
    assert isinstance(kept, list)
    assert isinstance(unkept, FileRecords)
    return kept, unkept


def test_the_records_are_the_same(
    both: tuple[Sequence[TaskRecord], Sequence[TaskRecord]],
) -> None:
    kept, unkept = both
    assert list(unkept) == kept
    assert unkept[-1] == kept[-1]
    assert unkept[3].source.endswith(":5")  # the blank line is counted
    assert list(unkept[2:9:3]) == kept[2:9:3]
    assert list(chosen(unkept, [5, 0])) == [kept[5], kept[0]]
    assert ById(unkept)["7"] == kept[7]
    with pytest.raises(IndexError):
        unkept[12]


def test_they_are_split_and_named_alike(
    both: tuple[Sequence[TaskRecord], Sequence[TaskRecord]],
) -> None:
    found = []
    for records in both:
        train, val = split_by_image(records, holdout_frac=0.4)
        test, val = split_by_image(val, holdout_frac=0.5, seed=1)
        train = without_pictures(train, picture_files([train[0]]), "train", "none")
        splits = DataSplits(train, val, dry_pass(test, None, rules=SKIP))
        found.append([list(one) for one in splits.records.values()])
        found[-1].append([fingerprint(one) for one in splits.records.values()])
    assert found[0] == found[1]
    assert all(found[0][:3])


@pytest.mark.parametrize("other", [b"tan", b"tan or red"])
def test_a_file_that_changes_meanwhile_is_named(
    both: tuple[Sequence[TaskRecord], Sequence[TaskRecord]], path: Path, other: bytes
) -> None:
    path.write_bytes(path.read_bytes().replace(b"red", other))
    os.utime(path, ns=(0, 0))
    with pytest.raises(DataError, match=r"rows\.jsonl.*has changed since the run began"):
        both[1][0]


def test_a_file_that_is_only_touched_is_read_on(
    both: tuple[Sequence[TaskRecord], Sequence[TaskRecord]], path: Path
) -> None:
    kept, unkept = both
    for time_ns in (0, 1):
        os.utime(path, ns=(time_ns, time_ns))
        assert list(unkept) == kept


def test_a_bad_line_is_named_as_ever(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "WHOLE_BYTES", 0)
    with pytest.raises(DataError, match=r"rows\.jsonl:14: is not JSON"):
        read_rl_jsonl(path)
