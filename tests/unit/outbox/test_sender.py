from __future__ import annotations

from pathlib import Path
from typing import Any, cast

import pytest

from vigorl.outbox.journal import Journal
from vigorl.outbox.operations import EndRun, LogArtifact
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


class BotoError(Exception):
    """Of no kind that the sender knows."""


def test_what_fails_unforeseen_is_kept_for_later_and_what_follows_is_told(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    journal, client = Journal(tmp_path / "j"), Client()
    is_shut = True

    def log_artifact(run_id: str, path: str, into: str | None) -> None:
        if is_shut:
            raise BotoError("no credentials\nand a long story")
        client.told.append(path)

    client.log_artifact = log_artifact  # pyright: ignore[reportAttributeAccessIssue]
    for path in ("a", "b"):
        (tmp_path / path).write_text("")
        journal.append(LogArtifact(str(tmp_path / path)))
    journal.append(EndRun("FINISHED", 9))
    thread = SendingThread(Sender(journal, cast(Any, lambda: client), "run"), pause_s=0.01)
    assert thread.close(wait_s=60.0)
    assert client.told == ["FINISHED"]
    assert caplog.text.count("BotoError: no credentials; this and") == 1
    assert journal.num_pending == 2
    assert not journal.remove_if_told()
    is_shut = False
    assert Sender(journal, cast(Any, lambda: client), "run").send()  # a resume, or mlflow_sync
    assert [Path(one).name for one in client.told[1:]] == ["a", "b"]
    assert journal.remove_if_told()
    assert sorted(one.name for one in tmp_path.iterdir()) == ["a", "b"]


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
