"""A task as the chat that asks it, and templates with unknown fields stop at once."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.builders import task
from vigorl.core.errors import ConfigError, DataError
from vigorl.core.media import TextFrame
from vigorl.data.prompts import OPTIONS, Message, Prompt, lettered


def test_pictures_without_a_slot_come_before_the_text() -> None:
    asked = Prompt("Be exact.").messages(task(question="What?", images=("a", "b")))
    assert asked == [Message("system", "Be exact."), Message("user", "<image><image>What?", 2)]


def test_slots_in_the_question_stay_where_they_are() -> None:
    asked = Prompt("").messages(task(question="Is <image> like <image>?", images=("a", "b")))
    assert asked == [Message("user", "Is <image> like <image>?", 2)]


def test_options_are_lettered_in_order_only_when_asked_for() -> None:
    record = task(question="What?", options=("red", "blue"))
    with_options = Prompt("", options=OPTIONS).messages(record)[0].text
    assert with_options == "<image>What?\nOptions:\n(A) red\n(B) blue"
    assert Prompt("").messages(record)[0].text == "<image>What?"
    assert (
        Prompt("", options=OPTIONS).messages(task(question="?", options=()))[0].text == "<image>?"
    )


def test_braces_and_fields_in_a_question_are_only_text() -> None:
    asked = Prompt("", question="Q: {question}").messages(task(question="{options} {0} }{"))
    assert asked[0].text == "<image>Q: {options} {0} }{"


def test_more_slots_than_pictures_is_an_error_that_names_the_record() -> None:
    with pytest.raises(DataError, match=r"rows.jsonl:3: 2 <image> slots"):
        Prompt("").messages(task(question="<image> <image>", source="rows.jsonl:3"))


def test_an_image_slot_in_an_option_is_no_picture() -> None:
    record = task(question="<image>What?", options=("red", "<image>"))
    plain = "\nOptions:\n(A) red\n(B) <image>"
    prompt = Prompt("", options=OPTIONS)
    assert prompt.messages(record) == [Message("user", "<image>What?", 1, plain)]
    unplaced = replace(record, question="What?")  # its slot comes first, not in the option
    assert prompt.messages(unplaced) == [Message("user", "<image>What?", 1, plain)]


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"question": "{problem}"}, r"`question`: unknown field \{problem\}"),
        ({"question": "What?"}, r"`question`: the field \{question\} is missing"),
        ({"question": "{question} {"}, "`question`"),
        ({"options": "{letters}"}, r"`options`: unknown field \{letters\}"),
    ],
)
def test_bad_templates_name_themselves(fields: dict[str, str], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        Prompt("", **fields)


def test_twenty_seven_options_have_no_letters() -> None:
    with pytest.raises(DataError, match="27 options"):
        lettered(["x"] * 27)


def test_a_prompt_of_ones_own_stays_as_it_is() -> None:
    prompt = Prompt("Use pixels.")
    assert prompt.write(frame=TextFrame.PERMILLE) is prompt
