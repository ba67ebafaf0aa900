"""Means that are exact over micro-batches and ranks: torchmetrics sums totals and counts, never
means of means.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torchmetrics import MaxMetric, MeanMetric, Metric

from vigorl.ranks import from_all_ranks, num_ranks


class EffectiveSampleFraction(Metric):
    """Effective sample size of all weights seen, as a share of their number: (sum w)^2 / (n sum
    w^2).

    1 when all weigh the same, 1/n when one outweighs the rest, 0 when all are 0. Sums are kept, so
    that it is that of all micro-batches and ranks together.

    Source: L. Kish, "Survey Sampling" (1965).
    """

    full_state_update = False
    total: Tensor
    total_of_squares: Tensor
    num: Tensor

    def __init__(self) -> None:
        super().__init__()
        for name in ("total", "total_of_squares", "num"):
            zero = torch.tensor(0.0, dtype=torch.float64)
            self.add_state(name, default=zero, dist_reduce_fx="sum")

    def update(self, weights: Tensor) -> None:
        self.total += weights.sum()
        self.total_of_squares += weights.square().sum()
        self.num += weights.numel()

    def compute(self) -> Tensor:
        """NaN when nothing was weighed."""
        tiny = torch.finfo(torch.float64).tiny
        return self.total.square() / (self.num * self.total_of_squares.clamp(min=tiny))


class StepMetrics(nn.Module):
    """Collects metrics until `compute`, which reduces them over ranks and forgets them.

    Ranks may hold different names (a rank without a zoom has no hit fraction); `compute` agrees on
    their union first.
    """

    def __init__(self) -> None:
        super().__init__()
        self._metrics: dict[str, Metric] = {}

    def add_sums(self, sums: Mapping[str, tuple[Tensor | float, Tensor | float]]) -> None:
        """Add (total, count) pairs; a pair with count 0 leaves the mean as it is."""
        for name, (total, count) in sums.items():
            total = torch.as_tensor(total, dtype=torch.float64, device="cpu")
            count = torch.as_tensor(count, dtype=torch.float64, device="cpu")
            if count > 0:
                self._get(name, MeanMetric).update(total / count, weight=count)

    def add_maxima(self, maxima: Mapping[str, Tensor | float]) -> None:
        for name, value in maxima.items():
            self._get(name, MaxMetric).update(torch.as_tensor(value).cpu())

    def add_weights(self, weights: Mapping[str, Tensor]) -> None:
        """Count weights, whose name then gives their `EffectiveSampleFraction`."""
        for name, value in weights.items():
            self._get(name, EffectiveSampleFraction).update(value.double().cpu())

    def compute(self) -> dict[str, float]:
        """Reduced values by name; all ranks must call it."""
        kinds = {name: type(metric) for name, metric in self._metrics.items()}
        values = {}
        for name, kind in sorted(_union_over_ranks(kinds).items()):
            metric = self._get(name, kind).to(_reducing_device())
            value = metric.compute() if metric.update_called or num_ranks() > 1 else torch.nan
            if not torch.isnan(torch.as_tensor(value)):
                values[name] = float(value)
        self._metrics.clear()  # a metric that was reset would go on in float32
        return values

    def _get(self, name: str, kind: type[Metric]) -> Metric:
        if name not in self._metrics:
            self._metrics[name] = kind().set_dtype(torch.float64)
        return self._metrics[name]


def _reducing_device() -> str:
    """NCCL reduces nothing that lies on a CPU."""
    return "cuda" if num_ranks() > 1 and dist.get_backend() == "nccl" else "cpu"


def _union_over_ranks(kinds: dict[str, type[Metric]]) -> dict[str, type[Metric]]:
    return {name: kind for one in from_all_ranks(kinds) for name, kind in one.items()}
