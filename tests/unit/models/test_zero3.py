from __future__ import annotations

from pathlib import Path

import pytest

from tests.unit.models.ranks import run_ranks

pytest.importorskip("deepspeed")


@pytest.mark.slow
@pytest.mark.deepspeed
def test_two_uneven_ranks_under_zero3_make_the_step_of_one_process(tmp_path: Path) -> None:
    run_ranks("zero3_worker", str(tmp_path))
