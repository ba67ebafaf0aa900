"""Runs that generate until they have enough, or learn from earlier phases, after a kill."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.integration.door import (
    VARIED_REWARD,
    all_metrics,
    same_weights,
    settings,
    start_weights,
    weights,
)
from tests.integration.going_on import go_on_from
from vigorl.train import train

pytestmark = pytest.mark.slow

WORK = [
    VARIED_REWARD,
    "num_phases=2",
    "rollout.eval_every=0",
    "callbacks.rollout_logger.every=100",
    "callbacks.checkpoint.every=1",
    "plan.prompts_per_phase=4",
    "plan.sequences_per_update=16",
    "data.num_train=24",
    "data.comparison_frac=0",  # four options each: a guess is right in a quarter
    "engine._target_=tests.integration.door.guessing_engine",
    "rollout.alignment=null",  # a script says what it says, whatever the weights
    "optimizer.warmup_frac=0",
]


@pytest.mark.parametrize(
    ("chosen", "metric"),
    [
        (["groups=dynamic_sampling", "groups.oversample=1"], "groups/refills"),
        (["groups=replay", "groups.max_share=1"], "groups/replayed_frac"),
    ],
)
def test_killed_and_resumed_chooses_the_same_and_learns_the_same(
    chosen: list[str], metric: str, tmp_path: Path
) -> None:
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    train(settings(whole, *WORK, *chosen, f"paths.run={whole}/run"))
    go_on_from(1, whole, killed, *WORK, *chosen)

    # phases that ran twice logged the same twice, so each set has one value
    found = all_metrics(killed)
    assert found == all_metrics(whole)
    assert max(max(values) for values in found[metric].values()) > 0
    assert all(len(values) == 1 for values in found[metric].values())
    trained = weights(whole / "run/model")
    assert same_weights(weights(killed / "run/model"), trained)
    assert not same_weights(trained, start_weights())
