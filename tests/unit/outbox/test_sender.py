from __future__ import annotations

from pathlib import Path
from typing import Any, cast

from vigorl.outbox.journal import Journal
from vigorl.outbox.operations import EndRun
from vigorl.outbox.rollout_traces import RecordedTraces
from vigorl.outbox.sender import Sender, SendingThread


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


def test_a_run_that_was_stopped_does_not_wait_for_all_that_a_slow_store_has_not_got(
    tmp_path: Path,
) -> None:
    journal, client = Journal(tmp_path / "j"), Client()
    sender = Sender(journal, cast(Any, lambda: client), "run")
    for status in ("first", "second"):
        journal.append(EndRun(status, 9))
    client.set_terminated = lambda *told: sender.given_up.wait(10)  # pyright: ignore[reportAttributeAccessIssue]
    thread = SendingThread(sender, pause_s=0.01)
    assert not thread.close(wait_s=60.0, most_s=0.0)
    assert [one for one, _ in journal.pending()] == [EndRun("second", 9)]
