"""Does the policy's own description suffice? The answer from one of its thoughts alone, without the
picture.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum

from vigorl.core.ranges import check_ranges
from vigorl.core.rollout import Rollout
from vigorl.core.trace import IMAGE_SLOT, open_answer
from vigorl.rollout.dialog import Dialog
from vigorl.rollout.environment import Environment
from vigorl.rollout.probes.paired import ask_anew, grey
from vigorl.rollout.probes.probe import Schedule


class Thought(StrEnum):
    """Which thought is the description."""

    FIRST = "first"  # before any look: the paper's caption
    LAST = "last"  # beside the answer: of a policy that looks, what the crops show


class Picture(StrEnum):
    """What is left of the picture."""

    NONE = "none"  # the paper: text alone
    GREY = "grey"  # its place, without what it shows: a tiny policy has never read text alone


@dataclass(frozen=True, slots=True, kw_only=True)
class CaptionAnswer:
    """A `Probe` of answered rollouts, greedy: the description stands where the policy's thought
    does, and its answer is continued. Kept as `caption_answer`, in [0, 1].

    The release writes the description into a question of its own. The paper gives 0 to one that
    reasons or answers already; that is left out, since no rule tells it from a description that
    names what is asked.

    Attributes:
        thought: See `Thought`; a rollout without it (no words in its tags) is not asked about.
        picture: See `Picture`.
        schedule: When it asks.
    Raises:
        ConfigError: There is no such thought, or picture.
    Source: Visionary-R1, arXiv:2505.14677; maifoundations/Visionary-R1 6b1f25a,
        `grpo_trainer_vllm_caption.py`.
    """

    thought: Thought | str = Thought.FIRST
    picture: Picture | str = Picture.NONE
    schedule: Schedule = field(default_factory=Schedule)

    def __post_init__(self) -> None:
        check_ranges(self, "probes.caption_answer")

    def dialogs(
        self, rollout: Rollout, *, environment: Environment, others: Iterable[Rollout]
    ) -> list[Dialog]:
        place = 0 if self.thought == Thought.FIRST else -1
        description = rollout.turns[place].parsed.think
        if rollout.answer is None or not description:
            return []
        dialog = self._asked(rollout, environment.greedy())
        dialog.restore((), prefix_ids=tuple(environment.codec.prefix_ids(open_answer(description))))
        return [dialog] if dialog.next_request().sampling.max_new_tokens > 0 else []

    def _asked(self, rollout: Rollout, environment: Environment) -> Dialog:
        """The question without what the picture shows."""
        group = f"{rollout.group}/caption_answer"
        if self.picture == Picture.GREY:
            views = [grey(view) for view in rollout.prompt_views]
            return ask_anew(rollout, environment=environment, group=group, views=views)
        question = rollout.task.question.replace(IMAGE_SLOT, "").strip()
        asked = replace(rollout.task, question=question, images=())
        ids = tuple(environment.codec.prompt_ids(environment.prompt.messages(asked)))
        return Dialog(environment, rollout.task, ids, (), group=group, index=rollout.index, seed=0)

    def measure(self, rollout: Rollout, answers: Sequence[Rollout]) -> Mapping[str, float]:
        (answer,) = answers
        return {"caption_answer": answer.score}
