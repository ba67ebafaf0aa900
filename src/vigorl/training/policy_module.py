"""What SFT and GRPO have in common: a policy, its optimizer, one way to scale a loss, one way to
report it.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, fields, is_dataclass
from pathlib import Path
from typing import Any

import lightning as L
import torch
from lightning.pytorch.strategies import DeepSpeedStrategy
from torch import Tensor

from vigorl.core.errors import ConfigError, VigorlError
from vigorl.core.media import ImageView
from vigorl.data.collate import TrainingBatch
from vigorl.data.images import ImageStore
from vigorl.models.losses import LossOutput
from vigorl.models.parts import total_norm
from vigorl.models.policy import Policy
from vigorl.models.sharding import is_sharded
from vigorl.models.vision_cache import VisionCache
from vigorl.training.step_metrics import StepMetrics
from vigorl.training.strategy import FSDP2Strategy, gathers_by_call

_LOG = logging.getLogger(__name__)
MOST_SKIPPED = 5  # in a row; a scaler of 16-bit floats skips a few until it has found its scale


@dataclass(frozen=True, slots=True, kw_only=True)
class OptimizerSettings:
    """AdamW and its learning rate over time.

    Attributes:
        lr: Peak learning rate.
        weight_decay: On matrices; vectors (norms, biases) have none.
        betas: Of AdamW.
        eps: Of AdamW.
        schedule: After the warm-up: "constant", "linear" or "cosine" down to `final_frac` of `lr`.
        warmup_frac: Share of all optimizer steps in which the rate rises from 0.
        final_frac: Share of `lr` at the end.
    """

    lr: float
    weight_decay: float = 0.01
    betas: tuple[float, float] = (0.9, 0.999)
    eps: float = 1e-8
    schedule: str = "constant"
    warmup_frac: float = 0.0
    final_frac: float = 0.0

    def __post_init__(self) -> None:
        if self.schedule not in ("constant", "linear", "cosine"):
            raise ConfigError(
                f"optimizer.schedule must be constant, linear or cosine, got {self.schedule!r}"
            )
        if not 0 <= self.warmup_frac < 1:
            raise ConfigError(f"optimizer.warmup_frac must be in [0, 1), got {self.warmup_frac}")

    def factor(self, step: int, total_steps: int) -> float:
        """The learning rate at a step, as a share of `lr`."""
        warmup_steps = math.ceil(self.warmup_frac * total_steps)
        if step < warmup_steps:
            return (step + 1) / warmup_steps
        done = min((step - warmup_steps) / max(total_steps - warmup_steps, 1), 1.0)
        fall = {"constant": 0.0, "linear": done, "cosine": 0.5 - 0.5 * math.cos(math.pi * done)}
        return 1.0 - (1.0 - self.final_frac) * fall[self.schedule]


class PolicyModule(L.LightningModule):
    """Holds the policy; subclasses say what a training step's loss is.

    A loss arrives as a plain sum over its tokens, weighted over the WHOLE optimizer batch.
    Lightning divides it by the number of micro-batches and averages gradients over ranks, so
    `report` multiplies by both: the step is that of one big batch. Where several ranks read the
    same micro-batches (`models.context_parallel`), the loss of each counts as one of so many.

    A step whose gradient is not finite is left out: weights and optimizer stay as they are,
    `train/skipped_steps` counts it, and after `MOST_SKIPPED` in a row the run stops.

    Args:
        policy: The model that learns.
        images: Pixels of views.
        optimizer: Its settings.
        banned_ids: Tokens the policy is never allowed to sample; engines mask the same ones.
        temperature: At which log-probabilities are taken: that of the sampling for rollouts, 1 for
            traces.
        logits_chunk_tokens: Most tokens whose logits are alive at once.
        vision_cache_bytes: Most bytes of a frozen tower's features kept on the device; None is no
            limit.
    """

    def __init__(
        self,
        policy: Policy,
        *,
        images: ImageStore,
        optimizer: OptimizerSettings,
        banned_ids: tuple[int, ...] = (),
        temperature: float = 1.0,
        logits_chunk_tokens: int = 4096,
        vision_cache_bytes: int | None = None,
    ) -> None:
        super().__init__()
        policy.train()  # models load in eval mode, in which gradient checkpointing is off
        self.policy, self.images, self.optimizer_settings = policy, images, optimizer
        self.banned_ids, self.temperature = tuple(banned_ids), temperature
        self.logits_chunk_tokens = logits_chunk_tokens
        self.step_metrics = StepMetrics()
        self._suspects: list[Any] = []
        self.vision_cache = (
            VisionCache(policy, max_bytes=vision_cache_bytes) if policy.is_vision_frozen else None
        )

    def setup(self, stage: str) -> None:
        if self.policy.context is not None:
            self.policy.context.join()
        if self.vision_cache is not None:
            self.vision_cache.always_call = gathers_by_call(self.trainer.strategy)

    def configure_model(self) -> None:
        """Weights go in parts where the strategy wants them so."""
        strategy = self.trainer.strategy
        if isinstance(strategy, FSDP2Strategy) and not is_sharded(self.policy):
            self.shard(strategy)

    def shard(self, strategy: FSDP2Strategy) -> None:
        """All that learns."""
        strategy.shard(self.policy)

    def trained_parameters(self) -> list[torch.nn.Parameter]:
        return [p for p in self.policy.parameters() if p.requires_grad]

    def configure_optimizers(self) -> Any:
        settings = self.optimizer_settings
        trained = self.trained_parameters()
        if not trained:
            raise ConfigError(
                "nothing is trainable: check model.freeze_vision_tower and model.lora"
            )
        groups = [
            {"params": [p for p in trained if p.ndim >= 2], "weight_decay": settings.weight_decay},
            {"params": [p for p in trained if p.ndim < 2], "weight_decay": 0.0},
        ]
        groups, beside = [group for group in groups if group["params"]], self.groups_beside()
        optimizer = torch.optim.AdamW(
            [*groups, *beside],
            lr=settings.lr,
            betas=settings.betas,
            eps=settings.eps,
        )
        total = max(int(self.trainer.estimated_stepping_batches), 1)
        schedule = torch.optim.lr_scheduler.LambdaLR(
            optimizer,
            [lambda step: settings.factor(step, total)] * len(groups)
            + [lambda step: 1.0] * len(beside),
        )
        return {
            "optimizer": optimizer,
            "lr_scheduler": {"scheduler": schedule, "interval": "step", "name": "lr"},
        }

    def groups_beside(self) -> list[dict[str, Any]]:
        """What the optimizer steps beside the policy, each with a rate of its own, constant."""
        return []

    def logprobs(
        self,
        batch: TrainingBatch,
        *,
        with_entropy: bool = False,
        entropy_gradient: bool = False,
        model: Policy | None = None,
        temperature: float | None = None,
    ) -> tuple[Tensor, Tensor | None]:
        """Of the policy's tokens, exactly as an engine samples them: same temperature (unless
        another is given), same banned tokens. Another `model` has the same tower: it is frozen, or
        both run their own.
        """
        return (model or self.policy).response_logprobs(
            batch,
            features=self.features(batch),
            chunk_tokens=self.logits_chunk_tokens,
            temperature=temperature or self.temperature,
            banned_ids=self.banned_ids,
            with_entropy=with_entropy,
            entropy_gradient=entropy_gradient,
        )

    @contextmanager
    def scoring(self) -> Iterator[None]:
        """For forward passes outside of a training step, whose numbers are compared with an
        engine's or a step's: no gradient, no dropout, which no engine has, and autocast as
        Lightning sets it up for a step.
        """
        was_training = self.policy.training
        self.policy.eval()
        try:
            with torch.no_grad(), self.trainer.precision_plugin.forward_context():
                yield
        finally:
            self.policy.train(was_training)

    def features(self, batch: TrainingBatch) -> Tensor | None:
        """Image features from the cache when the tower is frozen; None: the policy runs it, with
        gradient.
        """
        if self.vision_cache is None:
            return None
        return self.vision_cache.get(batch.views, self._pixels)

    def features_aside(self) -> AbstractContextManager[None]:
        """For passes that only look: the features of the phase stay as they are."""
        return nullcontext() if self.vision_cache is None else self.vision_cache.aside()

    def count_padding(self, batch: TrainingBatch) -> None:
        """For `perf/padding_frac`: positions that the language model computes for no token."""
        mask = batch.attention_mask
        num_tokens = mask.sum()
        num_read = num_tokens if self.policy.packing else mask.numel()
        self.step_metrics.add_sums({"perf/padding_frac": (num_read - num_tokens, num_read)})

    def no_loss(self) -> Tensor:
        """Of a spare micro-batch: its backward pass reaches no weight."""
        return torch.zeros((), device=self.device, requires_grad=True)

    def report(self, output: LossOutput) -> Tensor:
        """Count a loss for the step's metrics and scale it for Lightning.

        Raises:
            VigorlError: The loss is not finite; the step is not taken.
        """
        scaled = self.scaled(output.loss)
        self.step_metrics.add_sums(output.metrics)
        self.step_metrics.add_maxima(output.maxima)
        self._loss_of_update += float(output.loss.detach())
        return scaled

    def scaled(self, loss: Tensor, *, lr: str = "optimizer.lr") -> Tensor:
        """A micro-batch's share of a sum, as Lightning takes it.

        Raises:
            VigorlError: It is not finite; names the learning rate to lower.
        """
        if not torch.isfinite(loss):
            raise VigorlError(
                f"the loss is {loss.item()} at step {self.global_step}: lower {lr}, or train in "
                "float32; the last checkpoint is from before this step"
            )
        ranks = self.trainer.world_size / self.num_readers
        return loss * self.trainer.accumulate_grad_batches * ranks

    @property
    def num_readers(self) -> int:
        """Ranks that read each micro-batch of an update."""
        return 1 if self.policy.context is None else self.policy.context.size

    _loss_of_update = 0.0
    _lr_of_update = 0.0

    def on_before_optimizer_step(self, optimizer: torch.optim.Optimizer) -> None:
        # once the step is taken, Lightning sets the rate of the next one
        self._lr_of_update = float(self.trainer.optimizers[0].param_groups[0]["lr"])
        if isinstance(self.trainer.strategy, DeepSpeedStrategy):
            return  # what stands in p.grad is neither summed over ranks nor the whole update's
        gradients = [p.grad for p in self.policy.parameters() if p.grad is not None]
        norm = total_norm(gradients)  # summed over ranks: the same on all
        self._count_skipped(is_skipped=not torch.isfinite(norm))
        if torch.isfinite(norm):
            self.step_metrics.add_maxima({"train/grad_norm": norm.detach()})
            return
        for weight in self.policy.parameters():
            weight.grad = None  # which an optimizer leaves alone, its own states too

    _num_skipped = 0
    _num_skipped_in_row = 0

    def _count_skipped(self, *, is_skipped: bool) -> None:
        self._num_skipped_in_row = self._num_skipped_in_row + 1 if is_skipped else 0
        if not is_skipped:
            self._suspects.clear()
            return
        self._num_skipped += 1
        self.step_metrics.add_maxima(
            {"train/skipped_steps": torch.tensor(float(self._num_skipped))}
        )
        _LOG.warning("step %d is skipped: its gradient is not finite", self.global_step)

    def on_train_batch_start(self, batch: Any, batch_idx: int) -> None:
        if self.policy.context is not None:
            self.policy.context.is_reading = True
        if self._num_skipped_in_row == MOST_SKIPPED - 1:  # the next one may be the last
            self._suspects.append(_plain(batch))

    def on_after_backward(self) -> None:
        if self.policy.context is not None:
            self.policy.context.is_reading = False

    def _stop_after_skips(self) -> None:
        if self._num_skipped_in_row < MOST_SKIPPED:
            return
        name = f"skipped-step-{self.global_step:06d}-rank-{self.trainer.global_rank}.pt"
        path = Path(self.trainer.default_root_dir, name)
        torch.save(self._suspects, path)
        raise VigorlError(
            f"{MOST_SKIPPED} steps in a row had a gradient that is not finite; the last one's "
            f"micro-batches are in {path}, the last checkpoint is from before them: lower "
            "optimizer.lr, or train in float32"
        )

    def on_train_batch_end(self, outputs: Any, batch: Any, batch_idx: int) -> None:
        if (batch_idx + 1) % self.trainer.accumulate_grad_batches:
            return
        # each rank holds its share of the sum that is the loss of the whole optimizer batch
        ranks = self.trainer.world_size / self.num_readers
        self.step_metrics.add_sums({"train/loss": (self._loss_of_update * ranks, 1)})
        self._loss_of_update = 0.0
        if isinstance(self.trainer.strategy, DeepSpeedStrategy):
            norm = self.trainer.strategy.deepspeed_engine.get_global_grad_norm()
            # it has skipped such a step itself, and says so with an infinity
            self._count_skipped(is_skipped=norm is not None and not math.isfinite(norm))
            if norm is not None and math.isfinite(norm):
                self.step_metrics.add_maxima({"train/grad_norm": norm})
        metrics = self.step_metrics.compute()
        metrics["train/lr"] = self._lr_of_update
        self.on_update_measured(metrics)
        self.log_dict(metrics)
        self._stop_after_skips()

    def on_update_measured(self, metrics: dict[str, float]) -> None:
        """After an optimizer step, with what was measured of it on all ranks; may change
        it.
        """

    def _pixels(self, views: Any) -> tuple[Tensor, Tensor]:
        made = self.images.batch(views)
        return made.pixel_values, made.grid_thw


def _plain(value: Any) -> Any:
    """A batch as `torch.load(weights_only=True)` reads it: tensors, and all else as text."""
    if isinstance(value, Tensor):
        return value.detach().cpu()
    if isinstance(value, tuple | list):
        return [_plain(one) for one in value]
    if isinstance(value, dict):
        return {name: _plain(one) for name, one in value.items()}
    if is_dataclass(value) and not isinstance(value, ImageView):
        return {field.name: _plain(getattr(value, field.name)) for field in fields(value)}
    return str(value)
