"""Rewards per turn: what a single look was worth; see `training.estimators` for their credit."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from vigorl.core.errors import ConfigError
from vigorl.core.rewards.composite import WeightedReward
from vigorl.core.rewards.recipes import single_turn_reward
from vigorl.core.rewards.zoom import is_zoom_hit
from vigorl.core.rollout import Rollout


@dataclass(frozen=True, slots=True, kw_only=True)
class NewTargetReward:
    """A turn is paid for the targets that it is the first to look at, and charged for a look at
    none; a look at targets seen before is worth nothing.

    1 / targets for each new one, so that a rollout that has seen all has 1; - `miss_price` for a
    crop that holds no target, until a rollout has paid `max_price`. Tasks without known targets pay
    nothing.

    Attributes:
        miss_price: At least 0.
        max_price: The most that misses can cost a rollout, at least 0.
    Raises:
        ConfigError: A price below 0.
    Source: the words of ViRL, arXiv:2511.23031 (correct, redundant and erroneous actions); its
        numbers are not published; ours.
    """

    miss_price: float = 0.0
    max_price: float = 0.0

    def __post_init__(self) -> None:
        if min(self.miss_price, self.max_price) < 0:
            raise ConfigError("new_target: miss_price and max_price must be at least 0")

    @property
    def name(self) -> str:
        return "new_target"

    @property
    def range(self) -> tuple[float, float]:
        return (-self.max_price, 1.0)

    def score_turns(self, rollout: Rollout) -> list[float]:
        targets = rollout.task.target_boxes
        if not targets:
            return [0.0] * len(rollout.turns)
        seen: set[int] = set()
        left, scores = self.max_price, []
        for has_crop, hit in hits_of_turns(rollout):
            price = min(self.miss_price, left) if has_crop and not hit else 0.0
            left -= price
            scores.append(len(hit - seen) / len(targets) - price)
            seen |= hit
        return scores


@dataclass(frozen=True, slots=True, kw_only=True)
class AnswerGainReward:
    """A call is paid what it does to the answer: the score after it minus the score before, as
    `probes=[answer_now]` has found them.

    +1 for a call that makes a wrong answer right, -1 for one that misleads, 0 for a wasted one. The
    sum is the final score minus that of an answer at once: never above 0 for a wrong answer.

    Source: TACO, arXiv:2606.30251 (abstract; how it routes the outcome's advantage is not published
        there and left out).
    """

    @property
    def name(self) -> str:
        return "answer_gain"

    @property
    def range(self) -> tuple[float, float]:
        return (-1.0, 1.0)

    @property
    def probe_numbers(self) -> tuple[str, ...]:
        return (answer_now(0),)

    def score_turns(self, rollout: Rollout) -> list[float]:
        probes = rollout.probes
        scores = [0.0] * len(rollout.turns)
        for place in range(len(scores) - 1):
            before = probes.get(answer_now(place))
            if before is not None:
                scores[place] = probes.get(answer_now(place + 1), rollout.score) - before
        return scores


def answer_now(place: int) -> str:
    """What the score of an answer before that turn is called among a rollout's probes."""
    return f"answer_now_{place}"


def hits_of_turns(rollout: Rollout) -> Iterator[tuple[bool, set[int]]]:
    """Of each turn: whether a crop was shown, and the numbers of the targets whose centres were in
    one.
    """
    first, targets = rollout.prompt_views[0], rollout.task.target_boxes
    for turn in rollout.turns:
        crops = [view for view in turn.views if view.box is not None]
        yield (
            bool(crops),
            {
                number
                for number, target in enumerate(targets)
                if any(is_zoom_hit(crop, [target], first=first) for crop in crops)
            },
        )


def turn_reward(
    *,
    accuracy_weight: float = 0.8,
    format_weight: float = 0.2,
    turn_weight: float = 0.2,
    require_points: bool = True,
    miss_price: float = 0.0,
    max_price: float = 0.0,
) -> WeightedReward:
    """Accuracy, format, and new targets turn by turn.

    No wrong answer outscores a right one: a wholly right one has at least a - m, with a the weight
    of accuracy and m what misses can cost; any other at most a/2 + f + t, with f and t the weights
    of format and turns; and a/2 + f + t <= a - m is enforced. With the defaults both are 0.8.

    Raises:
        ConfigError: A setting out of its range, or a wrong answer could outscore a right one.
    """
    looks = NewTargetReward(miss_price=miss_price, max_price=max_price)
    wrong = accuracy_weight / 2 + format_weight + turn_weight
    right = accuracy_weight - turn_weight * max_price
    if turn_weight < 0 or wrong > right + 1e-9:
        raise ConfigError(
            f"turn reward: turn_weight={turn_weight:g} must be from 0 on and must not let a wrong "
            f"answer ({wrong:g}) outscore a right one ({right:g}); lower it or format_weight"
        )
    own = single_turn_reward(
        accuracy_weight=accuracy_weight,
        format_weight=format_weight,
        require_points=require_points,
    )
    return WeightedReward("turns", own.parts, turn_parts=[(looks, turn_weight)])


def answer_gain_reward(
    *,
    accuracy_weight: float = 0.8,
    format_weight: float = 0.2,
    turn_weight: float = 0.2,
    require_points: bool = True,
) -> WeightedReward:
    """Accuracy, format, and what each call did to the answer; needs `probes=[answer_now]`.

    A wrong answer gains nothing from its calls, a partly right one at most t times its score; a
    wholly right one loses nothing.

    Raises:
        ConfigError: A setting out of its range, or a wrong answer could outscore a right one.
    """
    if turn_weight < 0 or (accuracy_weight + turn_weight) / 2 + format_weight > accuracy_weight:
        raise ConfigError(
            f"answer gain: turn_weight={turn_weight:g} must be from 0 on, and "
            "(accuracy_weight + turn_weight) / 2 + format_weight at most accuracy_weight"
        )
    own = single_turn_reward(
        accuracy_weight=accuracy_weight,
        format_weight=format_weight,
        require_points=require_points,
    )
    return WeightedReward("answer_gain", own.parts, turn_parts=[(AnswerGainReward(), turn_weight)])
