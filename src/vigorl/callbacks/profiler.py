"""Where the time of a phase goes, rank by rank, and how much of the device's arithmetic an update
uses.

A phase is from its beginning to the next one's: rollouts, updates, evaluation, checkpoint, pages.
The places that do something say so themselves (`core.spans`); the parts of an update are told here
by Lightning's hooks. On a GPU a phase whose timeline is written waits for the device between them,
so that each part has its own time; the other phases do not.
"""

from __future__ import annotations

import json
import logging
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import lightning as L
import torch

from vigorl.callbacks.mlflow_logger import send
from vigorl.core.errors import ConfigError
from vigorl.core.files import written_whole
from vigorl.core.flops import Load, ModelFlops
from vigorl.core.spans import (
    Kind,
    Timeline,
    chrome_trace,
    note,
    own_seconds,
    record,
    recorded,
    within_phase,
)
from vigorl.data.collate import TrainingBatch
from vigorl.models.flops import count_products, load_of
from vigorl.models.peak import peak_flops
from vigorl.outbox.operations import LogArtifact
from vigorl.pages.timeline import render_timeline, show_on_page
from vigorl.ranks import from_all_ranks
from vigorl.training.buffer import PolicyBatch
from vigorl.training.policy_module import PolicyModule

_LOG = logging.getLogger(__name__)


class PhaseProfiler(L.Callback):
    """Writes timelines; stands before all callbacks that take time.

    Logs of every phase `perf/update_tokens_per_s` (over all ranks), `perf/idle_frac` (the share
    of the phase in which a rank waits for others, for services, for an engine of another process,
    for rollouts that are made ahead, and not what a thread beside it waits for;
    gradients are waited for inside of the backward pass, and not counted) and, where the peak is
    known, `perf/mfu`: the FLOPs that the update's batches need (`core.flops`; a critic
    left out) by those that all devices could do meanwhile.

    Args:
        folder: RUN/profile.
        every: Phases between timelines, the first included.
        phases: Timelines of these too.
        torch: The first phase with a timeline is also recorded by torch.profiler.
        peak_flops: Of one device, per second; None takes `models.peak`'s.
    Raises:
        ConfigError: A setting out of its range.
    """

    def __init__(
        self,
        *,
        folder: str,
        every: int = 25,
        phases: Sequence[int] = (),
        torch: bool = False,
        peak_flops: float | None = None,
    ) -> None:
        if every < 1 or any(one < 0 for one in phases):
            raise ConfigError(
                f"profile.every must be at least 1 and profile.phases from 0 on, got {every} and "
                f"{list(phases)}"
            )
        self.folder, self.every, self.phases = Path(folder), every, tuple(phases)
        self.peak_flops = peak_flops
        self._wants_torch = torch
        self._by_torch: Any = None
        self._phase: int | None = None  # that is recorded
        self._products: ModelFlops | None = None

    # ---- the phase -------------------------------------------------------------------------------

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        if isinstance(pl_module, PolicyModule):
            self._products = count_products(pl_module.policy)
        if self.peak_flops is None:
            self.peak_flops = peak_flops(pl_module.device)
        if self.peak_flops is None and trainer.is_global_zero:
            _LOG.warning("perf/mfu is not logged: nobody knows this device; set profile.peak_flops")

    def on_train_epoch_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        self._end_phase(trainer)
        self._phase = trainer.current_epoch
        if self._is_due and self._wants_torch:
            self._by_torch = torch.profiler.profile()
            self._by_torch.start()
            self._wants_torch = False
        self._load, self._update_s = Load(), 0.0
        self._begun_s, self._begun_unix_s = time.perf_counter(), time.time()
        record()

    def on_train_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        self._end_phase(trainer)

    @property
    def _is_due(self) -> bool:
        assert self._phase is not None
        return self._phase % self.every == 0 or self._phase in self.phases

    def _end_phase(self, trainer: L.Trainer) -> None:
        """All ranks call it together."""
        if self._phase is None:
            return
        wall_s = time.perf_counter() - self._begun_s
        learner = threading.get_ident()
        spans = within_phase(recorded(), begun_s=self._begun_s, learner=learner)
        if self._by_torch is not None:
            self._write_torch(trainer)
        own = Timeline(trainer.global_rank, self._begun_unix_s, wall_s, spans)
        waited = own_seconds(one for one in spans if one.thread == 0).get(Kind.WAIT, 0.0) / wall_s
        of_ranks = from_all_ranks(waited)
        self._log(trainer, {"perf/idle_frac": sum(of_ranks) / len(of_ranks)})
        if self._is_due:
            timelines = from_all_ranks(own)
            if trainer.is_global_zero:
                self._write(timelines, trainer)
        self._phase = None

    # ---- its update ------------------------------------------------------------------------------

    def on_train_batch_start(
        self, trainer: L.Trainer, pl_module: L.LightningModule, batch: Any, batch_idx: int
    ) -> None:
        if batch_idx == 0:
            self._update_begun_s = self._now()
        if self._products is not None and isinstance(pl_module, PolicyModule):
            for one in _batches(batch):
                self._load += _load(one, pl_module, self._products)
        self._at = self._now()

    def on_before_backward(
        self, trainer: L.Trainer, pl_module: L.LightningModule, loss: Any
    ) -> None:
        self._note(Kind.FORWARD)

    def on_after_backward(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        self._note(Kind.BACKWARD)
        self._steps_before = trainer.global_step

    def on_train_batch_end(
        self,
        trainer: L.Trainer,
        pl_module: L.LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
    ) -> None:
        if trainer.global_step != self._steps_before:
            self._note(Kind.OPTIMIZER)
        self._update_s = self._now() - self._update_begun_s

    def on_train_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        flops, load = 0.0, self._load
        if isinstance(pl_module, PolicyModule):
            load *= 1 / pl_module.num_readers  # this rank's part of what it reads with others
        if self._products is not None:
            flops = self._products.text_update(load) + self._products.tower_update(load)
        of_ranks = from_all_ranks((flops, load.tokens, self._update_s))
        longest_s = max(update_s for _, _, update_s in of_ranks)
        if not longest_s or self._products is None:
            return
        metrics = {"perf/update_tokens_per_s": sum(one for _, one, _ in of_ranks) / longest_s}
        if self.peak_flops is not None:
            could = longest_s * self.peak_flops * len(of_ranks)
            metrics["perf/mfu"] = sum(one for one, _, _ in of_ranks) / could
        self._log(trainer, metrics)

    def _now(self) -> float:
        if self._is_due and torch.cuda.is_available():
            torch.cuda.synchronize()
        return time.perf_counter()

    def _note(self, kind: Kind) -> None:
        begun_s, self._at = self._at, self._now()
        note(kind, begun_s, self._at)

    # ---- what is written -------------------------------------------------------------------------

    def _log(self, trainer: L.Trainer, metrics: dict[str, float]) -> None:
        for logger in trainer.loggers:
            logger.log_metrics(metrics, step=trainer.global_step)

    def _write(self, timelines: Sequence[Timeline], trainer: L.Trainer) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        name = f"phase_{self._phase:04d}"
        trace, page = self.folder / f"{name}.json", self.folder / f"{name}.html"
        with written_whole(trace) as part:
            part.write_text(json.dumps(chrome_trace(timelines)), encoding="ascii")
        with written_whole(page) as part:
            part.write_text(render_timeline(timelines, phase=self._phase or 0), encoding="utf-8")
        for path in (trace, page):
            self._send(trainer, path, "profile")
        of_phase = self.folder.parent / "rollouts" / f"train_{name}.html"
        if show_on_page(of_phase, timelines):
            self._send(trainer, of_phase, "rollouts")

    def _write_torch(self, trainer: L.Trainer) -> None:
        self._by_torch.stop()
        self.folder.mkdir(parents=True, exist_ok=True)
        name = f"torch_phase_{self._phase:04d}_rank{trainer.global_rank}.json.gz"
        self._by_torch.export_chrome_trace(str(self.folder / name))
        self._by_torch = None

    def _send(self, trainer: L.Trainer, path: Path, folder: str) -> None:
        for logger in trainer.loggers:
            send(logger, LogArtifact(str(path), folder))


def _batches(item: Any) -> list[TrainingBatch]:
    """Those that a step of the policy reads."""
    if not isinstance(item, PolicyBatch):
        return [item] if isinstance(item, TrainingBatch) else []
    beside = [] if item.solutions is None else [item.solutions]
    return [item.batch, *item.changed.values(), *beside]


def _load(batch: TrainingBatch, module: PolicyModule, products: ModelFlops) -> Load:
    """Of a pass that is about to come: the tower runs on what is not remembered. What is shared is
    worked out here, and by the pass again: 1 ms of the 1.2 s that 64 sequences take at the tiny
    scale, which is not worth a policy that keeps batches.
    """
    shown = batch.views
    if module.vision_cache is not None:
        shown = module.vision_cache.missing(shown)
    elif module.policy.shared_prefix:
        shown = list({view.key: view for view in shown}.values())
    grids = [module.images.grid_thw(view) for view in shown]
    reach = module.policy.sharing(batch).reach if module.policy.shared_prefix else None
    return load_of(batch, window=products.window, grids=grids, reach=reach)
