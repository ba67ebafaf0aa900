"""What the same policy would say with the target's region in place of the whole picture.

    D_t = log pi(t | region) - log pi(t | whole)      nats, in +-20, under the phase's start

Each whole view of the first picture shows the smallest window of its shape around all targets, at
the same size; crops stay as they are. Points in texts are still said in the frame of the whole
picture, so a teacher that sees the region knows what is there, not where: for single looks without
points (env=visual_search_think), or as a metric. Samples without targets have D = 0.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from jaxtyping import Bool, Float
from torch import Tensor

from vigorl.core.errors import ConfigError
from vigorl.core.geometry import Point, Size, window_around
from vigorl.core.media import ImageView
from vigorl.core.rollout import TrainingSample
from vigorl.models.losses import log_ratio


@dataclass(frozen=True, slots=True, kw_only=True)
class RegionToWhole:
    """A `TokenSignal`, of `training.algorithms.distillation` or measured alone.

    Attributes:
        margin: At least 1: how much larger than the targets the window is, on each axis.
    Raises:
        ConfigError: A setting out of its range.
    Source: the idea is region-to-image distillation, ours in form.
    """

    margin: float = 1.5

    def __post_init__(self) -> None:
        if self.margin < 1:
            raise ConfigError(f"region_to_whole.margin must be at least 1, got {self.margin}")

    @property
    def name(self) -> str:
        return "region_to_whole"

    def views(self, sample: TrainingSample) -> tuple[ImageView, ...]:
        if not sample.targets:
            return sample.views
        first = sample.views[0]
        return tuple(
            self._region(view, sample) if view.box is None and view.source == first.source else view
            for view in sample.views
        )

    def _region(self, view: ImageView, sample: TrainingSample) -> ImageView:
        left = min(box.left for box in sample.targets)
        top = min(box.top for box in sample.targets)
        right = max(box.right for box in sample.targets)
        bottom = max(box.bottom for box in sample.targets)
        shape = view.size.width / view.size.height
        height = max(bottom - top, (right - left) / shape) * self.margin
        window = Size(max(round(height * shape), 1), max(round(height), 1))
        center = Point((left + right) / 2, (top + bottom) / 2)
        return replace(view, box=window_around(center, window, view.original))

    def values(
        self,
        changed: Float[Tensor, "batch tokens"],
        old: Float[Tensor, "batch tokens"],
        mask: Bool[Tensor, "batch tokens"],
    ) -> Float[Tensor, "batch tokens"]:
        return log_ratio(changed, old, mask)

    def factors(
        self, values: Float[Tensor, "batch tokens"], mask: Bool[Tensor, "batch tokens"]
    ) -> Float[Tensor, "batch tokens"] | None:
        return None
