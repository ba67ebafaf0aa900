from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from vigorl.core.spans import (
    Kind,
    Span,
    Timeline,
    chrome_trace,
    nested,
    note,
    own_seconds,
    record,
    recorded,
    span,
    within_phase,
)


@pytest.fixture(autouse=True)
def nothing_recorded() -> Iterator[None]:
    recorded()
    yield
    recorded()


def at(kind: Kind, begun_s: float, ended_s: float, *, thread: int = 7, detail: str = "") -> Span:
    return Span(kind, begun_s, ended_s, thread, detail)


def test_nothing_is_kept_until_somebody_records() -> None:
    with span(Kind.TOOL):
        note(Kind.REWARD, 0.0, 1.0)
    assert recorded() == []
    record()
    with span(Kind.TOOL, "zoom"), span(Kind.REWARD):
        pass
    inner, outer = recorded()
    assert (inner.kind, outer.kind, outer.detail) == (Kind.REWARD, Kind.TOOL, "zoom")
    assert outer.begun_s <= inner.begun_s <= inner.ended_s <= outer.ended_s
    assert recorded() == []


def test_a_span_that_fails_is_kept_and_its_error_goes_on() -> None:
    record()
    with pytest.raises(KeyError), span(Kind.TOOL):
        raise KeyError
    assert [one.kind for one in recorded()] == [Kind.TOOL]


def test_threads_are_told_apart() -> None:
    record()
    with span(Kind.GENERATE):
        other = threading.Thread(target=note, args=(Kind.TOOL, 0.0, 1.0))
        other.start()
        other.join()
    tool, generate = recorded()
    assert tool.thread != generate.thread


def test_what_lies_in_another_span_counts_for_itself_alone() -> None:
    spans = [
        at(Kind.TOOL, 1.0, 1.5),
        at(Kind.ENGINE, 2.0, 4.0),
        at(Kind.GENERATE, 0.0, 5.0),
        at(Kind.REWARD, 5.0, 5.25),  # begins where another ends
        at(Kind.TOOL, 1.0, 3.0, thread=8),  # of another thread: beside, not within
    ]
    assert own_seconds(spans) == {
        Kind.GENERATE: 5.0 - 0.5 - 2.0, Kind.ENGINE: 2.0, Kind.TOOL: 0.5 + 2.0, Kind.REWARD: 0.25,
    }  # fmt: skip
    assert [len(around) for _, around in nested(spans)] == [0, 0, 1, 1, 0]


def test_rollouts_that_were_begun_in_the_phase_before_begin_with_the_phase() -> None:
    """And their thread is not taken for the learner's, though it was first."""
    spans = [
        at(Kind.ENGINE, 95.0, 110.0, thread=9),
        at(Kind.GENERATE, 20.0, 110.0, thread=9),
        at(Kind.WAIT, 101.0, 110.0, thread=7),
    ]
    assert within_phase(spans, begun_s=100.0, learner=7) == [
        at(Kind.ENGINE, 0.0, 10.0, thread=1),
        at(Kind.GENERATE, 0.0, 10.0, thread=1),
        at(Kind.WAIT, 1.0, 10.0, thread=0),
    ]


def test_a_chrome_trace_has_a_process_per_rank_on_one_axis() -> None:
    first = Timeline(0, 100.0, 2.0, [at(Kind.GENERATE, 0.5, 1.5, thread=0)])
    spans = [at(Kind.TOOL, 0.0, 0.5, thread=0, detail="zoom"), at(Kind.WAIT, 1, 2, thread=0)]
    second = Timeline(1, 100.25, 2.0, spans)
    events = chrome_trace([first, second])["traceEvents"]
    assert {one["args"]["name"] for one in events if one["ph"] == "M"} == {
        "rank 0", "rank 1", "main"
    }  # fmt: skip
    spans = [one for one in events if one["ph"] == "X"]
    assert spans[0] == {
        "name": "generate", "cat": "generate", "ph": "X", "ts": 0.5e6, "dur": 1e6,
        "pid": 0, "tid": 0,
    }  # fmt: skip
    assert (spans[1]["name"], spans[1]["ts"], spans[1]["pid"]) == ("tool zoom", 0.25e6, 1)
