from __future__ import annotations

from vigorl.callbacks.phase_report import pays_accuracy
from vigorl.core.rewards.recipes import grounded_zoom_reward, vigorl_paper, vigorl_released


def test_only_the_scorers_own_accuracy_is_the_accuracy_again() -> None:
    rewards = (grounded_zoom_reward(), vigorl_paper(), vigorl_released(multi_turn=True))
    assert [pays_accuracy(reward) for reward in rewards] == [True, True, False]
