"""POPE: is there such a thing in the picture? Yes or no (EMNLP 2023, arXiv:2305.10355).

Three splits of 3,000 questions on 500 COCO pictures name the absent things at random, by frequency
and by company; 9,000 rows are 5,127 different questions, each of which is asked once here, and
wears its splits as tags. The share of "yes" is that of the policy's answers (lmms-eval prints that
of the labels, always one half). An answer that is neither is wrong, and no "yes".

9.3 % of the "yes" labels and 1.7 % of the "no" labels are wrong (RePOPE, arXiv:2504.15707): its
labels, and without the questions that it drops, are a second score where they are given.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

from vigorl.core.errors import ConfigError, DataError
from vigorl.core.records import TaskRecord
from vigorl.core.rollout import Rollout
from vigorl.core.scoring.yes_no import YesNo, read_yes_no
from vigorl.data.sources.files import collect, read_lines
from vigorl.data.sources.pictures import Pictures
from vigorl.data.sources.rows import Row
from vigorl.data.sources.tables import table_rows
from vigorl.evaluation.benchmarks.benchmark import Benchmark
from vigorl.evaluation.metrics import F1, SAYS_NO, SAYS_YES, Mean, Metric, YesNoAccuracy

SPLITS = ("random", "popular", "adversarial")
RELABELLED = "repope"  # the tag
_REQUEST = "Please answer yes or no."


@dataclass(frozen=True, kw_only=True)
class Pope(Benchmark):
    """POPE on COCO.

    Attributes:
        file: The questions in the download, a glob pattern: JSON lines of the authors
            ("coco_pope_*.json"), Parquet, or VLMEvalKit's TSV.
        pictures: The folder in the download with the COCO pictures that the authors' files name.
        relabelled: The folder in the download with RePOPE's "coco_repope_*.json"; no second score
            when "".
    """

    file: str
    pictures: str = "val2014"
    relabelled: str = ""
    metrics: Mapping[str, Metric] = field(default_factory=lambda: {"accuracy": Mean()})

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.relabelled:
            again = {
                "accuracy by RePOPE": YesNoAccuracy(labels=RELABELLED),
                "F1 by RePOPE": F1(labels=RELABELLED),
            }
            object.__setattr__(self, "metrics", {**self.metrics, **again})

    def tasks(self) -> Sequence[TaskRecord]:
        by_question: dict[str, TaskRecord] = {}
        for task in self._rows():
            first = by_question.setdefault(task.id, task)
            if first.answer != task.answer:
                raise DataError(f"{task.source} and {first.source} label {task.id!r} differently")
            by_question[task.id] = replace(first, tags={**first.tags, **task.tags})
        labels = self._labels()
        return [
            replace(task, tags={**task.tags, RELABELLED: labels[task.id]})
            if task.id in labels
            else task
            for task in by_question.values()
        ]

    def extras(self, rollout: Rollout) -> Mapping[str, float]:
        says = None if rollout.answer is None else read_yes_no(rollout.answer)
        return {SAYS_YES: float(says is True), SAYS_NO: float(says is False)}

    def _rows(self) -> Sequence[TaskRecord]:
        files = self.files(self.file)
        if files[0].suffix == ".json":
            found: list[TaskRecord] = []
            for path in files:
                make = partial(_official, split=path.stem.split(".")[0].rpartition("_")[2])
                rows = table_rows(path, root=self.folder / self.pictures)
                found += collect(rows, make, rules=self.rules)
            return found
        pictures = Pictures()
        return collect(table_rows(files), partial(_packed, pictures=pictures), rules=self.rules)

    def _labels(self) -> dict[str, str]:
        """RePOPE's, by the ids of the questions."""
        if not self.relabelled:
            return {}
        paths = sorted((self.folder / self.relabelled).glob("coco_repope_*.json"))
        if not paths:
            raise ConfigError(
                f"data.relabelled={self.relabelled!r}: {self.folder} holds no such folder with "
                "coco_repope_*.json; get them there by\n    git clone "
                f"https://github.com/YanNeu/RePOPE {self.folder / 'RePOPE'}\n"
                "and say data.relabelled=RePOPE/annotations"
            )
        rows = (row for path in paths for row in read_lines(path))
        return {_name(row.text("image"), row.text("text")): row.text("label") for row in rows}


def _official(row: Row, *, split: str) -> TaskRecord:
    name, question = row.text("image"), row.text("text")
    path = row.picture(name)
    return _task(row, question, row.text("label"), path, name=name, splits=(split,))


def _packed(row: Row, *, pictures: Pictures) -> TaskRecord:
    """A row of Parquet, with one split, or of TSV, with all splits of its question."""
    (path,) = pictures.files(row, "image")
    splits = tuple(one.strip() for one in row.text("category").split(","))
    name = row.text("image_source", default=path)
    return _task(row, row.text("question"), row.text("answer"), path, name=name, splits=splits)


def _task(
    row: Row, question: str, answer: str, image: str, *, name: str, splits: tuple[str, ...]
) -> TaskRecord:
    question, answer = question.removesuffix(_REQUEST).strip(), answer.strip().lower()
    unknown = [split for split in splits if split not in SPLITS]
    if unknown:
        row.fail(f"the split {unknown[0]!r} is none of {', '.join(SPLITS)}")
    return row.checked(
        TaskRecord(
            id=_name(name, question),
            question=question,
            answer=answer,
            images=(image,),
            scorer=row.scorer(YesNo(), answer, key="answer", image=image),
            tags=dict.fromkeys(splits, "yes"),
            source=row.source,
        )
    )


def _name(image: str, question: str) -> str:
    return f"{Path(image).stem}: {question.strip()}"
