"""The rollouts of an evaluation, kept the moment each is finished.

A line of answers.jsonl is a recorded rollout (`rollout.recorder`) whose reward is not yet known, in
order of finishing. An evaluation that was killed reads it and asks only for what is missing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from operator import attrgetter
from pathlib import Path
from types import TracebackType

from vigorl.core.errors import ConfigError
from vigorl.core.records import TaskRecord
from vigorl.core.rollout import RewardBreakdown, Rollout, ScoredRollout
from vigorl.rollout.recorder import RolloutRecorder, cut_torn_line, read_rollouts

_NOT_YET = RewardBreakdown(0.0)


class AnswerLog:
    """Finished rollouts in a file.

    Args:
        path: Of the file; one that exists is gone on with, without the torn line of a kill.
        phase: Of the evaluation.
        run_seed: Of its sampling noise.

    Attributes:
        found: What the file held, by group and index.
    """

    def __init__(self, path: Path, *, phase: str, run_seed: int) -> None:
        self.path, self._phase = path, phase
        if path.exists():
            cut_torn_line(path)
        kept = [one.scored.rollout for one in read_rollouts(path)] if path.exists() else []
        self.found: dict[tuple[str, int], Rollout] = {(r.group, r.index): r for r in kept}
        self._recorder = RolloutRecorder(path, run_seed=run_seed)

    def keep(self, rollout: Rollout) -> None:
        """Write a rollout down."""
        self._recorder.write(ScoredRollout(rollout, _NOT_YET), phase=self._phase)

    def take(self, rollouts: Iterable[Rollout]) -> None:
        """Write down what others have answered and this file does not hold."""
        for rollout in rollouts:
            if (rollout.group, rollout.index) not in self.found:
                self.keep(rollout)
                self.found[rollout.group, rollout.index] = rollout

    def check(
        self,
        tasks: Sequence[TaskRecord],
        question_of: Callable[[Rollout], TaskRecord] = attrgetter("task"),
    ) -> None:
        """Raises ConfigError where an answer is to another question than today's of its id."""
        asked = {task.id: task for task in tasks}
        for rollout in self.found.values():
            if asked.get(rollout.task.id) != question_of(rollout):
                raise ConfigError(
                    f"{self.path} answers the question {rollout.task.id!r}, which the data no "
                    "longer have, or have otherwise; begin a new evaluation"
                )

    def __enter__(self) -> AnswerLog:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._recorder.close()
