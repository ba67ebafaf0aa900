"""Others write the prompt of a folder as we do."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from transformers import AutoTokenizer

from tests.unit.rollout.world import World, world
from vigorl.data.images import ImageStore
from vigorl.data.prompt_writer import Domain, Form, PromptWriter
from vigorl.data.prompts import Prompt
from vigorl.rollout.chat_files import add_chat_files, write_chat_files

__all__ = ["world"]
ODD = "He said \"{{ x }}\", {% if y %}\\n\\ and\nthen: ü 😀 '{}' {# z #}"


def prompts(world: World) -> list[Prompt]:
    writer = PromptWriter(domain=Domain.VISUAL_SEARCH, form=Form.TOOLS, answer="option")
    return [writer.write(tools=[world.zoom()]), Prompt(ODD), Prompt("")]


@pytest.mark.parametrize("which", range(3), ids=["written", "odd", "none"])
def test_the_template_gives_our_prompt(world: World, tmp_path: Path, which: int) -> None:
    environment = world.environment()
    environment.prompt = prompts(world)[which]
    model = tmp_path / "model"
    shutil.copytree(world.folder, model)
    (model / "chat_template.json").write_text("{}")
    assert not add_chat_files(model, tmp_path / "chat")
    write_chat_files(tmp_path / "chat", environment, source=world.folder)
    assert add_chat_files(model, tmp_path / "chat")
    task = replace(world.task(), options=("red", "blue"))
    *_, user = environment.prompt.messages(task)
    picture = {"type": "image_url", "image_url": {"url": "data:..."}}
    text = {"type": "text", "text": user.text.removeprefix("<image>")}
    tokenizer: Any = AutoTokenizer.from_pretrained(model)
    found = tokenizer.apply_chat_template(
        [{"role": "user", "content": [picture, text]}], add_generation_prompt=True
    )
    expected = world.codec.prompt_ids(environment.prompt.messages(task))
    assert list(found["input_ids"]) == expected
    assert not (model / "chat_template.json").exists()


def test_pixels_and_limits_are_the_runs(world: World, tmp_path: Path) -> None:
    environment = world.environment(max_new_tokens=77)
    environment.images = ImageStore.from_pretrained(world.folder, max_pixels=784 * 30)
    write_chat_files(tmp_path, environment, source=world.folder)
    known = json.loads((tmp_path / "preprocessor_config.json").read_text())
    assert known["size"] == {"shortest_edge": 3136, "longest_edge": 784 * 30}
    generation = json.loads((tmp_path / "generation_config.json").read_text())
    assert generation["eos_token_id"] == world.codec.end_id
    assert generation["suppress_tokens"] == list(world.codec.banned_ids)
    told = json.loads((tmp_path / "vigorl.json").read_text())
    assert told["limits"]["max_new_tokens"] == 77
    assert told["prompt"]["system"] == environment.prompt.system
    assert told["tools"]["search_coordinate"]["arguments"][0]["kind"] == "point"


def test_pixels_are_the_runs_where_a_newer_folder_has_them(world: World, tmp_path: Path) -> None:
    source, chat = tmp_path / "source", tmp_path / "chat"
    shutil.copytree(world.folder, source)
    known = json.loads((source / "preprocessor_config.json").read_text())
    (source / "preprocessor_config.json").unlink()
    (source / "processor_config.json").write_text(json.dumps({"a": 1, "image_processor": known}))
    environment = world.environment()
    environment.images = ImageStore.from_pretrained(source, max_pixels=784 * 30)
    write_chat_files(chat, environment, source=source)
    add_chat_files(source, chat)
    assert ImageStore.from_pretrained(source).sizing.max_pixels == 784 * 30
    assert json.loads((source / "processor_config.json").read_text())["a"] == 1
