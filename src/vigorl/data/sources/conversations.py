r"""The released evaluation and training questions that are written as conversations, one per line.

    {"id": 0, "image": "spatial_reasoning/sat2_test/images/0_merged.png", "conversations": [
       {"from": "human", "value": "<image>\nQuestion: Which moved?\nAnswer Choices:\nA. the box\n
        B. neither\nAnswer with the text of the option."},
       {"from": "gpt", "value": "the box"}]}

"image" may also be a list of pictures, in the order in which they are shown. Options are taken out
of the text, and so are the label before the question, slots that all stand before it, and the
request for the option's text: the prompt lays them out and says how to answer. A text without
"Answer Choices:" is an open question and kept as it is. A third turn and later ones are refused.
Source: `src/vlmsearch/datasets/data_loader.py` of the released code.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from vigorl.core.records import TaskRecord
from vigorl.core.scoring import Scorer, TextMatch
from vigorl.core.scoring.ending import WithoutEnding
from vigorl.core.trace import IMAGE_SLOT
from vigorl.data.faults import STRICT, Rules
from vigorl.data.sources.files import collect, line_rows
from vigorl.data.sources.option_texts import split_options
from vigorl.data.sources.rows import Row

_CHOICES = re.compile(r"\n\s*Answer Choices:[ \t]*(?=\n)")
_LEADING = re.compile(rf"(?:\s*{re.escape(IMAGE_SLOT)})*\s*")
_ASKS, _ANSWERS = ("human", "user"), ("gpt", "assistant")


def read_conversations(
    path: str | Path,
    *,
    scorer: Scorer | None = None,
    image_root: str | Path | None = None,
    rules: Rules = STRICT,
) -> Sequence[TaskRecord]:
    """Every line as a task.

    Args:
        path: The JSONL file.
        scorer: Judges this file's answers; by their text when None. An ending that it leaves out is
            left out of options and right answers too.
        image_root: Where its picture names start; the file's own folder when None.
        rules: What becomes of bad rows.
    Raises:
        DataError: With file and line: a missing key or picture, slots that do not fit the pictures,
            options out of order, or an answer that is none of them.
    """
    make = partial(_record, scorer=scorer or TextMatch())
    return collect(line_rows(path, image_root=image_root), make, rules=rules)


def _record(row: Row, *, scorer: Scorer) -> TaskRecord:
    images = tuple(map(row.picture, _names(row)))
    asked, answer = _turns(row)
    question, options = _split(row, asked)
    if isinstance(scorer, WithoutEnding):
        answer, options = scorer.strip(answer), tuple(map(scorer.strip, options))
    if options and answer not in options:
        row.fail(f"the answer {answer!r:.80} is not among the options {list(options)!s:.200}")
    return row.checked(
        TaskRecord(
            id=row.identity(),
            question=_without_slots(question, num_images=len(images)),
            answer=answer,
            images=images,
            scorer=row.scorer(scorer, answer, key="conversations", image=images[0]),
            options=options,
            category=row.text("category", default=""),
            source=row.source,
        )
    )


def _names(row: Row) -> tuple[str, ...]:
    if isinstance(row.values.get("image"), str):
        return (row.text("image"),)
    names = row.texts("image")
    return names or row.fail('"image" is empty; a task has at least one picture')


def _turns(row: Row) -> tuple[str, str]:
    """What is asked, and the right answer."""
    turns = row.objects("conversations")
    if len(turns) != 2:
        row.fail(f'"conversations" must be a question and its answer, got {len(turns)} turns')
    return _said(row, turns[0], _ASKS), _said(row, turns[1], _ANSWERS).strip()


def _said(row: Row, turn: Mapping[str, Any], names: tuple[str, ...]) -> str:
    text = turn.get("value")
    if turn.get("from") not in names or not isinstance(text, str):
        row.fail(f'"conversations": a turn from {names[0]!r} with a "value" was due, got {turn!r}')
    return text


def _split(row: Row, text: str) -> tuple[str, tuple[str, ...]]:
    """The question and its options; none where the text lists none."""
    if not _CHOICES.search(text):
        return text, ()
    try:
        question, options = split_options(_CHOICES.sub("", text))
    except ValueError as error:
        row.fail(str(error))
    if not options:
        row.fail('there are no options behind "Answer Choices:", each on a line with its letter')
    slots = _LEADING.match(question)
    end = slots.end() if slots else 0
    question = question[:end] + question[end:].removeprefix("Question:").lstrip()
    return question, options


def _without_slots(question: str, *, num_images: int) -> str:
    """The question without its slots where all stand before it, as pictures do unless told."""
    leading = _LEADING.match(question)
    if leading and leading[0].count(IMAGE_SLOT) == num_images == question.count(IMAGE_SLOT):
        return question[leading.end() :].strip()
    return question.strip()
