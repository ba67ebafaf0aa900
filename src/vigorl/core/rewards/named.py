"""A weighted sum whose parts have names, so that a command line can change any of them.

    _target_: vigorl.core.rewards.named.named_reward
    _convert_: all
    name: treevgr
    parts:
      accuracy: {_target_: vigorl.core.rewards.AccuracyReward}
      dual_iou: {_target_: vigorl.core.rewards.dual_iou.DualIoUReward}
    weights: {accuracy: 1.0, dual_iou: 1.0}

`reward.weights.dual_iou=0.2 reward.parts.dual_iou.recall_weight=0` is one arm of an ablation.
"""

from __future__ import annotations

from collections.abc import Mapping

from vigorl.core.errors import ConfigError
from vigorl.core.protocols import GroupReward, Reward, TurnReward
from vigorl.core.rewards.composite import WeightedReward


def named_reward(
    name: str,
    *,
    parts: Mapping[str, Reward | GroupReward | TurnReward | None],
    weights: Mapping[str, float],
) -> WeightedReward:
    """The sum of weight * part; group and turn rewards are told by what they are.

    Args:
        name: What the sum is called.
        parts: Each under the name of its reward; null leaves one out.
        weights: One for each part, by the same names; 0 logs a part without paying for it.
    Raises:
        ConfigError: A part without a weight, a weight without a part, or a part under another name
            than its reward's.
    """
    kept = {key: part for key, part in parts.items() if part is not None}
    for key in (kept.keys() ^ weights.keys()) - (parts.keys() - kept.keys()):
        missing, beside = ("weights", "parts") if key in kept else ("parts", "weights")
        raise ConfigError(f"reward {name!r}: {missing} has no {key!r}, which stands in {beside}")
    own, of_group = list[tuple[Reward, float]](), list[tuple[GroupReward, float]]()
    of_turns = list[tuple[TurnReward, float]]()
    for key, part in kept.items():
        if isinstance(part, GroupReward):
            of_group.append((part, weights[key]))
        elif isinstance(part, TurnReward):
            of_turns.append((part, weights[key]))
        elif isinstance(part, Reward):
            own.append((part, weights[key]))
        else:
            raise ConfigError(f"reward {name!r}: parts.{key} is no reward: {part!r}")
        if part.name != key:
            raise ConfigError(
                f"reward {name!r}: parts.{key} is called {part.name!r}; give it that key, or set "
                f"parts.{key}.name={key}"
            )
    return WeightedReward(name, own, of_group, of_turns)
