"""A number that a probe has found about a rollout, as a reward (`rollout.probes`).

    REVISOR         last_crop_alone_score   the answer from the question and the last crop alone
    Visionary-R1    caption_answer          the answer from the policy's own description
    counterfactual  crop_black_drop         what blackening the crops costs, in a `Gate`

A run whose probes do not find the number is refused before its first rollout (`settings`).
"""

from __future__ import annotations

from dataclasses import dataclass

from vigorl.core.errors import ConfigError
from vigorl.core.rollout import Rollout


@dataclass(frozen=True, slots=True, kw_only=True)
class ProbeReward:
    """The number, cut to [`low`, 1]; 0.0 of a rollout about which there was nothing to ask, such as
    one without a crop. Evaluations ask no probes of training, so it is 0.0 in all of theirs.

    Order: unless a `Gate` holds it, it pays wrong answers too, so that its weight must stay under
    what accuracy pays.

    Attributes:
        number: Its name among `Rollout.probes`.
        name: Of the reward.
        low: In [-1, 0].
    Raises:
        ConfigError: No number, or `low` out of its range.
    """

    number: str
    name: str
    low: float = 0.0

    def __post_init__(self) -> None:
        if not self.number or not -1 <= self.low <= 0:
            raise ConfigError(
                f"reward part {self.name!r}: needs the name of a number, got {self.number!r}, and "
                f"low in [-1, 0], got {self.low}"
            )

    @property
    def range(self) -> tuple[float, float]:
        return (self.low, 1.0)

    @property
    def probe_numbers(self) -> tuple[str, ...]:
        return (self.number,)

    def __call__(self, rollout: Rollout) -> float:
        return min(max(rollout.probes.get(self.number, 0.0), self.low), 1.0)
