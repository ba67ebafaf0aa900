"""Actions as VisualWebArena's agents write them."""

from __future__ import annotations

import pytest

from vigorl.evaluation.web.actions import Action, Verb, is_stuck, parse_action


@pytest.mark.parametrize(
    ("text", "action"),
    [
        ("click [12]", Action(Verb.CLICK, 12)),
        ("```click [12]```", Action(Verb.CLICK, 12)),
        ("Click[ 12 ]", Action(Verb.CLICK, 12)),
        ("hover [3]", Action(Verb.HOVER, 3)),
        ("clear [3]", Action(Verb.CLEAR, 3)),
        ("type [7] [Red Shoes]", Action(Verb.TYPE, 7, "Red Shoes", enter=True)),
        ("type [7] [Red Shoes] [1]", Action(Verb.TYPE, 7, "Red Shoes", enter=True)),
        ("type [7] [two\nlines] [0]", Action(Verb.TYPE, 7, "two\nlines")),
        ("type [7] [a [b] [0] c] [0]", Action(Verb.TYPE, 7, "a [b] [0] c")),
        ("press [Control+a]", Action(Verb.PRESS, text="Control+a")),
        ("scroll [down]", Action(Verb.SCROLL, text="down")),
        ("scroll UP", Action(Verb.SCROLL, text="up")),
        ("goto [http://a.b/?c=[d]]", Action(Verb.GOTO, text="http://a.b/?c=[d]")),
        ("new_tab", Action(Verb.NEW_TAB)),
        ("tab_focus [0]", Action(Verb.TAB_FOCUS, 0)),
        ("close_tab", Action(Verb.CLOSE_TAB)),
        ("go_back []", Action(Verb.GO_BACK)),
        ("go_forward", Action(Verb.GO_FORWARD)),
        ("stop", Action(Verb.STOP)),
        ("stop []", Action(Verb.STOP)),
        ("stop [N/A]", Action(Verb.STOP, text="N/A")),
    ],
)
def test_an_action_is_read(text: str, action: Action):
    assert parse_action(text) == action


@pytest.mark.parametrize(
    "text",
    [
        "", "click", "click []", "click [Cart]", "click [1] [2]", "click [1234567]", "type [7]",
        "type [7] []", "type [seven] [a]", "scroll", "scroll [left]", "goto", "press []",
        "jump [1]", "I click [1]", "click [1].", "<b>", "type [1] [" + "a" * 2000 + "]",
    ],
)  # fmt: skip
def test_anything_else_is_none(text: str):
    assert parse_action(text) is None


def test_elements_are_told_by_their_text():
    assert Action(Verb.CLICK, 3).told("[A] [Cart]") == "click [A] [Cart]"
    assert Action(Verb.TYPE, 3, "Kettle").told("[INPUT] []") == "type [INPUT] [] [Kettle]"
    assert Action(Verb.CLICK, 99).told() == "click [99]"
    assert Action(Verb.TAB_FOCUS, 0).told() == "tab_focus [0]"
    assert Action(Verb.GO_BACK).told() == "go_back"
    assert Action(Verb.SCROLL, text="up").told() == "scroll [up]"


CLICK, DOWN = Action(Verb.CLICK, 1), Action(Verb.SCROLL, text="down")
KETTLE, MUG = Action(Verb.TYPE, 1, "kettle"), Action(Verb.TYPE, 1, "mug")


@pytest.mark.parametrize(
    ("actions", "why"),
    [
        ([], ""),
        ([None, None], ""),
        ([CLICK, None, None, None], "unreadable"),
        ([None, None, CLICK], ""),
        ([CLICK] * 4, ""),
        ([CLICK] * 5, "repeated"),
        ([CLICK] * 4 + [DOWN, CLICK], ""),  # in a row
        ([KETTLE, DOWN, MUG, DOWN, KETTLE, DOWN, MUG, DOWN, KETTLE], "repeated"),  # in all
    ],
)
def test_what_goes_nowhere_is_stopped(actions: list[Action | None], why: str):
    assert is_stuck(actions, max_unreadable=3, max_repeats=5) == why
