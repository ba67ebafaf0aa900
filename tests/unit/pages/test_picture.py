"""A rollout drawn with Pillow."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests import builders
from tests.unit.pages.conftest import at
from vigorl.data.images import ImageStore
from vigorl.pages.picture import rollout_picture
from vigorl.pages.spots import RIGHT


def test_picture_has_crops_beside_and_caption_below(store: ImageStore, picture: str):
    rollout = at(picture, builders.rollout())
    drawn = rollout_picture(builders.scored(rollout), store)
    assert drawn.height == 448 + 2 * 22  # two lines below
    assert drawn.width > 448
    assert drawn.getpixel((0, 0)) == (0x55, 0x66, 0x77)
    # the frame of a crop with the target inside is green; it starts below the label
    right = tuple(int(RIGHT[i : i + 2], 16) for i in (1, 3, 5))
    assert drawn.getpixel((459, 60)) == right
    assert rollout_picture(rollout, store, max_side_px=224).height == 224 + 2 * 22


def test_picture_without_zoom_is_the_picture_alone(store: ImageStore, picture: str):
    rollout = at(picture, builders.rollout(builders.answer_turn("no \x00 \ud800 glyph " * 40)))
    assert rollout_picture(rollout, store).width == 448
    with pytest.raises(ValueError, match="no picture"):
        rollout_picture(replace(rollout, prompt_views=()), store)
