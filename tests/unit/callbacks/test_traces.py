from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from tests import builders
from vigorl.callbacks import traces
from vigorl.callbacks.phase_report import PhaseReport
from vigorl.callbacks.traces import RolloutTraces, num_due
from vigorl.outbox.rollout_traces import RecordedTraces


@pytest.mark.parametrize(("num_phases", "most"), [(1, 5), (7, 3), (50, 100), (3, 0)])
def test_all_phases_get_their_share_and_together_no_more_than_there_is(
    num_phases: int, most: int
) -> None:
    due = [num_due(phase, num_phases=num_phases, most=most) for phase in range(num_phases)]
    assert sum(due) == most
    assert max(due) - min(due) <= 1


def test_whole_groups_are_sent_by_their_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    sent: list[RecordedTraces] = []
    monkeypatch.setattr(traces, "send", lambda _, told: sent.append(told))
    callback = RolloutTraces(max_traces=8, max_val_traces=6)
    callback._rollouts = cast(Any, SimpleNamespace(eval_every=1))
    callback._records = cast(Any, SimpleNamespace(record_path=lambda *_: Path("record")))
    trainer = cast(Any, SimpleNamespace(max_epochs=2, is_global_zero=True, loggers=[None]))
    scored = [builders.scored(builders.rollout(group=f"g{i % 3}", index=i // 3)) for i in range(12)]
    for kind in ("train", "val"):
        callback._send(PhaseReport(kind, 0, 0, scored, {}), trainer)
    train, val = sent
    assert sorted(train.lines) == [0, 3, 6, 9]  # four of the eight, so one group of four
    assert len(set(val.lines)) == 2  # of six, for three evaluations
