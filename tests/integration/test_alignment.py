"""Each known way in which engine and trainer come apart is planted, and the check stops the run."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import vigorl.callbacks.rollout as rollout_callback
from tests.integration.door import NO_LOOKS, VARIED_REWARD, history, settings
from vigorl.core.errors import AlignmentError
from vigorl.core.media import ImageView
from vigorl.models.weight_export import export_weights
from vigorl.rollout.engines.hf import HFEngine
from vigorl.train import train
from vigorl.training.phase import Credited

# two phases with a step that shows, and a look at both
BOLD = [
    VARIED_REWARD, "optimizer.lr=0.01", "optimizer.warmup_frac=0", "rollout.alignment.every=1",
    *NO_LOOKS,
]  # fmt: skip


def engine(name: str) -> str:
    return f"engine._target_=tests.integration.test_alignment.{name}.from_pretrained"


class StaleWeights(HFEngine):
    """Takes new weights, and keeps the old ones."""

    def publish(self, weights: Iterable[tuple[str, Any]], *, version: int) -> None:
        super().publish(list(export_weights(self._model)), version=version)


class StaleTower(HFEngine):
    """Takes new weights, but those of the vision tower."""

    def publish(self, weights: Iterable[tuple[str, Any]], *, version: int) -> None:
        own = {name: weight.clone() for name, weight in export_weights(self._model)}
        kept = ((n, own[n] if "visual." in n else weight) for n, weight in weights)
        super().publish(kept, version=version)


class DroppedPicture(HFEngine):
    """Does not see the last of several pictures."""

    def _prepare(self, ids: tuple[int, ...], views: tuple[ImageView, ...]) -> Any:
        if len(views) > 1:
            last = len(ids) - 1 - ids[::-1].index(self._codec.image_id)
            ids, views = ids[:last] + ids[last + 1 :], views[:-1]
        return super()._prepare(ids, views)


@pytest.mark.parametrize("lora", ["null", "{_target_:vigorl.models.lora.LoraSettings,dropout:0.5}"])
def test_an_honest_engine_passes_in_every_phase(lora: str, tmp_path: Path) -> None:
    train(settings(tmp_path, *BOLD, f"model.lora={lora}"))
    gaps = [value for _, value in history(tmp_path, "align/mean_gap")]
    assert len(gaps) == 2
    assert max(gaps) < 1e-5
    assert max(value for _, value in history(tmp_path, "align/max_gap")) < 1e-3
    assert max(value for _, value in history(tmp_path, "kl/sampling_gap_max")) < 1e-3


@pytest.mark.parametrize(
    ("planted", "phase", "extra"),
    [
        ("StaleWeights", 1, []),
        ("StaleTower", 1, ["model.freeze_vision_tower=false"]),
        ("DroppedPicture", 0, []),
    ],
)
def test_a_planted_bug_stops_the_run(
    tmp_path: Path, planted: str, phase: int, extra: list[str]
) -> None:
    with pytest.raises(AlignmentError, match=rf"rollout train/{phase}/.* They part at turn \d+"):
        train(settings(tmp_path, *BOLD, engine(planted), *extra, "logger=none"))


def test_a_shifted_mask_stops_the_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    honest = rollout_callback.credit_rollouts

    def shifted(*args: Any, **kwargs: Any) -> Credited:
        credited = honest(*args, **kwargs)
        return credited._replace(
            samples=[
                replace(sample, loss_mask=(0, *sample.loss_mask[:-1]))
                for sample in credited.samples
            ]
        )

    monkeypatch.setattr(rollout_callback, "credit_rollouts", shifted)
    with pytest.raises(AlignmentError):
        train(settings(tmp_path, *BOLD, "logger=none"))
