"""TreeBench: 405 questions on small things, with the boxes of what must be seen (arXiv:2507.07999).

Quoted by the letter, and by how well the boxes that the policy names anywhere in its text overlap
with those (mean over questions of the mean over targets of the best IoU). A policy that names none
has 0 by definition; so the share of answers that name boxes, the overlap in those, and, for one
that names points, the share of its points that lie in a target stand beside. Boxes and points are
taken in the frame in which the policy writes, and blanks or decimals in a box do not matter
(VLMEvalKit gives 0 for them).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from vigorl.core.records import TaskRecord
from vigorl.core.rollout import Rollout
from vigorl.core.scoring.boxes import box_numbers
from vigorl.core.trace import find_points
from vigorl.data.sources.files import collect
from vigorl.data.sources.lettered import answer_of, distinct
from vigorl.data.sources.option_texts import parse_list
from vigorl.data.sources.pictures import Pictures
from vigorl.data.sources.rows import Row
from vigorl.data.sources.tables import table_rows
from vigorl.evaluation.benchmarks.benchmark import Benchmark

POINTS_IN_TARGETS = "points_in_targets"
_COLUMNS = ("index", "image", "question", "answer", "category", "target_instances")


@dataclass(frozen=True, kw_only=True)
class TreeBench(Benchmark):
    """TreeBench; the category is such as "Perception/OCR", the tag "kind" what stands before.

    Attributes:
        file: The table in the download, a glob pattern.
    """

    file: str

    def tasks(self) -> Sequence[TaskRecord]:
        files, make = self.files(self.file), partial(_task, pictures=Pictures())
        return collect(table_rows(files, columns=(*_COLUMNS, *"ABCD")), make, rules=self.rules)

    def extras(self, rollout: Rollout) -> Mapping[str, float]:
        targets, view = rollout.task.targets, rollout.prompt_views[0]
        text = "\n".join(turn.text for turn in rollout.turns)
        found = box_numbers(text, targets, view=view)
        points = [view.to_original(one) for one in find_points(text) if view.holds(one)]
        hits = [any(box.contains(point) for box in targets) for point in points]
        return {**found, POINTS_IN_TARGETS: sum(hits) / len(hits)} if hits else found


def _task(row: Row, *, pictures: Pictures) -> TaskRecord:
    options = tuple(filter(None, (row.text(letter) for letter in "ABCD")))
    images, category = pictures.files(row, "image"), row.text("category")
    return row.checked(
        TaskRecord(
            id=row.identity(key="index", is_required=True),
            question=row.text("question"),
            answer=answer_of(row, row.text("answer"), options, key="answer"),
            images=images,
            options=distinct(row, options),
            targets=tuple(
                row.box(box, form="xyxy", key="target_instances", on=row.picture_size(images[0]))
                for box in _boxes(row)
            ),
            category=category,
            tags={"kind": category.partition("/")[0]},
            source=row.source,
        )
    )


def _boxes(row: Row) -> list[object]:
    try:
        return parse_list(row.text("target_instances").strip() or "[]")
    except ValueError as error:
        row.fail(f'"target_instances" {error}')
