"""What the protocols of two evaluation kits share: a prompt and a rule for each benchmark.

A kit asks in one turn, without tools or a system text, greedily, and reads the whole last reply,
not what stands between answer tags. Its rules are kept as they are, faults included; where a kit
asks a language model whenever its rule finds nothing, nothing is found here.
"""

from __future__ import annotations

import string
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

from vigorl.core.errors import ConfigError
from vigorl.core.markup import Dialect
from vigorl.core.media import ImageView, TextFrame
from vigorl.core.protocols import Tool
from vigorl.core.records import TaskRecord
from vigorl.core.rollout import Rollout
from vigorl.core.scoring.text import option_index
from vigorl.data.prompts import Message, Prompt
from vigorl.evaluation.judging import Judging


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a rule takes for the answer, None where it finds none, and how right that is."""

    answer: str | None
    score: float


Rule = Callable[[str, TaskRecord, ImageView | None], Verdict]


@dataclass(frozen=True, slots=True)
class KitPrompt(Prompt):
    """A user message as a kit lays it out.

    Attributes:
        opening: Put before the question, with the field {letters}: "A, B, C".
        cuts: Texts that the kit takes out of questions.
        place_ending: Instead of `ending`, where the answer is a place.
        place_until: Text from which on the rest of a question for a place is dropped.
    """

    opening: str = ""
    cuts: tuple[str, ...] = ()
    place_ending: str = ""
    place_until: str = ""

    def messages(self, task: TaskRecord) -> list[Message]:
        letters = ", ".join(string.ascii_uppercase[: len(task.options)])
        question = task.question
        for cut in self.cuts:
            question = question.replace(cut, "").strip()
        if self.place_until and task.scorer.is_place:
            question = question.split(self.place_until)[0].strip()
        opening = self.opening.format(letters=letters)
        ending = self.place_ending if task.scorer.is_place else self.ending
        written = replace(self, ending=ending or self.ending)
        return Prompt.messages(written, replace(task, question=opening + question))


@dataclass(frozen=True, slots=True)
class KitTask:
    """How a kit asks and reads one benchmark.

    Attributes:
        rule: Reads a reply.
        prompt: Asks.
        max_new_tokens: Of a reply.
    """

    rule: Rule
    prompt: KitPrompt
    max_new_tokens: int


@dataclass(frozen=True, slots=True)
class Kit:
    """The benchmarks of a kit, by the beginning of our names for them.

    Attributes:
        name: What it is called.
        tasks: The longest name that fits counts.
        refused: Benchmarks that it has no rule for, and why.
    """

    name: str
    tasks: Mapping[str, KitTask]
    refused: Mapping[str, str]

    def task(self, benchmark: str) -> KitTask:
        """How it asks and reads a benchmark.

        Raises:
            ConfigError: It does not; says why.
        """
        if reason := self.refusal(benchmark):
            raise ConfigError(
                f"protocol={self.name} cannot be used for {benchmark}: {reason}; it knows "
                f"{', '.join(sorted(self.tasks))}"
            )
        return self.tasks[self._name(benchmark)]

    def refusal(self, benchmark: str) -> str:
        """Why it does not ask a benchmark; "" where it does."""
        name = self._name(benchmark)
        return "" if name in self.tasks else self.refused.get(name, "it has no such task")

    def longest_reply(self, benchmark: str) -> int:
        """The most tokens of a reply to a benchmark; of one that it does not know (a suite, say),
        the most of all.
        """
        found = self.tasks.get(self._name(benchmark))
        return max(one.max_new_tokens for one in ([found] if found else self.tasks.values()))

    def _name(self, benchmark: str) -> str:
        known = sorted({*self.tasks, *self.refused}, key=len)
        fitting = [one for one in known if benchmark == one or benchmark.startswith(f"{one}_")]
        return fitting[-1] if fitting else ""


@dataclass(frozen=True)
class KitJudging(Judging):
    """Reads whole replies by a kit's rule for a benchmark; the kit is the subclass's.

    Attributes:
        benchmark: As in `name` of its YAML.
    """

    benchmark: str

    kit: ClassVar[Kit]

    def __post_init__(self) -> None:
        self.kit.task(self.benchmark)

    def verdict(self, rollout: Rollout) -> Verdict:
        """What the rule says of the last reply."""
        view = next(iter(rollout.prompt_views), None)
        return self.kit.task(self.benchmark).rule(rollout.turns[-1].text, rollout.task, view)

    def answer(self, rollout: Rollout) -> str | None:
        return self.verdict(rollout).answer

    def score(self, rollout: Rollout) -> float:
        return self.verdict(rollout).score

    def is_readable(self, rollout: Rollout) -> bool:
        return self.verdict(rollout).answer is not None


@dataclass(frozen=True)
class KitPromptOf:
    """Writes a kit's prompt for a benchmark; the kit is the subclass's."""

    benchmark: str

    kit: ClassVar[Kit]

    def write(
        self,
        *,
        tools: Sequence[Tool] = (),
        frame: TextFrame = TextFrame.PIXELS,
        dialect: Dialect | None = None,
        max_calls: int = 1,
    ) -> Prompt:
        """The kit's own text, whatever there is to call."""
        return self.kit.task(self.benchmark).prompt


def right_letter(task: TaskRecord) -> str:
    """The letter of the right option; "" for a question without options."""
    index = option_index(task.answer, task.options) if task.options else None
    return "" if index is None else string.ascii_uppercase[index]


def letters_of(task: TaskRecord) -> dict[str, str]:
    """The options by their letters."""
    return dict(zip(string.ascii_uppercase, task.options, strict=False))


def by_letter(extract: Callable[[str, TaskRecord], str | None]) -> Rule:
    """Right where what is extracted is the right option's letter."""

    def rule(reply: str, task: TaskRecord, view: ImageView | None) -> Verdict:
        letter = extract(reply, task)
        return Verdict(letter or None, float(letter == right_letter(task) != ""))

    return rule
