"""What the rollout callback tells those who log, show or record a phase."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import lightning as L

from vigorl.core.rollout import ScoredRollout

Listener = Callable[["PhaseReport", L.Trainer], None]


@dataclass(frozen=True, slots=True)
class PhaseReport:
    """What one generation brought, for those who log it.

    Attributes:
        kind: "train" or "val".
        phase: From 0; of "val", the number of phases done.
        run_seed: Seed of the sampling noise.
        scored: This rank's rollouts.
        metrics: Reduced over ranks.
    """

    kind: str
    phase: int
    run_seed: int
    scored: Sequence[ScoredRollout]
    metrics: Mapping[str, float]
