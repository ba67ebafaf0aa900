from __future__ import annotations

import pytest

from tests.unit.models.ranks import run_ranks


@pytest.mark.slow
@pytest.mark.deepspeed  # of the tests of two processes, though it needs none
def test_two_uneven_ranks_under_fsdp2_make_the_step_of_one_process() -> None:
    run_ranks("fsdp2_worker")
