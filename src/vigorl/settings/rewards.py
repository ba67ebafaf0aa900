"""Keys of one part of a reward that is a sum by name (`core.rewards.named`)."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, WrapValidator

from vigorl.core.ranges import AtLeastOne, Finite, NotNegative, Positive, Share, ShareAboveZero
from vigorl.settings.kinds import Flag, Group, Node, Text, says


def _named_or_listed(value: Any, handler: Any) -> Any:
    """A list of [reward, weight], as a sum of your own has it, is left to its class."""
    pairs: list[Any] = value if isinstance(value, list) else []
    is_listed = bool(pairs) and all(
        isinstance(pair, list) and len(pair) == 2 and isinstance(pair[0], dict) for pair in pairs
    )
    return value if is_listed else handler(value)


LISTED = WrapValidator(_named_or_listed)


class RewardPart(Group):
    """Of one reward, or of a sum within the sum."""

    name: Text
    parts: Annotated[dict[str, RewardPart | None], LISTED]
    weights: dict[str, Finite]
    reward: RewardPart
    # where and how places are compared
    where: Literal["answer", "thoughts", "looks"]
    shape: Literal["iou", "iou_squared", "giou", "threshold"]
    divisor: Literal["predicted", "larger", "targets"]
    kind: Literal["scene", "chart", "auto", "boxes", "points", "text"]
    min_iou: Share
    box_iou: Share | None
    recall_weight: NotNegative
    precision_weight: NotNegative
    length_factor: Flag
    by_coverage: Flag
    squared: Flag
    thresholds: Annotated[
        list[ShareAboveZero], Field(min_length=1), says("a list of shares above 0, at least one")
    ]
    place_weight: Share
    reach_px: Positive
    gate_px: Positive
    start_px: Positive
    end_px: Positive
    until: ShareAboveZero
    from_fraction: Share
    angle_weight: Positive
    length_weight: Positive
    # lists and numbers
    exact: Positive
    object_and_attribute: NotNegative
    object_only: NotNegative
    wrong_penalty: NotNegative
    missing_penalty: NotNegative
    two_parts: Finite
    first_part: Finite
    ends: Positive
    part: NotNegative
    surplus: NotNegative
    near: NotNegative
    far: Positive
    # looks as steps
    correct: Share
    erroneous: Share
    only_new: Flag
    with_recall: Flag
    miss_price: NotNegative
    max_price: NotNegative
    # texts
    false_weight: Share
    probe: Text | None
    num_words: AtLeastOne
    num_tokens: AtLeastOne
    judge: Node
    scale: Positive
    enough: Positive
    slope: Positive
    # looks, tools and lengths
    bonus: NotNegative
    max_uses: AtLeastOne
    pay_on: Literal["right", "wrong", "any"]
    counted: Literal["looks", "calls"]
    min_score: ShareAboveZero
    all_must_work: Flag
    per_character: NotNegative
    most: NotNegative
    tag: Text
    look: Text
    wrong_share: Share
    penalty: NotNegative
    margin: Share
    without_probe: Text | None
    with_probe: Text | None
    number: Text
    low: Annotated[float, Field(ge=-1, le=0), says("from -1 to 0")]
    max_total: Positive
    min_distance_px: NotNegative
    coef: Finite
    max_tokens: AtLeastOne
    buffer_frac: ShareAboveZero
    output_weight: NotNegative
    input_weight: NotNegative
    turns_weight: NotNegative
    # of the house's own rewards
    require_points: Flag
    require_tools_work: Flag
    only_if_correct: Flag
