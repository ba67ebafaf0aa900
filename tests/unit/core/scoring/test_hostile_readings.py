r"""More answers that are easy to misjudge: boxes and sentences around them, yes and no, numbers,
units, fractions, words, formulas, lists, refusals. No false credit, no right one lost.
"""

from __future__ import annotations

import pytest

from tests.builders import task
from vigorl.core.scoring import MathMatch, NumberMatch, OneOf, Scorer, TextMatch, YesNo

COLOURS = ("red", "green", "blue", "yellow")
COUNTS = ("1", "2", "3", "23")
LONG = ("on the left", "on the right")
NONE_FITS = ("one", "two", "none of the above")
REFUSALS = [
    "I cannot tell", "I don't know", "I do not know.", "unknown", "N/A", "n/a", "none", "None.",
    "unclear", "not sure", "sorry, I cannot help with that", "I can't answer", "As an AI model, I",
    "cannot be determined", "无法判断", "不知道", "抱歉", "no idea", "", " ", ".", "?", "-", "...",
    "null", "nan", "undefined", "<answer>", "</answer>", "{}", "[]", "()", "\\boxed{}", "$$",
]  # fmt: skip

TEXT = {
    (COLOURS, "blue"): (
        [
            r"\boxed{C}", r"\boxed{blue}", r"\boxed{\text{(C) blue}}", r"\fbox{C}", r"$\boxed{C}$",
            r"\(\boxed{C}\)", r"The final answer is \boxed{C}.", r"\boxed{\textbf{C}}",
            r"\boxed{\mathrm{blue}}", r"$C$", r"\(C\)", r"\text{C}", r"\textbf{blue}",
            "The answer is C", "The answer is C.", "the answer is (C)", "The answer is: C",
            "The answer is (C) blue.", "The answer is blue", "The correct answer is C.",
            "The correct option is C.", "The best choice is C", "My answer: C", "Answer: C",
            "ANSWER: C", "answer=C", "**Answer: C**", "**Answer:** blue", "Final answer: blue",
            "Final Answer: C. blue", "So the answer is C", "Thus, the answer is C.",
            "Therefore the correct answer is (C).", "The answer should be C", "Option (C)",
            "Option C: blue", "option C", "I choose C", "I pick blue", "C is correct",
            "C is right.",
            "C is the correct answer.", "Option C is correct.", "(C) is the best option",
            "blue is the correct answer", "答案是C", "答案：C", "答案为（C）", "答案是blue",
            "正确答案是C。", "正确的答案是 C", "所以答案是C", "选C", "我选C", "我选择C", "选择 C",
            "选项C", "选项（C）", "选项C正确", "C正确", "Ｃ．", "（Ｃ）。", "ＡＮＳＷＥＲ：Ｃ",
            "The answer is **C**", "The answer is **blue**.",
        ],
        [
            r"\boxed{A}", r"\boxed{A}\boxed{C}", r"\boxed{C}\boxed{A}", r"\boxed{A}, no: C",
            r"\boxed{C}, or \boxed{D}", r"\boxed{A or C}", r"\boxed{C, D}", r"\boxed{B} blue",
            r"\boxed{C", r"\boxed{not C}", r"\boxed{(B) blue}", r"\boxed{CC}", "boxed{C}",
            "The answer is not C", "The answer is C or B", "The answer is C? No, B.",
            "The answer is C. No, it is B.", "The answer is a blue one", "The answer is a",
            "The answer is B. blue", "the answer is: B", "A is correct", "C is wrong",
            "C is not correct", "C is incorrect", "is C correct?", "Neither A nor C is correct",
            "A or C is correct", "not C is correct", "C, not B", "not (C)", "C or B", "C and D",
            "C & D", "C/D", "C;D", "C D", "CD", "ABCD", "C\nB", "C\n\nB", "A red disc",
            "a blue disc",
            "blue/green", "blue or green", "blue green", "blue, not red", "neither blue nor red",
            "anything but blue", "not blue", "bluish", "all of them", "both", "the third option",
            "third", "3", "option three", "第三个", "不是C", "C不对", "选B", "答案是B", "答案不是C",
            "我不选C", "A. red B. green C. blue", "A) red, C) blue", "I choose not to answer",
            "I choose", "The answer is", "Answer:", "the correct answer", "2**C", "C^2", "C=1", "E",
            "The answer is E", "Ａ", "choose one: A, B, C or D", "Answer with C or with D",
            "Cat", "Can", "see", "The answer is correct", "correct", "A is better than C",
            *REFUSALS,
        ],
    ),
    (COLOURS, "red"): (
        ["A", "a", "(a)", "The answer is A", "The answer is (a).", r"\boxed{a}", "It is red.",
         "It's A", "I think it is red", "I think A", "This is red"],
        ["The answer is a", "The answer is a.", "It is a", "It's a", "I think a", "a red", "A red",
         "It is a red", "It is not red", "It isn't red", "it is red or blue", "is it red?"],
    ),
    (COUNTS, "23"): (
        ["23", "D", "The answer is 23", r"\boxed{23}", "答案是23", "**23**"],
        ["2**3", "2 3", "2,3", "2^3", "2³", "2", "3", "(2)3", "23 or 3", "32",
         r"\boxed{2}\boxed{3}"],
    ),
    (LONG, "on the right"): (
        ["on the right", "B", "The answer is on the right.", "on the right is correct",
         "On The Right!", r"\boxed{\text{on the right}}"],
        ["right", "left is right", "on the left is right", "on the left", "that is right", "A",
         "on the right or on the left", "to the right", "not on the right"],
    ),
    (NONE_FITS, "none of the above"): (
        ["none of the above", "C", "None of the above.", "The answer is: none of the above"],
        ["none", "None", "one", "above", "all of the above", "nothing"],
    ),
    ((), "red"): (
        ["The answer is red", r"\boxed{red}", "**red**", "答案是red", "Answer: Red."],
        ["The answer is not red", "a red one", "red or blue", "The answer is a", r"\boxed{blue}",
         "redred", *REFUSALS],
    ),
    ((), "3²"): (["3²"], ["32", "3", "2"]),
}  # fmt: skip
YES = (
    ["yes", "Yes.", "YES!", "yes, it is", "Yes - there is one.", "The answer is yes", "**Yes**",
     r"\boxed{yes}", r"\boxed{\text{Yes}}", "Answer: Yes",
     "It is yes", "ＹＥＳ", "yes。", "是", "是的。", "有",
     "Yes\nThe cup is on it.", "“Yes”", "(yes)", "答案是：是的"],
    ["no", "No.", "yes and no", "yes or no", "yes/no", "Yes? No.", "no, yes", "not", "maybe",
     "y",
     "yesterday", "yes-no", "eyes", "The answer is no", "否", "不是", "没有", "A", "1", "true",
     "ok",
     "Is it yes?", "The answer is not yes", *REFUSALS],
)  # fmt: skip
NO = (
    ["no", "No.", "NO", "no, it is not", "No, there is none", "The answer is no.", r"\boxed{no}",
     "否", "不是", "没有", "**No**", "no\nBecause it is far."],
    ["yes", "not", "know", "nothing", "none", "no one knows", "No. 5", "no 5", "nope", "no or yes",
     "No idea", "no clue", "No answer", "no way to tell", "no information", "No image", "I know",
     "cannot", "n", "never", "Nowhere", "note", "not no", *REFUSALS[:22]],
)  # fmt: skip
NUMBERS = {
    "3": (
        ["3", "3.", "3.0", "03", "three", "Three", "３", "三", "三个", "+3", "6/2", r"\boxed{3}",
         r"$3$", "The answer is 3.", "Answer: three", "3 cars", "3 car", "three cars", "(3)",
         "**3**",
         r"\frac{6}{2}", r"\boxed{\text{3}}", "3e0", "答案是3", "2 2/2", "“3”", "\u200b3",
         "x=3", "x = 3", "n = three", "$x = 3$", "The answer is x = 3."],
        ["2", "4", "-3", "33", "3.1", "3,0", "3 or 4", "3-4", "3 to 4", "3, 4", "3 4", "2 + 1",
         "about 3", "at least 3", "more than 3", ">3", "<3", "~3", "≈3", "3?4", "3 dozen", "3k",
         "3 thousand", "3%", "3 km", "3 buses", "3rd", "third", "III", "3/0", "3/", "/3", "3:00",
         "3 cars and 2 buses", "3 of 4", "no 3", "not 3", "three four", "thirteen", "thirty",
         "3²", "3^2", "3**2", r"3^{2}", "0x3", "1/3", "3.3.3", "3e1", "三十", "十三",
         r"\boxed{3}\boxed{4}", "I see 3", "A", "x=3, y=4", "x=y=3", "x=4", "x=", "= 3",
         "3=4", "x+1=3", "x≠3", "x>3", "x=-3", "threes", "twenty-three", "two hundred and three",
         "一百零三", "三百", "thirty three", *REFUSALS],
    ),
    "21": (
        ["21", "twenty-one", "twenty one", "Twenty-One.", "twenty-one cars", "二十一", "二十一个",
         "n = twenty-one"],
        ["twenty", "one", "twenty-two", "twenty-first", "twenty-one or twenty-two", "twentyone",
         "twenty-one two", "twenty-one hundred", "twenty-one thousand", "twenty-ten", "one twenty",
         "about twenty-one", "twenty to one", "twenty, one", "twenties", "二十", "十一", "二百一十",
         "二 十 一", "twenty-one and a half", "twenty-one%"],
    ),
    "105": (
        ["one hundred and five", "a hundred and five", "one hundred five", "hundred and five"],
        ["one hundred", "hundreds", "five hundred", "one hundred or five", "one hundred, five",
         "one hundred and fifty", "a hundred thousand and five", "one hundred five five"],
    ),
    "99": (["ninety-nine", "ninety nine cars", "九十九"], ["ninety", "nineteen", "nine", "九九"]),
    "1,234.5": (
        ["1234.5", "1,234.5", "1,234.50", "2469/2", "1234 1/2", "1234½"],
        ["1.234,5", "12345", "1,2345", "1,234", "12,34.5", "1 234.5", "1234,5"],
    ),
    "0.5": (
        ["0.5", ".5", "1/2", "½", "0.50", r"\frac{1}{2}", r"\dfrac{2}{4}", "5e-1", "２／４"],
        ["0,5", "5", "50%", "1/2/1", "1.2", "1/3", "half", "12", "0.55", "-0.5"],
    ),
    "50%": (
        ["50%", "50 %", "50", "５０％", "50 percent", "100/2", r"50\%"],
        ["0.5", "5%", "50 km", "50 cars", "50%%", "1/2", "50-60%", "%50"],
    ),
    "-5": (["-5", "−5", "–5", "- 5"], ["5", "+5", "--5", "5-", "minus 5", "-5 or 5"]),
    "5 kg": (["5 kg", "5kg", "5", "five kg", "5 KG"], ["5 g", "5000 g", "5 lb", "5 m", "5 cars"]),
    "$5": (["$5", "5", "$5.00", "$ 5"], ["€5", "5%", "$6", "£5"]),
}  # fmt: skip
FORMULAS = {
    r"\frac{1}{2}": (
        ["1/2", "0.5", r"\frac12", r"\dfrac{2}{4}", r"\boxed{\frac{1}{2}}", r"$\frac{1}{2}$", ".5",
         r"x = \frac{1}{2}", r"First \boxed{3}. No, wrong: \boxed{\frac12}", r"\boxed{0.50}"],
        ["2", "1/3", "12", r"\frac{1}{2} \text{ or } 1", r"\boxed{\frac{1}{2}}, so \boxed{2}",
         "0.51", "-1/2", "50%", *REFUSALS],
    ),
    r"2\sqrt{2}": (
        [r"\sqrt{8}", r"2\sqrt2", "2√2", r"\boxed{2\sqrt{2}}", r"2 \sqrt{2} \text{ cm}"],
        [r"\sqrt{2}", "2.8", "22", "2^2", r"2\sqrt{3}", "2"],
    ),
    r"\frac{\pi}{2}": (["pi/2", "π/2", r"\pi/2", r"0.5\pi"], ["1.57", "180/2", "pi", "2/pi", "90"]),
    "30": (
        ["30", r"30^\circ", "30°", "30 cm", r"\boxed{30^{\circ}}", "30.0", "x=30"],
        ["30%", "60/3", "3", "300", "30 or 60", "30, 60", r"30^2", "x=30, y=2", "(30, 1)"],
    ),
    "30 cm": (
        ["30 cm", "30", "30cm", r"30\,\mathrm{cm}"],
        ["30 m", "30 cm^2", "3 cm", "300 mm", "30 km"],
    ),
    "x+1": (["1+x", "x + 1", "y=x+1", "(x+1)"], ["x", "x-1", "x+1=0", "1", "xx1"]),
    r"\{1,2\}": ([r"\{2,1\}", r"\{1, 2\}"], ["1", "12", "(3,4)", r"\{1,2,3\}"]),
    "(1,2)": (["(1, 2)", "(1,2)."], ["(2,1)", "[1,2]", "1", "12", "(1,2,3)"]),
    "red": (["red", "Red.", r"\boxed{\text{red}}"], ["edr", "dre", "r*e*d", "blue", "re d"]),
    "3:4": (["3:4"], ["4:3", "3", "34"]),
    "B": (["B", "(B)", r"\boxed{B}"], ["A", "C", "AB", "2", "A or B"]),
}  # fmt: skip
BY_LETTER = (
    ["B", "(B)", r"\boxed{B}", r"\boxed{\text{B}}", r"\boxed{0.5}", "1/2", r"\frac12", "B. 1/2",
     r"Not \boxed{A}, but \boxed{B}"],
    ["A", r"\boxed{A}", r"\boxed{B}. Then \boxed{A}", "2", "0.3", "A or B", "AB", "B. 2", "C", "E",
     "A. 1/2", "C: 1/2", "D) 1/2", "C.1/2", "(A) 1/2", *REFUSALS],
)  # fmt: skip


def cases(
    scorer: Scorer, truth: str, table: tuple[list[str], list[str]], options: tuple[str, ...] = ()
) -> list[object]:
    return [
        pytest.param(
            scorer,
            truth,
            options,
            answer,
            right,
            id=f"{type(scorer).__name__} {truth!r} {answer!r}",
        )
        for answers, right in zip(table, (True, False), strict=True)
        for answer in answers
    ]


QUICK = [
    *(one for key, table in TEXT.items() for one in cases(TextMatch(), key[1], table, key[0])),
    *cases(YesNo(), "yes", YES),
    *cases(YesNo(), "No", NO),
    *(one for truth, table in NUMBERS.items() for one in cases(NumberMatch(), truth, table)),
    *cases(OneOf(("crimson",)), "red", (["red", "Crimson."], ["dark red", "crims", *REFUSALS])),
]
WITH_ALGEBRA = [
    *(one for truth, table in FORMULAS.items() for one in cases(MathMatch(), truth, table)),
    *cases(MathMatch(), "1/2", BY_LETTER, ("2", "1/2", "0.3", "1")),
]


def test_there_are_enough() -> None:
    assert len(QUICK) + len(WITH_ALGEBRA) >= 400


@pytest.mark.parametrize(("scorer", "truth", "options", "answer", "is_right"), QUICK + WITH_ALGEBRA)
def test_answers(
    scorer: Scorer, truth: str, options: tuple[str, ...], answer: str, is_right: bool
) -> None:
    asked = task(
        question="How many cars?", answer=truth, options=options, scorer=scorer.for_answer(truth)
    )
    assert asked.is_right(answer) is is_right
