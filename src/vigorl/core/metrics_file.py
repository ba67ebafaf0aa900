"""RUN/metrics.jsonl: what a run has measured, so that pages and comparisons need no server.

    {"kind": "train", "phases": 3.0, "step": 6, "metrics": {"reward/total": 0.61, ...}}

A run that is killed and resumed measures again what it repeats: of two lines about the same moment
the later one holds, name by name.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
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


def read_metrics(path: Path) -> list[MetricsLine]:
    """All moments in order; none where there is no file.

    Raises:
        DataError: Names file and line of what is no such line; a last one that a crash has cut off
            is passed over.
    """
    if not path.is_file():
        return []
    lines = path.read_text(encoding="utf-8", errors="replace").split("\n")
    found = [_line(text, path, i) for i, text in enumerate(lines[:-1], start=1)]
    return merged(found)


def merged(lines: Iterable[MetricsLine]) -> list[MetricsLine]:
    """One line per kind and moment, in order."""
    moments: dict[tuple[float, int, str], MetricsLine] = {}
    for one in lines:
        key = (one.phases, KINDS.index(one.kind), one.kind)
        before = moments[key].metrics if key in moments else {}
        moments[key] = MetricsLine(one.kind, one.phases, one.step, {**before, **one.metrics})
    return [moments[key] for key in sorted(moments)]


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
