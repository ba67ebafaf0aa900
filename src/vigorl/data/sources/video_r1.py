"""Video-R1's rows and those of the same form: VideoRFT, Video-CoT's, LongVideo-Reason.

    [{"problem_id": 2, "problem": "What appears on the screen?", "data_type": "video",
      "problem_type": "multiple choice", "options": ["A. A notification", "B. A command"],
      "process": "<think>A pop-up ...</think>", "solution": "<answer>A</answer>",
      "path": "./clips/a.mp4", "data_source": "LLaVA-Video-178K"}, ...]

One JSON list, or JSON lines. The video, or of "image" rows the picture, may also stand under
"videos" or "video", as a text or a list; the answer under "answer", without tags; "id" may be the
number's name. "process" is in the files with worked solutions alone, and read as traces.
Sources: tulerfeng/Video-R1's data card (Video-R1-260k.json, Video-R1-COT-165k.json);
QiWang98/VideoRFT@56388ed, grpo_trainer.py; inclusionAI/AReaL, longvideo_reason.py.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

from vigorl.core.records import TaskRecord, TraceRecord
from vigorl.core.scoring import NumberMatch, Scorer, TextMatch
from vigorl.core.trace import Step, Trace, has_tag
from vigorl.data.faults import STRICT, Rules
from vigorl.data.sources.files import collect, item_rows, line_rows, opens_list
from vigorl.data.sources.lettered import answer_of, distinct
from vigorl.data.sources.option_texts import without_labels
from vigorl.data.sources.rows import Row

Record = TypeVar("Record", TaskRecord, TraceRecord)

CHOICE = "multiple choice"
MEDIA = ("path", "videos", "video")
_ANSWER = re.compile(r"<answer>(.*?)</answer>", re.DOTALL)
_THINK = re.compile(r"<think>(.*?)</think>", re.DOTALL)
# Video-R1 rounds numbers to two places; its graded kinds ("regression", "OCR", "free-form") are
# judged as text and number here, wholly right or not
_SCORERS: dict[str, Scorer] = {"numerical": NumberMatch(decimals=2), "regression": NumberMatch()}


def read_video_r1(
    path: str | Path, *, image_root: str | Path | None = None, rules: Rules = STRICT
) -> Sequence[TaskRecord]:
    """Every question, its kind ("problem_type") as the category.

    Args:
        path: The JSON list, or JSON lines.
        image_root: Where its names of videos and pictures start; the file's own folder when None.
        rules: What becomes of bad rows, and which frames a question shows.
    Raises:
        DataError: With file and row: a missing key, video or picture, or an answer that is none of
            the options.
    """
    return _read(path, _task, image_root=image_root, rules=rules)


def read_video_r1_traces(
    path: str | Path,
    *,
    scorer: Scorer | None = None,
    image_root: str | Path | None = None,
    keep_system: bool = False,
    rules: Rules = STRICT,
) -> Sequence[TraceRecord]:
    """Every worked solution, its "process" as the one thought before the answer.

    Args:
        path, image_root, rules: As of `read_video_r1`.
        scorer, keep_system: Have no effect: a row says how it is judged, and has no system prompt.
    Raises:
        DataError: As `read_video_r1`; or "process" is missing or holds tags of its own.
    """
    return _read(path, _trace, image_root=image_root, rules=rules)


def _read(
    path: str | Path,
    make: Callable[[Row], Record],
    *,
    image_root: str | Path | None,
    rules: Rules,
) -> Sequence[Record]:
    rows = (item_rows if opens_list(Path(path)) else line_rows)(path, image_root=image_root)
    return collect(rows, make, rules=rules)


def _task(row: Row) -> TaskRecord:
    kind, stated = row.text("problem_type", default=""), _stated(row)
    options = distinct(row, without_labels(row.texts("options", is_required=kind == CHOICE)))
    if options:
        stated = stated if stated in options else answer_of(row, stated, options, key="solution")
    scorer = TextMatch() if options else _SCORERS.get(kind, TextMatch())
    media = _media(row)
    return row.checked(
        TaskRecord(
            id=row.identity(key="problem_id" if "problem_id" in row.values else "id"),
            question=row.text("problem"),
            answer=stated,
            images=media,
            scorer=row.scorer(scorer, stated, key="solution", image=media[0]),
            options=options,
            category=kind,
            source=row.source,
        )
    )


def _trace(row: Row) -> TraceRecord:
    process = row.text("process", default=row.text("reasoning", default=""))
    inside = _THINK.search(process)
    thought = (inside[1] if inside else process).strip()
    if not thought or has_tag(thought):
        row.fail('"process" must be one thought, "<think>...</think>"')
    task = _task(row)
    return TraceRecord(task, Trace((Step(thought),), task.answer))


def _stated(row: Row) -> str:
    """The right answer as the row writes it, without tags."""
    key = "solution" if "solution" in row.values else "answer"
    text = row.text(key)
    inside = _ANSWER.search(text)
    return (inside[1] if inside else text).strip()


def _media(row: Row) -> tuple[str, ...]:
    key = next((key for key in MEDIA if key in row.values), MEDIA[0])
    value = row.values.get(key)
    named = row.texts(key) if isinstance(value, list) else (row.text(key),)
    if not named:
        row.fail(f'"{key}" is empty; a question has a video or a picture')
    return tuple(map(row.picture, named))
