"""My own choice of prompts: easy kinds of question first, the others from a phase on.

    PYTHONPATH=examples python -m vigorl.train --config-dir examples/configs sampler=my_sampler

The data module tells it how often each task is solved and what the tasks are; it logs
`data/skipped_frac`, the share of tasks that the sampler leaves out.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass

from vigorl.core.records import TaskRecord
from vigorl.training.samplers.rates import SolveRates
from vigorl.training.samplers.sampler import PromptChoice


@dataclass(frozen=True, slots=True, kw_only=True)
class EasyFirst:
    """Draws evenly: up to a phase from the easy categories, then from all.

    Attributes:
        easy: Categories to begin with.
        num_easy_phases: Phases in which they are all there is.
    """

    easy: Sequence[str]
    num_easy_phases: int

    def rates_before(self, tasks: Sequence[TaskRecord]) -> SolveRates:
        return SolveRates(smoothing=0.5)

    def choose(
        self,
        rates: Sequence[float | None],
        *,
        tasks: Sequence[TaskRecord],
        phase: int,
        count: int,
        seed: int,
    ) -> PromptChoice:
        order = list(range(len(tasks)))
        random.Random(f"{seed}/{phase}/easy_first").shuffle(order)  # the same on every rank
        late = [i for i in order if tasks[i].category not in self.easy]
        skipped = late if phase < self.num_easy_phases else []
        kept = [i for i in order if i not in skipped]
        chosen = (kept + skipped)[:count]  # a phase is whole, even where few tasks are easy
        return PromptChoice(
            indices=tuple(chosen),
            difficulties=tuple(1 - (0.5 if rates[i] is None else rates[i]) for i in chosen),
            num_skipped=len(skipped),
            num_filled=max(count - len(kept), 0),
        )
