"""What one generation brought, for those who log, show or record it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import lightning as L

from vigorl.core.metrics import metric_sums
from vigorl.core.rewards import AccuracyReward, WeightedReward
from vigorl.core.rollout import ScoredRollout, TrainingSample
from vigorl.rollout.experience import RolloutScorer
from vigorl.training.generation import Costs
from vigorl.training.step_metrics import StepMetrics


@dataclass(frozen=True, slots=True)
class PhaseReport:
    """One generation of a phase or an evaluation.

    Attributes:
        kind: "train" or "val".
        phase: From 0; of "val", the number of phases done.
        run_seed: Seed of the sampling noise.
        scored: This rank's rollouts.
        metrics: Reduced over ranks.
        samples: What this rank learns from, before they are cut into updates; empty of "val".
    """

    kind: str
    phase: int
    run_seed: int
    scored: Sequence[ScoredRollout]
    metrics: Mapping[str, float]
    samples: Sequence[TrainingSample] = ()


Listener = Callable[[PhaseReport, L.Trainer], None]


def phase_metrics(
    kind: str, scored: Sequence[ScoredRollout], *, sums: Costs, maxima: Mapping[str, float]
) -> dict[str, float]:
    """What is logged of a generation, by name, over all ranks; they call it together.

    Args:
        kind: "train" or "val".
        scored: This rank's rollouts.
        sums: Beside what is counted of these.
        maxima: By name.
    """
    collected = StepMetrics()
    collected.add_sums(dict(metric_sums(scored)) | sums)
    collected.add_maxima(maxima)
    metrics = collected.compute()
    if kind == "val":
        metrics = {f"val/{_short(name)}": value for name, value in metrics.items()}
    return metrics


def pays_accuracy(reward: RolloutScorer) -> bool:
    """Whether its part `accuracy` is the scorers' own, and so `rollout/accuracy` once more."""
    parts = reward.parts if isinstance(reward, WeightedReward) else ()
    return any(isinstance(part, AccuracyReward) for part, _ in parts)


def _short(name: str) -> str:
    """val/rollout/accuracy says too much; evaluations are probed for faithfulness alone."""
    if name.startswith("probe/"):
        return name.replace("probe/", "faithfulness/", 1)
    return name.removeprefix("rollout/")
