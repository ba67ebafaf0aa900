"""V*Bench: details of large pictures, four or two options (CVPR 2024, arXiv:2312.14135).

Both released forms are read: the folders, whose options are shuffled here (the first is the right
one) and whose boxes say whether a zoom hit; or `test_questions.jsonl` alone, in the authors' order.
Only the two categories of the paper count, not the other folders of its repository. It is quoted by
the share of right answers over all 191 questions; the mean of its two categories is another number.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from vigorl.core.errors import ConfigError
from vigorl.core.records import TaskRecord
from vigorl.data.sources.vstar_folder import CATEGORIES, read_vstar_folder
from vigorl.data.sources.vstar_questions import read_vstar_questions
from vigorl.evaluation.benchmarks.benchmark import Benchmark


@dataclass(frozen=True, kw_only=True)
class VStarBench(Benchmark):
    """V*Bench.

    Attributes:
        form: Which of the released forms is read.
    """

    form: Literal["folders", "questions"] = "folders"

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.form not in ("folders", "questions"):
            raise ConfigError(f"data.form must be folders or questions, got {self.form!r}")

    def tasks(self) -> Sequence[TaskRecord]:
        if self.form == "folders":
            return read_vstar_folder(self.folder, seed=self.option_seed, rules=self.rules)
        tasks = read_vstar_questions(self.folder / "test_questions.jsonl", rules=self.rules)
        return [task for task in tasks if task.category in CATEGORIES]
