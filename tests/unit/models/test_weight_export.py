from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from transformers import AutoModelForImageTextToText

from tests.fingerprint import weight_fingerprint
from tests.unit.models.small import FAMILIES, make_batch, make_model, make_policy, save_folder
from vigorl.core.errors import ConfigError, EngineError
from vigorl.models.lora import LoraSettings
from vigorl.models.policy import Policy
from vigorl.models.weight_export import export_adapters, export_weights, load_weights


def names_in(folder: Path) -> set[str]:
    with safe_open(folder / "model.safetensors", "pt") as file:
        return set(file.keys())


def shake(policy: Policy, part: str) -> None:
    """Noise on every weight whose name holds `part`."""
    torch.manual_seed(1)
    with torch.no_grad():
        for name, weight in policy.named_parameters():
            if part in name:
                weight.add_(0.1 * torch.randn_like(weight))


@pytest.mark.parametrize("tied", [False, True])
@pytest.mark.parametrize("family", FAMILIES)
def test_names_are_those_of_the_folder(tmp_path: Path, family: str, tied: bool) -> None:
    if tied and family != "qwen2_5_vl":
        pytest.skip("only the Qwen2.5-VL builder makes tied embeddings")
    save_folder(tmp_path, family, tied=tied)
    policy = Policy.from_pretrained(tmp_path, dtype="float32")
    names = [name for name, _ in export_weights(policy.model)]
    assert set(names) == names_in(tmp_path)
    assert len(names) == len(set(names))
    assert ("lm_head.weight" in names) is not tied


def test_buckets_hold_everything_once_in_the_asked_dtype() -> None:
    model = make_model()
    whole = dict(export_weights(model))
    for bucket_bytes in (1, 5000):
        exported = list(export_weights(model, bucket_bytes=bucket_bytes, dtype=torch.bfloat16))
        assert [name for name, _ in exported] == list(whole)
        for name, weight in exported:
            torch.testing.assert_close(weight, whole[name].bfloat16(), atol=0, rtol=0)


@pytest.mark.parametrize("family", FAMILIES)
def test_weights_travel_into_another_model(family: str) -> None:
    source, target = make_model(family, seed=0), make_model(family, seed=1)
    assert weight_fingerprint(export_weights(source)) != weight_fingerprint(export_weights(target))
    places = [weight.data_ptr() for weight in target.parameters()]
    load_weights(target, export_weights(source))
    assert weight_fingerprint(export_weights(source)) == weight_fingerprint(export_weights(target))
    assert [weight.data_ptr() for weight in target.parameters()] == places
    assert all(weight.grad_fn is None for weight in target.parameters())


def test_weights_that_do_not_fit_are_refused() -> None:
    model = make_model()
    weights = dict(export_weights(model))
    head = weights.pop("lm_head.weight")
    with pytest.raises(EngineError, match=r"1 missing \['lm_head.weight'\]"):
        load_weights(model, weights.items())
    with pytest.raises(EngineError, match=r"1 unexpected or given twice \['head'\]"):
        load_weights(model, [*weights.items(), ("lm_head.weight", head), ("head", head)])
    with pytest.raises(EngineError, match=r"lm_head.weight: shape \(97, 32\) into \(97, 64\)"):
        load_weights(model, [*weights.items(), ("lm_head.weight", head[:, :32])])
    with pytest.raises(EngineError, match="adapters"):
        load_weights(make_policy(lora=LoraSettings(rank=2)).model, weights.items())


def test_fingerprint_sees_one_weight_a_swap_of_rows_and_the_dtype() -> None:
    policy = make_policy()
    weights = {name: weight.clone() for name, weight in export_weights(policy.model)}
    before = weight_fingerprint(weights.items())
    assert weight_fingerprint(reversed(weights.items())) == before
    assert weight_fingerprint((n, w.bfloat16()) for n, w in weights.items()) != before
    name = "visual.patch_embed.proj.weight"
    swapped = weights | {name: weights[name].flip(0)}
    assert weight_fingerprint(swapped.items()) != before
    weights[name].view(-1)[3] += 1e-4
    assert weight_fingerprint(weights.items()) != before


def test_adapters_are_merged_and_stay_on(tmp_path: Path) -> None:
    save_folder(tmp_path / "start")
    policy = Policy.from_pretrained(
        tmp_path / "start", dtype="float32", lora=LoraSettings(rank=2, alpha=4.0)
    )
    shake(policy, "lora_")
    batch = make_batch([(4, 4)])
    expected, _ = policy.response_logprobs(batch)
    policy.save_pretrained(tmp_path / "saved")
    assert names_in(tmp_path / "saved") == names_in(tmp_path / "start")
    merged = Policy.from_pretrained(tmp_path / "saved", dtype="float32")
    found, _ = merged.response_logprobs(batch)
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)
    again, _ = policy.response_logprobs(batch)
    torch.testing.assert_close(again, expected, atol=0, rtol=0)


@pytest.mark.parametrize("tied", [False, True])
@pytest.mark.parametrize("family", FAMILIES)
def test_a_saved_folder_loads_with_transformers_alone(
    tmp_path: Path, family: str, tied: bool
) -> None:
    if tied and family != "qwen2_5_vl":
        pytest.skip("only the Qwen2.5-VL builder makes tied embeddings")
    save_folder(tmp_path / "start", family, tied=tied)
    policy = Policy.from_pretrained(tmp_path / "start", dtype="float32")
    shake(policy, "")
    policy.save_pretrained(tmp_path / "saved")
    loaded, loading = AutoModelForImageTextToText.from_pretrained(
        tmp_path / "saved", output_loading_info=True
    )
    assert not loading["missing_keys"]
    assert not loading["unexpected_keys"]
    assert loaded.dtype is torch.float32
    ids = torch.tensor([[5, 6, 7, 8]])
    torch.testing.assert_close(
        loaded(input_ids=ids).logits, policy.model(input_ids=ids).logits, atol=0, rtol=0
    )
    for name in ("tokenizer.json", "preprocessor_config.json", "chat_template.jinja"):
        saved, start = tmp_path / "saved" / name, tmp_path / "start" / name
        assert saved.read_bytes() == start.read_bytes()


def test_saving_in_bf16_says_so_in_the_config(tmp_path: Path) -> None:
    save_folder(tmp_path / "start")
    policy = Policy.from_pretrained(tmp_path / "start", dtype="float32")
    policy.save_pretrained(tmp_path / "saved", dtype=torch.bfloat16)
    assert AutoModelForImageTextToText.from_pretrained(tmp_path / "saved").dtype is torch.bfloat16
    assert policy.dtype is torch.float32


def test_saving_over_the_source_keeps_the_companions(tmp_path: Path) -> None:
    save_folder(tmp_path)
    policy = Policy.from_pretrained(tmp_path, dtype="float32")
    shake(policy, "visual")
    policy.save_pretrained(tmp_path)
    again = Policy.from_pretrained(tmp_path, dtype="float32")
    assert weight_fingerprint(export_weights(again.model)) == weight_fingerprint(
        export_weights(policy.model)
    )
    assert (tmp_path / "tokenizer.json").is_file()


def test_a_policy_without_a_folder_cannot_be_saved(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="not loaded from a folder"):
        make_policy().save_pretrained(tmp_path)


@pytest.mark.parametrize("family", FAMILIES)
def test_adapters_alone_on_the_start_weights_are_the_merged_weights(
    tmp_path: Path, family: str
) -> None:
    save_folder(tmp_path, family)
    start = dict(export_weights(Policy.from_pretrained(tmp_path, dtype="float32").model))
    lora = LoraSettings(rank=3, alpha=12.0, target_modules=("q_proj", "down_proj"))
    policy = Policy.from_pretrained(tmp_path, dtype="float32", lora=lora)
    shake(policy, "lora_")
    adapters = dict(export_adapters(policy.model))
    merged = dict(export_weights(policy.model))
    changed = {name for name in merged if not torch.equal(merged[name], start[name])}
    assert len(adapters) == 2 * len(changed) > 0
    for name in changed:
        module = f"base_model.model.{name.removesuffix('.weight')}"
        down, up = (adapters[f"{module}.lora_{half}.weight"] for half in "AB")
        assert down.shape[0] == up.shape[1] == 3
        torch.testing.assert_close(start[name] + up @ down, merged[name], atol=1e-6, rtol=1e-5)


def test_without_adapters_there_is_nothing_to_export() -> None:
    assert list(export_adapters(make_model())) == []
