from __future__ import annotations

from vigorl.data.encoding import ChatCodec
from vigorl.data.markups.code_block import CodeBlock
from vigorl.data.token_kinds import TokenKinds


class Letters(ChatCodec):
    """A token is a character; 0 is the end of a turn."""

    def __init__(self) -> None:
        pass

    def decode_raw(self, ids) -> str:
        return "".join(chr(i) for i in ids if i)


def letters(text: str) -> str:
    """The first letter of each character's kind."""
    return "".join(kind[0] for kind in TokenKinds(Letters())([*map(ord, text), 0]))


def test_coordinates_words_and_tags_are_told_apart() -> None:
    text = '<think> A7 (5, -20) </think><tool_call>{"coordinate": [5, 2.5]}</tool_call>'
    kinds = (
        "t" * 7 + "wwwww" + "c" + "ww" + "ccc" + "ww" + "t" * 8  # A7 is a word, its 7 too
        + "t" * 11 + "t" * 16 + "c" + "tt" + "ccc" + "tt" + "t" * 12 + "t"
    )  # fmt: skip
    assert letters(text) == kinds


def test_an_answer_is_words_and_a_call_may_be_cut() -> None:
    assert letters("<answer> (1, 2) b </answer>") == "t" * 8 + "wwcwwcwwww" + "t" * 9 + "t"
    assert letters("<tool_call>[3") == "t" * 11 + "tct"


def test_a_token_across_kinds_is_a_coordinate_first() -> None:
    class Pieces(Letters):
        def decode_raw(self, ids) -> str:
            return "".join(["", "<think> (", "12, 3", ")"][i] for i in ids)

    kinds = TokenKinds(Pieces())([1, 2, 3, 0])
    assert [str(kind) for kind in kinds] == ["tags", "coordinates", "words", "tags"]


def test_a_call_in_the_policys_own_form_is_no_words() -> None:
    codec = Letters().speaking(CodeBlock().dialect([]))
    kinds = TokenKinds(codec)(list(map(ord, "a ```python\nf([5])\n``` b")))
    assert "".join(kind[0] for kind in kinds) == "ww" + "t" * 9 + "ttttctt" + "tttt" + "ww"
