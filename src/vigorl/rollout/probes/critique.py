"""Does a critique help? A critic's turn after the answer, and the dialog goes on to another one."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol

from vigorl.core.rewards.turns import hits_of_turns
from vigorl.core.rollout import Rollout, Turn
from vigorl.core.trace import observation_parts, render_point, text_of
from vigorl.rollout.dialog import Dialog
from vigorl.rollout.environment import Environment
from vigorl.rollout.probes.paired import ask_anew, own_seed
from vigorl.rollout.probes.probe import Schedule


class Critic(Protocol):
    """What is wrong with a rollout, in words; "" where there is nothing to say."""

    def __call__(self, rollout: Rollout) -> str: ...


@dataclass(frozen=True, slots=True)
class LookCritic:
    """A critic by rules, who knows the targets and not the answer: it names what no look has shown.

    Attributes:
        says_where: It also says where that is.
    """

    says_where: bool = True

    def __call__(self, rollout: Rollout) -> str:
        targets = rollout.task.target_boxes
        seen = {number for _, hit in hits_of_turns(rollout) for number in hit}
        missed = [target for number, target in enumerate(targets) if number not in seen]
        if not missed:
            return ""
        said = "No look shows what is asked about."
        if len(missed) < len(targets):
            said = "One of the places that are asked about was not looked at."
        if not self.says_where:
            return said
        return f"{said} It is at {render_point(rollout.prompt_views[0].to_text(missed[0].center))}."


@dataclass(frozen=True, slots=True, kw_only=True)
class Critique:
    """A `Probe` of answered rollouts about which the critic has something to say. The critique
    comes as the environment's reply to the answer; what follows is sampled as the rollout was,
    within its limits, so that answer 2 minus answer 1 is the critic's and not the sampling's.

    It keeps `critique_score`, the second answer's, and `critique_gain`, that minus the first's.
    Neither is a reward: a gain pays for a first answer that is wrong.

    Attributes:
        critic: Writes the critique.
        schedule: When it asks.
    Source: the inference loop of Critic-V, arXiv:2411.18203 (one round); its critic is a model of
        its own, trained by DPO on answers with planted errors.
    """

    critic: Critic
    schedule: Schedule = field(default_factory=Schedule)

    def dialogs(
        self, rollout: Rollout, *, environment: Environment, others: Iterable[Rollout]
    ) -> list[Dialog]:
        said = self.critic(rollout) if rollout.answer is not None else ""
        if not said or len(rollout.turns) >= environment.limits.max_turns:
            return []
        dialog = ask_anew(
            rollout,
            environment=environment,
            group=f"{rollout.group}/critique",
            seed=own_seed(rollout, "critique"),
        )
        *before, last = rollout.turns
        dialog.restore([*before, _replied(last, said, environment)], is_last=False)
        return [dialog] if dialog.next_request().sampling.max_new_tokens > 0 else []

    def measure(self, rollout: Rollout, answers: Sequence[Rollout]) -> Mapping[str, float]:
        (second,) = answers
        return {
            "critique_score": second.score,
            "critique_gain": second.score - rollout.score,
        }


def _replied(turn: Turn, said: str, environment: Environment) -> Turn:
    """The turn with a critique as what the environment replied."""
    parts = tuple(observation_parts((said,)))
    ids = environment.codec.observation_ids(parts, after=turn)
    return replace(turn, observation_ids=tuple(ids), observation=text_of(parts))
