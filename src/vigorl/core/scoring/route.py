"""Right is a route on a network of lines.

    Route Name: Line 1
    Departure Stop: Opera Station
    Arrival Stop: Deák Ferenc tér Station
    --
    Route Name: Line 2
    Departure Stop: Deák Ferenc tér Station
    Arrival Stop: Astoria Station

Its first leg begins and its last ends where the question says, each begins where the one before it
ends, and rides one line between two stops of it. It need not be the shortest.
Source: ReasonMap, arXiv:2505.18675, algorithm 1; see `RoutePlan` for what is stricter here.
"""

from __future__ import annotations

import re
import unicodedata
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from vigorl.core.media import ImageView
from vigorl.core.scoring.scorer import Scorer

if TYPE_CHECKING:
    from vigorl.core.records import TaskRecord

_ROUTE, _START, _END = _KEYS = ("route name", "departure stop", "arrival stop")
_KEY = re.compile(
    rf"(?<!\w)({'|'.join(_KEYS)}|number of via stops|via stops)[ \t]*:", re.IGNORECASE
)
_MARKS = str.maketrans("", "", "*`")
_BRACKETS = re.compile(r"\([^()]*\)")
_BETWEEN = re.compile(r"[\s,'’‐-―-]+")  # blanks, commas, apostrophes, dashes
_LINE_WORDS = re.compile(r"\b(?:line|route|train|metro|subway|linea)\b|地铁|轨道交通|号线$|线$")
_THROUGH = {"八通": "1", "大兴": "4"}  # Beijing's extensions of lines 1 and 4, as the authors do


@dataclass(frozen=True, slots=True)
class TransitLine:
    """A line of a network: its name and its stops, in their order."""

    name: str
    stops: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Leg:
    """A ride on one line without a change.

    Attributes:
        line: Its name.
        start: The stop at which it begins.
        end: The one at which it ends.
        via: The stops between; none where nobody has named them.
        num_via: How many there are.
    """

    line: str
    start: str
    end: str
    via: tuple[str, ...] = ()
    num_via: int = 0


@dataclass(frozen=True, slots=True)
class RoutePlan(Scorer):
    """1.0 for a route from start to end on the lines, else 0.0.

    Beyond the authors' rule, a leg must go somewhere, no stop is changed at twice, and the answer
    holds a route and nothing else: a sentence around it, or a leg that cannot be read, is none.
    Names may be written otherwise: upper and lower case, blanks, dashes, accents composed or not,
    what stands in brackets, "Station", "Line 1" as "1" or "1号线". Stops are known by their names,
    so where a city has one name at several places (New York), changing between them counts.

    Attributes:
        start: The stop at which it begins.
        end: The one at which it ends.
        lines: All of the network.
        references: Routes that a map service gives; the score does not go by them.
    """

    start: str
    end: str
    lines: tuple[TransitLine, ...]
    references: tuple[tuple[Leg, ...], ...] = ()

    def score(
        self, answer: str | None, task: TaskRecord, *, view: ImageView | None = None
    ) -> float:
        legs = read_legs(answer or "")
        return float(bool(legs) and self._is_route(legs))

    def has_form(self, answer: str, *, view: ImageView) -> bool:
        return bool(read_legs(answer))

    def fewest_legs(self) -> tuple[Leg, ...]:
        """A route with as few changes as the lines allow; none where there is none."""
        goal = fold_stop(self.end)
        routes: dict[str, tuple[Leg, ...]] = {fold_stop(self.start): ()}
        waiting = deque([self.start])
        while waiting:
            place = waiting.popleft()
            so_far = routes[fold_stop(place)]
            for line in self.lines:
                stops = {fold_stop(stop): without_brackets(stop) for stop in line.stops}
                if fold_stop(place) not in stops:
                    continue
                for key, stop in stops.items():
                    if key not in routes:
                        routes[key] = (*so_far, Leg(line.name, place, stop))
                        waiting.append(stop)
            if goal in routes:
                break
        return routes.get(goal, ())

    def _is_route(self, legs: Sequence[Leg]) -> bool:
        starts = [fold_stop(leg.start) for leg in legs]
        places = [starts[0], *(fold_stop(leg.end) for leg in legs)]
        return (
            places[0] == fold_stop(self.start)
            and places[-1] == fold_stop(self.end)
            and starts == places[:-1]
            and len(set(places)) == len(places)
            and all(map(self._is_ride, legs))
        )

    def _is_ride(self, leg: Leg) -> bool:
        name = fold_line(leg.line)
        found = [line for line in self.lines if fold_line(line.name) == name]
        if len(found) != 1:
            found = [line for line in self.lines if line.name == leg.line]
        ends = {fold_stop(leg.start), fold_stop(leg.end)}
        return any(ends <= set(map(fold_stop, line.stops)) for line in found)


def read_legs(text: str) -> tuple[Leg, ...]:
    """The legs of a route as an answer writes it; none where it holds anything else.

    >>> read_legs("Route Name: 1\\nDeparture Stop: A\\nArrival Stop: B\\nNumber of Via Stops: 3")
    (Leg(line='1', start='A', end='B', via=(), num_via=0),)
    """
    plain = unicodedata.normalize("NFKC", text).translate(_MARKS)
    lead, *found = _KEY.split(plain)
    legs: list[dict[str, str]] = []
    for key, value in zip(found[::2], found[1::2], strict=True):
        key, value = key.lower(), value.strip().rstrip("-—– \n")
        if key == _ROUTE:
            legs.append({})
        if lead.strip() or not legs or key in legs[-1] or not value:
            return ()
        if len(legs[-1]) < len(_KEYS) and key != _KEYS[len(legs[-1])]:
            return ()
        legs[-1][key] = value
    if not all(set(_KEYS) <= set(leg) for leg in legs):
        return ()
    return tuple(Leg(leg[_ROUTE], leg[_START], leg[_END]) for leg in legs)


def write_legs(legs: Sequence[Leg]) -> str:
    """A route as questions ask for it."""
    return "\n--\n".join(
        f"Route Name: {leg.line}\nDeparture Stop: {leg.start}\nArrival Stop: {leg.end}"
        for leg in legs
    )


def without_brackets(text: str) -> str:
    """Without "(Transfer Station)" and such."""
    return _BRACKETS.sub("", unicodedata.normalize("NFKC", text)).strip()


def fold_stop(name: str) -> str:
    """A stop's name as it is compared.

    >>> fold_stop("Deák Ferenc tér Station (Transfer Station)") == fold_stop("deák Ferenc-tér")
    True
    """
    folded = _BETWEEN.sub("", without_brackets(name).casefold()).rstrip(".")
    bare = folded.removesuffix("station").removesuffix("站")
    return bare or folded


def fold_line(name: str) -> str:
    """A line's name as it is compared.

    >>> fold_line("Line 1"), fold_line("地铁1号线"), fold_line("Red Line")
    ('1', '1', 'red')
    """
    folded = without_brackets(name).casefold()
    through = next((line for word, line in _THROUGH.items() if word in folded), None)
    bare = _BETWEEN.sub("", _LINE_WORDS.sub(" ", folded))
    return through or bare or folded
