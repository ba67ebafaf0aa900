"""A price of KL that falls while a run goes on: first near the start, later free."""

from __future__ import annotations

import math
from dataclasses import dataclass

from vigorl.core.errors import ConfigError


@dataclass(frozen=True, slots=True, kw_only=True)
class CosineKL:
    """The factor on `algorithm.kl_coef`: end + (1 - end) (1 + cos(pi p)) / 2, p the share of the
    run's phases that are done.

    Attributes:
        end: The factor at the end, in [0, 1]; the paper 0.
    Raises:
        ConfigError: `end` out of its range.
    Source: Visionary-R1, arXiv:2505.14677: beta_t = beta / 2 (1 + cos(pi p)).
    """

    end: float = 0.0

    def __post_init__(self) -> None:
        if not 0 <= self.end <= 1:
            raise ConfigError(f"kl_schedule.end must be in [0, 1], got {self.end}")

    def factor(self, progress: float) -> float:
        """Of the coming step.

        Args:
            progress: Share of the run's phases that are done, in [0, 1].
        """
        return self.end + (1 - self.end) * (1 + math.cos(math.pi * progress)) / 2
