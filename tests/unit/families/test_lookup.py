"""A folder's config.json names its family; what an engine cannot run is refused in one line."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from vigorl.core.errors import ConfigError
from vigorl.core.media import TextFrame
from vigorl.families.lookup import (
    check_runs,
    family_named,
    family_of,
    import_plugins,
    known_families,
)
from vigorl.families.qwen_vl import Qwen3VL, Qwen25VL


@pytest.mark.parametrize(
    ("model_type", "frame"),
    [
        ("qwen2_vl", TextFrame.PERMILLE),
        ("qwen2_5_vl", TextFrame.PIXELS),
        ("qwen3_vl", TextFrame.PERMILLE),
        ("qwen3_5", TextFrame.PERMILLE),
        ("internvl", TextFrame.PERMILLE),
        ("glm4v", TextFrame.PERMILLE),
        ("glm46v", TextFrame.PERMILLE),
    ],
)
def test_config_json_names_the_family(tmp_path: Path, model_type: str, frame: TextFrame) -> None:
    (tmp_path / "config.json").write_text(json.dumps({"model_type": model_type}))
    assert family_of(tmp_path) is known_families()[model_type]
    assert family_of(tmp_path).frame is frame


def test_an_unknown_family_is_refused_with_the_known_ones(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{"model_type": "llava"}')
    known = ", ".join(known_families())
    with pytest.raises(ConfigError, match=f"model_type 'llava' is not one of {known}$"):
        family_of(tmp_path)
    (tmp_path / "config.json").write_text('{"hidden_size": 64}')
    with pytest.raises(ConfigError, match="model_type None is not one of"):
        family_of(tmp_path)


@pytest.mark.parametrize(
    "config",
    [
        {"model_type": "glm4v_moe"},
        {"model_type": "glm46v", "text_config": {"model_type": "glm4v_moe_text"}},
    ],
)
def test_a_mixture_of_experts_is_refused_with_the_reason(tmp_path: Path, config: object) -> None:
    (tmp_path / "config.json").write_text(json.dumps(config))
    with pytest.raises(ConfigError, match=r"glm4v_moe.* is a mixture .*scale=glm4_1v_9b"):
        family_of(tmp_path)


def test_a_folder_without_a_config_is_refused_in_one_line(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"no config\.json") as caught:
        family_of(tmp_path)
    assert "\n" not in str(caught.value)
    with pytest.raises(ConfigError, match=r"gone: no such folder; name a model's folder"):
        family_of(tmp_path / "gone")
    with pytest.raises(ConfigError, match=r"^gone: no such folder; name a model's folder .*NAME"):
        family_of("gone")


def test_a_runs_folder_says_where_its_model_is(tmp_path: Path) -> None:
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "config.json").write_text("{}")
    with pytest.raises(ConfigError, match=rf"; its model is {tmp_path / 'model'}$"):
        family_of(tmp_path)


def test_an_engine_that_cannot_run_a_family_says_which_can() -> None:
    check_runs(Qwen25VL(), engine="hf")
    odd = replace(Qwen3VL(), engines=("vllm", "server"))
    wanted = "engine=hf cannot run Qwen3-VL; take engine=vllm, engine=server"
    with pytest.raises(ConfigError, match=wanted):
        check_runs(odd, engine="hf")


def test_an_engine_without_the_models_class_is_refused_with_the_reason() -> None:
    wanted = r"vllm cannot run GLM-4\.6V; take engine=hf, .* \(vLLM .* has no class for Glm46V"
    with pytest.raises(ConfigError, match=wanted):
        check_runs(known_families()["glm46v"], engine="vllm")


def test_a_plugin_may_bring_what_is_refused_without_it(monkeypatch: pytest.MonkeyPatch) -> None:
    own = Qwen3VL(model_types=("glm4v_moe",))
    monkeypatch.setitem(known_families(), "glm4v_moe", own)
    assert family_named("glm4v_moe", where="a") is own


def test_a_plugin_that_is_not_there_is_named() -> None:
    with pytest.raises(ConfigError, match=r"plugins: there is no module nowhere; PYTHONPATH"):
        import_plugins(["nowhere"])
