from __future__ import annotations

import pytest
import torch

from tests.unit.models.ranks import run_ranks
from tests.unit.models.small import make_policy
from vigorl.core.errors import ConfigError
from vigorl.models.context_parallel import ContextGroup, SplitRow


@pytest.mark.slow
@pytest.mark.deepspeed  # of the tests of several processes, though it needs none
@pytest.mark.parametrize("num", [2, pytest.param(4, marks=pytest.mark.long)])
def test_rows_read_together_say_and_teach_what_one_process_does(num: int) -> None:
    run_ranks("context_worker", num=num)


@pytest.mark.parametrize("num_tokens", [1, 5, 6, 7])
def test_parts_of_a_row_are_equal_and_its_blanks_stand_behind(num_tokens: int) -> None:
    row, found = torch.arange(1, num_tokens + 1)[None], []
    for rank in range(3):
        group = ContextGroup(3)
        group.rank = rank
        found.append(SplitRow(num_tokens, group).own(row, dim=1))
    assert len({part.shape for part in found}) == 1
    whole = torch.cat(found, dim=1)[0]
    assert whole[:num_tokens].tolist() == row[0].tolist()
    assert whole[num_tokens:].tolist() == [0] * (-num_tokens % 3)


def test_what_cannot_be_split_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"model.context_parallel=4 must divide the 2 key-value"):
        make_policy(packing=True, context_parallel=4)
    with pytest.raises(ConfigError, match=r"layers of Qwen3.5 keep a state"):
        make_policy("qwen3_5", packing=True, context_parallel=2)
    with pytest.raises(ConfigError, match=r"model.context_parallel above 1 needs model.packing"):
        make_policy(context_parallel=2)
    with pytest.raises(ConfigError, match=r"model.context_parallel=3 must divide the 1 processes"):
        ContextGroup(3).join()
