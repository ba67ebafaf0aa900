"""V*Bench: details of large pictures, four or two options (CVPR 2024, arXiv:2312.14135).

All stored forms are read: the folders, whose options are shuffled here (the first is the right one)
and whose boxes say whether a zoom hit; `test_questions.jsonl` alone, in the authors' order; and its
copies for lmms-eval (Parquet) and VLMEvalKit (TSV).
Only the two categories of the paper count, not the other folders of its repository. It is quoted by
the share of right answers over all 191 questions; the mean of its two categories is another number.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, get_args

from vigorl.core.errors import ConfigError
from vigorl.core.records import TaskRecord
from vigorl.data.sources.columns import ColumnMap, read_tasks
from vigorl.data.sources.vstar_folder import CATEGORIES, read_vstar_folder
from vigorl.data.sources.vstar_questions import read_vstar_questions
from vigorl.evaluation.benchmarks.benchmark import Benchmark

VStarForm = Literal["folders", "questions", "parquet", "tsv"]

_TABLES = {
    "parquet": (  # lmms-lab-encoder/vstar-bench
        "**/test-*.parquet",
        ColumnMap(
            question="text", options_in_question=True, answer="label", answer_form="letter",
            pictures="image", id="question_id", category="category",
        ),
    ),
    "tsv": (  # xjtupanda/VStar_Bench
        "**/VStarBench.tsv",
        ColumnMap(
            question="question", options=["A", "B", "C", "D"], answer="answer",
            answer_form="letter", pictures="image", id="index", category="category",
        ),
    ),
}  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class VStarBench(Benchmark):
    """V*Bench.

    Attributes:
        form: Which of the released forms is read.
    """

    form: VStarForm = "folders"

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.form not in get_args(VStarForm):
            names = ", ".join(get_args(VStarForm))
            raise ConfigError(f"data.form must be one of {names}, got {self.form!r}")

    def tasks(self) -> Sequence[TaskRecord]:
        if self.form == "folders":
            self.files(f"{CATEGORIES[0]}/*.json")
            return read_vstar_folder(self.folder, seed=self.option_seed, rules=self.rules)
        if self.form == "questions":
            (file,) = self.files("test_questions.jsonl")
            tasks = read_vstar_questions(file, rules=self.rules)
        else:
            pattern, columns = _TABLES[self.form]
            files = self.files(pattern)
            tasks = read_tasks(files, columns, root=self.folder, rules=self.rules)
        return [task for task in tasks if task.category in CATEGORIES]
