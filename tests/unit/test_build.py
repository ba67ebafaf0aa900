from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any, cast

import pytest
import torch
from lightning.fabric.utilities.rank_zero import rank_zero_only

from tests.test_configs import compose_door
from vigorl.build import ASSETS, Parts, _model_folder, build_engine, check_settings
from vigorl.core.errors import ConfigError
from vigorl.settings.stages import all_stages
from vigorl.training import starts

PARTS = Parts("folder", *cast(Any, [None] * 4))


def told(**settings: Any) -> dict[str, Any]:
    """An engine that is what it was told."""
    return settings


def build(*overrides: str, door: str = "train") -> dict[str, Any]:
    cfg = compose_door(door, "engine._target_=tests.unit.test_build.told", *overrides)
    return cast(Any, build_engine(cfg, PARTS))


@pytest.fixture
def two_gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)


@pytest.mark.parametrize("door", ["train", "evaluate"])
def test_the_engine_is_where_lightning_puts_this_process(
    door: str, two_gpus: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert build(door=door)["device"] == torch.device("cuda:0")
    assert build("trainer.accelerator=cpu", door=door)["device"] == torch.device("cpu")
    monkeypatch.setenv("LOCAL_RANK", "1")
    monkeypatch.setattr(rank_zero_only, "rank", 0)  # which Lightning takes from there, for good
    assert build("trainer.devices=2", door=door)["device"] == torch.device("cuda:1")
    assert build("engine.device=cuda:0", "trainer.devices=2", door=door)["device"] == "cuda:0"


def test_without_a_gpu_the_engine_is_on_the_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    assert build("trainer.accelerator=auto")["device"].type in ("cpu", "mps")


def test_an_engine_without_a_device_setting_is_told_none() -> None:
    assert "device" not in build("~engine.device")


def test_the_engine_has_a_dtype_of_its_own() -> None:
    assert build("model.engine_dtype=bfloat16")["dtype"] == "bfloat16"


def test_the_maker_of_a_start_makes_no_other_model(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = list[str]()
    monkeypatch.setattr(starts, "make_start", lambda *, folder, **_: made.append(folder) or folder)
    monkeypatch.setattr("vigorl.build.check_folder", lambda _: None)
    cold = compose_door("train", "data=made_world_cold", f"paths.root={tmp_path}")
    folder = _model_folder(cold)
    assert made == [folder] == [f"{tmp_path}/outputs/starts/cold"]
    other = compose_door("train", "data=made_world_cold", f"model.path={ASSETS / 'tiny_start'}")
    assert _model_folder(other) == str(ASSETS / "tiny_start")
    assert made == [folder]
    mine = shutil.copytree(ASSETS / "tiny_start", tmp_path / "mine")
    before = (mine / "model.safetensors").read_bytes()
    control = compose_door("train", "experiment=grpo_vstar_no_warm_start", f"model.path={mine}")
    assert _model_folder(control) == str(mine)
    sft = compose_door("train", "experiment=sft_vstar", f"stages.see.model.path={mine}")
    assert _model_folder(all_stages(sft)[0]) == str(mine)
    assert (mine / "model.safetensors").read_bytes() == before


def test_older_rollouts_without_a_correction_are_refused_before_weights_are_loaded() -> None:
    check_settings(compose_door("train", "overlap=one_step"))
    with pytest.raises(ConfigError, match="overlap=one_step learns from rollouts of the weights"):
        check_settings(compose_door("train", "overlap=one_step", "importance_correction=null"))
