"""How a phase's rollouts explore: at which temperature they are sampled, and which of a group see
their pictures under noise. Both are pure functions of how far the run is, so a resumed run repeats
its phase.
"""

from __future__ import annotations

import math
import random
from dataclasses import dataclass
from functools import cache
from typing import Protocol

from vigorl.core.errors import ConfigError
from vigorl.core.media import GaussianNoise
from vigorl.core.protocols import Progress
from vigorl.rollout.seeds import derive_seed


@dataclass(frozen=True, slots=True, kw_only=True)
class TemperatureSchedule:
    """From one temperature to another along a straight line, then flat.

    Attributes:
        start: In the first phase, above 0.
        end: From `until` on, above 0.
        until: Share of the run's phases, in (0, 1].
    Raises:
        ConfigError: A setting out of its range.
    """

    start: float
    end: float
    until: float = 1.0

    def __post_init__(self) -> None:
        if min(self.start, self.end) <= 0 or not 0 < self.until <= 1:
            raise ConfigError(
                "exploration.temperature: need start and end > 0 and until in (0, 1], got "
                f"{self.start}, {self.end}, {self.until}"
            )

    def at(self, progress: Progress) -> float:
        """The temperature of a phase."""
        done = min(progress.fraction / self.until, 1.0)
        return self.start + (self.end - self.start) * done


@dataclass(frozen=True, slots=True, kw_only=True)
class NoisyBranch:
    """Which rollouts of a phase see noise, and how much of it.

    Attributes:
        keep: Factor on the pixels; see `core.media.GaussianNoise`.
        sigma: Of the noise, where pixels are from 0 to 1; at 0 nobody sees any.
        frac: Share of rollouts.
        is_by_chance: Each rollout by itself with that probability; else the last ones of each
            group.
    """

    keep: float
    sigma: float
    frac: float
    is_by_chance: bool = False

    def mark(self, *, index: int, group_size: int, seed: int) -> GaussianNoise | None:
        """What is drawn on all pictures of one rollout of a group, or nothing.

        Args:
            index: In the group, from 0.
            group_size: Rollouts of the group.
            seed: Of the rollout.
        """
        if self.is_by_chance:
            is_noisy = random.Random(derive_seed(seed, "noisy")).random() < self.frac
        else:
            is_noisy = index >= max(round(group_size * (1 - self.frac)), 1)
        if not is_noisy or not self.sigma:
            return None
        return GaussianNoise(self.keep, self.sigma, derive_seed(seed, "noise"))


class NoiseSchedule(Protocol):
    """The noise of each phase."""

    @property
    def is_learned(self) -> bool:
        """Whether noisy rollouts are learned from under the noise they saw; else under the clean
        pictures, as if these had led to them.
        """
        ...

    def at(self, progress: Progress) -> NoisyBranch: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class NoisyRollout:
    """Half of each group sees a picture at a step of a diffusion process, which falls from `steps`
    to 0 along a sigmoid; what it did is learned from under the clean picture, old logprobs too. A
    `NoiseSchedule`.

        step = int(steps * (1 - sigmoid(slope * (done - middle)))),  done in [0, 1]

    Left out of the release: other distortions (rotation, cropping), other schedules.

    Attributes:
        steps: Of 1000, at the start.
        slope: Of the sigmoid.
        middle: Share of the run at which half of the steps are left.
        frac: Share of each group.
    Raises:
        ConfigError: A setting out of its range.
    Source: arXiv:2504.13055; NUS-TRAIL/NoisyRollout 09347dd, `verl/utils/image_aug.py` (500 or 450,
        30, step 40 of 60).
    """

    steps: int = 500
    slope: float = 30.0
    middle: float = 2 / 3
    frac: float = 0.5

    def __post_init__(self) -> None:
        if not 1 <= self.steps < 1000 or not 0 < self.frac < 1:
            raise ConfigError(
                "exploration.noise: need steps from 1 to 999 and frac in (0, 1), got "
                f"{self.steps}, {self.frac}"
            )

    @property
    def is_learned(self) -> bool:
        return False

    def at(self, progress: Progress) -> NoisyBranch:
        left = 1 / (1 + math.exp(self.slope * (progress.fraction - self.middle)))
        step = int(self.steps * left)
        kept = _kept(step) if step else 1.0  # the release leaves a trace of noise at step 0
        return NoisyBranch(keep=math.sqrt(kept), sigma=math.sqrt(1 - kept), frac=self.frac)


@cache
def _kept(step: int) -> float:
    """Product of 1 - beta up to a step, betas a sigmoid from 1e-5 to 5e-3 over 1000 steps."""
    product = 1.0
    for i in range(step + 1):
        product *= 1 - (1e-5 + (5e-3 - 1e-5) / (1 + math.exp(6 - 12 * i / 999)))
    return product


@dataclass(frozen=True, slots=True, kw_only=True)
class VisualBranch:
    """VOGUE's noisy branch: each rollout sees added noise with a probability that moves along a
    straight line over the run, and is learned from under it. A `NoiseSchedule`.

    Attributes:
        sigma: Of the noise, above 0.
        frac_start: Probability in the first phase, in [0, 1].
        frac_end: At the end of the run, in [0, 1].
    Raises:
        ConfigError: A setting out of its range.
    Source: arXiv:2510.01444 (sigma 0.4, linear). The ends of the line are not published: ours.
    """

    sigma: float = 0.4
    frac_start: float = 0.5
    frac_end: float = 0.0

    def __post_init__(self) -> None:
        if self.sigma <= 0 or not all(0 <= p <= 1 for p in (self.frac_start, self.frac_end)):
            raise ConfigError("exploration.noise: need sigma > 0 and probabilities in [0, 1]")

    @property
    def is_learned(self) -> bool:
        return True

    def at(self, progress: Progress) -> NoisyBranch:
        frac = self.frac_start + (self.frac_end - self.frac_start) * progress.fraction
        return NoisyBranch(keep=1.0, sigma=self.sigma, frac=frac, is_by_chance=True)
