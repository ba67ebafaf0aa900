"""Pairs that teach a critic: two critiques of one solution, of which one names its errors.

    training questions -> solutions with planted errors, and critiques -> tokens -> pairs

A critique is a turn after the answer, asked for by what the environment says there, so that a
critic sees the dialog as it was, crops included. Learned from is the critique alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from vigorl.core.errors import ConfigError
from vigorl.core.records import TaskRecord
from vigorl.core.rollout import Rollout, TrainingSample, Turn
from vigorl.core.trace import observation_parts, text_of
from vigorl.data.encoding import trace_rollout
from vigorl.data.flaws import Flaws
from vigorl.rollout.environment import Environment
from vigorl.training.pairs import Pair, check_batches


@dataclass(frozen=True, slots=True, kw_only=True)
class CriticPairs:
    """A `PairSource`.

    Attributes:
        flaws: Solutions and critiques.
        pairs_per_update: Pairs of one optimizer batch, over all ranks and micro-batches.
        micro_batch_size: Pairs of one forward pass on one rank.
        ask: What the critic is asked after the answer.
    Source: Critic-V, arXiv:2411.18203: its critic is trained by DPO on pairs ranked by the overlap
        with planted errors. There three models write the critiques, here rules do.
    """

    flaws: Flaws
    pairs_per_update: int
    micro_batch_size: int
    ask: str

    def accumulate(self, world_size: int) -> int:
        """Micro-batches per update on each rank."""
        return check_batches(self.pairs_per_update, self.micro_batch_size, world_size)

    def read(self, tasks: Sequence[TaskRecord], environment: Environment) -> list[Pair]:
        """One pair of each question, in their order.

        Raises:
            ConfigError: Too few questions for an optimizer batch.
            DataError: A solution that cannot be carried out.
        """
        if len(tasks) < self.pairs_per_update:
            raise ConfigError(
                f"{len(tasks)} training questions do not fill one optimizer batch of "
                f"pairs.pairs_per_update={self.pairs_per_update}"
            )
        return [self._pair(task, environment) for task in tasks]

    def _pair(self, task: TaskRecord, environment: Environment) -> Pair:
        flawed = self.flaws.of(task)
        solved = trace_rollout(
            flawed.solution,
            prompt=environment.prompt,
            codec=environment.codec,
            images=environment.images,
            tools=environment.tools,
            max_calls=environment.limits.max_calls_per_turn,
        )
        *before, last = solved.turns
        parts = tuple(observation_parts((self.ask,)))
        ids = tuple(environment.codec.observation_ids(parts))
        asked = replace(last, observation_ids=ids, observation=text_of(parts))
        dialog = replace(solved, turns=(*before, asked))
        better, worse = (_said(dialog, one, environment) for one in (flawed.better, flawed.worse))
        return Pair(better, worse)


def _said(dialog: Rollout, text: str, environment: Environment) -> TrainingSample:
    """The dialog and a critique, of which the critique is learned from."""
    turn = Turn(tuple(environment.codec.completion_ids(text)), (), text)
    whole = replace(dialog, turns=(*dialog.turns, turn))
    sizes = [len(one.completion_ids) for one in whole.turns]
    masks = [[int(number == len(sizes) - 1)] * size for number, size in enumerate(sizes)]
    mask = whole.spread(masks, fill=0)
    return TrainingSample(whole.token_ids, mask, whole.views, group=dialog.task.id)
