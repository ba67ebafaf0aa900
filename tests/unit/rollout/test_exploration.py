from __future__ import annotations

import math
from typing import Any

import pytest

from vigorl.core.errors import ConfigError
from vigorl.core.protocols import Progress
from vigorl.rollout.exploration import (
    NoisyBranch,
    NoisyRollout,
    TemperatureSchedule,
    VisualBranch,
)


def test_a_temperature_moves_and_then_stays() -> None:
    schedule = TemperatureSchedule(start=1.2, end=1.0, until=0.5)
    found = [schedule.at(Progress(phase, 8)) for phase in (0, 2, 4, 7)]
    assert found == pytest.approx([1.2, 1.1, 1.0, 1.0])


def test_half_of_a_group_sees_noise_of_its_own() -> None:
    branch = NoisyBranch(keep=0.5, sigma=0.5, frac=0.5)
    marks = [branch.mark(index=i, group_size=4, seed=i) for i in range(4)]
    assert [mark is None for mark in marks] == [True, True, False, False]
    assert marks[2] != marks[3]
    assert marks[3] == branch.mark(index=3, group_size=4, seed=3)
    assert NoisyBranch(keep=1, sigma=0, frac=0.5).mark(index=3, group_size=4, seed=3) is None


def test_the_diffusion_fades_along_a_sigmoid() -> None:
    schedule = NoisyRollout(steps=500, slope=30.0, middle=0.5)
    kept = [schedule.at(Progress(phase, 100)).keep ** 2 for phase in (0, 50, 99)]
    betas = [1e-5 + (5e-3 - 1e-5) / (1 + math.exp(6 - 12 * i / 999)) for i in range(501)]
    # the first and the 250th step (half of 500) of the release's schedule; at the end nothing
    assert kept[0] == pytest.approx(math.prod(1 - beta for beta in betas[:500]))
    assert kept[1] == pytest.approx(math.prod(1 - beta for beta in betas[:251]))
    assert schedule.at(Progress(99, 100)).sigma == 0.0
    assert kept[2] == 1.0


def test_the_visual_branch_is_drawn_by_chance_and_fades() -> None:
    schedule = VisualBranch(frac_start=0.5, frac_end=0.0)
    branch = schedule.at(Progress(1, 2))
    assert (branch.frac, branch.keep, branch.sigma) == (0.25, 1.0, 0.4)
    marks = [branch.mark(index=0, group_size=1, seed=seed) for seed in range(400)]
    assert 60 < sum(mark is not None for mark in marks) < 140  # of 100 expected


@pytest.mark.parametrize(
    "make",
    [
        lambda: TemperatureSchedule(start=0.0, end=1.0),
        lambda: NoisyRollout(steps=1000),
        lambda: VisualBranch(frac_start=1.5),
        lambda: VisualBranch(sigma=0.0),
    ],
)
def test_a_setting_out_of_its_range_is_refused(make: Any) -> None:
    with pytest.raises(ConfigError, match=r"exploration\."):
        make()
