from __future__ import annotations

import pytest

from vigorl.pages.text import words_of


@pytest.mark.parametrize(
    ("question", "words"),
    [
        ("What is it?", "What is it?"),
        ("<image>\n<image>What is it?\n", "What is it?"),
        (
            "Frame 0: <image>\nFrame 31 at 3.5 s: <image>\nWhich way?\nSay it.",
            "Which way?\nSay it.",
        ),
        ("Is <image> in <image>?", "Is [picture] in [picture]?"),
        ("What is in this picture: <image>\nA. cat", "What is in this picture: [picture]\nA. cat"),
        ("Camera 1: <image>", "Camera 1: [picture]"),
        ("<image>", "[picture]"),
    ],
)
def test_a_heading_has_the_words_alone(question: str, words: str) -> None:
    assert words_of(question) == words
