"""Routes on a network: what is one, and what must not pass for one."""

from __future__ import annotations

from dataclasses import replace

import pytest

from vigorl.core.records import TaskRecord
from vigorl.core.scoring.route import RoutePlan, TransitLine, write_legs

NETWORK = (  # two lines that meet, one that nothing meets, one that runs beside the first
    TransitLine("Line 1", ("Opera Station", "Oktogon Station", "Deák Ferenc tér Station")),
    TransitLine("Line 2", ("Déli Station", "Deák Ferenc tér Station", "Astoria Station")),
    TransitLine("Line 3", ("Határ út Station", "Kőbánya-Kispest Station")),
    TransitLine("Red Line", ("Opera Station", "Deák Ferenc tér Station")),
)
PLAN = RoutePlan("Opera Station", "Astoria Station", NETWORK)
LEGS = [("Line 1", "Opera Station", "Deák Ferenc tér Station"),
        ("Line 2", "Deák Ferenc tér Station", "Astoria Station")]  # fmt: skip


def written(*legs: tuple[str, str, str]) -> str:
    return "\n--\n".join(
        f"Route Name: {line}\nDeparture Stop: {start}\nArrival Stop: {end}"
        for line, start, end in legs
    )


RIGHT = written(*LEGS)


def score(answer: str | None, plan: RoutePlan = PLAN) -> float:
    return plan.score(answer, TaskRecord("a", "How?", "x", ("a.png",), scorer=plan))


@pytest.mark.parametrize(
    "answer",
    [
        RIGHT,
        RIGHT.replace("\n--\n", "\n---\n"),
        RIGHT.replace("--\n", ""),
        RIGHT.replace("\n", " ").replace(" -- ", "\n"),
        RIGHT.replace("Route Name: ", "**Route Name:** "),
        RIGHT.replace(": ", "："),
        RIGHT.replace(" Station", "").lower(),
        RIGHT.replace("Line 1", "1").replace("Line 2", "地铁2号线"),
        RIGHT.replace("Line 1", "Red"),
        RIGHT.replace("Deák Ferenc tér", "Deák  Ferenc-tér (Transfer Station)"),
        RIGHT.replace("á", "a\u0301"),
        RIGHT.replace("\n--", "\nNumber of Via Stops: 1\n--") + "\nVia Stops: none at all",
        f"```\n{RIGHT}\n```",
    ],
)
def test_a_route_may_be_written_otherwise(answer: str):
    assert score(answer) == 1.0


@pytest.mark.parametrize(
    "answer",
    [
        None,
        "",
        "Take Line 1 to Deák Ferenc tér, then Line 2 to Astoria.",
        written(LEGS[0]),  # ends too early
        written(LEGS[1]),  # begins too late
        written(LEGS[1], LEGS[0]),
        written(*LEGS, LEGS[1]),
        written(*LEGS, ("Line 2", "Astoria Station", "Astoria Station")),  # goes nowhere
        written(("Line 1", "Opera Station", "Opera Station"), *LEGS),
        written(LEGS[0], ("Red Line", LEGS[0][2], LEGS[0][1]), *LEGS),  # in a circle
        written(LEGS[0], ("Line 2", "Déli Station", "Astoria Station")),  # a gap
        written(("Line 1", "Opera Station", "Astoria Station")),
        written(("Line 9", "Opera Station", "Astoria Station")),
        written(("Line 1 or Line 2", *LEGS[0][1:]), LEGS[1]),
        written(("Line", *LEGS[0][1:]), LEGS[1]),
        written(("Line 12", *LEGS[0][1:]), LEGS[1]),
        written(("not Line 1", *LEGS[0][1:]), LEGS[1]),
        written(LEGS[0], ("Line 2", LEGS[1][1], "Astoria or Opera")),
        written(LEGS[0], ("Line 2", LEGS[1][1], "Astoria Station\nDéli Station")),
        f"This is wrong:\n{RIGHT}",
        f"{RIGHT}\nOr rather not.",
        f"{RIGHT}\n--\n{RIGHT}",
        f"{RIGHT}\n--\nRoute Name: Line 3",
        RIGHT.replace("Route Name: Line 1\n", ""),
        RIGHT.replace("Departure Stop: Opera", "Departure Stop: Astoria\nDeparture Stop: Opera"),
        RIGHT.replace("Route Name: Line 1", "Route Name: Line 3\nRoute Name: Line 1"),
        RIGHT.replace("Line 1", ""),
        RIGHT.replace("Departure", "Arrival").replace("Arrival Stop: Opera", "Departure Stop: O"),
        "Route Name:" * 20_000,
        "Arrival Stop: Astoria Station",
    ],
)
def test_no_other_answer_is_right(answer: str | None):
    assert score(answer) == 0.0


def test_extensions_of_lines_1_and_4_go_by_their_numbers():
    plan = replace(PLAN, lines=(TransitLine("Line 1", ("四惠站", "土桥站")),))
    plan = replace(plan, start="四惠", end="土桥站")
    assert score(written(("八通线", "四惠站", "土桥")), plan) == 1.0
    assert score(written(("大兴线", "四惠站", "土桥")), plan) == 0.0


def test_a_line_is_known_by_its_whole_name_where_folding_does_not_tell_them_apart():
    lines = (TransitLine("Line A", ("X", "Y")), TransitLine("A Train", ("Y", "Z")))
    plan = RoutePlan("Y", "Z", lines)
    assert score(written(("A Train", "Y", "Z")), plan) == 1.0
    assert score(written(("A", "Y", "Z")), plan) == 0.0


def test_the_route_with_fewest_changes_is_found_and_is_right():
    legs = PLAN.fewest_legs()
    assert [(leg.line, leg.start, leg.end) for leg in legs] == LEGS
    assert score(write_legs(legs)) == 1.0
    assert replace(PLAN, end="Határ út Station").fewest_legs() == ()
