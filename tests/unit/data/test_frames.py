"""Which frames of a video a question shows, from the rules to what the policy reads."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

import pytest
from omegaconf import OmegaConf

from vigorl.core.errors import ConfigError, DataError
from vigorl.core.geometry import Size
from vigorl.core.media import VideoFrame
from vigorl.data.datasets import split_by_image
from vigorl.data.faults import Rules
from vigorl.data.frames import AtTimes, ByIndex, Dense, Even, Frames, Interval
from vigorl.data.images import ImageStore
from vigorl.data.sources.rl_jsonl import read_rl_jsonl
from vigorl.data.video import VideoHeader
from vigorl.families.qwen_vl import Qwen25VL

from .conftest import make_processor
from .test_video import write_clip

CLIP = VideoHeader(Size(64, 48), 8.0, 4.0, 32)


@pytest.mark.parametrize(
    ("frames", "numbers"),
    [
        (Even(count=4), [0, 10, 21, 31]),  # 31/3 apart
        (Even(count=1), [16]),
        (Even(count=100), list(range(32))),
        (Dense(fps=1.0), [0, 4, 8, 12, 16, 20, 24, 28]),
        (Dense(fps=4.0, most=2), [0, 31]),
        (Dense(fps=100.0, most=1000), list(range(32))),
        (ByIndex(indices=[3, 1]), [3, 1]),
        (Interval(start_s=2.0, end_s=4.0, count=3), [8, 12, 16]),
        (Interval(start_s=7.0, end_s=99.0, count=2), [28, 31]),
        (AtTimes(times_s=[0.0, 1.6]), [0, 6]),  # frame 6 is shown from 1.5 to 1.75 s
    ],
)
def test_each_rule_names_its_frames(frames: Frames, numbers: list[int]) -> None:
    assert list(frames.numbers(CLIP)) == numbers


@pytest.mark.parametrize(
    "frames", [ByIndex(indices=[32]), Interval(start_s=8.0, end_s=9.0), AtTimes(times_s=[8.0])]
)
def test_frames_that_a_video_has_not_are_refused(frames: Frames) -> None:
    with pytest.raises(ValueError, match="video"):
        frames.numbers(CLIP)


def test_settings_out_of_range_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"data\.frames\.count "):
        Even(count=0)
    with pytest.raises(ConfigError, match="before end_s"):
        Interval(start_s=3.0, end_s=2.0)
    with pytest.raises(ConfigError, match="its fields are"):
        Even(label="{frame}")


def _file(folder: Path, *rows: dict[str, object]) -> Path:
    path = folder / "questions.jsonl"
    path.write_text("".join(json.dumps({"answer": "red", **row}) + "\n" for row in rows))
    return path


def test_a_video_of_a_record_becomes_labelled_frames(tmp_path: Path) -> None:
    write_clip(tmp_path / "a.mp4", list(range(0, 200, 10)))
    rows = [{"problem": "What colour?", "images": ["a.mp4"], "targets": [[0, 0, 64, 48]]}]
    rows += [{"problem": "In <video>\nwhat colour?", "images": ["a.mp4"]}]
    rules = Rules(frames=Even(count=2, max_pixels=3136))
    before, within = read_rl_jsonl(_file(tmp_path, *rows), rules=rules)
    names = tuple(f"{tmp_path}/a.mp4#t={time}&px=3136" for time in ("0", "1.9"))
    assert before.images == within.images == names
    shown = "Frame 0 at 0 s: <image>\nFrame 19 at 1.9 s: <image>\n"
    assert before.question == f"{shown}What colour?"
    assert within.question == f"In {shown}what colour?"
    store = ImageStore(make_processor(), family=Qwen25VL())
    view = store.whole(before.images[1])
    assert (view.source, view.size) == (VideoFrame(f"{tmp_path}/a.mp4", 1.9), Size(56, 56))


def test_a_video_without_a_rule_is_a_fault(tmp_path: Path) -> None:
    write_clip(tmp_path / "a.mp4", [0])
    path = _file(tmp_path, {"problem": "What?", "images": ["a.mp4"]})
    with pytest.raises(DataError, match=r"frames@data\.frames=even"):
        read_rl_jsonl(path)
    with pytest.raises(DataError, match="of a video of 1 frames"):
        read_rl_jsonl(path, rules=Rules(frames=ByIndex(indices=[4])))


def test_all_frames_of_a_video_stay_on_one_side(tmp_path: Path) -> None:
    for name in "abcd":
        write_clip(tmp_path / f"{name}.mp4", [ord(name)] * 4)
    rows = [
        {"problem": "What?", "images": [f"{name}.mp4#t={time}"], "id": f"{name}{time}"}
        for name in "abcd"
        for time in (0, 0.1, 0.2)
    ]
    train, held = split_by_image(read_rl_jsonl(_file(tmp_path, *rows)), holdout_frac=0.3)
    sides = [{task.id[0] for task in side} for side in (train, held)]
    assert (len(held), sides[0] & sides[1]) == (3, set())


@pytest.mark.parametrize(
    "rule", [ByIndex(indices=OmegaConf.create([0, 3])), AtTimes(times_s=OmegaConf.create([0.5]))]
)
def test_lists_of_a_config_are_plain(rule: Frames) -> None:
    assert json.loads(json.dumps(asdict(rule)))  # as the stamp of a made world has it
