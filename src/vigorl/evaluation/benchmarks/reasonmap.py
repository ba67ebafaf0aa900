"""ReasonMap: routes on the metro maps of 30 cities (arXiv:2505.18675); and ReasonMap-Plus: counting
and yes-or-no questions on them (arXiv:2510.02240).

A row of ReasonMap holds two stops, the map, every line's stops, the routes that a map service
gives, and two questions: for the lines and changes alone, and with the stops between (their number
or their names). An answer is right by the lists of stops (`RoutePlan`); the authors' own accuracy
and map score stand beside (`reasonmap_released`).

Of ReasonMap-Plus the file has a number for every answer; what it stands for depends on the type:
the option's place (Counting1), a count (Counting2, Counting3), or no and yes (TorF1, TorF2).
Pictures are not in it: `data.image_root` is the folder that holds `maps/`. Questions on one city
are a cluster.
"""

from __future__ import annotations

import json
import string
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import chain
from typing import Any

from vigorl.core.records import TaskRecord
from vigorl.core.rollout import Rollout
from vigorl.core.scoring.number import NumberMatch
from vigorl.core.scoring.route import (
    Leg,
    RoutePlan,
    TransitLine,
    fold_stop,
    without_brackets,
    write_legs,
)
from vigorl.core.scoring.yes_no import YesNo
from vigorl.data.sources.files import collect
from vigorl.data.sources.pictures import Pictures
from vigorl.data.sources.rows import Row
from vigorl.data.sources.tables import table_rows
from vigorl.evaluation.benchmarks.benchmark import Benchmark
from vigorl.evaluation.benchmarks.reasonmap_released import (
    Asked,
    is_right,
    map_score,
    released_sections,
)
from vigorl.evaluation.benchmarks.table import TableBenchmark

_CHOICES = 4
_SHORT, _LONG = "short", "long"
_COLUMNS = (
    "country", "city", "figure", "json", "routes", "station_1", "station_2", "question_short",
    "question_long", "difficulty_city", "difficulty_question",
)  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class ReasonMap(Benchmark):
    """ReasonMap; the category is "short" or "long", the tag "difficulty" the question's and the
    map's, such as "easy-hard".

    Attributes:
        file: The table in the download, a glob pattern.
    """

    file: str

    def tasks(self) -> Sequence[TaskRecord]:
        make = partial(_routes, pictures=Pictures())
        rows = table_rows(self.files(self.file), columns=_COLUMNS)
        return list(chain.from_iterable(collect(rows, make, rules=self.rules)))

    def extras(self, rollout: Rollout) -> Mapping[str, float]:
        task = rollout.task
        plan, kind = task.scorer, task.category
        if not isinstance(plan, RoutePlan):
            return {}
        asked = Asked(task.question, task.tags["country"], task.tags["city"], kind == _LONG)
        sections = released_sections(rollout.answer or "", asked)
        return {
            f"released {kind}": float(is_right(sections, plan)),
            f"map score {kind}": map_score(sections, plan, asked),
        }


@dataclass(frozen=True, kw_only=True)
class ReasonMapPlus(TableBenchmark):
    """ReasonMap-Plus; its form's `category` is the type."""

    def tasks_of(self, row: Row, pictures: Pictures) -> Sequence[TaskRecord]:
        columns = self.table.columns
        kind, value = row.text(columns.category), str(row.values.get(columns.answer))
        if not value.isdecimal():
            row.fail(f"{columns.answer!r} must be a whole number, got {value!r:.40}")
        number = int(value)
        if kind.startswith("TorF") and number < 2:
            columns = replace(columns, scorer=YesNo())
            answer = ("no", "yes")[number]
        elif kind == "Counting1" and number < _CHOICES:
            columns = replace(columns, options_in_question=True, answer_form="letter")
            answer = string.ascii_uppercase[number]
        elif kind in ("Counting2", "Counting3"):
            columns, answer = replace(columns, scorer=NumberMatch()), value
        else:
            row.fail(f"no question of type {kind!r:.40} has the answer {number}")
        row = replace(row, values={**row.values, columns.answer: answer})
        return (columns.task(row, pictures),)


def _routes(row: Row, *, pictures: Pictures) -> tuple[TaskRecord, ...]:
    plan = RoutePlan(row.text("station_1"), row.text("station_2"), _lines(row), _references(row))
    if fold_stop(plan.start) == fold_stop(plan.end):
        row.fail(f"both stops are {plan.start!r:.60}")
    answer = plan.fewest_legs()
    if not answer:
        row.notes["questions no route answers by the lists of stops: no answer is right"] += 1
    city, images = row.text("city"), pictures.files(row, "figure")
    country, of_map = row.text("country"), row.text("difficulty_city")
    return tuple(
        row.checked(
            TaskRecord(
                id=f"{row.identity()}:{kind}",
                question=row.text(f"question_{kind}"),
                answer=write_legs(answer) or "none",
                images=images,
                scorer=plan,
                category=kind,
                cluster=city,
                tags={
                    "difficulty": f"{row.text('difficulty_question')}-{of_map}",
                    "city": city,
                    "country": country,
                },
                source=row.source,
            )
        )
        for kind in (_SHORT, _LONG)
    )


def _lines(row: Row) -> tuple[TransitLine, ...]:
    lines = _object(row, "json")
    for name, stops in lines.items():
        if not isinstance(stops, list) or not all(isinstance(stop, str) for stop in stops):
            row.fail(f'"json" must give each line its stops, got {stops!r:.60} for {name!r:.40}')
    return tuple(
        TransitLine(name, tuple(map(without_brackets, stops))) for name, stops in lines.items()
    )


def _references(row: Row) -> tuple[tuple[Leg, ...], ...]:
    routes = {f"routes.{name}": legs for name, legs in _object(row, "routes").items()}
    inner = replace(row, values=routes)
    return tuple(
        tuple(_leg(replace(row, values=one)) for one in inner.objects(route)) for route in routes
    )


def _leg(leg: Row) -> Leg:
    via, number = leg.values.get("via_stops"), leg.values.get("num_via_stops")
    return Leg(
        line=leg.text("route_name"),
        start=leg.text("departure_stop"),
        end=leg.text("arrival_stop"),
        via=() if via is None else leg.texts("via_stops"),
        num_via=0 if number is None else leg.count("num_via_stops"),
    )


def _object(row: Row, key: str) -> dict[str, Any]:
    """A cell that is an object, or the text of one; Parquet gives every object of a column the keys
    of all, empty where it has none.
    """
    cell = row.values.get(key)
    try:
        cell = json.loads(cell) if isinstance(cell, str) else cell
    except json.JSONDecodeError as error:
        row.fail(f"{key!r} is no JSON: {error.msg} at character {error.pos}")
    if not isinstance(cell, Mapping):
        row.fail(f"{key!r} must be an object, got {cell!r:.60}")
    return {name: value for name, value in cell.items() if value is not None}
