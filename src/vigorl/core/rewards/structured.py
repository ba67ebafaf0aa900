"""Answers that list items of several parts, paid in parts: STAR-R1, Reason-RFT, RewardMap's detail.

An answer is a list as `ItemsMatch` reads it, each item parts separated by "," or ":", the first of
which names an object: "red disc: vertical; blue square: rising". The right one is
`TaskRecord.answer`, written the same way. Case and the order of items do not matter.

Where a part of the value is paid without the whole, listing all possible items pays too, unless
wrong ones cost (STAR-R1: -1 each) or the total is divided by how many there are (Reason-RFT).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from vigorl.core.errors import ConfigError
from vigorl.core.records import TaskRecord
from vigorl.core.rewards.unit import UnitReward
from vigorl.core.rollout import Rollout
from vigorl.core.scoring.items import split_items

Item = tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class PartialCreditReward:
    """STAR-R1's reward of a list, over its highest value, in [-1, 1].

    Each predicted item is matched with the free true item that it is most like: wholly right 5.0,
    object and attribute right 1.5, the object alone 0.5, else 0. Every one that is not wholly right
    costs 1 ("incorrect prediction"; the paper does not say whether a partly right one is), and so
    does every true item that is missing when fewer are given than there are. The sum is divided by
    5 * true items, which group advantages that divide by the spread do not see, and cut at -1.

    Attributes:
        exact: Of a wholly right item, above 0.
        object_and_attribute: Of one with the object and one more part right; items of two parts
            have no such case.
        object_only: Of one whose object alone is right.
        wrong_penalty: Price of an item that is not wholly right; 0 lets enumeration win.
        missing_penalty: Price of an item too few; 0 lets silence win.
    Source: STAR-R1 (arXiv 2025-05, its README and a reader's note; no code was released): 5, 1.5,
        0.5, -1, -(missing).
    """

    exact: float = 5.0
    object_and_attribute: float = 1.5
    object_only: float = 0.5
    wrong_penalty: float = 1.0
    missing_penalty: float = 1.0
    name: str = "partial_credit"

    def __post_init__(self) -> None:
        if not 0 <= self.object_only <= self.object_and_attribute <= self.exact or not self.exact:
            raise ConfigError(
                f"reward {self.name!r}: need 0 <= object_only <= object_and_attribute <= exact and "
                f"exact > 0, got {self.object_only}, {self.object_and_attribute}, {self.exact}"
            )
        if min(self.wrong_penalty, self.missing_penalty) < 0:
            raise ConfigError(f"reward {self.name!r}: penalties must be >= 0")

    @property
    def range(self) -> tuple[float, float]:
        return (-1.0, 1.0)

    def __call__(self, rollout: Rollout) -> float:
        given, right = read_items(rollout.answer or ""), right_items(rollout.task, self.name)
        total = -self.missing_penalty * max(len(right) - len(given), 0)
        for one, match in match_items(given, right):
            total += self._credit(one, match) - self.wrong_penalty * (one != match)
        return max(total / (self.exact * len(right)), -1.0)

    def _credit(self, given: Item, right: Item | None) -> float:
        if right is None or given[0] != right[0]:
            return 0.0
        if given == right:
            return self.exact
        return self.object_and_attribute if given[1:2] == right[1:2] else self.object_only


@dataclass(frozen=True, slots=True, kw_only=True)
class ShareOfItemsReward:
    """Reason-RFT's reward of a list, in [worst, 1]: credits * distinct share / max(given, true).

    Items without repeats are matched: wholly right 1, two parts of three right `two_parts`, the
    first part alone `first_part`. The distinct share is distinct items over items given.

    Attributes:
        two_parts: 0.5; the variant with a penalty -0.25.
        first_part: 0.25; the variant -0.5.
    Source: Reason-RFT, arXiv:2503.20752; tanhuajie/Reason-RFT@d0a8070, train/stage_rl/reward.py.
    """

    two_parts: float = 0.5
    first_part: float = 0.25
    name: str = "share_of_items"

    def __post_init__(self) -> None:
        if (
            not -1
            <= min(self.two_parts, self.first_part)
            <= max(self.two_parts, self.first_part)
            <= 1
        ):
            raise ConfigError(
                f"reward {self.name!r}: two_parts and first_part must be in [-1, 1], "
                f"got {self.two_parts}, {self.first_part}"
            )

    @property
    def range(self) -> tuple[float, float]:
        return (min(0.0, self.two_parts, self.first_part), 1.0)

    def __call__(self, rollout: Rollout) -> float:
        given, right = read_items(rollout.answer or ""), right_items(rollout.task, self.name)
        if not given:
            return 0.0
        distinct = list(dict.fromkeys(given))
        credits = sum(self._credit(one, match) for one, match in match_items(distinct, right))
        share = len(distinct) / len(given)
        return credits * share / max(len(distinct), len(right))

    def _credit(self, given: Item, right: Item | None) -> float:
        if right is None or given[0] != right[0]:
            return 0.0
        if given == right:
            return 1.0
        is_like = any(a == b for a, b in zip(given[1:], right[1:], strict=False))
        return self.two_parts if is_like else self.first_part


@dataclass(frozen=True, slots=True, kw_only=True)
class DetailReward(UnitReward):
    """RewardMap's detail: the parts of a long answer that are right, cut to [0, 1].

    The ends of the list (the first part of its first item and the last part of its last) pay
    `ends`, every other part that is right in its place pays `part`, every item too many costs
    `surplus`; over the most that the right answer can get, which is the paper's cap of 10. For its
    metro routes an item is a leg "from, line, to", so these parts are lines and changes.

    Its difficulty weight is not here: as a factor of the reward it cancels in the group's spread,
    so it has to be one of the advantage, by the task's tag "difficulty".

    Attributes:
        ends: The paper 2.
        part: The paper 3 for a line; its 4 for the only line, and 1 for a change, are one number
            here.
        surplus: The paper 5 per surplus leg.
    Source: RewardMap, arXiv:2510.02240; fscdc/RewardMap@15428ac,
        verl/utils/reward_score/reason_map.py.
    """

    ends: float = 2.0
    part: float = 3.0
    surplus: float = 5.0
    name: str = "detail"

    def __post_init__(self) -> None:
        if min(self.part, self.surplus) < 0 or not self.ends > 0:
            raise ConfigError(
                f"reward {self.name!r}: ends must be above 0, part and surplus at least 0"
            )

    def __call__(self, rollout: Rollout) -> float:
        given, right = read_items(rollout.answer or ""), right_items(rollout.task, self.name)
        if not given:
            return 0.0
        total = self._credit(given, right) - self.surplus * max(len(given) - len(right), 0)
        return min(max(total / self._credit(right, right), 0.0), 1.0)

    def _credit(self, given: Sequence[Item], right: Sequence[Item]) -> float:
        has_ends = given[0][0] == right[0][0] and given[-1][-1] == right[-1][-1]
        same = sum(
            a == b
            for one, other in zip(given, right, strict=False)
            for a, b in zip(one[1:], other[1:], strict=False)
        )
        return self.ends * has_ends + self.part * same


def read_items(text: str) -> list[Item]:
    """The items of a list in order, repeats included, each as its parts.

    >>> read_items("Red disc: vertical;  blue square: rising.")
    [('red disc', 'vertical'), ('blue square', 'rising')]
    """
    parts = ([part.strip(" .") for part in re.split("[,:]", item)] for item in split_items(text))
    return [kept for one in parts if (kept := tuple(part for part in one if part))]


def right_items(task: TaskRecord, reward: str) -> list[Item]:
    """The items of the right answer, at least one.

    Raises:
        ValueError: The answer lists nothing.
    """
    if not (items := read_items(task.answer)):
        raise ValueError(f"reward {reward!r} needs a list, and task {task.id!r} has none as answer")
    return items


def match_items(given: Sequence[Item], right: Sequence[Item]) -> list[tuple[Item, Item | None]]:
    """Each given item with the true item that is its own: equal ones first, then those with the
    most parts alike, the object first; None for those that are too many or like nothing.
    """
    pairs = [
        (_likeness(one, two), i, k) for i, one in enumerate(given) for k, two in enumerate(right)
    ]
    partner: dict[int, int] = {}
    for likeness, i, k in sorted(pairs, key=lambda pair: (-pair[0], pair[1], pair[2])):
        if likeness and i not in partner and k not in partner.values():
            partner[i] = k
    return [(one, right[partner[i]] if i in partner else None) for i, one in enumerate(given)]


def _likeness(one: Item, other: Item) -> int:
    """Parts alike; 0 where the objects differ."""
    if one[0] != other[0]:
        return 0
    alike = sum(a == b for a, b in zip(one, other, strict=False))
    return 2 * alike + (one == other)
