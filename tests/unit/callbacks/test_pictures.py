"""Pictures and curves reach TensorBoard and W&B, with the real packages."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hydra import compose, initialize_config_dir
from hydra.utils import instantiate
from lightning.pytorch.loggers import Logger
from PIL import Image

from vigorl.callbacks import pictures as module
from vigorl.callbacks.phase_report import PhaseReport
from vigorl.callbacks.pictures import RolloutPictures
from vigorl.core.rollout import RewardBreakdown
from vigorl.resolvers import CONFIGS, register_resolvers


class OneRank:
    is_global_zero, global_step = True, 3

    def __init__(self, logger: Logger) -> None:
        self.loggers = [logger]


class Seen:
    """As much of a rollout as is asked for here."""

    prompt_views = ("a view",)
    group = "g"


class Scored:
    rollout = Seen()

    def __init__(self, reward: float) -> None:
        self.reward = RewardBreakdown(reward, {})


def logger_of(name: str, folder: Path, *words: str) -> Any:
    register_resolvers()
    with initialize_config_dir(CONFIGS, version_base="1.3"):
        cfg = compose("train", [f"logger={name}", f"paths.run={folder}", *words])
    assert cfg.callbacks.pictures.num_rollouts == 4
    return instantiate(cfg.logger)


def show(logger: Logger, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "rollout_picture", lambda *_: Image.new("RGB", (8, 6), "red"))
    callback: Any = RolloutPictures(images=None, every=2, num_rollouts=2)  # pyright: ignore[reportArgumentType]
    scored: Any = [Scored(0.25), Scored(0.5), Scored(0.75)]
    for kind, phase in (("train", 0), ("train", 1), ("val", 1)):
        callback._show(PhaseReport(kind, phase, 0, scored, {}), OneRank(logger))
    logger.log_metrics({"reward/total": 0.5}, step=3)
    logger.finalize("success")


def test_tensorboard_has_the_worst_and_the_best_of_the_phases_that_are_due(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    show(logger_of("tensorboard", tmp_path), monkeypatch)
    found = EventAccumulator(str(tmp_path / "tensorboard"))
    found.Reload()
    tags = found.Tags()
    assert sorted(tags["images"]) == [f"{k}/rollouts/{i}" for k in ("train", "val") for i in (0, 1)]
    (picture,) = found.Images("train/rollouts/0")  # phase 1 is not due
    assert (picture.width, picture.height, picture.step) == (8, 6, 3)
    assert [one.value for one in found.Scalars("reward/total")] == [0.5]


@pytest.mark.slow
def test_wandb_keeps_curves_and_pictures_offline(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("wandb")
    logger = logger_of("wandb", tmp_path, "logger.offline=true", "name=mine")
    show(logger, monkeypatch)
    run = logger.experiment
    assert (run.name, run.offline) == ("mine, seed 0", True)
    assert run.summary["reward/total"] == 0.5
    kept = sorted(one.name.partition("_")[0] for one in tmp_path.rglob("media/images/*/*.png"))
    assert len(kept) == 2  # equal pictures are one file, of train and of val
    run.finish()
    assert [*tmp_path.glob("wandb/offline-run-*/*.wandb")]
