"""Puts a run where a person looks: a line per rollout and per measurement on disk, every so many
phases pages with pictures, and after each phase the run's index page, RUN/index.html.
"""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import lightning as L

from vigorl.callbacks.mlflow_logger import send
from vigorl.callbacks.phase_report import PhaseReport
from vigorl.callbacks.rollout import RolloutCallback
from vigorl.callbacks.token_facts import facts_of_groups
from vigorl.core import metrics_file
from vigorl.core.errors import DataError
from vigorl.core.metrics_file import MetricsLine, append_metrics
from vigorl.core.rollout import ScoredRollout
from vigorl.data.encoding import ChatCodec
from vigorl.data.images import ImageStore
from vigorl.outbox.operations import LogArtifact
from vigorl.pages import phases
from vigorl.pages.group_view import TokenFacts
from vigorl.pages.html import count_of
from vigorl.pages.phases import PhaseSummary, append_summary
from vigorl.pages.picture import rollout_picture
from vigorl.pages.rollouts import pick_groups, pick_worst_and_best
from vigorl.pages.run_pages import IndexPage, Key, PhasePage, write_phase_page
from vigorl.pages.tallies import joined, tally_of
from vigorl.ranks import from_all_ranks
from vigorl.rollout.recorder import RolloutRecorder, cut_torn_line

_LOG = logging.getLogger(__name__)
_LINES_PER_PHASE = 20  # of metrics.jsonl about updates, at most


class RolloutLogger(L.Callback):
    """Writes pages and records.

    A record has a file of its own per phase and rank, so a resumed run, which repeats the phase it
    was killed in, writes that one anew. It costs about 0.2 ms and 6 kB per rollout of the tiny
    model, 1 ms and 30 kB at 1000 tokens a rollout.

    Args:
        folder: RUN/rollouts, where pages and records go; a page and its records also become
            artifacts `rollouts/...` of the MLflow run. The index page is beside it.
        images: Pictures of views.
        codec: Reads tokens for the pages of groups; None leaves these out.
        title: Names the run on its index page.
        base: Folder of all stages of the run; "" where it has none.
        every: Phases between pages; the first phase and every evaluation always have one.
        num_groups: Groups on a page, best and worst.
        max_eval_rollouts: Rollouts of an evaluation on its page.
        tokens: Whether each group of a phase's page has one of its own, with what every token was
            credited and how far the trainer is from the engine on it: a pass over those groups.
    """

    def __init__(
        self,
        *,
        folder: str,
        images: ImageStore,
        codec: ChatCodec | None = None,
        title: str = "run",
        base: str = "",
        every: int = 25,
        num_groups: int = 4,
        max_eval_rollouts: int = 12,
        tokens: bool = True,
    ) -> None:
        self.folder, self.images = Path(folder), images
        self.run, self.codec = self.folder.parent, codec
        self._index = IndexPage(self.run, title=title, base=Path(base) if base else self.run)
        self.every, self.num_groups = every, num_groups
        self.max_eval_rollouts = max_eval_rollouts
        self.tokens = tokens and codec is not None
        self._reported: set[str] = set()
        self._since_line: defaultdict[str, list[float]] = defaultdict(list)
        self._steps_seen = 0

    def setup(self, trainer: L.Trainer, pl_module: L.LightningModule, stage: str) -> None:
        for callback in trainer.callbacks:  # pyright: ignore[reportAttributeAccessIssue]
            if isinstance(callback, RolloutCallback):
                callback.listeners.append(self._log)
        self.folder.mkdir(parents=True, exist_ok=True)  # before a phase is paid for
        if trainer.is_global_zero:
            for path in (self.run / metrics_file.NAME, self.folder / phases.NAME):
                if path.exists():
                    cut_torn_line(path)

    # ---- what updates measure --------------------------------------------------------------------

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        self._steps_seen = trainer.global_step

    def on_train_batch_start(
        self, trainer: L.Trainer, pl_module: L.LightningModule, batch: Any, batch_idx: int
    ) -> None:
        """The module logs an update after this callback's own hook at its end."""
        self._collect(trainer)
        num_batches = int(trainer.num_training_batches)
        if batch_idx and batch_idx % max(1, -(-num_batches // _LINES_PER_PHASE)) == 0:
            self._append_updates(trainer, trainer.current_epoch + batch_idx / num_batches)

    def on_train_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        self._collect(trainer)
        self._append_updates(trainer, trainer.current_epoch + 1)
        if trainer.is_global_zero:
            self._write_index()

    def on_validation_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Of traces; evaluations by generation report themselves."""
        found = {k: float(v) for k, v in trainer.callback_metrics.items() if k == "val/nll"}
        if found and not trainer.sanity_checking:
            self._append("val", trainer.current_epoch + 1, trainer, found)

    def _collect(self, trainer: L.Trainer) -> None:
        if trainer.global_step == self._steps_seen or not trainer.is_global_zero:
            return
        self._steps_seen = trainer.global_step
        for name, value in trainer.callback_metrics.items():
            if name not in self._reported and not name.startswith("val/"):
                self._since_line[name].append(float(value))

    def _append_updates(self, trainer: L.Trainer, done: float) -> None:
        means = {name: sum(one) / len(one) for name, one in self._since_line.items()}
        self._since_line.clear()
        if means:
            self._append("update", done, trainer, means)

    def _append(
        self, kind: str, done: float, trainer: L.Trainer, metrics: Mapping[str, float]
    ) -> None:
        if trainer.is_global_zero:
            line = MetricsLine(kind, done, trainer.global_step, metrics)
            append_metrics(self.run / metrics_file.NAME, line)

    # ---- what generations bring ------------------------------------------------------------------

    def _log(self, report: PhaseReport, trainer: L.Trainer) -> None:
        self._record(report, trainer)
        self._reported |= report.metrics.keys()
        self._append(report.kind, report.phase, trainer, report.metrics)
        rollouts = [one.rollout for one in report.scored]
        summary = PhaseSummary(
            kind=report.kind,
            phase=report.phase,
            step=trainer.global_step,
            tally=joined(from_all_ranks(tally_of(rollouts))),
        )
        if report.kind == "val" or report.phase % self.every == 0:
            summary = self._write_page(report, summary, trainer)
        if trainer.is_global_zero:
            append_summary(self.folder / phases.NAME, summary)
            if summary.page:  # of any other phase when its updates are done
                self._write_index()
                self._send(trainer, self.run / "index.html", "")
                self._show_one(report, trainer)

    def _show_one(self, report: PhaseReport, trainer: L.Trainer) -> None:
        """One rollout as a picture, which the run's description in MLflow shows: the best one, of
        those that looked most often.
        """
        shown = [one for one in report.scored if one.rollout.prompt_views]
        if not shown:
            return
        best = max(shown, key=lambda one: (one.reward.total, len(one.rollout.crops)))
        path = self.run / "picture.png"
        rollout_picture(best, self.images).save(path)
        self._send(trainer, path, "")

    def record_path(self, report: PhaseReport, trainer: L.Trainer) -> Path:
        """The file of this rank's rollouts, a line each, in the order of the report's."""
        rank = "" if trainer.world_size == 1 else f"_rank{trainer.global_rank}"
        return self.folder / f"{report.kind}_phase_{report.phase:04d}{rank}.jsonl"

    def _record(self, report: PhaseReport, trainer: L.Trainer) -> None:
        path = self.record_path(report, trainer)
        path.unlink(missing_ok=True)
        with RolloutRecorder(path, run_seed=report.run_seed) as recorder:
            for scored in report.scored:
                recorder.write(scored, phase=f"{report.kind}/{report.phase}")

    def _write_page(
        self, report: PhaseReport, summary: PhaseSummary, trainer: L.Trainer
    ) -> PhaseSummary:
        """All ranks call it together."""
        groups = self._groups(report)
        facts: Mapping[Key, TokenFacts] = {}
        if self.tokens and report.kind == "train":
            facts = facts_of_groups(groups, report.samples, num=self.num_groups, trainer=trainer)
        trainer.strategy.barrier()  # all ranks have written their records
        if not trainer.is_global_zero:
            return summary
        page = PhasePage(
            name=summary.name,
            words=summary.words,
            title=f"{report.kind}, phase {report.phase}, {count_of(trainer.global_step, 'update')}",
            kind=report.kind,
            groups=groups,
            metrics=report.metrics,
            facts=facts,
        )
        decode = None if self.codec is None else self.codec.decode_raw
        written = write_phase_page(self.folder, page, images=self.images, decode=decode)
        pages = [written.name, *(line.tokens_href for line in written.groups if line.tokens_href)]
        for path in (
            *(self.folder / one for one in pages),
            *sorted(self.folder.glob(f"{summary.name}*.jsonl")),
        ):
            self._send(trainer, path, "rollouts")
        return PhaseSummary(
            summary.kind, summary.phase, summary.step, summary.tally,
            page=written.name, groups=written.groups, examples=written.examples,
        )  # fmt: skip

    def _groups(self, report: PhaseReport) -> Sequence[Sequence[ScoredRollout]]:
        if report.kind == "train":
            return pick_groups(report.scored, num=self.num_groups)
        return pick_worst_and_best(report.scored, num=self.max_eval_rollouts)

    def _write_index(self) -> None:
        """It is for looking alone: what cannot be read of the run so far ends nothing."""
        try:
            self._index.write()
        except DataError as error:
            _LOG.warning("the run's index page is not written: %s", error)

    def _send(self, trainer: L.Trainer, path: Path, folder: str) -> None:
        for logger in trainer.loggers:
            send(logger, LogArtifact(str(path), folder or None))
