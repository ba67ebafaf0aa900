"""VAGEN's GAE on two levels: turns are the steps of one recursion, with a discount per turn, and
the tokens of a turn those of another, which ends with what the first has found.

    turns   A_k = d_k + g l A_{k+1}, d_k = r_k + g V_{k+1} - V_k         V_k before turn k
    tokens  GAE inside each turn, whose last token is paid A_k + V_k     and nothing follows it

So a discount per turn does not depend on how many words a turn has.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from vigorl.core.ranges import Share, ShareAboveZero
from vigorl.training.estimators.estimator import Rated
from vigorl.training.estimators.gae import CriticEstimator, backwards
from vigorl.training.estimators.return_to_go import token_rewards


@dataclass(frozen=True, slots=True, kw_only=True)
class BilevelGAE(CriticEstimator):
    """Bi-level GAE.

    Attributes:
        discount: Per sampled token, in (0, 1].
        trace_decay: Of the tokens, in [0, 1].
        turn_discount: Per turn, in (0, 1].
        turn_trace_decay: Of the turns, in [0, 1].
        turn_value: Which token's value is a turn's: "first", what is known before the turn, or
            "last", what is known before its last token, so that this token's advantage is A_k.
    Raises:
        ConfigError: A setting out of its range.
    Source: VAGEN, arXiv:2510.16907; `compute_bi_level_gae_advantage_return` of its release (last,
        discounts 1 and 0.95, one decay of 1 for both), and the form at the turn's first token,
        as RAGEN's. Later code of VAGEN mixes both clocks in one recursion; that is left out.
    """

    discount: ShareAboveZero = 1.0
    trace_decay: Share = 1.0
    turn_discount: ShareAboveZero = 0.95
    turn_trace_decay: Share = 1.0
    turn_value: Literal["first", "last"] = "last"

    def of_tokens(self, one: Rated, values: Sequence[float]) -> list[float]:
        rewards = [list(turn) for turn in one.by_turn(token_rewards(one)) if turn]
        of_turns = [turn for turn in one.by_turn(values) if turn]
        before = [turn[0 if self.turn_value == "first" else -1] for turn in of_turns]
        found = backwards(
            [turn[-1] for turn in rewards],
            before,
            discount=self.turn_discount,
            trace_decay=self.turn_trace_decay,
        )
        advantages: list[float] = []
        for paid, own, advantage, value in zip(rewards, of_turns, found, before, strict=True):
            advantages += backwards(
                [*paid[:-1], advantage + value],
                own,
                discount=self.discount,
                trace_decay=self.trace_decay,
            )
        return advantages
