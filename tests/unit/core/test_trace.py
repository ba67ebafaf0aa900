import pytest

from vigorl.core.geometry import Point
from vigorl.core.trace import (
    Step,
    ToolCall,
    Trace,
    TurnProblem,
    find_points,
    parse_point,
    parse_trace,
    parse_turn,
    split_at_points,
)

THINK = "<think> a </think>"
CALL = '<tool_call>\n{"name": "zoom", "arguments": {}}\n</tool_call>'
ANSWER = "<answer> red </answer>"


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (THINK + CALL, None),
        (THINK + ANSWER, None),
        (f"\n{THINK}\n\n{ANSWER}\n", None),
        ("", TurnProblem.NO_THINK),
        ("red", TurnProblem.NO_THINK),
        (ANSWER, TurnProblem.NO_THINK),
        (ANSWER + THINK, TurnProblem.NO_THINK),
        ("<think> a <answer> red </answer>", TurnProblem.UNCLOSED_TAG),
        ("<think> <answer> red </answer> </think>", TurnProblem.UNCLOSED_TAG),
        (THINK + "<answer> red", TurnProblem.UNCLOSED_TAG),
        (THINK + THINK + ANSWER, TurnProblem.TWO_THINKS),
        (THINK, TurnProblem.NO_ACTION),
        (THINK + CALL + ANSWER, TurnProblem.TWO_ACTIONS),
        (THINK + ANSWER + ANSWER, TurnProblem.TWO_ACTIONS),
        (THINK + "so" + ANSWER, TurnProblem.TEXT_OUTSIDE_TAGS),
        (THINK + ANSWER + ".", TurnProblem.TEXT_OUTSIDE_TAGS),
        (THINK + "<observation> x </observation>" + ANSWER, TurnProblem.FOREIGN_TAG),
        (THINK + "<tool_call> zoom </tool_call>", TurnProblem.BAD_JSON),
        (THINK + "<tool_call> [1, 2] </tool_call>", TurnProblem.BAD_JSON),
        (THINK + '<tool_call> {"name": "zoom"} </tool_call>', TurnProblem.BAD_CALL),
        (THINK + '<tool_call> {"name": 1, "arguments": {}} </tool_call>', TurnProblem.BAD_CALL),
        (THINK + "<answer>  </answer>", TurnProblem.EMPTY_ANSWER),
    ],
)
def test_first_problem(text, problem):
    parsed = parse_turn(text)
    assert parsed.problem == problem
    assert bool(parsed.detail) == (problem is not None)


@pytest.mark.parametrize("body", ["[" * 100_000, '{"a": ' + "9" * 5_000 + "}"])
def test_json_that_python_chokes_on_is_bad_json(body):
    """json.loads raises RecursionError, and a plain ValueError for 5,000 digits."""
    parsed = parse_turn(f"{THINK}<tool_call>{body}</tool_call>")
    assert parsed.problem is TurnProblem.BAD_JSON


def test_a_readable_action_is_kept_beside_a_problem():
    parsed = parse_turn("so " + THINK + CALL)
    assert parsed.problem is TurnProblem.TEXT_OUTSIDE_TAGS
    assert parsed.tool_call == ToolCall("zoom", {})


def test_the_words_between_points():
    assert split_at_points("From (1,2) to ( 30 , -4 ).") == (
        [("From ", Point(1, 2)), (" to ", Point(30, -4))],
        ".",
    )
    assert split_at_points("none (1.5; 2)") == ([], "none (1.5; 2)")


def test_points_of_a_thought():
    parsed = parse_turn(
        "<think> From (1,2) to ( 30 , -4 ), or (0.5, .2), (0.512, 2). </think>" + ANSWER
    )
    assert parsed.points == (Point(1, 2), Point(30, -4), Point(0.512, 2))
    assert isinstance(parsed.points[0].x, int)  # as it was written
    assert find_points("(" + "9" * 5_000 + ", 1)") == ()  # a number Python refuses to read


@pytest.mark.parametrize(
    ("text", "point"),
    [
        (" (50, 20) ", Point(50, 20)),
        ("(-5,2)", Point(-5, 2)),
        ("at (50, 20)", None),
        ("(1, 2) (3, 4)", None),
        ("50, 20", None),
        ("(1.5, 2)", Point(1.5, 2)),
        ("(1., 2)", None),
    ],
)
def test_parse_point(text, point):
    assert parse_point(text) == point


def test_a_trace_ends_in_its_answer():
    call = ToolCall("zoom", {})
    with pytest.raises(ValueError, match="at least one step"):
        Trace((), "red")
    with pytest.raises(ValueError, match="cannot call a tool"):
        Trace((Step("a", call),), "red")
    with pytest.raises(ValueError, match="calls a tool"):
        Trace((Step("a"), Step("b")), "red")


@pytest.mark.parametrize(
    ("turns", "message"),
    [
        ([], "no turns"),
        ([THINK], "turn 1: no_action"),
        ([THINK + CALL], "turn 1: the last turn must answer"),
        ([THINK + ANSWER, THINK + ANSWER], "turn 1: answers before the end"),
    ],
)
def test_parse_trace_names_the_turn(turns, message):
    with pytest.raises(ValueError, match=message):
        parse_trace(turns)


@pytest.mark.parametrize("tag", ["<think>", "<answer>", "<think></answer>", "<answer><tool_call>"])
def test_a_turn_of_opening_tags_alone_is_read_in_one_scan(tag):
    text = tag * 30_000  # a scan for each tag's partner would take minutes
    assert parse_turn(text).problem is TurnProblem.UNCLOSED_TAG
    assert parse_turn(text) is parse_turn(text)  # and is read once, whoever asks
