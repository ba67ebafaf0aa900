from __future__ import annotations

from typing import Any

import pytest

from vigorl.core.errors import ConfigError
from vigorl.training.plan import PhasePlan


def plan(**overrides: Any) -> PhasePlan:
    sizes = {"prompts_per_phase": 16, "group_size": 8, "sequences_per_update": 64}
    return PhasePlan(**(sizes | {"micro_batch_size": 8} | overrides))


def test_the_worked_example_of_the_module() -> None:
    assert plan().rollouts_per_phase == 128  # 16 x 8
    assert plan().updates_per_phase == 2  # 128 / 64
    assert plan().accumulate(2) == 4  # 64 / (2 ranks x 8)
    assert plan().batches_per_phase(2) == 8  # 2 updates x 4


def test_every_pass_learns_from_all_rollouts_again() -> None:
    assert plan(passes=3).updates_per_phase == 6
    assert plan(passes=3).batches_per_phase(1) == 48  # 6 x 64 / 8


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        ({"prompts_per_phase": 0}, "plan.prompts_per_phase"),
        ({"group_size": 1}, "plan.group_size must be at least 2"),
        ({"micro_batch_size": 0}, "plan.micro_batch_size"),
        ({"passes": 0}, "plan.passes"),
        ({"sequences_per_update": 48}, "plan.sequences_per_update=48 must divide .* = 128"),
    ],
)
def test_sizes_that_cannot_be_are_refused_by_name(overrides: Any, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        plan(**overrides)


def test_ranks_that_do_not_divide_the_work_are_refused() -> None:
    with pytest.raises(ConfigError, match="prompts_per_phase=16 must be a multiple of the 3 ranks"):
        plan().accumulate(3)
    with pytest.raises(ConfigError, match=r"16 ranks x plan\.micro_batch_size=8"):
        plan().accumulate(16)


def test_where_tokens_are_counted_each_sequence_has_a_place() -> None:
    assert plan(micro_batch_tokens=4096).accumulate(2) == 32  # 64 / 2 ranks
    assert plan(micro_batch_tokens=4096, micro_batch_size=7).accumulate(2) == 32
    with pytest.raises(ConfigError, match=r"plan\.micro_batch_tokens must be at least 1, got 0"):
        plan(micro_batch_tokens=0)


def test_every_prompt_comes_once_per_pass_over_the_data() -> None:
    asked = [
        i for phase in range(5) for i in plan().prompts_of_phase(phase, num_prompts=40, seed=3)
    ]
    # 5 x 16 = 2 x 40, so the third phase stands on both sides of the seam
    assert sorted(asked[:40]) == sorted(asked[40:]) == list(range(40))
    assert asked[:40] != asked[40:]


def test_prompts_follow_from_phase_and_seed_alone() -> None:
    first = plan().prompts_of_phase(7, num_prompts=40, seed=3)
    assert first == plan().prompts_of_phase(7, num_prompts=40, seed=3)
    assert first != plan().prompts_of_phase(7, num_prompts=40, seed=4)


def test_fewer_prompts_than_a_phase_asks_are_asked_again() -> None:
    asked = plan().prompts_of_phase(0, num_prompts=5, seed=0)
    assert len(asked) == 16
    assert set(asked) == set(range(5))


def test_no_prompts_are_an_error() -> None:
    with pytest.raises(ConfigError, match="no prompts"):
        plan().prompts_of_phase(0, num_prompts=0, seed=0)
