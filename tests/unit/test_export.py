from __future__ import annotations

from pathlib import Path

import pytest
import torch

from tests.unit.training.test_tensor_files import Payload
from vigorl.build import ASSETS
from vigorl.core.digests import write_digest
from vigorl.core.errors import ConfigError, DataError
from vigorl.model_sources import export


def a_run(folder: Path, *, lora: str = "null", state: object = None) -> Path:
    """A run's folder with one checkpoint; returns the checkpoint."""
    path = folder / "run/checkpoints/phase-00001.ckpt"
    path.parent.mkdir(parents=True)
    model = f"{{path: {ASSETS / 'tiny_start'}, dtype: float32, lora: {lora}}}"
    (folder / "run/config.yaml").write_text(f"paths: {{}}\nmodel: {model}\n")
    torch.save(state or {"state_dict": {}}, path)
    return path


def test_a_foreign_checkpoint_runs_no_code(tmp_path: Path) -> None:
    path = a_run(tmp_path, state={"state_dict": Payload(tmp_path / "made")})
    with pytest.raises(ConfigError, match="could run code"):
        export(str(path), str(tmp_path / "model"))
    assert not (tmp_path / "made").exists()


def test_a_foreign_config_runs_no_code(tmp_path: Path) -> None:
    path = a_run(tmp_path, lora=f"{{_target_: os.mkdir, path: {tmp_path / 'made'}}}")
    with pytest.raises(ConfigError, match=r"config\.yaml: lora\._target_=os\.mkdir"):
        export(str(path), str(tmp_path / "model"))
    assert not (tmp_path / "made").exists()


def test_a_damaged_checkpoint_is_named(tmp_path: Path) -> None:
    path = a_run(tmp_path)
    write_digest(path, of=path)
    path.write_bytes(path.read_bytes()[:-1] + b"!")
    with pytest.raises(DataError, match=r"phase-00001\.ckpt: is damaged"):
        export(str(path), str(tmp_path / "model"))
