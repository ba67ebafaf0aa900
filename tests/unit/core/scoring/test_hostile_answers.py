"""Answers that are easy to misjudge: no false credit, no right one lost."""

from __future__ import annotations

import pytest

from tests.builders import task, view
from vigorl.core.geometry import Box
from vigorl.core.scoring import PointInBox
from vigorl.core.scoring.action import score_action

COLOURS = ("red", "green", "blue", "yellow")
SPECIES = ("S. aureus", "E. coli", "B. subtilis", "L. casei")
NAMES = ("S. Williams", "V. Williams", "R. Federer")
UNITS = ("5 MW", "5 mW", "5 GW")
MARKS = ("6'", '6"', "6")
POWERS = ("x2", "x²", "x3")
SIGNS = ("5", "-5", "+5", ".5")
LABELLED = ("A. red", "B. blue", "C. green")
BRACKETED = ("(A) red", "(B) blue")
LETTERS = ("B", "A", "D")
CHINESE = ("红色", "蓝色", "左边")
SHARES = ("50%", "5%", "0.5")
TIMES = ("a.m.", "p.m.")
CODE = ("c", "c++", "c#")
QUOTED = ("the 'exit' sign", "exit", '"exit"')
YES = ("yes", "no")
SIDES = ("left (west)", "left", "right (east)")
WORDS = ("a", "an", "the")

RIGHT = {
    (COLOURS, "blue"): [
        "blue", "Blue", "BLUE.", " blue\n", "**blue**", "`blue`", "_blue_", '"blue"', "'blue'",
        "“blue”", "«blue»",
        "(blue)", "[blue]", "blue!", "blue?", "blue;", "blue,", "C", "c", "(C)", "[C]", "C.", "C)",
        "c:", "**C**",
        "(c).", "C. blue", "C.blue", "C: blue", "C) blue", "(C) blue", "(C)blue", "[C] blue",
        "**C.** blue",
        "**C. blue**", "**(C)** Blue.", "C - blue", "C、blue", "（C）blue", "ＢＬＵＥ", "Ｃ",
        "（Ｃ）", "【C】", "blue。",
        "「blue」", "『blue』", "blue、", "bl\u200bue", "\ufeffblue", "blue\u2060", "\u200eC",
        "bl\u00adue",
        "Option C", "option C: blue", "choice (C)", "Answer: C", "C。",
        "'C'", '"C"', "`C`", "‘C’", "“C”", "'C.'", "'C. blue'", "“C. blue”", "Option 'C'",
        "The answer is 'C'.", "blue (C)", "blue (c).", "blue, (C)", "blue [C]", "'blue' (C)",
        "blue (option C)", "The answer is blue (C).", "C (blue)", "blue（C）",
    ],
    (SPECIES, "E. coli"): [
        "E. coli", "e. coli", "(B) E. coli", "B. E. coli", "B", "(B)", "E. coli.", "**E. coli**",
        "B: e. coli",
    ],
    (NAMES, "V. Williams"): ["V. Williams", "B", "(B) V. Williams", "v. williams"],
    (NAMES, "S. Williams"): ["S. Williams", "A", "A. S. Williams"],
    (UNITS, "5 mW"): ["5 mW", "5 mW.", "(B) 5 mW", "B", "B. 5 mW", "**5 mW**"],
    (UNITS, "5 GW"): ["5 GW", "5 gw", "C"],
    (MARKS, '6"'): ['6"', '6".', '(B) 6"', "B"],
    (MARKS, "6'"): ["6'", "6'.", "A. 6'", '"6\'"'],
    (MARKS, "6"): ["6", "6.", "C", "(C) 6"],
    (POWERS, "x²"): ["x²", "(B) x²", "B", "x²."],
    (POWERS, "x2"): ["x2", "A", "x2."],
    (SIGNS, "-5"): ["-5", "\u22125", "–5", "B", "(B) -5", "-5."],
    (SIGNS, ".5"): [".5", ".5.", "D"],
    (SIGNS, "5"): ["5", "5.", "A"],
    (LABELLED, "B. blue"): ["B. blue", "blue", "B", "(B)", "(B) blue", "Blue."],
    (LABELLED, "blue"): ["B. blue", "blue", "b"],
    (BRACKETED, "(B) blue"): ["(B) blue", "B", "blue", "B. blue"],
    (LETTERS, "A"): ["A", "a", "(A)", "A."],
    (CHINESE, "蓝色"): [
        "蓝色", "蓝色。", "「蓝色」", "【蓝色】", "B", "B、蓝色", "（B）蓝色", "B：蓝色",
    ],
    (SHARES, "50%"): ["50%", "50 %", "50%.", "A", "(A) 50 %", "50％"],
    (TIMES, "p.m."): ["p.m.", "P.M.", "p.m", "B"],
    (CODE, "c++"): ["c++", "C++", "(B) c++", "C++."],
    (CODE, "c"): ["c", "(c)", "c."],  # letters name nothing where an option is one
    (QUOTED, "the 'exit' sign"): ["the 'exit' sign", "The 'exit' sign.", "A"],
    (YES, "yes"): ["yes", "Yes.", "YES!", "A", "**Yes**", "yes (A)", "'A'"],
    (SIDES, "left (west)"): ["left (west)", "Left (west).", "A"],
    (SIDES, "left"): ["left", "(left)", "B"],
    (WORDS, "an"): ["an", "An."],
    ((), "red"): ["red", "Red.", "(B) red", "A. red", '"red"', "red。", "**red**"],
    ((), "B"): ["B", "b", "(B)", "(B).", "B.", "B. red", "(B) red", "**B**", "Ｂ"],
    ((), "E. coli"): ["E. coli", "e. coli."],
    ((), "-5"): ["-5", "\u22125"],
    ((), "50%"): ["50 %", "50%"],
}  # fmt: skip
WRONG = {
    (COLOURS, "blue"): [
        "", " ", ".", "red", "B", "(A)", "D.", "E", "not blue", "blue or red", "blue, red", "blu",
        "bluee", "blue-green",
        "A. blue", "(B) blue", "C. red", "Option B", "B and C", "BC", "all",
        "red green blue yellow", "C C", "(C) not blue",
        "<answer>blue</answer>", "blue (C) red", "CC", "3", "c is wrong", "the answer",
        "'B'", "'C' or 'B'", "not 'C'", "'C' 'B'", "'C\"", "C'", "'CC'", "x'C'", "blue (B)",
        "red (C)", "blue (B or C)", "blue (not C)", "blue (C) (B)", "not blue (C)", "B. blue (C)",
        "blue or red (C)", "(C) red (C)", "B (blue)", "C (red)", "C (blue or red)", "'B. blue'",
        "bluish (C)", "is it blue (C)?", "blue (C",
    ],
    (SPECIES, "E. coli"): ["(A) E. coli", "S. aureus", "E", "coli", "A", "(E) coli", "E. aureus"],
    (NAMES, "V. Williams"): ["S. Williams", "A", "Williams", "(A) V. Williams", "Venus Williams"],
    (NAMES, "S. Williams"): ["V. Williams", "B", "Williams", "S"],
    (UNITS, "5 mW"): ["5 MW", "5 mw", "5 Mw", "A", "(A) 5 mW", "5"],
    (UNITS, "5 MW"): ["5 mW", "5 mw", "B"],
    (MARKS, '6"'): ["6'", "6", "A", "6'."],
    (POWERS, "x²"): ["x2", "A", "x^2", "x3"],
    (POWERS, "x2"): ["x²", "B"],
    (SIGNS, "-5"): ["5", "+5", "A", ".5"],
    (SIGNS, "5"): ["-5", "\u22125", ".5", "+5"],
    (LABELLED, "B. blue"): ["A. blue", "B. red", "A", "red", "D"],
    (LETTERS, "A"): ["B", "C", "E", "D", "'B'", "D (B)"],
    (MARKS, "6"): ["6' (C)", "6 (A)"],
    (CHINESE, "蓝色"): ["红色", "A", "A、蓝色", "蓝"],
    (SHARES, "50%"): ["5%", "0.5", "50", "B"],
    (TIMES, "p.m."): ["a.m.", "A", "m."],
    (CODE, "c++"): ["c", "c#", "C", "B"],
    (QUOTED, "exit"): ["the 'exit' sign", "A"],
    (YES, "yes"): ["no", "yes and no", "not yes", "B"],
    (SIDES, "left"): ["left (west)", "A", "right"],
    (WORDS, "an"): ["a", "A", "the"],
    ((), "red"): ["A", "dark red", "reddish", ""],
    ((), "B"): ["A", "(A)", "A. B", "blue", ""],
    ((), "E. coli"): ["E", "S. coli", "e", "(E)"],
    ((), "K. Smith"): ["J. Smith", "K"],
    ((), "-5"): ["5", "+5"],
    ((), "?"): ["!", ""],
}  # fmt: skip
CASES = [
    pytest.param(options, truth, answer, is_right, id=f"{truth!r} {answer!r} {is_right}")
    for table, is_right in ((RIGHT, True), (WRONG, False))
    for (options, truth), answers in table.items()
    for answer in answers
]


def test_there_are_enough() -> None:
    assert len(CASES) >= 250


@pytest.mark.parametrize(("options", "truth", "answer", "is_right"), CASES)
def test_answers_in_words(
    options: tuple[str, ...], truth: str, answer: str, is_right: bool
) -> None:
    assert task(answer=truth, options=options).is_right(answer) is is_right


@pytest.mark.parametrize(
    ("answer", "truth", "score"),
    [
        ("hover [3]", "hover [3]", 1.0),
        ("hover [4]", "hover [3]", 0.5),
        ("press [enter]", "press [enter]", 1.0),
        ("press [tab]", "press [enter]", 0.0),  # the verb alone is no half of it
        ("goto [a.com]", "goto [b.com]", 0.0),
        ("tab_focus [1]", "tab_focus [2]", 0.0),
        ("new_tab", "new_tab", 1.0),
        ("new_tab", "close_tab", 0.0),
        ("", "click [1]", 0.0),
        ("click", "click [1]", 0.5),
        ("click []", "click [1]", 0.5),
        ("click [1] [2]", "click [1]", 1.0),
    ],
)
def test_web_actions_of_any_verb(answer: str, truth: str, score: float) -> None:
    assert score_action(answer, truth) == score


@pytest.mark.parametrize(
    ("answer", "is_right"),
    [
        ("(50, 20).", True),
        ("`(50, 20)`", True),
        ('"(50, 20)"', True),
        ("**(50, 20)**", True),
        ("(50, 20);", True),
        ("at (50, 20)", False),
        ("(50, 20) and (1, 1)", False),
        ("50, 20.", False),
        ("(NaN, 20)", False),
        ("(1e3, 20)", False),
        ("(" + "9" * 5000 + ", 20)", False),
    ],
)
def test_points_forgive_what_texts_forgive(answer: str, is_right: bool) -> None:
    asked = task(scorer=PointInBox(Box(190, 70, 210, 90)), options=())
    assert asked.is_right(answer, view=view()) is is_right
