from __future__ import annotations

from collections import Counter
from typing import Any

import pytest

from vigorl.core.errors import ConfigError
from vigorl.training.samplers.solve_rate import PromptChoice, SolveRateSampling

Rates = list[float | None]


def choose(
    rates: Rates, *, phase: int = 0, count: int = 2, seed: int = 0, **settings: Any
) -> PromptChoice:
    return SolveRateSampling(**settings).choose(rates, phase=phase, count=count, seed=seed)


def shares_of_first(rates: Rates, **settings: Any) -> list[float]:
    """How often each task is the one that a phase of one prompt takes."""
    phases = 4000
    taken = Counter(
        choose(rates, phase=phase, count=1, **settings).indices[0] for phase in range(phases)
    )
    return [taken[i] / phases for i in range(len(rates))]


def test_the_ends_are_skipped_and_the_rest_is_taken() -> None:
    choice = choose([0.0, 0.25, 1.0, None, 0.03, 0.97], floor_frac=0)
    assert sorted(choice.indices) == [1, 3]
    # 1 - 1/4, and 1 - 1/2 where there is no rate
    assert sorted(choice.difficulties) == [0.5, 0.75]
    assert (choice.num_skipped, choice.num_filled) == (4, 0)


def test_difficulties_stand_beside_their_tasks() -> None:
    rates: Rates = [0.1, 0.2, 0.3, 0.4, 0.6, 0.7]
    choice = choose(rates, count=5)
    assert choice.difficulties == tuple(1 - (rates[i] or 0) for i in choice.indices)


def test_thresholds_are_settings() -> None:
    rates: Rates = [0.1, 0.2, 0.8, 0.9]
    assert choose(rates, skip_below=0.1, skip_above=0.9).num_skipped == 2
    assert choose(rates, skip_below=0.09, skip_above=0.91).num_skipped == 0


@pytest.mark.parametrize(
    ("exponent", "first"),
    [
        (1.0, 1 / (1 + 0.4375)),  # 4p(1-p) is 1 at 1/2, 4 x 1/8 x 7/8 = 0.4375 at 1/8
        (2.0, 1 / (1 + 0.4375**2)),
        (0.0, 1 / 2),
    ],
)
def test_the_others_are_drawn_by_the_variance_of_their_reward(
    exponent: float, first: float
) -> None:
    # one standard deviation of the share is at most sqrt(1/4 / 4000) = 0.008
    assert shares_of_first([None, 0.125], exponent=exponent)[0] == pytest.approx(first, abs=0.03)
    assert shares_of_first([0.5, 0.875], exponent=exponent)[0] == pytest.approx(first, abs=0.03)


def test_a_sharp_exponent_takes_the_nearest_to_one_half() -> None:
    rates: Rates = [0.04, 0.3, 0.52, 0.9, 0.4]
    assert set(choose(rates, exponent=1e4).indices) == {2, 4}


@pytest.mark.parametrize(
    ("rates", "num_filled"),
    [
        ([1.0] * 6, 4),  # a set that is solved
        ([0.0] * 6, 4),
        ([1.0, 0.5, 0.0, 0.4, 1.0, 1.0], 2),
        ([0.5] * 5 + [0.0], 0),
    ],
)
def test_a_phase_is_always_whole_and_takes_no_task_twice(rates: Rates, num_filled: int) -> None:
    for phase in range(20):
        choice = choose(rates, phase=phase, count=4, floor_frac=0)
        assert len(set(choice.indices)) == len(choice.indices) == 4
        assert choice.num_filled == num_filled
        usable = {i for i, rate in enumerate(rates) if rate not in (0.0, 1.0)}
        assert len(usable & set(choice.indices)) == 4 - num_filled


def test_a_solved_set_is_asked_evenly() -> None:
    assert shares_of_first([1.0, 0.0, 1.0, 1.0]) == pytest.approx([0.25] * 4, abs=0.03)


def test_the_floor_brings_skipped_tasks_back() -> None:
    rates: Rates = [0.5] * 20 + [1.0] * 5
    choices = [choose(rates, phase=phase, count=10, floor_frac=0.25) for phase in range(40)]
    back = [[i for i in choice.indices if i >= 20] for choice in choices]
    # 10 x 0.25 = 2.5 places a phase: 2, 5 - 2, 7 - 5, 10 - 7, ...
    assert [len(one) for one in back] == [2, 3] * 20
    assert {i for one in back for i in one} == {20, 21, 22, 23, 24}
    assert {choice.num_filled for choice in choices} == {0}


def test_a_floor_of_less_than_a_prompt_comes_every_few_phases() -> None:
    rates: Rates = [0.5] * 4 + [0.0]
    choices = [choose(rates, phase=phase, floor_frac=0.125) for phase in range(8)]
    # 2 x 0.125 = a quarter of a place per phase
    assert [4 in choice.indices for choice in choices] == [False, False, False, True] * 2


def test_a_floor_gives_nothing_where_nothing_is_skipped() -> None:
    choice = choose([0.5] * 4, floor_frac=0.9)
    assert (len(choice.indices), choice.num_skipped, choice.num_filled) == (2, 0, 0)


def test_the_choice_follows_from_seed_phase_and_rates() -> None:
    rates: Rates = [0.1 + 0.02 * i for i in range(40)]
    first = choose(rates, phase=3, count=16, seed=1)
    assert first == choose(list(rates), phase=3, count=16, seed=1)
    for other in (
        choose(rates, phase=4, count=16, seed=1),
        choose(rates, phase=3, count=16, seed=2),
        choose([1.0, *rates[1:20], *[0.0] * 20], phase=3, count=16, seed=1),
    ):
        assert set(other.indices) != set(first.indices)


def test_ranks_get_skipped_prompts_alike() -> None:
    """Rank r owns prompts r, r + world, ...: the floor's must not all stand at the end."""
    rates: Rates = [0.5] * 8 + [0.0] * 4
    choices = [choose(rates, phase=p, count=4, floor_frac=0.25) for p in range(200)]
    places = Counter(
        place for choice in choices for place, i in enumerate(choice.indices) if i >= 8
    )
    assert min(places[place] for place in range(4)) > 30  # 50 each


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"skip_below": 0.5}, r"sampler\.skip_below must be from 0 to below 0\.5, got 0\.5"),
        ({"skip_below": -0.1}, r"sampler\.skip_below"),
        ({"skip_above": 0.5}, r"sampler\.skip_above"),
        ({"skip_above": 1.1}, r"sampler\.skip_above"),
        ({"floor_frac": 1.0}, r"sampler\.floor_frac"),
        ({"exponent": -1.0}, r"sampler\.exponent"),
        ({"smoothing": 1.0}, r"sampler\.smoothing"),
        ({"smoothing": float("nan")}, r"sampler\.smoothing"),
        ({"image_root": "pictures"}, r"image_root has no effect without sampler\.trees"),
    ],
)
def test_settings_that_cannot_be_are_refused_by_name(settings: Any, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        SolveRateSampling(**settings)
