"""Prompts of a band of solve rates."""

from __future__ import annotations

from collections import Counter

import pytest

from vigorl.core.errors import ConfigError
from vigorl.training.samplers.band import RateBand
from vigorl.training.samplers.rates import SolveRates

RATES = [0.0, 0.2, 0.5, 0.8, 1.0, None, 0.9]


def test_a_pass_takes_every_prompt_of_the_band_once() -> None:
    band = RateBand(rollouts="x")
    phases = [band.choose(RATES, phase=i, count=1, seed=0) for i in range(6)]
    taken = [one.indices[0] for one in phases]
    assert sorted(taken[:3]) == sorted(taken[3:]) == [1, 2, 3]
    assert all((one.num_skipped, one.num_filled) == (4, 0) for one in phases)
    assert phases[taken.index(1)].difficulties == (0.8,)


def test_a_phase_of_two_passes_stays_in_the_band() -> None:
    band, rates = RateBand(rollouts="x"), [0.5, 0.4, 0.6, 0.3, 0.7, None]
    for phase in range(20):
        choice = band.choose(rates, phase=phase, count=4, seed=0)
        assert len(set(choice.indices)) == 4
        assert (5 in choice.indices, choice.num_filled) == (False, 0)
    narrow = RateBand(low=0.5, high=0.6, rollouts="x")
    assert {0, 2} <= set(narrow.choose(rates, phase=3, count=3, seed=0).indices)


def test_the_nearest_fill_a_phase() -> None:
    choice = RateBand(low=0.5, high=0.8, rollouts="x").choose(RATES, phase=0, count=4, seed=0)
    assert sorted(choice.indices[:2]) == [2, 3]
    assert (choice.indices[2], choice.num_filled) == (6, 2)
    assert len(set(choice.indices)) == 4


def test_the_runs_own_groups_change_nothing() -> None:
    rates = SolveRates(smoothing=1.0, before={"a": 0.5})
    rates.update(Counter({("a", True): 8}))
    assert rates.of("a") == 0.5


@pytest.mark.parametrize(
    ("settings", "line"),
    [
        ({"low": 0.9, "rollouts": "x"}, "need sampler.low <= sampler.high, got 0.9 and 0.8"),
        ({}, "needs one of sampler.rollouts and sampler.trees"),
        ({"rollouts": "x", "trees": "y"}, "needs one of sampler.rollouts and sampler.trees"),
    ],
)
def test_settings_without_meaning_are_refused(settings: dict[str, object], line: str) -> None:
    with pytest.raises(ConfigError, match=line):
        RateBand(**settings)  # pyright: ignore[reportArgumentType]
