"""A model folder without digests that is damaged is refused in one line, whoever reads it."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from vigorl.core.errors import ConfigError
from vigorl.data.encoding import ChatCodec
from vigorl.data.images import ImageStore
from vigorl.families.loading import load_model, reading
from vigorl.resolvers import ASSETS


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = Path(shutil.copytree(Path(ASSETS) / "tiny_start", tmp_path / "model"))
    (made / "SHA256SUMS").unlink(missing_ok=True)
    return made


def read_model(folder: Path) -> object:
    return load_model(folder, dtype=torch.float32, attn_implementation="sdpa")


def cut(file: Path) -> None:
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])


def lose_a_tied_weight(file: Path) -> None:
    weights = load_file(file)
    del weights["model.embed_tokens.weight"]
    save_file(weights, file, metadata={"format": "pt"})


def narrow(file: Path) -> None:
    config = json.loads(file.read_text())
    config["text_config"]["intermediate_size"] //= 2
    file.write_text(json.dumps(config))


@pytest.mark.parametrize(
    ("read", "name", "damage", "words"),
    [
        (read_model, "model.safetensors", cut, "cannot be read as a model"),
        (read_model, "model.safetensors", Path.unlink, "cannot be read as a model"),
        (read_model, "model.safetensors", lose_a_tied_weight, "missing_keys"),
        (read_model, "config.json", narrow, "weights are of other shapes"),
        (ChatCodec.from_pretrained, "tokenizer.json", cut, "cannot be read as a model"),
        (ChatCodec.from_pretrained, "tokenizer.json", Path.unlink, "cannot be read"),
        (ImageStore.from_pretrained, "preprocessor_config.json", cut, "cannot be read as a model"),
        (ImageStore.from_pretrained, "preprocessor_config.json", Path.unlink, "cannot be read"),
    ],
)
def test_damage_names_the_folder(
    read: Callable[[Path], object],
    name: str,
    damage: Callable[[Path], None],
    words: str,
    folder: Path,
) -> None:
    damage(folder / name)
    with pytest.raises(ConfigError, match=words) as caught:
        read(folder)
    assert str(caught.value).startswith(str(folder))
    assert "\n" not in str(caught.value)


def test_what_the_machine_or_the_code_is_at_fault_for_is_not_the_folders(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError), reading(tmp_path):
        (tmp_path / "absent").read_text()
    with pytest.raises(RuntimeError, match="out of memory"), reading(tmp_path):
        raise RuntimeError("CUDA out of memory")
