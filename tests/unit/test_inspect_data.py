"""Whose pictures and tokens questions are looked at with where the model is not here."""

from __future__ import annotations

from pathlib import Path

import pytest
from hydra import compose, initialize_config_dir
from omegaconf import DictConfig

from vigorl.build import CONFIGS, prepare_process
from vigorl.core.media import TextFrame
from vigorl.inspect_data import asked_by, family_of_absent

prepare_process()


def composed(*words: str) -> DictConfig:
    with initialize_config_dir(CONFIGS, version_base="1.3"):
        return compose("train", list(words))


@pytest.mark.parametrize(
    ("words", "family"),
    [
        ("scale=qwen2_5_vl_7b", "Qwen2.5-VL"),
        ("scale=qwen3_5_4b", "Qwen3.5"),
        ("scale=glm4_6v_flash", "GLM-4.6V"),
        ("scale=internvl3_5_8b", "InternVL3"),
        ("scale=tiny_internvl", "InternVL3"),  # its maker says so
        ("model.path=somebody/a-fine-tune", "Qwen2.5-VL"),
    ],
)
def test_a_family_goes_by_the_models_name(words: str, family: str) -> None:
    assert family_of_absent(composed(words)).name == family


def test_a_model_that_is_not_here_is_stood_in_for_by_one_of_its_family(tmp_path: Path) -> None:
    shipped, words = asked_by(composed("scale=qwen2_5_vl_3b", f"paths.root={tmp_path}"))
    assert words.endswith("which is not here: pictures are cut as of a tiny Qwen2.5-VL")
    assert shipped.images.frame == TextFrame.PIXELS
    cfg = composed("scale=glm4_1v_9b", f"paths.root={tmp_path}")
    for _ in range(2):  # made once
        made, words = asked_by(cfg)
        assert made.images.frame == TextFrame.PERMILLE
    assert [one.name for one in (tmp_path / "outputs/inspected").iterdir()] == ["tiny_glm4v"]
