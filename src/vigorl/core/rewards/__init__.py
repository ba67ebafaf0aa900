"""Pure functions from a rollout to a number in a stated range; one file per family."""

from vigorl.core.rewards.accuracy import AccuracyReward
from vigorl.core.rewards.composite import WeightedReward
from vigorl.core.rewards.curiosity import CuriosityReward, curiosity_reward
from vigorl.core.rewards.format import FormatReward
from vigorl.core.rewards.gate import ConsistencyVeto, Gate, StopProperly
from vigorl.core.rewards.grounding import GroundingReward
from vigorl.core.rewards.overlong import LengthPenaltyReward, SoftOverlongReward
from vigorl.core.rewards.probed import ProbeReward
from vigorl.core.rewards.recipes import (
    grounded_zoom_reward,
    single_turn_reward,
    vigorl_paper,
    vigorl_released,
)
from vigorl.core.rewards.tool_use import (
    AdaptiveUseReward,
    StrategyReward,
    ThoughtBeforeLookReward,
    ToolBonusReward,
)
from vigorl.core.rewards.zoom import ZoomDiversityReward

__all__ = [
    "AccuracyReward",
    "AdaptiveUseReward",
    "ConsistencyVeto",
    "CuriosityReward",
    "FormatReward",
    "Gate",
    "GroundingReward",
    "LengthPenaltyReward",
    "ProbeReward",
    "SoftOverlongReward",
    "StopProperly",
    "StrategyReward",
    "ThoughtBeforeLookReward",
    "ToolBonusReward",
    "WeightedReward",
    "ZoomDiversityReward",
    "curiosity_reward",
    "grounded_zoom_reward",
    "single_turn_reward",
    "vigorl_paper",
    "vigorl_released",
]
