"""A tiny tower's first lessons: see which sign is where, before the language part learns to say it.

Linear heads that are thrown away afterwards read from every image token what `data.scenes.labels`
knows about it. Only tower and merger learn. A model trained on whole traces from nothing points at
random for an hour; with a tower that sees, pointing comes within minutes (docs/log.md has both).
Only for making the tiny start checkpoint.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import lightning as L
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from torch.utils.data import DataLoader, Dataset

from vigorl.core.geometry import Point, Size, zoom_window
from vigorl.core.media import ImageView
from vigorl.data.images import ImageStore
from vigorl.data.scenes.draw import Sign
from vigorl.data.scenes.labels import CLASSES, IGNORE, NOTHING, token_labels
from vigorl.data.scenes.world import MadeWorld, read_signs
from vigorl.models.losses import LossOutput, MetricSum
from vigorl.models.sharding import shard_module
from vigorl.rollout.environment import Environment
from vigorl.training.policy_module import PolicyModule
from vigorl.training.strategy import FSDP2Strategy


@dataclass(frozen=True, slots=True)
class LabelledViews:
    """A batch of views of one size.

    Attributes:
        pixel_values: [pieces, ...] of all views.
        grid_thw: [views, 3].
        labels: {class name: [views, tokens]}.
    """

    pixel_values: Tensor
    grid_thw: Tensor
    labels: dict[str, Tensor]

    def to(self, device: Any) -> LabelledViews:
        labels = {name: label.to(device) for name, label in self.labels.items()}
        return LabelledViews(self.pixel_values.to(device), self.grid_thw.to(device), labels)


class TowerModule(PolicyModule):
    """Classifies every image token; see `PolicyModule` for the arguments."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.policy.context = None  # each process has pictures of its own, and nobody reads rows
        width = self.policy.feature_width
        self.heads = nn.ModuleDict({name: nn.Linear(width, n) for name, n in CLASSES.items()})
        self.policy.requires_grad_(False)
        self.policy.family.tower(self.policy.model).requires_grad_(True)

    def trained_parameters(self) -> list[nn.Parameter]:
        return [*super().trained_parameters(), *self.heads.parameters()]

    def shard(self, strategy: FSDP2Strategy) -> None:
        super().shard(strategy)
        for head in self.heads.values():
            shard_module(head, strategy.weight_mesh)

    def training_step(self, batch: LabelledViews, batch_idx: int) -> Tensor:
        features = torch.stack(self.policy.encode_views(batch.pixel_values, batch.grid_thw))
        loss, metrics = features.new_zeros(()), {}
        for name, label in batch.labels.items():
            scores = self.heads[name](features)  # [views, tokens, classes]
            loss = loss + cross_entropy(scores.flatten(0, 1), label.flatten(), ignore_index=IGNORE)
            counts = label != IGNORE
            if name == "name":  # most tokens show nothing; being right about those says little
                counts = label != NOTHING
            right = (scores.argmax(-1) == label) & counts
            metrics[f"see/{name}_accuracy"] = MetricSum(right.sum(), counts.sum())
        # a mean over this rank's tokens; `report` takes the ranks' shares of one sum
        return self.report(LossOutput(loss / self.trainer.world_size, metrics))


class TowerDataModule(L.LightningDataModule):
    """Whole pictures and crops of the traces' scenes, fresh crops each epoch.

    Args:
        source: A made world with traces.
        environment: For its picture store.
        views_per_step: Scenes per step over all ranks; each gives its whole picture and one crop.
        window_px: Side of the crops, as the zoom cuts them.
        view_px: Side at which they are shown; that of whole pictures, so that one batch has one
            grid.
        seed: Of order and crops.
        with_pixels: Taken for the sake of the other data module's signature.
    """

    def __init__(
        self,
        *,
        source: MadeWorld,
        environment: Environment,
        views_per_step: int,
        window_px: int,
        view_px: int,
        seed: int,
        with_pixels: bool = True,
    ) -> None:
        super().__init__()
        self.source, self.images = source, environment.images
        self.views_per_step, self.window_px, self.view_px = views_per_step, window_px, view_px
        self.seed = seed

    def prepare_data(self) -> None:
        self.source.prepare()

    def setup(self, stage: str | None = None) -> None:
        self.rows = read_signs(Path(self.source.root) / "train_signs.jsonl")

    def train_dataloader(self) -> DataLoader[LabelledViews]:
        epoch, shard = 0, slice(None)
        if self.trainer is not None:
            epoch = self.trainer.current_epoch
            shard = slice(self.trainer.global_rank, None, self.trainer.world_size)
        views = _Views(self.rows, self, order=f"{self.seed}/{epoch}", shard=shard)
        return DataLoader(views, batch_size=None)


class _Views(Dataset[LabelledViews]):
    """A step's views are the same however many ranks share them; `shard` are this one's."""

    def __init__(
        self,
        rows: Sequence[tuple[str, tuple[Sign, ...]]],
        data: TowerDataModule,
        *,
        order: str,
        shard: slice,
    ) -> None:
        self._rows, self._data, self._order, self._shard = list(rows), data, order, shard
        random.Random(order).shuffle(self._rows)

    def __len__(self) -> int:
        return len(self._rows) // self._data.views_per_step

    def __getitem__(self, index: int) -> LabelledViews:
        if index >= len(self):
            raise IndexError(index)
        size = self._data.views_per_step
        rows = self._rows[index * size : (index + 1) * size]
        rng = random.Random(f"{self._order}/{index}")
        images = self._data.images
        pairs = [(signs, images.whole(path)) for path, signs in rows]
        pairs += [(signs, self._crop(signs, view, rng, images)) for signs, view in pairs]
        pairs = pairs[self._shard]
        made = images.batch([view for _, view in pairs])
        labels = [
            token_labels(signs, view, tokens=images.sizing.token_boxes(view.size))
            for signs, view in pairs
        ]
        return LabelledViews(
            made.pixel_values,
            made.grid_thw,
            {name: torch.tensor([label[name] for label in labels]) for name in CLASSES},
        )

    def _crop(
        self, signs: Sequence[Sign], whole: ImageView, rng: random.Random, images: ImageStore
    ) -> ImageView:
        """A window about a sign, off its middle as a zoom would be."""
        sign, reach = rng.choice(signs), 0.36 * self._data.window_px
        x = min(max(sign.center.x + rng.uniform(-reach, reach), 0), whole.original.width - 1)
        y = min(max(sign.center.y + rng.uniform(-reach, reach), 0), whole.original.height - 1)
        window = zoom_window(Point(x, y), image=whole.original, side_px=self._data.window_px)
        side = self._data.view_px
        return images.fit(replace(whole, size=Size(side, side), box=window))
