from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from tests.integration.door import settings
from vigorl import dry_run as module
from vigorl.core.errors import ConfigError
from vigorl.diagnosis.machine import Space, look
from vigorl.dry_run import rehearse, with_model
from vigorl.train import stages_to_do

pytestmark = pytest.mark.slow

ENGINE = "engine._target_=tests.integration.door.zooming_engine"


def test_it_samples_a_group_and_leaves_nothing_but_the_world(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rehearse(settings(tmp_path, ENGINE), stages_to_do)
    out = capsys.readouterr().out
    assert "grpo_vstar, 2 phases of 2 prompts x 4 rollouts (16 in all), 2 updates" in out
    assert "8 train tasks\n" in out
    assert "ok    RAM" in out
    assert [f"\nrollout {i}: " in out for i in range(5)] == [True] * 4 + [False]
    assert "turn 3 " in out  # two looks, then the answer
    assert {one.name for one in tmp_path.iterdir()} == {"outputs"}
    assert {one.name.partition("_")[0] for one in (tmp_path / "outputs").iterdir()} == {"made"}


def test_a_model_that_the_run_makes_is_not_made(tmp_path: Path) -> None:
    cfg = settings(tmp_path, "experiment=grpo_vstar_no_warm_start")
    assert cfg.model.maker is not None
    found = with_model(cfg)
    assert found.model.maker is None
    assert found.model.path == cfg.paths.start
    assert not [*tmp_path.iterdir()]


def test_where_memory_is_short_nothing_is_loaded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "look", lambda: replace(look(), ram=Space(10**6, 10**6)))
    with pytest.raises(ConfigError, match="dry_run ends before anything is sampled: does not fit"):
        rehearse(settings(tmp_path, ENGINE), stages_to_do)
    assert not [*tmp_path.iterdir()]
