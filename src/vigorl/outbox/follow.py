"""`python -m vigorl.outbox.follow FOLDER RUN_ID`: sends a run's traces while it goes on.

A process of its own, of a lower priority, because what MLflow's client does for a trace is
Python that would hold up the training's. It ends when its input does and all is sent, or when the
store has been away for `--wait-s` then.
"""

from __future__ import annotations

import argparse
import os
import select
import sys
import time
from pathlib import Path

import mlflow
from mlflow.tracking import MlflowClient

from vigorl.outbox.journal import TRACES, Journal
from vigorl.outbox.sender import Sender, be_brief

_LOOK_EVERY_S = 0.5


def follow(journal: Journal, run_id: str, *, wait_s: float, pause_s: float) -> bool:
    """Send what is appended to a journal until standard input ends; whether all was sent."""
    sender = Sender(journal, MlflowClient, run_id)
    left_at: float | None = None
    while True:
        is_told = sender.send()
        if left_at is None and _has_ended(pause_s if not is_told else _LOOK_EVERY_S):
            left_at = time.monotonic()
            journal.take_back()
            continue
        if left_at is not None:
            if is_told:
                return True
            if time.monotonic() - left_at >= wait_s:
                return False
            time.sleep(min(pause_s, 0.5))


def _has_ended(wait_s: float) -> bool:
    """Whether standard input ends within this time; nobody writes to it."""
    return bool(select.select([sys.stdin], [], [], wait_s)[0])


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("run_id")
    parser.add_argument("--wait-s", type=float, default=60.0)
    parser.add_argument("--pause-s", type=float, default=20.0)
    said = parser.parse_args()
    os.nice(5)  # the training goes first; lower, and the end of a run would wait for it
    be_brief()
    mlflow.set_tracking_uri(os.environ["MLFLOW_TRACKING_URI"])
    journal = Journal(said.folder / TRACES)
    return 0 if follow(journal, said.run_id, wait_s=said.wait_s, pause_s=said.pause_s) else 1


if __name__ == "__main__":
    sys.exit(main())
