"""Video-CoM's questions for RL, with the manipulations that lead to the answer.

    [{"video": "overlayed_videos/a.mp4", "conversations": [
        {"from": "human", "value": "<video>\\nWho waves?\\nOptions: A. The man. B. The girl."},
        {"from": "gpt", "value": "B. The girl."}],
      "plan": "...", "valid_segments": [2], "valid_frames": [[40, 55]],
      "valid_bounding_box": [[48, [10, 20, 90, 80]]]}, ...]

Frames are numbered from 1, boxes are pixels of the video's frames. Segments are numbered from 1: of
10 equal parts, fewer where one would be shorter than 10 s, more where it would be longer than 30 s.
"tloc" and "bbox", which the release passes on and scores nowhere, are not read.
Source: mbzuai-oryx/Video-CoM@7968258, train/src/dataset/grpo_dataset.py,
train/manipulation_utils.py and train/src/train/reward_funcs.py.
"""

from __future__ import annotations

import json
import re
import string
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from vigorl.core.records import TaskRecord
from vigorl.data.faults import STRICT, Rules
from vigorl.data.sources.files import collect, item_rows
from vigorl.data.sources.lettered import answer_of, distinct
from vigorl.data.sources.rows import VIDEO_SLOT, Row
from vigorl.data.video import VideoHeader, read_header

SEGMENTS, SHORTEST_S, LONGEST_S = 10, 10.0, 30.0
_LETTER = re.compile(r"\(?([A-Z])\)?(?:[.):]|\s|$)")
_ENDS = " .,;"


def read_video_com(
    path: str | Path, *, image_root: str | Path | None = None, rules: Rules = STRICT
) -> Sequence[TaskRecord]:
    """Every question; the tag "span" holds the seconds that matter, of frames or else of segments,
    and "keys" the boxes (`core.rewards.video`).

    Args:
        path: The JSON list.
        image_root: Where its videos' names start; the file's own folder when None.
        rules: What becomes of bad rows, and which frames a question shows.
    Raises:
        DataError: With file and item: a missing key or video, an answer that is none of the
            options, or frames, segments or boxes that the video has not.
    """
    return collect(item_rows(path, image_root=image_root), _record, rules=rules)


def _record(row: Row) -> TaskRecord:
    said = row.objects("conversations")
    if len(said) < 2 or not all(isinstance(one.get("value"), str) for one in said[:2]):
        row.fail('"conversations" must be a question and an answer, each with a "value"')
    text = said[0]["value"].replace(VIDEO_SLOT, "").strip()
    answer = said[1]["value"].rpartition("FINAL_ANSWER:")[2].strip()
    question, _, listed = text.rpartition("Options:")
    options: tuple[str, ...] = ()
    if question and (found := _options(listed)):
        text, options = question.strip(), distinct(row, found)
        plain, letter = answer.rstrip(_ENDS), _LETTER.match(answer)
        stated = plain if plain in options else letter[1] if letter else answer  # "A cat" is no A
        answer = stated if stated in options else answer_of(row, stated, found, key="conversations")
    video = row.picture(row.text("video"))
    header = read_header(video, source=row.source)
    tags = {"span": "; ".join(_spans(row, header)), "keys": "; ".join(_keys(row, header))}
    return row.checked(
        TaskRecord(
            id=row.identity(),
            question=text,
            answer=answer,
            images=(video,),
            options=options,
            tags={name: value for name, value in tags.items() if value},
            source=row.source,
        )
    )


def _options(listed: str) -> list[str]:
    """The texts of "A. red B. blue", on one line or several: each from its letter to the next."""
    begins: list[re.Match[str]] = []
    for letter in string.ascii_uppercase:
        start = begins[-1].end() if begins else 0
        match = re.compile(rf"(?<!\w)\(?{letter}[.)]\s*").search(listed, start)
        if match is None:
            break
        begins.append(match)
    ends = [match.start() for match in begins[1:]] + [len(listed)]
    texts = (listed[one.end() : end].strip() for one, end in zip(begins, ends, strict=True))
    found = [one.partition("\n")[0].rstrip(_ENDS) for one in texts]
    return found if len(found) > 1 else []


def _spans(row: Row, header: VideoHeader) -> Iterator[str]:
    """Each "START END" in seconds."""
    pairs: Any = row.values.get("valid_frames") or []
    if not isinstance(pairs, list):
        row.fail('"valid_frames" must be a list of pairs')
    for pair in pairs:
        first, last = _numbers(row, "valid_frames", pair, 2)
        if not 1 <= first <= last <= header.num_frames:
            row.fail(f'"valid_frames" {pair!r:.40} is not in 1 to {header.num_frames}')
        yield f"{header.time_of(first - 1):g} {header.time_of(last):g}"
    segments: Any = row.values.get("valid_segments") or []
    if pairs or not segments:
        return
    if not isinstance(segments, list):
        row.fail(f'"valid_segments" must be a list, got {segments!r:.60}')
    count, step = _segments(header)
    for number in _numbers(row, "valid_segments", segments, len(segments)):
        if not 1 <= number <= count:
            row.fail(f'"valid_segments" has {number}, of a video of {count}')
        last = header.num_frames if number == count else number * step
        yield f"{header.time_of((number - 1) * step):g} {header.time_of(last):g}"


def _segments(header: VideoHeader) -> tuple[int, int]:
    """How many a video has, and the frames of each."""
    count = SEGMENTS
    while header.duration_s / count < SHORTEST_S and count > 1:
        count -= 1
    while header.duration_s / count > LONGEST_S:
        count += 1
    return count, header.num_frames // count


def _keys(row: Row, header: VideoHeader) -> Iterator[str]:
    """Each box as "SECOND [left, top, right, bottom]"."""
    pairs: Any = row.values.get("valid_bounding_box") or []
    for pair in pairs if isinstance(pairs, list) else [None]:
        if not isinstance(pair, list) or len(pair) != 2:
            row.fail('"valid_bounding_box" must be a list of [frame, [x1, y1, x2, y2]]')
        (frame,) = _numbers(row, "valid_bounding_box", [pair[0]], 1)
        if not 1 <= frame <= header.num_frames:
            row.fail(f'"valid_bounding_box" has frame {frame}, of {header.num_frames}')
        box = row.box(pair[1], form="xyxy", key="valid_bounding_box", on=header.size)
        edges = json.dumps([round(edge, 1) for edge in box.as_tuple()])
        yield f"{header.time_of(frame - 1):g} {edges}"


def _numbers(row: Row, key: str, value: Any, count: int) -> list[int]:
    """Whole numbers, which the release also writes as texts."""
    found = [int(one) for one in value if str(one).isdigit()] if isinstance(value, list) else []
    if len(found) != count:
        row.fail(f'"{key}" must hold whole numbers, got {value!r:.60}')
    return found
