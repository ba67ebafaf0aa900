"""Models that are no Hugging Face folder yet."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from peft import LoraConfig, get_peft_model
from safetensors.torch import load_file, save_file
from torch import nn

from vigorl.build import ASSETS
from vigorl.core.digests import check_digests
from vigorl.core.errors import ConfigError
from vigorl.model_sources import as_folder
from vigorl.models.policy import Policy

START = Path(ASSETS) / "tiny_start"


@pytest.fixture
def adapters(tmp_path: Path) -> Path:
    """As peft writes them, with weights that change something."""
    policy = Policy.from_pretrained(START, dtype="float32")
    targets = r".*language_model.*\.(q_proj|down_proj)"
    model = get_peft_model(policy.model, LoraConfig(r=2, lora_alpha=4, target_modules=targets))
    generator = torch.Generator().manual_seed(0)
    for name, weight in model.named_parameters():
        if "lora_B" in name:
            nn.init.normal_(weight, std=0.1, generator=generator)
    model.save_pretrained(tmp_path / "adapters")
    config = tmp_path / "adapters" / "adapter_config.json"
    plain = json.loads(config.read_text()) | {"base_model_name_or_path": str(START)}
    config.write_text(json.dumps(plain))
    merged = model.merge_and_unload()
    torch.save(dict(merged.state_dict()), tmp_path / "merged.pt")
    return tmp_path / "adapters"


def test_adapters_become_the_merged_model(adapters: Path, tmp_path: Path) -> None:
    into = tmp_path / "whole"
    assert as_folder(str(adapters), into=into, dtype="float32") == str(into)
    expected = torch.load(tmp_path / "merged.pt", weights_only=True)
    found = Policy.from_pretrained(into, dtype="float32").model.state_dict()
    start = Policy.from_pretrained(START, dtype="float32").model.state_dict()
    moved = {name for name, weight in found.items() if not weight.equal(start[name])}
    assert moved
    assert all(name.endswith(("q_proj.weight", "down_proj.weight")) for name in moved)
    for name, weight in found.items():
        torch.testing.assert_close(weight, expected[name])
    written = (into / "config.json").stat().st_mtime_ns
    as_folder(str(adapters), into=into, dtype="float32")
    assert (into / "config.json").stat().st_mtime_ns == written  # taken as it is
    other = adapters.rename(tmp_path / "other")
    file = other / "adapter_model.safetensors"
    save_file({name: 2 * weight for name, weight in load_file(file).items()}, file)
    as_folder(str(other), into=into, dtype="float32")  # made of something else: made again
    again = Policy.from_pretrained(into, dtype="float32").model.state_dict()
    assert {name for name in found if not again[name].equal(found[name])} == moved


def test_a_model_that_ships_is_found_by_its_name(tmp_path: Path) -> None:
    found = as_folder("tiny_trained", into=tmp_path / "never", dtype="float32")
    assert found == str(ASSETS / "tiny_trained")
    check_digests(Path(found))
    start, trained = (load_file(Path(one) / "model.safetensors") for one in (START, found))
    assert {name: one.shape for name, one in start.items()} == {
        name: one.shape for name, one in trained.items()
    }
    assert {one.dtype for one in trained.values()} == {torch.bfloat16}
    assert any(not one.equal(trained[name]) for name, one in start.items())


def test_a_folder_and_a_hub_name_are_themselves(tmp_path: Path) -> None:
    for path in (str(START), "Qwen/Qwen2.5-VL-3B-Instruct", "owner/name.ckpt"):
        assert as_folder(path, into=tmp_path / "never", dtype="float32") == path
    assert not (tmp_path / "never").exists()


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ("{", "names no base model"),
        ('{"r": 2}', "names no base model"),
        ('{"base_model_name_or_path": null}', "write its folder or hub name there"),
    ],
)
def test_adapters_without_a_base_say_what_to_do(tmp_path: Path, config: str, message: str) -> None:
    (tmp_path / "adapter_config.json").write_text(config)
    with pytest.raises(ConfigError, match=message):
        as_folder(str(tmp_path), into=tmp_path / "whole", dtype="float32")


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("layers.0", "layers.9", r"of \d+ are for layers that it has not, such as .*layers\.9"),
        (None, None, r"Error\(s\) in loading state_dict"),
    ],
)
def test_adapters_of_another_model_are_refused(
    adapters: Path, tmp_path: Path, old: str | None, new: str, message: str
) -> None:
    file = adapters / "adapter_model.safetensors"
    tensors = load_file(file)
    if old is None:
        tensors = {name: weight[:, :1].contiguous() for name, weight in tensors.items()}
    else:
        tensors = {name.replace(old, new): weight for name, weight in tensors.items()}
    save_file(tensors, file)
    with pytest.raises(ConfigError, match=f"(?s)its adapters do not go on.*{message}"):
        as_folder(str(adapters), into=tmp_path / "whole", dtype="float32")
