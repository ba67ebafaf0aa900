"""ReasonMap's own evaluation as its code is, false credits and faults included, for comparison with
published numbers.

`is_right` is its accuracy: sections that it cannot read are passed over, a section may go nowhere.
`map_score` compares the sections one by one with a map service's routes, and the best counts. Its
faults are kept: outside China a line's name is its first one or two letters ("Red Line" is "Line
Re" there, and never matches); where a route's first stop ends in "Station" or "站", it stands for
the last one as well; listed stops but for the first keep the blank before them.
Source: fscdc/ReasonMap@e68dd65, main.py and tools.py.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from vigorl.core.scoring.route import Leg, RoutePlan

COUNTED = "Number of Via Stops:"  # in a long question that wants a number, not their names
_KEYS = ("Route Name:", "Departure Stop:", "Arrival Stop:")
_LINE_NAMES = (
    r"Metro\s+([A-Z0-9]{1,2})[-\s]?Line",
    r"Metro\s+([A-Z0-9]{1,2})",
    r"Linea\s+([A-Z0-9]{1,2})",
    r"([A-Z0-9]{1,2})",
)


@dataclass(frozen=True, slots=True)
class Section:
    """What the released code reads of a leg; stops cleaned, `via` whatever follows its key."""

    line: str
    start: str
    end: str
    via: str = ""


@dataclass(frozen=True, slots=True)
class Asked:
    """What it knows of a question besides its route.

    Attributes:
        question: The text.
        country, city: As the data name them.
        is_long: Whether stops between are asked for.
    """

    question: str
    country: str
    city: str
    is_long: bool

    @property
    def most(self) -> int:
        """The highest map score; half of it is for an answer that is right."""
        return 40 if self.is_long else 20

    @property
    def is_counted(self) -> bool:
        return COUNTED in self.question


def released_sections(answer: str, asked: Asked) -> list[Section]:
    """The sections of an answer."""
    return [
        _section(part, asked)
        for part in answer.split("--")
        if all(key in part for key in _KEYS)
    ]  # fmt: skip


def is_right(sections: Sequence[Section], plan: RoutePlan) -> bool:
    """Its accuracy."""
    lines = {line.name: set(map(_clean, line.stops)) for line in plan.lines}
    return (
        _fits_ends(sections, plan)
        and all({one.start, one.end} <= lines.get(_through(one.line), set()) for one in sections)
        and all(a.end == b.start for a, b in pairwise(sections))
    )


def map_score(sections: Sequence[Section], plan: RoutePlan, asked: Asked) -> float:
    """Its map score as a share of the most: 20 for short questions, 40 for long ones."""
    if not _fits_ends(sections, plan):
        return 0.0
    bonus = asked.most // 2 if is_right(sections, plan) else 0
    cap = asked.most // 2
    scores = [min(cap, 1 + _likeness(sections, legs, asked)) + bonus for legs in plan.references]
    return max(scores, default=0.0) / asked.most


def _section(part: str, asked: Asked) -> Section:
    line, start, end = (re.search(rf"{key} (.*?)\n", part) for key in _KEYS)
    arrival = end.group(1) if end else "Wrong"
    if not asked.is_long:
        arrival = part.split(_KEYS[2])[-1].strip()
    return Section(
        line=line.group(1).strip() if line else "Wrong",
        start=_clean(start.group(1) if start else "Wrong"),
        end=_clean(arrival),
        via=part.split(f"{COUNTED} " if asked.is_counted else "Via Stops: ")[-1].strip(),
    )


def _fits_ends(sections: Sequence[Section], plan: RoutePlan) -> bool:
    ends = (_clean(plan.start), _clean(plan.end))
    return bool(sections) and (sections[0].start, sections[-1].end) == ends


def _likeness(sections: Sequence[Section], legs: Sequence[Leg], asked: Asked) -> float:
    """Points for the sections, against those of one route of the map service."""
    points = counts = matches = 0.0
    either: set[str] = set()
    both: set[str] = set()
    for section, leg in zip(sections, legs, strict=False):
        line, start, end = (_clean(name) for name in _names(leg, asked))
        is_line = line == _clean(section.line)
        points += 2 * is_line + (start == section.start) + (end == section.end)
        if asked.is_long and asked.is_counted:
            counts += _count_points(section.via, leg.num_via)
        elif asked.is_long:
            given = section.via.split(",") if "站" in section.via else []
            right = [_with(stop, "站") for stop in leg.via] if asked.country == "china" else []
            matches += sum(stop in right for stop in given)
            if is_line:
                either |= {*given, *right}
                both |= {*given} & {*right}
    overlap = len(both) / len(either) if either else 0.0
    return points + (10 * overlap + min(10, matches)) / 2 + min(10, counts)


def _count_points(via: str, right: int) -> float:
    """Up to 4 for the number of stops between."""
    found = re.search(r"\d+", via)
    error = abs(int(found.group() if found else 0) - right)
    return 4.0 if error == 0 else max(0.0, 4 - 4 * error / right) if right else 0.0


def _names(leg: Leg, asked: Asked) -> tuple[str, str, str]:
    """The line and the two ends of a map service's leg as the lists are taken to name them."""
    is_china = asked.country == "china"
    suffix = "站" if is_china else " Station"
    line = _chinese_line(leg.line) if is_china else _other_line(leg.line, asked.city)
    start = _with(leg.start, suffix)
    if is_china and asked.is_long:
        return line, start, _with(leg.end, suffix)
    return line, start, leg.start if start == leg.start else leg.end + suffix


def _chinese_line(name: str) -> str:
    number = re.search(r"(\d+)", name)
    return f"Line {int(number[1])}" if number else re.sub(r"\(.*?\)", "", name).replace("地铁", "")


def _other_line(name: str, city: str) -> str:
    for pattern in _LINE_NAMES:
        if found := re.search(pattern, name, re.IGNORECASE):
            short = "B" if (found[1], city) == ("B1", "rome") else found[1]
            return f"Line {short}"
    return name


def _through(line: str) -> str:
    return "Line 4" if "大兴" in line else "Line 1" if "八通" in line else line


def _with(name: str, suffix: str) -> str:
    return name if name.endswith(suffix.strip()) else name + suffix


def _clean(text: str) -> str:
    for gone in ("Metro", "metro", ",", "*", "\n"):
        text = text.replace(gone, "")
    text = re.sub(r"[\(（][^\)）]*[\)）]", "", text)
    return re.sub(r"[\s\-]+", "", text).lower()
