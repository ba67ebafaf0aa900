"""Questions about videos in verl's rows, as FrameThinker and REVISOR train on them.

    {"prompt": [{"role": "user", "content": "<video>\\nWho waves?\\nA. The man\\nB. The girl"}],
     "videos": [{"video": "a.mp4", "fps": 1}], "reward_model": {"ground_truth": "B"},
     "data_source": "example", "extra_info": {"query": "Who waves?"}}

FrameThinker's name the video and the question in "extra_info" ("video_path", "question"), beside
frames that are shown first, which are not read: `data.frames` says which are. Parquet, JSON lines
or one JSON list. A right answer "[12.5, 20.0]" is an interval in seconds.
Sources: lcqysl/FrameThinker-RL@c099402, verl/utils/dataset/rl_dataset.py and
think_with_video_reward.py; SeerRay-Lab/REVISOR@b8de071, scripts/datasets/construct_*.py.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from vigorl.core.records import TaskRecord
from vigorl.data.faults import STRICT, Rules
from vigorl.data.sources.files import collect
from vigorl.data.sources.lettered import answer_of, distinct
from vigorl.data.sources.option_texts import split_options
from vigorl.data.sources.rows import Row
from vigorl.data.sources.tables import table_rows

_SLOTS = re.compile(r"(?:^frame \d+:\s*)?<(?:video|image)>\n?", re.MULTILINE)
_TAIL = re.compile(r"\s*The video durations is .*", re.DOTALL)  # REVISOR's, with its format
_LETTER = re.compile(r"\(?([A-Z])\)?\.?")


def read_verl_video(
    path: str | Path, *, image_root: str | Path | None = None, rules: Rules = STRICT
) -> Sequence[TaskRecord]:
    """Every question, its "data_source" as the category; the tag "span" where the answer is an
    interval (`core.rewards.video`).

    Args:
        path: Parquet, JSON lines or a JSON list.
        image_root: Where its videos' names start; the file's own folder when None.
        rules: What becomes of bad rows, and which frames a question shows.
    Raises:
        DataError: With file and row: a missing key or video, or a letter of none of the options.
    """
    return collect(table_rows(path, root=image_root), _record, rules=rules)


def _record(row: Row) -> TaskRecord:
    extra = _object(row, "extra_info")
    stated = _object(row, "reward_model").get("ground_truth")
    if not isinstance(stated, str):
        row.fail('"reward_model" must have the text "ground_truth"')
    asked = extra.get("question")  # FrameThinker's has its options in it
    text = asked if isinstance(asked, str) else _asked(row)
    text = _TAIL.sub("", text)
    try:
        question, listed = split_options(text)
    except ValueError as error:
        row.fail(f'"prompt": {error}')
    answer, tags, options = stated.strip(), dict[str, str](), distinct(row, listed)
    if span := _span(answer):
        tags["span"] = f"{span[0]:g} {span[1]:g}"
        answer, options = f"{span[0]:g} to {span[1]:g}", ()
    elif options and answer not in options and _LETTER.fullmatch(answer):
        answer = answer_of(row, answer, listed, key="reward_model")
    if answer not in options:  # what is listed stays in the question
        question, options = text.strip(), ()
    return row.checked(
        TaskRecord(
            id=str(extra["id"]) if extra.get("id") is not None else row.identity(),
            question=question,
            answer=answer,
            images=tuple(row.picture(name) for name in _videos(row, extra)),
            options=options,
            category=row.text("data_source", default=""),
            tags=tags,
            source=row.source,
        )
    )


def _asked(row: Row) -> str:
    """The user's words, without the places of videos and frames."""
    said = row.values.get("prompt")
    users = [
        one.get("content")
        for one in (said if isinstance(said, list) else ())
        if isinstance(one, Mapping) and one.get("role") == "user"
    ]
    if not users or not isinstance(users[-1], str):
        row.fail('"prompt" must be a list of messages, with a text of the "user"')
    return _SLOTS.sub("", users[-1]).strip()


def _videos(row: Row, extra: Mapping[str, Any]) -> Iterator[str]:
    if isinstance(named := extra.get("video_path"), str) and named:
        yield named
        return
    videos = row.objects("videos")
    for one in videos:
        if not isinstance(one.get("video"), str):
            row.fail('"videos" must be objects with a "video"')
        yield one["video"]
    if not videos:
        row.fail('"videos" is empty, and "extra_info" has no "video_path"')


def _span(answer: str) -> tuple[float, float] | None:
    """The seconds of "[12.5, 20.0]"."""
    try:
        start, end = map(float, json.loads(answer))
    except (ValueError, TypeError):
        return None
    return (start, end) if 0 <= start < end else None


def _object(row: Row, key: str) -> Mapping[str, Any]:
    value = row.values.get(key) or {}
    if not isinstance(value, Mapping):
        row.fail(f'"{key}" must be an object, got {value!r:.60}')
    return value
