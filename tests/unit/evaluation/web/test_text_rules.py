"""The benchmark's rules for texts."""

from __future__ import annotations

import pytest

from vigorl.evaluation.web.text_rules import includes, is_exact, is_value, words


@pytest.mark.parametrize(
    ("text", "wanted", "is_in"),
    [
        ("It is $279.49.", "279.49", True),
        ("It is $279.49.", "79.49", False),
        ("000000170", "170", False),  # WebArena would take it; VisualWebArena does not
        ("order 170", "170", True),
        ("redder", "red", False),
        ("Red, I think", "red", True),
        ("'Red'", "red", True),
        ("a light-red one", "red", False),  # one word, as NLTK has it
        ("the red mugs", "red mug", True),  # several words: any part
        ("1,000 people", "1,000", True),
        ("blue", "red |OR| blue", True),
        ("", "red", False),
        ("it's", "it", True),
        ("yes.", "yes", True),
        ("3.", "3", True),
        ("3.5", "3", False),
    ],
)
def test_a_required_text_is_a_word_or_a_part(text: str, wanted: str, is_in: bool):
    assert includes(text, wanted) is is_in


def test_an_exact_text_has_no_case_and_no_quotes_around():
    assert is_exact("'N/A'", "n/a")
    assert not is_exact("N/A, sorry", "n/a")
    assert not is_exact("'", "")
    assert not is_exact('"red', "re")


@pytest.mark.parametrize(
    ("text", "wanted", "is_met"),
    [
        ("1,200", ">= 1200", True),
        ("700", "< 700", False),  # the benchmark's own code says True
        ("700", "<= 700", True),
        ("3", "== 2 |OR| == 3", True),
        ("3.5", "> 3", True),
        ("", "< 5", False),
        ("nan", "< 5", False),
        ("-inf", "< 5", False),
    ],
)
def test_a_value_satisfies_a_relation(text: str, wanted: str, is_met: bool):
    assert is_value(text, wanted) is is_met


def test_what_is_no_relation_is_refused():
    with pytest.raises(ValueError, match="'about 5' is no relation such as"):
        is_value("5", "about 5")


def test_words_and_marks_are_apart():
    assert words("he said “no”... (twice), isn't") == [
        "he", "said", "“", "no", "”", "...", "(", "twice", ")", ",", "is", "n't",
    ]  # fmt: skip
