"""A picture, a store that shows it, and rollouts moved onto it."""

from __future__ import annotations

from dataclasses import replace

import pytest
from PIL import Image
from transformers import Qwen2VLImageProcessorPil

from tests.unit.rollout.world import world
from vigorl.core.media import FileImage, ImageView
from vigorl.core.rollout import Rollout, Turn
from vigorl.data.images import ImageStore
from vigorl.families.qwen_vl import Qwen25VL

__all__ = ["world"]


@pytest.fixture(scope="module")
def store() -> ImageStore:
    size = {"shortest_edge": 56 * 56, "longest_edge": 112 * 112}
    return ImageStore(
        Qwen2VLImageProcessorPil(size=size, patch_size=14, merge_size=2), family=Qwen25VL()
    )


@pytest.fixture(scope="module")
def picture(tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("page") / "disc.png"
    image = Image.new("RGB", (448, 448), "#556677")
    image.paste((214, 40, 40), (190, 70, 210, 90))
    image.save(path)
    return str(path)


def at(picture: str, rollout: Rollout) -> Rollout:
    """The same rollout on a picture that exists."""

    def moved(view: ImageView) -> ImageView:
        return replace(view, source=FileImage(picture))

    def moved_turn(turn: Turn) -> Turn:
        return replace(turn, views=tuple(map(moved, turn.views)))

    return replace(
        rollout,
        prompt_views=tuple(map(moved, rollout.prompt_views)),
        turns=tuple(map(moved_turn, rollout.turns)),
    )
