import pytest

from tests.builders import task, view
from vigorl.core.geometry import Box, Size
from vigorl.core.records import AnswerKind
from vigorl.core.rewards.answers import is_correct, normalize_answer, score_action, score_answer


@pytest.mark.parametrize(
    ("text", "normal"),
    [
        ("Red", "red"),
        ("  light \n red ", "light red"),
        ('"Red."', "red"),
        ("A. red", "red"),
        ("(B) red", "red"),
        ("a) red", "red"),
        ("c: red", "red"),
        ("ｒｅｄ", "red"),  # full-width letters, NFKC
        ("**B. Red**", "red"),
        ("a red disc", "a red disc"),  # an article is no option letter
        ("a.m.", "a.m"),  # nor is an abbreviation
        ("-5", "-5"),  # a sign changes the number
        (".5", ".5"),
        ("<10", "<10"),
        ("5%", "5%"),
        ("?", "?"),  # punctuation alone is kept, or "?" would equal "!"
        ("", ""),
    ],
)
def test_normalize_answer(text, normal):
    assert normalize_answer(text) == normal


@pytest.mark.parametrize("answer", ["red", "Red.", "A", "a", "(A)", "A.", "A. red", "(a) Red"])
def test_right_text_answers(answer):
    assert is_correct(answer, task(answer="red", options=("red", "blue")))


@pytest.mark.parametrize(
    "answer",
    [
        None,
        "",
        "blue",
        "B",
        "C",  # no such option
        "not red",  # never a substring
        "red or blue",
        "red, blue",
        "re",
        "B. red",  # the letter contradicts the text
        "A. blue",
    ],
)
def test_wrong_text_answers(answer):
    assert not is_correct(answer, task(answer="red", options=("red", "blue")))


def test_a_letter_is_text_when_the_question_is_open():
    open_question = task(answer="red", options=())
    assert not is_correct("A", open_question)
    assert is_correct("A", task(answer="a", options=()))


def test_single_letter_options_are_compared_as_text():
    letters = task(answer="A", options=("B", "A"))  # "A" is the second option
    assert is_correct("A", letters)
    assert not is_correct("B", letters)


def test_options_that_carry_their_letter():
    lettered = task(answer="B. blue", options=("A. red", "B. blue"))
    assert is_correct("B", lettered)
    assert is_correct("blue", lettered)
    assert is_correct("B. blue", lettered)
    assert not is_correct("A. blue", lettered)


def test_initials_that_differ_are_different_answers():
    assert not is_correct("J. Smith", task(answer="K. Smith", options=()))


def point_task():
    # 448 original pixels shown as 112: the box spans 47.5..52.5 x 17.5..22.5 as the policy sees it
    return task(answer_kind=AnswerKind.POINT, answer_box=Box(190, 70, 210, 90), options=())


@pytest.mark.parametrize(
    ("answer", "is_right"),
    [
        ("(50, 20)", True),  # -> (200, 80)
        ("(48,18)", True),  # -> (192, 72)
        ("(53, 20)", False),  # -> (212, 80)
        ("(200, 80)", False),  # original pixels are the wrong frame
        ("(50, 20) or so", False),
        ("(50, 20) (51, 20)", False),
        ("50, 20", False),
        ("(-50, 20)", False),
        ("the disc", False),
    ],
)
def test_point_answers_are_read_in_the_resized_frame(answer, is_right):
    assert is_correct(answer, point_task(), view=view()) is is_right


def test_box_edges_count():
    shown_as_is = view(original=Size(448, 448), size=Size(448, 448))
    assert is_correct("(190, 70)", point_task(), view=shown_as_is)
    assert is_correct("(210, 90)", point_task(), view=shown_as_is)
    assert not is_correct("(211, 90)", point_task(), view=shown_as_is)


def test_a_point_cannot_be_judged_without_box_or_whole_picture():
    with pytest.raises(ValueError, match="answer_box"):
        is_correct("(1, 2)", task(answer_kind=AnswerKind.POINT), view=view())
    for no_whole_picture in (None, view(box=Box(0, 0, 9, 9))):
        with pytest.raises(ValueError, match="whole picture"):
            is_correct("(1, 2)", point_task(), view=no_whole_picture)


@pytest.mark.parametrize(
    ("answer", "truth", "score"),
    [
        ("click [12]", "click [12]", 1.0),
        ("Click  [12]", "click [12]", 1.0),
        ("click [13]", "click [12]", 0.5),
        ("click [1]", "click [12]", 0.5),  # a prefix of the id is another id
        ("type [12]", "click [12]", 0.0),  # the id counts only behind the right verb
        ("type [7] [shoes]", "type [7] [red hats]", 1.0),  # what is typed is not compared
        ("type [8] [red hats]", "type [7] [red hats]", 0.5),
        ("scroll [down]", "scroll [down]", 1.0),
        ("scroll [up]", "scroll [down]", 0.0),
        ("go_back", "go_back", 1.0),
        ("stop [42]", "stop [yes]", 1.0),
        ("stop", "stop [yes]", 1.0),
        ("click 12", "click [12]", 0.0),
        ("click [12] now", "click [12]", 0.0),
        ("I would stop", "stop [yes]", 0.0),
    ],
)
def test_score_action(answer, truth, score):
    assert score_action(answer, truth) == score


def test_typed_text_can_be_compared():
    for typed, score in [("Red Hats.", 1.0), ("shoes", 0.5), ("[a] b", 0.5)]:
        answer = f"type [7] [{typed}]"
        assert score_action(answer, "type [7] [red hats]", compare_typed_text=True) == score
    assert score_action("type [7] [[a] b]", "type [7] [[a] b]", compare_typed_text=True) == 1.0


def test_a_half_right_action_is_not_correct():
    click = task(answer="click [12]", answer_kind=AnswerKind.ACTION, options=())
    assert score_answer("click [3]", click) == 0.5
    assert not is_correct("click [3]", click)
