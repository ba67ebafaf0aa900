"""The orders in which options are asked."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

from tests.builders import task
from vigorl.data.option_orders import ORDER, QUESTION, OptionOrder, in_orders

FOUR = replace(task(id="q"), answer="red", options=("red", "blue", "green", "white"))
OPEN = replace(task(id="open"), answer="red", options=())


def test_rotations_put_the_right_option_at_every_letter_once():
    orders = in_orders([FOUR, OPEN], OptionOrder.ROTATED, seed=0)
    assert [one.id for one in orders] == ["q#0", "q#1", "q#2", "q#3", "open"]
    assert [one.options.index("red") for one in orders[:4]] == [0, 3, 2, 1]
    assert {one.cluster for one in orders[:4]} == {"q"}
    assert [dict(one.tags) for one in orders[:2]] == [
        {ORDER: "0", QUESTION: "q"}, {ORDER: "1", QUESTION: "q"},
    ]  # fmt: skip
    assert orders[4] is OPEN


def test_both_ways_is_as_written_and_reversed():
    first, second = in_orders([replace(FOUR, cluster="c")], OptionOrder.BOTH_WAYS, seed=0)
    assert (first.options, second.options) == (FOUR.options, FOUR.options[::-1])
    assert first.cluster == second.cluster == "c"


def test_a_shuffle_is_of_seed_and_id_alone_and_favours_no_letter():
    many = [replace(FOUR, id=str(number)) for number in range(400)]
    shuffled = in_orders(many, OptionOrder.SHUFFLED, seed=3)
    assert in_orders(many[7:8], OptionOrder.SHUFFLED, seed=3) == shuffled[7:8]
    assert in_orders(many, OptionOrder.SHUFFLED, seed=4) != shuffled
    assert [one.id for one in shuffled] == [one.id for one in many]
    at = Counter(one.options.index("red") for one in shuffled)
    assert all(70 <= at[place] <= 130 for place in range(4))  # 100 +- 3 standard deviations


def test_as_written_changes_nothing():
    assert in_orders([FOUR], OptionOrder.AS_WRITTEN, seed=0) == [FOUR]


def test_letters_that_stand_in_the_picture_keep_their_places():
    drawn = replace(FOUR, answer="B", options=("A", "B", "C", "D"))
    for order in OptionOrder:
        assert in_orders([drawn], order, seed=1) == [drawn]
