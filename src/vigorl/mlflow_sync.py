"""`python -m vigorl.mlflow_sync RUN ...`: sends MLflow what it has not got of runs, because it was
away when they ended or because they were killed.

The store is the one of the run's config.yaml, or of MLFLOW_TRACKING_URI. Exit code 0: all is there.
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

import mlflow
from mlflow.tracking import MlflowClient
from omegaconf import DictConfig

from vigorl.core.errors import ConfigError, VigorlError
from vigorl.core.stages_file import read_stages
from vigorl.door import refusals
from vigorl.machine_faults import told_in_one_line
from vigorl.outbox.journal import OUTBOX, TRACES, Journal
from vigorl.outbox.sender import Sender, be_brief
from vigorl.run_folder import identity_files, read_identity, read_settings


def sync(folder: Path) -> int:
    """Send what waits in a run's folder, and in those of its stages; the number of things sent.

    Raises:
        ConfigError: It is not a run's folder, or nobody knows where its store is.
        VigorlError: The store does not answer; what was not sent is still there.
    """
    found = 0
    for path in identity_files(folder):
        run_id = read_identity(path).mlflow_run_id
        for name in (OUTBOX, TRACES):
            found += _sync(Journal(path.parent / name), path.parent, run_id)
    if (stages := read_stages(folder)) is not None:  # the run of all of them
        settings_of = identity_files(folder)[0].parent
        found += _sync(Journal(folder / OUTBOX), settings_of, stages.mlflow_run_id)
    return found


def _sync(journal: Journal, folder: Path, run_id: str | None) -> int:
    if not (num := journal.num_pending):
        return 0
    if not run_id:
        raise ConfigError(f"{folder}/run.json names no run of MLflow")
    mlflow.set_tracking_uri(_store_of(folder))
    why: list[str] = []
    if not Sender(journal, MlflowClient, run_id, on_away=why.append).send():
        raise VigorlError(
            f"MLflow does not answer ({why[0]}); {journal.num_pending} things stay in "
            f"{journal.path}"
        )
    if left := journal.num_pending:
        raise VigorlError(f"{left} of {num} things stay in {folder}: see the warning above")
    return num  # the files stay: a run that still goes on may be appending to them


def _store_of(folder: Path) -> str:
    if uri := os.environ.get("MLFLOW_TRACKING_URI"):
        return uri
    logger = read_settings(folder / "config.yaml").get("logger")
    uri = str(logger.get("tracking_uri") or "") if isinstance(logger, dict) else ""
    if not uri or ":***@" in uri:
        raise ConfigError(
            f"{folder}/config.yaml keeps no address of MLflow (or not its password): set "
            "MLFLOW_TRACKING_URI"
        )
    return uri


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run", nargs="+", type=Path, help="a run's folder")
    be_brief()
    folders = parser.parse_args().run
    with refusals(), told_in_one_line("mlflow_sync", DictConfig({})):
        for folder in folders:
            print(f"{folder}: {sync(folder)} things sent")
    return 0


if __name__ == "__main__":
    sys.exit(main())
