"""A start folder made for a world writes that world's traces in few tokens."""

from __future__ import annotations

from pathlib import Path

import pytest
from transformers import AutoModelForImageTextToText, AutoTokenizer

from tests.builders import view
from vigorl.core.trace import observation_parts
from vigorl.data.encoding import ChatCodec
from vigorl.data.scenes.draw import SceneSettings
from vigorl.data.scenes.world import MadeWorld, TraceMix
from vigorl.models.tiny import TinySettings
from vigorl.rollout.tools.zoom_point import ZoomPoint
from vigorl.training.from_nothing import ATOMS, make_for_world

TOOL = ZoomPoint(window_px=112, view_px=112)
SMALL = TinySettings(hidden=64, layers=1, ffn=64, vision_hidden=64, vision_depth=1)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> MadeWorld:
    return MadeWorld(
        root=str(tmp_path_factory.mktemp("world") / "root"),
        scene=SceneSettings(num_clutter=5),
        num_train=2,
        num_val=2,
        num_test=2,
        num_traces=80,
        mix=TraceMix(zoom_system="Z", single_look_system="S", ungrounded_system="U"),
        tool=TOOL,
    )


@pytest.fixture(scope="module")
def folder(world: MadeWorld, tmp_path_factory: pytest.TempPathFactory) -> str:
    path = str(tmp_path_factory.mktemp("start") / "model")
    assert make_for_world(source=world, tool=TOOL, folder=path, settings=SMALL, seed=5) == path
    return path


def test_the_world_is_drawn_first(world: MadeWorld, folder: str) -> None:
    assert (Path(world.root) / "world.json").is_file()
    assert AutoModelForImageTextToText.from_pretrained(folder).config.model_type == "qwen2_5_vl"


def test_what_a_trace_chooses_between_is_a_token_each(folder: str) -> None:
    tokenizer = AutoTokenizer.from_pretrained(folder)
    rare = set()
    for atom in ATOMS:
        if len(tokenizer(f" {atom}", add_special_tokens=False)["input_ids"]) != 1:
            rare.add(atom)
    assert not rare


def test_traces_and_observations_take_few_tokens(world: MadeWorld, folder: str) -> None:
    codec = ChatCodec.from_pretrained(folder)
    for record in world.load().train_traces:
        for text in record.trace.turns():
            ids = codec.completion_ids(text)
            assert codec.decode(ids) == text
            if record.system == "Z":
                assert len(ids) <= 48  # configs/scale/tiny.yaml allows 64 per turn
    assert len(codec.observation_ids(observation_parts((f"{TOOL.shown}:\n", view())))) <= 20


def test_the_same_world_and_seed_give_the_same_files(
    world: MadeWorld, folder: str, tmp_path: Path
) -> None:
    again = make_for_world(source=world, tool=TOOL, folder=str(tmp_path), settings=SMALL, seed=5)
    for name in ("model.safetensors", "tokenizer.json", "config.json"):
        assert (Path(folder) / name).read_bytes() == (Path(again) / name).read_bytes()
