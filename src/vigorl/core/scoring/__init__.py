"""Ways to judge an answer; one file each."""

from vigorl.core.scoring.action import ActionMatch
from vigorl.core.scoring.point import PointInBox
from vigorl.core.scoring.scorer import Scorer
from vigorl.core.scoring.text import TextMatch

__all__ = ["ActionMatch", "PointInBox", "Scorer", "TextMatch"]
