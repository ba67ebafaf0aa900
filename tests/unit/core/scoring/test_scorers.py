import pytest

from tests.builders import task, view
from vigorl.core.geometry import Box, Point, Size
from vigorl.core.scoring import ActionMatch, PointInBox, TextMatch
from vigorl.core.scoring.action import score_action
from vigorl.core.scoring.text import normalize_answer


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
    assert task(answer="red", options=("red", "blue")).is_right(answer)


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
    assert not task(answer="red", options=("red", "blue")).is_right(answer)


def test_a_letter_is_text_when_the_question_is_open():
    open_question = task(answer="red", options=())
    assert not open_question.is_right("A")
    assert task(answer="a", options=()).is_right("A")


def test_single_letter_options_are_compared_as_text():
    letters = task(answer="A", options=("B", "A"))  # "A" is the second option
    assert letters.is_right("A")
    assert not letters.is_right("B")


def test_options_that_carry_their_letter():
    lettered = task(answer="B. blue", options=("A. red", "B. blue"))
    assert lettered.is_right("B")
    assert lettered.is_right("blue")
    assert lettered.is_right("B. blue")
    assert not lettered.is_right("A. blue")


def test_initials_that_differ_are_different_answers():
    assert not task(answer="K. Smith", options=()).is_right("J. Smith")


def point_task():
    # 448 original pixels shown as 112: the box spans 47.5..52.5 x 17.5..22.5 as the policy sees it
    return task(scorer=PointInBox(Box(190, 70, 210, 90)), options=())


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
    assert point_task().is_right(answer, view=view()) is is_right


def test_box_edges_count():
    shown_as_is = view(original=Size(448, 448), size=Size(448, 448))
    assert point_task().is_right("(190, 70)", view=shown_as_is)
    assert point_task().is_right("(210, 90)", view=shown_as_is)
    assert not point_task().is_right("(211, 90)", view=shown_as_is)


def test_a_point_cannot_be_judged_without_box_or_whole_picture():
    with pytest.raises(ValueError, match="needs a box to hit"):
        task(scorer=PointInBox()).is_right("(1, 2)", view=view())
    for no_whole_picture in (None, view(box=Box(0, 0, 9, 9))):
        with pytest.raises(ValueError, match="whole picture"):
            point_task().is_right("(1, 2)", view=no_whole_picture)


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
    click = task(answer="click [12]", scorer=ActionMatch(), options=())
    assert click.score("click [3]") == 0.5
    assert not click.is_right("click [3]")


def test_no_answer_scores_nothing():
    for scorer in (TextMatch(), PointInBox(Box(0, 0, 9, 9)), ActionMatch()):
        assert task(scorer=scorer).score(None, view=view()) == 0.0


def test_a_point_says_what_it_hits_where_it_is_and_how_files_write_it():
    scorer = PointInBox(Box(190, 70, 210.5, 90))
    assert (scorer.boxes, scorer.is_place) == ((scorer.box,), True)
    for targets in ((), scorer.boxes):
        assert task(scorer=scorer, targets=targets).target_boxes == (scorer.box,)
    assert scorer.place("(50, 20)", view=view()) == Point(50, 20)
    for off_or_none in ("(500, 20)", "the disc"):
        assert scorer.place(off_or_none, view=view()) is None
        assert not scorer.has_form(off_or_none, view=view())
    assert scorer.answer_text("(200, 80)") == "(190, 70, 210.5, 90)"
    assert PointInBox().for_answer("(190, 70, 210.5, 90)") == scorer
    for no_box in ("(1, 2)", "red", '("1", 2, 3, 4)', "(3, 2, 1, 4)"):
        with pytest.raises(ValueError, match="box"):
            PointInBox().for_answer(no_box)


def test_texts_and_actions_are_no_places():
    for scorer in (TextMatch(), ActionMatch()):
        assert scorer.has_form("(50, 20)", view=view())
        assert (scorer.boxes, scorer.is_place) == ((), False)
        assert scorer.place("(50, 20)", view=view()) is None
        assert scorer.for_answer("red") is scorer
        assert scorer.answer_text("red") == "red"


def test_whether_typed_text_counts_is_the_scorers_setting():
    truth, typed = "type [7] [red hats]", "type [7] [shoes]"
    assert task(answer=truth, scorer=ActionMatch()).score(typed) == 1.0
    assert task(answer=truth, scorer=ActionMatch(compare_typed_text=True)).score(typed) == 0.5
