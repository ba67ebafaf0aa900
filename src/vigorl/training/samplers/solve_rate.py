"""Which prompts a phase takes when their difficulty counts.

A group whose rollouts are all right, or all wrong, has equal rewards and teaches nothing. A task
that the policy solves with probability p has a 0/1 reward of variance p(1 - p), so tasks near 1/2
are taken more often, those at the ends hardly at all:

    solve rate   0     1/8    1/2    none    7/8    1
    weight       skip  0.44   1      1       0.44   skip      4p(1-p), exponent 1

Where rates come from is in `training.samplers.rates`. What a phase takes is a pure function of
(seed, phase, rates so far); a checkpoint holds the rates.

Left out: sampling again until a group's rewards differ (DAPO), which has no planned cost and is a
matter of `training.groups.dynamic_sampling`; an age of rates: one that was measured long ago counts
like a new one until its task is asked again.

Sources: skipping at the ends is DAPO's dynamic sampling, arXiv:2503.14476; p(1 - p) is sampling for
learnability, arXiv:2408.15099.
"""

from __future__ import annotations

import math
import random
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

from vigorl.core.errors import ConfigError
from vigorl.core.ranges import BelowOne, NotNegative, Range, check_ranges
from vigorl.core.records import TaskRecord
from vigorl.training.samplers.rates import SolveRates, read_solve_rates
from vigorl.training.samplers.sampler import PromptChoice

UNKNOWN_RATE = 0.5  # what a task without a rate counts as: it is sought out


@dataclass(frozen=True, slots=True, kw_only=True)
class SolveRateSampling:
    """How solve rates decide.

    Attributes:
        skip_below: Tasks with a rate up to this are skipped as never solved; in [0, 1/2).
        skip_above: Tasks with a rate from this are skipped as always solved; in (1/2, 1].
        floor_frac: Share of the prompts that goes to skipped tasks, evenly, so that they are
            measured again; in [0, 1). At 0 a skipped task comes back only where the others do not
            fill a phase.
        exponent: The others are drawn with weight (4p(1-p))^exponent; 0 draws them evenly.
        smoothing: Weight of a task's old rate when a group measures a new one; in [0, 1), 0 keeps
            the last. A first measurement stands as it is. Above 0 a rate only comes near 0 and 1
            once it has left them, so thresholds of exactly 0 and 1 then skip little.
        trees: JSONL of search trees (`data.sources.mcts_jsonl`), whose tasks start with their
            share of right rollouts; None starts without rates. A tree and a task belong together
            by id.
        image_root: Where the trees' picture names start; None is the file's own folder.
    Raises:
        ConfigError: A value outside its range, or `image_root` without `trees`.
    """

    skip_below: Annotated[float, Range(ge=0, lt=UNKNOWN_RATE)] = 0.03
    skip_above: Annotated[float, Range(gt=UNKNOWN_RATE, le=1)] = 0.97
    floor_frac: BelowOne = 0.05
    exponent: NotNegative = 1.0
    smoothing: BelowOne = 0.5
    trees: str | None = None
    image_root: str | None = None

    def __post_init__(self) -> None:
        check_ranges(self, "sampler")
        if self.image_root is not None and self.trees is None:
            raise ConfigError("sampler.image_root has no effect without sampler.trees")

    def rates_before(self, tasks: Sequence[TaskRecord]) -> SolveRates:
        before: dict[str, float] = {}
        if self.trees is not None:
            from vigorl.data.sources.files import all_names  # knows torch, which settings do not

            ids = (name for name, *_ in all_names(tasks))
            before = read_solve_rates(self.trees, ids, image_root=self.image_root)
        return SolveRates(smoothing=self.smoothing, before=before)

    def choose(
        self,
        rates: Sequence[float | None],
        *,
        tasks: Sequence[TaskRecord] = (),
        phase: int,
        count: int,
        seed: int,
    ) -> PromptChoice:
        """The tasks of a phase, without replacement; see `Sampler.choose`.

        Skipped tasks get `floor_frac` of the places, counted over the phases so far, and those that
        the others cannot fill: a phase is always whole, even where every task is solved.

        Source: Gumbel noise on log weights, and the largest win, is weighted sampling without
            replacement: W. Kool et al., arXiv:1903.06059.
        """
        rng = random.Random(f"{seed}/{phase}/difficulty")
        noise = [_gumbel(rng) for _ in rates]  # one per task, whatever its rate
        known = [UNKNOWN_RATE if rate is None else rate for rate in rates]
        is_kept = [self.skip_below < rate < self.skip_above for rate in known]
        skipped = [i for i in range(len(known)) if not is_kept[i]]
        kept = [i for i in range(len(known)) if is_kept[i]]

        due = self._floor_until(phase + 1, count) - self._floor_until(phase, count)
        num_floor = min(due, len(skipped))
        num_kept = min(count - num_floor, len(kept))
        kept.sort(key=lambda i: self.exponent * _log_variance(known[i]) + noise[i], reverse=True)
        skipped.sort(key=lambda i: noise[i], reverse=True)
        chosen = kept[:num_kept] + skipped[: count - num_kept]
        rng.shuffle(chosen)  # ranks take every other one
        return PromptChoice(
            indices=tuple(chosen),
            difficulties=tuple(1 - known[i] for i in chosen),
            num_skipped=len(skipped),
            num_filled=count - num_kept - num_floor,
        )

    def _floor_until(self, phase: int, count: int) -> int:
        """Places that the floor gives in all phases before this one."""
        return math.floor(phase * count * self.floor_frac)


def _log_variance(rate: float) -> float:
    """Of a 0/1 reward; 0 at its largest, one half."""
    return math.log(4 * rate * (1 - rate))


def _gumbel(rng: random.Random) -> float:
    return -math.log(max(rng.expovariate(1.0), sys.float_info.min))
