"""Steps in a browser: the next action on a screenshot whose elements wear numbers.

A step is right when the action, the element and, where something is typed, the text are; each is
also reported alone.
Source: Gabesarch/grounded-rl@e7970c0 (reward_function/web_action.py), Gabesarch/ICAL@f4588d5.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from vigorl.core.errors import ConfigError, DataError
from vigorl.core.records import TaskRecord
from vigorl.core.rollout import Rollout
from vigorl.core.scoring.action import parse_action
from vigorl.core.scoring.web_step import WebStep, step_parts
from vigorl.data.sources.files import collect, object_rows
from vigorl.data.sources.rl_jsonl import read_rl_jsonl
from vigorl.data.sources.rows import Row
from vigorl.evaluation.benchmarks.benchmark import Benchmark


@dataclass(frozen=True, kw_only=True)
class WebActions(Benchmark):
    """Web action rows of the ViGoRL release, in the form of its RL data.

    Attributes:
        file: Where it lies in the download, a glob pattern; its pictures are named from there.
    """

    file: str

    def tasks(self) -> Sequence[TaskRecord]:
        rows = [
            task
            for path in self.files(self.file)
            for task in read_rl_jsonl(
                path, scorer=WebStep(), image_root=self.folder, rules=self.rules
            )
        ]
        return [replace(task, category=_verb(task.answer), cluster=_episode(task)) for task in rows]

    def extras(self, rollout: Rollout) -> Mapping[str, float]:
        return step_parts(rollout.answer, rollout.task.answer)


@dataclass(frozen=True, kw_only=True)
class IcalSteps(WebActions):
    """The steps of ICAL's examples: objective, screenshot, actions before, and what was done next.

    Its trajectories ARE tasks of VisualWebArena's test, so whoever trains on them must not report
    on those: the tag "vwa_task" names them.

    Attributes:
        only_right_steps: Leave out steps that ICAL rates 0.0, whose action is no right answer.
        with_observation: Keep the list of elements as text beside the screenshot.
        with_abstractions: Add what ICAL has learnt from the trajectory to the question.
    """

    only_right_steps: bool = True
    with_observation: bool = False
    with_abstractions: bool = False

    def tasks(self) -> Sequence[TaskRecord]:
        make = partial(_ical_task, bench=self)
        rows = (row for path in self.files(self.file) for row in _ical_rows(path))
        made = collect(rows, make, rules=self.rules)
        return [task for task in made if task is not None]


def _ical_rows(path: Path) -> Iterator[Row | DataError]:
    """A row per example, whose values are {"example": [...]}."""
    for whole in object_rows([path]):
        if isinstance(whole, DataError):
            yield whole
            continue
        examples = whole.values.get("examples")
        if not isinstance(examples, list):
            whole.fail('"examples" must be a list of steps')
        root = next((one for one in path.parents if (one / "learned_examples").is_dir()), None)
        if root is None:
            raise ConfigError(f"{path}: no folder above it has learned_examples, the screenshots")
        for number, example in enumerate(examples, start=1):
            yield replace(
                whole, values={"example": example}, name=f"item {number}", root=root,
                notes=Counter[str](),
            )  # fmt: skip


def _ical_task(row: Row, *, bench: IcalSteps) -> TaskRecord | None:
    example = row.values["example"]
    if not isinstance(example, list) or len(example) != 5 or not _is_step(example):
        row.fail("an example must be [prompt, plan, picture, [abstractions], 0.0 or 1.0]")
    prompt, plan, picture, abstractions, is_right = example
    if bench.only_right_steps and not is_right:
        row.notes["steps are rated 0.0 by ICAL, and left out"] += 1
        return None
    path = row.picture(picture)
    episode = Path(path).parent.name
    answer = _action(row, plan)
    return row.checked(
        TaskRecord(
            id=f"{episode}:{Path(path).stem}",
            question=_question(prompt, abstractions, bench=bench),
            answer=answer,
            images=(path,),
            scorer=row.scorer(WebStep(), answer, key="plan", image=path),
            category=_verb(answer),
            cluster=episode,
            tags={
                "vwa_task": episode,
                "site": episode.rpartition("_")[0],
                "rated": f"{is_right:g}",
            },
            source=row.source,
        )
    )


def _is_step(example: Sequence[object]) -> bool:
    prompt, plan, picture, abstractions, is_right = example
    return (
        all(isinstance(one, str) for one in (prompt, plan, picture))
        and isinstance(abstractions, list)
        and is_right in (0, 1)
    )


def _action(row: Row, plan: str) -> str:
    """The action between the backticks, its last bracket closed where the file has cut it off."""
    found = re.findall(r"```(.+?)```", plan, re.DOTALL)
    if len(found) != 1:
        row.fail(f"the plan must hold one ```action```, it holds {len(found)}")
    action = found[0].strip()
    if action.count("[") > action.count("]"):
        row.notes["actions are cut off, and end where the file ends them"] += 1
        action += "]"
    return action


def _question(prompt: str, abstractions: Sequence[str], *, bench: IcalSteps) -> str:
    """Without the elements as text, unless they are asked for: then it reads as the web action rows
    of the release do.
    """
    if not bench.with_observation:
        prompt = re.sub(r"OBSERVATION:.*?(?=PREVIOUS ACTIONS:)", "", prompt, flags=re.DOTALL)
    if bench.with_abstractions and abstractions:
        prompt += "\n\nKNOWN:\n" + "\n".join(f"- {one}" for one in abstractions)
    return prompt.strip()


def _verb(action: str) -> str:
    parsed = parse_action(action)
    return "" if parsed is None else parsed.verb


def _episode(task: TaskRecord) -> str:
    """The folder of the screenshots: one of each task's."""
    return Path(task.images[0]).parent.name
