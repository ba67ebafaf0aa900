"""How questions are asked: each in a dialog of its own, unless a benchmark says otherwise.

What a log holds is not asked again, and what is finished is kept there at once.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from vigorl.core.errors import ConfigError
from vigorl.core.protocols import Engine
from vigorl.core.records import TaskRecord
from vigorl.core.rollout import Rollout
from vigorl.evaluation.answers import AnswerLog
from vigorl.evaluation.protocols.kit import KitPrompt
from vigorl.rollout.collector import build_dialogs, collect
from vigorl.rollout.dialog import Dialog
from vigorl.rollout.environment import Environment
from vigorl.rollout.inference.rule import InferenceRule, Ruling, ask_by_rule


@dataclass(frozen=True, slots=True)
class Asked:
    """What asking has given.

    Attributes:
        rollouts: All, to record, reward and show.
        judged: Which of them are what came out, by index: those of the first question first,
            equally many each. The others are earlier steps of theirs.
    """

    rollouts: list[Rollout]
    judged: Sequence[int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Asking:
    """How often, under which name, and who is told.

    Attributes:
        num_samples: Rollouts, or episodes, per question.
        phase: Names the phase; part of group names and of every seed.
        run_seed: Of the sampling noise.
        log: Keeps what is finished.
        on_progress: Called with how many are there, and of how many, at the start and after each.
    """

    num_samples: int
    phase: str
    run_seed: int
    log: AnswerLog | None = None
    on_progress: Callable[[int, int], None] | None = None

    def tell(self, num_done: int, num_all: int) -> None:
        if self.on_progress is not None:
            self.on_progress(num_done, num_all)


def ask(
    engine: Engine, environment: Environment, tasks: Sequence[TaskRecord], asking: Asking
) -> Asked:
    """Ask every question in dialogs of its own."""
    dialogs = build_dialogs(
        environment,
        tasks,
        group_size=asking.num_samples,
        phase=asking.phase,
        run_seed=asking.run_seed,
    )
    rollouts = ask_all(engine, dialogs, asking)
    return Asked(rollouts, range(len(rollouts)))


def ask_ruled(
    engine: Engine,
    environment: Environment,
    tasks: Sequence[TaskRecord],
    asking: Asking,
    rule: InferenceRule,
) -> tuple[Asked, list[Ruling]]:
    """Ask every question by a rule of inference; one ruling per answer, in the order of `judged`.

    Raises:
        ConfigError: The rule has no meaning for a question, or the engine cannot do what it needs;
            or it chooses by answers that the protocol's prompt asks for without tags.
    """
    if rule.num_candidates > 1 and isinstance(environment.prompt, KitPrompt):
        raise ConfigError(
            "inference chooses by what stands between answer tags, for which a kit's prompt does "
            "not ask: set protocol=vigorl, or leave out inference"
        )
    rule.check(tasks)
    rule.attach(engine)
    dialogs = build_dialogs(
        rule.sampled(environment),
        tasks,
        group_size=asking.num_samples * rule.num_candidates,
        phase=asking.phase,
        run_seed=asking.run_seed,
    )
    told = iter((asking, replace(asking, on_progress=None)))
    asked = ask_by_rule(
        lambda some: ask_all(engine, some, next(told)), rule, dialogs, environment=environment
    )
    return Asked(asked.rollouts, asked.chosen), asked.rulings


def ask_all(engine: Engine, dialogs: Sequence[Dialog], asking: Asking) -> list[Rollout]:
    """The rollouts of all dialogs, in their order; those that the log holds are taken from it."""
    log = asking.log
    asked = {(one.group, one.index) for one in dialogs}
    found = log.found if log is not None else {}
    done = {name: rollout for name, rollout in found.items() if name in asked}
    missing = [one for one in dialogs if (one.group, one.index) not in done]
    asking.tell(len(dialogs) - len(missing), len(dialogs))

    def finished(rollout: Rollout) -> None:
        done[rollout.group, rollout.index] = rollout
        if log is not None:
            log.keep(rollout)
        asking.tell(len(done), len(dialogs))

    if missing:
        collect(engine, missing, phase=asking.phase, on_done=finished)
    return [done[one.group, one.index] for one in dialogs]
