"""Options in a text, as real files write them."""

from __future__ import annotations

from pathlib import Path

import pytest

from vigorl.core.errors import DataError
from vigorl.data.sources.lettered import answer_of, distinct, split_line
from vigorl.data.sources.rows import Row

ROW = Row({}, Path("rows.json"), name="item 1")


@pytest.mark.parametrize(
    ("text", "options"),
    [
        (
            "A. 3, 5; B. 4;C. 6 cm.; D. No correct answer",
            ("3, 5", "4", "6 cm.", "No correct answer"),
        ),
        ("A. ①;B．②;C. ③", ("①", "②", "③")),  # one real row has a full-width stop
        ("A. 45° B. 60° ;C. 120°", ("45°", "60°", "120°")),  # and three lack a semicolon
        ("A. left of B; B. left of A", ("left of B", "left of A")),
        ("A. B; B. A;    C. point ;O.", ("B", "A", "point ;O.")),
    ],
)
def test_options_in_one_line(text: str, options: tuple[str, ...]) -> None:
    assert split_line(ROW, text, key="option") == options


@pytest.mark.parametrize("text", ["", "red", "A. red", "B. red; C. blue"])
def test_less_than_two_options_are_refused(text: str) -> None:
    with pytest.raises(DataError, match=r"item 1.*such as \"A. red; B. blue\""):
        split_line(ROW, text, key="option")


def test_a_letter_names_an_option() -> None:
    assert answer_of(ROW, " (B) ", ("red", "blue"), key="answer") == "blue"
    for letter in ("C", "", "blue", "AB", "1"):
        with pytest.raises(DataError, match="the letter of one of 2 options"):
            answer_of(ROW, letter, ("red", "blue"), key="answer")


def test_an_option_that_stands_twice_is_left_out_once_and_noted() -> None:
    row = Row({}, Path("rows.json"))
    assert distinct(row, ("15", "50", "50")) == ("15", "50")
    assert distinct(row, ("15", "50")) == ("15", "50")
    assert sum(row.notes.values()) == 1
