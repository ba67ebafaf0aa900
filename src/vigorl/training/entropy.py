"""Rules that hold a policy's entropy up or down, beside whatever algorithm runs.

    loss = algorithm's loss - coef * (mean entropy over the loss tokens of the optimizer batch)

The mean is over all loss tokens alike, however the algorithm weighs tokens, so a coefficient means
the same beside any of them. Coordinates and words differ much in entropy, either way round: a bonus
may make places noisy before it makes thoughts differ, so watch `train/entropy_coordinates` beside
`train/entropy_words`.

`entropy=bonus`, `entropy=penalty` and `entropy=target` of configs/entropy.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol

from vigorl.core.errors import ConfigError


class EntropyRule(Protocol):
    """What a nat of mean entropy earns, step by step."""

    @property
    def is_exact(self) -> bool:
        """Whether the entropy is that of each token's whole distribution, with its gradient; else
        it is -log p of the sampled token, which is free and right in expectation, value and
        gradient of a policy that has not moved since it sampled.
        """
        ...

    def coef(self, progress: float) -> float:
        """Of the coming step: what a nat earns; below 0 it costs.

        Args:
            progress: Share of the run's phases that are done, in [0, 1].
        """
        ...

    def observe(self, entropy: float) -> None:
        """Note the mean entropy of a finished step, in nats per token, over all ranks."""
        ...

    def state_dict(self) -> dict[str, float]: ...

    def load_state_dict(self, state: dict[str, float]) -> None: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class EntropyBonus:
    """A coefficient that is known beforehand; an `EntropyRule`.

    Attributes:
        coef_start: What a nat earns in the first phase; below 0 it costs.
        coef_end: The same at the end of the run, with a straight line between; None stays.
        is_exact: See `EntropyRule`.
    Raises:
        ConfigError: A bonus that is 0 throughout.
    Source: A bonus: verl's `entropy_coeff`, 0 by default (0.001 once made the entropy explode,
        verl #514). A penalty on the sampled tokens: VPPO-RL a23c54b, `dp_actor.py`, 0.06.
    """

    coef_start: float
    coef_end: float | None = None
    is_exact: bool = True

    def __post_init__(self) -> None:
        if not self.coef_start and not self.coef_end:
            raise ConfigError("entropy.coef_start=0 has no effect: set entropy=none")

    def coef(self, progress: float) -> float:
        end = self.coef_start if self.coef_end is None else self.coef_end
        return self.coef_start + (end - self.coef_start) * progress

    def observe(self, entropy: float) -> None:
        """The schedule does not depend on it."""

    def state_dict(self) -> dict[str, float]:
        return {}

    def load_state_dict(self, state: dict[str, float]) -> None:
        """There is none."""


@dataclass(slots=True, kw_only=True)
class EntropyTarget:
    """A coefficient that rises by a step after each update whose entropy is at or under the target,
    falls after each other one, and counts only in the former; an `EntropyRule`.

    Attributes:
        target: Nats per token, above 0.
        step: Of the coefficient, above 0.
        coef_min: The coefficient's lower bound, at least 0; where it begins.
        coef_max: Its upper bound.
        is_exact: True: see `EntropyRule`.
    Raises:
        ConfigError: A setting out of its range.
    Source: Skywork-OR1, arXiv:2505.22312; TRL 1.16, `use_adaptive_entropy` (0.2, 0.005, 0 to 1).
    """

    target: float = 0.2
    step: float = 0.005
    coef_min: float = 0.0
    coef_max: float = 1.0
    is_exact: bool = field(default=True, init=False)
    _coef: float = field(default=0.0, init=False)
    _is_low: bool = field(default=False, init=False)  # of the last update

    def __post_init__(self) -> None:
        if self.target <= 0 or self.step <= 0:
            raise ConfigError(
                f"need entropy.target > 0 and entropy.step > 0, got {self.target}, {self.step}"
            )
        if not 0 <= self.coef_min < self.coef_max:
            raise ConfigError(
                f"need 0 <= entropy.coef_min < entropy.coef_max, got {self.coef_min}, "
                f"{self.coef_max}"
            )
        self._coef = self.coef_min

    def coef(self, progress: float) -> float:
        return self._coef if self._is_low else 0.0

    def observe(self, entropy: float) -> None:
        self._is_low = entropy <= self.target
        moved = self._coef + (self.step if self._is_low else -self.step)
        self._coef = min(max(moved, self.coef_min), self.coef_max)

    def state_dict(self) -> dict[str, float]:
        return {"coef": self._coef, "is_low": float(self._is_low)}

    def load_state_dict(self, state: dict[str, float]) -> None:
        self._coef, self._is_low = state["coef"], bool(state["is_low"])
