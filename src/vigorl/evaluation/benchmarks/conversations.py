"""Questions that the ViGoRL release writes as conversations (`data.sources.conversations`)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from vigorl.core.records import TaskRecord
from vigorl.core.scoring.ending import WithoutEnding
from vigorl.data.sources.conversations import read_conversations
from vigorl.evaluation.benchmarks.benchmark import Benchmark


@dataclass(frozen=True, kw_only=True)
class ConversationsBenchmark(Benchmark):
    """A file of them.

    Attributes:
        file: Where it lies in the download, a glob pattern; its pictures are named from there.
        ignored_ending: Words that an answer, an option or a right answer may end in or not; "" for
            none.
    """

    file: str
    ignored_ending: str = ""

    def tasks(self) -> Sequence[TaskRecord]:
        scorer = WithoutEnding(self.ignored_ending) if self.ignored_ending else None
        return [
            task
            for path in self.files(self.file)
            for task in read_conversations(
                path, scorer=scorer, image_root=self.folder, rules=self.rules
            )
        ]
