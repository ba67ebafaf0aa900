"""Does the policy see what the question rests on? Short questions with known answers, beside each
rollout.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from statistics import fmean

from vigorl.core.errors import ConfigError
from vigorl.core.ranges import NotNegative, check_ranges
from vigorl.core.records import TaskRecord
from vigorl.core.rollout import Rollout
from vigorl.core.trace import ANSWER
from vigorl.data.checklists import Checklist as Items
from vigorl.rollout.dialog import Dialog
from vigorl.rollout.environment import Environment
from vigorl.rollout.probes.paired import own_seed
from vigorl.rollout.probes.probe import Schedule

ASK_ALL = "Answer each question about the picture in a line of its own, in their order, briefly."
_NUMBER = re.compile(r"^\s*\(?\d{1,3}\s*[.):]\s*")


@dataclass(frozen=True, slots=True, kw_only=True)
class Checklist:
    """A `Probe`, sampled as rollouts are: the share of right answers, as `checklist`; over a group
    it has as many samples as rollouts, and `training.algorithms.prompt_factor.ByProbe` makes the
    gate of it.

    These answers may be learned from too, with an advantage of their own (a `TeachingProbe`): that
    moved the paper's average from 44.2 to 45.8, gate and factor from 46.7 to 47.9.

    Attributes:
        items: The sub-questions of a task.
        one_prompt: All in one prompt, answered at once, without a thought or a look (the paper);
            False asks each by itself, as a task like any other, looks included.
        coef: What the loss of these answers counts beside that of the rollouts; the paper 0.1.
        schedule: When it asks.
    Raises:
        ConfigError: A setting out of its range, or a part of a group that would be learned from.
    Source: PEARL, arXiv:2511.18437 (training code was not released; the prompt is ours, and so is
        that without `one_prompt` each short question has advantages of its own).
    """

    items: Items
    one_prompt: bool = True
    coef: NotNegative = 0.0
    schedule: Schedule = field(default_factory=Schedule)

    def __post_init__(self) -> None:
        check_ranges(self, "probes.checklist")
        if self.coef and self.schedule.num_rollouts is not None:
            raise ConfigError(
                "probes.checklist.coef above 0 compares whole groups: it needs "
                f"probes.checklist.schedule.num_rollouts=null, got {self.schedule.num_rollouts}"
            )

    @property
    def most_answers(self) -> int | None:
        return 1 if self.one_prompt else self.items.most

    def dialogs(
        self, rollout: Rollout, *, environment: Environment, others: Iterable[Rollout]
    ) -> list[Dialog]:
        items = self.items(rollout.task)
        if not items:
            return []
        asked = [_all_in_one(rollout.task, items)] if self.one_prompt else items
        found = []
        for number, task in enumerate(asked):
            name = f"checklist_{number}"
            dialog = environment.start(
                task,
                group=f"{rollout.group}/{name}",
                index=rollout.index,
                seed=own_seed(rollout, name),
            )
            if self.one_prompt:
                dialog.restore((), prefix_ids=tuple(environment.codec.prefix_ids(ANSWER)))
            found.append(dialog)
        return found

    def measure(self, rollout: Rollout, answers: Sequence[Rollout]) -> Mapping[str, float]:
        return {"checklist": fmean(self.scores(rollout, answers))}

    def scores(self, rollout: Rollout, answers: Sequence[Rollout]) -> list[float]:
        """Of each answer; of one to all questions the share that is right."""
        if not self.one_prompt:
            return [one.score for one in answers]
        items, said = self.items(rollout.task), read_lines(answers[0].answer or "")
        scores = [item.score(line) for item, line in zip(items, said[: len(items)], strict=False)]
        return [sum(scores) / len(items)]  # lines that are missing are wrong


def read_lines(text: str) -> list[str]:
    """Answers, one in a line, without their numbers.

    >>> read_lines("1. red\\n\\n 2) a cup ")
    ['red', 'a cup']
    """
    lines = (_NUMBER.sub("", line).strip() for line in text.splitlines())
    return [line for line in lines if line]


def _all_in_one(task: TaskRecord, items: Sequence[TaskRecord]) -> TaskRecord:
    lines = [
        f"{number}. {item.question}" + (f" ({' / '.join(item.options)})" if item.options else "")
        for number, item in enumerate(items, start=1)
    ]
    return replace(
        task, id=f"{task.id}/checklist", question="\n".join([ASK_ALL, *lines]), options=()
    )
