"""Several rollouts in one picture."""

from __future__ import annotations

from dataclasses import replace

from tests import builders
from tests.unit.pages.conftest import at
from vigorl.data.images import ImageStore
from vigorl.pages.sheet import rollout_sheet

LINE, GAP, SIDE = 20, 14, 100


def test_a_sheet_has_rows_of_four_and_the_question_that_all_share_above(
    store: ImageStore, picture: str
) -> None:
    one = builders.scored(at(picture, builders.rollout()))
    sheet = rollout_sheet([one] * 5, store, side_px=SIDE)
    assert sheet.width == 4 * SIDE + 3 * GAP
    above, below = 2 * LINE + 4, 3 * LINE  # question and right answer; the key, in three lines
    tile = SIDE + 4 + 2 * LINE  # picture, answer, reward
    assert sheet.height == above + 2 * (tile + GAP) + below
    assert sheet.getpixel((0, above)) == (0x55, 0x66, 0x77)


def test_of_many_the_first_twelve_are_drawn_with_their_own_questions(
    store: ImageStore, picture: str
) -> None:
    rollout = at(picture, builders.rollout())
    other = replace(rollout, task=replace(rollout.task, id="other"))
    some = [builders.scored(rollout), *[builders.scored(other)] * 11]
    twelve = rollout_sheet(some, store, side_px=SIDE)
    assert twelve.getpixel((0, 0)) == (0x55, 0x66, 0x77)  # no question above
    many = rollout_sheet([*some, *some], store, side_px=SIDE)
    assert many.size[0] == twelve.size[0]
    assert LINE >= many.size[1] - twelve.size[1] >= 0  # "the first 12 of 24" at most
