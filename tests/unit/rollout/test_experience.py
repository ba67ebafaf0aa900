from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import pytest

from tests import builders
from vigorl.core.errors import ConfigError
from vigorl.core.rollout import RewardBreakdown, Rollout
from vigorl.rollout.experience import score_rollouts


class OwnReward:
    """Of a user: all but the last rollout are worth something."""

    def breakdowns(self, rollouts: Sequence[Rollout], **_: Any) -> list[RewardBreakdown]:
        return [RewardBreakdown(1.0 if one.index == 0 else math.nan) for one in rollouts]


def test_a_total_that_is_no_number_stops_the_run_with_the_key_and_the_task() -> None:
    pair = [builders.rollout(index=i) for i in range(2)]
    assert [one.reward.total for one in score_rollouts(pair[:1], OwnReward())] == [1.0]
    with pytest.raises(ConfigError, match=r"^reward: OwnReward returned nan for task 'disc'; a r"):
        score_rollouts(pair, OwnReward())
