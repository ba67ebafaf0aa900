"""What probes share that ask a question again with one thing changed.

Both sides are greedy, so that a difference is the change's and not the sampling's: where a rollout
was sampled, it is also asked again greedily as it was; a greedy one is its own other side.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import ClassVar

from vigorl.core.contrast import Contrast
from vigorl.core.media import GREY, Fill, ImageView
from vigorl.core.rollout import Rollout, Turn
from vigorl.core.trace import FINAL_THOUGHT, open_answer
from vigorl.rollout.dialog import Dialog
from vigorl.rollout.environment import Environment
from vigorl.rollout.probes.probe import Schedule
from vigorl.rollout.seeds import derive_seed


@dataclass(frozen=True, slots=True, kw_only=True)
class PairedProbe(ABC):
    """A `Probe` that keeps a `core.contrast.Contrast` under its name.

    Attributes:
        schedule: When it asks.
    """

    name: ClassVar[str]
    schedule: Schedule = field(default_factory=Schedule)

    @abstractmethod
    def changed(
        self, rollout: Rollout, *, environment: Environment, others: Iterable[Rollout]
    ) -> Dialog | None:
        """The dialog under the change, its group that of `group`; None where the question makes no
        sense.

        Args:
            rollout: Finished.
            environment: A greedy one.
            others: As in `Probe.dialogs`.
        """

    def unchanged(self, rollout: Rollout, *, environment: Environment, group: str) -> Dialog:
        """The other side: here the last turn again."""
        return environment.reopen(rollout, rollout.turns[:-1], group=group, seed=0)

    def group(self, rollout: Rollout) -> str:
        return f"{rollout.group}/{self.name}"

    def dialogs(
        self, rollout: Rollout, *, environment: Environment, others: Iterable[Rollout]
    ) -> list[Dialog]:
        greedy = environment.greedy()
        dialog = self.changed(rollout, environment=greedy, others=others)
        if dialog is None or dialog.is_done or dialog.next_request().sampling.max_new_tokens < 1:
            return []
        if environment.temperature == 0:
            return [dialog]
        before = f"{self.group(rollout)}_before"
        return [self.unchanged(rollout, environment=greedy, group=before), dialog]

    def measure(self, rollout: Rollout, answers: Sequence[Rollout]) -> Mapping[str, float]:
        before, after = (rollout, *answers)[-2:]
        return Contrast.of(before, after).numbers(self.name)


def ask_anew(
    rollout: Rollout,
    *,
    environment: Environment,
    group: str,
    views: Sequence[ImageView] | None = None,
    seed: int = 0,
) -> Dialog:
    """A rollout's question from its beginning, its prompt's pictures the same unless given."""
    return Dialog(
        environment,
        rollout.task,
        rollout.prompt_ids,
        rollout.prompt_views if views is None else tuple(views),
        group=group,
        index=rollout.index,
        seed=seed,
    )


def own_seed(rollout: Rollout, name: str) -> int:
    """Noise of a probe that samples: another one for each rollout of a group."""
    return derive_seed(name, rollout.group, rollout.index, *rollout.turns[0].completion_ids)


def with_shown(turns: Iterable[Turn], change: Callable[[ImageView], ImageView]) -> list[Turn]:
    """The turns with every picture that a tool showed changed, sizes kept."""
    return [replace(turn, views=tuple(map(change, turn.views))) for turn in turns]


def grey(view: ImageView) -> ImageView:
    return view.edited(Fill(rgb=GREY))


def answer_at_once(rollout: Rollout, environment: Environment) -> tuple[int, ...]:
    """The words that a turn is opened with so that only an answer can follow: the policy's own
    first thought, written before any tool had shown anything. Words of somebody else would be one
    more change, to which a small policy has no answer at all.
    """
    thought = rollout.turns[0].parsed.think or FINAL_THOUGHT
    return tuple(environment.codec.prefix_ids(open_answer(thought)))


def has_read_crops(rollout: Rollout) -> bool:
    """Whether it answered after a tool had shown something."""
    return rollout.answer is not None and bool(rollout.shown)
