"""What is said of an evaluation's progress off a terminal."""

from __future__ import annotations

import pytest

from vigorl.evaluation import progress
from vigorl.evaluation.progress import AnswerProgress


def test_a_line_now_and_then_with_the_time_that_is_left(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    now = [100.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    with AnswerProgress("vstar") as tell:
        tell(10, 191)
        for done in (11, 12, 13):
            now[0] += 20.0
            tell(done, 191)
    assert capsys.readouterr().out.splitlines() == [
        "vstar: 10 of 191 were answered before",
        "vstar: 12 of 191, about 60 min left",  # 179 at 20 s each
    ]
