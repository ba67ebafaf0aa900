"""Rows as Open-o3 Video has them."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.unit.data.test_video import write_clip
from vigorl.core.errors import DataError
from vigorl.data.faults import Rules
from vigorl.data.frames import Even
from vigorl.data.sources.rl_jsonl import read_rl_jsonl
from vigorl.data.sources.stgr import read_stgr

ROW: dict[str, Any] = {
    "id": "a",
    "question": "Who opens the door?",
    "answer": "A man in red.",
    "source": "STR_plm_rdcap",
    "task": "temporal-spatial free-form QA",
    "video_path": "a.mp4",
    "image_size": [640, 360],
    "key_frames": [{"idx": 3, "time": 0.5, "path": "a_3.jpg"}],
    "key_items": {"3": {"man": [[0.25, 0.0, 0.5, 1.0]], "door": None}, "4": None},
}
RULES = Rules(frames=Even(count=2))


def _read(folder: Path, *rows: dict[str, Any]) -> Any:
    write_clip(folder / "a.mp4", [0] * 10)  # 64 x 48
    (folder / "STGR-RL.json").write_text(json.dumps([{**ROW, **row} for row in rows]))
    return read_stgr(folder / "STGR-RL.json", rules=RULES)


def test_each_kind_of_question_brings_its_evidence(tmp_path: Path) -> None:
    none = {"key_frames": None, "key_items": None}
    free, interval, letter, option = _read(
        tmp_path,
        {},
        {"id": 1, "task": "temporal QA", "answer": "[0.2, 0.75]", **none},
        {"id": 2, "task": "temporal QA (MCQ)", "answer": "B\n[0.2, 0.75]", **none},
        {"id": 3, "task": "General video QA MCQ", "answer": "C", **none},
        {"id": 4, "task": "visual QA", "video_path": None, "image_path": "a.jpg"},
    )
    assert (free.answer, free.tags) == ("A man in red.", {"keys": "0.5 [16.0, 0.0, 32.0, 48.0]"})
    assert (interval.answer, interval.tags) == ("0.2 to 0.75", {"span": "0.2 0.75"})
    assert (letter.answer, letter.tags) == ("B", {"span": "0.2 0.75"})
    assert (option.answer, option.tags, option.category) == ("C", {}, "General video QA MCQ")
    assert free.question.startswith("Frame 0 at 0 s: <image>\nFrame 9 at 0.9 s: <image>\nWho")


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"task": "dance"}, '"task" must be one of'),
        ({"task": "temporal QA", "answer": "soon"}, "an interval"),
        ({"task": "temporal QA", "answer": "[3, 2]"}, "seconds from and to"),
        ({"video_path": "b.mp4"}, "is not in"),
        ({"key_frames": []}, '"key_frames" has it not'),
        ({"key_items": []}, None),
        ({"key_items": [1]}, "an object of frames"),
        ({"key_items": {"3": {"man": [[0.5, 0, 0.2, 1]]}}}, "key_items"),
    ],
)
def test_rows_of_another_form_are_named(
    tmp_path: Path, row: dict[str, Any], message: str | None
) -> None:
    if message is None:
        assert _read(tmp_path, row)
        return
    with pytest.raises(DataError, match=message):
        _read(tmp_path, row)


def test_videos_may_stand_under_a_key_of_their_own(tmp_path: Path) -> None:
    write_clip(tmp_path / "a.mp4", [0] * 10)
    row = {"problem": "<video>When?", "answer": "1 to 2", "videos": ["a.mp4"]}
    (tmp_path / "q.jsonl").write_text(json.dumps(row))
    (task,) = read_rl_jsonl(tmp_path / "q.jsonl", rules=RULES)
    assert len(task.images) == 2
