"""Which column of a table of one's own holds what, by its name, and what kind of cells it has.

Names that are given are taken as they are; of the others the first that is there counts. Whoever
guesses says what was guessed (`Guess.told`).
"""

from __future__ import annotations

import string
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any

from vigorl.core.errors import ConfigError, DataError
from vigorl.data.sources.option_texts import letter_index, listed_options, split_options
from vigorl.data.sources.rows import BoxForm, Row, boxes_of
from vigorl.data.sources.tables import no_such_column

# in the order of trust; compared without case, spaces and underscores
NAMES: Mapping[str, Sequence[str]] = {
    "question": ("question", "query", "problem", "prompt", "instruction", "text"),
    "answer": (
        "answer", "label", "ground_truth", "gt", "correct_answer", "solution", "target", "response",
        "output",
    ),
    "image": (
        "image", "images", "picture", "pictures", "img", "image_path", "image_file", "file_name",
        "filename", "img_filename", "img_path", "photo", "path",
    ),
    "options": ("options", "choices", "candidates", "multi_choice_options"),
    "boxes": ("boxes", "bbox", "bboxes", "box", "target_boxes", "targets"),
    "id": ("id", "question_id", "qid", "uid", "index"),
    "category": ("category", "question_type", "task", "subset"),
    "split": ("split",),
}  # fmt: skip
NEEDED = ("question", "answer", "image")


@dataclass(frozen=True, slots=True)
class Guess:
    """What is where.

    Attributes:
        names: By what they hold, columns; several of options ("A", "B", ...) or of pictures.
        answer_form: How a right option is written; see `ColumnMap`.
        box_form: How boxes are; None where there are none.
        in_question: Whether options stand at the end of the question.
        told: In words.
    """

    names: Mapping[str, str | Sequence[str]]
    answer_form: str
    box_form: BoxForm | None
    in_question: bool
    told: str


def guess_columns(
    rows: Sequence[Row],
    given: Mapping[str, str | Sequence[str] | None],
    *,
    answer_form: str | None = None,
    box_form: BoxForm | None = None,
) -> Guess:
    """Read a table's first rows.

    Args:
        rows: At least one.
        given: By what they hold, the columns that somebody has named; "" says that there is none.
        answer_form, box_form: Likewise, how they are written.
    Raises:
        DataError: A column is not there, or none is found for question, answer or image.
        ConfigError: Boxes could be written in either way.
    """
    columns = list(dict.fromkeys(name for row in rows for name in row.values))
    names: dict[str, str | Sequence[str]] = {}
    for what, known in NAMES.items():
        said = given.get(what)
        wanted = [said] if isinstance(said, str) else said
        if wanted and any(wanted):
            plain = [one for one in wanted if "{" not in one]
            if lost := [one for one in plain if one not in columns]:
                raise DataError(f"data.{what}: {no_such_column(lost, columns)}", path=rows[0].path)
            names[what] = said if isinstance(said, str) else list(wanted)
        elif said is None and (found := _found(columns, known, used=names)):
            names[what] = found
    if "options" not in names and given.get("options") is None:
        letters = [one for one in string.ascii_uppercase if one in columns]
        if len(letters) > 1 and letters[:2] == ["A", "B"]:
            names["options"] = letters
    for what in NEEDED:
        if what not in names and given.get(what) != "":
            near = _near(columns, NAMES[what], used=names)
            guess = f"; did you mean data.{what}={near}?" if near else f": say data.{what}=NAME;"
            raise DataError(
                f"no column is called as {what}s are{guess} columns: {', '.join(columns)}",
                path=rows[0].path,
            )
    in_question = "options" not in names and given.get("options") is None and _all_end(rows, names)
    has_options = "options" in names or in_question
    form = answer_form or (_answer_form(rows, names) if has_options else "text")
    boxes = (box_form or _box_form(rows, names["boxes"])) if "boxes" in names else None
    told = _told(names, given, form if has_options else None, boxes)
    told += ", options at the end of the question" if in_question else ""
    return Guess(names, form, boxes, in_question, told)


def _all_end(rows: Sequence[Row], names: Mapping[str, Any]) -> bool:
    """Whether every question ends in options with their letters."""
    name = names["question"]
    return isinstance(name, str) and all(_in_question(row, name) for row in rows)


def _in_question(row: Row, name: str) -> Sequence[str]:
    try:
        return split_options(str(row.values.get(name) or ""))[1]
    except ValueError:
        return ()


def _found(columns: Sequence[str], known: Sequence[str], *, used: Mapping[str, Any]) -> str | None:
    by_name = {_plain(one): one for one in reversed(columns) if one not in used.values()}
    return next((by_name[name] for name in map(_plain, known) if name in by_name), None)


def _near(columns: Sequence[str], known: Sequence[str], *, used: Mapping[str, Any]) -> str | None:
    """A column with a slip in its name."""
    plain = [_plain(one) for one in known]
    left = [one for one in columns if one not in used.values()]
    near = (one for one in left if get_close_matches(_plain(one), plain, n=1, cutoff=0.75))
    return next(near, None)


def _plain(name: str) -> str:
    return name.casefold().replace("_", "").replace(" ", "")


def _answer_form(rows: Sequence[Row], names: Mapping[str, Any]) -> str:
    """The way of writing that fits most rows."""
    fits = {"text": 0, "letter": 0, "index": 0}
    for row in rows:
        answer = row.values.get(names["answer"])
        options = (
            options_of(row, names["options"])
            if "options" in names
            else _in_question(row, names["question"])
        )
        said = "" if answer is None else str(answer).strip()
        if not options or not said:
            continue
        fits["text"] += said.casefold() in [one.strip().casefold() for one in options]
        fits["index"] += said.isdigit() and int(said) < len(options)
        try:
            fits["letter"] += letter_index(said) < len(options)
        except ValueError:
            continue
    return max(fits, key=lambda form: fits[form])  # of equals the first


def options_of(row: Row, name: str | Sequence[str]) -> Sequence[str]:
    """The options of a row as texts; none where they cannot be read."""
    if not isinstance(name, str):
        return [str(row.values[one]) for one in name if row.values.get(one) not in (None, "")]
    value = row.values.get(name)
    if isinstance(value, list | tuple):
        return [str(one) for one in value]
    try:
        return listed_options("" if value is None else str(value))
    except ValueError:
        return ()


def _box_form(rows: Sequence[Row], name: Any) -> BoxForm:
    """The one way in which all boxes can have been written."""
    boxes = [box for row in rows for box in _boxes(row, name) if _is_four(box)]
    if any(box[2] <= box[0] or box[3] <= box[1] for box in boxes):
        return "xywh"  # else right would be left of left
    raise ConfigError(
        f"data.boxes={name}: say how they are written, data.box_form=xyxy (left, top, right, "
        "bottom) or data.box_form=xywh (left, top, width, height)"
    )


def _boxes(row: Row, name: str) -> Sequence[Any]:
    """Those of a row; none where they cannot be read, which is said where its task is made."""
    try:
        return boxes_of(row, name)
    except DataError:
        return ()


def _is_four(box: Any) -> bool:
    return (
        isinstance(box, list | tuple)
        and len(box) == 4
        and all(isinstance(one, int | float) for one in box)
    )


def _told(
    names: Mapping[str, Any],
    given: Mapping[str, Any],
    answer_form: str | None,
    box_form: str | None,
) -> str:
    shown = [
        f"{what}={name if isinstance(name, str) else ','.join(name)}"
        f"{'' if given.get(what) else ' (guessed)'}"
        for what, name in names.items()
    ]
    if answer_form:
        shown.append(f"answer_form={answer_form}")
    if box_form:
        shown.append(f"box_form={box_form}")
    return ", ".join(shown)
