"""My own data format: a table of questions. A reader makes tasks of its rows; whoever splits them
and trains on them needs nothing else.

    python examples/my_format.py my_table
    PYTHONPATH=examples python -m vigorl.train --config-dir examples/configs data=my_format \\
        data.file=my_table/questions.csv
    PYTHONPATH=examples python -m vigorl.evaluate --config-dir examples/configs data=my_format \\
        data.file=my_table/questions.csv

The first line writes 40 pictures and questions.csv; put your own there instead. A bad row is
refused with its file and line before any model is loaded.
"""

from __future__ import annotations

import csv
import random
import sys
from pathlib import Path

from PIL import Image, ImageDraw

from vigorl.core.records import TaskRecord
from vigorl.data.sources.rows import Row, root_of

COLOURS = ("red", "green", "blue", "yellow")


def read_table(path: str | Path, *, image_root: str | Path | None = None) -> list[TaskRecord]:
    """Every row as a task: picture, question, answer, wrong (options, with a semicolon between).

    Args:
        path: The CSV file, with a line of names at the top.
        image_root: Where its picture names start; the file's own folder when None.
    Raises:
        DataError: With file and line: a missing column or picture.
    """
    path, root = Path(path), root_of(path, image_root)
    with path.open(newline="", encoding="utf-8") as file:
        lines = csv.DictReader(file)
        return [_task(Row(values, path, lines.line_num, root=root)) for values in lines]


def _task(row: Row) -> TaskRecord:
    options = [row.text("answer"), *row.text("wrong").split(";")]
    random.Random(row.source).shuffle(options)
    return TaskRecord(
        id=str(row.line),
        question=row.text("question"),
        answer=row.text("answer"),
        images=(row.picture(row.text("picture")),),
        options=tuple(options),
        source=row.source,
    )


if __name__ == "__main__":
    folder = Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    lines = ["picture,question,answer,wrong"]
    for number in range(40):
        colour, *wrong = random.Random(number).sample(COLOURS, 3)
        picture = Image.new("RGB", (448, 448), "gray")
        ImageDraw.Draw(picture).ellipse((10 * number, 200, 10 * number + 12, 212), fill=colour)
        picture.save(folder / f"{number}.png")
        lines.append(f"{number}.png,Which colour is the dot?,{colour},{';'.join(wrong)}")
    (folder / "questions.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
