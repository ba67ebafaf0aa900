"""Prompts whose solve rate before the run lies in a band, such as those that an earlier stage's
rollouts found neither hopeless nor easy. What is not known is left out, and the run's own groups
change nothing.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass

from vigorl.core.errors import ConfigError
from vigorl.core.ranges import Share, check_ranges
from vigorl.core.records import TaskRecord
from vigorl.training.samplers.rates import SolveRates, read_solve_rates
from vigorl.training.samplers.sampler import PromptChoice

_MIDDLE = 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class RateBand:
    """Every prompt of the band once per pass over them. Where they do not fill a phase, those whose
    rate is next to it do, then those without one.

    Attributes:
        low: Least solve rate.
        high: Largest one.
        rollouts: Records of an earlier run or stage, with * for any letters.
        trees: Or the JSONL of a search's trees.
        image_root: Where the trees' picture names start; None is the file's own folder.
    Raises:
        ConfigError: A value outside its range, or not one of `rollouts` and `trees`.
    Source: 0.2 to 0.8 is InternVL3.5's, arXiv:2508.18265; all right, then some right, PeBR-R1's,
        arXiv:2509.13031.
    """

    low: Share = 0.2
    high: Share = 0.8
    rollouts: str | None = None
    trees: str | None = None
    image_root: str | None = None

    def __post_init__(self) -> None:
        check_ranges(self, "sampler")
        if self.low > self.high:
            raise ConfigError(f"need sampler.low <= sampler.high, got {self.low} and {self.high}")
        if (self.rollouts is None) == (self.trees is None):
            raise ConfigError("sampler=rate_band needs one of sampler.rollouts and sampler.trees")

    def rates_before(self, tasks: Sequence[TaskRecord]) -> SolveRates:
        from vigorl.data.sources.files import all_names
        from vigorl.training.recorded import recorded_rates

        ids = [name for name, *_ in all_names(tasks)]
        if self.rollouts is not None:
            before = recorded_rates(self.rollouts, ids, key="sampler.rollouts")
        else:
            before = read_solve_rates(str(self.trees), ids, image_root=self.image_root)
        return SolveRates(smoothing=1.0, before=before)  # an old rate keeps all of its weight

    def choose(
        self,
        rates: Sequence[float | None],
        *,
        tasks: Sequence[TaskRecord] = (),
        phase: int,
        count: int,
        seed: int,
    ) -> PromptChoice:
        """The tasks of a phase; see `Sampler.choose`."""
        within = [i for i, rate in enumerate(rates) if self._away(rate) == 0]
        chosen = [within[i] for i in _next(len(within), phase * count, count, seed)]
        others = [i for i in range(len(rates)) if self._away(rates[i]) > 0]
        random.Random(f"{seed}/{phase}/band").shuffle(others)
        others.sort(key=lambda i: self._away(rates[i]))
        filled = others[: count - len(chosen)]
        known = [_MIDDLE if rates[i] is None else rates[i] for i in (*chosen, *filled)]
        return PromptChoice(
            indices=(*chosen, *filled),
            difficulties=tuple(1 - rate for rate in known if rate is not None),
            num_skipped=len(others),
            num_filled=len(filled),
        )

    def _away(self, rate: float | None) -> float:
        """From the band; 2.0 without a rate."""
        return 2.0 if rate is None else max(self.low - rate, rate - self.high, 0.0)


def _next(num: int, first: int, count: int, seed: int) -> list[int]:
    """`count` different ones of `num`, or all of them, after the first `first` of all passes over
    them; those further on stand in for one that two passes have in the same phase.
    """
    found: dict[int, None] = {}
    order, of_pass, at = list[int](), -1, first
    while len(found) < min(count, num):
        if at // num != of_pass:
            order, of_pass = list(range(num)), at // num
            random.Random(f"{seed}/band/{of_pass}").shuffle(order)
        found[order[at % num]] = None
        at += 1
    return list(found)
