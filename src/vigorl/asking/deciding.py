"""An answer that a rule of inference makes of several samples, for people and programs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from vigorl.asking.asker import Asker, Talk, opened
from vigorl.core.records import TaskRecord
from vigorl.core.rollout import Rollout
from vigorl.rollout.dialog import Dialog
from vigorl.rollout.environment import Environment
from vigorl.rollout.inference.rule import CHOSEN, ask_by_rule
from vigorl.rollout.seeds import derive_seed


@dataclass(frozen=True, slots=True)
class Decision:
    """What a rule chose.

    Attributes:
        talk: The answer's dialog, which is done.
        dialog: The same, for who shows it otherwise.
        rollouts: All that were sampled, and what was replied about them.
        chosen: Which of them is the answer.
        saw: What the rule saw and chose, in a line.
    """

    talk: Talk
    dialog: Dialog
    rollouts: Sequence[Rollout]
    chosen: int
    saw: str

    @property
    def candidates(self) -> list[Rollout]:
        """Those that the answer was chosen among."""
        return [one for one in self.rollouts if CHOSEN in one.probes]


def decide(
    asker: Asker, task: TaskRecord, *, seed: int = 0, environment: Environment | None = None
) -> Decision:
    """Answer a question by the asker's rule.

    Args:
        asker: With a rule.
        task: The question.
        seed: Of the samples.
        environment: As it is asked without the rule; None: greedily.
    Raises:
        ConfigError: The rule has no meaning for the question.
        EngineError: The engine failed, or a judge gave no reply.
    """
    rule = asker.rule
    assert rule is not None
    rule.check([task])
    plain = environment or asker.environment.greedy()
    seeds = [derive_seed(seed, "asked", i) for i in range(rule.num_candidates)]
    dialogs = opened(rule.sampled(plain), task, seeds)

    def ask(some: Sequence[Dialog]) -> list[Rollout]:
        for _ in asker.run(some):
            pass
        return [one.rollout(policy_version=asker.engine.policy_version) for one in some]

    asked = ask_by_rule(ask, rule, dialogs, environment=plain)
    (chosen,), (ruling,) = asked.chosen, asked.rulings
    dialog = dialogs[ruling.chosen]
    return Decision(Talk(asker, dialog), dialog, asked.rollouts, chosen, ruling.saw)
