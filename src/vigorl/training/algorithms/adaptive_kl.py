"""A price of KL that follows the KL: dearer above a target, cheaper below."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from statistics import fmean

from vigorl.core.ranges import Positive, check_ranges
from vigorl.ranks import from_all_ranks


@dataclass(slots=True, kw_only=True)
class AdaptiveKL:
    """coef <- coef (1 + clip(KL / target - 1, -0.2, 0.2) n / horizon), once per phase; n rollouts.

    KL is the mean over rollouts, of all ranks, of the mean k1 per sampled token. The coefficient is
    state: it stands in the checkpoint.

    Attributes:
        target: Nats per token, above 0.
        horizon: Rollouts, above 0.
    Raises:
        ConfigError: A setting out of its range.
    Source: arXiv:1909.08593 section 2.2; `AdaptiveKLController` of verl at 1dda039b9 (0.1, 10000).
    """

    target: Positive = 0.1
    horizon: Positive = 10_000.0
    _coef: float | None = field(default=None, init=False)

    def __post_init__(self) -> None:
        check_ranges(self, "algorithm.kl_control")

    def coef(self, initial: float) -> float:
        """The coefficient now; `initial` before the first phase."""
        return initial if self._coef is None else self._coef

    def update(self, nats: Sequence[Sequence[Sequence[float]]], *, initial: float) -> None:
        """Take this rank's rollouts of a phase, by group; all ranks call it together."""
        own = [fmean(one) for group in nats for one in group if one]
        found = [kl for rank in from_all_ranks(own) for kl in rank]
        if found:
            error = min(max(fmean(found) / self.target - 1, -0.2), 0.2)
            self._coef = self.coef(initial) * (1 + error * len(found) / self.horizon)

    def state_dict(self) -> dict[str, float]:
        return {} if self._coef is None else {"coef": self._coef}

    def load_state_dict(self, state: Mapping[str, float]) -> None:
        self._coef = state.get("coef")
