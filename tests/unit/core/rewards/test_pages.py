from __future__ import annotations

import math

import pytest

from tests.builders import answer_turn, rollout, task, turn, view
from vigorl.core.geometry import Box
from vigorl.core.media import FileImage, ImageView
from vigorl.core.rewards.pages import FoundPagesReward

SECOND = 1 / math.log2(3)  # a hit at the second place


def page(name: str) -> ImageView:
    return ImageView(FileImage(f"pages/{name}"), view().original, view().size)


@pytest.mark.parametrize(
    ("pages", "shown", "value"),
    [
        ("", ["a/1.png"], 0.0),
        ("a/1.png", [], 0.0),
        ("a/1.png", ["a/1.png", "b.png"], 1.0),
        ("1.png", ["b.png", "a/1.png"], SECOND),
        ("1.png", ["b.png", "b.png", "a/1.png"], SECOND),  # one shown twice counts once
        ("1.png", ["a/11.png"], 0.0),
        ("a/1.png; b.png", ["a/1.png"], 1 / (1 + SECOND)),
        ("a/1.png; b.png", ["b.png", "c.png", "a/1.png"], (1 + 0.5) / (1 + SECOND)),
    ],
)
def test_pages_count_by_their_rank(pages: str, shown: list[str], value: float) -> None:
    looks = [turn("Look.", views=(page(name), view(box=Box(0, 0, 9, 9)))) for name in shown]
    one = rollout(*looks, answer_turn(), task=task(tags={"pages": pages}))
    assert FoundPagesReward()(one) == pytest.approx(value)
