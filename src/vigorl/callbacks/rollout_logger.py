"""Puts rollouts where a person looks: a page with pictures per logged phase in MLflow, a JSONL line
per rollout on disk.
"""

from __future__ import annotations

from pathlib import Path

import lightning as L
from lightning.pytorch.loggers import MLFlowLogger

from vigorl.callbacks.rollout import PhaseReport, RolloutCallback
from vigorl.core.rollout import ScoredRollout
from vigorl.data.images import ImageStore
from vigorl.rollout.page import pick_groups, render_page
from vigorl.rollout.recorder import RolloutRecorder


class RolloutLogger(L.Callback):
    """Writes pages and records.

    Args:
        folder: Where pages and records go; pages also become artifacts `rollouts/...` of the MLflow
            run.
        images: Pictures of views.
        every: Phases between logged ones; the first phase and every evaluation are always logged.
        num_groups: Groups on a page, best and worst.
        max_eval_rollouts: Rollouts of an evaluation on its page.
    """

    def __init__(
        self,
        *,
        folder: str,
        images: ImageStore,
        every: int = 25,
        num_groups: int = 4,
        max_eval_rollouts: int = 12,
    ) -> None:
        self.folder, self.images = Path(folder), images
        self.every, self.num_groups = every, num_groups
        self.max_eval_rollouts = max_eval_rollouts

    def setup(self, trainer: L.Trainer, pl_module: L.LightningModule, stage: str) -> None:
        for callback in trainer.callbacks:  # pyright: ignore[reportAttributeAccessIssue]
            if isinstance(callback, RolloutCallback):
                callback.listeners.append(self._log)

    def _log(self, report: PhaseReport, trainer: L.Trainer) -> None:
        if report.kind == "train" and report.phase % self.every:
            return
        name = f"{report.kind}_phase_{report.phase:04d}"
        rank = "" if trainer.world_size == 1 else f"_rank{trainer.global_rank}"
        records = self.folder / f"{name}{rank}.jsonl"
        records.unlink(missing_ok=True)  # a resumed run repeats the phase it was killed in
        with RolloutRecorder(records, run_seed=report.run_seed) as recorder:
            for scored in report.scored:
                recorder.write(scored, phase=f"{report.kind}/{report.phase}")
        if trainer.is_global_zero:
            page = self.folder / f"{name}.html"
            page.write_text(self._page(report, trainer), encoding="utf-8")
            for logger in trainer.loggers:
                if isinstance(logger, MLFlowLogger):
                    logger.experiment.log_artifact(logger.run_id, str(page), "rollouts")

    def _page(self, report: PhaseReport, trainer: L.Trainer) -> str:
        return render_page(
            self._groups(report),
            images=self.images,
            title=f"{report.kind}, phase {report.phase}, {trainer.global_step} updates",
            metrics=report.metrics,
        )

    def _groups(self, report: PhaseReport) -> list[list[ScoredRollout]]:
        if report.kind == "train":
            return pick_groups(report.scored, num=self.num_groups)
        wrong_first = sorted(report.scored, key=lambda one: one.reward.total)
        half = self.max_eval_rollouts // 2
        chosen = [*wrong_first[:half], *wrong_first[half:][-half:]]
        return [[one] for one in chosen]
