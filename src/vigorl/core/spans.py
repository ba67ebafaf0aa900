"""Where the time of a phase goes: spans that have a kind, a beginning and an end, and may lie in
each other.

    with span(Kind.TOOL, "zoom"):
        ...

Nothing is kept until somebody calls `record`; before, a span is one look at a variable. Spans of
several threads are kept side by side; a process records for itself alone.
"""

from __future__ import annotations

import threading
import time
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from types import TracebackType
from typing import Any, NamedTuple


class Kind(StrEnum):
    """What is done in a span; the order is that of a phase."""

    PUBLISH = "publish"  # the policy's weights go to the engine
    GENERATE = "generate"  # dialogs: what is neither engine nor tool is this process's own Python
    ENGINE = "engine"  # submit and poll
    TOOL = "tool"  # a call, with the pictures it shows
    PROBE = "probe"  # what is asked about finished rollouts
    REWARD = "reward"
    PREPARE = "prepare"  # from scored rollouts to micro-batches: credit, weights, cutting
    LOGPROB = "logprob"  # passes without gradient: old, reference, readings
    SLEEP = "sleep"  # the engine is put to sleep
    FORWARD = "forward"
    BACKWARD = "backward"  # gradients of other ranks are waited for inside
    OPTIMIZER = "optimizer"
    EVALUATE = "evaluate"
    RECORD = "record"  # metrics, records, pages
    CHECKPOINT = "checkpoint"
    WAIT = "wait"  # for other ranks, for services, for an engine of another process


class Span(NamedTuple):
    """Seconds of `time.perf_counter`; `detail` says which one of its kind."""

    kind: Kind
    begun_s: float
    ended_s: float
    thread: int
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Timeline:
    """The spans of one rank in one phase.

    Attributes:
        rank: Its number.
        begun_s: Unix time of the phase's beginning.
        wall_s: How long it took.
        spans: In the order in which they ended, in seconds since the beginning; threads are
            numbered, the learner's is 0.
    """

    rank: int
    begun_s: float
    wall_s: float
    spans: Sequence[Span]


def within_phase(spans: Iterable[Span], *, begun_s: float, learner: int) -> list[Span]:
    """The spans of a `Timeline`: what began before the phase, as rollouts made beside the phase
    before do, begins with it.

    Args:
        spans: In the order in which they ended.
        begun_s: When the phase began, seconds of `time.perf_counter`.
        learner: The thread that learns.
    """
    numbers, found = {learner: 0}, list[Span]()
    for one in spans:
        number = numbers.setdefault(one.thread, len(numbers))
        begun, ended = max(one.begun_s - begun_s, 0.0), max(one.ended_s - begun_s, 0.0)
        found.append(one._replace(begun_s=begun, ended_s=ended, thread=number))
    return found


class _Running:
    __slots__ = ("_begun_s", "_detail", "_kind")

    def __init__(self, kind: Kind, detail: str) -> None:
        self._kind, self._detail = kind, detail

    def __enter__(self) -> None:
        self._begun_s = time.perf_counter()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        note(self._kind, self._begun_s, time.perf_counter(), self._detail)


class _Unseen:
    __slots__ = ()

    def __enter__(self) -> None: ...

    def __exit__(self, *_: object) -> None: ...


_UNSEEN = _Unseen()
_kept: list[Span] | None = None


def span(kind: Kind, detail: str = "") -> _Running | _Unseen:
    """A context whose time is kept where somebody records."""
    return _UNSEEN if _kept is None else _Running(kind, detail)


def note(kind: Kind, begun_s: float, ended_s: float, detail: str = "") -> None:
    """Keep a span that was timed by `time.perf_counter`, where somebody records."""
    kept = _kept  # another thread may end the recording
    if kept is not None:
        kept.append(Span(kind, begun_s, ended_s, threading.get_ident(), detail))


def record() -> None:
    """Keep spans from here on; those kept before are forgotten."""
    global _kept
    _kept = []


def recorded() -> list[Span]:
    """The spans since `record`, which ends with this; none without it."""
    global _kept
    found, _kept = _kept or [], None
    return found


def nested(spans: Iterable[Span]) -> Iterator[tuple[Span, tuple[Span, ...]]]:
    """Each span with those of its thread that it lies in, the outermost first; in the order in
    which they begin. Spans of one thread lie in each other or apart.
    """
    open_: defaultdict[int, list[Span]] = defaultdict(list)
    for one in sorted(spans, key=lambda one: (one.begun_s, -one.ended_s)):
        around = open_[one.thread]
        while around and around[-1].ended_s <= one.begun_s:
            around.pop()
        yield one, tuple(around)
        around.append(one)


def own_seconds(spans: Iterable[Span]) -> dict[Kind, float]:
    """Seconds by kind, in the order of `Kind`: what lies in another span counts for itself alone.
    Those of several threads add up.
    """
    found: defaultdict[Kind, float] = defaultdict(float)
    for one, around in nested(spans):
        found[one.kind] += one.ended_s - one.begun_s
        if around:
            found[around[-1].kind] -= one.ended_s - one.begun_s
    return {kind: found[kind] for kind in Kind if kind in found}


def chrome_trace(timelines: Sequence[Timeline]) -> Mapping[str, Any]:
    """As chrome://tracing and https://ui.perfetto.dev read it: microseconds since the first rank's
    beginning, a process per rank, a thread per thread.

    Source: "Trace Event Format", complete events ("X") and metadata ("M").
    """
    first = min(one.begun_s for one in timelines)
    events: list[dict[str, Any]] = []
    for one in timelines:
        shift = one.begun_s - first
        events.append(_named("process_name", one.rank, 0, f"rank {one.rank}"))
        events += [
            _named("thread_name", one.rank, number, f"thread {number}" if number else "main")
            for number in sorted({spent.thread for spent in one.spans})
        ]
        events += [
            {
                "name": f"{spent.kind} {spent.detail}".strip(),
                "cat": str(spent.kind),
                "ph": "X",
                "ts": round(1e6 * (shift + spent.begun_s), 1),
                "dur": round(1e6 * (spent.ended_s - spent.begun_s), 1),
                "pid": one.rank,
                "tid": spent.thread,
            }
            for spent in sorted(one.spans, key=lambda spent: spent.begun_s)
        ]
    return {"traceEvents": events, "displayTimeUnit": "ms"}


def _named(kind: str, process: int, thread: int, name: str) -> dict[str, Any]:
    return {"name": kind, "ph": "M", "pid": process, "tid": thread, "args": {"name": name}}
