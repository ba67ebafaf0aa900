"""Rollouts that are kept as they come."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from tests.builders import rollout
from vigorl.core.errors import ConfigError
from vigorl.evaluation.answers import AnswerLog

ONE = rollout(group="vstar/a")
TWO = replace(ONE, group="vstar/b", task=replace(ONE.task, id="b", tags={"level": "3"}))


def test_what_was_kept_is_found_again_without_a_torn_line(tmp_path: Path) -> None:
    path = tmp_path / "answers.jsonl"
    with AnswerLog(path, phase="vstar", run_seed=0) as log:
        assert log.found == {}
        log.keep(ONE)
        log.keep(TWO)
    with path.open("a") as file:
        file.write('{"format": 3, "pha')
    with AnswerLog(path, phase="vstar", run_seed=0) as log:
        assert log.found == {("vstar/a", ONE.index): ONE, ("vstar/b", ONE.index): TWO}
        log.check([ONE.task, TWO.task])
    assert path.read_text().count("\n") == 2


def test_an_answer_to_another_question_is_refused(tmp_path: Path) -> None:
    with AnswerLog(tmp_path / "answers.jsonl", phase="vstar", run_seed=0) as log:
        log.keep(ONE)
    with AnswerLog(tmp_path / "answers.jsonl", phase="vstar", run_seed=0) as log:
        with pytest.raises(ConfigError, match=r"answers the question '.*', which the data no"):
            log.check([replace(ONE.task, question="Another?")])
        with pytest.raises(ConfigError, match="begin a new evaluation"):
            log.check([])
