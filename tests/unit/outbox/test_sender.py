from __future__ import annotations

from pathlib import Path
from typing import Any, cast

from vigorl.outbox.journal import Journal
from vigorl.outbox.operations import EndRun
from vigorl.outbox.rollout_traces import RecordedTraces
from vigorl.outbox.sender import Sender


class Client:
    """What the sender asks of MLflow's."""

    tracking_uri = "sqlite://"

    def __init__(self) -> None:
        self.told: list[str] = []

    def get_run(self, run_id: str) -> None: ...

    def set_terminated(self, run_id: str, status: str, at_ms: int) -> None:
        self.told.append(status)


def test_a_damaged_record_is_left_out_and_what_follows_is_told(tmp_path: Path) -> None:
    record, journal, client = tmp_path / "r.jsonl", Journal(tmp_path / "j"), Client()
    record.write_text('{"phase": "tra')
    journal.append(RecordedTraces(str(record), [0], 7))
    journal.append(EndRun("FINISHED", 9))
    assert Sender(journal, cast(Any, lambda: client), "run").send()
    assert client.told == ["FINISHED"]
    assert journal.num_pending == 0
