"""V*Bench as its authors ship it: a folder per category, with NAME.jpg (or .png) beside
NAME.json in each.

    {"target_object": ["cup"], "bbox": [[1297, 556, 26, 28]],
     "question": "...", "options": ["right", "wrong", "wrong"]}

The FIRST option is always the right one, so a reader that keeps the order hands a policy the
answer: it is shuffled here, per record. Boxes are x, y, width, height in ORIGINAL pixels. A key of
our own, "tags", holds texts by name.
Source: https://huggingface.co/datasets/craigwu/vstar_bench
"""

from __future__ import annotations

import json
import random
import shutil
from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path

from vigorl.core.errors import DataError
from vigorl.core.records import TaskRecord
from vigorl.data.faults import STRICT, Rules
from vigorl.data.sources.files import collect, object_rows
from vigorl.data.sources.rows import Row, numbers

CATEGORIES = (
    "direct_attributes",
    "relative_position",
)  # the benchmark's two; its repository holds other folders as well
SUFFIXES = (".jpg", ".jpeg", ".png")  # or in capitals


def read_vstar_folder(
    path: str | Path,
    *,
    categories: Sequence[str] = CATEGORIES,
    seed: int = 0,
    rules: Rules = STRICT,
) -> Sequence[TaskRecord]:
    """Every question of the given categories, by category and name.

    Args:
        path: The folder that holds the category folders.
        categories: Subfolders to read; each becomes `TaskRecord.category`.
        seed: Of the options' order; a record's order depends on it and on the record's id alone.
        rules: What becomes of bad questions.
    Raises:
        DataError: A missing folder or picture, a picture without a question, a malformed file, or a
            box off the picture.
    """
    files: list[Path] = []
    pictures: dict[Path, list[Path]] = {}  # by their path without its ending
    for category in categories:
        folder = Path(path) / category
        if not folder.is_dir():
            raise DataError(f"there is no category folder {category!r}", path=path)
        questions = sorted(folder.glob("*.json"))
        files += questions
        names = {file.stem for file in questions}
        for picture in sorted(folder.iterdir()):
            if picture.suffix.lower() in SUFFIXES:
                if picture.stem not in names:
                    raise DataError("the picture has no question file beside it", path=picture)
                pictures.setdefault(picture.with_suffix(""), []).append(picture)
    if not files:
        raise DataError(f"no question in {', '.join(categories)}", path=path)
    make = partial(_read_record, root=Path(path), pictures=pictures, seed=seed)
    return collect(object_rows(files), make, rules=rules)


def write_vstar_folder(
    records: Iterable[TaskRecord],
    path: str | Path,
    *,
    target_objects: Sequence[Sequence[str]] | None = None,
) -> list[Path]:
    """Write records in the benchmark's layout, pictures copied beside their questions.

    Args:
        records: With options, targets and a category; the id's last part ("category/NAME") names
            the files.
        path: The folder to write into.
        target_objects: What each target box of each record is called; empty names when not given.
    Returns:
        The question files written.
    Raises:
        DataError: A record without category, or whose answer is not among its options.
    """
    written = []
    for number, record in enumerate(records):
        if not record.category or record.answer not in record.options or len(record.images) != 1:
            raise DataError(
                f"{record.id}: V*Bench's layout needs a category, one picture, and options that "
                "hold the answer",
                path=record.source or None,
            )
        folder = Path(path) / record.category
        folder.mkdir(parents=True, exist_ok=True)
        name = record.id.rpartition("/")[2]
        picture = folder / f"{name}{Path(record.images[0]).suffix.lower()}"
        if picture.resolve() != Path(record.images[0]).resolve():
            shutil.copyfile(record.images[0], picture)
        names = target_objects[number] if target_objects else [""] * len(record.targets)
        row = {
            "target_object": list(names),
            "bbox": [numbers(box, form="xywh") for box in record.targets],
            "question": record.question,
            "options": [record.answer, *(text for text in record.options if text != record.answer)],
        }
        if record.tags:
            row["tags"] = dict(record.tags)
        written.append(folder / f"{name}.json")
        written[-1].write_text(json.dumps(row, ensure_ascii=False), encoding="utf-8")
    return written


def _read_record(
    row: Row, *, root: Path, pictures: Mapping[Path, Sequence[Path]], seed: int
) -> TaskRecord:
    file, category = row.path, row.path.parent.relative_to(root).as_posix()
    found = [one for one in pictures.get(file.with_suffix(""), ()) if one.is_file()]
    if len(found) != 1:
        row.fail(f"needs one picture {file.stem}{'|'.join(SUFFIXES)} beside it, found {len(found)}")
    options = row.texts("options")
    if not options:
        row.fail('"options" is empty')
    record_id = f"{category}/{file.stem}"
    shuffled = sorted(options)  # so that the order tells nothing, and a written copy reads the same
    random.Random(f"{seed}:{record_id}").shuffle(shuffled)
    return row.checked(
        TaskRecord(
            id=record_id,
            question=row.text("question"),
            answer=options[0],
            images=(str(found[0]),),
            options=tuple(shuffled),
            targets=row.boxes("bbox", form="xywh", on=row.picture_size(str(found[0]))),
            category=category,
            tags=row.tags(),
            source=row.source,
        )
    )
