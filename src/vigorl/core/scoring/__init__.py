"""Ways to judge an answer; one file each."""

from vigorl.core.scoring.action import ActionMatch
from vigorl.core.scoring.boxes import BoxesOverlap
from vigorl.core.scoring.items import ItemsMatch
from vigorl.core.scoring.math import MathMatch
from vigorl.core.scoring.number import NumberMatch
from vigorl.core.scoring.one_of import MmmuOpen, OneOf
from vigorl.core.scoring.point import PointInBox
from vigorl.core.scoring.polygon import PointInPolygon
from vigorl.core.scoring.scorer import Scorer
from vigorl.core.scoring.span import SpanMatch
from vigorl.core.scoring.text import TextMatch
from vigorl.core.scoring.web_step import WebStep
from vigorl.core.scoring.yes_no import YesNo

__all__ = [
    "ActionMatch",
    "BoxesOverlap",
    "ItemsMatch",
    "MathMatch",
    "MmmuOpen",
    "NumberMatch",
    "OneOf",
    "PointInBox",
    "PointInPolygon",
    "Scorer",
    "SpanMatch",
    "TextMatch",
    "WebStep",
    "YesNo",
]
