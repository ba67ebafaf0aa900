"""A run in stages as one thing: RUN/stages.json, its page, and its own MLflow run, whose children
are the stages' runs. Of each stage the parent gets the last numbers, at the step of its place.
"""

from __future__ import annotations

import contextlib
from dataclasses import replace
from pathlib import Path

from hydra.utils import instantiate
from lightning.pytorch.loggers import Logger, MLFlowLogger
from mlflow.utils.mlflow_tags import MLFLOW_RUN_NAME, MLFLOW_RUN_NOTE
from omegaconf import DictConfig, OmegaConf

from vigorl.callbacks.mlflow_logger import FIRST, send
from vigorl.core import metrics_file
from vigorl.core.errors import ConfigError, DataError
from vigorl.core.metrics_file import curve_of, read_metrics
from vigorl.core.stages_file import NAME, StageNote, StagesFile, read_stages
from vigorl.dry_run import plan_of
from vigorl.mlflow_store import begun_run
from vigorl.outbox.journal import OUTBOX
from vigorl.outbox.operations import LogArtifact, SetTags
from vigorl.pages.run_pages import INDEX, write_stages_page
from vigorl.processes import is_first_process
from vigorl.run_description import run_name, run_tags
from vigorl.run_settings import said_of
from vigorl.settings.stages import all_stages
from vigorl.stopping import Stopped
from vigorl.tracking import Run

MODEL = "model"


def is_done(stage: DictConfig) -> bool:
    """Whether a stage has ended: its model is there, and nothing was left to do when it was."""
    folder = Path(stage.paths.run)
    if not (folder / MODEL).exists():
        return False
    noted = read_stages(Path(stage.paths.base))
    return noted is None or stage.stage.name in noted.done


class Whole:
    """Around the stages of a run; of a run without stages it is nothing.

    Args:
        cfg: Of the whole run.
    """

    def __init__(self, cfg: DictConfig) -> None:
        self._cfg, self.folder = cfg, Path(str(cfg.paths.base))
        self._logger: Logger | None = None
        self._note: StagesFile | None = None

    def __enter__(self) -> Whole:
        if self._cfg.get("stages") and is_first_process():
            self._begin()
        return self

    def __exit__(self, kind: object, error: object, *_: object) -> None:
        if self._note is None:
            return
        if self._logger is not None:
            if not kind:
                send(self._logger, LogArtifact(str(self.folder / INDEX)))
            status = "KILLED" if isinstance(error, Stopped | KeyboardInterrupt) else "failed"
            self._logger.finalize(status if kind else "success")
        if isinstance(error, ConfigError | DataError) and not any(self.folder.glob("*/")):
            for name in (NAME, INDEX, OUTBOX):  # refused before it made anything
                (self.folder / name).unlink(missing_ok=True)
            with contextlib.suppress(OSError):
                self.folder.rmdir()

    def adopt(self, run: Run) -> None:
        """Make the run of a stage a child of this one."""
        if self._note is not None and self._note.mlflow_run_id:
            run.tag({"mlflow.parentRunId": self._note.mlflow_run_id})

    def note_done(self, stage: DictConfig) -> None:
        """A stage has ended, with all that belongs to it."""
        if self._note is None:
            return
        self._log_numbers(stage)
        done = dict.fromkeys((*self._note.done, str(stage.stage.name)))
        self._note = replace(self._note, done=tuple(done))
        self._note.write(self.folder)
        write_stages_page(self.folder)

    def _begin(self) -> None:
        stages = all_stages(self._cfg)
        found = read_stages(self.folder)
        done = [one.stage.name for one in stages if is_done(one)] if found is None else found.done
        own = self._cfg.copy()
        OmegaConf.update(own, "paths.run", str(self.folder))
        if "system_every_s" in own.logger:
            own.logger.system_every_s = None  # the stages measure the machine
        self.folder.mkdir(parents=True, exist_ok=True)
        run_id = begun_run(own, found.mlflow_run_id or None if found else None) or ""
        title = f"{self._cfg.name}, seed {self._cfg.seed}"
        self._note = StagesFile(title, run_id, tuple(note_of(one) for one in stages), tuple(done))
        self._note.write(self.folder)
        write_stages_page(self.folder)
        if run_id:
            self._logger = instantiate(own.logger, run_id=run_id)
            self._present()

    def _present(self) -> None:
        assert self._note is not None
        assert isinstance(self._logger, MLFlowLogger)
        rows = [f"| {i} | {one.name} | {one.does} | {one.start} | {one.data} |"
                for i, one in enumerate(self._note.stages, start=1)]  # fmt: skip
        table = ["| | stage | does | starts from | learns from |", "|---|---|---|---|---|", *rows]
        tags = run_tags(self._cfg, None) | {
            "stages": ", ".join(one.name for one in self._note.stages),
            MLFLOW_RUN_NAME: run_name(self._cfg, said_of(self._cfg)),
            MLFLOW_RUN_NOTE: "\n".join([f"folder `{self.folder}`", "", *table]),
        }
        send(self._logger, SetTags(tags))

    def _log_numbers(self, stage: DictConfig) -> None:
        if self._logger is None:
            return
        lines = read_metrics(Path(stage.paths.run) / metrics_file.NAME)
        curves = {name: curve_of(lines, name) for name in FIRST}
        last = {name: points[-1][1] for name, points in curves.items() if points}
        self._logger.log_metrics(last, step=stage.stage.number)
        before = curves["val/accuracy"]
        if stage.stage.number == 1 and before and before[0][0] == 0:
            self._logger.log_metrics({"val/accuracy": before[0][1]}, step=0)


def note_of(stage: DictConfig) -> StageNote:
    """A stage in words."""
    module = str(stage.module.get("_target_", "")).rpartition(".")[2]
    algorithm = str(OmegaConf.select(stage, "module.algorithm._target_") or "").rpartition(".")[2]
    does = plan_of(stage).partition(", ")[2]
    return StageNote(
        name=str(stage.stage.name),
        does=f"{_WORDS.get(algorithm or module, algorithm or module)}: {does}",
        start=_within(str(stage.model.path), stage).removesuffix(f"/{MODEL}"),
        data=_data_of(stage),
        learns=_parts_of(stage),
    )


_WORDS = {
    "SFTModule": "SFT",
    "TowerModule": "vision alone",
    "RecordOnly": "records rollouts, learns nothing",
    "PairLoss": "pairs",
}


def _data_of(stage: DictConfig) -> str:
    """The questions, and the records of earlier stages that are read."""
    kind = str(stage.data.get("_target_", "data")).rpartition(".")[2]
    variant = str(OmegaConf.select(stage, "data.variant._target_") or "").rpartition(".")[2]
    words = [f"{kind} ({variant})" if variant else kind]
    for key, about in _READ.items():
        files = OmegaConf.select(stage, key)
        if files:
            words.append(f"{about} of {_within(str(files), stage).partition('/rollouts/')[0]}")
    return ", ".join(words)


_READ = {
    "datamodule.traces.own.files": "right answers",
    "datamodule.pairs.rollouts": "pairs",
    "datamodule.sampler.rollouts": "solve rates",
}


def _parts_of(stage: DictConfig) -> str:
    """Which parts learn, where it is not the language model alone."""
    model, parts = stage.model, list[str]()
    merger = model.freeze_vision_tower if model.freeze_merger is None else model.freeze_merger
    parts += [] if model.freeze_language_model else ["language model"]
    parts += [] if model.freeze_vision_tower else ["vision tower"]
    parts += [] if merger else ["connector"]
    parts = ["adapters"] if model.lora else parts
    return "" if parts == ["language model"] else ", ".join(parts)


def _within(path: str, stage: DictConfig) -> str:
    """As seen from the run's folder; of what lies elsewhere its name."""
    base = f"{stage.paths.base}/"
    if path.startswith(base):
        return path.removeprefix(base)
    return "/".join(Path(path).parts[-2:]) if path.endswith(f"/{MODEL}") else Path(path).name
