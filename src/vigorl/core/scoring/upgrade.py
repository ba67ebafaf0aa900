"""Scorers of files of vigorl 0.1, which knew three kinds of answer by name."""

from __future__ import annotations

from vigorl.core.geometry import Box
from vigorl.core.scoring.action import ActionMatch
from vigorl.core.scoring.point import PointInBox
from vigorl.core.scoring.scorer import Scorer
from vigorl.core.scoring.text import TextMatch


def scorer_of_kind(kind: object, *, box: Box | None = None) -> Scorer:
    """What an "answer_kind" stood for.

    Args:
        kind: "text", "point" or "action".
        box: The "answer_box" of a point.
    Raises:
        ValueError: Another kind.
    """
    if kind == "text":
        return TextMatch()
    if kind == "point":
        return PointInBox(box)
    if kind == "action":
        return ActionMatch()
    raise ValueError(f"must be one of ['text', 'point', 'action'], got {kind!r:.80}")
