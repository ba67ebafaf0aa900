"""ReasonMap: rows as its Parquet holds them, and its released evaluation."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest

from tests.unit.evaluation.benchmarks.conftest import Write, png
from tests.unit.evaluation.benchmarks.shipped import shipped
from vigorl.core.errors import DataError
from vigorl.core.scoring.route import Leg, RoutePlan, TransitLine
from vigorl.evaluation.benchmarks.reasonmap_released import (
    COUNTED,
    Asked,
    is_right,
    map_score,
    released_sections,
)
from vigorl.evaluation.report import QuestionOutcome

FILE = "data/reasonmap-1008-validation.parquet"
FORMAT = "Route Name: Line 1\nDeparture Stop: xx Station\nArrival Stop: xx Station"
BUDAPEST = {
    "Line 1": ["Opera Station", "Deák Ferenc tér Station (Transfer Station)"],
    "Line 2": ["Déli Station", "Deák Ferenc tér Station (Transfer Station)", "Astoria Station"],
}


def leg(line: str, start: str, end: str, *via: str) -> dict[str, Any]:
    return {"route_name": line, "departure_stop": start, "arrival_stop": end,
            "via_stops": list(via), "num_via_stops": len(via)}  # fmt: skip


def row(**changes: Any) -> dict[str, Any]:
    """As the file has it; objects stand in it as texts here, as structs in another test."""
    routes = {"route_1": [leg("M1-es Metróvonal", "Opera", "Deák Ferenc tér"),
                          leg("M2", "Deák Ferenc tér", "Astoria")]}  # fmt: skip
    return {
        "country": "hungary", "city": "budapest", "station_1": "Opera Station",
        "station_2": "Astoria Station", "figure": base64.b64encode(png()).decode(),
        "question_short": f"How do I get from Opera to Astoria?\n{FORMAT}",
        "question_long": f"How do I get from Opera to Astoria?\n{FORMAT}\n{COUNTED} x",
        "json": json.dumps(BUDAPEST), "routes": json.dumps(routes), "difficulty_city": "easy",
        "difficulty_question": "middle", "question_transfer_count": 1,
    } | changes  # fmt: skip


def test_a_row_is_two_questions_on_one_city(write: Write):
    bench = shipped("reasonmap", write(FILE, [row()]))
    short, long = bench.tasks()
    assert [short.category, long.category] == ["short", "long"]
    assert short.cluster == long.cluster == "budapest"
    assert short.tags == {"difficulty": "middle-easy", "city": "budapest", "country": "hungary"}
    assert COUNTED in long.question
    assert short.images == long.images
    assert short.answer.startswith("Route Name: Line 1\nDeparture Stop: Opera Station\n")
    assert short.is_right(short.answer)


def test_objects_may_be_structs_that_have_every_citys_keys(write: Write):
    other = row(city="oslo", country="norway", json={"Line 5": ["A Station", "B Station"]},
                routes={"route_2": []}, station_1="A Station", station_2="B Station")  # fmt: skip
    root = write(FILE, [row(json=BUDAPEST, routes={"route_1": []}), other])
    first, _, second, _ = shipped("reasonmap", root).tasks()
    assert isinstance(first.scorer, RoutePlan)
    assert [line.name for line in first.scorer.lines] == ["Line 1", "Line 2"]
    assert second.answer == "Route Name: Line 5\nDeparture Stop: A Station\nArrival Stop: B Station"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"json": "{"}, "'json' is no JSON"),
        ({"json": "[]"}, "'json' must be an object"),
        ({"json": '{"Line 1": "A"}'}, '"json" must give each line its stops'),
        ({"routes": '{"route_1": [3]}'}, '"routes.route_1" must be a list of objects'),
        ({"routes": '{"route_1": 3}'}, '"routes.route_1" must be a list of objects'),
        ({"routes": '{"route_1": [{}]}'}, 'the key "route_name" is missing'),
        ({"figure": "no base64 at all, but long enough for it" * 3}, "no whole base64 text"),
        ({"station_2": "opera"}, "both stops are 'Opera Station'"),
    ],
)
def test_a_row_that_cannot_be_used_says_why(write: Write, changes: dict[str, Any], message: str):
    with pytest.raises(DataError, match=message):
        shipped("reasonmap", write(FILE, [row(**changes)])).tasks()


def test_stops_that_no_route_joins_are_counted(write: Write, caplog: pytest.LogCaptureFixture):
    short, _ = shipped("reasonmap", write(FILE, [row(station_2="Nowhere Station")])).tasks()
    assert short.answer == "none"
    assert short.score("none") == 0.0
    assert "1 questions no route answers by the lists of stops" in caplog.text


def test_weights_go_by_both_difficulties(write: Write):
    rows = [row(), row(difficulty_city="hard", difficulty_question="hard")]
    bench = shipped("reasonmap", write(FILE, rows))
    outcomes = [
        QuestionOutcome(
            task.id, task.category, "", ("",), (float(i == 0),), tags=task.tags,
            extras={f"released {task.category}": 1.0, f"map score {task.category}": i / 4},
        )
        for i, task in enumerate(bench.tasks())
    ]  # fmt: skip
    found = {name: one.value for name, one in bench.scores(outcomes).items()}
    assert found["weighted short"] == pytest.approx(1.5 / (1.5 + 3.0))
    assert found["weighted long"] == 0.0
    assert found["short"] == 0.5
    assert found["weighted long by the released code"] == 1.0
    assert found["weighted map score long"] == pytest.approx((1.5 * 1 / 4 + 3 * 3 / 4) / 4.5)


LINES = tuple(TransitLine(name, tuple(stops)) for name, stops in BUDAPEST.items())
SHORT = Asked("", "hungary", "budapest", is_long=False)
COUNT = Asked(COUNTED, "hungary", "budapest", is_long=True)
CHANGE = "Deák Ferenc tér Station"
ONE = f"Route Name: Line 1\nDeparture Stop: Opera Station\nArrival Stop: {CHANGE}"
TWO = f"Route Name: Line 2\nDeparture Stop: {CHANGE}\nArrival Stop: Astoria Station"


def plan(*legs: Leg) -> RoutePlan:
    return RoutePlan("Opera Station", "Astoria Station", LINES, (legs,) if legs else ())


@pytest.mark.parametrize(
    ("answer", "right"),
    [
        (f"{ONE}\n--\n{TWO}", True),
        (f"Not sure. {ONE}\n-- whatever --\n{TWO}", True),  # false credits
        (f"{ONE}\n--\n{ONE.replace('Opera Station', CHANGE)}\n--\n{TWO}", True),
        (f"{ONE}\n--\n{TWO}\nThat is all.", False),
        (f"{ONE}\n--\n{TWO}".replace("Line 1", "1"), False),  # right answers lost
        (ONE, False),
        ("none", False),
    ],
)
def test_the_released_accuracy(answer: str, right: bool):
    assert is_right(released_sections(answer, SHORT), plan()) == right


def test_the_released_map_score_of_a_short_question():
    """Outside China a reference's line is its first one or two letters."""
    sections = released_sections(f"{ONE}\n--\n{TWO}", SHORT)
    legs = Leg("1", "Opera", "Deák Ferenc tér"), Leg("M2", "Deák Ferenc tér", "Astoria")
    # ends 1; line 2, stops 1 + 1; "Line M2" is not Line 2, stops 1 + 1; right 10
    assert map_score(sections, plan(*legs), SHORT) == (1 + 4 + 2 + 10) / 20
    with_station = Leg("1", "Opera Station", "Deák Ferenc tér Station")
    # its first stop stands for its last
    assert map_score(sections, plan(with_station), SHORT) == (1 + 2 + 1 + 10) / 20
    assert map_score(sections[:1], plan(*legs), SHORT) == 0.0
    assert map_score(sections, plan(), SHORT) == 0.0


def test_the_released_map_score_counts_stops_between():
    legs = Leg("1", "Opera", "Deák Ferenc tér", num_via=4), Leg("2", "Deák Ferenc tér", "Astoria")
    text = f"{ONE}\n{COUNTED} 3\n--\n{TWO}\n{COUNTED} 0"
    # ends 1, two legs of 4, counts 4 - 4 * 1/4 and 4, right 20
    assert map_score(released_sections(text, COUNT), plan(*legs), COUNT) == (1 + 8 + 7 + 20) / 40


def test_the_released_map_score_compares_the_names_of_stops_between():
    asked = Asked("", "china", "beijing", is_long=True)
    lines = (TransitLine("Line 4", ("甲站", "乙站", "丙站", "丁站")),)
    route = RoutePlan(
        "甲站", "丁站", lines, ((Leg("地铁4号线大兴线(甲--丁)", "甲", "丁", ("乙", "丙")),),)
    )
    text = "Route Name: Line 4\nDeparture Stop: 甲站\nArrival Stop: 丁站\nVia Stops: 乙站,丙站"
    # ends 1, the leg 4, two names and all of them: (10 + 2) / 2, right 20
    assert map_score(released_sections(text, asked), route, asked) == (1 + 4 + 6 + 20) / 40
    spaced = text.replace(",", ", ")  # its second name begins with a blank: one of three
    found = map_score(released_sections(spaced, asked), route, asked)
    assert found == pytest.approx((1 + 4 + (10 / 3 + 1) / 2 + 20) / 40)
