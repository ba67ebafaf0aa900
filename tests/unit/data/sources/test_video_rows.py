"""Rows about videos as Video-R1, Video-CoM, FrameThinker and REVISOR have them."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.unit.data.test_video import write_clip
from vigorl.core.errors import DataError
from vigorl.core.scoring import NumberMatch
from vigorl.data.faults import Rules
from vigorl.data.frames import Even
from vigorl.data.sources.verl_video import read_verl_video
from vigorl.data.sources.video_com import read_video_com
from vigorl.data.sources.video_r1 import read_video_r1, read_video_r1_traces

RULES = Rules(frames=Even(count=2))
R1: dict[str, Any] = {
    "problem_id": 2,
    "problem": "What appears on the screen?",
    "data_type": "video",
    "problem_type": "multiple choice",
    "options": ["A. A notification", "B. A command", "C. A warning"],
    "process": "<think>A pop-up in Russian. No command.</think>",
    "solution": "<answer>A</answer>",
    "path": "./clips/a.mp4",
    "data_source": "LLaVA-Video-178K/30_60_s_youtube_v0_1",
}
COM: dict[str, Any] = {
    "video": "clips/a.mp4",
    "conversations": [
        {
            "from": "human",
            "value": "<video>\nWho waves?\nOptions: A. The man. B. The old girl.\nSay.",
        },
        {"from": "gpt", "value": "B. The old girl."},
    ],
    "plan": "Look at the end.",
    "valid_segments": [1],
    "valid_frames": [[4, 6]],
    "valid_bounding_box": [[5, [16, 0, 32, 48]]],
}
VERL: dict[str, Any] = {
    "prompt": [
        {"role": "system", "content": "Watch."},
        {
            "role": "user",
            "content": "<video>\nWho waves?\nA. The man\nB. The girl\n The video durations is 1.0 "
            "seconds.Format strictly as:\n <think></think>",
        },
    ],
    "videos": [{"fps": 1, "type": "video", "video": "clips/a.mp4"}],
    "data_source": "example",
    "reward_model": {"ground_truth": "B", "style": "math"},
    "extra_info": {"id": "7", "query": "Who waves?", "duration": "1.0"},
}
FRAMETHINKER: dict[str, Any] = {
    "prompt": [{"role": "user", "content": "frame 0: <image>\nframe 9: <image>\nWho waves?"}],
    "reward_model": {"ground_truth": "A"},
    "data_source": "longvideo",
    "extra_info": {
        "video_path": "clips/a.mp4", "question": "Who waves?\nA. The man\nB. The girl",
        "total_frames": 10, "fps": 10.0, "index": 3,
    },
}  # fmt: skip


@pytest.fixture
def read(tmp_path: Path) -> Callable[..., list[Any]]:
    """Write these rows, and read them."""
    (tmp_path / "clips").mkdir()
    write_clip(tmp_path / "clips" / "a.mp4", [0] * 10)  # 64 x 48, a second

    def written(reader: Any, *rows: dict[str, Any]) -> list[Any]:
        (tmp_path / "rows.json").write_text(json.dumps(rows))
        return reader(tmp_path / "rows.json", rules=RULES)

    return written


def test_video_r1s_kinds_of_questions(read: Any) -> None:
    choice, number, words, long = read(
        read_video_r1,
        R1,
        {**R1, "problem_type": "numerical", "options": [], "solution": "<answer>4.50</answer>"},
        {**R1, "problem_type": "free-form", "options": [], "solution": "<answer>a cat</answer>"},
        {"problem": "When?\nA. Now\nB. Later", "videos": "clips/a.mp4", "answer": "B"},
    )  # fmt: skip
    assert (choice.id, choice.answer, choice.category) == (
        "2",
        "A notification",
        R1["problem_type"],
    )
    assert choice.options == ("A notification", "A command", "A warning")
    assert choice.question.startswith("Frame 0 at 0 s: <image>\nFrame 9 at 0.9 s: <image>\nWhat")
    assert isinstance(number.scorer, NumberMatch)
    assert number.is_right("4.5")
    assert words.answer == "a cat"
    assert (long.answer, long.options) == ("B", ())  # its options stand in the question


def test_worked_solutions_are_read_as_traces(read: Any) -> None:
    (trace,) = read(read_video_r1_traces, R1)
    assert trace.trace.turns() == [
        "<think> A pop-up in Russian. No command. </think>\n<answer> A notification </answer>"
    ]
    with pytest.raises(DataError, match='"process" must be one thought'):
        read(read_video_r1_traces, {**R1, "process": ""})


def test_video_coms_steps_are_seconds_and_boxes(read: Any) -> None:
    frames, segment, opened = read(
        read_video_com,
        COM,
        {**COM, "valid_frames": [], "valid_bounding_box": []},
        {**COM, "conversations": [{"value": "Who?"}, {"value": "FINAL_ANSWER: a man"}]},
    )
    assert frames.options == ("The man", "The old girl")
    assert (frames.answer, frames.question.rpartition("\n")[2]) == ("The old girl", "Who waves?")
    assert frames.tags == {"span": "0.3 0.6", "keys": "0.4 [16, 0, 32, 48]"}
    assert segment.tags == {"span": "0 1"}  # a second is one segment
    assert (opened.answer, opened.options) == ("a man", ())
    cats = {"value": "Who?\nOptions: A. A dog. B. A cat."}
    (article,) = read(read_video_com, {**COM, "conversations": [cats, {"value": "A cat."}]})
    assert article.answer == "A cat"


def test_verls_rows_of_two_makers(read: Any, tmp_path: Path) -> None:
    span = {**VERL, "reward_model": {"ground_truth": "[0.2, 0.75]"}, "data_source": "grounding"}
    revisor, interval, framethinker = read(read_verl_video, VERL, span, FRAMETHINKER)
    assert (revisor.id, revisor.answer, revisor.options) == (
        "7",
        "The girl",
        ("The man", "The girl"),
    )
    assert revisor.question.endswith("s: <image>\nWho waves?")
    assert (interval.answer, interval.tags) == ("0.2 to 0.75", {"span": "0.2 0.75"})
    assert framethinker.answer == "The man"
    assert framethinker.question == revisor.question
    (other,) = read(read_verl_video, {**VERL, "reward_model": {"ground_truth": "nobody"}})
    assert other.options == ()
    assert other.question.endswith("Who waves?\nA. The man\nB. The girl")  # still listed
    pq.write_table(pa.Table.from_pylist([VERL]), tmp_path / "train.parquet")
    assert read_verl_video(tmp_path / "train.parquet", rules=RULES)[0].answer == "The girl"


@pytest.mark.parametrize(
    ("reader", "row", "message"),
    [
        (read_video_r1, {**R1, "solution": "<answer>E</answer>"}, "the letter of one of 3 options"),
        (read_video_r1, {**R1, "path": "clips/b.mp4"}, "is not in"),
        (read_video_r1, {**R1, "path": []}, '"path" is empty'),
        (read_video_com, {**COM, "valid_frames": [[4, 60]]}, "is not in 1 to 10"),
        (read_video_com, {**COM, "valid_frames": [4]}, '"valid_frames" must hold whole numbers'),
        (read_video_com, {**COM, "valid_frames": [], "valid_segments": [2]}, "of a video of 1"),
        (read_video_com, {**COM, "valid_frames": [], "valid_segments": 1}, "must be a list, got 1"),
        (read_video_com, {**COM, "valid_bounding_box": [5]}, "must be a list of"),
        (read_video_com, {**COM, "valid_bounding_box": [[11, [0, 0, 1, 1]]]}, "frame 11, of 10"),
        (read_video_com, {**COM, "conversations": [{}]}, "a question and an answer"),
        (read_verl_video, {**VERL, "reward_model": None}, '"ground_truth"'),
        (read_verl_video, {**VERL, "extra_info": 3}, '"extra_info" must be an object'),
        (read_verl_video, {**VERL, "prompt": []}, '"prompt" must be a list of messages'),
        (read_verl_video, {**VERL, "prompt": [{"role": "user"}]}, '"prompt" must be a list of'),
        (read_verl_video, {**VERL, "videos": []}, '"videos" is empty'),
        (read_verl_video, {**VERL, "videos": [{}]}, 'objects with a "video"'),
    ],
)
def test_rows_of_another_form_are_named(
    read: Any, reader: Any, row: dict[str, Any], message: str
) -> None:
    with pytest.raises(DataError, match=message):
        read(reader, row)
