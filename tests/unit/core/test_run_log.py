from __future__ import annotations

import logging
from pathlib import Path

from vigorl.core.run_log import RUN_LOG, logged_to


def test_what_libraries_warn_of_is_kept_and_a_resumed_run_goes_on_below(tmp_path: Path) -> None:
    for name in ("one", "two"):
        with logged_to(tmp_path):
            logging.getLogger("some.library").warning(name)
        RUN_LOG.info("after the run")
    lines = (tmp_path / "run.log").read_text().splitlines()
    assert [line.split()[-2:] for line in lines] == [["WARNING", "one"], ["WARNING", "two"]]


def test_of_several_processes_one_writes(tmp_path: Path) -> None:
    with logged_to(tmp_path, is_writer=False):
        RUN_LOG.info("a line")
    assert not list(tmp_path.iterdir())
