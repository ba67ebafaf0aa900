"""Puts rollouts where a person looks: a JSONL line per rollout on disk, and every so many phases a
page with pictures, which goes to MLflow with its record.
"""

from __future__ import annotations

from pathlib import Path

import lightning as L

from vigorl.callbacks.mlflow_logger import send
from vigorl.callbacks.rollout import PhaseReport, RolloutCallback
from vigorl.core.rollout import ScoredRollout
from vigorl.data.images import ImageStore
from vigorl.pages.rollouts import (
    WIDEST_BEST_AND_WORST,
    WORST_AND_BEST,
    pick_groups,
    pick_worst_and_best,
    render_rollout_page,
)
from vigorl.rollout.recorder import RolloutRecorder


class RolloutLogger(L.Callback):
    """Writes pages and records.

    A record has a file of its own per phase and rank, so a resumed run, which repeats the phase it
    was killed in, writes that one anew. It costs about 0.2 ms and 6 kB per rollout of the tiny
    model, 1 ms and 30 kB at 1000 tokens a rollout.

    Args:
        folder: Where pages and records go; a page and its records also become artifacts
            `rollouts/...` of the MLflow run.
        images: Pictures of views.
        every: Phases between pages; the first phase and every evaluation always have one.
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
        self.folder.mkdir(parents=True, exist_ok=True)  # before a phase is paid for

    def _log(self, report: PhaseReport, trainer: L.Trainer) -> None:
        name = f"{report.kind}_phase_{report.phase:04d}"
        self._record(report, name, trainer)
        if report.kind == "train" and report.phase % self.every:
            return
        trainer.strategy.barrier()  # all ranks have written their records
        if trainer.is_global_zero:
            page = self.folder / f"{name}.html"
            page.write_text(self._page(report, trainer), encoding="utf-8")
            for path in (page, *sorted(self.folder.glob(f"{name}*.jsonl"))):
                for logger in trainer.loggers:
                    send(
                        logger,
                        lambda client, run, p=str(path): client.log_artifact(run, p, "rollouts"),
                    )

    def _record(self, report: PhaseReport, name: str, trainer: L.Trainer) -> None:
        rank = "" if trainer.world_size == 1 else f"_rank{trainer.global_rank}"
        path = self.folder / f"{name}{rank}.jsonl"
        path.unlink(missing_ok=True)
        with RolloutRecorder(path, run_seed=report.run_seed) as recorder:
            for scored in report.scored:
                recorder.write(scored, phase=f"{report.kind}/{report.phase}")

    def _page(self, report: PhaseReport, trainer: L.Trainer) -> str:
        return render_rollout_page(
            self._groups(report),
            images=self.images,
            title=f"{report.kind}, phase {report.phase}, {trainer.global_step} updates",
            metrics=report.metrics,
            chosen=WIDEST_BEST_AND_WORST if report.kind == "train" else WORST_AND_BEST,
        )

    def _groups(self, report: PhaseReport) -> list[list[ScoredRollout]]:
        if report.kind == "train":
            return pick_groups(report.scored, num=self.num_groups)
        return pick_worst_and_best(report.scored, num=self.max_eval_rollouts)
