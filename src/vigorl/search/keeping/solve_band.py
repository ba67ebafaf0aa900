"""Questions that are solved sometimes: their share of right tries lies in a band.

    python -m vigorl.synthesize experiment=mcts_vstar search=answers keep=solve_band

Source: InternVL3.5, arXiv:2508.18265 (0.2 to 0.8 of stored rollouts); PeBR-R1, arXiv:2509.13031
(easy 8 of 8, medium 1 to 7, hard 0: `keep.least=1`, or `keep.least=0.125 keep.most=0.875`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from vigorl.core.errors import ConfigError
from vigorl.core.ranges import Share, check_ranges
from vigorl.search.keeping.keep import Verdict, tries_of

if TYPE_CHECKING:  # it imports torch
    from vigorl.search.searched import SearchedTask


@dataclass(frozen=True, slots=True, kw_only=True)
class SolveBand:
    """Keeps questions with a share of right tries from `least` to `most`, both included."""

    least: Share = 0.2
    most: Share = 0.8

    def __post_init__(self) -> None:
        check_ranges(self, "keep")
        if self.least > self.most:
            raise ConfigError(
                f"keep.least={self.least} is above keep.most={self.most}: no question could stay"
            )

    def judge(self, searched: Sequence[SearchedTask]) -> list[Verdict]:
        return [self._judge(one) for one in searched]

    def _judge(self, one: SearchedTask) -> Verdict:
        tries = tries_of(one.tree)
        if not tries:
            return Verdict("not tried")
        rate = sum(t.is_right for t in tries) / len(tries)
        measured = {"solve_rate": rate}
        if rate < self.least:
            return Verdict("too hard", None, measured)
        if rate > self.most:
            return Verdict("too easy", None, measured)
        return Verdict("in the band", one, measured)
