"""Another source's questions, of those to train on the ones that a file names.

    python -m vigorl.train data=kept data.path=RUN/questions.jsonl data@data.base=made_world

The file is what a search kept (`search.kept_files`): questions by their ids, with the answers that
are right, which a vote may have changed. Validation and test stay those of the source.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from vigorl.core.errors import ConfigError
from vigorl.core.records import TaskRecord
from vigorl.core.scoring.relabel import with_answer
from vigorl.data.sources.files import read_lines
from vigorl.data.sources.rows import Row
from vigorl.data.splits import DataSource, DataSplits


@dataclass(frozen=True, kw_only=True)
class KeptQuestions:
    """The questions of `base` whose ids stand in a file.

    Attributes:
        base: Gives the questions.
        path: `questions.jsonl` of a search.
    """

    base: DataSource
    path: str

    def prepare(self) -> None:
        if not Path(self.path).exists():
            raise ConfigError(
                f"data.path={self.path!r} does not exist; give the questions.jsonl of a search "
                "with keep=..."
            )
        self.base.prepare()

    def load(self) -> DataSplits:
        """Raises:
        ConfigError: The file names none of the questions.
        DataError: See `read_lines`; or an answer is not one of its question's options.
        """
        splits = self.base.load()
        rows = {row.identity(is_required=True): row for row in read_lines(self.path)}
        kept = [_as_kept(one, rows[one.id]) for one in splits.train_tasks if one.id in rows]
        if not kept:
            raise ConfigError(
                f"data.path={self.path!r} names none of the {len(splits.train_tasks)} training "
                "questions of data.base: it must be the source, with the same settings, that the "
                "search was given"
            )
        return replace(splits, train_tasks=kept)


def _as_kept(task: TaskRecord, row: Row) -> TaskRecord:
    """The question with the answer that the file has."""
    answer = row.text("answer")
    if answer == task.scorer.answer_text(task.answer):
        return task
    if task.options and answer not in task.options:
        row.fail(f"the answer {answer!r:.80} is not among the options {list(task.options)!s:.200}")
    try:
        return with_answer(task, answer)
    except ValueError as error:
        row.fail(f'"answer" {error}')
