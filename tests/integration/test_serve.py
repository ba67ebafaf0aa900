"""The serving door on the trained tiny model, over HTTP."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.serve_equals_evaluate import measure

pytestmark = pytest.mark.slow


def test_the_endpoint_answers_as_an_evaluation_does(tmp_path: Path) -> None:
    found = measure(tmp_path, 16, "data=made_world_few", "num_threads=1")
    assert found["turns"] > found["answered"] == 16
    assert found["same_answer"] == found["same_dialog"] == found["questions"] == 16
