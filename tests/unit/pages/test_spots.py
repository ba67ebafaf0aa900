"""Where a rollout looked, in pixels of its pictures."""

from __future__ import annotations

from tests import builders
from vigorl.core.geometry import Box, Point
from vigorl.core.scoring import PointInBox
from vigorl.pages.spots import SpotKind, spots_of


def test_spots_are_in_the_pictures_own_pixels():
    spots = spots_of(builders.rollout(builders.zoom_turn(50, 20), builders.answer_turn()))
    # the first thought names the point that its tool looks at, so only the zoom is marked
    assert [(spot.kind, spot.turn, spot.label) for spot in spots] == [
        (SpotKind.LOOK, 1, "1"),
        (SpotKind.THOUGHT, 2, ""),
    ]
    assert spots[0].point == Point(200, 80)
    assert spots[0].window == Box(144, 24, 256, 136)
    assert spots[1].point == Point(200, 80)


def test_thoughts_are_numbered_when_nothing_was_zoomed_at():
    think = "First (10, 20), then (500, 20), then (30, 40)."  # the second is off the picture
    spots = spots_of(builders.rollout(builders.answer_turn(think=think)))
    assert [(spot.label, spot.point) for spot in spots] == [
        ("1", Point(40, 80)),
        ("2", Point(120, 160)),
    ]


def test_point_answer_is_marked():
    fields = {"scorer": PointInBox(builders.DISC), "options": ()}
    rollout = builders.rollout(
        builders.answer_turn("(50, 20)", think="x"), task=builders.task(**fields)
    )
    assert [(spot.kind, spot.label) for spot in spots_of(rollout)] == [(SpotKind.ANSWER, "A")]
