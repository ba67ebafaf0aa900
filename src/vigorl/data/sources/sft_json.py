"""The released supervised data: worked solutions as chat messages, in one JSON list or as JSONL.

    {"id": "0", "metadata": {}, "messages": [
        {"role": "system", "content": "..."}, {"role": "user", "content": "<image>\\nWhat ...?"},
        {"role": "assistant", "content": "<think> ... (50, 20) </think>\\n<tool_call>\\n{...}"},
        {"role": "user", "content": "<observation>\\n...:\\n<image>\\n</observation>"},
        {"role": "assistant", "content": "<think> ... </think>\\n<answer> red </answer>"}],
     "images": ["a.png", "a_crop_0.png"], "gt_answer": "red"}

Observations are not kept: crops are cut again from the original (which saves the 88 GB of crop
files). Coordinates refer to the first picture's file as it is on disk, or are shares of it (0 to
1). Our own keys in "metadata": "frame" ([width, height] the coordinates refer to, null for "as the
model sees it"), and "options", "targets", "category", "tags" as in `rl_jsonl`.
Source: the released `scripts/mcts/build_reasoning_chains_from_mcts*.py`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from vigorl.core.errors import ConfigError
from vigorl.core.geometry import Size
from vigorl.core.records import TaskRecord, TraceRecord
from vigorl.core.scoring import Scorer, TextMatch
from vigorl.core.trace import IMAGE_SLOT, Trace, find_points, observation_text, parse_trace
from vigorl.data.faults import STRICT, Rules
from vigorl.data.sources.files import (
    collect,
    item_rows,
    line_rows,
    opens_list,
    write_rows,
)
from vigorl.data.sources.rl_jsonl import read_targets, task_columns
from vigorl.data.sources.rows import MAX_NUMBER, Row, are_shares, root_of

_KEPT = ("options", "targets", "category", "tags")
_ENDINGS = (".json", ".jsonl")
SHOWN = (
    "Here is the crop of the image"  # introduces the crops of written files; readers do not keep it
)


def read_sft_json(
    path: str | Path,
    *,
    scorer: Scorer | None = None,
    image_root: str | Path | None = None,
    keep_system: bool = True,
    rules: Rules = STRICT,
) -> Sequence[TraceRecord]:
    """Every solution of a JSON list or JSONL file.

    Args:
        path: The file; its first character tells which of the two it is.
        scorer: Judges this file's answers; by their text when None.
        image_root: Where its picture names start; the file's own folder when None.
        keep_system: False puts the run's own prompt in place of the file's system texts, as GRPO
            and evaluation will use it.
        rules: What becomes of bad rows.
    Raises:
        DataError: With file and line or item: a missing key or picture, messages out of order, a
            turn that does not follow the grammar, or a box off the picture.
    """
    rows = item_rows if opens_list(Path(path)) else line_rows
    make = partial(_record, scorer=scorer or TextMatch(), keep_system=keep_system)
    return collect(rows(path, image_root=image_root), make, rules=rules)


def write_sft(
    records: Iterable[TraceRecord], *paths: str | Path, image_root: str | Path | None = None
) -> None:
    """Write solutions so that `read_sft_json` gives them back (all but `source`).

    Args:
        records: The solutions; each is rendered once, for all files, and none is kept.
        paths: Files in one folder: ".json" for one list with a row per line, as released, ".jsonl"
            for a line each.
        image_root: Where picture names start; the files' own folder when None.
    Raises:
        ConfigError: A file has another ending.
    """
    files = [Path(path) for path in paths]
    for path in files:
        if path.suffix not in _ENDINGS:
            raise ConfigError(f"path must end in one of {sorted(_ENDINGS)}, got {path.name!r}")
    root = root_of(files[0], image_root)
    write_rows((_row(record, root=root) for record in records), *files)


def _record(row: Row, *, scorer: Scorer, keep_system: bool) -> TraceRecord:
    system, question, trace = _read_messages(row)
    names = row.texts("images")
    num_images = max(1, question.count(IMAGE_SLOT))
    if len(names) < num_images:
        row.fail(f'{num_images} pictures in the question, but {len(names)} in "images"')
    images = tuple(map(row.picture, names[:num_images]))
    metadata = row.values.get("metadata") or {}
    if not isinstance(metadata, Mapping):
        row.fail('"metadata" must be an object')
    extra = replace(row, values=metadata)
    answer = row.text("gt_answer", default=trace.answer)
    task = row.checked(
        TaskRecord(
            id=row.identity(),
            question=question,
            answer=answer,
            images=images,
            scorer=row.scorer(scorer, answer, key="gt_answer", image=images[0]),
            options=extra.options(answer),
            targets=read_targets(extra, images[0]),
            category=extra.text("category", default=""),
            tags=extra.tags(),
            source=row.source,
        )
    )
    frame = extra.size("frame") if "frame" in metadata else _frame(row, trace, images[0])
    return TraceRecord(task, trace, frame, system if keep_system else None)


def _read_messages(row: Row) -> tuple[str | None, str, Trace]:
    """The system text, the question, and the assistant's turns as a trace."""
    messages = [replace(row, values=message) for message in row.objects("messages")]
    chat = [(message.text("role"), message.text("content")) for message in messages]
    system = chat.pop(0)[1] if chat and chat[0][0] == "system" else None
    roles = [role for role, _ in chat]
    if not chat or roles != ["user", "assistant"] * (len(chat) // 2):
        row.fail(f"messages must be user and assistant in turn, ending in assistant; got {roles}")
    question = chat[0][1]
    before, slot, after = question.partition(f"{IMAGE_SLOT}\n")
    if slot and not before and IMAGE_SLOT not in after:
        question = after  # one picture before the text is what a question without slots means
    try:
        trace = parse_trace([text for role, text in chat if role == "assistant"])
    except ValueError as error:
        row.fail(f"the solution does not follow the grammar: {error}")
    for step in trace.steps:
        for call in step.tool_calls:
            if not _is_finite(call.arguments):
                row.fail(f"{call.name!r:.40} is called with a number that is none")
    return system, question, trace


def _frame(row: Row, trace: Trace, image: str) -> Size:
    """What the coordinates of a solution refer to that does not say so: the pixels of its picture,
    or shares of it (0 to 1).
    """
    numbers: list[float] = []
    for step in trace.steps:
        for point in find_points(step.think):
            numbers += (point.x, point.y)
        for value in (value for call in step.tool_calls for value in call.arguments.values()):
            numbers += [n for n in value if type(n) in (int, float)] if type(value) is list else ()
    if not are_shares(numbers):
        return row.picture_size(image)
    row.notes["solutions point in shares of the picture (0 to 1), and are taken so"] += 1
    return Size(1, 1)


def _is_finite(value: object) -> bool:
    """Whether a call's arguments hold only numbers that a picture could have."""
    if isinstance(value, Mapping):
        value = list(value.values())
    if isinstance(value, list):
        return all(map(_is_finite, value))
    return not isinstance(value, int | float) or abs(value) <= MAX_NUMBER


def _row(record: TraceRecord, *, root: Path) -> dict[str, Any]:
    task, frame = record.task, record.frame
    columns = task_columns(task, root=root)
    question = task.question
    if IMAGE_SLOT not in question:
        question = IMAGE_SLOT * len(task.images) + "\n" + question
    messages = [{"role": "user", "content": question}]
    if record.system is not None:
        messages.insert(0, {"role": "system", "content": record.system})
    for turn in record.trace.turns():
        messages.append({"role": "assistant", "content": turn})
        messages.append({"role": "user", "content": observation_text((f"{SHOWN}:\n{IMAGE_SLOT}",))})
    metadata = {key: columns[key] for key in _KEPT if key in columns}
    metadata["frame"] = None if frame is None else [frame.width, frame.height]
    return {
        "id": columns["id"],
        "metadata": metadata,
        "messages": messages[:-1],
        "images": columns["images"],
        "gt_answer": columns["answer"],
    }
