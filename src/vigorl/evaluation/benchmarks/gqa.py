"""GQA, test-dev balanced: 12,578 questions made from scene graphs (CVPR 2019, arXiv:1902.09506).

One accepted answer per question, compared as a text: synonyms and plurals are wrong. 398 pictures
carry 31 questions each, so intervals over questions would be far too narrow. Pictures and questions
are two tables, joined by the picture's id.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from vigorl.core.records import TaskRecord
from vigorl.data.sources.files import collect
from vigorl.data.sources.pictures import Pictures
from vigorl.data.sources.rows import Row
from vigorl.data.sources.tables import table_rows
from vigorl.evaluation.benchmarks.benchmark import Benchmark

_COLUMNS = ("id", "imageId", "question", "answer", "types")


@dataclass(frozen=True, kw_only=True)
class Gqa(Benchmark):
    """GQA; the category is the structure of the question (verify, query, choose, ...).

    Attributes:
        file: The questions in the download, a glob pattern; VLMEvalKit's TSV holds the pictures
            too, and no structures.
        pictures: The pictures in the download, a glob pattern.
    """

    file: str
    pictures: str = "testdev_balanced_images/*.parquet"

    def tasks(self) -> Sequence[TaskRecord]:
        files, pictures = self.files(self.file), Pictures()
        if files[0].suffix == ".tsv":
            make = partial(_tsv_row, pictures=pictures)
            return collect(table_rows(files), make, rules=self.rules)
        rows = table_rows(self.files(self.pictures), columns=("id", "image"))
        one = partial(_picture, pictures=pictures)
        by_id = dict(collect(rows, one, rules=self.rules))
        make = partial(_row, images=by_id)
        return collect(table_rows(files, columns=_COLUMNS), make, rules=self.rules)


def _picture(row: Row, *, pictures: Pictures) -> tuple[str, str]:
    (path,) = pictures.files(row, "image")
    return row.text("id"), path


def _row(row: Row, *, images: Mapping[str, str]) -> TaskRecord:
    picture, types = row.text("imageId"), row.values["types"]
    if picture not in images:
        row.fail(f"the picture {picture!r:.60} is not among the {len(images)} of the other table")
    structure = types.get("structural") if isinstance(types, Mapping) else None
    return _task(row, row.text("id"), images[picture], cluster=picture, category=structure or "")


def _tsv_row(row: Row, *, pictures: Pictures) -> TaskRecord:
    (path,) = pictures.files(row, "image")
    return _task(row, row.text("index"), path)


def _task(row: Row, name: str, image: str, *, cluster: str = "", category: str = "") -> TaskRecord:
    return row.checked(
        TaskRecord(
            id=name,
            question=row.text("question"),
            answer=row.text("answer"),
            images=(image,),
            category=category,
            cluster=cluster,
            source=row.source,
        )
    )
