"""Means that are exact over micro-batches and ranks: torchmetrics sums totals and counts, never
means of means.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torchmetrics import MaxMetric, MeanMetric, Metric


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

    def compute(self) -> dict[str, float]:
        """Reduced values by name; all ranks must call it."""
        kinds = {name: type(metric) for name, metric in self._metrics.items()}
        values = {}
        for name, kind in sorted(_union_over_ranks(kinds).items()):
            metric = self._get(name, kind).to(_reducing_device())
            value = metric.compute() if metric.update_called or _world_size() > 1 else torch.nan
            if not torch.isnan(torch.as_tensor(value)):
                values[name] = float(value)
            metric.cpu().reset()
        return values

    def _get(self, name: str, kind: type[Metric]) -> Metric:
        if name not in self._metrics:
            self._metrics[name] = kind().set_dtype(torch.float64)
        return self._metrics[name]


def _world_size() -> int:
    return dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1


def _reducing_device() -> str:
    """NCCL reduces nothing that lies on a CPU."""
    return "cuda" if _world_size() > 1 and dist.get_backend() == "nccl" else "cpu"


def _union_over_ranks(kinds: dict[str, type[Metric]]) -> dict[str, type[Metric]]:
    if _world_size() == 1:
        return kinds
    gathered: list[dict[str, type[Metric]] | None] = [None] * _world_size()
    dist.all_gather_object(gathered, kinds)
    return {name: kind for one in gathered if one for name, kind in one.items()}
