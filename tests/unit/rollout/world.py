"""What rollout tests stand on: one picture, a real tokenizer, image processor and tiny model."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from transformers import Qwen2_5_VLForConditionalGeneration

from tests import builders
from vigorl.core.geometry import Point
from vigorl.core.records import TaskRecord
from vigorl.core.trace import FORCED_ANSWER_PREFIX, render_answer_turn
from vigorl.data.encoding import ChatCodec
from vigorl.data.images import ImageStore
from vigorl.data.prompts import Prompt
from vigorl.models.tiny import TinySettings, make_tiny
from vigorl.rollout.environment import Environment
from vigorl.rollout.limits import RolloutLimits
from vigorl.rollout.tools.zoom_point import ZoomPoint

ZOOM = builders.call_text(50, 20)
ZOOM_AGAIN = builders.call_text(90, 90)
OFF_PICTURE = builders.call_text(500, 20)
ANSWER = render_answer_turn("It is the disc.", "red")
CROP_TOKENS = 4  # a 56x56 view


@dataclass(frozen=True)
class World:
    folder: Path
    picture: str
    codec: ChatCodec
    images: ImageStore

    def task(self, name: str = "disc") -> TaskRecord:
        return builders.task(id=name, images=(self.picture,), question=f"The colour of {name}?")

    def zoom(self) -> ZoomPoint:
        return ZoomPoint(window_px=112, view_px=56)

    def environment(self, *, tools: list[Any] | None = None, **overrides: Any) -> Environment:
        limits = {
            "max_turns": 4,
            "max_images": 4,
            "max_new_tokens": 200,
            "max_response_tokens": 4000,
        }
        settings = {
            key: overrides.pop(key)
            for key in ("temperature", "top_p", "step_reply")
            if key in overrides
        }
        return Environment(
            prompt=Prompt("Point, zoom, then answer."),
            codec=self.codec,
            images=self.images,
            tools=[self.zoom()] if tools is None else tools,
            limits=RolloutLimits(**(limits | overrides)),
            **settings,
        )

    def model(self) -> Qwen2_5_VLForConditionalGeneration:
        return Qwen2_5_VLForConditionalGeneration.from_pretrained(self.folder)

    def crop_of(self, x: int, y: int) -> Any:
        image = self.images.whole(self.picture)
        tool = self.zoom()
        arguments = tool.arguments_at(Point(x, y), image=image)
        (crop,) = tool.call(arguments, scene=builders.scene(image)).views
        return crop


@pytest.fixture(scope="session")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    folder = tmp_path_factory.mktemp("tiny")
    corpus = [ZOOM, ANSWER, FORCED_ANSWER_PREFIX] * 3
    make_tiny(folder, corpus=corpus, settings=TinySettings(hidden=64, layers=2, ffn=96), seed=1)
    torch.manual_seed(0)
    picture = folder / "disc.png"
    Image.effect_noise((448, 448), 90).convert("RGB").save(picture)
    codec = ChatCodec.from_pretrained(folder)
    return World(folder, str(picture), codec, ImageStore.from_pretrained(folder))
