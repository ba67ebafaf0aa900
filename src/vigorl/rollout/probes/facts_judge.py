"""Which facts do the thoughts state? Another model is asked, behind a chat endpoint."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Self

from vigorl.core.errors import ConfigError
from vigorl.core.rewards.visual_facts import facts_of
from vigorl.core.rewards.words import thoughts_of
from vigorl.core.rollout import Rollout
from vigorl.rollout.dialog import Dialog
from vigorl.rollout.environment import Environment
from vigorl.rollout.judge import ChatJudge, Judge, JudgePrompt, ask_judge
from vigorl.rollout.probes.probe import Schedule


class FactsJudge:
    """A `JudgingProbe`: the share of a task's facts that the thoughts state, as `facts_judge`; read
    by `core.rewards.visual_facts.VisualFactsReward`, which finds words itself where it is not asked
    to read a probe.

    No number where the task has no facts, no reply came, or none can be read.

    Args:
        judge: Answers prompts.
        prompt: With the fields {facts} (numbered lines) and {thoughts}.
        schedule: When it is asked.
    Raises:
        ConfigError: A field is missing in the prompt.
    Source: Perception-R1, arXiv:2506.07218 (Qwen2.5-32B; a judge of 7B is hacked, the paper says).
        The words of the prompt are ours.
    """

    def __init__(self, judge: Judge, *, prompt: str, schedule: Schedule | None = None) -> None:
        if missing := [name for name in ("{facts}", "{thoughts}") if name not in prompt]:
            raise ConfigError(f"probes.facts_judge.prompt must have {' and '.join(missing)}")
        self._judge, self._prompt = judge, prompt
        self.schedule = schedule or Schedule()

    @classmethod
    def connect(
        cls,
        *,
        urls: Sequence[str],
        model: str,
        prompt: str,
        schedule: Schedule | None = None,
        **judge_settings: Any,
    ) -> Self:
        """A probe by a model behind a chat endpoint; sends nothing yet.

        Args:
            urls: Base URLs of servers of the same model.
            model: The served model's name.
            prompt: As above.
            schedule: As above.
            judge_settings: Others of `ChatJudge`.
        Raises:
            ConfigError: A bad setting, by its key.
        """
        judge = ChatJudge(urls, model=model, section="probes.facts_judge", **judge_settings)
        return cls(judge, prompt=prompt, schedule=schedule)

    def dialogs(
        self, rollout: Rollout, *, environment: Environment, others: Iterable[Rollout]
    ) -> list[Dialog]:
        return []

    def measure(self, rollout: Rollout, answers: Sequence[Rollout]) -> Mapping[str, float]:
        return {}

    def judge(self, rollouts: Sequence[Rollout]) -> list[Mapping[str, float]]:
        """See `JudgingProbe`.

        Raises:
            EngineError: No reply to any of the first questions.
        """
        facts = [facts_of(rollout.task)[0] for rollout in rollouts]
        about = [i for i, of_one in enumerate(facts) if of_one]
        replies = ask_judge(self._judge, [self._ask(rollouts[i], facts[i]) for i in about])
        found: list[Mapping[str, float]] = [{} for _ in rollouts]
        for i, reply in zip(about, replies, strict=True):
            stated = None if reply is None else read_numbers(reply, most=len(facts[i]))
            if stated is not None:
                found[i] = {"facts_judge": len(stated) / len(facts[i])}
        return found

    def _ask(self, rollout: Rollout, facts: Sequence[str]) -> JudgePrompt:
        lines = "\n".join(f"{number}. {fact}" for number, fact in enumerate(facts, start=1))
        text = self._prompt.replace("{facts}", lines).replace("{thoughts}", thoughts_of(rollout))
        return JudgePrompt(text.replace("<image>", ""))


def read_numbers(reply: str, *, most: int) -> frozenset[int] | None:
    """The numbers from 1 to `most` that a reply lists; None where it lists nothing and does not
    say "none".

    >>> sorted(read_numbers("2, 1 and 9", most=3)), read_numbers("None.", most=3), read_numbers(
    ...     "I see", most=3
    ... )
    ([1, 2], frozenset(), None)
    """
    numbers = {int(number) for number in re.findall(r"\d{1,4}", reply)}
    if not numbers and "none" not in reply.lower():
        return None
    return frozenset(number for number in numbers if 1 <= number <= most)
