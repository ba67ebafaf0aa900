"""A group reward, a probe and a token signal in one run, through the real door."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.integration.door import all_metrics, settings
from vigorl.core.errors import ConfigError
from vigorl.rollout.recorder import read_rollouts
from vigorl.train import train

pytestmark = pytest.mark.slow


def test_all_three_are_logged_and_recorded(tmp_path: Path) -> None:
    extras = [
        "reward=curiosity",
        "probes=[crop_black]",
        "probes.crop_black.schedule.every=1",
        "signals=[visual_dependency]",
        "signals.visual_dependency.top_frac=0.4",
    ]
    train(settings(tmp_path, *extras, f"paths.run={tmp_path}/run"))
    metrics = all_metrics(tmp_path)
    for name in (
        "reward/curiosity",
        "probe/crop_black",
        "probe/crop_black_drop",
        "signal/visual_dependency",
    ):
        assert len(metrics[name]) == 2, name  # of each phase
    assert all(value > 0 for one in metrics["signal/visual_dependency"].values() for value in one)
    records = [
        one.scored
        for path in sorted((tmp_path / "run/rollouts").glob("train_phase_*.jsonl"))
        for one in read_rollouts(path)
    ]
    assert len(records) == 16
    assert all("curiosity" in one.reward.parts for one in records)
    probed = [one.rollout for one in records if one.rollout.probes]
    answered = [one.rollout for one in records if one.rollout.answer and one.rollout.shown]
    assert probed == answered != []


@pytest.mark.parametrize("extra", ["probes=[crop_black]", "signals=[visual_dependency]"])
def test_without_phases_of_rollouts_they_are_refused(tmp_path: Path, extra: str) -> None:
    with pytest.raises(ConfigError, match="no effect on SFT"):
        train(settings(tmp_path, "experiment=sft_vstar", extra))
