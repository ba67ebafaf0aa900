from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from tests.unit.models.small import save_folder
from vigorl.core.errors import ConfigError, DataError
from vigorl.models import pretrained
from vigorl.models.policy import Policy
from vigorl.models.pretrained import find_folder, parse_dtype


def test_a_missing_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="nowhere: no such folder"):
        find_folder(tmp_path / "nowhere")


def test_a_relative_path_is_not_looked_up_on_the_hub(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pretrained, "snapshot_download", lambda *_, **__: pytest.fail("asked"))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "outputs").mkdir()
    with pytest.raises(ConfigError, match=r"outputs/sft: no such folder"):
        find_folder("outputs/sft")


def test_a_name_that_the_hub_does_not_know_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(name: str, **_: object) -> str:
        raise OSError(f"no {name}")

    monkeypatch.setattr(pretrained, "snapshot_download", refuse)
    with pytest.raises(ConfigError, match="Nobody/No-VL: no such folder, and the Hugging Face hub"):
        find_folder("Nobody/No-VL")


def test_a_hub_name_becomes_its_local_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save_folder(tmp_path)
    monkeypatch.setattr(pretrained, "snapshot_download", lambda *_args, **_kwargs: str(tmp_path))
    assert find_folder("Qwen/Qwen2.5-VL-3B-Instruct") == tmp_path


def test_a_folder_that_holds_no_supported_model_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"no config\.json"):
        find_folder(tmp_path)
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "llava"}))
    said = f"{tmp_path}: model_type 'llava' is not one of .*qwen2_vl"
    with pytest.raises(ConfigError, match=said):
        find_folder(tmp_path)


def test_a_weight_that_is_missing_stops_the_load(tmp_path: Path) -> None:
    save_folder(tmp_path)
    weights = load_file(tmp_path / "model.safetensors")
    del weights["visual.patch_embed.proj.weight"]
    save_file(weights, tmp_path / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(ConfigError, match=r"1 missing_keys.*patch_embed"):
        Policy.from_pretrained(tmp_path, dtype="float32")


def test_dtype_names() -> None:
    assert parse_dtype("bfloat16") is parse_dtype(torch.bfloat16) is torch.bfloat16
    for wrong in ("bf16", "nn"):
        with pytest.raises(ConfigError, match=f"dtype='{wrong}'"):
            parse_dtype(wrong)


def test_a_folder_that_has_changed_since_it_was_written_is_not_loaded(tmp_path: Path) -> None:
    save_folder(tmp_path / "source")
    policy = Policy.from_pretrained(tmp_path / "source", dtype="float32")
    policy.save_pretrained(tmp_path / "model")
    path = tmp_path / "model/model.safetensors"
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    with pytest.raises(DataError, match=r"model\.safetensors: is damaged"):
        Policy.from_pretrained(tmp_path / "model", dtype="float32")
