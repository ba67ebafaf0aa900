"""RUN/metrics.jsonl: what a run has measured, so that pages and comparisons need no server.

    {"kind": "train", "phases": 3.0, "step": 6, "metrics": {"reward/total": 0.61, ...}}

A run that is killed and resumed measures again what it repeats: of two lines about the same moment
the later one holds, name by name.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from vigorl.core.errors import DataError

NAME = "metrics.jsonl"
KINDS = ("train", "val", "update")


@dataclass(frozen=True, slots=True)
class MetricsLine:
    """What was measured at one moment.

    Attributes:
        kind: "train" for a phase's rollouts, "val" for an evaluation, "update" for optimizer steps
            (means over those since the last such line).
        phases: How many phases (epochs) were done; a fraction within one.
        step: How many optimizer steps were done.
        metrics: By name.
    """

    kind: str
    phases: float
    step: int
    metrics: Mapping[str, float] = field(default_factory=dict)


def append_metrics(path: Path, line: MetricsLine) -> None:
    """Add a line; numbers that are not finite are left out."""
    finite = {name: value for name, value in line.metrics.items() if math.isfinite(value)}
    plain = {"kind": line.kind, "phases": line.phases, "step": line.step, "metrics": finite}
    with open(path, "a", encoding="utf-8") as file:
        file.write(json.dumps(plain, allow_nan=False, separators=(",", ":")) + "\n")


class AppendedLines:
    """The lines of a file that is written meanwhile, each of them once.

    Args:
        path: The file, which may not be there yet.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._offset = self._number = 0

    def __iter__(self) -> Iterator[tuple[int, str]]:
        """Number, from 1, and text of those that were appended since the last time; not of one
        whose end is not written.
        """
        if not self.path.is_file():
            return
        with open(self.path, "rb") as file:
            file.seek(self._offset)
            for line in file:
                if not line.endswith(b"\n"):
                    return
                self._offset, self._number = self._offset + len(line), self._number + 1
                yield self._number, line.decode(errors="replace")


class MetricsFile:
    """What a run has measured so far; a further reading takes only what was added.

    Args:
        path: The file, which may not be there yet.
    """

    def __init__(self, path: Path) -> None:
        self._lines, self._moments = AppendedLines(path), _Moments()

    def read(self) -> list[MetricsLine]:
        """All moments in order.

        Raises:
            DataError: Names file and line of what is no such line, once; a last one that a crash
                has cut off is passed over.
        """
        for number, text in self._lines:
            self._moments.add(_line(text, self._lines.path, number))
        return self._moments.in_order()


def read_metrics(path: Path) -> list[MetricsLine]:
    """`MetricsFile.read`, from the start; none where there is no file."""
    return MetricsFile(path).read()


def merged(lines: Iterable[MetricsLine]) -> list[MetricsLine]:
    """One line per kind and moment, in order."""
    moments = _Moments()
    for one in lines:
        moments.add(one)
    return moments.in_order()


class _Moments:
    def __init__(self) -> None:
        self._found: dict[tuple[float, int, str], MetricsLine] = {}

    def add(self, one: MetricsLine) -> None:
        key = (one.phases, KINDS.index(one.kind), one.kind)
        before = self._found[key].metrics if key in self._found else {}
        self._found[key] = MetricsLine(one.kind, one.phases, one.step, {**before, **one.metrics})

    def in_order(self) -> list[MetricsLine]:
        return [self._found[key] for key in sorted(self._found)]


def curve_of(lines: Sequence[MetricsLine], name: str) -> tuple[tuple[float, float], ...]:
    """(phases done, value) of a metric, in order."""
    return tuple((one.phases, one.metrics[name]) for one in lines if name in one.metrics)


def curves_of(lines: Sequence[MetricsLine]) -> dict[str, tuple[tuple[float, float], ...]]:
    """`curve_of` every metric, by name."""
    found: dict[str, list[tuple[float, float]]] = {}
    for one in lines:
        for name, value in one.metrics.items():
            found.setdefault(name, []).append((one.phases, value))
    return {name: tuple(points) for name, points in sorted(found.items())}


def _line(text: str, path: Path, number: int) -> MetricsLine:
    try:
        plain: Any = json.loads(text)
        metrics = dict(zip(plain["metrics"], map(float, plain["metrics"].values()), strict=True))
        line = MetricsLine(str(plain["kind"]), float(plain["phases"]), int(plain["step"]), metrics)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise DataError(f"not a line of metrics: {error!r}", path=path, line=number) from error
    if line.kind not in KINDS:
        raise DataError(f"kind {line.kind!r} is none of {KINDS}", path=path, line=number)
    return line
